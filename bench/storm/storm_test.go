package storm

import (
	"context"
	"flag"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/seatrial/seatrial/resilience"
)

var update = flag.Bool("update", false, "draw docs/retry-storm.svg anew")

type attempt = func(context.Context) error

// policies make a call in up to four attempts, but for the first. Each is made in the bubble in which it is used.
var policies = []struct {
	name string
	make func() func(context.Context, attempt) error
}{
	{"one attempt", func() func(context.Context, attempt) error {
		return func(ctx context.Context, call attempt) error { return call(ctx) }
	}},
	{"the first sketch", func() func(context.Context, attempt) error { return sketch }},
	{"backoff", func() func(context.Context, attempt) error {
		return func(ctx context.Context, call attempt) error {
			_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, call(ctx) },
				backoff.WithMaxTries(4), backoff.WithBackOff(&backoff.ExponentialBackOff{
					InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: time.Second,
				}))
			return err
		}
	}},
	{"failsafe-go", func() func(context.Context, attempt) error {
		retry := retrypolicy.NewBuilder[any]().WithMaxAttempts(4).WithBackoff(100*time.Millisecond, time.Second).WithJitterFactor(0.5).
			AbortOnErrors(circuitbreaker.ErrOpen).Build()
		breaker := circuitbreaker.NewBuilder[any]().WithFailureRateThreshold(0.5, 20, 2*time.Second).WithDelay(time.Second).WithSuccessThreshold(5).Build()
		e := failsafe.With[any](retry, breaker)
		return func(ctx context.Context, call attempt) error {
			return e.WithContext(ctx).Run(func() error { return call(ctx) })
		}
	}},
	{"Seatrial, budget 10 %", func() func(context.Context, attempt) error {
		return resilience.New("service", resilience.Policy{Retry: &resilience.RetryPolicy{
			MaxAttempts: 4, BaseDelay: 100 * time.Millisecond, Budget: 0.1,
		}}).Do
	}},
	{"Seatrial, and breaker", func() func(context.Context, attempt) error {
		return resilience.New("service", resilience.Policy{
			Retry:   &resilience.RetryPolicy{MaxAttempts: 4, BaseDelay: 100 * time.Millisecond, Budget: 0.1},
			Breaker: &resilience.BreakerPolicy{FailureRatio: 0.5, Window: 2 * time.Second, OpenFor: time.Second, Probes: 5},
		}).Do
	}},
}

// sketch waits 100, 200 and 400 ms, for everybody alike, as the founding document does.
func sketch(ctx context.Context, call attempt) error {
	for i := 0; ; i++ {
		err := call(ctx)
		if err == nil || i == 3 {
			return err
		}
		time.Sleep(100 * time.Millisecond << i)
	}
}

// TestStorm plays the outage under every policy. With a budget the load stays within 1.1 times the calls and a burst, and
// the service is back when it is back.
func TestStorm(t *testing.T) {
	var curves []Curve
	for _, p := range policies {
		synctest.Test(t, func(*testing.T) { curves = append(curves, Play(p.name, p.make())) })
		c := &curves[len(curves)-1]
		after, recovered := c.Recovery()
		t.Logf("%-24s load while down: %.2f times the calls, at most %.2f; recovered %v after %v", c.Name, c.Amplified(), c.Peak(), recovered, after)
	}
	budget, breaker := &curves[4], &curves[5]
	const burst = 10. / arrivals / 5 // the reserve of the budget, over the five seconds
	if a := budget.Amplified(); a > 1.1+burst {
		t.Errorf("with a budget of 10 %% the load is %.3f times the calls", a)
	}
	for _, c := range []*Curve{budget, breaker} {
		if after, ok := c.Recovery(); !ok || after > 2*time.Second {
			t.Errorf("%s: recovered: %v, after %v", c.Name, ok, after)
		}
	}
	if _, ok := curves[1].Recovery(); ok {
		t.Error("the first sketch recovers: this world shows no storm")
	}
	if *update {
		if err := os.WriteFile("../../docs/retry-storm.svg", []byte(Plot(curves)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
