package trial

import (
	"cmp"
	"math"
	"time"
)

// Rules is the version of the arithmetic and of the decisions. It grows with every change after
// which the same intervals may give another state, so that a replay can say so.
const Rules = 4

// maxRetry bounds how often the level of a retry is halved.
const maxRetry = 30

// Start gives the first state of an attempt that is no retry. The spec must be normalised and
// valid.
func Start(spec Spec, attempt int, at time.Time) State { return start(spec, attempt, 0, at) }

// Restart gives the first state of the attempt after last, which was an attempt of the plan
// before. If it tried the same artifact, ended within [RetryWindow] and did not succeed, the new
// one is a retry: its level for "safe" is halved once more, so that all retries together call a
// harmful artifact safe with a chance of at most twice PromoteAlpha. Without an earlier attempt
// (zero values) it is [Start].
func Restart(spec, before Spec, last State, at time.Time) State {
	return start(spec, last.Attempt+1, retry(&spec, &before, &last, at), at)
}

func start(spec Spec, attempt, retry int, at time.Time) State {
	s := State{
		Attempt: attempt, Phase: PhaseRunning, Rules: Rules,
		Retry: retry, PromoteAlpha: math.Ldexp(spec.PromoteAlpha, -min(retry, maxRetry)),
		StartedAt: at, StepStartedAt: at, UpdatedAt: at,
		Guardrails: make([]GuardrailState, len(spec.Guardrails)),
	}
	if spec.Goal == GoalSurvive {
		s.Phase, s.Steady = PhaseSteady, true
	}
	for i := range spec.Guardrails {
		s.Guardrails[i] = newGuardrail(&spec, &spec.Guardrails[i])
	}
	s.Why = s.sentence(&spec)
	return s
}

// retry counts the attempts of the same artifact that came to nothing before this one.
func retry(spec, before *Spec, last *State, at time.Time) int {
	switch {
	case !last.Ended() || spec.Goal != before.Goal || spec.Tried() != before.Tried():
		return 0
	case at.Sub(last.EndedAt) > time.Duration(RetryWindow):
		return 0
	case last.Result == ResultPromoted || last.Result == ResultSurvived || last.Result == ResultQuiet:
		return 0
	}
	return last.Retry + 1
}

// Tried names the artifact that is tried.
func (spec *Spec) Tried() string {
	if spec.Cohorts != nil {
		return cmp.Or(spec.Artifact, spec.Cohorts.Treatment)
	}
	return cmp.Or(spec.Artifact, spec.Flag+"\x00"+spec.Treatment)
}

// SafeLevel is the level at which a guardrail is called safe in this attempt.
func (s *State) SafeLevel(spec *Spec) float64 {
	if s.PromoteAlpha > 0 {
		return s.PromoteAlpha
	}
	return spec.PromoteAlpha // a state of earlier rules
}
