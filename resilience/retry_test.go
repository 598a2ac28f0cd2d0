package resilience

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// after is an error that asks for a wait.
type after struct{ wait time.Duration }

func (a after) Error() string             { return fmt.Sprintf("busy for %v", a.wait) }
func (a after) RetryAfter() time.Duration { return a.wait }

// counting makes a call that gives the errors in turn, and the last one for ever.
func counting(calls *int, errs ...error) func(context.Context) error {
	return func(context.Context) error {
		err := errs[min(*calls, len(errs)-1)]
		*calls++
		return err
	}
}

func TestR1_CancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("the customer closed the page")
		ctx, cancel := context.WithCancelCause(ctxBG)
		time.AfterFunc(100*time.Millisecond, func() { cancel(reason) })
		r := NewRetry("stock", RetryPolicy{})
		began, calls := time.Now(), 0
		err := r.Do(ctx, counting(&calls, after{time.Minute}))
		if took := time.Since(began); took != 100*time.Millisecond || calls != 1 {
			t.Errorf("returned after %v and %d calls, want 100ms and 1", took, calls)
		}
		var last after
		if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || !errors.As(err, &last) {
			t.Errorf("%q lacks the cancellation, its cause or the last error", err)
		}
	})
}

func TestR2_NoAttemptOnceTheContextIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(ctxBG)
		cancel(reason)
		calls := 0
		doers := map[string]interface {
			Do(context.Context, func(context.Context) error) error
		}{
			"retry":    NewRetry("stock", RetryPolicy{MaxAttempts: 4}),
			"executor": New("stock", Policy{Retry: &RetryPolicy{MaxAttempts: 4}, TryTimeout: time.Second, Timeout: time.Second}),
		}
		for name, d := range doers {
			err := d.Do(ctx, counting(&calls, errDown))
			if calls != 0 || !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
				t.Errorf("%s: %d calls, error %v", name, calls, err)
			}
		}
		// Nor when it ends during an attempt.
		for name, d := range doers {
			ctx, cancel := context.WithCancel(ctxBG)
			calls := 0
			err := d.Do(ctx, func(context.Context) error { calls++; cancel(); return errDown })
			if calls != 1 || !errors.Is(err, errDown) {
				t.Errorf("%s: %d calls after the end, error %v", name, calls, err)
			}
		}
	})
}

func TestR3_OnlyPassingFailuresAreRepeated(t *testing.T) {
	cases := []struct {
		name  string
		err   error
		calls int
	}{
		{"any error", errDown, 3},
		{"deadline below us", context.DeadlineExceeded, 3},
		{"timeout of the attempt", &TimeoutError{PerTry: true, Err: context.DeadlineExceeded}, 3},
		{"timeout of a whole call below us", &TimeoutError{Err: errDown}, 1},
		{"cancelled", context.Canceled, 1},
		{"wrapped cancellation", fmt.Errorf("stock: %w", context.Canceled), 1},
		{"permanent", AsPermanent(errDown), 1},
		{"permanent, wrapped", fmt.Errorf("stock: %w", AsPermanent(errDown)), 1},
		{"permanent, cut short", &TimeoutError{PerTry: true, Err: AsPermanent(errDown)}, 1},
		{"answer", Answer(errDown), 1},
		{"exhausted below us", &RetryError{Err: errDown}, 1},
		{"refused below us", opened(t, BreakerPolicy{}).phase.Load().refusal, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := NewRetry("stock", RetryPolicy{}).Do(ctxBG, counting(&calls, c.err))
				if calls != c.calls || !errors.Is(err, c.err) {
					t.Errorf("%d calls, want %d; error %v", calls, c.calls, err)
				}
				if calls == 1 && err != c.err {
					t.Errorf("one attempt must give its error as it is, not %#v", err)
				}
				if exhausted := errors.Is(err, ErrExhausted); calls > 1 && !exhausted {
					t.Errorf("%v is not ErrExhausted", err)
				}
			})
		})
	}
}

func TestR4_FullJitterSpreadsClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, bin, ceiling = 1000, 10 * time.Millisecond, 500 * time.Millisecond
		bins := make([]int, ceiling/bin+1)
		r := NewRetry("stock", RetryPolicy{MaxAttempts: 2, BaseDelay: ceiling, MaxDelay: ceiling})
		for range clients {
			began := time.Now()
			_ = r.Do(ctxBG, fail)
			took := time.Since(began)
			if took > ceiling {
				t.Fatalf("waited %v, longer than the cap %v", took, ceiling)
			}
			bins[took/bin]++
		}
		for i, n := range bins {
			if mean := clients * int(bin) / int(ceiling); n >= 3*mean {
				t.Errorf("%d of %d clients came back within bin %d, the mean is %d", n, clients, i, mean)
			}
		}
	})
}

func TestR4_NeverEarlierThanTheDependencyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRetry("stock", RetryPolicy{MaxAttempts: 2, BaseDelay: 10 * time.Millisecond})
		for range 200 {
			began := time.Now()
			_ = r.Do(ctxBG, func(context.Context) error { return fmt.Errorf("stock: %w", after{time.Second}) })
			if took := time.Since(began); took < time.Second || took > time.Second+10*time.Millisecond {
				t.Fatalf("came back after %v, asked for 1s, jitter up to 10ms", took)
			}
		}
	})
}

func TestR4_AbsurdWaitsAreNotWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, wait := range []time.Duration{MaxBackoff + 1, 99999999 * time.Second, math.MaxInt64} {
			began, calls := time.Now(), 0
			err := NewRetry("stock", RetryPolicy{}).Do(ctxBG, counting(&calls, after{wait}))
			if time.Since(began) != 0 || calls != 1 || err != error(after{wait}) {
				t.Errorf("asked for %v: %d calls, took %v, error %v", wait, calls, time.Since(began), err)
			}
		}
		calls := 0
		err := NewRetry("stock", RetryPolicy{}).Do(ctxBG, counting(&calls, after{-time.Hour}))
		if calls != 3 {
			t.Errorf("a negative wish is none: %d calls, error %v", calls, err)
		}
	})
}

func TestR5_TheDelayNeverOverflows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := RetryPolicy{
			BaseDelay: time.Duration(rapid.Int64().Draw(t, "base")),
			MaxDelay:  time.Duration(rapid.Int64().Draw(t, "max")),
		}.normalized()
		n := rapid.IntRange(1, math.MaxInt32).Draw(t, "n")
		c := p.ceiling(n)
		if c <= 0 || c > p.MaxDelay {
			t.Fatalf("attempt %d: ceiling %v is outside (0, %v]", n, c, p.MaxDelay)
		}
		if exact := float64(p.BaseDelay) * math.Pow(2, float64(n-1)); exact < float64(p.MaxDelay)/2 && float64(c) != exact {
			t.Fatalf("attempt %d: ceiling %v, want %v ns", n, c, exact)
		}
		wait, err := p.wait(ctxBG, n, errDown)
		if err != nil || wait < 0 || wait > c {
			t.Fatalf("attempt %d: wait %v (%v) is outside [0, %v]", n, wait, err, c)
		}
	})
	p := RetryPolicy{}.normalized()
	if got := p.ceiling(200); got != p.MaxDelay {
		t.Errorf("attempt 200: %v, want the cap %v", got, p.MaxDelay)
	}
}

func TestR6_TheBudgetBoundsTheLoadOnADependencyThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 10_000
		attempts := 0
		e := New("stock", Policy{Retry: &RetryPolicy{MaxAttempts: 4, Budget: 0.1}})
		for range calls {
			err := e.Do(ctxBG, counting(&attempts, errDown))
			if !errors.Is(err, errDown) || !errors.Is(err, ErrExhausted) {
				t.Fatalf("error %v", err)
			}
		}
		if limit := calls*11/10 + reserve/token; attempts > limit || attempts < limit*99/100 {
			t.Errorf("%d attempts for %d calls: a budget of 10%% allows %d", attempts, calls, limit)
		}
	})
}

func TestR6_NestedLayersDoNotMultiply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		call := counting(&calls, errDown)
		for _, name := range []string{"driver", "client", "service"} {
			r, inner := NewRetry(name, RetryPolicy{MaxAttempts: 4}), call
			call = func(ctx context.Context) error { return r.Do(ctx, inner) }
		}
		if err := call(ctxBG); calls != 4 || !errors.Is(err, errDown) {
			t.Errorf("three layers of 4 attempts made %d calls; error %v", calls, err)
		}
	})
}

func TestR6_TimeoutsBoundTheAttemptAndTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		e := New("stock", Policy{TryTimeout: 100 * time.Millisecond, Retry: &RetryPolicy{MaxAttempts: 2, BaseDelay: time.Microsecond, MaxDelay: time.Microsecond}})
		began := time.Now()
		err := e.Do(ctxBG, hang)
		var limit *TimeoutError
		if !errors.As(err, &limit) || !limit.PerTry || limit.Limit != 100*time.Millisecond || time.Since(began).Round(time.Millisecond) != 200*time.Millisecond {
			t.Errorf("two attempts of 100ms: %v after %v", err, time.Since(began))
		}
		e.Update(Policy{Timeout: 250 * time.Millisecond, TryTimeout: 100 * time.Millisecond, Retry: &RetryPolicy{MaxAttempts: 20}})
		began = time.Now()
		err = e.Do(ctxBG, hang)
		if took := time.Since(began); took > 250*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("whole call of 250ms: %v after %v", err, took)
		}
		e.Update(Policy{Timeout: 50 * time.Millisecond})
		limit = nil
		if err = e.Do(ctxBG, hang); !errors.As(err, &limit) || limit.PerTry || !limit.Timeout() {
			t.Errorf("whole call of 50ms: %v", err)
		}
	})
}

func TestR7_AWaitBeyondTheDeadlineIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(ctxBG, time.Second)
		defer cancel()
		began, calls := time.Now(), 0
		err := NewRetry("stock", RetryPolicy{}).Do(ctx, counting(&calls, after{time.Second}))
		if time.Since(began) != 0 || calls != 1 || err != error(after{time.Second}) {
			t.Errorf("%d calls, %v after %v; want the real error at once", calls, err, time.Since(began))
		}
		calls = 0
		err = NewRetry("stock", RetryPolicy{BaseDelay: 1, MaxDelay: 1}).Do(ctx, counting(&calls, errDown, after{time.Minute}))
		if calls != 2 || !errors.Is(err, errDeadline) || !errors.As(err, new(after)) {
			t.Errorf("%d calls, error %v; want 2 and the reason", calls, err)
		}
	})
}

func TestAnAnswerAfterAFailureIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		declined, calls := Answer(errors.New("card declined")), 0
		if err := NewRetry("bank", RetryPolicy{}).Do(ctxBG, counting(&calls, errDown, declined)); err != declined || calls != 2 {
			t.Errorf("%d calls gave %v, want the second one's answer as it is", calls, err)
		}
		calls = 0
		err := NewRetry("bank", RetryPolicy{}).Do(ctxBG, counting(&calls, errDown, AsPermanent(errors.New("no account"))))
		if want := "resilience: bank: gave up after 2 attempts: no account"; err == nil || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
	})
}

func TestABreakerThatOpensBetweenAttemptsHidesNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("bank", Policy{Retry: &RetryPolicy{MaxAttempts: 5}, Breaker: &BreakerPolicy{ConsecutiveFailures: 2}})
		calls := 0
		err := e.Do(ctxBG, counting(&calls, errDown))
		var retried *RetryError
		if calls != 2 || !errors.Is(err, errDown) || !errors.Is(err, ErrOpen) || !errors.As(err, &retried) || retried.Attempts != 2 {
			t.Errorf("%d calls, error %v", calls, err)
		}
	})
}

// Whether a call may be sent twice is for those to say who know it: they mark the error.
func TestR8_WhatMayNotBeRepeatedIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unsafe := map[string]func(context.Context) error{
			"failed":         func(context.Context) error { return AsPermanent(errDown) },
			"took too long":  func(ctx context.Context) error { <-ctx.Done(); return AsPermanent(ctx.Err()) },
			"failed, deeper": func(context.Context) error { return fmt.Errorf("stock: %w", AsPermanent(errDown)) },
		}
		for name, call := range unsafe {
			e := New("stock", Policy{TryTimeout: time.Second, Retry: &RetryPolicy{}, Hedge: &HedgePolicy{Delay: time.Minute}})
			calls := 0
			_, err := Run(ctxBG, e, Call[int]{Do: func(ctx context.Context) (int, error) { calls++; return 0, call(ctx) }})
			if calls != 1 || err == nil || errors.Is(err, ErrExhausted) {
				t.Errorf("%s: %d calls, %v", name, calls, err)
			}
		}
	})
}

// R9 has its test with the HTTP client. Here: each value that the caller does not get is handed back
// before the next attempt begins, so that a connection is free for it.
func TestR9_AValueIsGivenBackBeforeTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open, most := 0, 0
		_, _ = Run(ctxBG, New("stock", Policy{Retry: &RetryPolicy{MaxAttempts: 5}}), Call[int]{
			Do:      func(context.Context) (int, error) { open++; most = max(most, open); return 0, errDown },
			Discard: func(int) { open-- },
		})
		if open != 1 || most != 1 {
			t.Errorf("%d values at a time, %d left; want 1, the caller's", most, open)
		}
	})
}

// Meant for the race detector: every policy, changed while calls are made.
func TestR10_PoliciesChangeWhileCallsAreMade(t *testing.T) {
	policies := []Policy{
		{},
		{Retry: &RetryPolicy{BaseDelay: 1, MaxDelay: 1, Budget: 0.5}, Breaker: &BreakerPolicy{FailureRatio: 0.9, WindowCalls: 50, OpenFor: 10 * time.Millisecond}},
		{TryTimeout: time.Second, Timeout: time.Minute, Bulkhead: &BulkheadPolicy{MaxConcurrent: 2, MaxQueue: 2, MaxWait: time.Millisecond}, Breaker: &BreakerPolicy{SlowRatio: 1}},
		{Adaptive: &AdaptivePolicy{Min: 1, Max: 4}, RateLimit: &RateLimitPolicy{PerSecond: 100_000, MaxWait: time.Millisecond}},
		{Adaptive: &AdaptivePolicy{Max: 9}, Bulkhead: &BulkheadPolicy{MaxQueue: 9}, Hedge: &HedgePolicy{Quantile: 0.5, Budget: 1}, Fallback: &FallbackPolicy{}},
	}
	e := New("stock", policies[0], OnEvent(func(Event) {}))
	var calling sync.WaitGroup
	for g := range 6 {
		calling.Go(func() {
			for i := range 400 {
				_, _ = Run(ctxBG, e, Call[int]{Hedge: true, Do: func(context.Context) (int, error) {
					runtime.Gosched()
					if (i+g)%7 == 0 {
						return 0, errDown
					}
					return 0, nil
				}})
				_ = e.Stats()
			}
		})
	}
	stop := make(chan struct{})
	var updating sync.WaitGroup
	updating.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				e.Update(policies[i%len(policies)])
				_ = e.Policy()
				runtime.Gosched()
			}
		}
	})
	calling.Wait()
	close(stop)
	updating.Wait()
	e.Update(Policy{})
	if s := e.Stats(); s.InFlight > 0 && s.Waiting > 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func TestT8_ListenersMayUseTheExecutorThatTellsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e *Executor
		told := map[EventKind]int{}
		e = New("stock", Policy{Retry: &RetryPolicy{}, Breaker: &BreakerPolicy{FailureRatio: 0.1, MinCalls: 3, OpenFor: time.Second}}, OnEvent(func(event Event) {
			told[event.Kind]++
			_ = e.State()
			_ = e.Stats()
			e.Update(e.Policy())
			_ = e.Do(ctxBG, succeed)
		}))
		for range 3 {
			_ = e.Do(ctxBG, fail)
			_ = e.Do(ctxBG, fail)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if told[StateChanged] == 0 || told[Retrying] == 0 || told[Refused] == 0 {
			t.Errorf("told %v", told)
		}
	})
}

func TestR3_ARefusalBetweenAttemptsHidesNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cases := map[string]Policy{
			"rate limit": {RateLimit: &RateLimitPolicy{PerSecond: 1, Burst: 2}},
			"breaker":    {Breaker: &BreakerPolicy{ConsecutiveFailures: 2}},
		}
		for name, p := range cases {
			p.Retry = &RetryPolicy{MaxAttempts: 5, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}
			calls := 0
			err := New("bank", p).Do(ctxBG, counting(&calls, errDown))
			var failed *RetryError
			if calls != 2 || !errors.As(err, &failed) || failed.Attempts != 2 || failed.Err != errDown || !refusal(failed.Stopped) {
				t.Errorf("%s: %d calls, %v", name, calls, err)
			}
		}
	})
}

func TestWithClassifier(t *testing.T) {
	errBusy := errors.New("busy")
	asked := 0
	classify := WithClassifier(func(err error) Class {
		asked++
		if errors.Is(err, errBusy) {
			return Permanent
		}
		return Classify(err)
	})
	for err, want := range map[error]int{errBusy: 1, errDown: 2} {
		calls := 0
		e := New("stock", Policy{Retry: &RetryPolicy{MaxAttempts: 2, BaseDelay: time.Microsecond}}, classify, WithClassifier(nil))
		if got := e.Do(ctxBG, counting(&calls, err)); calls != want || !errors.Is(got, err) {
			t.Errorf("%v: %d calls, want %d; gave %v", err, calls, want, got)
		}
	}
	if asked == 0 {
		t.Error("it was not asked")
	}
}
