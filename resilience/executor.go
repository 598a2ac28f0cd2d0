package resilience

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
)

// Executor makes calls to one dependency under a [Policy] that may change at any time. From the
// outside in, a call passes
//
//	fallback → timeout of the call → retry → hedge → breaker → rate limit → bulkhead → timeout of the attempt → the call
//
// where fallback and hedge are for [Run] only. The package's documentation tells why the order is
// this one. Timeouts work through the context: a call that ignores its context is not cut short.
//
// All methods are safe for concurrent use.
type Executor struct {
	watch    *watch
	plan     atomic.Pointer[plan]
	retry    *Retry
	breaker  *Breaker
	rate     rateLimit
	places   *bulkhead
	adaptive adaptive
	hedges   budget
	seen     latencies

	updating sync.Mutex
}

// plan is a normalized policy with what each call would otherwise have to make.
type plan struct {
	Policy
	timeout, tryTimeout *TimeoutError  // causes of the contexts' end
	queue               BulkheadPolicy // who may wait for a place
	bounded             bool           // places are counted
}

// New makes an Executor. The name is the dependency's; it appears in errors and events. Values of p
// that are out of range are drawn into it; [Policy.Validate] tells about them.
func New(name string, p Policy, opts ...Option) *Executor {
	w := newWatch(name, opts)
	w.counted = true
	e := &Executor{
		watch:   w,
		retry:   newRetry(w, RetryPolicy{}),
		breaker: newBreaker(w, BreakerPolicy{}),
		places:  newBulkhead(),
	}
	e.adaptive.places = e.places
	e.hedges.tokens.Store(reserve)
	e.plan.Store(&plan{})
	e.Update(p)
	return e
}

// Update changes the policy at once, keeping the breaker's state and counts, who is in the bulkhead,
// the tokens of the rate limit, the level of the budgets, and what was learned of latencies. Calls
// under way finish under the policy they started with; those who wait in the bulkhead profit from
// a larger one. A policy without a breaker closes it; one without an adaptive limit forgets what
// that had learned.
func (e *Executor) Update(p Policy) {
	p = p.normalized()
	e.updating.Lock()
	defer e.updating.Unlock()
	if reflect.DeepEqual(p, e.plan.Load().Policy) {
		return
	}
	if p.Retry != nil {
		e.retry.Update(*p.Retry)
	}
	if p.Breaker != nil {
		e.breaker.Update(*p.Breaker)
	}
	e.updateLimits(e.plan.Load(), p)
	next := &plan{
		Policy:     p,
		timeout:    &TimeoutError{Name: e.watch.name, Limit: p.Timeout},
		tryTimeout: &TimeoutError{Name: e.watch.name, Limit: p.TryTimeout, PerTry: true},
		bounded:    p.Bulkhead != nil || p.Adaptive != nil,
	}
	if p.Bulkhead != nil {
		next.queue = *p.Bulkhead
	}
	e.plan.Store(next)
	if p.Breaker == nil {
		e.breaker.retire()
	}
}

func (e *Executor) updateLimits(last *plan, p Policy) {
	at := now()
	if p.RateLimit != nil {
		e.rate.update(*p.RateLimit, at)
	}
	switch {
	case p.Adaptive != nil && last.Adaptive != nil:
		e.adaptive.update(*p.Adaptive, at)
	case p.Adaptive != nil:
		e.adaptive.start(*p.Adaptive, at)
	default:
		e.adaptive.stop()
		e.places.setLimit(placesOf(p.Bulkhead))
	}
}

// placesOf gives how many places there are; nil: as many as there are attempts.
func placesOf(p *BulkheadPolicy) int64 {
	if p == nil {
		return unlimited
	}
	return int64(p.MaxConcurrent)
}

// Policy gives the policy in force, with defaults filled in. It is the caller's to change.
func (e *Executor) Policy() Policy { return e.plan.Load().normalized() }

// State gives the breaker's state; Closed without a breaker.
func (e *Executor) State() State { return e.breaker.State() }

// Do makes the call under the policy, without fallback and hedge. The error is the call's own, or a
// refusal ([OpenError], [FullError], [LimitedError]), or a [TimeoutError] or [RetryError], which
// wrap it; see [Retry.Do]. With ctx done already, no call is made.
func (e *Executor) Do(ctx context.Context, call func(context.Context) error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return e.do(ctx, e.plan.Load(), plain, call)
}

// how tells the ways to make attempts.
type how uint8

const (
	plain     how = iota // as they are: the first one without a number
	numbering            // each with its number
	racing               // the call does the rest itself: it makes several at once
)

func (e *Executor) do(ctx context.Context, p *plan, way how, call func(context.Context) error) error {
	if p.Timeout == 0 {
		return e.repeat(ctx, ctx, p, way, call)
	}
	limited := bounded(ctx, 0, p.timeout)
	defer limited.end()
	err := e.repeat(ctx, limited, p, way, call)
	if err != nil && ctx.Err() == nil && limited.expired() && e.watch.class(ctx, err) != Success {
		e.watch.count(countTimeouts)
		return &TimeoutError{Name: e.watch.name, Limit: p.Timeout, Err: err}
	}
	return err
}

// repeat is [Retry.Do] without a function made for each call. The caller's context tells whose
// fault an error is, ctx bounds the attempts.
func (e *Executor) repeat(caller, ctx context.Context, p *plan, way how, call func(context.Context) error) error {
	if p.Retry != nil {
		e.retry.budget.earn(p.Retry.Budget)
	}
	var last error
	for attempt := 1; ; attempt++ {
		var err error
		if way == racing {
			err = call(ctx)
		} else {
			err = e.guard(&try{caller: caller, ctx: ctx, plan: p, number: attempt, numbered: way == numbering || attempt > 1}, call)
		}
		if err == nil || p.Retry == nil {
			return err
		}
		if again, final := e.retry.next(ctx, p.Retry, attempt, last, err); !again {
			return final
		}
		last = err
	}
}

// try is an attempt to be made.
type try struct {
	caller   context.Context // tells whose fault an error is
	ctx      context.Context // bounds it
	plan     *plan
	number   int
	numbered bool         // its context must tell the number
	lost     *atomic.Bool // whether a rival was faster; nil: it has none
	permit   permit       // of the breaker
}

// guard is [Breaker.Do] likewise.
func (e *Executor) guard(t *try, call func(context.Context) error) (err error) {
	if t.plan.Breaker == nil {
		err = e.enter(t, call)
		if class := e.class(t, err); class == Transient || class == Permanent {
			e.watch.count(countFailures)
		}
		return err
	}
	if t.permit, err = e.breaker.admit(t.ctx); err != nil {
		return err
	}
	class := Permanent // unless the call returns
	defer func() { e.breaker.settle(t.ctx, t.permit, class) }()
	err = e.enter(t, call)
	class = e.class(t, err)
	return err
}

// class judges an attempt. One that was given up because a rival was faster says nothing.
func (e *Executor) class(t *try, err error) Class {
	if err != nil && t.lost != nil && t.lost.Load() {
		return Neutral
	}
	return e.watch.class(t.caller, err)
}

// enter makes the attempt once the limits let it in.
func (e *Executor) enter(t *try, call func(context.Context) error) error {
	if t.plan.RateLimit != nil {
		if err := e.rate.take(t.ctx, e.watch.name); err != nil {
			e.watch.refused(countRefusedLimited, now(), err)
			return err
		}
	}
	if !t.plan.bounded {
		t.permit.restart(t.plan.RateLimit != nil)
		return e.once(t, call)
	}
	if err := e.places.take(t.ctx, e.watch.name, &t.plan.queue); err != nil {
		e.watch.refused(countRefusedFull, now(), err)
		return err
	}
	defer e.places.leave()
	t.permit.restart(true)
	if t.plan.Adaptive == nil {
		return e.once(t, call)
	}
	return e.measure(t, call)
}

// measure makes the attempt and tells the adaptive limit how long it took, or that it was refused.
func (e *Executor) measure(t *try, call func(context.Context) error) error {
	began := now()
	err := e.once(t, call)
	switch class := e.class(t, err); {
	case tells(class, err):
		e.adaptive.note(began, now(), class != Success)
	case class != Neutral && isOverload(err):
		e.adaptive.refuse(now())
	}
	return err
}

// tells reports whether the time that an attempt took shows how busy the dependency is: it answered,
// or had not yet when the attempt's time was over.
func tells(class Class, err error) bool {
	if class == Success {
		return true
	}
	limit, is := err.(*TimeoutError)
	return is && limit.PerTry && class != Neutral
}

// once makes the attempt, within its time.
func (e *Executor) once(t *try, call func(context.Context) error) error {
	if t.plan.TryTimeout == 0 {
		if !t.numbered {
			return call(t.ctx)
		}
		return call(&scope{Context: t.ctx, number: t.number})
	}
	limited := bounded(t.ctx, t.number, t.plan.tryTimeout)
	defer limited.end()
	err := call(limited)
	if err != nil && t.ctx.Err() == nil && limited.expired() && e.class(t, err) != Success { // a late answer is one
		e.watch.count(countTimeouts)
		return &TimeoutError{Name: e.watch.name, Limit: t.plan.TryTimeout, PerTry: true, Err: err}
	}
	return err
}
