package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// hitKey marks the contexts of calls that are to be hit.
type hitKey struct{}

// The tests C1 to C3 are named by the defects of fault injectors that they exclude, S1 to S11 by
// the safety rules that they hold us to.

var (
	ctxBG   = context.Background()
	errReal = errors.New("real failure")
)

func succeed(context.Context) error { return nil }

// always gives a source of a program that hits every call with f.
func always(f Fault) Source {
	p := &Program{Rate: 1, Faults: []Fault{f}}
	return SourceFunc(func(context.Context) (*Program, Assignment) {
		return p, Assignment{Experiment: "storm", Variant: "hit"}
	})
}

// armed makes a point where every call is hit with f.
func armed(f Fault) *Point {
	p := NewPoint("stock", Caps{MaxLatency: time.Hour})
	p.Arm(always(f), nil)
	return p
}

var slow = Fault{Kind: KindLatency, Min: 10 * time.Second, Max: 10 * time.Second}

func TestC2TheKillSwitchWaitsForNobodyAndCutsLatenciesShort(t *testing.T) {
	kills := map[string]struct {
		kill  func(*Point, *Lease)
		takes time.Duration
	}{
		"off":         {kill: func(p *Point, _ *Lease) { p.Off() }},
		"lease ended": {kill: func(_ *Point, l *Lease) { l.End() }},
		"other program": {kill: func(p *Point, _ *Lease) {
			p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) { return nil, Assignment{} }), nil)
		}},
		"nil source":  {kill: func(p *Point, _ *Lease) { p.Arm(nil, nil) }},
		"not renewed": {kill: func(*Point, *Lease) {}, takes: 4 * time.Second},
	}
	for name, k := range kills {
		for _, phase := range []Phase{Before, After} {
			t.Run(name+" "+string(phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lease := NewLease(5 * time.Second)
					p := NewPoint("stock", Caps{MaxLatency: time.Hour})
					f := slow
					f.Phase = phase
					p.Arm(always(f), lease)
					var made atomic.Int64
					var all sync.WaitGroup
					began := time.Now()
					for range 50 {
						all.Go(func() {
							if err := p.Do(ctxBG, func(context.Context) error { made.Add(1); return nil }); err != nil {
								t.Errorf("a latency that was cut short gave %v", err)
							}
						})
					}
					time.Sleep(time.Second)
					synctest.Wait()
					if p.Active() != 50 || p.Injected() != 50 {
						t.Fatalf("%d calls under a fault, %d hit", p.Active(), p.Injected())
					}
					k.kill(p, lease)
					if took := time.Since(began); took != time.Second {
						t.Errorf("the switch took %v", took-time.Second)
					}
					all.Wait()
					if took := time.Since(began) - time.Second; took != k.takes || made.Load() != 50 {
						t.Errorf("calls went on after %v, %d were made; want %v and 50", took, made.Load(), k.takes)
					}
					began = time.Now()
					_ = p.Do(ctxBG, succeed)
					if time.Since(began) != 0 || p.Injected() != 50 || p.Active() != 0 {
						t.Errorf("a new call took %v; %d hit, %d active", time.Since(began), p.Injected(), p.Active())
					}
				})
			})
		}
	}
}

func TestC3CallsThatAreNotHitNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPoint("stock", Caps{})
		lease := NewLease(0)
		source := SourceFunc(func(ctx context.Context) (*Program, Assignment) {
			if ctx.Value(hitKey{}) == nil {
				return nil, Assignment{}
			}
			return always(slow).Program(ctx)
		})
		p.Arm(source, lease)
		for range 50 {
			go func() { _ = p.Do(context.WithValue(ctxBG, hitKey{}, true), succeed) }()
		}
		synctest.Wait()
		began := time.Now()
		var all sync.WaitGroup
		for range 100 { // while the point is killed and armed over and over
			all.Go(func() { p.Off(); p.Arm(source, lease) })
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctxBG, 50*time.Millisecond)
				defer cancel()
				if err := p.Do(ctx, func(ctx context.Context) error { return ctx.Err() }); err != nil {
					t.Errorf("an unrelated call: %v", err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("calls and switches waited %v", took)
		}
		lease.End()
	})
}

func TestS1FaultsEndWithTheirLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := NewLease(time.Hour) // too long
		p := NewPoint("stock", Caps{})
		p.Arm(always(Fault{Kind: KindError}), lease)
		hit := func() bool { return errors.Is(p.Do(ctxBG, succeed), ErrInjected) }
		time.Sleep(MaxLease - 1)
		if !hit() || !p.Armed() {
			t.Error("over before its time")
		}
		lease.Renew()
		time.Sleep(MaxLease - 1)
		if !hit() {
			t.Error("renewed, but over")
		}
		time.Sleep(time.Nanosecond)
		if hit() || p.Armed() || lease.Live() {
			t.Error("not renewed, but faults go on")
		}
		lease.Renew() // late is not never: the control plane is back
		if !hit() {
			t.Error("revived, but over")
		}
		p.Arm(always(Fault{Kind: KindError}), nil)
		time.Sleep(MaxLease)
		if hit() {
			t.Error("a lease that nobody can renew goes on")
		}
	})
	if !strings.Contains(started.String(), "m=") {
		t.Error("the clock has no monotonic reading: setting the wall clock would prolong faults")
	}
}

func TestS2AnEndedLeaseStaysEnded(t *testing.T) {
	lease := NewLease(0)
	p := armed(Fault{Kind: KindError})
	p.Arm(always(Fault{Kind: KindError}), lease)
	lease.End()
	lease.End()
	lease.Renew()
	if err := p.Do(ctxBG, succeed); err != nil || lease.Live() || p.Armed() {
		t.Errorf("the kill switch was undone: %v", err)
	}
	var zero Lease
	zero.Renew()
	if zero.Live() {
		t.Error("a lease of no length lives")
	}
	zero.End()
}

func TestC9MaxActiveIsNeverExceededByOne(t *testing.T) {
	for _, c := range []struct{ caps, program, want int }{{10, 0, 10}, {10, 5, 5}, {5, 10, 5}, {0, 0, 100}, {3, 1_000_000_000, 3}} {
		t.Run(fmt.Sprintf("caps %d program %d", c.caps, c.program), func(t *testing.T) {
			p := NewPoint("stock", Caps{MaxActive: c.caps})
			program := &Program{Rate: 1, MaxActive: c.program, Faults: []Fault{{Kind: KindCancel, Min: time.Minute, Max: time.Minute}}}
			p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) { return program, Assignment{} }), nil)
			var seen, calls atomic.Int64
			release := make(chan struct{})
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					_ = p.Do(ctxBG, func(ctx context.Context) error {
						if ctx != ctxBG { // it is under a fault
							seen.Add(1)
						}
						if calls.Add(1) == 1000 {
							close(release)
						}
						<-release
						return nil
					})
				})
			}
			all.Wait()
			if seen.Load() != int64(c.want) || p.Active() != 0 {
				t.Errorf("%d calls under a fault at a time (%d left), want %d", seen.Load(), p.Active(), c.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := NewPoint("stock", Caps{MaxLatency: 2 * time.Second, MaxRate: 0.25})
		p.Arm(always(Fault{Kind: KindLatency, Min: time.Hour, Max: 2 * time.Hour}), nil)
		const calls = 4000
		for range calls {
			p.armed.Load().lease.Renew()
			began := time.Now()
			_ = p.Do(ctxBG, succeed)
			if took := time.Since(began); took > 2*time.Second {
				t.Fatalf("a call was held up for %v", took)
			}
		}
		within(t, "share under a cap of 25%", int(p.Injected()), calls, 0.25)
	})
}

// panicking is a span that does not work.
type panicking struct{ trace.Span }

func (panicking) IsRecording() bool                   { panic("span") }
func (panicking) SpanContext() trace.SpanContext      { return trace.SpanContext{} }
func (panicking) SetAttributes(...attribute.KeyValue) {}

func TestS7WhatMakesNoSenseDoesNothing(t *testing.T) {
	sources := map[string]Source{
		"panics":       SourceFunc(func(context.Context) (*Program, Assignment) { panic("broken") }),
		"nil function": SourceFunc(nil),
		"no program":   SourceFunc(func(context.Context) (*Program, Assignment) { return nil, Assignment{} }),
		"unknown kind": always(Fault{Kind: "explode"}),
		"no kind":      always(Fault{}),
		"no weight":    always(Fault{Kind: KindError, Weight: -5}),
		"other's point": SourceFunc(func(context.Context) (*Program, Assignment) {
			return &Program{Point: "prices", Rate: 1, Faults: []Fault{{Kind: KindError}}}, Assignment{}
		}),
		"no faults": SourceFunc(func(context.Context) (*Program, Assignment) { return &Program{Rate: 1}, Assignment{} }),
		"no rate": SourceFunc(func(context.Context) (*Program, Assignment) {
			return &Program{Faults: []Fault{{Kind: KindError}}}, Assignment{}
		}),
	}
	for name, s := range sources {
		p := NewPoint("stock", Caps{})
		p.Arm(s, nil)
		if err := p.Do(ctxBG, func(context.Context) error { return errReal }); err != errReal || p.Injected() != 0 || p.Active() != 0 {
			t.Errorf("%s: %v, %d injected, %d active", name, err, p.Injected(), p.Active())
		}
	}
	p := armed(Fault{Kind: KindError})
	if err := p.Do(trace.ContextWithSpan(ctxBG, panicking{}), succeed); !errors.Is(err, ErrInjected) {
		t.Errorf("with a broken span: %v", err)
	}
	var none *Point
	if err := none.Do(ctxBG, func(context.Context) error { return errReal }); err != errReal {
		t.Errorf("nil point: %v", err)
	}
}

func TestACallThatPanicsGivesItsPlaceBack(t *testing.T) {
	p := armed(Fault{Kind: KindCancel, Min: time.Minute, Max: time.Minute})
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not go on")
			}
		}()
		_ = p.Do(ctxBG, func(context.Context) error { panic("boom") })
	}()
	if p.Active() != 0 {
		t.Errorf("%d calls under a fault", p.Active())
	}
}

func TestC7InjectedErrorsAreKnownFromRealOnes(t *testing.T) {
	cases := []struct {
		name         string
		fault        Fault
		status       int
		code         string
		retryable    bool
		called       bool
		real         error // of the call
		injectedWins bool
	}{
		{name: "plain", fault: Fault{Kind: KindError}, status: 503, code: "UNAVAILABLE", retryable: true, injectedWins: true},
		{name: "by status", fault: Fault{Kind: KindError, Status: 404}, status: 404, code: "NOT_FOUND", injectedWins: true},
		{name: "by code", fault: Fault{Kind: KindError, Code: "RESOURCE_EXHAUSTED"}, status: 429, code: "RESOURCE_EXHAUSTED", retryable: true, injectedWins: true},
		{name: "both", fault: Fault{Kind: KindError, Status: 500, Code: "ABORTED"}, status: 500, code: "ABORTED", retryable: true, injectedWins: true},
		{name: "nonsense", fault: Fault{Kind: KindError, Status: 200, Code: "OK"}, status: 503, code: "UNAVAILABLE", retryable: true, injectedWins: true},
		{name: "reply lost", fault: Fault{Kind: KindError, Phase: After}, status: 503, code: "UNAVAILABLE", retryable: true, called: true, injectedWins: true},
		{name: "reply lost, but there was none", fault: Fault{Kind: KindError, Phase: After}, called: true, real: errReal},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			called := false
			err := armed(c.fault).Do(ctxBG, func(context.Context) error { called = true; return c.real })
			if called != c.called {
				t.Errorf("called: %v", called)
			}
			if !c.injectedWins {
				if err != c.real {
					t.Errorf("got %v, want the real error", err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, ErrInjected) || errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			if e.Status != c.status || e.Code != c.code || e.Retryable() != c.retryable {
				t.Errorf("%d %s, retryable %v; want %d %s, %v", e.Status, e.Code, e.Retryable(), c.status, c.code, c.retryable)
			}
			if in, ok := From(fmt.Errorf("paying: %w", err)); !ok || in.Experiment != "storm" || in.Variant != "hit" || in.Point != "stock" {
				t.Errorf("From gives %+v", in)
			}
		})
	}
	if _, ok := From(errReal); ok {
		t.Error("a real failure counts as injected")
	}
	err := armed(Fault{Kind: KindError, Message: "no capacity"}).Do(ctxBG, succeed)
	if want := `fault: injected error at point "stock" by experiment "storm": no capacity`; err.Error() != want {
		t.Errorf("says %q, want %q", err, want)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := armed(slow)
		began := time.Now()
		if err := p.Do(ctxBG, func(context.Context) error { return errReal }); err != errReal || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		called := false
		ctx, cancel := context.WithTimeout(ctxBG, time.Second)
		defer cancel()
		began = time.Now()
		err := p.Do(ctx, func(context.Context) error { called = true; return nil })
		if time.Since(began) != time.Second || called || !errors.Is(err, ErrInjected) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %v, called: %v", err, time.Since(began), called)
		}
	})
	synctest.Test(t, func(t *testing.T) { // longer than the lease, which is renewed
		lease := NewLease(3 * time.Second)
		p := NewPoint("stock", Caps{MaxLatency: time.Minute})
		p.Arm(always(slow), lease)
		go func() {
			for range 4 {
				time.Sleep(2 * time.Second)
				lease.Renew()
			}
		}()
		began := time.Now()
		_ = p.Do(ctxBG, succeed)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("held up for %v", took)
		}
	})
}

func TestC6CancellationIsReal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Minute):
				return errReal
			}
		}
		p := armed(Fault{Kind: KindCancel, Min: time.Second, Max: time.Second})
		began := time.Now()
		var cause error
		err := p.Do(ctxBG, func(ctx context.Context) error {
			defer func() { cause = context.Cause(ctx) }()
			return wait(ctx)
		})
		if took := time.Since(began); took != time.Second || !errors.Is(err, ErrInjected) || !errors.Is(err, context.Canceled) || !errors.Is(cause, ErrInjected) {
			t.Errorf("%v with cause %v after %v", err, cause, took)
		}
		// At once, and a call that does not mind.
		now := armed(Fault{Kind: KindCancel})
		if err := now.Do(ctxBG, func(ctx context.Context) error { return ctx.Err() }); !errors.Is(err, ErrInjected) {
			t.Errorf("at once: %v", err)
		}
		if err := now.Do(ctxBG, func(context.Context) error { return errReal }); !errors.Is(err, context.Canceled) || !errors.Is(err, errReal) {
			t.Errorf("a call that says it in other words: %v", err)
		}
		if err := now.Do(ctxBG, succeed); err != nil {
			t.Errorf("a call that succeeds anyway: %v", err)
		}
		// What ended before is not ours, and neither is the caller's own end.
		if err := p.Do(ctxBG, func(context.Context) error { return errReal }); err != errReal {
			t.Errorf("a failure before the cancellation: %v", err)
		}
		ctx, cancel := context.WithTimeout(ctxBG, time.Millisecond)
		defer cancel()
		if err := p.Do(ctx, wait); errors.Is(err, ErrInjected) {
			t.Errorf("the caller's own end: %v", err)
		}
		// Switched off in between: the call goes on.
		time.AfterFunc(time.Second/2, p.Off)
		if err := p.Do(ctxBG, wait); err != errReal {
			t.Errorf("switched off: %v", err)
		}
	})
}

func TestS10WhatWasInjectedIsMarkedInTheSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test")
		for _, f := range []Fault{{Kind: KindError, Phase: After}, slow} {
			ctx, span := tracer.Start(ctxBG, "pay")
			_ = armed(f).Do(ctx, succeed)
			span.End()
		}
		wantPhase := map[Kind]string{KindError: "after", KindLatency: "before"}
		for _, s := range recorder.Ended() {
			set := attribute.NewSet(s.Attributes()...)
			get := func(key attribute.Key) string { v, _ := set.Value(key); return v.String() }
			kind := Kind(get(AttrKind))
			if get(AttrExperiment) != "storm" || get(AttrVariant) != "hit" || get(AttrPoint) != "stock" || get(AttrPhase) != wantPhase[kind] {
				t.Errorf("span says %v", s.Attributes())
			}
			if len(s.Events()) != 1 || s.Events()[0].Name != "seatrial.fault" {
				t.Fatalf("events %v", s.Events())
			}
			event := attribute.NewSet(s.Events()[0].Attributes...)
			if delay, ok := event.Value(AttrDelay); (kind == KindLatency) != ok || ok && delay.AsFloat64() != 10 {
				t.Errorf("%s: delay %v", kind, delay.String())
			}
		}
	})
}
