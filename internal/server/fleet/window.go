package fleet

import "time"

// slotLength is the grain of a [window].
const slotLength = 10 * time.Second

// window counts what happened within the last minute: in slots, of which the oldest counts by its
// part that is still within.
type window struct {
	newest int64     // the number of the newest slot since the birth of the store
	slots  [7]Counts // by number, modulo their count
}

// add counts n events of a report that arrived at a time since the birth of the store and was about
// a span of time. Of a span longer than a minute, a minute's share counts.
func (w *window) add(e Event, n uint64, at, span time.Duration) {
	w.advance(at)
	count := float64(n)
	if span > time.Minute {
		count *= float64(time.Minute) / float64(span)
	}
	w.slots[w.newest%int64(len(w.slots))][e] += count
}

// advance empties the slots of times that have come since.
func (w *window) advance(at time.Duration) {
	now := int64(at / slotLength)
	for i := range min(now-w.newest, int64(len(w.slots))) {
		w.slots[(now-i)%int64(len(w.slots))] = Counts{}
	}
	w.newest = max(w.newest, now)
}

// lastMinute gives the counts of the minute before a time since the birth of the store.
func (w *window) lastMinute(at time.Duration) (sum Counts) {
	w.advance(at)
	oldest := (w.newest + 1) % int64(len(w.slots))
	part := 1 - float64(at%slotLength)/float64(slotLength)
	for i := range w.slots {
		weight := 1.0
		if int64(i) == oldest {
			weight = part
		}
		for e, n := range w.slots[i] {
			sum[e] += float64(weight * n)
		}
	}
	return sum
}
