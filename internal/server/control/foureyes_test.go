package control_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

func TestS12WhoStartsDoesNotApprove(t *testing.T) {
	tokenOf := func(id, name string) control.WriteOptions {
		return control.WriteOptions{Actor: control.Principal{Kind: control.TokenAPI, ID: id, Name: name}.Actor()}
	}
	starter := tokenOf("1", "ana")
	for name, c := range map[string]struct {
		by   control.WriteOptions
		says string
	}{
		"the same token":                 {starter, "ana started it"},
		"another token of the same name": {tokenOf("2", "ana"), "ana started it"},
		"somebody else":                  {tokenOf("3", "ben"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("down"), starter))
			spec := chaos("storm", "down")
			spec.FourEyes = true
			must[control.TrialEntry](t)(r.StartTrial(t.Context(), spec, starter))
			must[control.TrialEntry](t)(r.weigh("storm", quiet))
			r = r.restart() // who started it is in the log
			_, err := r.CommandTrial(t.Context(), "storm", "approve", c.by)
			if c.says != "" {
				wantCode(t, err, control.CodePrecondition, c.says)
			} else if err != nil {
				t.Fatal(err)
			}
			must[control.TrialEntry](t)(r.weigh("storm", quiet))
			must[control.TrialEntry](t)(r.weigh("storm", quiet))
			if e := must[control.TrialEntry](t)(r.GetTrial("storm")); e.State.Steady != (c.says != "") {
				t.Errorf("steady is %v: %s", e.State.Steady, e.State.Why)
			}
		})
	}
}

func TestS12ManyNeedFourEyes(t *testing.T) {
	for _, c := range []struct {
		limit flag.Weight // below 0: none
		share flag.Weight // of a later step
		want  bool
	}{{-1, 50_000, false}, {5_000, 9_999, true}, {10_000, 10_000, false}, {10_000, 10_001, true}, {0, 1_000, true}} {
		r := newRig(t)
		if c.limit >= 0 {
			r.Service = r.open(control.Config{FourEyesAbove: &c.limit})
		}
		must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("down"), ana))
		spec := chaos("storm", "down")
		spec.Steps = append(spec.Steps, trial.Step{Share: c.share, MinTime: trial.Duration(time.Minute)})
		spec.Steps[0].Share = 500
		e := must[control.TrialEntry](t)(r.StartTrial(t.Context(), spec, ana))
		if e.Spec.FourEyes != c.want {
			t.Errorf("steps of %d and %d with the limit %d: four eyes %v, want %v", spec.Steps[0].Share, c.share, c.limit, e.Spec.FourEyes, c.want)
		}
		must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
		if _, err := r.CommandTrial(t.Context(), "storm", "abort", ana); err != nil {
			t.Fatal(err)
		}
		if v := must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("v2", "f"), ana)); v.Spec.FourEyes {
			t.Error("a rollout needs none")
		}
	}
}

// Whoever made the schedule has started the experiment.
func TestS12SchedulesDoNotApprove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stormy(t, storetest.NewMemory())
		defer w.run()()
		spec := chaos("storm", "payment")
		spec.FourEyes = true
		must[control.ScheduleEntry](t)(w.CreateSchedule(t.Context(), control.NewSchedule{Trial: &spec, At: time.Now().Add(time.Hour)}, ana))
		passes(time.Hour)
		if list := w.ActiveTrials(); len(list) != 1 || strings.Contains(asJSON(list), "startedBy") {
			t.Fatalf("running: %s", asJSON(list))
		}
		_, err := w.CommandTrial(t.Context(), "storm", "approve", ana)
		wantCode(t, err, control.CodePrecondition, "ana started it")
		must[control.TrialEntry](t)(w.CommandTrial(t.Context(), "storm", "approve", control.WriteOptions{Actor: "ben"}))
	})
}
