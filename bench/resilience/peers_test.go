package resilience_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/avast/retry-go/v5"
	"github.com/cenkalti/backoff/v5"
	eapache "github.com/eapache/go-resiliency/breaker"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"github.com/sony/gobreaker/v2"
)

var (
	background = context.Background()
	errDown    = errors.New("down")
)

func succeed(context.Context) error { return nil }
func plain() error                  { return nil }
func valued() (struct{}, error)     { return struct{}{}, nil }

//go:noinline
func direct(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

// candidate is one way to do the work of a group. It is made anew for each measurement.
type candidate struct {
	name string
	make func() func() error
}

// A group is work that all its candidates do: a call that succeeds, or one that is refused.
var groups = []struct {
	name       string
	refused    bool // the error that says so is not nil
	candidates []candidate
}{
	{name: "BreakerSuccess", candidates: []candidate{
		{"floor: the call alone", func() func() error { return func() error { return direct(background, succeed) } }},
		{"Seatrial", func() func() error {
			b := resilience.NewBreaker("bench", resilience.BreakerPolicy{})
			return func() error { return b.Do(background, succeed) }
		}},
		{"Seatrial, ratio in a time window", func() func() error {
			b := resilience.NewBreaker("bench", resilience.BreakerPolicy{FailureRatio: 0.5})
			return func() error { return b.Do(background, succeed) }
		}},
		{"Seatrial, ratio of the last 100 calls", func() func() error {
			b := resilience.NewBreaker("bench", resilience.BreakerPolicy{FailureRatio: 0.5, WindowCalls: 100})
			return func() error { return b.Do(background, succeed) }
		}},
		{"Seatrial, slow calls", func() func() error {
			b := resilience.NewBreaker("bench", resilience.BreakerPolicy{SlowRatio: 0.5})
			return func() error { return b.Do(background, succeed) }
		}},
		{"go-resiliency", func() func() error {
			b := eapache.New(5, 1, time.Second)
			return func() error { return b.Run(plain) }
		}},
		{"gobreaker", func() func() error {
			b := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{})
			return func() error { _, err := b.Execute(valued); return err }
		}},
		{"failsafe-go", func() func() error {
			e := failsafe.With[any](failsafeBreaker())
			return func() error { return e.Run(plain) }
		}},
	}},
	{name: "BreakerOpen", refused: true, candidates: []candidate{
		{"Seatrial", func() func() error {
			b := resilience.NewBreaker("bench", resilience.BreakerPolicy{ConsecutiveFailures: 1, OpenFor: time.Hour})
			_ = b.Do(background, func(context.Context) error { return errDown })
			return func() error { return b.Do(background, succeed) }
		}},
		{"go-resiliency", func() func() error {
			b := eapache.New(1, 1, time.Hour)
			_ = b.Run(func() error { return errDown })
			return func() error { return b.Run(plain) }
		}},
		{"gobreaker", func() func() error {
			b := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
				Timeout: time.Hour, ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures > 0 },
			})
			_, _ = b.Execute(func() (struct{}, error) { return struct{}{}, errDown })
			return func() error { _, err := b.Execute(valued); return err }
		}},
		{"failsafe-go", func() func() error {
			b := failsafeBreaker()
			b.Open()
			e := failsafe.With[any](b)
			return func() error { return e.Run(plain) }
		}},
	}},
	{name: "RetryNoFailure", candidates: []candidate{
		{"Seatrial", func() func() error {
			r := resilience.NewRetry("bench", resilience.RetryPolicy{})
			return func() error { return r.Do(background, succeed) }
		}},
		{"Seatrial, with a budget", func() func() error {
			r := resilience.NewRetry("bench", resilience.RetryPolicy{Budget: 0.1})
			return func() error { return r.Do(background, succeed) }
		}},
		{"retry-go", func() func() error {
			r := retry.New(retry.Attempts(3))
			return func() error { return r.Do(plain) }
		}},
		{"backoff", func() func() error {
			return func() error { _, err := backoff.Retry(background, valued, backoff.WithMaxTries(3)); return err }
		}},
		{"failsafe-go", func() func() error {
			e := failsafe.With[any](failsafeRetry())
			return func() error { return e.Run(plain) }
		}},
	}},
	{name: "WholeStack", candidates: []candidate{ // retry, breaker, bulkhead, timeout of the attempt
		{"Seatrial", func() func() error {
			e := resilience.New("bench", wholePolicy())
			return func() error { return e.Do(background, succeed) }
		}},
		{"failsafe-go", func() func() error {
			e := failsafe.With[any](failsafeRetry(), failsafeBreaker(), bulkhead.NewBuilder[any](100).Build(), timeout.New[any](time.Second))
			return func() error { return e.Run(plain) }
		}},
	}},
	{name: "PointOff", candidates: []candidate{
		{"floor: the call alone", func() func() error { return func() error { return direct(background, succeed) } }},
		{"Seatrial, Do", func() func() error {
			p := fault.NewPoint("bench", fault.Caps{})
			return func() error { return p.Do(background, succeed) }
		}},
		{"Seatrial, Inject", func() func() error {
			p := fault.NewPoint("bench", fault.Caps{})
			return func() error { return p.Inject(background) }
		}},
		{"Seatrial, Inject by name", func() func() error {
			return func() error { return fault.Inject(background, "bench") }
		}},
		{"the founding sketch: RWMutex", func() func() error {
			var s sketch
			return func() error { return s.call(plain) }
		}},
	}},
}

func failsafeBreaker() circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureThresholdRatio(50, 100).WithDelay(time.Hour).Build()
}

func failsafeRetry() retrypolicy.RetryPolicy[any] {
	return retrypolicy.NewBuilder[any]().WithMaxAttempts(3).WithBackoff(20*time.Millisecond, time.Second).Build()
}

func wholePolicy() resilience.Policy {
	return resilience.Policy{
		TryTimeout: time.Second,
		Retry:      &resilience.RetryPolicy{Budget: 0.1},
		Breaker:    &resilience.BreakerPolicy{FailureRatio: 0.5, WindowCalls: 100},
		Bulkhead:   &resilience.BulkheadPolicy{MaxConcurrent: 100},
	}
}

// sketch is how the founding document asks whether a fault is on.
type sketch struct {
	mu sync.RWMutex
	on bool
}

func (s *sketch) call(do func() error) error {
	if s.enabled() {
		return errDown
	}
	return do()
}

func (s *sketch) enabled() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.on
}

// TestSameWork makes sure that all candidates of a group do the same before anybody measures them.
func TestSameWork(t *testing.T) {
	for _, g := range groups {
		for _, c := range g.candidates {
			call := c.make()
			for range 3 {
				if err := call(); (err != nil) != g.refused {
					t.Errorf("%s, %s: %v", g.name, c.name, err)
				}
			}
		}
	}
}

func BenchmarkPeers(b *testing.B) {
	for _, g := range groups {
		b.Run(g.name, func(b *testing.B) {
			for _, c := range g.candidates {
				b.Run(c.name, func(b *testing.B) {
					call := c.make()
					b.ReportAllocs()
					for b.Loop() {
						_ = call()
					}
				})
			}
		})
	}
}

func BenchmarkPeersParallel(b *testing.B) {
	for _, g := range groups {
		b.Run(g.name, func(b *testing.B) {
			for _, c := range g.candidates {
				b.Run(c.name, func(b *testing.B) {
					call := c.make()
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							_ = call()
						}
					})
				})
			}
		})
	}
}
