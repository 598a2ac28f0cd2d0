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
	{"executor whole stack", 4, func() func() { // the allocations are context.WithTimeoutCause's
		e := New("stock", Policy{TryTimeout: time.Second, Retry: &RetryPolicy{Budget: 0.1}, Breaker: &BreakerPolicy{FailureRatio: 0.5}})
		return func() { _ = e.Do(ctxBG, succeed) }
	}},
}

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
