package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/replay"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// This file reads what the change log holds of one attempt of a trial.

// automation is the actor of the log that decides by evidence.
const automation = "controller"

// attemptLog is one attempt as the log has it, oldest first; the first entry is its start.
type attemptLog struct {
	spec    trial.Spec // the plan of that attempt; later ones may have another
	entries []attemptEntry
}

type attemptEntry struct {
	api.Change
	state trial.State
}

// asLeft gives the trial as the attempt left it, t if that is the newest.
func (l *attemptLog) asLeft(t api.Trial) api.Trial {
	last := l.entries[len(l.entries)-1].state
	if last.Attempt < t.State.Attempt {
		t.Spec, t.State = l.spec, last
	}
	return t
}

// decision is the entry as people are told of it.
func (e *attemptEntry) decision() decisionOutput {
	return decisionOutput{Time: e.Time, Revision: e.Revision, Seq: e.state.Seq, Actor: e.Actor, Phase: e.state.Phase, Result: e.state.Result,
		Step: e.state.Step + 1, Guardrails: evidenceItems(e.state), Why: e.state.Why}
}

// attempt reads the log of a trial's attempt; 0 means the newest.
func attempt(ctx context.Context, c *api.Client, t api.Trial, number int) (attemptLog, error) {
	var l attemptLog
	if number == 0 {
		number = t.State.Attempt
	}
	if number < 1 || number > t.State.Attempt {
		return l, usage(fmt.Errorf("--attempt %d: %s has had attempts 1 to %d", number, t.Spec.Name, t.State.Attempt))
	}
	changes, err := c.Changes(ctx, api.ChangeFilter{Kind: "trial", Key: t.Spec.Name})
	if err != nil {
		return l, err
	}
	for _, change := range slices.Backward(changes) {
		entity, ok, err := trialIn(change, t.Spec.Name)
		if err != nil {
			return l, err
		}
		if ok && entity.State.Attempt == number {
			l.spec = entity.Spec
			l.entries = append(l.entries, attemptEntry{change, entity.State})
		}
	}
	if len(l.entries) == 0 {
		return l, fmt.Errorf("the change log has no entry of attempt %d of %s: it was begun before the log, or removed from it", number, t.Spec.Name)
	}
	return l, nil
}

func trialIn(change api.Change, name string) (t api.Trial, ok bool, err error) {
	for _, op := range change.Ops {
		if op.Kind == "trial" && op.Key == name && len(op.Value) > 0 {
			if err := json.Unmarshal(op.Value, &t); err != nil {
				return t, false, fmt.Errorf("revision %d: the trial is not understood (%w): use the same version on both sides", change.Revision, err)
			}
			return t, true, nil
		}
	}
	return t, false, nil
}

// changes gives the log as a replay takes it.
func (l attemptLog) changes() []replay.Change {
	out := make([]replay.Change, len(l.entries))
	for i, e := range l.entries {
		out[i] = replay.Change{Revision: e.Revision, Automatic: e.Actor == automation, State: e.state}
	}
	return out
}

// at gives the entry of a revision.
func (l attemptLog) at(revision int64) (attemptEntry, bool) {
	i := slices.IndexFunc(l.entries, func(e attemptEntry) bool { return e.Revision == revision })
	if i < 0 {
		return attemptEntry{}, false
	}
	return l.entries[i], true
}

// started is when the attempt began.
func (l attemptLog) started() time.Time { return l.entries[0].state.StartedAt }
