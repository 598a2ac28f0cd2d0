package controller_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

var (
	_ controller.Trials   = (*control.Service)(nil)
	_ controller.Outcomes = (*intervals.Accumulator)(nil)
	_ controller.Evidence = (*traces.Store)(nil)
)

func TestIntervalsFallDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(15*time.Second))
		acc := intervals.New(intervals.Limits{})
		start := time.Now()
		r.run(r.admin, acc)
		f := &fleet{rig: r, to: acc}
		f.report(4*time.Second, 55*time.Second)
		time.Sleep(7 * time.Second)
		list := r.journal()
		if len(list) != 4 {
			t.Fatalf("%d intervals after 63 s", len(list))
		}
		for i, iv := range list {
			from := start.Add(time.Duration(i) * 15 * time.Second)
			if !iv.Interval.From.Equal(from) || iv.Interval.Duration() != 15*time.Second || iv.Interval.Step != 0 {
				t.Errorf("interval %d: from %v to %v", iv.Seq, iv.Interval.From.Sub(start), iv.Interval.To.Sub(start))
			}
		}
		r.wantAllWeighed()
	})
}

// SDKs flush every 5 s. A trial with shorter intervals must not take the gaps for missing data,
// with any interval it must notice when data really stops, and it goes on when data comes back.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name            string
		interval        time.Duration
		atLeast, atMost time.Duration // of silence until the ramp holds
	}{
		{"1 s", time.Second, 10 * time.Second, 12 * time.Second},
		{"2 s", 2 * time.Second, 10 * time.Second, 14 * time.Second},
		{"5 s", 5 * time.Second, 15 * time.Second, 21 * time.Second},
		{"15 s", 15 * time.Second, 45 * time.Second, 61 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, every(c.interval))
				acc := intervals.New(intervals.Limits{})
				r.run(r.admin, acc)
				f := &fleet{rig: r, to: acc}
				f.report(5*time.Second, 10*time.Minute)
				for _, iv := range r.journal() {
					if iv.State.Phase != trial.PhaseRunning {
						t.Fatalf("interval %d: %s: %s", iv.Seq, iv.State.Phase, iv.State.Why)
					}
				}
				quiet := time.Now()
				for r.trial().State.Phase == trial.PhaseRunning && time.Since(quiet) < time.Hour {
					time.Sleep(100 * time.Millisecond)
				}
				if silent := time.Since(quiet); r.trial().State.Phase != trial.PhaseHolding || silent < c.atLeast || silent > c.atMost {
					t.Errorf("%s after %v of silence: %s", r.trial().State.Phase, silent, r.trial().State.Why)
				}
				f.report(5*time.Second, 2*c.interval+5*time.Second)
				if s := r.trial().State; s.Phase != trial.PhaseRunning {
					t.Errorf("data came back, and the trial is %s: %s", s.Phase, s.Why)
				}
			})
		})
	}
}

// A person's command comes while an interval is stored: it is weighed again on top of it.
func TestCommandBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(15*time.Second))
		acc := intervals.New(intervals.Limits{})
		r.run(&between{Service: r.admin, before: once(func() { r.command("pause") })}, acc)
		f := &fleet{rig: r, to: acc}
		f.report(5*time.Second, 25*time.Second)
		time.Sleep(6 * time.Second)
		if s := r.trial().State; s.Phase != trial.PhasePaused || s.Seq != 2 {
			t.Errorf("%s at interval %d", s.Phase, s.Seq)
		}
		r.wantAllWeighed()
	})
}

func (r *rig) command(verb string) {
	r.t.Helper()
	if _, err := r.admin.CommandTrial(r.t.Context(), "checkout", verb, ana); err != nil {
		r.t.Error(err)
	}
}

// A person moves the trial on while an interval of the old step is stored: it says nothing about
// the new step and is dropped.
func TestAdvanceBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(15*time.Second), func(s *trial.Spec) { s.Steps = append(s.Steps, trial.Step{Share: 30_000}) })
		acc := intervals.New(intervals.Limits{})
		r.run(&between{Service: r.admin, before: once(func() { r.command("advance") })}, acc)
		f := &fleet{rig: r, to: acc}
		f.report(5*time.Second, 16*time.Second)
		if list := r.journal(); len(list) != 0 || r.trial().State.Step != 1 {
			t.Fatalf("%d intervals, step %d", len(list), r.trial().State.Step)
		}
		f.report(5*time.Second, 16*time.Second)
		list := r.journal()
		if len(list) != 1 || list[0].Interval.Step != 1 || list[0].Interval.Treatment.Requests == 0 {
			t.Errorf("%+v", list)
		}
	})
}

// The controller is about to promote when a person stops the trial: the person wins.
func TestPersonsStopWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, at := range []int{1, 5} { // storing an interval, storing a step
			r := newRig(t, every(15*time.Second), func(s *trial.Spec) {
				s.Steps = []trial.Step{{Share: 10_000, MinTime: trial.Duration(time.Minute), MinUnits: 5}, {Share: 50_000}}
			})
			acc := intervals.New(intervals.Limits{})
			stored := 0
			stop := r.run(&between{Service: r.admin, before: func() error {
				if stored++; stored == at {
					r.command("abort")
				}
				return nil
			}}, acc)
			(&fleet{rig: r, to: acc}).report(5*time.Second, 5*time.Minute)
			if s := r.trial().State; s.Result != trial.ResultAborted || s.Seq != at-1 || s.Step != (at-1)/4 {
				t.Errorf("stopped at attempt %d to store: %s (%s) at interval %d, step %d", at, s.Phase, s.Result, s.Seq, s.Step)
			}
			stop()
		}
	})
}

// The store fails for a while, before or after it has kept the interval. What was counted is
// neither lost nor counted twice.
func TestStoreUnavailable(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after bool
	}{{"nothing stored", true, false}, {"stored, but the answer lost", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, every(5*time.Second))
				acc := intervals.New(intervals.Limits{})
				var away atomic.Bool
				fail := func(when bool) func() error {
					return func() error {
						if away.Load() && when {
							return errStore
						}
						return nil
					}
				}
				r.run(&between{Service: r.admin, before: fail(c.before), after: fail(c.after)}, acc)
				f := &fleet{rig: r, to: acc}
				for range 3 {
					f.report(2*time.Second, 20*time.Second)
					away.Store(true)
					f.report(2*time.Second, 41*time.Second)
					away.Store(false)
				}
				time.Sleep(20 * time.Second)
				r.wantAllWeighed()
				if c.before && r.longest() < 40*time.Second {
					t.Errorf("the longest interval is %v: what came during the outage should be in one", r.longest())
				}
			})
		})
	}
}

func (r *rig) longest() (d time.Duration) {
	for _, iv := range r.journal() {
		d = max(d, iv.Interval.Duration())
	}
	return d
}

// An interval that the store will never take must not stop the trial for ever.
func TestImpossibleInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(5*time.Second))
		acc := intervals.New(intervals.Limits{})
		first := true
		r.run(&between{Service: r.admin, before: func() error {
			if first {
				first = false
				return &control.Error{Code: control.CodeTooLarge, Message: "more than 1 MiB"}
			}
			return nil
		}}, acc)
		(&fleet{rig: r, to: acc}).report(2*time.Second, 21*time.Second)
		if n := len(r.journal()); n != 3 {
			t.Errorf("%d intervals", n)
		}
	})
}

// A controller that starts after another one has died goes on where that one stood.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(15*time.Second), func(s *trial.Spec) {
			s.Steps = []trial.Step{{Share: 10_000, MinTime: trial.Duration(80 * time.Second), MinUnits: 5}, {Share: 50_000, MinTime: trial.Duration(90 * time.Hour)}}
		})
		acc := intervals.New(intervals.Limits{})
		stop := r.run(r.service(), acc)
		(&fleet{rig: r, to: acc}).report(5*time.Second, 61*time.Second)
		stop()
		before := r.journal()
		time.Sleep(time.Minute)

		acc = intervals.New(intervals.Limits{})
		restarted := time.Now()
		r.run(r.service(), acc)
		(&fleet{rig: r, to: acc}).report(5*time.Second, 31*time.Second)
		list := r.journal()
		if len(before) != 4 || len(list) != 6 {
			t.Fatalf("%d and %d intervals", len(before), len(list))
		}
		if !list[4].Interval.From.Equal(restarted) {
			t.Errorf("the first interval after the restart starts %v after it", list[4].Interval.From.Sub(restarted))
		}
		if a, b := list[4].State.Treatment.Requests, before[3].State.Treatment.Requests+2*20; a != b {
			t.Errorf("%d requests, want %d", a, b)
		}
		if r.trial().State.Step != 1 {
			t.Errorf("step %d, 90 s were watched: %s", r.trial().State.Step, r.trial().State.Why)
		}
	})
}

// The clock of the control plane jumps a day forth and back; intervals and steps keep their
// lengths.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(15*time.Second), func(s *trial.Spec) { s.Deadline = trial.Duration(time.Hour) })
		acc := intervals.New(intervals.Limits{})
		var jump atomic.Int64 // in nanoseconds
		service, err := control.New(t.Context(), control.Config{Log: r.log, Journal: r.log, Environment: "test",
			Now: func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }})
		if err != nil {
			t.Fatal(err)
		}
		r.admin = service
		r.run(service, acc)
		f := &fleet{rig: r, to: acc}
		for _, by := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour, 0} {
			jump.Store(int64(by))
			r.command("pause")
			f.report(5*time.Second, time.Minute)
			r.command("resume")
			f.report(5*time.Second, time.Minute)
		}
		list := r.journal()
		if len(list) < 31 || len(list) > 32 || r.trial().State.Result != "" {
			t.Errorf("%d intervals in 8 minutes, %s", len(list), r.trial().State.Why)
		}
		for _, iv := range list {
			if iv.Interval.Duration() != 15*time.Second {
				t.Errorf("interval %d took %v", iv.Seq, iv.Interval.Duration())
			}
		}
	})
}

// A controller that has slept through the end of the trial, and through its new start, does
// nothing to it.
func TestStaleController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(15*time.Second))
		acc := intervals.New(intervals.Limits{})
		stale := r.unfollowing()
		wake := make(chan struct{})
		stop := r.run(&between{Service: stale, before: func() error { <-wake; return nil }}, acc)
		(&fleet{rig: r, to: acc, bad: func(string) uint64 { return 20 }}).report(5*time.Second, 16*time.Second)
		r.command("abort")
		spec := r.trial().Spec
		if _, err := r.admin.StartTrial(t.Context(), spec, ana); err != nil {
			t.Fatal(err)
		}
		before := r.trial()
		close(wake) // it now stores what it saw of the first attempt
		time.Sleep(time.Second)
		if after := r.trial(); after.Revision != before.Revision || after.State.Seq != 0 || after.State.Attempt != 2 {
			t.Errorf("the stale controller changed the trial: revision %d, attempt %d, interval %d", after.Revision, after.State.Attempt, after.State.Seq)
		}
		time.Sleep(20 * time.Second)
		if s := r.trial().State; s.Attempt != 2 || s.Seq != 1 || s.Treatment.Requests != 0 {
			t.Errorf("awake, it goes on with attempt %d, interval %d, %d requests", s.Attempt, s.Seq, s.Treatment.Requests)
		}
		stop()
	})
}

// The treatment fails for everybody: it is rolled back at the first interval, and the traces
// that explain it are kept, no more than the trial shows.
func TestEvidenceIsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(5*time.Second))
		acc := intervals.New(intervals.Limits{})
		store, err := traces.NewStore(traces.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		pins := &pinned{Store: store, ids: map[string]bool{}}
		go controller.New(controller.Config{Trials: r.admin, Outcomes: acc, Evidence: pins}, nil).Run(t.Context())
		few := func(arm string) uint64 { return 1 }
		(&fleet{rig: r, to: acc, bad: few}).report(time.Second, time.Minute)
		synctest.Wait()
		shown := r.trial().State.Exemplars
		if len(shown) != outcome.MaxExemplars || len(pins.ids) != len(shown) {
			t.Errorf("%d exemplars, %d pins", len(shown), len(pins.ids))
		}
		all := func(arm string) uint64 {
			if arm == outcome.ArmTreatment {
				return 20
			}
			return 0
		}
		(&fleet{rig: r, to: acc, bad: all}).report(time.Second, 6*time.Second)
		synctest.Wait()
		s := r.trial().State
		if s.Result != trial.ResultRolledBack {
			t.Fatalf("%s (%s): %s", s.Phase, s.Result, s.Why)
		}
		for _, e := range s.Exemplars {
			if !pins.ids[e.TraceID] || len(pins.ids) != len(s.Exemplars) {
				t.Errorf("exemplar %s is not pinned, or others are: %v", e.TraceID, pins.ids)
			}
		}
	})
}

type pinned struct {
	*traces.Store
	ids map[string]bool
}

func (p *pinned) PinTrace(id string) bool { p.ids[id] = true; return p.Store.PinTrace(id) }
func (p *pinned) UnpinTrace(id string)    { delete(p.ids, id); p.Store.UnpinTrace(id) }
