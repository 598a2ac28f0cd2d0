package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
	"github.com/seatrial/seatrial/internal/server/traces"
)

var ana = control.WriteOptions{Actor: "ana", Reason: "I know better"}

// rig is a log with one trial, "checkout", on it.
type rig struct {
	t     *testing.T
	log   *storetest.Memory
	admin *control.Service // the one that people use
	sent  counts           // by fleets, to whichever accumulator
}

// counts are the requests of both arms.
type counts struct{ treatment, control atomic.Uint64 }

func newRig(t *testing.T, change ...func(*trial.Spec)) *rig {
	t.Helper()
	r := &rig{t: t, log: storetest.NewMemory()}
	r.admin = r.service()
	f := flag.Flag{Key: "checkout", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}}
	if _, err := r.admin.CreateFlag(t.Context(), f, ana); err != nil {
		t.Fatal(err)
	}
	spec := trial.Spec{Name: "checkout", Flag: "checkout", Treatment: "on", Control: "off", Deadline: trial.Duration(100 * time.Hour),
		Steps: []trial.Step{{Share: 10_000, MinTime: trial.Duration(90 * time.Hour)}}}
	for _, c := range change {
		c(&spec)
	}
	if _, err := r.admin.StartTrial(t.Context(), spec, ana); err != nil {
		t.Fatal(err)
	}
	return r
}

func every(d time.Duration) func(*trial.Spec) {
	return func(s *trial.Spec) { s.Interval = trial.Duration(d) }
}

// service gives one more service on the log, which follows it.
func (r *rig) service() *control.Service {
	r.t.Helper()
	s := r.unfollowing()
	go s.Run(r.t.Context())
	return s
}

// unfollowing gives a service that learns of others' writes only when it writes itself.
func (r *rig) unfollowing() *control.Service {
	r.t.Helper()
	s, err := control.New(r.t.Context(), control.Config{Log: r.log, Journal: r.log, Environment: "test", Sources: anySource{}})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// anySource can serve every plan.
type anySource struct{}

func (anySource) Check(context.Context, trial.Spec) ([]string, error) { return nil, nil }

// run starts a controller; stop ends it and waits for that.
func (r *rig) run(trials controller.Trials, outcomes controller.Outcomes) (stop func()) {
	r.t.Helper()
	store, err := traces.NewStore(traces.Limits{})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		controller.New(controller.Config{Trials: trials, Outcomes: outcomes, Evidence: store}, nil).Run(ctx)
	}()
	time.Sleep(100 * time.Millisecond) // so that nothing that follows falls on the end of an interval
	return func() { cancel(); <-done }
}

// trial gives the newest state, whichever service has journalled it.
func (r *rig) trial() control.TrialEntry {
	r.t.Helper()
	entry, err := r.admin.GetTrial("checkout")
	if err != nil {
		r.t.Fatal(err)
	}
	if r.log == nil {
		return entry
	}
	rows, err := r.log.Tail(r.t.Context(), "checkout", entry.State.Attempt, entry.Revision, entry.State.Seq)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, row := range rows {
		entry.State = after(r.t, entry, row)
	}
	return entry
}

// after gives the state after a row of the journal.
func after(t testing.TB, entry control.TrialEntry, row control.IntervalRow) trial.State {
	t.Helper()
	var iv outcome.Interval
	if err := json.Unmarshal(row.Interval, &iv); err != nil {
		t.Fatal(err)
	}
	state, _ := trial.Next(entry.Spec, entry.State, trial.IntervalClosed{Interval: iv})
	if len(row.State) > 0 {
		state = trial.State{}
		if err := json.Unmarshal(row.State, &state); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

// journal gives the intervals of the newest attempt, each with its state, computed where the
// journal has none, and checks that they have no gaps.
func (r *rig) journal() []control.Interval {
	r.t.Helper()
	var list []control.Interval
	for {
		more, err := r.admin.Intervals(r.t.Context(), "checkout", 0, len(list), 1000)
		if err != nil {
			r.t.Fatal(err)
		}
		if list = append(list, more...); len(more) == 0 {
			break
		}
	}
	for i, iv := range list {
		if iv.Seq != i+1 || iv.Interval.Seq != i+1 {
			r.t.Fatalf("interval %d is numbered %d, %d", i+1, iv.Seq, iv.Interval.Seq)
		}
	}
	h, err := replay(r.log, r.t, "checkout", r.trial().State.Attempt)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range list {
		if state, ok := h.states[list[i].Seq]; ok {
			list[i].State = &state
		}
	}
	return list
}

// weighed adds up the requests in the journal.
func weighed(list []control.Interval) (treatment, control uint64) {
	for _, iv := range list {
		treatment += iv.Interval.Treatment.Requests
		control += iv.Interval.Control.Requests
	}
	return treatment, control
}

// wantAllWeighed checks that everything that was sent was weighed once.
func (r *rig) wantAllWeighed() {
	r.t.Helper()
	list := r.journal()
	t, c := weighed(list)
	if t != r.sent.treatment.Load() || c != r.sent.control.Load() {
		r.t.Errorf("weighed %d and %d requests, sent were %d and %d", t, c, r.sent.treatment.Load(), r.sent.control.Load())
	}
	state := r.trial().State
	if state.Treatment.Requests != t || state.Control.Requests != c {
		r.t.Errorf("the state knows of %d and %d requests, the journal of %d and %d", state.Treatment.Requests, state.Control.Requests, t, c)
	}
	if t == 0 {
		r.t.Error("nothing was sent")
	}
}

// fleet is one SDK that reports to an accumulator.
type fleet struct {
	rig  *rig
	to   *intervals.Accumulator
	name string
	bad  func(arm string) uint64 // of 20 requests
}

// flush reports 20 requests of 2 new users in each arm since the last flush.
func (f *fleet) flush(from, to time.Time) {
	entry := f.rig.trial()
	if entry.State.Ended() {
		return
	}
	version := entry.State.Version(entry.Spec)
	var points []intervals.Point
	for _, arm := range []string{outcome.ArmTreatment, outcome.ArmControl} {
		add := func(metric, unit string, p intervals.Point) {
			key := fmt.Sprint(f.name, intervals.Together(metric), version, arm)
			copy(p.Series[:], fmt.Sprintf("%016x", hash(key)))
			p.Metric, p.UnitState, p.Trial, p.Version, p.Arm = metric, unit, "checkout", version, arm
			p.Start, p.End = from.UnixNano(), to.UnixNano()
			points = append(points, p)
		}
		bad := uint64(0)
		if f.bad != nil {
			bad = f.bad(arm)
		}
		var h outcome.Histogram
		for range 20 {
			h.Record(0.05)
		}
		add(outcome.MetricDuration, "", intervals.Point{Latency: h})
		add(outcome.MetricBad, "", intervals.Point{Count: bad, Exemplars: exemplars(bad, to)})
		add(outcome.MetricUnits, outcome.UnitNew, intervals.Point{Count: 2})
		add(outcome.MetricUnits, outcome.UnitAtRisk, intervals.Point{Count: 20})
		add(outcome.MetricUnits, outcome.UnitBad, intervals.Point{Count: bad})
	}
	f.to.AddOutcomes(points)
	f.rig.sent.treatment.Add(20)
	f.rig.sent.control.Add(20)
}

func exemplars(n uint64, at time.Time) (list []outcome.Exemplar) {
	if n > 0 {
		id := fmt.Sprintf("%032x", at.UnixNano())
		list = append(list, outcome.Exemplar{TraceID: id, SpanID: id[:16], Time: at, Seconds: 1})
	}
	return list
}

func hash(text string) (h uint64) {
	h = 14695981039346656037 // FNV-1a
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

// report flushes at the given pace for a time.
func (f *fleet) report(pace, during time.Duration) {
	for end := time.Now().Add(during); time.Now().Before(end); {
		from := time.Now()
		time.Sleep(pace)
		f.flush(from, time.Now())
	}
}

// between runs code before an interval is stored, and can make the storing fail.
type between struct {
	*control.Service
	before func() error
	after  func() error
}

func (b *between) StoreDecision(ctx context.Context, d control.Decision) (entry control.TrialEntry, err error) {
	err = b.around(func() error { entry, err = b.Service.StoreDecision(ctx, d); return err })
	return entry, err
}

func (b *between) RecordIntervals(ctx context.Context, records []control.Record) []error {
	var errs []error
	err := b.around(func() error {
		errs = b.Service.RecordIntervals(ctx, records)
		return errors.Join(errs...)
	})
	if err != nil && errors.Join(errs...) == nil {
		errs = slices.Repeat([]error{err}, len(records))
	}
	return errs
}

func (b *between) around(store func() error) error {
	if b.before != nil {
		if err := b.before(); err != nil {
			return err
		}
	}
	if err := store(); err != nil {
		return err
	}
	if b.after != nil {
		return b.after()
	}
	return nil
}

var errStore = &control.Error{Code: control.CodeUnavailable, Message: "the disk is away"}

// once runs f the first time only.
func once(f func()) func() error {
	done := false
	return func() error {
		if !done {
			done = true
			f()
		}
		return nil
	}
}
