package resilience

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// bucket is the plain model of a rate limit: tokens that drip in.
type bucket struct {
	tokens, size, perSecond float64
	at                      time.Duration
}

func (b *bucket) advance(at time.Duration) {
	b.tokens = min(b.size, b.tokens+(at-b.at).Seconds()*b.perSecond)
	b.at = at
}

// wait gives how long until there is a whole token.
func (b *bucket) wait() time.Duration {
	return max(0, time.Duration((1-b.tokens)/b.perSecond*float64(time.Second)))
}

func TestTheRateLimitIsATokenBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := RateLimitPolicy{PerSecond: rapid.SampledFrom([]int{1, 2, 10, 100, 1000, 1_000_000}).Draw(t, "rate"), Burst: rapid.IntRange(1, 50).Draw(t, "burst")}
		var l rateLimit
		l.update(p, 0)
		model := bucket{tokens: float64(p.Burst), size: float64(p.Burst), perSecond: float64(p.PerSecond)}
		at := time.Duration(0)
		for range rapid.IntRange(1, 100).Draw(t, "calls") {
			at += time.Duration(rapid.Int64Range(0, 2*int64(time.Second)/int64(p.PerSecond)).Draw(t, "pause"))
			model.advance(at)
			patience := time.Duration(rapid.SampledFrom([]int64{0, int64(time.Second) / int64(p.PerSecond), int64(time.Second)}).Draw(t, "patience"))
			wait, ok := l.reserve(l.rate.Load(), int64(at), int64(patience))
			want := model.wait()
			if off := time.Duration(wait) - want; off < -2 || off > 2 { // ns: the model rounds
				t.Fatalf("at %v: wait %v, the bucket says %v", at, time.Duration(wait), want)
			}
			if near := patience - want; near < -2 || near > 2 {
				if ok != (want <= patience) {
					t.Fatalf("at %v: ok %v with a wait of %v and a patience of %v", at, ok, want, patience)
				}
			}
			if ok {
				model.tokens--
			}
		}
	})
}

func TestTheRateLimitKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{RateLimit: &RateLimitPolicy{PerSecond: 100, Burst: 20}})
		made, refused := 0, 0
		for range 10_000 { // 1000 per second for 10 s
			err := e.Do(ctxBG, func(context.Context) error { made++; return nil })
			if errors.Is(err, ErrLimited) {
				refused++
			}
			time.Sleep(time.Millisecond)
		}
		if made < 1018 || made > 1021 || made+refused != 10_000 {
			t.Errorf("%d made and %d refused of 10000 in 10s, want about 1020: 100 per second and a burst of 20", made, refused)
		}
		if s := e.Stats(); s.RefusedLimited != uint64(refused) {
			t.Errorf("counted %d refusals, want %d", s.RefusedLimited, refused)
		}
	})
}

func TestTheRateLimitsRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{
			RateLimit: &RateLimitPolicy{PerSecond: 10, Burst: 1}, Retry: &RetryPolicy{},
			Breaker: &BreakerPolicy{ConsecutiveFailures: 1},
		})
		_ = e.Do(ctxBG, succeed)
		time.Sleep(25 * time.Millisecond)
		err := e.Do(ctxBG, func(context.Context) error { t.Error("called"); return nil })
		var limited *LimitedError
		if !errors.As(err, &limited) || limited.RetryAfter() != 75*time.Millisecond || limited.Name != "stock" {
			t.Fatalf("%#v, want a LimitedError of stock with 75ms", err)
		}
		if want := "resilience: stock: rate limit reached: the call was not made; retry in 75ms"; err.Error() != want {
			t.Errorf("says %q, want %q", err, want)
		}
		if s := e.Stats(); s.Retries != 0 || s.State != Closed || s.Failures != 0 {
			t.Errorf("a refusal was retried or counted as a failure: %+v", s)
		}
	})
}

func TestWaitingForTheRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{RateLimit: &RateLimitPolicy{PerSecond: 10, Burst: 1, MaxWait: 250 * time.Millisecond}})
		began := time.Now()
		var mu sync.Mutex
		var waits []time.Duration
		for range 5 {
			go func() {
				if e.Do(ctxBG, succeed) == nil {
					mu.Lock()
					defer mu.Unlock()
					waits = append(waits, time.Since(began))
				}
			}()
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(waits) != 3 || waits[1] != 100*time.Millisecond || waits[2] != 200*time.Millisecond {
			t.Errorf("let in after %v, want 0s, 100ms and 200ms, and two refused", waits)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a deadline that is too near refuses at once
		e := New("stock", Policy{RateLimit: &RateLimitPolicy{PerSecond: 10, Burst: 1, MaxWait: time.Second}})
		_ = e.Do(ctxBG, succeed)
		ctx, cancel := context.WithTimeout(ctxBG, 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := e.Do(ctx, succeed); !errors.Is(err, ErrLimited) || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// A wait that is given up gives its turn back.
		ctx, stop := context.WithCancel(ctxBG)
		time.AfterFunc(50*time.Millisecond, stop)
		if err := e.Do(ctx, succeed); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrLimited) {
			t.Errorf("given up: %v", err)
		}
		if err := e.Do(ctxBG, succeed); err != nil || time.Since(began) != 100*time.Millisecond {
			t.Errorf("the next turn: %v after %v, want 100ms", err, time.Since(began))
		}
	})
}

func TestUpdateOfTheRateLimitKeepsWhatIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{RateLimit: &RateLimitPolicy{PerSecond: 1, Burst: 10}})
		for range 10 {
			_ = e.Do(ctxBG, succeed)
		}
		e.Update(Policy{RateLimit: &RateLimitPolicy{PerSecond: 100, Burst: 10}})
		if err := e.Do(ctxBG, succeed); !errors.Is(err, ErrLimited) {
			t.Errorf("an update filled the bucket: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
		if err := e.Do(ctxBG, succeed); err != nil {
			t.Errorf("the new rate: %v", err)
		}
		if err := e.Do(ctxBG, succeed); !errors.Is(err, ErrLimited) {
			t.Errorf("the new rate: more than one: %v", err)
		}
	})
}

// Turns that nobody waits for any more are given back at the rate that holds by then.
func TestTurnsAreGivenBackAfterAnUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{RateLimit: &RateLimitPolicy{PerSecond: 100, Burst: 1, MaxWait: time.Second}})
		ctx, leave := context.WithCancel(ctxBG)
		_ = e.Do(ctx, succeed)
		for range 50 {
			go func() { _ = e.Do(ctx, succeed) }()
		}
		synctest.Wait()
		e.Update(Policy{RateLimit: &RateLimitPolicy{PerSecond: 1, Burst: 1}})
		leave()
		time.Sleep(time.Second)
		if err := e.Do(ctxBG, succeed); err != nil {
			t.Errorf("all have left, and there is no turn: %v", err)
		}
	})
}
