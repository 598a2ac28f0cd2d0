package conformance

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/resilience"
	"golang.org/x/time/rate"
)

// TestRateLimitAgrees makes random calls in fake time under our rate limit and under that of golang.org/x/time/rate: both
// must let the same calls through. Rates are such that both can count them without rounding.
func TestRateLimitAgrees(t *testing.T) {
	calls := 100_000
	if testing.Short() {
		calls = 10_000
	}
	for _, limit := range []struct{ perSecond, burst int }{{100, 1}, {100, 20}, {1000, 50}, {1, 3}} {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(limit.perSecond), uint64(limit.burst)))
			ours := resilience.New("oracle", resilience.Policy{RateLimit: &resilience.RateLimitPolicy{PerSecond: limit.perSecond, Burst: limit.burst}})
			theirs := rate.NewLimiter(rate.Limit(limit.perSecond), limit.burst)
			made := 0
			for i := range calls {
				let := false
				_ = ours.Do(context.Background(), func(context.Context) error { let = true; return nil })
				if let != theirs.Allow() {
					t.Fatalf("%+v, call %d: ours let it through: %v, x/time/rate does not agree", limit, i, let)
				}
				if let {
					made++
				}
				time.Sleep(time.Duration(random.IntN(3)) * time.Second / time.Duration(limit.perSecond) / 2)
				if random.IntN(1000) == 0 {
					time.Sleep(time.Duration(random.IntN(2*limit.burst)) * time.Second / time.Duration(limit.perSecond))
				}
			}
			if made < calls/4 || made > calls*3/4 {
				t.Errorf("%+v: %d of %d calls were let through: this compares too little", limit, made, calls)
			}
		})
	}
}
