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
	name    string
	options options
	policy  atomic.Pointer[RetryPolicy]
	budget  budget
}

// NewRetry makes a Retry. The name appears in errors and events. Values of p that are out of range
// are drawn into it.
func NewRetry(name string, p RetryPolicy, opts ...Option) *Retry {
	r := &Retry{name: name, options: collect(opts)}
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
// left. No attempt starts once ctx is done.
//
// If only one attempt was made Do gives its error as it is, otherwise a [RetryError]; with ctx done
// before the first attempt, the reason for that.
func (r *Retry) Do(ctx context.Context, call func(context.Context) error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	p := r.policy.Load()
	r.budget.earn(p.Budget)
	for attempt := 1; ; attempt++ {
		err := call(ctx)
		if err == nil {
			return nil
		}
		if again, err := r.next(ctx, p, attempt, err); !again {
			return err
		}
	}
}

// next decides after a failed attempt: either it waits and says "again", or it gives the error for
// the caller.
func (r *Retry) next(ctx context.Context, p *RetryPolicy, attempt int, err error) (again bool, final error) {
	if r.options.class(ctx, err) != Transient || attempt >= p.MaxAttempts {
		return false, r.giveUp(attempt, nil, err)
	}
	delay := p.delay(attempt, err)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
		return false, r.giveUp(attempt, nil, err)
	}
	if !r.budget.spend(p.Budget) {
		return false, r.giveUp(attempt, errBudget, err)
	}
	r.options.feed.send(Event{Kind: Retrying, Name: r.name, Attempt: attempt, Delay: delay, Err: err})
	if !sleep(ctx, delay) {
		return false, &RetryError{Name: r.name, Attempts: attempt, Stopped: ended(ctx), Err: err}
	}
	return true, nil
}

var errBudget = errors.New("the retry budget is spent")

func (r *Retry) giveUp(attempts int, stopped, err error) error {
	if attempts == 1 && stopped == nil {
		return err
	}
	return &RetryError{Name: r.name, Attempts: attempts, Stopped: stopped, Err: err}
}

// delay draws the wait after the n-th attempt: "full jitter" (M. Brooker, Exponential Backoff And
// Jitter, 2015), and on top of what the dependency asked for, if it asked.
func (p *RetryPolicy) delay(n int, err error) time.Duration {
	delay := time.Duration(rand.Int64N(int64(p.ceiling(n)) + 1))
	var asked interface{ RetryAfter() time.Duration }
	if errors.As(err, &asked) {
		delay += max(0, asked.RetryAfter())
	}
	return delay
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
