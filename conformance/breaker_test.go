package conformance

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/resilience"
	"github.com/sony/gobreaker/v2"
)

var errDown = errors.New("down")

// pair is one policy in both breakers' words.
type pair struct {
	ours   *resilience.Breaker
	theirs *gobreaker.CircuitBreaker[struct{}]
}

const openFor = 100 * time.Millisecond

func newPair(failures, probes int) pair {
	return pair{
		ours: resilience.NewBreaker("oracle", resilience.BreakerPolicy{
			ConsecutiveFailures: failures, OpenFor: openFor, Probes: probes,
		}),
		theirs: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
			Name: "oracle", MaxRequests: uint32(probes), Timeout: openFor,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(failures) },
		}),
	}
}

// call makes the same call through both, and gives whether each let it through.
func (p pair) call(err error) (ours, theirs bool) {
	_ = p.ours.Do(context.Background(), func(context.Context) error { ours = true; return err })
	_, _ = p.theirs.Execute(func() (struct{}, error) { theirs = true; return struct{}{}, err })
	return ours, theirs
}

func sameState(ours resilience.State, theirs gobreaker.State) bool {
	switch theirs {
	case gobreaker.StateClosed:
		return ours == resilience.Closed
	case gobreaker.StateHalfOpen:
		return ours == resilience.HalfOpen
	default:
		return ours == resilience.Open
	}
}

// TestBreakerAgreesWithGobreaker makes random calls one after the other, in fake time: for sequential use a breaker that
// counts consecutive failures has no freedom, so both must let the same calls through and be in the same state after
// each. (Concurrent use differs, and is meant to: see docs/adr/0006.)
func TestBreakerAgreesWithGobreaker(t *testing.T) {
	calls := 100_000
	if testing.Short() {
		calls = 20_000
	}
	for _, policy := range []struct{ failures, probes int }{{1, 1}, {3, 1}, {5, 3}} {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(policy.failures), uint64(policy.probes)))
			p := newPair(policy.failures, policy.probes)
			chance := 0.5
			for i := range calls / 3 {
				if i%500 == 0 {
					chance = random.Float64()
				}
				var err error
				if random.Float64() < chance {
					err = errDown
				}
				ours, theirs := p.call(err)
				if ours != theirs {
					t.Fatalf("policy %+v, call %d: ours let it through: %v, gobreaker: %v", policy, i, ours, theirs)
				}
				if !sameState(p.ours.State(), p.theirs.State()) {
					t.Fatalf("policy %+v, after call %d: ours is %v, gobreaker %v", policy, i, p.ours.State(), p.theirs.State())
				}
				time.Sleep(time.Duration(random.Int64N(int64(openFor/4))) + time.Nanosecond)
			}
		})
	}
}
