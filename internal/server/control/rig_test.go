package control_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

var day0 = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// rig is a service on a log in memory with a clock that stands still until it is moved.
type rig struct {
	*control.Service
	t   testing.TB
	log *storetest.Memory
	now time.Time
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return joinRig(t, storetest.NewMemory())
}

// joinRig gives one more service on a log.
func joinRig(t testing.TB, log *storetest.Memory) *rig {
	t.Helper()
	r := &rig{t: t, log: log, now: day0}
	r.Service = r.open(control.Config{})
	return r
}

func (r *rig) open(cfg control.Config) *control.Service {
	r.t.Helper()
	cfg.Log, cfg.Journal, cfg.Environment = r.log, r.log, "test"
	cfg.Now = func() time.Time { return r.now }
	s, err := control.New(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// restart gives a service that has read the log from the start.
func (r *rig) restart() *rig {
	return &rig{Service: r.open(control.Config{}), t: r.t, log: r.log, now: r.now}
}

var ana = control.WriteOptions{Actor: "ana"}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantCode checks an error's code and that its message says something.
func wantCode(t testing.TB, err error, want control.Code, says string) {
	t.Helper()
	if err == nil || control.CodeOf(err) != want || !strings.Contains(err.Error(), says) {
		t.Errorf("got error %v (%s), want %s with %q", err, control.CodeOf(err), want, says)
	}
}

func pointers(err error) (list []string) {
	var e *control.Error
	if errors.As(err, &e) {
		for _, f := range e.Fields {
			list = append(list, f.Pointer)
		}
	}
	return list
}

// wantEqual compares two values by their JSON and shows where they part.
func wantEqual(t testing.TB, what string, got, want any) {
	t.Helper()
	g, w := asJSON(got), asJSON(want)
	if g == w {
		return
	}
	at := 0
	for at < min(len(g), len(w)) && g[at] == w[at] {
		at++
	}
	around := func(s string) string { return s[max(0, at-80):min(len(s), at+120)] }
	t.Errorf("%s:\n got … %s …\nwant … %s …", what, around(g), around(w))
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// boolFlag is a release flag that is off for everybody.
func boolFlag(key string, change ...func(*flag.Flag)) flag.Flag {
	f := flag.Flag{
		Key: key, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}},
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func faultFlag(key string) flag.Flag {
	return flag.Flag{Key: key, Kind: flag.KindFault, Type: flag.TypeObject, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{
			{Name: "down", Value: json.RawMessage(`{"point":"payment","rate":0.5,"faults":[{"kind":"error","status":503}]}`)},
			{Name: "off", Value: json.RawMessage("null")},
		}}
}

func segment(key string) flag.Segment { return flag.Segment{Key: key, Members: []string{"u1"}} }

// rule serves a variant to a segment.
func rule(segment, variant string) flag.Rule {
	return flag.Rule{When: &flag.Condition{Segment: segment}, Serve: variant}
}

// rollout is a plan on flag f.
func rollout(name, f string, change ...func(*trial.Spec)) trial.Spec {
	spec := trial.Spec{Name: name, Flag: f, Treatment: "on", Control: "off", Watch: trial.Duration(time.Minute)}
	for _, c := range change {
		c(&spec)
	}
	return spec
}

func chaos(name, f string) trial.Spec {
	return trial.Spec{Name: name, Goal: trial.GoalSurvive, Flag: f, Treatment: "down", Control: "off",
		Hypothesis: "orders go on", MaxUnits: 500, Deadline: trial.Duration(30 * time.Minute),
		Steps:      []trial.Step{{Share: 10_000, MinTime: trial.Duration(time.Minute)}},
		Guardrails: []trial.Guardrail{{Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Absolute: 0.02}}}
}

// quiet is an interval in which nothing happens that would decide anything.
func quiet(s trial.State) outcome.Interval {
	arm := outcome.Arm{Requests: 30, NewUnits: 3, AtRiskUnits: 3, Latency: outcome.Histogram{Offset: -140, Counts: []uint64{30}, Sum: 1.5}}
	return outcome.Interval{Seq: s.Seq + 1, Step: s.Step, Steady: s.Steady, From: s.UpdatedAt, To: s.UpdatedAt.Add(15 * time.Second), Treatment: arm, Control: arm}
}

// disaster is an interval in which the treatment fails.
func disaster(s trial.State) outcome.Interval {
	iv := quiet(s)
	iv.Treatment.Bad, iv.Treatment.BadUnits = 30, 3
	return iv
}

// weigh does what the controller does with an interval.
func (r *rig) weigh(name string, interval func(trial.State) outcome.Interval) (control.TrialEntry, error) {
	r.t.Helper()
	entry, err := r.GetTrial(name)
	if err != nil {
		return entry, err
	}
	iv := interval(entry.State)
	state, actions := trial.Next(entry.Spec, entry.State, trial.IntervalClosed{Interval: iv})
	if len(actions) == 0 {
		err := r.record(control.Record{Trial: name, Revision: entry.Revision, Interval: iv, State: state})
		if err != nil {
			return entry, err
		}
		return r.GetTrial(name)
	}
	return r.StoreDecision(r.t.Context(), control.Decision{Trial: name, Revision: entry.Revision, State: state, Interval: &iv, Actions: actions})
}

// record journals one interval.
func (r *rig) record(one control.Record) error {
	r.t.Helper()
	errs := r.RecordIntervals(r.t.Context(), []control.Record{one})
	if len(errs) != 1 {
		r.t.Fatalf("%d errors for one interval", len(errs))
	}
	return errs[0]
}

func (r *rig) defaultOf(key string) string {
	r.t.Helper()
	return must[control.FlagEntry](r.t)(r.GetFlag(key)).DefaultVariant
}

func rawValues(values ...string) (list []json.RawMessage) {
	for _, v := range values {
		list = append(list, json.RawMessage(v))
	}
	return list
}
