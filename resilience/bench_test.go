package resilience

import (
	"context"
	"testing"
	"time"
)

// guarded are the paths whose cost is promised; those with no limit of allocations are 0.
var guarded = []struct {
	name   string
	allocs float64 // at most
	make   func() func()
}{
	{"breaker success", 0, func() func() {
		b := NewBreaker("stock", BreakerPolicy{})
		return func() { _ = b.Do(ctxBG, succeed) }
	}},
	{"breaker success with failure window", 0, func() func() {
		b := NewBreaker("stock", BreakerPolicy{FailureRatio: 0.5})
		return func() { _ = b.Do(ctxBG, succeed) }
	}},
	{"breaker success with last calls", 0, func() func() {
		b := NewBreaker("stock", BreakerPolicy{FailureRatio: 0.5, WindowCalls: 100})
		return func() { _ = b.Do(ctxBG, succeed) }
	}},
	{"breaker success with slow calls", 0, func() func() {
		b := NewBreaker("stock", BreakerPolicy{SlowRatio: 0.5})
		return func() { _ = b.Do(ctxBG, succeed) }
	}},
	{"breaker open", 0, func() func() {
		b := NewBreaker("stock", BreakerPolicy{ConsecutiveFailures: 1, OpenFor: time.Hour})
		_ = b.Do(ctxBG, fail)
		return func() { _ = b.Do(ctxBG, succeed) }
	}},
	{"retry without failure", 0, func() func() {
		r := NewRetry("stock", RetryPolicy{})
		return func() { _ = r.Do(ctxBG, succeed) }
	}},
	{"retry without failure with budget", 0, func() func() {
		r := NewRetry("stock", RetryPolicy{Budget: 0.1})
		return func() { _ = r.Do(ctxBG, succeed) }
	}},
	{"executor without policy", 0, func() func() {
		e := New("stock", Policy{})
		return func() { _ = e.Do(ctxBG, succeed) }
	}},
	{"executor retry and breaker", 0, func() func() {
		e := New("stock", Policy{Retry: &RetryPolicy{Budget: 0.1}, Breaker: &BreakerPolicy{}})
		return func() { _ = e.Do(ctxBG, succeed) }
	}},
	{"executor with a call that knows things", 0, func() func() {
		e, n := New("stock", Policy{Retry: &RetryPolicy{}, Breaker: &BreakerPolicy{}, Bulkhead: &BulkheadPolicy{}}), 0
		return func() { _ = e.Do(ctxBG, func(context.Context) error { n++; return nil }) }
	}},
	{"executor rate limit", 0, func() func() {
		e := New("stock", Policy{RateLimit: &RateLimitPolicy{PerSecond: MaxRate, Burst: MaxRate}})
		return func() { _ = e.Do(ctxBG, succeed) }
	}},
	{"executor bulkhead", 0, func() func() {
		e := New("stock", Policy{Bulkhead: &BulkheadPolicy{}})
		return func() { _ = e.Do(ctxBG, succeed) }
	}},
	{"executor adaptive limit", 0, func() func() {
		e := New("stock", Policy{Adaptive: &AdaptivePolicy{}})
		return func() { _ = e.Do(ctxBG, succeed) }
	}},
	{"executor whole stack", 1, func() func() { // the attempt's context
		e := New("stock", wholeStack)
		return func() { _ = e.Do(ctxBG, succeed) }
	}},
	{"executor whole stack and timeout of the call", 2, func() func() {
		p := wholeStack
		p.Timeout = time.Minute
		e := New("stock", p)
		return func() { _ = e.Do(ctxBG, succeed) }
	}},
	{"executor whole stack, awaited", 6, func() func() { // somebody asks for the channel: context.WithDeadlineCause
		e := New("stock", wholeStack)
		return func() { _ = e.Do(ctxBG, func(ctx context.Context) error { _ = ctx.Done(); return nil }) }
	}},
	{"run whole stack", 1, func() func() {
		e := New("stock", wholeStack)
		return func() { _, _ = Run(ctxBG, e, Call[int]{Do: give}) }
	}},
	{"run with a hedge that is not due", 12, func() func() {
		e := New("stock", Policy{Hedge: &HedgePolicy{Delay: time.Minute}})
		return func() { _, _ = Run(ctxBG, e, Call[int]{Do: give, Hedge: true}) }
	}},
}

// wholeStack is what the figure of the project's goals is for.
var wholeStack = Policy{
	TryTimeout: time.Second, Retry: &RetryPolicy{Budget: 0.1}, Breaker: &BreakerPolicy{FailureRatio: 0.5}, Bulkhead: &BulkheadPolicy{},
}

func give(context.Context) (int, error) { return 1, nil }

func TestNoAlloc(t *testing.T) {
	for _, g := range guarded {
		t.Run(g.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(1000, g.make()); got > g.allocs {
				t.Errorf("%v allocations per call, at most %v are promised", got, g.allocs)
			}
		})
	}
}

func BenchmarkDo(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		call := func() { _ = direct(ctxBG, succeed) }
		b.ReportAllocs()
		for b.Loop() {
			call()
		}
	})
	for _, g := range guarded {
		b.Run(g.name, func(b *testing.B) {
			call := g.make()
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}

//go:noinline
func direct(ctx context.Context, call func(context.Context) error) error { return call(ctx) }
