package resilience

import (
	"context"
	"sync"
	"sync/atomic"
)

// Executor makes calls to one dependency under a [Policy] that may change at any time. From the
// outside in, a call passes
//
//	timeout of the call → retry → breaker → timeout of the attempt → the call
//
// so that each attempt asks the breaker, the breaker learns of each attempt, and a wait between
// attempts counts against the call's timeout only. Timeouts work through the context: a call that
// ignores its context is not cut short.
//
// All methods are safe for concurrent use.
type Executor struct {
	name    string
	options options
	plan    atomic.Pointer[plan]
	retry   *Retry
	breaker *Breaker

	updating sync.Mutex
}

// plan is a normalized policy with what each call would otherwise have to make.
type plan struct {
	Policy
	timeout, tryTimeout *TimeoutError // causes of the contexts' end
}

// New makes an Executor. The name is the dependency's; it appears in errors and events. Values of p
// that are out of range are drawn into it; [Policy.Validate] tells about them.
func New(name string, p Policy, opts ...Option) *Executor {
	e := &Executor{
		name:    name,
		options: collect(opts),
		retry:   NewRetry(name, RetryPolicy{}),
		breaker: NewBreaker(name, BreakerPolicy{}),
	}
	e.retry.options, e.breaker.options = e.options, e.options
	e.Update(p)
	return e
}

// Update changes the policy at once, keeping the breaker's state and counts and the level of the
// retry budget. Calls under way finish under the policy they started with. A policy without a
// breaker closes it.
func (e *Executor) Update(p Policy) {
	p = p.normalized()
	e.updating.Lock()
	defer e.updating.Unlock()
	if p.Retry != nil {
		e.retry.Update(*p.Retry)
	}
	if p.Breaker != nil {
		e.breaker.Update(*p.Breaker)
	}
	e.plan.Store(&plan{
		Policy:     p,
		timeout:    &TimeoutError{Name: e.name, Limit: p.Timeout},
		tryTimeout: &TimeoutError{Name: e.name, Limit: p.TryTimeout, PerTry: true},
	})
	if p.Breaker == nil {
		e.breaker.Reset()
	}
}

// Policy gives the policy in force, with defaults filled in. It is the caller's to change.
func (e *Executor) Policy() Policy { return e.plan.Load().normalized() }

// State gives the breaker's state; Closed without a breaker.
func (e *Executor) State() State { return e.breaker.State() }

// Do makes the call under the policy. The error is the call's own, or one of [OpenError],
// [TimeoutError] and [RetryError], of which the latter two wrap it; see [Retry.Do]. With ctx done
// already, no call is made.
func (e *Executor) Do(ctx context.Context, call func(context.Context) error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	p := e.plan.Load()
	if p.Timeout == 0 {
		return e.repeat(ctx, ctx, p, call)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, p.Timeout, p.timeout)
	defer cancel()
	err := e.repeat(ctx, bounded, p, call)
	if err != nil && ctx.Err() == nil && context.Cause(bounded) == error(p.timeout) {
		return &TimeoutError{Name: e.name, Limit: p.Timeout, Err: err}
	}
	return err
}

// repeat is [Retry.Do] without a function made for each call. The caller's context tells whose
// fault an error is, ctx bounds the attempts.
func (e *Executor) repeat(caller, ctx context.Context, p *plan, call func(context.Context) error) error {
	if p.Retry != nil {
		e.retry.budget.earn(p.Retry.Budget)
	}
	var last error
	for attempt := 1; ; attempt++ {
		err := e.guard(caller, ctx, p, call)
		if err == nil || p.Retry == nil {
			return err
		}
		if again, final := e.retry.next(ctx, p.Retry, attempt, last, err); !again {
			return final
		}
		last = err
	}
}

// guard is [Breaker.Do] likewise.
func (e *Executor) guard(caller, ctx context.Context, p *plan, call func(context.Context) error) (err error) {
	if p.Breaker == nil {
		return e.once(ctx, p, call)
	}
	permit, err := e.breaker.admit()
	if err != nil {
		return err
	}
	class := Permanent // unless the call returns
	defer func() { e.breaker.settle(permit, class) }()
	err = e.once(ctx, p, call)
	class = e.options.class(caller, err)
	return err
}

func (e *Executor) once(ctx context.Context, p *plan, call func(context.Context) error) error {
	if p.TryTimeout == 0 {
		return call(ctx)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, p.TryTimeout, p.tryTimeout)
	defer cancel()
	err := call(bounded)
	if err != nil && ctx.Err() == nil && context.Cause(bounded) == error(p.tryTimeout) {
		return &TimeoutError{Name: e.name, Limit: p.TryTimeout, PerTry: true, Err: err}
	}
	return err
}
