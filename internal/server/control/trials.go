package control

import (
	"context"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Trial is the trial entity as it stands in the log: the plan, and the state as of the last
// decision or command.
type Trial struct {
	Spec  trial.Spec  `json:"spec"`
	State trial.State `json:"state"`
}

// TrialEntry is a trial with the revision of the last change to it. State is the newest known:
// it includes intervals that were only journalled since that change.
type TrialEntry struct {
	Trial
	Revision int64 `json:"revision"`
}

// Interval is a journalled interval with the state it led to.
type Interval struct {
	Seq      int              `json:"seq"`
	Interval outcome.Interval `json:"interval"`
	State    trial.State      `json:"state"`
}

// ListTrials gives a page of the trials, sorted by name, ended ones included.
func (s *Service) ListTrials(p Page) (items []TrialEntry, next string) { panic("not yet") }

// ActiveTrials gives the trials that have not ended, sorted by name. The controller calls it at
// every tick: it reads memory only.
func (s *Service) ActiveTrials() []TrialEntry { panic("not yet") }

// GetTrial gives a trial, or a *Error with CodeNotFound.
func (s *Service) GetTrial(name string) (TrialEntry, error) { panic("not yet") }

// StartTrial normalises and validates the plan and starts it. A trial of that name that has
// ended is started again as its next attempt, with the salt it had, so users keep their variant.
//
// Errors: CodeInvalid with the places, CodeNotFound for the flag, CodeExists if the trial has
// not ended, CodePrecondition if another trial runs on the flag, the flag is disabled, or (goal
// survive) another survive trial runs.
func (s *Service) StartTrial(ctx context.Context, spec trial.Spec, o WriteOptions) (TrialEntry, error) {
	panic("not yet")
}

// CommandTrial carries out a person's command: verb is pause, resume, advance, promote or abort.
// It is applied to the newest state, journalled intervals included; o.Actor and o.Reason become
// part of it. CodeInvalid for an unknown verb, CodeNotFound, CodePrecondition if the trial has
// ended or the command makes no sense in its phase.
func (s *Service) CommandTrial(ctx context.Context, name, verb string, o WriteOptions) (TrialEntry, error) {
	panic("not yet")
}

// Decision is what the controller stores when trial.Next gave at least one action.
type Decision struct {
	Trial string
	// Revision is that of the TrialEntry whose state went into Next. If the trial has been
	// changed since (a person's command, another controller), nothing is stored.
	Revision int64
	// State is the state that Next gave.
	State trial.State
	// Interval is the evidence of the decision; it is journalled in the same transaction. Nil
	// if the event was none.
	Interval *outcome.Interval
	// Actions are what Next gave with it. ActionPromote and ActionDemote change the flag's
	// default variant in the same change.
	Actions []trial.Action
	// Reason for the log. Default: State.Why.
	Reason string
}

// StoreDecision stores a decision of the controller as one compare-and-set change. Errors:
// CodeConflict when the trial is no longer at d.Revision: read it again and go on from there.
func (s *Service) StoreDecision(ctx context.Context, d Decision) (TrialEntry, error) {
	panic("not yet")
}

// RecordInterval journals an interval after which Next gave no action, with the state it led
// to. revision is that of the TrialEntry whose state went into Next; CodeConflict if the trial
// has been changed since or the interval is there already: read the trial again.
func (s *Service) RecordInterval(ctx context.Context, name string, revision int64, iv outcome.Interval, state trial.State) error {
	panic("not yet")
}

// Intervals reads the journal: intervals of the trial's attempt (0: the newest) with a sequence
// number greater than after, in order, at most limit (1 to 1 000, 0 means 100).
func (s *Service) Intervals(ctx context.Context, name string, attempt, after, limit int) ([]Interval, error) {
	panic("not yet")
}
