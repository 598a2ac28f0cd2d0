package resilience

import (
	"sync/atomic"
	"time"
)

// steps is into how many steps a window is cut. The oldest step falls out as a whole, so a window
// looks back between 90 % and 100 % of its length.
const steps = 10

// window counts calls, and the bad ones among them, of the recent past without a lock. Each slice packs the number
// of its step of time (24 bits), its calls and its bad calls (20 bits each) into one word, so that a
// slice is cleared and counted in one exchange. A nil window counts nothing.
type window struct {
	length time.Duration
	slice  [steps]atomic.Uint64
	last   *ring // in the place of a time, the last calls; else nil
}

const (
	countBits = 20
	countMask = 1<<countBits - 1
	stepMask  = 1<<24 - 1
)

func pack(step uint64, calls, failed uint64) uint64 {
	return step<<(2*countBits) | calls<<countBits | failed
}

func unpack(word uint64) (step, calls, failed uint64) {
	return word >> (2 * countBits), word >> countBits & countMask, word & countMask
}

// span is how far back a window looks: a time, or if calls is not 0, that many calls.
type span struct {
	length time.Duration
	calls  int
}

// newWindow makes the window that a policy with this ratio needs, or nil. What old has counted goes
// into it: it ages from now on.
func newWindow(ratio float64, over span, old *window, at int64) *window {
	if ratio == 0 {
		return nil
	}
	w := &window{length: over.length}
	calls, failed := old.sum(at)
	if over.calls > 0 {
		w.last = newRing(over.calls, calls, failed)
		return w
	}
	step := w.step(at)
	w.slice[step%steps].Store(pack(step, uint64(min(calls, countMask)), uint64(min(failed, countMask))))
	return w
}

func (w *window) fits(ratio float64, over span) bool {
	if w == nil {
		return ratio == 0
	}
	return ratio > 0 && w.length == over.length && w.last.size() == over.calls
}

// timed tells whether the window needs to know what time it is.
func (w *window) timed() bool { return w != nil && w.last == nil }

// step numbers the slices of time. It comes round after 2^24 steps, a multiple of the shortest
// window's day and a half; a slice untouched for exactly that long would be taken for a fresh one.
func (w *window) step(at int64) uint64 {
	return uint64(at/int64(w.length/steps)) & stepMask
}

// add counts a call, and whether it was bad.
func (w *window) add(at int64, bad bool) {
	if w == nil {
		return
	}
	if w.last != nil {
		w.last.add(bad)
		return
	}
	step := w.step(at)
	slice := &w.slice[step%steps]
	for {
		word := slice.Load()
		was, calls, failed := unpack(word)
		if was != step {
			calls, failed = 0, 0
		}
		if calls == countMask { // full: halve, which keeps the ratio
			calls, failed = calls/2, failed/2
		}
		calls++
		if bad {
			failed++
		}
		if slice.CompareAndSwap(word, pack(step, calls, failed)) {
			return
		}
	}
}

// reaches tells whether at least this share of at least so many calls was bad.
func (w *window) reaches(ratio float64, calls int, at int64) bool {
	all, bad := w.sum(at)
	return all >= calls && all > 0 && float64(bad) >= ratio*float64(all)
}

func (w *window) sum(at int64) (calls, failed int) {
	if w == nil {
		return 0, 0
	}
	if w.last != nil {
		return w.last.sum()
	}
	step := w.step(at)
	for i := range w.slice {
		was, c, f := unpack(w.slice[i].Load())
		if (step-was)&stepMask < steps {
			calls += int(c)
			failed += int(f)
		}
	}
	return calls, failed
}
