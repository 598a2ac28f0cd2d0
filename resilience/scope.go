package resilience

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// scopeKey finds the innermost numbered scope in a context.
type scopeKey struct{}

// scope is the context of an attempt, or of a whole call: it knows the attempt's number and may end
// after a time.
//
// Most calls return before their time is over, and many never look at their context's channel. So
// the timer and the channel are made only when somebody asks: then by the standard library, as
// [context.WithDeadlineCause], and from then on scope hands everything on to that, so that derived
// contexts need no goroutine and context.Cause gives the [TimeoutError]. Until then the clock
// tells whether the time is over. If the parent has ended, too, when somebody asks for the first
// time, that is what is told, whichever was first.
type scope struct {
	context.Context // the parent's

	number     int  // of the attempt, from 1; 0: a whole call
	repetition bool // of what somebody upstream asked for

	limit *TimeoutError // says what ends it after limit.Limit; nil: only the parent's end does
	at    int64         // monotonic ns when that is

	over   atomic.Bool // what it was for is done
	making sync.Mutex
	made   atomic.Bool     // what follows is there, and stays as it is
	timed  context.Context // the standard library's
	cancel context.CancelFunc
}

// bounded gives a scope that ends after limit.Limit from now. The caller ends it when it is done.
func bounded(ctx context.Context, number int, limit *TimeoutError) *scope {
	return &scope{Context: ctx, number: number, limit: limit, at: now() + int64(limit.Limit)}
}

// Deadline gives the earlier one of the parent's and its own.
func (s *scope) Deadline() (time.Time, bool) {
	parents, ok := s.Context.Deadline()
	if s.limit == nil {
		return parents, ok
	}
	if own := s.deadline(); !ok || own.Before(parents) {
		return own, true
	}
	return parents, true
}

// deadline gives its own, by the wall clock as it is now.
func (s *scope) deadline() time.Time {
	at := time.Now()
	return at.Add(time.Duration(s.at) - at.Sub(started))
}

// Done gives the channel that is closed at the end.
func (s *scope) Done() <-chan struct{} {
	if s.limit == nil {
		return s.Context.Done()
	}
	s.make()
	return s.timed.Done()
}

// Err tells whether it is over, and why.
func (s *scope) Err() error {
	if s.limit == nil {
		return s.Context.Err()
	}
	if s.made.Load() {
		return s.timed.Err()
	}
	if err := s.Context.Err(); err != nil {
		return err
	}
	if s.over.Load() {
		return context.Canceled
	}
	if now() < s.at {
		return nil
	}
	s.make()
	return s.timed.Err() // which also knows the cause
}

// Value finds the scope itself, and else what the parent has.
func (s *scope) Value(key any) any {
	if key == (scopeKey{}) && (s.number > 0 || s.repetition) {
		return s
	}
	if s.made.Load() {
		return s.timed.Value(key)
	}
	return s.Context.Value(key)
}

// make makes the context with the timer, if it is not there.
func (s *scope) make() {
	if s.made.Load() {
		return
	}
	s.making.Lock()
	defer s.making.Unlock()
	if s.made.Load() {
		return
	}
	s.timed, s.cancel = context.WithDeadlineCause(s.Context, s.deadline(), s.limit)
	s.made.Store(true)
	if s.over.Load() { // end may not have seen it
		s.cancel()
	}
}

// expired tells whether its own time, not the parent's, ended it.
func (s *scope) expired() bool {
	if s.made.Load() {
		return context.Cause(s.timed) == error(s.limit)
	}
	return now() >= s.at
}

// end says that what the scope was for is done; it is cancelled, unless it is over already.
func (s *scope) end() {
	s.over.Store(true)
	if s.made.Load() {
		s.cancel()
	}
}

func scopeOf(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// Attempt gives the number of the attempt of [Run] that ctx belongs to, from 1; 0 outside of one. A
// rival of an attempt ([HedgePolicy]) is an attempt with a number of its own. [Executor.Do] and
// [Retry.Do] number their attempts from the second on, and the first one only if it has a timeout:
// so that it costs nothing it looks like whatever is around it.
func Attempt(ctx context.Context) int {
	if s := scopeOf(ctx); s != nil {
		return s.number
	}
	return 0
}

// WithRepetition says that the work under ctx is itself a repetition, that somebody upstream asked
// for: a request that carries its number, for instance. What retries under ctx then makes one
// attempt only, so that the layers' attempts add up instead of multiplying. The same holds by
// itself within all attempts of this process but the first.
func WithRepetition(ctx context.Context) context.Context {
	return &scope{Context: ctx, number: Attempt(ctx), repetition: true}
}

// repeats tells whether the work under ctx is a repetition: at any layer, as a first attempt of an
// inner one does not make the outer's second one the first.
func repeats(ctx context.Context) bool {
	for s := scopeOf(ctx); s != nil; s = scopeOf(s.Context) {
		if s.repetition || s.number > 1 {
			return true
		}
	}
	return false
}
