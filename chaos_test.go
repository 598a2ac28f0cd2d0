package seatrial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/resilience"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
)

// Without an experiment a flag of faults does nothing, whoever it serves them to, and neither does a
// trial of another kind, nor an experiment before its fault is on. In the latter both arms are watched.
func TestS3FaultsNeedAnExperimentThatIsOn(t *testing.T) {
	serving := faultFlagOf(failing)
	serving.DefaultVariant = "fault"
	overridden := faultFlagOf(failing)
	overridden.Overrides = []flag.Override{{Variant: "fault", Units: []string{"user-1"}}}
	rollout := trialOn(serving, 0, 50)
	rollout.Fault, rollout.Secret = false, ""
	steady := trialOn(serving, 0, 50)
	steady.Fault = false
	bothControl := steady
	bothControl.Treatment = bothControl.Control
	tests := map[string]struct {
		set     flag.Set
		exposed bool
	}{
		"default variant":     {setAt(1, serving), false},
		"override":            {setAt(1, overridden), false},
		"rollout":             {setAt(1, serving, rollout), false},
		"steady phase":        {setAt(1, serving, steady), true},
		"steady, one variant": {setAt(1, faultFlagOf(failing), bothControl), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane(t, test.set)
				c := p.open(allowed())
				for i := range 20 {
					ctx, w := c.Begin(WithContext(t.Context(), NewContext(fmt.Sprint("user-", i))))
					if err := c.Dependency("payment").Do(ctx, succeed); err != nil {
						t.Error(err)
					}
					w.End(nil)
				}
				if got := len(p.arrivedAt(c)) > 0; got != test.exposed {
					t.Errorf("exposed %v, want %v", got, test.exposed)
				}
			})
		})
	}
}

// When the fault comes on after the steady phase all units are new, and may go wrong again.
func TestUnitsAreNewWhenTheFaultComesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faultFlagOf(failing)
		steady := trialOn(f, 0, 50)
		steady.Fault = false
		in, _ := usersOf(t, faultSet(1, failing))
		p := newPlane(t, setAt(1, f, steady))
		c := p.open(allowed())
		call := func() {
			ctx, w := c.Begin(in)
			_ = c.Dependency("payment").Do(ctx, succeed)
			w.End(errDown)
		}
		call()
		p.publish(setAt(2, f, trialOn(f, 1, 50)))
		synctest.Wait()
		call()
		one := arrived{Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1}
		p.wantArrived(c, map[string]arrived{inTreatment: one, "f-trial.1.1 treatment": one})
	})
}

// S10: what a fault hit is evidence for its own experiment only.
func TestS10HitsAreLeftOutOfOtherTrials(t *testing.T) {
	half := strings.Replace(failing, `"rate":1`, `"rate":0.5`, 1)
	hits := map[string]func(e *edge, ctx context.Context) bool{
		"here": func(e *edge, ctx context.Context) bool {
			return e.inside.Dependency("payment").Do(ctx, succeed) != nil
		},
		"in a unit of work within": func(e *edge, ctx context.Context) bool {
			ctx, w := e.inside.Begin(ctx)
			defer w.End(nil)
			return e.inside.Dependency("payment").Do(ctx, succeed) != nil
		},
		"retried, and in the end well": func(e *edge, ctx context.Context) bool {
			d := e.inside.Dependency("payment")
			first := d.Do(ctx, succeed)
			return first != nil || d.Do(ctx, succeed) != nil
		},
	}
	for name, hit := range hits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other := release("other")
				f := faultFlagOf(half)
				e := newEdge(t, setAt(1, f, trialOn(f, 0, 50), other, trialOn(other, 0, 50)), allowed())
				excluded := 0
				for i := range 100 {
					ctx, w := e.inside.Begin(WithContext(t.Context(), NewContext(fmt.Sprint("user-", i))))
					e.inside.Bool(ctx, "other", false)
					if hit(e, ctx) {
						excluded++
					}
					w.End(nil)
				}
				got := e.plane.arrivedAt(e.inside)
				if n := got["other-trial.1.0 treatment"].Requests + got["other-trial.1.0 control"].Requests; excluded < 10 || n != uint64(100-excluded) {
					t.Errorf("%d of 100 counted for the other trial, %d were hit", n, excluded)
				}
				if n := got[inTreatment].Requests + got[inControl].Requests; n != 100 {
					t.Errorf("%d of 100 counted for the experiment", n)
				}
				if s := e.inside.Status(); s.Excluded != uint64(excluded) {
					t.Errorf("status tells of %d, want %d", s.Excluded, excluded)
				}
			})
		})
	}
	t.Run("further inside", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			other := release("other")
			f := faultFlagOf(failing)
			set := setAt(1, f, trialOn(f, 0, 50), other, trialOn(other, 0, 50))
			e := newEdge(t, set, allowed())
			in, out := usersOf(t, set)
			for _, ctx := range []context.Context{in, out} {
				_ = e.call(ctx, func(ctx context.Context) { e.outside.Bool(ctx, "other", false) })
			}
			got := e.plane.arrivedAt(e.outside)
			if n := got["other-trial.1.0 treatment"].Requests + got["other-trial.1.0 control"].Requests; n != 1 || e.outside.Status().Excluded != 1 {
				t.Errorf("%d of two counted for the other trial: %+v", n, got)
			}
		})
	})
}

// numbers gives what reports say of one metric, by the values of its attributes in order; of sums the
// sum, of gauges the last.
func (p *plane) numbers(name string) map[string]float64 {
	taken, _ := p.reports()
	all := map[string]float64{}
	for _, r := range taken {
		for _, m := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			if m.Name != name {
				continue
			}
			for _, point := range m.GetSum().GetDataPoints() {
				all[labels(point)] += float64(point.GetAsInt())
			}
			for _, point := range m.GetGauge().GetDataPoints() {
				all[labels(point)] = float64(point.GetAsInt()) + point.GetAsDouble()
			}
		}
	}
	return all
}

func labels(p *metrics.NumberDataPoint) string {
	var list []string
	for _, a := range p.Attributes {
		list = append(list, a.Value.GetStringValue())
	}
	return strings.Join(list, " ")
}

func (p *plane) wantNumbers(c *Client, name string, want map[string]float64) {
	p.t.Helper()
	if err := c.Flush(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	if got := p.numbers(name); !maps.Equal(got, want) {
		p.t.Errorf("%s: %v\nwant %v", name, got, want)
	}
}

// Every hit is reported, by point, kind and phase, also outside of units of work.
func TestInjectionsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, `{"point":"stock","rate":1,"faults":[{"kind":"latency","phase":"after","min":"1s","max":"1s"}]}`)
		in, out := usersOf(t, set)
		p := newPlane(t, set)
		c := p.open(allowed())
		for range 3 {
			_ = c.Dependency("stock").Do(in, succeed)
			_ = c.Dependency("stock").Do(out, succeed)
		}
		ctx, w := c.Begin(in)
		_ = c.Dependency("stock").Do(ctx, succeed)
		w.End(nil)
		p.wantNumbers(c, outcome.MetricInjections, map[string]float64{"f f-trial f-trial.1.0  treatment fault stock latency after": 4})
		p.wantNumbers(c, outcome.MetricInjections, map[string]float64{"f f-trial f-trial.1.0  treatment fault stock latency after": 4})
	})
}

// tellsOf counts how often the plane was told of a point.
func (p *plane) tellsOf(point string) (n int) {
	taken, _ := p.reports()
	for _, r := range taken {
		for _, m := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			for _, d := range m.GetSum().GetDataPoints() {
				if m.Name == outcome.MetricTraffic && labels(d) == point {
					n++
				}
			}
		}
	}
	return n
}

// Points are told of when the client connects, when the first call comes, and each minute.
func TestPointsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, setAt(1))
		c := p.open(allowed())
		told := func(want map[string]float64) {
			t.Helper()
			synctest.Wait()
			got := p.numbers(outcome.MetricTraffic)
			for name := range got {
				if !slices.Contains([]string{"payment true", "orders true", "stock true", "payment false", "stock false"}, name) {
					delete(got, name) // of other tests, in the registry of the process
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("told %v, want %v", got, want)
			}
		}
		d, orders := c.Dependency("payment"), c.Point("orders")
		if c.Point("orders") != orders || orders == nil || d.Point() != c.Point("payment") {
			t.Error("points of one name differ")
		}
		time.Sleep(6 * time.Second)
		told(map[string]float64{"payment true": 0, "orders true": 0})
		_ = d.Do(t.Context(), succeed)
		_ = orders.Inject(t.Context())
		time.Sleep(6 * time.Second)
		told(map[string]float64{"payment true": 1, "orders true": 1})
		_ = d.Do(t.Context(), succeed)
		time.Sleep(30 * time.Second)
		told(map[string]float64{"payment true": 1, "orders true": 1})
		time.Sleep(45 * time.Second)
		told(map[string]float64{"payment true": 2, "orders true": 1})
		c.Point("stock")
		time.Sleep(6 * time.Second)
		told(map[string]float64{"payment true": 2, "orders true": 1, "stock true": 0})
		p.fail(503)
		p.fail(0)
		time.Sleep(20 * time.Second)
		if taken, _ := p.reports(); len(taken) == 0 || p.tellsOf("stock true") != 2 {
			t.Errorf("told of stock %d times, want it again after a connection was lost", p.tellsOf("stock true"))
		}
		if p := p.open().Point("stock"); p != nil {
			t.Error("a point where faults are not allowed")
		}
	})
}

func TestPointsAreReportedWhereFaultsAreNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, setAt(1))
		c := p.open()
		if c.Dependency("payment").Point() != nil || c.Point("orders") != nil {
			t.Error("a point")
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := p.numbers(outcome.MetricTraffic); got["payment false"] != 0 || got["orders false"] != 0 || len(got) < 2 {
			t.Errorf("%v", got)
		}
	})
}

// The points of the process belong to the first client that may inject faults, until it is closed.
func TestPointsOfTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, strings.Replace(failing, "payment", "process-wide", 1))
		in, out := usersOf(t, set)
		p := newPlane(t, set)
		point := fault.Register("process-wide")
		p.open()
		if err := point.Inject(in); err != nil {
			t.Errorf("no client may: %v", err)
		}
		first, second := p.open(allowed()), p.open(allowed())
		if err := point.Inject(in); !errors.Is(err, fault.ErrInjected) || point.Inject(out) != nil || point.Inject(t.Context()) != nil {
			t.Errorf("%v", err)
		}
		late := fault.Register("process-wide, late")
		_ = late.Inject(t.Context())
		for _, c := range []*Client{first, second} {
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.numbers(outcome.MetricTraffic); got["process-wide true"] != 1 || got["process-wide, late true"] != 1 {
			t.Errorf("told of %v, want it once", got)
		}
		_ = first.Close(t.Context())
		if err := point.Inject(in); err != nil {
			t.Errorf("closed: %v", err)
		}
		third := p.open(allowed())
		if err := point.Inject(in); !errors.Is(err, fault.ErrInjected) {
			t.Errorf("another client: %v", err)
		}
		_ = third
	})
}

// A snapshot that a client is still at when it is closed does not touch points that another client
// has taken over.
func TestAClosedClientLeavesPointsAlone(t *testing.T) {
	set := faultSet(1, strings.Replace(failing, "payment", "process-wide", 1))
	in, _ := usersOf(t, set)
	point := fault.Register("process-wide")
	open := func() *Client {
		c := offline(t, set, allowed())
		c.renewLease()
		return c
	}
	first := open()
	places := first.faultPoints.all()
	place := places[slices.IndexFunc(places, func(p *place) bool { return p.point == point })]
	place.mu.Lock() // the snapshot is at this point, and has news for it …
	place.faults = nil
	var busy sync.WaitGroup
	busy.Go(func() { first.arm(place) })
	time.Sleep(10 * time.Millisecond)
	closed := make(chan struct{})
	go func() { _ = first.Close(t.Context()); close(closed) }()
	select { // … for as long as it can be
	case <-closed:
	case <-time.After(50 * time.Millisecond):
		place.mu.Unlock()
		<-closed
		place.mu.Lock()
	}
	second := open()
	place.mu.Unlock()
	busy.Wait()
	if err := point.Inject(in); !errors.Is(err, fault.ErrInjected) {
		t.Errorf("the other client's fault: %v; %q", err, second.Status().FaultsOff)
	}
}

// "Fail two, then work" is counted by unit of work and point.
func TestSequencesAreByUnitOfWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, `{"point":"payment","rate":1,"sequence":[{"count":2,"fault":{"kind":"error"}},{"count":1}]}`)
		in, _ := usersOf(t, set)
		c := newPlane(t, set).open(allowed())
		for range 3 {
			ctx, w := c.Begin(in)
			got := ""
			for range 4 {
				got += map[bool]string{true: "x", false: "-"}[c.Dependency("payment").Do(ctx, succeed) != nil]
			}
			if w.End(nil); got != "xx--" {
				t.Errorf("a unit of work met %s", got)
			}
		}
	})
}

// Dependencies are told of with their state from the start, at the next flush when it changes, and
// once a minute.
func TestDependenciesAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var mu sync.Mutex
		handler := slog.NewTextHandler(lockedWriter{&mu, &log}, nil)
		p := newPlane(t, policySet(1, "strict", breaks))
		meters := &meters{}
		c := p.open(WithLogger(slog.New(handler)), WithMeterProvider(meters))
		d := c.Dependency("payment")
		inCode := c.Dependency("stock")
		time.Sleep(6 * time.Second)
		if got := p.numbers(outcome.MetricState); !maps.Equal(got, map[string]float64{"payment strict": 0, "stock ": 0}) {
			t.Errorf("at the start: %v", got)
		}
		if got := meters.collect(); got[outcome.MetricState+" payment strict"] != 0 || got[outcome.MetricDependency+" payment opened strict"] != 0 || len(got) != 2*(4+len(dependencyEvents)) {
			t.Errorf("metrics at the start: %v", got)
		}
		for range 3 {
			attempts(t.Context(), d)
		}
		attempts(t.Context(), inCode)
		if d.State() != resilience.Open {
			t.Fatal("the breaker is not open")
		}
		time.Sleep(6 * time.Second)
		if got := p.numbers(outcome.MetricState); got["payment strict"] != outcome.StateOpen {
			t.Errorf("opened: %v", got)
		}
		if got := meters.collect(); got[outcome.MetricState+" payment strict"] != outcome.StateOpen || got[outcome.MetricDependency+" payment opened strict"] != 1 {
			t.Errorf("metrics: %v", got)
		}
		time.Sleep(2 * time.Minute)
		if got := p.numbers(outcome.MetricDependency); got["payment strict opened"] != 1 || got["payment strict refused_open"] != 1 || got["payment strict failure"] != 2 {
			t.Errorf("events: %v", got)
		}
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(log.String(), "the breaker is open") || !strings.Contains(log.String(), "dependency=payment") {
			t.Errorf("log: %s", &log)
		}
		_ = c.Close(t.Context())
		if meters.callback != nil {
			t.Error("the callback outlives the client")
		}
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// A unit of work that goes on for another unit, as a batch does, decides for that anew; what came with
// the call holds whoever it goes on for.
func TestPartsFollowTheUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, out := usersOf(t, set)
		c := newPlane(t, set).open(allowed())
		treated, _ := FromContext(in)
		other, _ := FromContext(out)
		hits := func(ctx context.Context) (hits string) {
			ctx, w := c.Begin(ctx)
			defer w.End(nil)
			for _, unit := range []Context{{}, other, treated, other} {
				hits += map[bool]string{true: "x", false: "-"}[c.Dependency("payment").Do(WithContext(ctx, unit), succeed) != nil]
			}
			return hits
		}
		if got := hits(t.Context()); got != "--x-" {
			t.Errorf("nobody, control, treatment, control: %s", got)
		}
		if got := hits(decidedBy(c, in)); got != "xxxx" {
			t.Errorf("told to be in the treatment: %s", got)
		}
	})
}
