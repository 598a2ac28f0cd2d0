package resilience

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// rateLimit lets attempts start at a rate, with bursts. It is the Generic Cell Rate Algorithm in its
// form of virtual scheduling (ITU-T I.371, annex A; ATM Forum, Traffic Management 4.0, 1996): one
// word holds the theoretical time of arrival of the next attempt at the full rate. One that comes
// earlier than that by no more than the tolerance conforms. All methods are safe for concurrent
// use; none takes a lock.
type rateLimit struct {
	rate   atomic.Pointer[rate]
	theory atomic.Int64 // monotonic ns
}

// rate is a [RateLimitPolicy] in ns.
type rate struct {
	interval  int64 // between attempts
	tolerance int64 // how much early one may be: a burst's length but for one interval
	patience  int64 // how long one may wait for its turn
}

func newRate(p RateLimitPolicy) *rate {
	interval := (int64(time.Second) + int64(p.PerSecond) - 1) / int64(p.PerSecond)
	return &rate{interval: interval, tolerance: interval * int64(p.Burst-1), patience: int64(p.MaxWait)}
}

// update changes the rate and keeps how many attempts of a burst are used up; the first update starts
// with a full burst.
func (l *rateLimit) update(p RateLimitPolicy, at int64) {
	next := newRate(p)
	last := l.rate.Swap(next)
	for {
		was := l.theory.Load()
		theory := at
		if last != nil {
			theory += int64(float64(max(0, was-at)) / float64(last.interval) * float64(next.interval))
		}
		if l.theory.CompareAndSwap(was, theory) {
			return
		}
	}
}

// reserve gives a turn that comes within patience: wait is how long from now, 0 for at once. If there
// is none, wait is how long it would be.
func (l *rateLimit) reserve(r *rate, at, patience int64) (wait int64, ok bool) {
	for {
		theory := l.theory.Load()
		turn := max(theory, at)
		wait = max(0, turn-r.tolerance-at)
		if wait > patience {
			return wait, false
		}
		if l.theory.CompareAndSwap(theory, turn+r.interval) {
			return wait, true
		}
	}
}

// take waits for a turn, if there is one soon enough for the policy and for ctx. When ctx ends the
// wait, the turn is given back.
func (l *rateLimit) take(ctx context.Context, name string) error {
	r, at := l.rate.Load(), now()
	wait, ok := l.reserve(r, at, 0)
	if ok {
		return nil
	}
	if deadline, bounded := ctx.Deadline(); r.patience == 0 || bounded && time.Until(deadline) <= time.Duration(wait) {
		return &LimitedError{Name: name, after: time.Duration(wait)}
	}
	if wait, ok = l.reserve(r, at, r.patience); !ok {
		return &LimitedError{Name: name, after: time.Duration(wait)}
	}
	if !sleep(ctx, time.Duration(wait)) {
		l.theory.Add(-l.rate.Load().interval) // as it counts by now
		return fmt.Errorf("%w: %w", &LimitedError{Name: name}, ended(ctx))
	}
	return nil
}
