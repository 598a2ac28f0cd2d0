package trial

import (
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// Phase says what a trial is doing. docs/architecture.md has the state diagram.
type Phase string

// The phases.
const (
	PhaseSteady   Phase = "steady"   // before the fault of an experiment: both arms have the control
	PhaseRunning  Phase = "running"  // evidence decides about the next step
	PhaseHolding  Phase = "holding"  // evidence, or the lack of it, holds the ramp
	PhasePaused   Phase = "paused"   // a person holds the ramp
	PhaseWatching Phase = "watching" // promoted, still watched
	PhaseEnded    Phase = "ended"    // see Result
)

// Result is how a trial ended; empty while it runs.
type Result string

// The results.
const (
	ResultPromoted      Result = "promoted"
	ResultRolledBack    Result = "rolled_back"
	ResultSurvived      Result = "survived"
	ResultWeaknessFound Result = "weakness_found"
	ResultInconclusive  Result = "inconclusive"
	ResultAborted       Result = "aborted"
	ResultQuiet         Result = "quiet" // calibrate: no false alarm
	ResultNoisy         Result = "noisy" // calibrate: Blamed alarmed where nothing is different
)

// Verdict is what the evidence says of one guardrail.
type Verdict string

// The verdicts.
const (
	VerdictHarmful   Verdict = "harmful"   // worse than the tolerance allows
	VerdictSafe      Verdict = "safe"      // proven within the tolerance
	VerdictUndecided Verdict = "undecided" // neither yet
	VerdictNoData    Verdict = "no_data"   // nothing arrived, or from one arm only
	VerdictInvalid   Verdict = "invalid"   // the comparison cannot be trusted (sample ratio)
)

// State is everything a trial knows. Its JSON round-trips exactly, so a stored state goes on
// with the same bits.
type State struct {
	Attempt int    `json:"attempt"` // 1, 2, … : a new start of the same spec
	Seq     int    `json:"seq"`     // of the last interval weighed
	Phase   Phase  `json:"phase"`
	Result  Result `json:"result,omitempty"`
	Step    int    `json:"step"` // index into Spec.Steps

	StartedAt     time.Time `json:"startedAt"`
	StepStartedAt time.Time `json:"stepStartedAt"`
	InjectedAt    time.Time `json:"injectedAt,omitzero"` // survive: when the fault was put on
	UpdatedAt     time.Time `json:"updatedAt"`
	PromotedAt    time.Time `json:"promotedAt,omitzero"` // start of the watch
	EndedAt       time.Time `json:"endedAt,omitzero"`

	// WeighedTo is the end of the latest interval. Elapsed is the time that intervals have covered,
	// each moment once; StepElapsed that of this step, or of the watch. Downtime and jumps of the
	// clock are not in it.
	WeighedTo   time.Time `json:"weighedTo,omitzero"`
	Elapsed     Duration  `json:"elapsed,omitempty"`
	StepElapsed Duration  `json:"stepElapsed,omitempty"`

	// Rules is the version of the arithmetic that made this state ([Rules]): a replay by another
	// version may give other bits.
	Rules int `json:"rules,omitempty"`
	// Retry counts the attempts of the same artifact that ended without success within
	// [RetryWindow] of the next. PromoteAlpha is the level that follows from it.
	Retry        int     `json:"retry,omitempty"`
	PromoteAlpha float64 `json:"promoteAlpha,omitempty"`
	// Steady is on while an experiment has not put its fault on; a pause does not end it. Baseline
	// is what it saw before.
	Steady   bool      `json:"steady,omitempty"`
	Baseline *Baseline `json:"baseline,omitempty"`
	// Approved is on when a person has approved that this step be left.
	Approved bool `json:"approved,omitempty"`
	// PulledTo is the time up to which pulls were weighed.
	PulledTo time.Time `json:"pulledTo,omitzero"`

	// Why tells a person, in one or two sentences, why the trial is where it is.
	Why string `json:"why"`
	// Blamed names the guardrails that closed testing holds responsible for a roll-back.
	Blamed []string `json:"blamed,omitempty"`

	StepUnits  uint64           `json:"stepUnits"` // treatment units first seen in this step
	Treatment  Totals           `json:"treatment"`
	Control    Totals           `json:"control"`
	NoData     int              `json:"noData"` // intervals in a row that said nothing to any guardrail (watching: without treatment)
	Guardrails []GuardrailState `json:"guardrails"`
	Sample     SampleState      `json:"sample"`
	// Exemplars are bad requests of the treatment, newest first.
	Exemplars []outcome.Exemplar `json:"exemplars,omitempty"`
	// Injections add up where the faults of an experiment have hit, at most
	// [outcome.MaxInjections].
	Injections []outcome.Injection `json:"injections,omitempty"`
}

// Baseline is the steady state before the fault of an experiment: both arms had the control.
type Baseline struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Treatment Totals    `json:"treatment"`
	Control   Totals    `json:"control"`
}

// Totals add up an arm over the whole attempt: the exposure spent.
type Totals struct {
	Requests uint64 `json:"requests"`
	Bad      uint64 `json:"bad"`
	Units    uint64 `json:"units"`
	BadUnits uint64 `json:"badUnits"`
	Injected uint64 `json:"injected,omitempty"` // calls that the fault has hit
}

// Ended reports whether the trial is over.
func (s *State) Ended() bool { return s.Phase == PhaseEnded }
