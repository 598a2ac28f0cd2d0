package resilience

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const hedgeAfter = 50 * time.Millisecond

func hedging(p Policy) *Executor {
	if p.Hedge == nil {
		p.Hedge = &HedgePolicy{Delay: hedgeAfter, Budget: 1}
	}
	return New("stock", p)
}

// act is how one attempt goes: it takes a time and ends so. An attempt that is cancelled ends at once,
// unless it is deaf.
type act struct {
	takes time.Duration
	value string
	err   error
	deaf  bool
	end   func()
}

// script is a call whose attempts go by their numbers; it notes what became of them.
type script struct {
	mu        sync.Mutex
	acts      []act
	made      []time.Duration // when each began
	causes    []error         // why attempts were cancelled
	discarded []string
	began     time.Time
}

func play(acts ...act) *script { return &script{acts: acts, began: time.Now()} }

func (s *script) call() Call[string] {
	return Call[string]{Hedge: true, Do: s.do, Discard: func(v string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if v != "" { // what a cancelled attempt gives beside its error
			s.discarded = append(s.discarded, v)
		}
	}}
}

func (s *script) do(ctx context.Context) (string, error) {
	s.mu.Lock()
	s.made = append(s.made, time.Since(s.began))
	a := s.acts[min(Attempt(ctx), len(s.acts))-1]
	s.mu.Unlock()
	if a.deaf {
		time.Sleep(a.takes)
	} else {
		select {
		case <-time.After(a.takes):
		case <-ctx.Done():
			s.mu.Lock()
			s.causes = append(s.causes, context.Cause(ctx))
			s.mu.Unlock()
			return "", ctx.Err()
		}
	}
	if a.end != nil {
		a.end()
	}
	return a.value, a.err
}

func TestHedge(t *testing.T) {
	slow := act{takes: time.Second, value: "slow"}
	cases := []struct {
		name      string
		policy    Policy
		acts      []act
		value     string
		err       error
		took      time.Duration
		made      []time.Duration
		discarded []string
	}{
		{name: "a fast one has no rival", acts: []act{{takes: 49 * time.Millisecond, value: "a"}},
			value: "a", took: 49 * time.Millisecond, made: []time.Duration{0}},
		{name: "the rival is faster", acts: []act{slow, {takes: 10 * time.Millisecond, value: "b"}},
			value: "b", took: 60 * time.Millisecond, made: []time.Duration{0, hedgeAfter}},
		{name: "the first one is faster after all", acts: []act{{takes: 70 * time.Millisecond, value: "a"}, slow},
			value: "a", took: 70 * time.Millisecond, made: []time.Duration{0, hedgeAfter}},
		{name: "what a deaf loser brings is discarded", acts: []act{{takes: time.Second, value: "a", deaf: true}, {value: "b"}},
			value: "b", took: hedgeAfter, made: []time.Duration{0, hedgeAfter}, discarded: []string{"a"}},
		{name: "at most max", policy: Policy{Hedge: &HedgePolicy{Delay: hedgeAfter, Budget: 1, Max: 2}}, acts: []act{slow},
			value: "slow", took: time.Second, made: []time.Duration{0, hedgeAfter, 2 * hedgeAfter}},
		{name: "a failure waits for the rival", acts: []act{{takes: 60 * time.Millisecond, value: "503", err: errDown}, {takes: 20 * time.Millisecond, value: "b"}},
			value: "b", took: 70 * time.Millisecond, made: []time.Duration{0, hedgeAfter}, discarded: []string{"503"}},
		{name: "all fail", acts: []act{{takes: 60 * time.Millisecond, value: "503", err: errDown}, {takes: 20 * time.Millisecond, value: "502", err: errDown}},
			value: "503", err: errDown, took: 70 * time.Millisecond, made: []time.Duration{0, hedgeAfter}, discarded: []string{"502"}},
		{name: "an early failure starts no rival", acts: []act{{takes: 10 * time.Millisecond, value: "503", err: errDown}},
			value: "503", err: errDown, took: 10 * time.Millisecond, made: []time.Duration{0}},
		{name: "a failure for good is the answer", acts: []act{slow, {value: "400", err: AsPermanent(errDown)}},
			value: "400", err: errDown, took: hedgeAfter, made: []time.Duration{0, hedgeAfter}},
		{name: "a proper answer wins", acts: []act{slow, {value: "404", err: Answer(errDown)}},
			value: "404", err: errDown, took: hedgeAfter, made: []time.Duration{0, hedgeAfter}},
		{name: "not when the deadline is nearer", policy: Policy{Timeout: 40 * time.Millisecond}, acts: []act{slow},
			err: context.DeadlineExceeded, took: 40 * time.Millisecond, made: []time.Duration{0}},
		{name: "nor when it would be at the time", policy: Policy{Timeout: 90 * time.Millisecond}, acts: []act{slow},
			err: context.DeadlineExceeded, took: 90 * time.Millisecond, made: []time.Duration{0}},
		{name: "each has its own timeout", policy: Policy{TryTimeout: 80 * time.Millisecond}, acts: []act{slow},
			err: context.DeadlineExceeded, took: 130 * time.Millisecond, made: []time.Duration{0, hedgeAfter}},
		{name: "not under a rate limit that has no token", policy: Policy{RateLimit: &RateLimitPolicy{PerSecond: 1, Burst: 1}}, acts: []act{slow},
			value: "slow", took: time.Second, made: []time.Duration{0}},
		{name: "not in a full bulkhead", policy: Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: 1}}, acts: []act{slow},
			value: "slow", took: time.Second, made: []time.Duration{0}},
		{name: "a retry has rivals, too", policy: Policy{Retry: &RetryPolicy{BaseDelay: time.Microsecond, MaxDelay: time.Microsecond}},
			acts:  []act{{value: "503", err: errDown}, slow, {value: "c"}},
			value: "c", took: hedgeAfter, made: []time.Duration{0, 0, hedgeAfter}, discarded: []string{"503"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, s := hedging(c.policy), play(c.acts...)
				value, err := Run(ctxBG, e, s.call())
				took := time.Since(s.began)
				time.Sleep(time.Minute)
				if value != c.value || !errors.Is(err, c.err) || took.Round(time.Millisecond) != c.took {
					t.Errorf("%q, %v after %v; want %q, %v after %v", value, err, took, c.value, c.err, c.took)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				for i := range s.made {
					s.made[i] = s.made[i].Round(time.Millisecond)
				}
				if !slices.Equal(s.made, c.made) || !slices.Equal(s.discarded, c.discarded) {
					t.Errorf("made at %v, discarded %q; want %v, %q", s.made, s.discarded, c.made, c.discarded)
				}
			})
		})
	}
}

func TestTheLosersContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(act{takes: time.Hour}, act{value: "b"})
		e := hedging(Policy{Breaker: &BreakerPolicy{ConsecutiveFailures: 1}})
		_, err := Run(ctxBG, e, s.call())
		synctest.Wait()
		if err != nil || len(s.causes) != 1 || s.causes[0] != errLost {
			t.Errorf("%v; causes %v", err, s.causes)
		}
		if got := e.Stats(); got.State != Closed || got.Failures != 0 || got.Hedges != 1 {
			t.Errorf("losing counted as a failure: %+v", got)
		}
	})
}

func TestNoRivalsWhereTheyAreNotMeant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := act{takes: time.Second}
		cases := map[string]func(e *Executor, s *script){
			"the call does not allow it": func(e *Executor, s *script) { c := s.call(); c.Hedge = false; _, _ = Run(ctxBG, e, c) },
			"a repetition":               func(e *Executor, s *script) { _, _ = Run(WithRepetition(ctxBG), e, s.call()) },
			"Executor.Do": func(e *Executor, s *script) {
				_ = e.Do(ctxBG, func(ctx context.Context) error { _, err := s.do(&scope{Context: ctx, number: 1}); return err })
			},
		}
		for name, run := range cases {
			s := play(slow)
			if run(hedging(Policy{}), s); len(s.made) != 1 {
				t.Errorf("%s: %d attempts", name, len(s.made))
			}
		}
		// The breaker opens while the first attempt runs.
		e, s := hedging(Policy{Breaker: &BreakerPolicy{ConsecutiveFailures: 1, OpenFor: time.Hour}}), play(slow)
		time.AfterFunc(time.Millisecond, func() { _ = e.Do(ctxBG, fail) })
		if _, err := Run(ctxBG, e, s.call()); err != nil || len(s.made) != 1 || e.Stats().Hedges != 0 {
			t.Errorf("under an open breaker: %d attempts, %v", len(s.made), err)
		}
		// The first attempt waits for a place: the dependency is not slow.
		e, s = hedging(Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: 1, MaxQueue: 9, MaxWait: time.Minute}}), play(act{})
		inside := come(e)
		time.AfterFunc(1010*time.Millisecond, func() { close(inside.leave) })
		if _, err := Run(ctxBG, e, s.call()); err != nil || len(s.made) != 1 || e.Stats().Hedges != 0 {
			t.Errorf("in a queue: %d attempts, %v", len(s.made), err)
		}
	})
}

func TestAPanicOfARivalReachesTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, first := range []bool{true, false} {
			acts := []act{{takes: time.Second}, {takes: time.Second}}
			acts[map[bool]int{true: 0, false: 1}[first]] = act{takes: 60 * time.Millisecond, end: func() { panic("boom") }}
			e := hedging(Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: 2}})
			got := func() (got any) {
				defer func() { got = recover() }()
				_, _ = Run(ctxBG, e, play(acts...).call())
				return nil
			}()
			synctest.Wait()
			if got != "boom" || e.Stats().InFlight != 0 {
				t.Errorf("first %v: recovered %v, %d in flight", first, got, e.Stats().InFlight)
			}
		}
		ended := make(chan bool)
		go func() {
			defer close(ended)
			_, _ = Run(ctxBG, hedging(Policy{}), play(act{end: runtime.Goexit}).call())
			t.Error("the caller's goroutine went on after Goexit")
		}()
		<-ended
	})
}

func TestALateLosersPanicIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Event
		e := New("stock", Policy{Hedge: &HedgePolicy{Delay: hedgeAfter}}, OnEvent(func(e Event) { told = append(told, e) }))
		s := play(act{takes: time.Second, deaf: true, end: func() { panic("boom") }}, act{value: "b"})
		if v, err := Run(ctxBG, e, s.call()); v != "b" || err != nil {
			t.Fatal(v, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(told) != 2 || told[0].Kind != Hedging || told[0].Attempt != 2 || told[1].Kind != Panicked || told[1].Err.Error() != "panic: boom" {
			t.Errorf("told %+v", told)
		}
	})
}

// The budget: however slow all calls are, rivals are at most their share and the reserve.
func TestTheHedgeBudgetHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		share := rapid.SampledFrom([]float64{0.01, 0.05, 0.1, 0.5, 1}).Draw(rt, "share")
		rivals := rapid.IntRange(1, 3).Draw(rt, "max")
		calls := rapid.IntRange(1, 300).Draw(rt, "calls")
		synctest.Test(t, func(t *testing.T) {
			e := New("stock", Policy{Hedge: &HedgePolicy{Delay: time.Millisecond, Budget: share, Max: rivals}})
			var made atomic.Int64
			for range calls {
				_, _ = Run(ctxBG, e, Call[int]{Hedge: true, Do: func(context.Context) (int, error) {
					made.Add(1)
					time.Sleep(10 * time.Millisecond)
					return 0, nil
				}})
			}
			time.Sleep(time.Second)
			model, hedges := float64(reserve), 0 // the plain model: tokens
			for range calls {
				model = min(reserve, model+math.Trunc(share*token))
				for range rivals {
					if model >= token {
						model -= token
						hedges++
					}
				}
			}
			if got := int(made.Load()) - calls; got != hedges || e.Stats().Hedges != uint64(hedges) {
				t.Fatalf("%d rivals for %d calls (counted %d), want %d", got, calls, e.Stats().Hedges, hedges)
			}
		})
	})
}

func TestTheHedgeDelayIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{Hedge: &HedgePolicy{Quantile: 0.9, Budget: 1}})
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(1, 1))
		call := Call[int]{Hedge: true, Do: func(ctx context.Context) (int, error) {
			mu.Lock()
			takes := time.Duration(10+random.IntN(90)) * time.Millisecond
			mu.Unlock()
			select {
			case <-time.After(takes):
				return 0, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}}
		for range 19 {
			_, _ = Run(ctxBG, e, call)
		}
		if got := e.Stats().Hedges; got != 0 {
			t.Errorf("%d rivals before anything is known", got)
		}
		for range 2000 {
			_, _ = Run(ctxBG, e, call)
		}
		delay := time.Duration(e.seen.delay.Load())
		if delay < 85*time.Millisecond || delay > 105*time.Millisecond {
			t.Errorf("the delay is %v, the 90 %% quantile 91ms", delay)
		}
		if got := float64(e.Stats().Hedges) / 2000; got < 0.02 || got > 0.16 {
			t.Errorf("%.0f %% of the calls had a rival, want about 10", got*100)
		}
	})
}

func TestALosersTimeIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{Hedge: &HedgePolicy{Quantile: 0.5, Budget: 1}})
		for range learnFrom {
			e.seen.add(int64(hedgeAfter), now(), 0.5)
		}
		for range 10 {
			_, _ = Run(ctxBG, e, play(act{takes: time.Second}, act{takes: time.Millisecond}).call())
		}
		synctest.Wait()
		if n := e.seen.generation[0].total.Load(); n != learnFrom+10 {
			t.Errorf("%d attempts were learned from, want %d: those that lost took long", n, learnFrom+10)
		}
	})
}

func TestLatenciesNeedAFew(t *testing.T) {
	var l latencies
	for i := range learnFrom {
		if l.delay.Load() != 0 {
			t.Errorf("a delay after %d attempts", i)
		}
		l.add(int64(time.Second), 0, 0.5)
	}
	if l.delay.Load() == 0 {
		t.Errorf("no delay after %d attempts", learnFrom)
	}
}

func TestLatenciesForgetThePast(t *testing.T) {
	var l latencies
	at := int64(0)
	teach := func(took time.Duration, n int) {
		for range n {
			at += int64(100 * time.Millisecond)
			l.add(int64(took), at, 0.5)
		}
	}
	near := func(want time.Duration) {
		t.Helper()
		if got := time.Duration(l.delay.Load()); got < want || got > want*9/8 {
			t.Errorf("the delay is %v, want %v or an eighth more", got, want)
		}
	}
	teach(10*time.Millisecond, 200)
	near(10 * time.Millisecond)
	teach(300*time.Millisecond, 300)
	near(300 * time.Millisecond)
	teach(time.Millisecond, 300)
	near(time.Millisecond)
}

func TestBucketsOfLatencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Range(1<<lowestBit, 1<<(highestBit+1)-1).Draw(t, "ns")
		b := bucketOf(ns)
		if end := endOf(b); ns >= end || float64(end) > float64(ns)*1.126 || b < 0 || b >= buckets {
			t.Fatalf("%d ns is in bucket %d, which ends at %d", ns, b, end)
		}
	})
	for _, ns := range []int64{math.MinInt64, -1, 0, 1, 1<<lowestBit - 1} {
		if b := bucketOf(ns); b != 0 {
			t.Errorf("%d ns is in bucket %d", ns, b)
		}
	}
	if b := bucketOf(math.MaxInt64); b != buckets-1 {
		t.Errorf("for ever is in bucket %d", b)
	}
}

// Meant for the race detector.
func TestHedgesFromManyGoroutines(t *testing.T) {
	e := New("stock", Policy{Hedge: &HedgePolicy{Delay: time.Millisecond, Budget: 1, Max: 2}, Retry: &RetryPolicy{BaseDelay: time.Microsecond}, TryTimeout: time.Second})
	var given, discarded, made atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 40 {
				_, err := Run(ctxBG, e, Call[int]{Hedge: true, Discard: func(int) { discarded.Add(1) }, Do: func(ctx context.Context) (int, error) {
					made.Add(1)
					select {
					case <-time.After(time.Duration(i%4) * time.Millisecond):
					case <-ctx.Done():
					}
					if i%5 == 0 {
						return i, errDown
					}
					return i, ctx.Err()
				}})
				_ = err
				given.Add(1)
			}
		})
	}
	all.Wait()
	for e := time.Now().Add(5 * time.Second); given.Load()+discarded.Load() != made.Load() && time.Now().Before(e); {
		runtime.Gosched()
	}
	if given.Load()+discarded.Load() != made.Load() {
		t.Errorf("%d values were made, %d given and %d discarded", made.Load(), given.Load(), discarded.Load())
	}
}
