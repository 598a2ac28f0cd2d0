package resilience

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

func TestRunGivesTheLastValueAndDiscardsTheOthers(t *testing.T) {
	type attempt struct {
		value string
		err   error
	}
	cases := []struct {
		name      string
		policy    Policy
		attempts  []attempt
		value     string
		err       error
		discarded []string
	}{
		{name: "success", attempts: []attempt{{"200", nil}}, value: "200"},
		{name: "a failure has a value, too", attempts: []attempt{{"503", errDown}}, value: "503", err: errDown},
		{name: "the last of all failures", policy: Policy{Retry: &RetryPolicy{MaxAttempts: 3}}, attempts: []attempt{{"503", errDown}, {"502", errDown}, {"500", errDown}},
			value: "500", err: ErrExhausted, discarded: []string{"503", "502"}},
		{name: "success after failures", policy: Policy{Retry: &RetryPolicy{}}, attempts: []attempt{{"503", errDown}, {"200", nil}},
			value: "200", discarded: []string{"503"}},
		{name: "the next attempt is refused", policy: Policy{Retry: &RetryPolicy{}, Breaker: &BreakerPolicy{ConsecutiveFailures: 1}}, attempts: []attempt{{"503", errDown}},
			value: "503", err: ErrOpen},
		{name: "the next attempt is refused by the rate limit", policy: Policy{Retry: &RetryPolicy{BaseDelay: 1}, RateLimit: &RateLimitPolicy{PerSecond: 1, Burst: 1}}, attempts: []attempt{{"503", errDown}},
			value: "503", err: ErrLimited},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var discarded []string
				calls := 0
				value, err := Run(ctxBG, New("stock", c.policy), Call[string]{
					Discard: func(v string) { discarded = append(discarded, v) },
					Do: func(context.Context) (string, error) {
						calls++
						return c.attempts[calls-1].value, c.attempts[calls-1].err
					},
				})
				if value != c.value || !errors.Is(err, c.err) || err != nil != (c.err != nil) {
					t.Errorf("%q, %v; want %q, %v", value, err, c.value, c.err)
				}
				if !slices.Equal(discarded, c.discarded) || calls != len(c.attempts) {
					t.Errorf("%d calls, discarded %q, want %q", calls, discarded, c.discarded)
				}
			})
		})
	}
}

func TestRunWithoutAnExecutor(t *testing.T) {
	v, err := Run(ctxBG, nil, Call[int]{Do: func(context.Context) (int, error) { return 7, errDown }})
	if v != 7 || err != errDown {
		t.Errorf("%v, %v", v, err)
	}
	ctx, cancel := context.WithCancel(ctxBG)
	cancel()
	if _, err := Run(ctx, nil, Call[int]{Do: func(context.Context) (int, error) { t.Error("called"); return 0, nil }}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFallback(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	all := []Reason{ReasonOpen, ReasonFull, ReasonLimited, ReasonTimeout, ReasonFailure}
	cases := []struct {
		name   string
		policy Policy
		before func(*Executor) // brings the executor into its state
		do     func(context.Context) error
		holds  []Reason // those for which the fallback is used
	}{
		{name: "success", do: succeed},
		{name: "failure", do: fail, holds: []Reason{ReasonFailure}},
		{name: "failure after retries", policy: Policy{Retry: &RetryPolicy{}}, do: fail, holds: []Reason{ReasonFailure}},
		{name: "a proper answer", do: func(context.Context) error { return Answer(errDown) }},
		{name: "open", policy: Policy{Breaker: &BreakerPolicy{ConsecutiveFailures: 1}}, before: func(e *Executor) { _ = e.Do(ctxBG, fail) }, do: succeed, holds: []Reason{ReasonOpen}},
		{name: "a failure, then open", policy: Policy{Retry: &RetryPolicy{}, Breaker: &BreakerPolicy{ConsecutiveFailures: 1}}, do: fail, holds: []Reason{ReasonOpen, ReasonFailure}},
		{name: "full", policy: Policy{Bulkhead: &BulkheadPolicy{MaxConcurrent: 1}}, before: func(e *Executor) { come(e) }, do: succeed, holds: []Reason{ReasonFull}},
		{name: "limited", policy: Policy{RateLimit: &RateLimitPolicy{PerSecond: 1}}, before: func(e *Executor) { _ = e.Do(ctxBG, succeed) }, do: succeed, holds: []Reason{ReasonLimited}},
		{name: "timeout", policy: Policy{Timeout: time.Second}, do: hang, holds: []Reason{ReasonTimeout}},
		{name: "timeout of each attempt", policy: Policy{TryTimeout: time.Second, Retry: &RetryPolicy{}}, do: hang, holds: []Reason{ReasonTimeout}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, reason := range append(all, "") { // "": the policy says nothing, so all of them
				p := c.policy
				if reason != "" {
					p.Fallback = &FallbackPolicy{On: []Reason{reason}}
				}
				want := slices.Contains(c.holds, reason) || reason == "" && len(c.holds) > 0
				synctest.Test(t, func(t *testing.T) {
					e := New("stock", p)
					if c.before != nil {
						c.before(e)
					}
					var given error
					made, discarded := 0, 0
					v, err := Run(ctxBG, e, Call[int]{
						Do:       func(ctx context.Context) (int, error) { made++; return 1, c.do(ctx) },
						Discard:  func(int) { discarded++ },
						Fallback: func(_ context.Context, err error) (int, error) { given = err; return 2, nil },
					})
					if used := v == 2 && err == nil && given != nil; used != want || (e.Stats().Fallbacks == 1) != want {
						t.Errorf("%q: fallback used: %v, want %v; %d, %v", reason, used, want, v, err)
					}
					kept := made - discarded
					if want && kept != 0 || !want && kept != min(made, 1) {
						t.Errorf("%q: of %d values %d were kept", reason, made, kept)
					}
					time.Sleep(2 * time.Hour) // whoever is inside leaves
				})
			}
		})
	}
}

func TestNoFallbackForACallerWhoHasLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(ctxBG)
	_, err := Run(ctx, New("stock", Policy{}), Call[int]{
		Do:       func(context.Context) (int, error) { cancel(); return 0, errDown },
		Fallback: func(context.Context, error) (int, error) { t.Error("asked"); return 0, nil },
	})
	if err != errDown {
		t.Error(err)
	}
}

func TestStatsCountWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{TryTimeout: time.Second, Retry: &RetryPolicy{MaxAttempts: 2, Budget: 0.1}, Breaker: &BreakerPolicy{ConsecutiveFailures: 40, OpenFor: time.Second}})
		if s := e.Stats(); s != (Stats{Budget: 1}) {
			t.Errorf("at the start: %+v", s)
		}
		for range 20 {
			_ = e.Do(ctxBG, fail) // 12 retries: the reserve of 10, and what 20 calls earn
		}
		_ = e.Do(ctxBG, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		s := e.Stats()
		if s.Retries+s.RetriesRefused != 21 || s.Retries < 10 || s.Retries > 12 || s.Failures != 21+s.Retries || s.Timeouts != 2 || s.Budget > 0.2 {
			t.Errorf("after 21 failed calls, the last with two timeouts: %+v", s)
		}
		for e.State() == Closed {
			_ = e.Do(ctxBG, fail)
		}
		_ = e.Do(ctxBG, succeed)
		time.Sleep(time.Second)
		_ = e.Do(ctxBG, succeed)
		if s := e.Stats(); s.Opened != 1 || s.HalfOpened != 1 || s.Closed != 1 || s.RefusedOpen != 1 || s.State != Closed {
			t.Errorf("after opening and closing: %+v", s)
		}
	})
}

func TestRefusalsAreToldOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Event
		e := New("stock", Policy{RateLimit: &RateLimitPolicy{PerSecond: 1, Burst: 1}}, OnEvent(func(e Event) { told = append(told, e) }))
		for range 2500 {
			_ = e.Do(ctxBG, succeed)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if len(told) != 3 {
			t.Fatalf("%d events in 2.5s, want 3", len(told))
		}
		for _, event := range told {
			if event.Kind != Refused || !errors.Is(event.Err, ErrLimited) || event.Name != "stock" {
				t.Errorf("told %+v", event)
			}
		}
	})
}

// recorded is a span that keeps its events.
type recorded struct {
	noop.Span
	events []string
	attrs  []attribute.KeyValue
}

func (r *recorded) IsRecording() bool { return true }
func (r *recorded) AddEvent(name string, options ...trace.EventOption) {
	r.events = append(r.events, strings.TrimPrefix(name, "seatrial.dependency."))
	c := trace.NewEventConfig(options...)
	r.attrs = append(r.attrs, c.Attributes()...)
}

func TestTheCallersSpanTellsWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		span := &recorded{}
		ctx := trace.ContextWithSpan(ctxBG, span)
		e := New("stock", Policy{Retry: &RetryPolicy{MaxAttempts: 2}, Breaker: &BreakerPolicy{ConsecutiveFailures: 2, OpenFor: time.Second}})
		call := Call[int]{Do: func(context.Context) (int, error) { return 0, errDown }, Fallback: func(context.Context, error) (int, error) { return 0, nil }}
		_, _ = Run(ctx, e, call)
		time.Sleep(time.Second)
		call.Do = func(context.Context) (int, error) { return 0, nil }
		_, _ = Run(ctx, e, call)
		if want := []string{"retry", "state", "fallback", "state", "state"}; !slices.Equal(span.events, want) {
			t.Errorf("events %q, want %q", span.events, want)
		}
		for _, want := range []attribute.KeyValue{attrDependency.String("stock"), attrFrom.String("closed"), attrTo.String("open"), attrAttempt.Int(1), attrError.String("down")} {
			if !slices.Contains(span.attrs, want) {
				t.Errorf("no attribute %v in %v", want, span.attrs)
			}
		}
	})
}
