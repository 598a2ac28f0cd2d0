package notify

import (
	"fmt"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// event is one thing that happened to one trial.
type event struct {
	kind   control.WebhookEvent
	change *control.TrialChange
	trial  *control.Trial // after it
	slot   int            // its place in the change
}

// slots is the number of places that a trial has in its change: at most so many things happen to it
// at once. Places do not move when filters change, so they identify events.
const slots = 4

// id is the same whenever the event is derived, and another one for every other event: the hash of
// the change covers the history of the log and the revision.
func (e event) id() string {
	return fmt.Sprintf("evt_%d_%d_%s", e.change.Revision, e.slot, e.change.Hash[:min(len(e.change.Hash), 24)])
}

// eventsOf derives what a change did to its n-th trial.
func eventsOf(c *control.TrialChange, n int) []event {
	step := &c.Trials[n]
	kinds := kindsOf(step.Before, &step.After)
	list := make([]event, len(kinds))
	for i, kind := range kinds {
		list[i] = event{kind: kind, change: c, trial: &step.After, slot: (c.First+n)*slots + i}
	}
	return list
}

// kindsOf compares a trial with what it was before. Every change to a trial gives at least one.
func kindsOf(before *control.Trial, after *control.Trial) (kinds []control.WebhookEvent) {
	if before == nil || before.State.Attempt != after.State.Attempt {
		return []control.WebhookEvent{control.EventStart}
	}
	was, now := &before.State, &after.State
	watched, over := was.Phase == trial.PhaseWatching, now.Ended()
	switch {
	case now.Step > was.Step:
		kinds = append(kinds, control.EventStep)
	case watched && over && now.Result != trial.ResultPromoted:
		kinds = append(kinds, control.EventDemote)
	case !watched && (now.Phase == trial.PhaseWatching || over && now.Result == trial.ResultPromoted):
		kinds = append(kinds, control.EventPromote)
	case watched && !over:
		kinds = append(kinds, control.EventAlarm)
	case now.Approved && !was.Approved:
		kinds = append(kinds, control.EventApprove)
	}
	stood, stands := stands(was.Phase), stands(now.Phase)
	switch {
	case over:
		kinds = append(kinds, control.EventEnd)
	case stands && now.Phase != was.Phase:
		kinds = append(kinds, control.EventHold)
	case stood && (now.Phase == trial.PhaseRunning || now.Phase == trial.PhaseSteady) && len(kinds) == 0:
		kinds = append(kinds, control.EventResume)
	}
	if len(kinds) == 0 {
		kinds = append(kinds, control.EventChange)
	}
	return kinds
}

func stands(p trial.Phase) bool { return p == trial.PhaseHolding || p == trial.PhasePaused }

// wanted tells whether a webhook asks for an event.
func wanted(w *control.WebhookTarget, e event) bool {
	if w.Goal != "" && w.Goal != e.trial.Spec.Goal || w.Trials != "" && !matches(w.Trials, e.trial.Spec.Name) {
		return false
	}
	for _, kind := range w.Events {
		if kind == e.kind {
			return true
		}
	}
	return len(w.Events) == 0
}

// matches tells whether a name fits a pattern, in which * stands for any characters. It takes time
// proportional to their product, whatever the pattern.
func matches(pattern, name string) bool {
	star, mark := -1, 0 // the last * and what it stands for so far
	p, i := 0, 0
	for i < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == name[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// words of an event: its type for programs, what happened for people.
func (e event) words() (kind, sentence string) {
	s := &e.trial.State
	switch e.kind {
	case control.EventStart:
		return "trial.started", "has started"
	case control.EventStep:
		return "trial.stepped", fmt.Sprintf("moved to step %d of %d", s.Step+1, len(e.trial.Spec.Steps))
	case control.EventHold:
		if s.Phase == trial.PhasePaused {
			return "trial.paused", "was paused"
		}
		return "trial.held", "holds"
	case control.EventResume:
		return "trial.resumed", "goes on"
	case control.EventApprove:
		return "trial.approved", "was approved"
	case control.EventAlarm:
		return "trial.alarmed", "looks worse since its promotion"
	case control.EventPromote:
		return "trial.promoted", "was promoted"
	case control.EventDemote:
		return "trial.demoted", "had its promotion taken back"
	case control.EventEnd:
		return e.ending()
	}
	return "trial.changed", "changed"
}

func (e event) ending() (kind, sentence string) {
	result := e.trial.State.Result
	switch result {
	case trial.ResultPromoted: // a promotion has an event of its own
		return "trial.completed", "is complete: promoted, and the watch is over"
	case trial.ResultRolledBack:
		return "trial.rolled_back", "was rolled back"
	case trial.ResultSurvived:
		return "trial.survived", "was survived"
	case trial.ResultWeaknessFound:
		return "trial.weakness_found", "found a weakness"
	case trial.ResultInconclusive:
		return "trial.inconclusive", "ended without a conclusion"
	case trial.ResultAborted:
		return "trial.aborted", "was aborted"
	}
	return "trial." + string(result), "ended: " + string(result)
}
