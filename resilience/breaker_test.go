package resilience

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The tests B1 to B11 are named by the defects of circuit breakers that they exclude.

var (
	errDown = errors.New("down")
	ctxBG   = context.Background()
)

func fail(context.Context) error    { return errDown }
func succeed(context.Context) error { return nil }

// opened makes a breaker that has just opened.
func opened(t *testing.T, p BreakerPolicy, opts ...Option) *Breaker {
	t.Helper()
	p.ConsecutiveFailures = 1
	b := NewBreaker("stock", p, opts...)
	_ = b.Do(ctxBG, fail)
	wantState(t, b, Open)
	return b
}

func wantState(t *testing.T, b interface{ State() State }, want State) {
	t.Helper()
	if got := b.State(); got != want {
		t.Fatalf("state is %v, want %v", got, want)
	}
}

// call is one that runs until it is told how to end.
type call struct {
	began  chan struct{}
	ending chan error
	result chan error
}

func start(b *Breaker) *call {
	c := &call{make(chan struct{}), make(chan error), make(chan error, 1)}
	go func() {
		c.result <- b.Do(ctxBG, func(context.Context) error {
			close(c.began)
			return <-c.ending
		})
	}()
	return c
}

func (c *call) end(err error) {
	c.ending <- err
	<-c.result
}

func TestB1_OnlyTheProbesPassWhenTheBreakerTriesAgain(t *testing.T) {
	for _, probes := range []int{1, 3, 100} {
		synctest.Test(t, func(t *testing.T) {
			b := opened(t, BreakerPolicy{OpenFor: time.Second, Probes: probes})
			time.Sleep(time.Second)
			var made, refused atomic.Int64
			release := make(chan struct{})
			for range 100 {
				go func() {
					err := b.Do(ctxBG, func(context.Context) error {
						made.Add(1)
						<-release
						return nil
					})
					if errors.Is(err, ErrOpen) {
						refused.Add(1)
					}
				}()
			}
			synctest.Wait()
			if made.Load() != int64(probes) || refused.Load() != int64(100-probes) {
				t.Errorf("%d probes: %d calls made and %d refused at once, want %d and %d", probes, made.Load(), refused.Load(), probes, 100-probes)
			}
			close(release)
			synctest.Wait()
			wantState(t, b, Closed)
		})
	}
}

func TestB2_NoStepBackFromAnEarlierPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t, BreakerPolicy{OpenFor: time.Second})
		old := b.phase.Load()
		time.Sleep(time.Second)
		if err := b.Do(ctxBG, succeed); err != nil {
			t.Fatal(err)
		}
		wantState(t, b, Closed)
		// A goroutine that saw the open phase and was then held up must not re-open trials.
		if _, err := b.admitTimed(ctxBG, old); err != nil {
			t.Errorf("late look at the old phase: %v", err)
		}
		wantState(t, b, Closed)
	})
}

// Many goroutines with the real clock: meant for the race detector, and asserts that no phase is
// entered from one that was over.
func TestB2_TransitionsFormAChain(t *testing.T) {
	var mu sync.Mutex
	var events []Event
	b := NewBreaker("stock", BreakerPolicy{ConsecutiveFailures: 2, OpenFor: 10 * time.Millisecond, Probes: 2}, OnEvent(func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == StateChanged {
			events = append(events, e)
		}
	}))
	var all sync.WaitGroup
	until := time.Now().Add(150 * time.Millisecond)
	for range 8 {
		all.Go(func() {
			for time.Now().Before(until) {
				_ = b.Do(ctxBG, func(context.Context) error {
					if rand.IntN(3) == 0 {
						return errDown
					}
					return nil
				})
				runtime.Gosched()
			}
		})
	}
	all.Go(func() {
		for time.Now().Before(until) {
			b.Update(BreakerPolicy{ConsecutiveFailures: 2, OpenFor: 10 * time.Millisecond, Probes: 2, FailureRatio: float64(rand.IntN(2)) / 2, SlowRatio: float64(rand.IntN(2))})
			runtime.Gosched()
		}
	})
	all.Wait()
	for {
		b.watch.feed.mu.Lock()
		idle := !b.watch.feed.running
		b.watch.feed.mu.Unlock()
		if idle {
			break
		}
		runtime.Gosched()
	}
	if len(events) < 3 {
		t.Fatalf("only %d changes of state: the test shows nothing", len(events))
	}
	at := Closed
	for i, e := range events {
		legal := map[State][]State{Closed: {Open}, Open: {HalfOpen}, HalfOpen: {Open, Closed}}[e.From]
		if e.From != at || e.Dropped != 0 || (e.To != legal[0] && e.To != legal[len(legal)-1]) {
			t.Fatalf("event %d goes from %v to %v, the state was %v (%d dropped)", i, e.From, e.To, at, e.Dropped)
		}
		at = e.To
	}
}

func TestB3_LateSuccessDoesNotClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("stock", BreakerPolicy{ConsecutiveFailures: 1, OpenFor: time.Second})
		late := start(b) // admitted while closed
		<-late.began
		_ = b.Do(ctxBG, fail)
		time.Sleep(time.Second)
		probe := start(b)
		<-probe.began
		late.end(nil)
		wantState(t, b, HalfOpen)
		for range 5 {
			if err := b.Do(ctxBG, succeed); !errors.Is(err, ErrOpen) {
				t.Fatalf("a call passed beside the probe: %v", err)
			}
		}
		probe.end(errDown)
		wantState(t, b, Open)
	})
}

func TestB4_LateFailureDoesNotProlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("stock", BreakerPolicy{ConsecutiveFailures: 1, OpenFor: time.Second})
		late, later := start(b), start(b)
		<-late.began
		<-later.began
		_ = b.Do(ctxBG, fail)
		time.Sleep(900 * time.Millisecond)
		late.end(errDown) // while open
		time.Sleep(100 * time.Millisecond)
		probe := start(b)
		<-probe.began // exactly OpenFor after opening
		later.end(errDown)
		wantState(t, b, HalfOpen)
		probe.end(nil)
		wantState(t, b, Closed)
	})
}

func TestB5_ShareOfFailuresInTheWindowOpens(t *testing.T) {
	cases := []struct {
		name   string
		policy BreakerPolicy
		every  int           // each n-th call succeeds
		pause  time.Duration // between calls
		took   time.Duration // each call
		calls  int           // until it opens; 0: never within 1000
	}{
		{name: "80% failures open though none are 5 in a row", policy: BreakerPolicy{FailureRatio: 0.5, MinCalls: 20}, every: 5, calls: 21},
		{name: "80% failures, runs only", policy: BreakerPolicy{ConsecutiveFailures: 5}, every: 5},
		{name: "below the share", policy: BreakerPolicy{FailureRatio: 0.9}, every: 5},
		{name: "too few calls in the window", policy: BreakerPolicy{FailureRatio: 0.5, MinCalls: 20, Window: 10 * time.Second}, every: 5, pause: time.Second},
		{name: "share of the last calls", policy: BreakerPolicy{FailureRatio: 0.5, WindowCalls: 20}, every: 5, calls: 21},
		{name: "last calls, however long ago", policy: BreakerPolicy{FailureRatio: 0.5, WindowCalls: 20}, every: 5, pause: time.Minute, calls: 21},
		{name: "below the share of the last calls", policy: BreakerPolicy{FailureRatio: 0.9, WindowCalls: 20}, every: 5},
		{name: "slow ones of the last calls", policy: BreakerPolicy{SlowRatio: 0.9, SlowCall: 100 * time.Millisecond, WindowCalls: 10}, every: 1, took: 100 * time.Millisecond, calls: 10},
		{name: "both rules, the run is first", policy: BreakerPolicy{FailureRatio: 0.5, ConsecutiveFailures: 3}, every: 5, calls: 3},
		{name: "slow calls open", policy: BreakerPolicy{SlowRatio: 0.9, SlowCall: 100 * time.Millisecond, MinCalls: 10}, every: 1, took: 100 * time.Millisecond, calls: 10},
		{name: "calls that are not slow", policy: BreakerPolicy{SlowRatio: 0.9, SlowCall: 100 * time.Millisecond, MinCalls: 10}, every: 1, took: 99 * time.Millisecond},
		{name: "slow calls do not matter without the rule", policy: BreakerPolicy{FailureRatio: 0.5}, every: 1, took: time.Hour},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBreaker("stock", c.policy)
				opened := 0
				for i := range 1000 {
					_ = b.Do(ctxBG, func(context.Context) error {
						time.Sleep(c.took)
						if (i+1)%c.every == 0 {
							return nil
						}
						return errDown
					})
					if b.State() != Closed {
						opened = i + 1
						break
					}
					time.Sleep(c.pause)
				}
				// The share is judged when a failure comes: at MinCalls or at the first failure after.
				if c.calls != opened {
					t.Errorf("opened after %d calls, want %d", opened, c.calls)
				}
			})
		})
	}
}

func TestB5_ASlowProbeOpensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t, BreakerPolicy{OpenFor: time.Second, SlowRatio: 1, SlowCall: 200 * time.Millisecond})
		time.Sleep(time.Second)
		_ = b.Do(ctxBG, func(context.Context) error { time.Sleep(200 * time.Millisecond); return nil })
		wantState(t, b, Open)
		time.Sleep(time.Second)
		_ = b.Do(ctxBG, func(context.Context) error { time.Sleep(199 * time.Millisecond); return nil })
		wantState(t, b, Closed)
	})
}

func TestB6_TheCallersOwnEndIsNoFailure(t *testing.T) {
	cases := []struct {
		name string
		ctx  func() (context.Context, context.CancelFunc)
	}{
		{"cancelled", func() (context.Context, context.CancelFunc) { return context.WithCancel(ctxBG) }},
		{"deadline", func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctxBG, time.Millisecond) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBreaker("stock", BreakerPolicy{ConsecutiveFailures: 1, OpenFor: time.Second})
				for range 5 {
					ctx, cancel := c.ctx()
					time.AfterFunc(time.Millisecond, cancel)
					_ = b.Do(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
				}
				wantState(t, b, Closed)

				// In a probe likewise: neither closes nor re-opens, and gives its place back.
				_ = b.Do(ctxBG, fail)
				time.Sleep(time.Second)
				ctx, cancel := c.ctx()
				time.AfterFunc(time.Millisecond, cancel)
				_ = b.Do(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
				wantState(t, b, HalfOpen)
				if err := b.Do(ctxBG, succeed); err != nil {
					t.Fatalf("the next probe: %v", err)
				}
				wantState(t, b, Closed)
			})
		})
	}
}

func TestB6_TheTimeoutOfAnAttemptIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{TryTimeout: time.Millisecond, Breaker: &BreakerPolicy{ConsecutiveFailures: 3}})
		for range 3 {
			wantState(t, e, Closed)
			_ = e.Do(ctxBG, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}
		wantState(t, e, Open)
	})
}

func TestB7_PanicAndGoexitAreFailures(t *testing.T) {
	ends := map[string]func(){"panic": func() { panic("boom") }, "goexit": runtime.Goexit}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBreaker("stock", BreakerPolicy{ConsecutiveFailures: 2, OpenFor: time.Second})
				crash := func() (recovered any) {
					done := make(chan any)
					go func() {
						defer func() { done <- recover() }()
						_ = b.Do(ctxBG, func(context.Context) error { end(); return nil })
					}()
					return <-done
				}
				for range 2 {
					wantState(t, b, Closed)
					if got := crash(); (got != nil) != (name == "panic") {
						t.Fatalf("recovered %v: a panic must go on", got)
					}
				}
				wantState(t, b, Open)
				time.Sleep(time.Second)
				crash() // in the probe
				wantState(t, b, Open)
				time.Sleep(time.Second)
				if err := b.Do(ctxBG, succeed); err != nil {
					t.Fatalf("the place of the crashed probe was lost: %v", err)
				}
				wantState(t, b, Closed)
			})
		})
	}
}

func TestB8_AHungProbeLosesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t, BreakerPolicy{OpenFor: time.Second})
		time.Sleep(time.Second)
		hung := start(b)
		<-hung.began
		time.Sleep(999 * time.Millisecond)
		if err := b.Do(ctxBG, succeed); !errors.Is(err, ErrOpen) {
			t.Fatalf("a second probe before the first one's time was over: %v", err)
		}
		time.Sleep(time.Millisecond)
		if err := b.Do(ctxBG, succeed); err != nil {
			t.Fatalf("no other probe while one hangs: %v", err)
		}
		wantState(t, b, Closed)
		hung.end(errDown) // of a phase that is over
		wantState(t, b, Closed)
	})
}

func TestB8_ADependencySlowerThanItsPlaceCanProveThatItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t, BreakerPolicy{OpenFor: time.Second, Probes: 2})
		time.Sleep(time.Second)
		for range 2 {
			if err := b.Do(ctxBG, func(context.Context) error { time.Sleep(3 * time.Second); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		wantState(t, b, Closed)
	})
}

func TestB9_TheRefusalSaysWhoAndHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t, BreakerPolicy{OpenFor: time.Second})
		time.Sleep(400 * time.Millisecond)
		err := b.Do(ctxBG, func(context.Context) error { t.Error("called"); return nil })
		var refusal *OpenError
		if !errors.Is(err, ErrOpen) || !errors.As(err, &refusal) {
			t.Fatalf("%v is no OpenError", err)
		}
		if refusal.Name != "stock" || refusal.RetryAfter() != 600*time.Millisecond {
			t.Errorf("name %q, retry after %v; want stock and 600ms", refusal.Name, refusal.RetryAfter())
		}
		if want := "resilience: stock: circuit breaker is open: the call was not made; retry in 600ms"; err.Error() != want {
			t.Errorf("says %q, want %q", err, want)
		}
		time.Sleep(time.Hour)
		if refusal.RetryAfter() != 0 {
			t.Errorf("an hour later: retry after %v", refusal.RetryAfter())
		}
		calls := 0
		r := NewRetry("outer", RetryPolicy{MaxAttempts: 5})
		got := r.Do(ctxBG, func(context.Context) error { calls++; return err })
		if calls != 1 || got != err {
			t.Errorf("an outer retry made %d calls of a refusal and gave %v", calls, got)
		}
	})
}

func TestB10_ListenersMayBlockAndCallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *Breaker
		var told []State
		b = NewBreaker("stock", BreakerPolicy{ConsecutiveFailures: 1, OpenFor: time.Second}, OnEvent(func(e Event) {
			_ = b.State()
			_ = b.Do(ctxBG, succeed) // refused or not: must not deadlock
			time.Sleep(time.Minute)  // a slow listener
			if e.Kind == StateChanged {
				told = append(told, e.To)
			}
			panic("a listener that is broken besides")
		}))
		began := time.Now()
		for range 3 {
			_ = b.Do(ctxBG, fail)
			time.Sleep(time.Second)
			_ = b.Do(ctxBG, succeed)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("calls took %v: they waited for the listener", took)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		want := []State{Open, HalfOpen, Closed}
		for i, s := range told {
			if s != want[i%3] {
				t.Fatalf("told %v: out of order", told)
			}
		}
		if len(told) != 9 {
			t.Errorf("told %d changes, want 9: %v", len(told), told)
		}
	})
}

func TestB10_ASlowListenerLosesEventsNotMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told, dropped int
		f := &feed{listener: func(e Event) {
			told++
			dropped += e.Dropped
			time.Sleep(time.Second)
		}}
		for range 10 * maxPending {
			f.send(Event{Kind: Retrying})
		}
		f.send(Event{Kind: StateChanged}) // has room kept for it
		time.Sleep(time.Hour)
		synctest.Wait()
		if told > maxPending+1 || told+dropped != 10*maxPending+1 {
			t.Errorf("told %d and reported %d as dropped, of %d", told, dropped, 10*maxPending+1)
		}
	})
}

func TestB11_OnlyTheMonotonicClockCounts(t *testing.T) {
	if !strings.Contains(started.String(), "m=") {
		t.Fatal("the zero of the clock has no monotonic reading: setting the wall clock would move it")
	}
	synctest.Test(t, func(t *testing.T) { // the clock is package time's, so tests can turn it
		b := opened(t, BreakerPolicy{OpenFor: time.Hour})
		time.Sleep(time.Hour - 1)
		wantState(t, b, Open)
		time.Sleep(time.Nanosecond)
		wantState(t, b, HalfOpen)
	})
}

func TestUpdateKeepsStateAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker("stock", BreakerPolicy{FailureRatio: 0.9, MinCalls: 10, Window: time.Minute})
		for range 5 {
			_ = b.Do(ctxBG, succeed)
		}
		for range 8 {
			_ = b.Do(ctxBG, fail)
		}
		wantState(t, b, Closed)
		b.Update(BreakerPolicy{FailureRatio: 0.5, MinCalls: 10, Window: 2 * time.Minute, OpenFor: time.Minute})
		_ = b.Do(ctxBG, fail) // 9 of 14 in the window that was carried over
		wantState(t, b, Open)
		time.Sleep(10 * time.Second)
		b.Update(BreakerPolicy{OpenFor: 10 * time.Second})
		wantState(t, b, HalfOpen)
		b.Reset()
		wantState(t, b, Closed)
	})
}

func TestProbesMustAllSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t, BreakerPolicy{OpenFor: time.Second, Probes: 3})
		time.Sleep(time.Second)
		for range 2 {
			_ = b.Do(ctxBG, succeed)
			wantState(t, b, HalfOpen)
		}
		last := start(b)
		<-last.began
		if err := b.Do(ctxBG, succeed); !errors.Is(err, ErrOpen) {
			t.Errorf("a fourth call passed beside the third probe: %v", err)
		}
		last.end(nil)
		wantState(t, b, Closed)

		_ = b.Do(ctxBG, fail)
		time.Sleep(time.Second)
		_ = b.Do(ctxBG, succeed)
		_ = b.Do(ctxBG, fail)
		wantState(t, b, Open)
	})
}
