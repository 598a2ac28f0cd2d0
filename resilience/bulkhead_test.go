package resilience

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// The plain model: who is inside, who waits in what order. Calls come, go, give up, and the bound changes,
// each in turn; after each step the bulkhead and the model agree.
func TestTheBulkheadIsAQueueBeforeARoom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit, queue := rapid.IntRange(1, 4).Draw(rt, "limit"), rapid.IntRange(0, 4).Draw(rt, "queue")
		ops := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 60).Draw(rt, "ops")
		picks := rapid.SliceOfN(rapid.IntRange(0, 99), len(ops), len(ops)).Draw(rt, "picks")
		synctest.Test(t, func(t *testing.T) {
			policy := func() Policy {
				return Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: limit, MaxQueue: queue, MaxWait: time.Minute}}
			}
			e := New("stock", policy())
			var inside, waiting []*visit
			settle := func() {
				for len(waiting) > 0 && len(inside) < limit {
					inside, waiting = append(inside, waiting[0]), waiting[1:]
				}
			}
			for i, op := range ops {
				switch pick := picks[i]; {
				case op < 5: // somebody comes
					v := come(e)
					switch {
					case len(inside) < limit:
						inside = append(inside, v)
					case len(waiting) < queue:
						waiting = append(waiting, v)
					default:
						if err := <-v.result; !errors.Is(err, ErrFull) {
							t.Fatalf("step %d: %v, want a refusal", i, err)
						}
					}
				case op < 7 && len(inside) > 0: // somebody goes
					v := inside[pick%len(inside)]
					inside = slices.DeleteFunc(inside, func(o *visit) bool { return o == v })
					close(v.leave)
				case op < 8 && len(waiting) > 0: // somebody gives up
					v := waiting[pick%len(waiting)]
					waiting = slices.DeleteFunc(waiting, func(o *visit) bool { return o == v })
					v.giveUp()
					if err := <-v.result; !errors.Is(err, ErrFull) || !errors.Is(err, context.Canceled) {
						t.Fatalf("step %d: gave up with %v", i, err)
					}
				case op == 8:
					limit = 1 + pick%5
					e.Update(policy())
				}
				settle()
				synctest.Wait()
				if s := e.Stats(); s.InFlight != len(inside) || s.Waiting != len(waiting) || s.Limit != limit {
					t.Fatalf("step %d: %d inside and %d waiting of %d, want %d, %d and %d", i, s.InFlight, s.Waiting, s.Limit, len(inside), len(waiting), limit)
				}
				for _, v := range inside {
					if !v.inside.Load() {
						t.Fatalf("step %d: somebody has overtaken", i)
					}
				}
			}
			limit = 100
			e.Update(policy())
			for _, v := range append(inside, waiting...) {
				close(v.leave)
			}
			synctest.Wait()
			if s := e.Stats(); s.InFlight != 0 || s.Waiting != 0 {
				t.Fatalf("at the end %d are inside and %d wait", s.InFlight, s.Waiting)
			}
		})
	})
}

// visit is a call that stays inside until it is told to leave.
type visit struct {
	inside atomic.Bool
	leave  chan struct{}
	giveUp context.CancelFunc
	result chan error
}

func come(e *Executor) *visit {
	ctx, cancel := context.WithTimeout(ctxBG, time.Hour)
	v := &visit{leave: make(chan struct{}), giveUp: cancel, result: make(chan error, 1)}
	go func() {
		v.result <- e.Do(ctx, func(context.Context) error {
			v.inside.Store(true)
			select {
			case <-v.leave:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	synctest.Wait()
	return v
}

func TestTheBulkheadsBoundHoldsUnderLoad(t *testing.T) {
	const most = 3
	e := New("stock", Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: most, MaxQueue: 4, MaxWait: time.Minute}})
	var now, peak, made, refused atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 500 {
				err := e.Do(ctxBG, func(context.Context) error {
					n := now.Add(1)
					for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
					}
					made.Add(1)
					runtime.Gosched()
					now.Add(-1)
					return nil
				})
				if errors.Is(err, ErrFull) {
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	s := e.Stats()
	if peak.Load() > most || made.Load()+refused.Load() != 16*500 || s.InFlight != 0 || s.Waiting != 0 || s.RefusedFull != uint64(refused.Load()) {
		t.Errorf("peak %d of %d, %d made, %d refused, stats %+v", peak.Load(), most, made.Load(), refused.Load(), s)
	}
}

func TestTheBulkheadsWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{
			Bulkhead: &BulkheadPolicy{MaxConcurrent: 1, MaxQueue: 1, MaxWait: 50 * time.Millisecond}, Retry: &RetryPolicy{},
			Breaker: &BreakerPolicy{ConsecutiveFailures: 1},
		})
		v := come(e)
		began := time.Now()
		err := e.Do(ctxBG, succeed)
		if took := time.Since(began); !errors.Is(err, ErrFull) || took != 50*time.Millisecond {
			t.Errorf("%v after %v, want a refusal after 50ms", err, took)
		}
		if want := "resilience: stock: too many calls at a time: the call was not made"; err.Error() != want {
			t.Errorf("says %q, want %q", err, want)
		}
		close(v.leave)
		synctest.Wait()
		if s := e.Stats(); s.Retries != 0 || s.State != Closed || s.Failures != 0 {
			t.Errorf("a refusal was retried or counted as a failure: %+v", s)
		}
	})
}

func TestPanicAndGoexitLeaveTheBulkhead(t *testing.T) {
	e := New("stock", Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: 1}, Adaptive: nil, TryTimeout: time.Minute})
	for _, end := range []func(){func() { panic("boom") }, runtime.Goexit} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }()
			_ = e.Do(ctxBG, func(context.Context) error { end(); return nil })
		}()
		<-done
	}
	if err := e.Do(ctxBG, succeed); err != nil {
		t.Errorf("a place was lost: %v", err)
	}
}

func TestThoseInsideFinishWhenTheBulkheadGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: 1, MaxQueue: 1, MaxWait: time.Minute}})
		first, second := come(e), come(e)
		e.Update(Policy{})
		synctest.Wait()
		if !second.inside.Load() {
			t.Error("somebody still waits for a place where nobody needs one")
		}
		close(first.leave)
		close(second.leave)
		synctest.Wait()
		if s := e.Stats(); s.InFlight != 0 || s.Limit != 0 {
			t.Errorf("%d inside of %d", s.InFlight, s.Limit)
		}
	})
}

// What began under an adaptive limit that is gone moves no bound.
func TestTheBoundIsTheBulkheadsOnceTheAdaptiveLimitIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{Adaptive: &AdaptivePolicy{Initial: 20}})
		var calls sync.WaitGroup
		for range 20 { // enough to end a window
			calls.Go(func() { _ = e.Do(ctxBG, func(context.Context) error { time.Sleep(time.Second); return nil }) })
		}
		synctest.Wait()
		e.Update(Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: 50}})
		calls.Wait()
		if got := e.Stats().Limit; got != 50 {
			t.Errorf("the bulkhead has %d places, want 50", got)
		}
	})
}

func TestWaitingForAPlaceIsNotTheDependencysSlowness(t *testing.T) {
	for name, p := range map[string]Policy{
		"bulkhead":   {Bulkhead: &BulkheadPolicy{MaxConcurrent: 1, MaxQueue: 9, MaxWait: time.Minute}},
		"rate limit": {RateLimit: &RateLimitPolicy{PerSecond: 10, Burst: 1, MaxWait: time.Minute}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p.Breaker = &BreakerPolicy{SlowRatio: 0.5, SlowCall: 100 * time.Millisecond, MinCalls: 1}
			e := New(name, p)
			for range 8 {
				go func() { _ = e.Do(ctxBG, func(context.Context) error { time.Sleep(60 * time.Millisecond); return nil }) }()
			}
			time.Sleep(time.Minute)
			wantState(t, e, Closed)
			_ = e.Do(ctxBG, func(context.Context) error { time.Sleep(time.Second); return nil })
			wantState(t, e, Open) // the call itself was slow
		})
	}
}

func TestAnUpdateThatChangesNothingDisturbsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Policy{Adaptive: &AdaptivePolicy{}, Breaker: &BreakerPolicy{ConsecutiveFailures: 1}}
		e := New("stock", p)
		before := e.plan.Load()
		_ = e.Do(ctxBG, fail)
		e.Update(p)
		wantState(t, e, Open)
		if e.plan.Load() != before {
			t.Error("the same policy was taken for another")
		}
	})
}

// Admitted and over in the same moment: whichever is seen first, no place is lost.
func TestAPlaceThatComesTooLateIsNotLost(t *testing.T) {
	p := &BulkheadPolicy{MaxConcurrent: 1, MaxQueue: 1, MaxWait: time.Second}
	for _, name := range []string{"given up before", "given up after", "the wait is over"} {
		synctest.Test(t, func(t *testing.T) {
			for range 200 {
				b := newBulkhead()
				b.setLimit(1)
				if err := b.take(ctxBG, "stock", p); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(ctxBG)
				done := make(chan struct{})
				go func() {
					defer close(done)
					if b.take(ctx, "stock", p) == nil {
						b.leave()
					}
				}()
				synctest.Wait()
				switch name {
				case "given up before":
					cancel() // it is told, but does not run yet
				case "the wait is over":
					time.Sleep(p.MaxWait)
				}
				b.leave()
				cancel()
				<-done
				if b.inside() != 0 || b.waiting() != 0 {
					t.Fatalf("%s: %d inside and %d waiting at the end", name, b.inside(), b.waiting())
				}
			}
		})
	}
}
