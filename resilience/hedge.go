package resilience

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// errLost is why the context of an attempt ends when a rival was faster.
var errLost = errors.New("resilience: another attempt was faster")

// race makes the attempts of one call where each may have rivals. Only the caller's goroutine uses
// it, except where noted.
type race[T any] struct {
	executor *Executor
	plan     *plan
	caller   context.Context
	call     Call[T]
	number   int      // of the attempt that was begun last
	got      *slot[T] // the value for the caller
}

// run makes one attempt, with rivals if it is slow.
func (r *race[T]) run(ctx context.Context) error {
	e := r.executor
	e.hedges.earn(r.plan.Hedge.Budget)
	delay := e.hedgeDelay(r.plan.Hedge)
	if delay == 0 || tooLate(ctx, delay) || repeats(ctx) {
		return r.alone(ctx)
	}
	return r.rivals(ctx, delay)
}

// hedgeDelay gives how long an attempt may take before a rival starts; 0 for not known yet.
func (e *Executor) hedgeDelay(p *HedgePolicy) time.Duration {
	if p.Delay > 0 {
		return p.Delay
	}
	return time.Duration(e.seen.delay.Load())
}

// tooLate tells whether the deadline is nearer than the delay.
func tooLate(ctx context.Context, delay time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) <= delay
}

// alone makes an attempt on the caller's goroutine.
func (r *race[T]) alone(ctx context.Context) error {
	began := now()
	r.number++
	err := r.executor.guard(&try{caller: r.caller, ctx: ctx, plan: r.plan, number: r.number, numbered: true}, func(ctx context.Context) error {
		r.got.drop()
		value, err := r.call.Do(ctx)
		r.got.take(value)
		return err
	})
	r.executor.learn(r.plan.Hedge, began, err)
	return err
}

// learn takes in how long a first attempt took: one that succeeded, or was given up because it took so
// long. One that failed by itself tells nothing.
func (e *Executor) learn(p *HedgePolicy, began int64, err error) {
	if p.Quantile == 0 || err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return
	}
	at := now()
	e.seen.add(at-began, at, p.Quantile)
}

// heat is one attempt and its rivals: several goroutines use it.
type heat[T any] struct {
	race    *race[T]
	first   int // number of the first attempt
	running int // the caller's goroutine only
	cancel  context.CancelCauseFunc
	lost    atomic.Bool // the others have lost
	made    atomic.Bool // the limits have let one of them in
	clear   sync.Once   // discards the value of an earlier attempt before the first one here is made
	done    chan finish[T]

	mu      sync.Mutex
	decided bool // nobody looks at done any more
}

// finish is how an attempt ended.
type finish[T any] struct {
	number   int
	got      slot[T]
	err      error
	class    Class
	returned bool
	panicked any // not returned: what it panicked with; nil: it ended its goroutine
}

// rivals makes an attempt on a goroutine of its own and starts rivals while it is slow.
func (r *race[T]) rivals(caller context.Context, delay time.Duration) error {
	ctx, cancel := context.WithCancelCause(caller)
	h := &heat[T]{race: r, first: r.number + 1, cancel: cancel, done: make(chan finish[T], r.plan.Hedge.Max+1)}
	defer h.decide()
	h.start(ctx)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	var best finish[T]
	for {
		select {
		case f := <-h.done:
			h.running--
			best = h.better(best, f)
			if h.running == 0 || best.final() {
				return h.give(best)
			}
		case <-timer.C:
			if h.mayStart(ctx, delay) {
				h.start(ctx)
				r.executor.tellHedge(caller, r.number, delay)
			}
			if r.number-h.first < r.plan.Hedge.Max {
				timer.Reset(delay)
			}
		}
	}
}

// mayStart tells whether a rival may start now. An attempt that still waits for a place or for its turn
// gets none: that is not the dependency's slowness.
func (h *heat[T]) mayStart(ctx context.Context, delay time.Duration) bool {
	return h.made.Load() && ctx.Err() == nil && !tooLate(ctx, delay) && h.race.executor.mayHedge(h.race.plan)
}

func (e *Executor) mayHedge(p *plan) bool {
	return (p.Breaker == nil || e.breaker.phase.Load().state == Closed) && e.hedges.spend(p.Hedge.Budget)
}

func (e *Executor) tellHedge(ctx context.Context, number int, delay time.Duration) {
	told := Event{Kind: Hedging, Name: e.watch.name, Attempt: number, Delay: delay}
	e.watch.count(countHedges)
	e.watch.feed.send(told)
	onSpan(ctx, spanHedge, told)
}

// start begins an attempt.
func (h *heat[T]) start(ctx context.Context) {
	h.running++
	h.race.number++
	go h.compete(ctx, h.race.number)
}

// compete is an attempt, on its own goroutine.
func (h *heat[T]) compete(ctx context.Context, number int) {
	r := h.race
	f := finish[T]{number: number, got: slot[T]{discard: r.call.Discard}}
	defer func() {
		if !f.returned {
			f.panicked = recover()
		}
		h.report(f)
	}()
	began := now()
	t := &try{caller: r.caller, ctx: ctx, plan: r.plan, number: number, numbered: true, lost: &h.lost}
	f.err = r.executor.guard(t, func(ctx context.Context) error {
		h.made.Store(true)
		h.clear.Do(r.got.drop)
		value, err := r.call.Do(ctx)
		f.got.take(value)
		return err
	})
	f.class, f.returned = r.executor.class(t, f.err), true
	if number == h.first {
		learned := f.err
		if h.lost.Load() {
			learned = nil // it took at least so long
		}
		r.executor.learn(r.plan.Hedge, began, learned)
	}
}

// report hands the finish to the caller, or discards it if the race is decided.
func (h *heat[T]) report(f finish[T]) {
	h.mu.Lock()
	late := h.decided
	if !late {
		h.done <- f // has room for all
	}
	h.mu.Unlock()
	if !late {
		return
	}
	f.got.drop()
	if f.panicked != nil {
		w := h.race.executor.watch
		w.feed.send(Event{Kind: Panicked, Name: w.name, Err: fmt.Errorf("panic: %v", f.panicked)})
	}
}

// decide ends the race: those who still run have lost.
func (h *heat[T]) decide() {
	h.mu.Lock()
	h.decided = true
	h.lost.Store(true)
	h.mu.Unlock()
	h.cancel(errLost)
	for {
		select {
		case f := <-h.done:
			f.got.drop()
		default:
			return
		}
	}
}

// better gives the finish that is more worth telling the caller, and discards the other one.
func (h *heat[T]) better(best, f finish[T]) finish[T] {
	if best.number == 0 {
		return f
	}
	if f.final() || refusal(best.err) {
		best, f = f, best
	}
	f.got.drop()
	return best
}

// final tells whether no rival could do better: it succeeded, failed for good, or did not return.
func (f *finish[T]) final() bool {
	return f.number > 0 && (!f.returned || f.class == Success || f.class == Permanent)
}

// give passes on how the race ended.
func (h *heat[T]) give(f finish[T]) error {
	h.decide()
	h.clear.Do(func() {}) // nobody clears what is given now
	switch {
	case f.panicked != nil:
		panic(f.panicked)
	case !f.returned:
		runtime.Goexit()
	}
	if f.got.full {
		h.race.got.take(f.got.value)
	}
	return f.err
}
