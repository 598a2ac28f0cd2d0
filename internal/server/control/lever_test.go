package control_test

import (
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func because(reason string) control.WriteOptions {
	return control.WriteOptions{Actor: "token:1 (ana)", Reason: reason}
}

// S2: the lever aborts the experiments in the change that moves it, keeps others from starting, is
// in every snapshot, survives a restart, and has the reason in the log.
func TestS2LeverStopsAndBlocks(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.startMany(1)
	must[control.FlagEntry](t)(r.CreateFlag(ctx, faultFlag("payment"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, chaos("storm", "payment"), ana))
	before := r.Head()

	if lever := r.GetLever(); lever.Off || lever.Revision != 0 || r.Snapshot().Set.FaultsOff {
		t.Fatalf("a lever nobody moved: %s", asJSON(lever))
	}
	dry := because("incident 7")
	dry.DryRun = true
	if lever, halted, err := r.FaultsOff(ctx, dry); err != nil || !lever.Off || len(halted) != 1 || r.Head() != before {
		t.Fatalf("dry run: %s, %s, %v", asJSON(lever), asJSON(halted), err)
	}
	_, _, err := r.FaultsOff(ctx, ana)
	wantCode(t, err, control.CodeInvalid, "reason")

	lever, halted, err := r.FaultsOff(ctx, because("incident 7"))
	if err != nil || r.Head().Revision != before.Revision+1 {
		t.Fatalf("error %v, revisions %d to %d", err, before.Revision+1, r.Head().Revision)
	}
	wantEqual(t, "lever", lever, control.LeverEntry{Lever: control.Lever{Off: true, Reason: "incident 7", By: "token:1 (ana)", At: day0}, Revision: r.Head().Revision})
	wantEqual(t, "halted", halted, []control.Halted{{Trial: "storm", Goal: trial.GoalSurvive, Attempt: 1, Was: trial.PhaseSteady, Result: trial.ResultAborted, Revision: r.Head().Revision}})
	if c := must[control.Change](t)(r.GetChange(ctx, r.Head().Revision)); c.Reason != "Faults are off (1): incident 7" || c.Ops[0].Kind != control.KindLever {
		t.Errorf("the log says %s", asJSON(c))
	}
	deltas, ok := r.DeltasSince(before.History, before.Revision)
	if !ok || len(deltas) != 1 || deltas[0].Delta.FaultsOff == nil || !*deltas[0].Delta.FaultsOff || len(deltas[0].Delta.EndedTrials) != 1 {
		t.Errorf("clients get %s", asJSON(deltas))
	}
	for _, s := range []*rig{r, r.restart()} {
		if set := s.Snapshot().Set; !set.FaultsOff || len(set.Allocations) != 1 {
			t.Errorf("faults off: %v, %d allocations", set.FaultsOff, len(set.Allocations))
		}
		_, err := s.StartTrial(ctx, chaos("storm", "payment"), ana)
		wantCode(t, err, control.CodePrecondition, "incident 7")
	}
	again, halted, err := r.FaultsOff(ctx, because("another reason"))
	if err != nil || len(halted) != 0 || again != lever {
		t.Errorf("a second time: %s, %s, %v", asJSON(again), asJSON(halted), err)
	}
	_, err = r.Revert(ctx, lever.Revision, ana)
	wantCode(t, err, control.CodePrecondition, "chaos on")
}

func TestLeverOnAllowsExperimentsAgain(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, faultFlag("payment"), ana))
	if lever, err := r.FaultsOn(ctx, because("as it is")); err != nil || lever.Off || lever.Revision != 0 {
		t.Errorf("a lever that is on: %s, %v", asJSON(lever), err)
	}
	if _, _, err := r.FaultsOff(ctx, because("incident")); err != nil {
		t.Fatal(err)
	}
	_, err := r.FaultsOn(ctx, ana)
	wantCode(t, err, control.CodeInvalid, "reason")
	r.now = r.now.Add(time.Hour)
	lever := must[control.LeverEntry](t)(r.FaultsOn(ctx, because("it is over")))
	wantEqual(t, "lever", lever, control.LeverEntry{Lever: control.Lever{Reason: "it is over", By: "token:1 (ana)", At: r.now}, Revision: r.Head().Revision})
	if r.restart().Snapshot().Set.FaultsOff || r.Snapshot().Set.FaultsOff {
		t.Error("faults are still off")
	}
	must[control.TrialEntry](t)(r.StartTrial(ctx, chaos("storm", "payment"), ana))
}

// The lever is not kept waiting: rollouts start, also those of the flag of an experiment.
func TestLeverLeavesRolloutsAlone(t *testing.T) {
	r := newRig(t)
	if _, _, err := r.FaultsOff(t.Context(), because("incident")); err != nil {
		t.Fatal(err)
	}
	r.startMany(2)
	if _, halted, err := r.FaultsOff(t.Context(), because("incident")); err != nil || len(halted) != 0 || len(r.ActiveTrials()) != 2 {
		t.Errorf("halted %s, %v", asJSON(halted), err)
	}
}

// However starts and the lever race, on whichever replica: once it has answered nothing runs.
func TestLeverWinsEveryRace(t *testing.T) {
	for range 20 {
		r := newRig(t)
		other := joinRig(t, r.log)
		must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("payment"), ana))
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for _, s := range []*rig{r, other} {
			busy.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					_, _ = s.StartTrial(t.Context(), chaos("storm", "payment"), ana)
					_, _ = s.CommandTrial(t.Context(), "storm", "pause", ana)
				}
			})
		}
		if lever, _, err := r.FaultsOff(t.Context(), because("incident")); err != nil || !lever.Off {
			t.Fatalf("%s, %v", asJSON(lever), err)
		}
		at := r.Head().Revision
		close(stop)
		busy.Wait()
		if fresh := r.restart(); len(fresh.ActiveTrials()) != 0 || fresh.Head().Revision != at {
			t.Fatalf("%d run; revision %d after %d", len(fresh.ActiveTrials()), fresh.Head().Revision, at)
		}
	}
}
