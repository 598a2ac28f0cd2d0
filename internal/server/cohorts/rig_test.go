package cohorts_test

import (
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/cohorts"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// began is when the trials of these tests start.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a time, in seconds since the trial began.
func at(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }

// rig is a tracker that fills a real accumulator.
type rig struct {
	t reporter
	*cohorts.Tracker
	open *intervals.Accumulator
}

// reporter is a test, or a property of rapid.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
}

func newRig(t reporter, l cohorts.Limits, entries ...control.TrialEntry) *rig {
	t.Helper()
	r := &rig{t: t, open: intervals.New(intervals.Limits{})}
	r.Tracker = cohorts.New(r.open, l)
	r.Follow(entries)
	for _, e := range entries {
		if err := r.open.Expect(e.Spec.Name, e.State.Version(e.Spec)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) close(e control.TrialEntry) (treatment, control outcome.Arm) {
	iv := r.open.Close(e.Spec.Name, e.State.Version(e.Spec))
	return iv.Treatment, iv.Control
}

// versions compares v2 with v1 of the shop.
func versions(change ...func(*trial.Spec)) control.TrialEntry {
	spec := trial.Spec{Name: "shop", Cohorts: &trial.Cohorts{Service: "shop", Attribute: "service.version", Treatment: "v2", Control: "v1"}}
	for _, c := range change {
		c(&spec)
	}
	e := control.TrialEntry{}
	e.Spec, e.State = spec, trial.State{Attempt: 1, StartedAt: began}
	return e
}

func texts(pairs ...string) (list []traces.Attribute) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, traces.Attribute{Key: pairs[i], Value: traces.StringValue(pairs[i+1])})
	}
	return list
}

func resource(version, instance string) *cohorts.Resource {
	return &cohorts.Resource{Service: "shop", Attributes: texts("service.name", "shop", "service.version", version, "service.instance.id", instance)}
}

// explicit is a histogram of milliseconds with the default bounds of SDKs, or others.
func explicit(counts map[float64]uint64, bounds ...float64) cohorts.Buckets {
	if len(bounds) == 0 {
		bounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	}
	b := cohorts.Buckets{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
	for value, n := range counts {
		k := 0
		for k < len(bounds) && value > bounds[k] {
			k++
		}
		b.Counts[k] += n
		b.Sum += value * float64(n)
	}
	return b
}

func point(r *cohorts.Resource, start, end float64, b cohorts.Buckets, change ...func(*cohorts.Point)) cohorts.Point {
	p := cohorts.Point{
		Resource: r, Metric: "http.server.request.duration", Unit: "s", Cumulative: true,
		Start: at(start).UnixNano(), End: at(end).UnixNano(), Buckets: b,
		Attributes: texts("http.request.method", "GET", "http.response.status_code", "200"),
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func failed(p *cohorts.Point) { p.Attributes = texts("http.response.status_code", "503") }
func delta(p *cohorts.Point)  { p.Cumulative = false }

// fast are n requests of 20 ms.
func fast(n uint64) cohorts.Buckets { return explicit(map[float64]uint64{0.02: n}) }

func (r *rig) send(at time.Time, points ...cohorts.Point) {
	r.AddPoints(points, at)
}

func (r *rig) want(e control.TrialEntry, what, want string) {
	r.t.Helper()
	t, c := r.close(e)
	if got := fmt.Sprintf("treatment %d/%d control %d/%d", t.Bad, t.Requests, c.Bad, c.Requests); got != want {
		r.t.Errorf("%s: %s, want %s", what, got, want)
	}
}
