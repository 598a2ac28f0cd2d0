package control_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// drawArm is what one arm may show in 15 seconds.
func drawArm(t *rapid.T, name string) (a outcome.Arm) {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, name), 1))
	if r.IntN(10) == 0 {
		return a
	}
	n := 1 + r.Uint64N(60)
	a = outcome.Arm{Requests: n, Bad: r.Uint64N(n/4 + 1), NewUnits: n / 3, AtRiskUnits: n / 2}
	a.BadUnits = min(a.Bad, a.AtRiskUnits)
	for range n {
		a.Latency.Record(r.ExpFloat64() / 10)
	}
	return a
}

// Property: a service that has read log and journal anew, at any point of any history, has the
// same bits as the one that wrote them, and goes on as that one does.
func TestRestartAnywhereChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
		spec := rollout("t", "f", func(s *trial.Spec) {
			s.Steps = []trial.Step{{Share: 10_000, MinTime: trial.Duration(time.Minute), MinUnits: 10}, {Share: 30_000, MinTime: trial.Duration(time.Minute), MinUnits: 10},
				{Share: 50_000, MinTime: trial.Duration(time.Hour), MinUnits: 10}}
			s.Guardrails = append(trial.DefaultGuardrails(), trial.Guardrail{Name: "requests", Metric: trial.MetricErrors, Unit: trial.UnitRequest, Mode: trial.ModeHold, Relative: 0.3, Absolute: 0.01})
		})
		must[control.TrialEntry](t)(r.StartTrial(t.Context(), spec, ana))
		restarted := r.restart()
		for range rapid.IntRange(1, 45).Draw(rt, "steps") {
			r.now = r.now.Add(time.Second)
			r.happen(rt, spec)
			wantEqual(t, "another service that reads on", asJSON(restarted.weighed()), asJSON(r.weighed()))
			if rapid.IntRange(0, 5).Draw(rt, "restart") == 0 {
				r = r.restart()
			}
			wantEqual(t, "after a restart", asJSON(must[control.TrialEntry](t)(r.restart().GetTrial("t"))), asJSON(must[control.TrialEntry](t)(r.GetTrial("t"))))
			if t.Failed() {
				rt.Fatal("see above")
			}
		}
	})
}

// happen lets a person or the controller do something.
func (r *rig) happen(rt *rapid.T, spec trial.Spec) {
	r.t.Helper()
	entry := must[control.TrialEntry](r.t)(r.GetTrial("t"))
	if entry.State.Ended() {
		must[control.TrialEntry](r.t)(r.StartTrial(r.t.Context(), spec, ana))
		return
	}
	if rapid.IntRange(0, 11).Draw(rt, "who") == 0 {
		verb := rapid.SampledFrom([]string{"pause", "resume", "advance", "abort"}).Draw(rt, "verb")
		_, err := r.CommandTrial(r.t.Context(), "t", verb, ana)
		if err != nil && control.CodeOf(err) != control.CodePrecondition {
			r.t.Error(err)
		}
		return
	}
	must[control.TrialEntry](r.t)(r.weigh("t", func(s trial.State) outcome.Interval {
		return outcome.Interval{Seq: s.Seq + 1, Step: s.Step, From: s.UpdatedAt, To: s.UpdatedAt.Add(15 * time.Second),
			Treatment: drawArm(rt, "treatment"), Control: drawArm(rt, "control")}
	}))
}

// weighed gives the trial as a person's next command would find it: with everything that is in
// the journal.
func (r *rig) weighed() control.TrialEntry {
	r.t.Helper()
	dry := ana
	dry.DryRun = true
	for _, verb := range []string{"pause", "resume", "abort"} { // reads the journal, stores nothing
		if _, err := r.CommandTrial(r.t.Context(), "t", verb, dry); err == nil {
			break
		}
	}
	return must[control.TrialEntry](r.t)(r.GetTrial("t"))
}

// A trial's tail is read in pieces if it is longer than a page, and from the newest state on.
func TestCheckpoints(t *testing.T) {
	r := newRig(t)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f"), ana))
	for range 50 {
		must[control.TrialEntry](t)(r.weigh("t", quiet))
	}
	entry := must[control.TrialEntry](t)(r.GetTrial("t"))
	tail, err := r.log.Tail(t.Context(), "t", 1, entry.Revision, 0)
	if err != nil || len(tail) == 0 || len(tail) > 20 || len(tail[0].State) == 0 {
		t.Fatalf("%d rows to compute again, error %v", len(tail), err)
	}
	kept := 0
	for _, row := range must[[]control.IntervalRow](t)(r.log.Intervals(t.Context(), "t", 1, 0, 100)) {
		if len(row.State) > 0 {
			kept++
		}
	}
	if kept == 0 || kept > 3 {
		t.Errorf("%d of 50 rows keep the state", kept)
	}
}

// Intervals of many trials are stored together; what cannot be does not keep the others out.
func TestRecordTogether(t *testing.T) {
	r := newRig(t)
	var records []control.Record
	for _, name := range []string{"a", "b", "c"} {
		must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag(name), ana))
		entry := must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout(name, name), ana))
		iv := quiet(entry.State)
		state, _ := trial.Next(entry.Spec, entry.State, trial.IntervalClosed{Interval: iv})
		records = append(records, control.Record{Trial: name, Revision: entry.Revision, Interval: iv, State: state})
	}
	must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "b", "pause", ana))
	errs := r.RecordIntervals(t.Context(), append(records, control.Record{Trial: "x", Revision: 1}, records[0]))
	for i, want := range []control.Code{"", control.CodeConflict, "", control.CodeNotFound, control.CodeConflict} {
		if want == "" && errs[i] != nil || want != "" && control.CodeOf(errs[i]) != want {
			t.Errorf("record %d: %v, want %q", i, errs[i], want)
		}
	}
	for name, seq := range map[string]int{"a": 1, "b": 0, "c": 1} {
		for _, s := range []*rig{r, r.restart()} {
			if got := must[control.TrialEntry](t)(s.GetTrial(name)).State.Seq; got != seq {
				t.Errorf("%s is at interval %d, want %d", name, got, seq)
			}
		}
	}
}

// Whoever follows trials learns of each that changed, and of all when it cannot be told.
func TestWaitTrials(t *testing.T) {
	r := newRig(t)
	wait := func(have control.Head) control.TrialChanges {
		return must[control.TrialChanges](t)(r.WaitTrials(t.Context(), have))
	}
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	start := wait(control.Head{})
	if !start.All || len(start.Names) != 0 {
		t.Errorf("at the start %+v", start)
	}
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f"), ana))
	started := wait(start.Head)
	wantEqual(t, "what has changed", started.Names, []string{"t"})
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("g"), ana))
	if flag := wait(started.Head); flag.All || len(flag.Names) != 0 {
		t.Errorf("a flag is no trial: %+v", flag)
	}
	for range 5_000 { // more than is remembered
		must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "t", "pause", ana))
		must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "t", "resume", ana))
		if testing.Short() || r.Head().Revision > 4_300 {
			break
		}
	}
	if late := wait(start.Head); len(late.Names) == 0 || !testing.Short() && (!late.All || len(late.Names) != 1) {
		t.Errorf("after everything: %v, %d names", late.All, len(late.Names))
	}
	r.log.Restart(2)
	again := r.restart()
	if lost := must[control.TrialChanges](t)(again.WaitTrials(t.Context(), started.Head)); !lost.All {
		t.Errorf("in another history: %+v", lost)
	}
}
