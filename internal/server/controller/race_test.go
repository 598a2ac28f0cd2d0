package controller_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/intervals"
)

// racing runs two controllers, each with a service of its own on the one log; with shared they
// also close the intervals of one accumulator.
func (r *rig) racing(shared bool) (fleets []*fleet) {
	one := intervals.New(intervals.Limits{})
	for _, name := range []string{"a", "b"} {
		acc := one
		if !shared {
			acc = intervals.New(intervals.Limits{})
		}
		r.run(r.service(), acc)
		fleets = append(fleets, &fleet{rig: r, to: acc, name: name})
	}
	return fleets
}

var sharing = []struct {
	name   string
	shared bool
}{{"each with its own receiver", false}, {"on one receiver", true}}

// Two controllers fall due at the same instants. Every step is made once, in order, and the
// trial is promoted once.
func TestTwoControllersMakeEachStepOnce(t *testing.T) {
	for _, c := range sharing {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, every(5*time.Second), func(s *trial.Spec) {
					s.Watch = trial.Duration(time.Minute)
					s.Guardrails = []trial.Guardrail{{Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Absolute: 0.1}}
					s.Steps = nil
					for _, share := range []flag.Weight{1_000, 2_000, 5_000, 10_000, 20_000, 50_000} {
						s.Steps = append(s.Steps, trial.Step{Share: share, MinTime: trial.Duration(20 * time.Second), MinUnits: 4})
					}
				})
				fleets := r.racing(c.shared)
				for range 400 {
					start := time.Now()
					time.Sleep(1100 * time.Millisecond)
					for _, f := range fleets {
						f.flush(start, time.Now())
					}
				}
				if s := r.trial().State; s.Result != trial.ResultPromoted {
					t.Fatalf("%s (%s), step %d: %s", s.Phase, s.Result, s.Step, s.Why)
				}
				r.wantStepsOnce(6)
			})
		})
	}
}

// wantStepsOnce reads the log: the controllers' changes are the steps in order, the promotion
// and the end.
func (r *rig) wantStepsOnce(steps int) {
	r.t.Helper()
	changes, err := r.log.Read(r.t.Context(), 0, control.MaxRead)
	if err != nil {
		r.t.Fatal(err)
	}
	step, promoted, ended := 0, 0, 0
	for _, change := range changes {
		if change.Actor != "controller" {
			continue
		}
		var after control.Trial
		for _, op := range change.Ops {
			if op.Kind == control.KindTrial {
				if err := json.Unmarshal(op.Value, &after); err != nil {
					r.t.Fatal(err)
				}
			}
		}
		switch s := after.State; {
		case s.Phase == trial.PhaseEnded:
			ended++
		case s.Phase == trial.PhaseWatching:
			promoted++
		case s.Step == step+1:
			step++
		case s.Step != step:
			r.t.Errorf("revision %d: step %d after %d", change.Revision, s.Step, step)
		}
		if after.State.Phase == trial.PhaseRunning && len(change.Ops) == 0 {
			r.t.Errorf("revision %d does nothing", change.Revision)
		}
	}
	if step != steps-1 || promoted != 1 || ended != 1 {
		r.t.Errorf("%d steps, %d promotions, %d ends", step+1, promoted, ended)
	}
}

// Whatever arrives at either controller is weighed once.
func TestTwoControllersWeighEverythingOnce(t *testing.T) {
	for _, c := range sharing {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, every(5*time.Second))
				fleets := r.racing(c.shared)
				for i := range 400 {
					start := time.Now()
					time.Sleep(700 * time.Millisecond)
					fleets[i%2].flush(start, time.Now())
					if i%3 == 0 {
						fleets[(i+1)%2].flush(start, time.Now())
					}
				}
				time.Sleep(11 * time.Second)
				r.wantAllWeighed()
				if s := r.trial().State; s.Phase != trial.PhaseRunning {
					t.Errorf("%s: %s", s.Phase, s.Why)
				}
			})
		})
	}
}

// One controller gets all the telemetry, the other none: the empty intervals of the one must not
// make the trial hold for lack of data.
func TestControllerWithoutTelemetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(15*time.Second))
		with := r.racing(false)[0]
		with.report(5*time.Second, 10*time.Minute)
		time.Sleep(16 * time.Second)
		for _, iv := range r.journal() {
			if iv.State.Phase != trial.PhaseRunning {
				t.Fatalf("interval %d: %s: %s", iv.Seq, iv.State.Phase, iv.State.Why)
			}
		}
		r.wantAllWeighed()
	})
}
