package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// startMany starts n rollouts, each on a flag of its own.
func (r *rig) startMany(n int) {
	r.t.Helper()
	for i := range n {
		key := fmt.Sprintf("f%04d", i)
		must[control.FlagEntry](r.t)(r.CreateFlag(r.t.Context(), boolFlag(key), ana))
		spec := rollout("t-"+key, key)
		spec.Watch = trial.Duration(24 * time.Hour) // does not end by itself
		must[control.TrialEntry](r.t)(r.StartTrial(r.t.Context(), spec, ana))
	}
}

func TestHaltStopsEverythingInOneChange(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.startMany(4)
	must[control.FlagEntry](t)(r.CreateFlag(ctx, faultFlag("payment"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, chaos("storm", "payment"), ana))
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t-f0001", "promote", ana))
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t-f0002", "pause", ana))
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t-f0003", "abort", ana))
	must[control.TrialEntry](t)(r.weigh("t-f0000", quiet))

	before := r.Head().Revision
	dry := must[[]control.Halted](t)(r.HaltAll(ctx, control.WriteOptions{Actor: "ana", DryRun: true}))
	if len(dry) != 4 || dry[0].Revision != 0 || r.Head().Revision != before {
		t.Errorf("dry run: %s, revision %d", asJSON(dry), r.Head().Revision)
	}
	halted := must[[]control.Halted](t)(r.HaltAll(ctx, control.WriteOptions{Actor: "token:1 (ana)", Reason: "the site is down"}))
	revision := r.Head().Revision
	wantEqual(t, "halted", halted, []control.Halted{
		{Trial: "storm", Goal: trial.GoalSurvive, Attempt: 1, Was: trial.PhaseSteady, Result: trial.ResultAborted, Revision: revision},
		{Trial: "t-f0000", Goal: trial.GoalPromote, Attempt: 1, Was: trial.PhaseRunning, Result: trial.ResultAborted, Revision: revision},
		{Trial: "t-f0001", Goal: trial.GoalPromote, Attempt: 1, Was: trial.PhaseWatching, Result: trial.ResultAborted, Revision: revision},
		{Trial: "t-f0002", Goal: trial.GoalPromote, Attempt: 1, Was: trial.PhasePaused, Result: trial.ResultAborted, Revision: revision},
	})
	if revision != before+1 {
		t.Errorf("it took revisions %d to %d, want one", before+1, revision)
	}
	if d := r.defaultOf("f0001"); d != "off" {
		t.Errorf("the watched promotion is not taken back: the default is %q", d)
	}
	for _, s := range []*rig{r, r.restart()} {
		if n := len(s.Snapshot().Set.Allocations); n > 0 {
			t.Errorf("%d allocations are left", n)
		}
	}
	one := must[control.TrialEntry](t)(r.GetTrial("t-f0000"))
	if one.State.Seq != 1 || !strings.Contains(one.State.Why, "the site is down") || !strings.Contains(one.State.Why, "ana") {
		t.Errorf("seq %d, why %q", one.State.Seq, one.State.Why)
	}
	if c := must[control.Change](t)(r.GetChange(ctx, revision)); c.Reason != "Halt of everything that runs (4): the site is down" {
		t.Errorf("the log says %q", c.Reason)
	}
	again := must[[]control.Halted](t)(r.HaltAll(ctx, ana))
	if len(again) != 0 || r.Head().Revision != revision {
		t.Errorf("a second halt found %s", asJSON(again))
	}
}

func TestHaltOfMoreThanAChangeHolds(t *testing.T) {
	r := newRig(t)
	const n = control.MaxOps + 30
	r.startMany(n)
	before := r.Head().Revision
	halted := must[[]control.Halted](t)(r.HaltAll(t.Context(), ana))
	if len(halted) != n || len(r.ActiveTrials()) != 0 || r.Head().Revision < before+2 {
		t.Errorf("%d halted, %d run on, revisions %d to %d", len(halted), len(r.ActiveTrials()), before+1, r.Head().Revision)
	}
}

// A halt wins against replicas that decide, record and start all the time: what it names has ended
// when it returns, and stays ended.
func TestHaltWinsEveryRace(t *testing.T) {
	for round := range 20 {
		r := newRig(t)
		r.startMany(6)
		other := joinRig(t, r.log)
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for i := range 6 {
			busy.Go(func() {
				name := fmt.Sprintf("t-f%04d", i)
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					s := []*rig{r, other}[n%2]
					if n%3 == 0 {
						_, _ = s.CommandTrial(context.Background(), name, []string{"pause", "resume", "promote"}[n/3%3], ana)
					} else {
						_, _ = s.weigh(name, quiet)
					}
				}
			})
		}
		halted, err := []*rig{r, other}[round%2].HaltAll(t.Context(), ana)
		if err != nil || len(halted) != 6 {
			t.Fatalf("halted %s, error %v", asJSON(halted), err)
		}
		at := halted[0].Revision
		close(stop)
		busy.Wait()
		fresh := r.restart()
		for _, h := range halted {
			entry := must[control.TrialEntry](t)(fresh.GetTrial(h.Trial))
			if !entry.State.Ended() || entry.State.Result != trial.ResultAborted || entry.Revision != at {
				t.Fatalf("%s is %s (%s) at revision %d, the halt was %d", h.Trial, entry.State.Phase, entry.State.Result, entry.Revision, at)
			}
		}
	}
}

func TestHaltEndsWithItsContextOnly(t *testing.T) {
	r := newRig(t)
	r.startMany(1)
	conflicts := 0
	r.log.Refuse(func(control.Draft) error {
		if conflicts++; conflicts <= 150 {
			return control.ErrConflict
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// The log moves on with each conflict, as it does when another writer was faster.
	if halted, err := r.HaltAll(ctx, ana); err != nil || len(halted) != 1 || halted[0].Result == "" {
		t.Errorf("after %d conflicts: %s, error %v", conflicts, asJSON(halted), err)
	}
	r = newRig(t)
	r.startMany(1)
	r.log.Refuse(func(control.Draft) error {
		return &control.Error{Code: control.CodeUnavailable, Message: "the disk is full"}
	})
	_, err := r.HaltAll(t.Context(), ana)
	wantCode(t, err, control.CodeUnavailable, "full")
	over, end := context.WithCancelCause(t.Context())
	end(errors.New("gone"))
	r.log.Refuse(func(control.Draft) error { return control.ErrConflict })
	if _, err := r.HaltAll(over, ana); err == nil {
		t.Error("a halt without a context left goes on")
	}
}
