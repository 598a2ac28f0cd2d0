package resilience

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Retry repeats calls that fail for a passing reason. All methods are safe for concurrent use.
type Retry struct {
	watch  *watch
	policy atomic.Pointer[RetryPolicy]
	budget budget
}

// NewRetry makes a Retry. The name appears in errors and events. Values of p that are out of range
// are drawn into it.
func NewRetry(name string, p RetryPolicy, opts ...Option) *Retry {
	return newRetry(newWatch(name, opts), p)
}

func newRetry(w *watch, p RetryPolicy) *Retry {
	r := &Retry{watch: w}
	r.budget.tokens.Store(reserve)
	r.Update(p)
	return r
}

// Update changes the policy at once; the budget keeps its level. Calls under way keep theirs.
func (r *Retry) Update(p RetryPolicy) {
	p = p.normalized()
	r.policy.Store(&p)
}

// Do makes the call, and makes it again while it fails with an error that is [Transient] and the
// policy allows. Between attempts it waits; it never waits for less than the error's RetryAfter()
// asks (a method with that name, returning a duration), nor starts to wait for longer than ctx has
// left, or for a dependency that asks for more than [MaxBackoff]. No attempt starts once ctx is done.
//
// Do gives the error of the call as it is if only one attempt was made, unless the budget stopped
// it, and if the last attempt got a proper answer ([Answer]); otherwise a [RetryError]; with ctx
// done before the first attempt, the reason for that.
func (r *Retry) Do(ctx context.Context, call func(context.Context) error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	p := r.policy.Load()
	r.budget.earn(p.Budget)
	var last error
	for attempt := 1; ; attempt++ {
		err := call(numbered(ctx, attempt))
		if err == nil {
			return nil
		}
		if again, final := r.next(ctx, p, attempt, last, err); !again {
			return final
		}
		last = err
	}
}

// numbered gives the context of an attempt, the caller's own for the first one.
func numbered(ctx context.Context, attempt int) context.Context {
	if attempt == 1 {
		return ctx
	}
	return &scope{Context: ctx, number: attempt}
}

// Why no further attempt is made, apart from the end of the context and an open breaker.
var (
	errBudget   = errors.New("the retry budget is spent")
	errDeadline = errors.New("the deadline is nearer than the next attempt")
	errPatience = fmt.Errorf("the dependency asks for a wait of more than %s", MaxBackoff)
)

// next decides after a failed attempt: either it waits and says "again", or it gives the error for
// the caller. The error of the attempt before is last.
func (r *Retry) next(ctx context.Context, p *RetryPolicy, attempt int, last, err error) (again bool, final error) {
	class := r.watch.class(ctx, err)
	if class != Transient || attempt >= p.MaxAttempts || repeats(ctx) {
		return false, r.giveUp(ctx, attempt, class, last, err)
	}
	delay, stopped := p.wait(ctx, attempt, err)
	if stopped != nil && attempt == 1 {
		return false, err
	}
	if stopped == nil && !r.budget.spend(p.Budget) {
		stopped = errBudget
		r.watch.refused(countRetriesRefused, now(), errBudget)
	}
	if stopped != nil {
		return false, &RetryError{Name: r.watch.name, Attempts: attempt, Stopped: stopped, Err: err}
	}
	r.tell(ctx, Event{Kind: Retrying, Name: r.watch.name, Attempt: attempt, Delay: delay, Err: err})
	if !sleep(ctx, delay) {
		return false, &RetryError{Name: r.watch.name, Attempts: attempt, Stopped: ended(ctx), Err: err}
	}
	return true, nil
}

func (r *Retry) tell(ctx context.Context, e Event) {
	r.watch.count(countRetries)
	r.watch.feed.send(e)
	onSpan(ctx, spanRetry, e)
}

// giveUp gives the error for the caller when the outcome itself says that there is no next attempt.
func (r *Retry) giveUp(ctx context.Context, attempt int, class Class, last, err error) error {
	failed := &RetryError{Name: r.watch.name, Attempts: attempt, Err: err}
	switch {
	case attempt == 1 || class == Success:
		return err
	case class == Neutral && refusal(err): // this attempt was refused, not made
		failed.Attempts, failed.Stopped, failed.Err = attempt-1, err, last
	case ctx.Err() != nil:
		failed.Stopped = ended(ctx)
	}
	return failed
}

// wait draws the wait after the n-th attempt: "full jitter" (M. Brooker, Exponential Backoff And
// Jitter, 2015), on top of what the dependency asked for, if it asked. Or it tells why there is no
// use in waiting.
func (p *RetryPolicy) wait(ctx context.Context, n int, err error) (time.Duration, error) {
	delay := time.Duration(rand.Int64N(int64(p.ceiling(n)) + 1))
	var asked interface{ RetryAfter() time.Duration }
	if errors.As(err, &asked) {
		after := asked.RetryAfter()
		if after > MaxBackoff {
			return 0, errPatience
		}
		delay += max(0, after)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
		return 0, errDeadline
	}
	return delay, nil
}

// ceiling is min(MaxDelay, BaseDelay·2^(n-1)), for any n.
func (p *RetryPolicy) ceiling(n int) time.Duration {
	if shift := uint(n - 1); shift < 63 && p.BaseDelay <= p.MaxDelay>>shift {
		return p.BaseDelay << shift
	}
	return p.MaxDelay
}

// sleep waits for d; it gives false, at once, when ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// ended tells why ctx is done: its Err and, where somebody gave one, its cause.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// budget is a token bucket: each call earns a fraction of a token, each retry costs one. It starts
// full, with a reserve that lets rare calls be retried at all.
type budget struct {
	tokens atomic.Int64 // millionths
}

const (
	token   = 1_000_000
	reserve = 10 * token
)

func (b *budget) earn(ratio float64) {
	if ratio == 0 {
		return
	}
	share := int64(ratio * token)
	for {
		have := b.tokens.Load()
		if have == reserve || b.tokens.CompareAndSwap(have, min(have+share, reserve)) {
			return
		}
	}
}

// level tells how full it is, 0 to 1.
func (b *budget) level() float64 { return float64(b.tokens.Load()) / reserve }

func (b *budget) spend(ratio float64) bool {
	if ratio == 0 {
		return true
	}
	for {
		have := b.tokens.Load()
		if have < token {
			return false
		}
		if b.tokens.CompareAndSwap(have, have-token) {
			return true
		}
	}
}
