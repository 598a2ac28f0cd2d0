package controller

import (
	"container/heap"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/control"
)

// openInterval is what the controller knows of a trial's current interval. Durations are since
// Run began.
type openInterval struct {
	trial   string
	attempt int
	step    int
	steady  bool          // before the fault of an experiment
	version string        // of attempt, phase and step; empty while nothing is collected
	from    time.Duration // when it was opened
	base    time.Duration // when it should have been opened
	start   time.Time     // its start as recorded: where the last one ended
	closed  *closedInterval

	due   time.Duration // when there is something to do
	place int           // in the heap, -1 if it waits for something else
}

// closedInterval waits to be stored. What arrives meanwhile is in the open interval, which is
// closed after this one is stored.
type closedInterval struct {
	outcome.Interval
	// uncertain is on after a store failed: it may have kept the interval and only failed to
	// say so.
	uncertain bool
}

// grain is what due times are rounded up to, so that trials fall due together and are stored
// together.
const grain = 250 * time.Millisecond

func roundUp(d time.Duration) time.Duration { return (d + grain - 1) / grain * grain }

// schedule plans the end of the open interval: one interval after it should have been opened, so
// that delays do not add up.
func (c *Controller) schedule(o *openInterval, entry *control.TrialEntry) {
	c.due.put(o, roundUp(o.base+time.Duration(entry.Spec.Interval)))
}

// closeInterval takes what has arrived, and opens the next interval.
func (c *Controller) closeInterval(entry *control.TrialEntry, o *openInterval, now time.Duration) {
	iv := c.cfg.Outcomes.Close(o.trial, o.version)
	iv.Seq, iv.Step, iv.Steady = entry.State.Seq+1, entry.State.Step, entry.State.Steady
	iv.From, iv.To = o.start, o.start.Add(now-o.from)
	o.closed = &closedInterval{Interval: iv}
	o.from, o.base, o.start = now, now, o.closed.To
	if now-o.due < grain {
		o.base = o.due
	}
	c.cfg.Reached(pointClosed)
}

// dueHeap holds what falls due, the first on top.
type dueHeap []*openInterval

// put plans something for a time, instead of what was planned before.
func (h *dueHeap) put(o *openInterval, due time.Duration) {
	o.due = due
	if o.place >= 0 {
		heap.Fix(h, o.place)
		return
	}
	heap.Push(h, o)
}

// take gives what is due, if anything; nothing is planned for it then.
func (h *dueHeap) take(now time.Duration) (*openInterval, bool) {
	if len(*h) == 0 || (*h)[0].due > now {
		return nil, false
	}
	return heap.Pop(h).(*openInterval), true
}

// remove plans nothing more.
func (h *dueHeap) remove(o *openInterval) {
	if o != nil && o.place >= 0 {
		heap.Remove(h, o.place)
	}
}

// next gives when the first falls due, otherwise the given time.
func (h dueHeap) next(otherwise time.Duration) time.Duration {
	if len(h) == 0 {
		return otherwise
	}
	return h[0].due
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *dueHeap) Push(x any) {
	o := x.(*openInterval)
	o.place = len(*h)
	*h = append(*h, o)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	o := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	o.place = -1
	return o
}
