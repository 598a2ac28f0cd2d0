package resilience

import (
	"context"
	"errors"
	"slices"
)

// Call is a call to a dependency that gives a value, for [Run].
type Call[T any] struct {
	// Do is one attempt. Its value counts also beside an error: the caller gets that of the last
	// attempt (the answer 503, say).
	Do func(context.Context) (T, error)
	// Discard, if not nil, is told every value that the caller does not get: of earlier attempts
	// (before the next one begins), of rivals that lost, and of a call that a fallback answers for;
	// also zero values that came beside an error. For rivals it may be called on another goroutine,
	// and after Run has returned.
	Discard func(T)
	// Hedge says that Do may run several times at once and that the call may be sent twice.
	Hedge bool
	// Fallback, if not nil, gives what the caller gets instead when the call failed with the error,
	// for a reason that the policy names; see [FallbackPolicy]. Its context is the caller's, and no
	// timeout of the policy bounds it. It is not asked when the caller's context is done, nor for
	// errors that are a proper answer. If it cannot help, it gives the error that it was given.
	Fallback func(context.Context, error) (T, error)
}

// Run makes the call under the policy of e, as [Executor.Do] does, and gives its value. If c allows it
// and the policy has a hedge, a slow attempt gets rivals: the first success is the caller's, and so
// is an error that another attempt would only repeat; the others are cancelled, and nobody waits for
// them. A panic of an attempt reaches the caller; that of one that had lost already is told as an
// event. A nil e makes one attempt.
func Run[T any](ctx context.Context, e *Executor, c Call[T]) (T, error) {
	if e == nil {
		e = unprotected
	}
	if ctx.Err() != nil {
		var none T
		return none, ended(ctx)
	}
	p := e.plan.Load()
	got, err := run(ctx, e, p, &c)
	if err == nil || c.Fallback == nil || !e.fallsBack(ctx, p, err) {
		return got.value, err
	}
	got.drop()
	return c.Fallback(ctx, err)
}

// unprotected stands for no executor.
var unprotected = New("", Policy{})

func run[T any](ctx context.Context, e *Executor, p *plan, c *Call[T]) (got slot[T], err error) {
	got.discard = c.Discard
	if c.Hedge && p.Hedge != nil {
		r := &race[T]{executor: e, plan: p, caller: ctx, call: *c, got: &slot[T]{discard: c.Discard}}
		err = e.do(ctx, p, racing, r.run)
		return *r.got, err
	}
	err = e.do(ctx, p, numbering, func(ctx context.Context) error {
		got.drop()
		value, err := c.Do(ctx)
		got.take(value)
		return err
	})
	return got, err
}

// slot holds the value of the last attempt.
type slot[T any] struct {
	value   T
	full    bool
	discard func(T)
}

func (s *slot[T]) take(value T) { s.value, s.full = value, true }

// drop discards the value, if there is one.
func (s *slot[T]) drop() {
	if !s.full {
		return
	}
	value := s.value
	var none T
	s.value, s.full = none, false
	if s.discard != nil {
		s.discard(value)
	}
}

// fallsBack decides whether a call that failed with err gets its fallback, and tells so.
func (e *Executor) fallsBack(ctx context.Context, p *plan, err error) bool {
	switch e.watch.class(ctx, err) {
	case Success:
		return false
	case Neutral:
		if ctx.Err() != nil {
			return false
		}
	}
	if p.Fallback != nil && p.Fallback.On != nil && !slices.ContainsFunc(p.Fallback.On, func(r Reason) bool { return r.holds(err) }) {
		return false
	}
	e.watch.count(countFallbacks)
	told := Event{Kind: FellBack, Name: e.watch.name, Err: err}
	e.watch.feed.send(told)
	onSpan(ctx, spanFallback, told)
	return true
}

// holds tells whether err says that the call failed for this reason. There can be more than one: a
// call that failed and whose next attempt the breaker refused.
func (r Reason) holds(err error) bool {
	switch r {
	case ReasonOpen:
		return errors.Is(err, ErrOpen)
	case ReasonFull:
		return errors.Is(err, ErrFull)
	case ReasonLimited:
		return errors.Is(err, ErrLimited)
	case ReasonTimeout:
		return errors.Is(err, context.DeadlineExceeded)
	default:
		var retried *RetryError
		if errors.As(err, &retried) {
			err = retried.Err
		}
		return !refusal(err) && !errors.Is(err, context.DeadlineExceeded)
	}
}
