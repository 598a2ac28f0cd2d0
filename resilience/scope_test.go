package resilience

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var limitOf = &TimeoutError{Name: "stock", Limit: time.Second, PerTry: true}

func TestAScopeAgreesWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		parentAfter := time.Duration(rapid.IntRange(0, 3).Draw(rt, "parent")) * 700 * time.Millisecond // 0: none
		cancelAfter := time.Duration(rapid.IntRange(0, 3).Draw(rt, "cancel")) * 600 * time.Millisecond // 0: never
		pauses := rapid.SliceOfN(rapid.IntRange(0, 900), 1, 4).Draw(rt, "pauses")
		asks := rapid.SliceOfN(rapid.IntRange(0, 4), len(pauses), len(pauses)).Draw(rt, "asks")
		synctest.Test(t, func(t *testing.T) {
			reason := errors.New("the page was closed")
			parent, cancel := context.WithCancelCause(ctxBG)
			defer cancel(nil)
			if parentAfter > 0 {
				var stop func()
				parent, stop = context.WithTimeout(parent, parentAfter)
				defer stop()
			}
			if cancelAfter > 0 {
				time.AfterFunc(cancelAfter, func() { cancel(reason) })
			}
			want, end := context.WithTimeoutCause(parent, limitOf.Limit, limitOf)
			defer end()
			got := bounded(parent, 1, limitOf)
			defer got.end()
			for i, ms := range pauses {
				time.Sleep(time.Duration(ms) * time.Millisecond)
				synctest.Wait()
				if !got.made.Load() && parent.Err() != nil && context.Cause(want) == error(limitOf) {
					if got.Err() != parent.Err() { // nobody had looked: which was first is not known
						t.Fatalf("Err is %v, want the parent's, %v", got.Err(), parent.Err())
					}
					return
				}
				switch asks[i] {
				case 0:
					if got.Err() != want.Err() {
						t.Fatalf("Err is %v, want %v", got.Err(), want.Err())
					}
				case 1:
					if closed(got) != closed(want) {
						t.Fatalf("done: %v, want %v", closed(got), closed(want))
					}
				case 2:
					if context.Cause(got) != context.Cause(want) {
						t.Fatalf("the cause is %v, want %v", context.Cause(got), context.Cause(want))
					}
				case 3:
					g, gok := got.Deadline()
					w, wok := want.Deadline()
					if gok != wok || !g.Equal(w) || time.Until(g) != time.Until(w) {
						t.Fatalf("the deadline is %v, want %v", g, w)
					}
				case 4:
					if ended := context.Cause(want) == error(limitOf); parent.Err() == nil && got.expired() != ended {
						t.Fatalf("expired: %v, want %v", got.expired(), ended)
					}
				}
			}
		})
	})
}

func closed(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

func TestAScopeThatIsOver(t *testing.T) {
	for _, asked := range []bool{false, true} {
		s := bounded(ctxBG, 1, limitOf)
		if asked {
			_ = s.Done()
		}
		s.end()
		if s.Err() != context.Canceled || !closed(s) || context.Cause(s) != context.Canceled || s.expired() {
			t.Errorf("asked before: %v: err %v, done %v, cause %v", asked, s.Err(), closed(s), context.Cause(s))
		}
	}
}

func TestAScopeNeedsNoGoroutineForItsChildren(t *testing.T) {
	parent, cancel := context.WithCancel(ctxBG)
	defer cancel()
	s := bounded(parent, 1, limitOf)
	type key struct{}
	wrapped := context.WithValue(s, key{}, 1) // as a span does
	before := runtime.NumGoroutine()
	for range 100 {
		_, stop := context.WithCancel(wrapped)
		defer stop()
		context.AfterFunc(wrapped, func() {})
	}
	if after := runtime.NumGoroutine(); after > before+5 {
		t.Errorf("%d goroutines for 200 children", after-before)
	}
	s.end()
}

func TestAScopeEndsWhileItIsAsked(t *testing.T) {
	for range 200 {
		s := bounded(ctxBG, 1, limitOf)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { <-s.Done() }) // would hang if end missed the channel
		}
		all.Go(s.end)
		all.Wait()
	}
}

func TestAttemptNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, p := range map[string]Policy{
			"alone":        {Retry: &RetryPolicy{}},
			"with timeout": {Retry: &RetryPolicy{}, TryTimeout: time.Second, Timeout: time.Minute},
		} {
			var numbers []int
			_, err := Run(ctxBG, New("stock", p), Call[int]{Do: func(ctx context.Context) (int, error) {
				numbers = append(numbers, Attempt(ctx))
				return 0, errDown
			}})
			if len(numbers) != 3 || numbers[0] != 1 || numbers[1] != 2 || numbers[2] != 3 {
				t.Errorf("%s: numbers %v (%v), want 1 2 3", name, numbers, err)
			}
		}
		if n := Attempt(ctxBG); n != 0 {
			t.Errorf("outside: %d", n)
		}
		if n := Attempt(WithRepetition(&scope{Context: ctxBG, number: 3})); n != 3 {
			t.Errorf("a repetition within attempt 3 has number %d", n)
		}
	})
}

// lostTrack hides that the retries below are used up, as a call to another process does.
func lostTrack(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if call(ctx) != nil {
			return errDown
		}
		return nil
	}
}

// Three layers of three attempts make seven calls: the first attempt of the two outer ones makes
// three and one more, the others make one each.
func TestR6_NestedLayersAddUpAlsoWhereErrorsLoseTheirMark(t *testing.T) {
	layers := map[string]func(*Executor, func(context.Context) error) func(context.Context) error{
		"Do": func(e *Executor, inner func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error { return e.Do(ctx, inner) }
		},
		"Run": func(e *Executor, inner func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := Run(ctx, e, Call[int]{Do: func(ctx context.Context) (int, error) { return 0, inner(ctx) }})
				return err
			}
		},
	}
	for _, tryTimeout := range []time.Duration{0, time.Minute} {
		for name, layer := range layers {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				call := counting(&calls, errDown)
				for _, name := range []string{"driver", "client", "service"} {
					e := New(name, Policy{TryTimeout: tryTimeout, Retry: &RetryPolicy{MaxAttempts: 3}})
					call = layer(e, lostTrack(call))
				}
				if err := call(ctxBG); calls != 7 || err == nil {
					t.Errorf("%s, timeout %v: three layers of 3 attempts made %d calls, want 7", name, tryTimeout, calls)
				}
				calls = 0
				if _ = call(WithRepetition(ctxBG)); calls != 1 {
					t.Errorf("%s, timeout %v: a repetition made %d calls, want 1", name, tryTimeout, calls)
				}
			})
		}
	}
}

func TestAnAttemptThatNeverLooksAtItsContextTimesOutAsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range []Policy{{TryTimeout: time.Second}, {Timeout: time.Second}} {
			e := New("stock", p)
			err := e.Do(ctxBG, func(context.Context) error { time.Sleep(1100 * time.Millisecond); return errDown })
			var limit *TimeoutError
			if !errors.As(err, &limit) || !errors.Is(err, errDown) || limit.PerTry != (p.TryTimeout > 0) {
				t.Errorf("%+v: failed after 1.1s with %v", p, err)
			}
			if err := e.Do(ctxBG, func(context.Context) error { time.Sleep(900 * time.Millisecond); return errDown }); err != errDown {
				t.Errorf("%+v: failed after 0.9s with %v", p, err)
			}
		}
	})
}

func TestRetryNumbersItsRepetitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var numbers []int
		_ = NewRetry("stock", RetryPolicy{}).Do(ctxBG, func(ctx context.Context) error {
			numbers = append(numbers, Attempt(ctx))
			return errDown
		})
		if len(numbers) != 3 || numbers[0] != 0 || numbers[1] != 2 || numbers[2] != 3 {
			t.Errorf("numbers %v, want 0 2 3", numbers)
		}
	})
}

// An answer that comes when the time is over is an answer, as a value would be.
func TestALateAnswerIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing := Answer(errors.New("not found"))
		for _, p := range []Policy{{TryTimeout: time.Second}, {Timeout: time.Second}} {
			p.Breaker = &BreakerPolicy{ConsecutiveFailures: 1}
			e := New("stock", p)
			err := e.Do(ctxBG, func(context.Context) error { time.Sleep(1100 * time.Millisecond); return missing })
			if s := e.Stats(); err != missing || s.State != Closed || s.Timeouts != 0 {
				t.Errorf("%+v: %v, the breaker is %v, %d timeouts", p, err, s.State, s.Timeouts)
			}
		}
	})
}
