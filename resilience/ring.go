package resilience

import "sync/atomic"

// ring remembers of the last calls which were bad, one bit each, without a lock: each call takes the
// next place in turn, and whoever changes its bit corrects the count. So the count is exact as soon
// as those who are adding have done so. A nil ring remembers nothing.
type ring struct {
	calls atomic.Uint64 // so far
	bad   atomic.Int64  // bits that are set
	bits  []atomic.Uint64
	of    uint64 // how many calls
}

// newRing makes a ring that remembers so many calls. It begins with calls of which some were bad, or as
// many of them as it has room for, in the same ratio and well mixed.
func newRing(of, calls, bad int) *ring {
	r := &ring{of: uint64(of), bits: make([]atomic.Uint64, (of+63)/64)}
	known := min(calls, of)
	for i := range known {
		r.add((i+1)*bad/calls > i*bad/calls)
	}
	return r
}

func (r *ring) size() int {
	if r == nil {
		return 0
	}
	return int(r.of)
}

// add counts a call, and whether it was bad.
func (r *ring) add(bad bool) {
	place := (r.calls.Add(1) - 1) % r.of
	word, bit := &r.bits[place/64], uint64(1)<<(place%64)
	switch was := word.Load()&bit != 0; {
	case was == bad: // as nearly always
	case bad && word.Or(bit)&bit == 0:
		r.bad.Add(1)
	case !bad && word.And(^bit)&bit != 0:
		r.bad.Add(-1)
	}
}

func (r *ring) sum() (calls, bad int) {
	return int(min(r.calls.Load(), r.of)), int(r.bad.Load())
}
