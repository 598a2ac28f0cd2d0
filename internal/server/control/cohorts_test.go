package control_test

import (
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func versions(name, treatment string) trial.Spec {
	return trial.Spec{Name: name, Cohorts: &trial.Cohorts{Treatment: treatment, Control: "v1"},
		Guardrails: []trial.Guardrail{{Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Absolute: 0.05}}}
}

// A trial of cohorts needs no flag, is in no other's way, and its promotion changes nothing but
// itself.
func TestCohortTrialsTouchNoFlag(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, versions("a", "v2"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, versions("b", "v2"), ana))
	_, err := r.StartTrial(ctx, versions("c", "v1"), ana)
	wantCode(t, err, control.CodeInvalid, "/cohorts/treatment")

	promoted := must[control.TrialEntry](t)(r.CommandTrial(ctx, "a", "promote", ana))
	if promoted.State.Result != trial.ResultPromoted {
		t.Errorf("%s: %s", promoted.State.Phase, promoted.State.Why)
	}
	judged := func(s trial.State) outcome.Interval {
		iv := quiet(s)
		iv.Treatment.Requests, iv.Control.Requests = 2_000, 2_000
		return iv
	}
	var last control.TrialEntry
	for range 25 {
		if last = must[control.TrialEntry](t)(r.weigh("b", judged)); last.State.Ended() {
			break
		}
	}
	if last.State.Result != trial.ResultPromoted {
		t.Fatalf("%s: %s", last.State.Phase, last.State.Why)
	}
	for _, revision := range []int64{promoted.Revision, last.Revision} {
		change := must[control.Change](t)(r.GetChange(ctx, revision))
		if slices.ContainsFunc(change.Ops, func(op control.Op) bool { return op.Kind != control.KindTrial }) {
			t.Errorf("revision %d changed %+v", revision, change.Ops)
		}
	}
	if got := r.defaultOf("f"); got != "off" {
		t.Errorf("the flag's default is %q", got)
	}
}

// Every attempt of the same artifact that comes to nothing makes the next one stricter.
func TestRestartCountsTheAttemptsBefore(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	for attempt := range 3 {
		got := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
		if got.State.Retry != attempt || got.State.Attempt != attempt+1 {
			t.Errorf("attempt %d is retry %d", got.State.Attempt, got.State.Retry)
		}
		must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "abort", ana))
	}
	other := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f", func(s *trial.Spec) { s.Artifact = "build-2" }), ana))
	if other.State.Retry != 0 || other.State.PromoteAlpha != trial.DefaultPromoteAlpha {
		t.Errorf("another artifact is retry %d at level %v", other.State.Retry, other.State.PromoteAlpha)
	}
}

// An A/A trial gives both arms the variant that everybody has, and the flag stays as it is.
func TestCalibrationStarts(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	same := func(variant string) trial.Spec {
		return rollout("aa", "f", func(s *trial.Spec) {
			s.Goal, s.Treatment, s.Control, s.Watch, s.Deadline = trial.GoalCalibrate, variant, variant, 0, trial.Duration(time.Minute)
		})
	}
	_, err := r.StartTrial(ctx, same("on"), ana)
	wantCode(t, err, control.CodeInvalid, "/control")
	must[control.TrialEntry](t)(r.StartTrial(ctx, same("off"), ana))
	var last control.TrialEntry
	for range 4 {
		last = must[control.TrialEntry](t)(r.weigh("aa", quiet))
	}
	if last.State.Phase != trial.PhaseEnded || r.defaultOf("f") != "off" {
		t.Errorf("%s: %s", last.State.Phase, last.State.Why)
	}
}
