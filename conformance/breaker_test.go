package conformance

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/seatrial/seatrial/resilience"
	"github.com/sony/gobreaker/v2"
)

var errDown = errors.New("down")

// The breakers compared look back over ten steps. Time passes in whole steps, so that it does not matter where a breaker's
// own steps begin, and never to the very moment at which the open time is over.
const (
	step    = 10 * time.Millisecond
	window  = 10 * step
	openFor = 5*step - step/2
)

// oracle is a breaker by somebody else with the policy of ours.
type oracle struct {
	name   string
	policy resilience.BreakerPolicy
	theirs func() (do func(error) (made bool), state func() string)
	// full says that the comparison holds once the window is full: both are given that many successes whenever they close.
	full int
	// eager says that theirs may open earlier: it looks at the ratio after every call, ours after those that failed, and
	// rounds it to whole percents.
	eager bool
}

func oracles() []oracle {
	var list []oracle
	for _, n := range []struct{ failures, probes int }{{1, 1}, {3, 1}, {5, 3}} {
		policy := resilience.BreakerPolicy{ConsecutiveFailures: n.failures, OpenFor: openFor, Probes: n.probes}
		list = append(list,
			oracle{name: "gobreaker, in a row", policy: policy, theirs: gobreakerWith(n.probes, 0, func(c gobreaker.Counts) bool {
				return int(c.ConsecutiveFailures) >= n.failures
			})},
			oracle{name: "failsafe-go, in a row", policy: policy, theirs: failsafeWith(n.probes, func(b circuitbreaker.Builder[any]) {
				b.WithFailureThreshold(uint(n.failures))
			})})
	}
	for _, n := range []struct {
		ratio  float64
		calls  int
		probes int
	}{{0.5, 10, 1}, {0.3, 20, 2}} {
		policy := resilience.BreakerPolicy{FailureRatio: n.ratio, Window: window, MinCalls: n.calls, OpenFor: openFor, Probes: n.probes}
		list = append(list,
			oracle{name: "gobreaker, ratio in a rolling window", policy: policy, theirs: gobreakerWith(n.probes, window, func(c gobreaker.Counts) bool {
				return int(c.Requests) >= n.calls && float64(c.TotalFailures) >= n.ratio*float64(c.Requests)
			})},
			oracle{name: "failsafe-go, ratio in a time window", policy: policy, eager: true, theirs: failsafeWith(n.probes, func(b circuitbreaker.Builder[any]) {
				b.WithFailureRateThreshold(n.ratio, uint(n.calls), window)
			})})
	}
	for _, n := range []struct{ failures, of, probes int }{{5, 10, 1}, {12, 40, 3}} {
		list = append(list, oracle{name: "failsafe-go, count window", full: n.of,
			policy: resilience.BreakerPolicy{
				FailureRatio: float64(n.failures) / float64(n.of), WindowCalls: n.of, MinCalls: n.of, OpenFor: openFor, Probes: n.probes,
			},
			theirs: failsafeWith(n.probes, func(b circuitbreaker.Builder[any]) {
				b.WithFailureThresholdRatio(uint(n.failures), uint(n.of))
			})})
	}
	return list
}

func gobreakerWith(probes int, window time.Duration, trip func(gobreaker.Counts) bool) func() (func(error) bool, func() string) {
	return func() (func(error) bool, func() string) {
		b := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
			MaxRequests: uint32(probes), Timeout: openFor, Interval: window, BucketPeriod: window / 10, ReadyToTrip: trip,
		})
		do := func(err error) (made bool) {
			_, _ = b.Execute(func() (struct{}, error) { made = true; return struct{}{}, err })
			return made
		}
		return do, func() string { return b.State().String() }
	}
}

func failsafeWith(probes int, configure func(circuitbreaker.Builder[any])) func() (func(error) bool, func() string) {
	return func() (func(error) bool, func() string) {
		builder := circuitbreaker.NewBuilder[any]()
		configure(builder)
		b := builder.WithDelay(openFor).WithSuccessThreshold(uint(probes)).Build()
		e := failsafe.With[any](b)
		do := func(err error) (made bool) {
			_ = e.Run(func() error { made = true; return err })
			return made
		}
		return do, func() string {
			if b.IsOpen() && b.RemainingDelay() == 0 { // it changes with the next call only, as ours does, but does not say so
				return "half-open"
			}
			return b.State().String()
		}
	}
}

// TestBreakerAgrees makes random calls one after the other, in fake time: for sequential use a breaker has no freedom, so
// both must let the same calls through and be in the same state after each. (Concurrent use differs, and is meant to: see
// TestBreakerSafety.)
func TestBreakerAgrees(t *testing.T) {
	calls := 100_000
	if testing.Short() {
		calls = 10_000
	}
	list := oracles()
	for i, o := range list {
		t.Run(o.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { o.compare(t, rand.New(rand.NewPCG(uint64(i), 1)), calls) })
		})
	}
}

func (o *oracle) compare(t *testing.T, random *rand.Rand, calls int) {
	ours := resilience.NewBreaker("oracle", o.policy)
	theirs, state := o.theirs()
	call := func(i int, err error) (opened bool) {
		was, made := ours.State(), false
		_ = ours.Do(context.Background(), func(context.Context) error { made = true; return err })
		if also := theirs(err); made != also {
			t.Fatalf("call %d (%v): ours made it: %v, theirs: %v", i, err, made, also)
		}
		if o.eager && ours.State() == resilience.Closed && state() == "open" {
			return true
		}
		if ours.State().String() != state() {
			t.Fatalf("after call %d (%v): ours is %v, theirs %s", i, err, ours.State(), state())
		}
		if was != resilience.Closed && ours.State() == resilience.Closed {
			for range o.full {
				_ = ours.Do(context.Background(), func(context.Context) error { return nil })
				theirs(nil)
			}
		}
		return false
	}
	for i := range o.full {
		call(i, nil)
	}
	chance, changes, early, before := 0.5, 0, 0, ours.State()
	for i := range calls {
		if i%500 == 0 {
			chance = random.Float64()
		}
		var err error
		if random.Float64() < chance {
			err = errDown
		}
		if call(i, err) { // theirs opened early: start both anew
			early++
			ours.Reset()
			theirs, state = o.theirs()
		}
		if ours.State() != before {
			before, changes = ours.State(), changes+1
		}
		if random.IntN(4) == 0 {
			time.Sleep(time.Duration(random.IntN(7)) * step)
		}
	}
	if changes < calls/100 || early > calls/100 {
		t.Errorf("%d changes of state in %d calls, %d times theirs was early: this compares too little", changes, calls, early)
	}
}
