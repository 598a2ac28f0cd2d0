package trial

import (
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// Event is what a trial reacts to: [IntervalClosed] or [Command].
type Event interface{ event() }

// IntervalClosed brings the outcomes of one closed interval.
type IntervalClosed struct{ Interval outcome.Interval }

// Command is what a person wants. It always wins over the automation.
type Command struct {
	Verb   Verb
	Actor  string // the name that people know; the log has the whole identity
	Reason string
	At     time.Time
}

func (IntervalClosed) event() {}
func (Command) event()        {}

// Action is what has to be done because of an event. Every action means: store the new state in
// the log, as one compare-and-set; some change the flag's default variant in the same change.
type Action struct{ Kind ActionKind }

// ActionKind names an action.
type ActionKind string

// The actions.
const (
	ActionInject  ActionKind = "inject"  // the steady phase is over: the fault is on
	ActionStep    ActionKind = "step"    // the share moved to State.Step
	ActionHold    ActionKind = "hold"    // the ramp stands still, State.Why says why
	ActionResume  ActionKind = "resume"  // it goes on
	ActionApprove ActionKind = "approve" // a person approved that the step be left
	ActionAlarm   ActionKind = "alarm"   // the watch looks worse than before the promotion
	ActionPromote ActionKind = "promote" // the flag's default becomes the treatment
	ActionDemote  ActionKind = "demote"  // the flag's default becomes the control again
	ActionEnd     ActionKind = "end"     // the trial is over, State.Result says how
)

// Next gives the state after an event, and what to do. It never changes s; an ended trial stays
// as it is, whatever comes.
//
// A person's command is obeyed in every phase but ended. An interval is weighed in this order, and
// the first that applies decides:
//
//  0. It was weighed before (Seq), or is of another step or of the phase before the fault: nothing
//     changes.
//  1. Watching: a catastrophe takes the promotion back; a service level or a share of the control's
//     history exceeded alarms, or takes it back ([Spec.OnWatch]); the watch over: promoted.
//  2. Calibrating: the deadline ends it quiet or noisy (inconclusive without data); silence holds.
//     Nothing else.
//  3. Before the fault of an experiment (steady): a call that was hit, a wrong sample ratio or an
//     alarm → aborted; paused past the deadline → aborted. Once everything has looked well for
//     SteadyTime (data in every guardrail that is not shadow, no service level exceeded, at most a
//     quarter of the control's requests bad) the fault is on and evidence starts anew; if that does
//     not come about in twice the time, or in the time after which a guardrail counts as silent if
//     that is longer → aborted. Nothing else.
//  4. Catastrophe: at least 20 requests of the treatment, over half of them bad, and the control
//     silent or at most a quarter bad → rolled back, without statistics.
//  5. Harm: the weighted mean of the e-values of the enforced guardrails reaches 1/Alpha → rolled
//     back, blame by closed testing.
//  6. Service level exceeded, sample ratio as assigned: enforced and the e-value for any harm at
//     least 3 → rolled back.
//  7. Experiments only: a call of the control was hit → aborted; MaxUnits reached → inconclusive;
//     blind, or the service level exceeded in both arms → aborted; paused past the deadline →
//     inconclusive.
//  8. Paused: nothing more.
//  9. Blind (sample ratio wrong, or a guardrail that is not shadow silent) → hold; past the
//     deadline with policy rollback → rolled back.
//  10. Service level exceeded in both arms → hold.
//  11. Step done (minimum time and units, data of this step in every guardrail that is not shadow,
//     no alarm; where safety is required each of them proven safe; for survived so many calls hit
//     that the enforced ones could have failed) → next step, or promote / survived. With an
//     approval gate that nobody has opened → hold.
//  12. Deadline → hold / promote / rollback; experiments → inconclusive. It promotes only with
//     data, without an alarm and without a closed approval gate ahead.
//  13. Alarm: a guardrail that is not shadow looks worse at all at HoldAlpha, or harmful, and is
//     not proven safe → hold.
//  14. Otherwise go on.
func Next(spec Spec, s State, e Event) (State, []Action) {
	if s.Ended() {
		return s, nil
	}
	switch e := e.(type) {
	case Command:
		return s.clone().obey(&spec, e)
	case IntervalClosed:
		if e.Interval.Seq <= s.Seq || e.Interval.Step != s.Step || e.Interval.Steady != s.Steady {
			return s, nil
		}
		next := s.clone()
		return next.weigh(&spec, &e.Interval)
	}
	return s, nil
}

// weigh takes one interval into account and decides.
func (s State) weigh(spec *Spec, iv *outcome.Interval) (State, []Action) {
	s.count(spec, iv)
	switch {
	case s.Phase == PhaseWatching:
		return s.watch(spec, iv)
	case spec.Goal == GoalCalibrate:
		return s.calibrate(spec, iv)
	case s.Steady:
		return s.steady(spec, iv)
	}
	if result, why, blamed := s.stopped(spec, iv); result != "" {
		s.Blamed = blamed
		return s.end(result, why)
	}
	if s.Phase == PhasePaused {
		return s, nil
	}
	return s.move(spec, iv)
}

// count adds the interval to the totals and to the evidence.
func (s *State) count(spec *Spec, iv *outcome.Interval) {
	s.renew(spec)
	s.Rules, s.Seq = Rules, iv.Seq
	s.passTime(spec, iv)
	s.Treatment.add(&iv.Treatment)
	s.Control.add(&iv.Control)
	s.StepUnits += iv.Treatment.NewUnits
	if len(iv.Exemplars) > 0 {
		s.Exemplars = outcome.AddExemplars(s.Exemplars, iv.Exemplars...)
	}
	if len(iv.Injections) > 0 {
		s.Injections = outcome.AddInjections(s.Injections, iv.Injections...)
	}
	told := s.addEvidence(spec, iv)
	if s.Phase == PhaseWatching {
		told = iv.Treatment.Requests > 0 // there is no control any more
	}
	if told {
		s.NoData = 0
	} else {
		s.NoData++
	}
}

// passTime lets the time pass that the interval covers beyond what earlier ones did. An interval
// much longer than planned counts as two: the rest was not looked at.
func (s *State) passTime(spec *Spec, iv *outcome.Interval) {
	if iv.To.After(s.UpdatedAt) { // a command may have come later
		s.UpdatedAt = iv.To
	}
	if !iv.To.After(s.WeighedTo) {
		return
	}
	from := iv.From
	if s.WeighedTo.After(from) {
		from = s.WeighedTo
	}
	s.WeighedTo = iv.To
	passed := min(Duration(max(iv.To.Sub(from), 0)), 2*spec.Interval)
	s.Elapsed = min(s.Elapsed+passed, maxElapsed)
	s.StepElapsed = min(s.StepElapsed+passed, maxElapsed)
}

const maxElapsed = 100 * maxDeadline

func (t *Totals) add(a *outcome.Arm) {
	t.Requests += a.Requests
	t.Bad += a.Bad
	t.Units += a.NewUnits
	t.BadUnits += a.BadUnits
	t.Injected += a.Injected
}

// compared reports whether the requests of the interval say anything: both arms have some, and
// their counts can be true.
func compared(iv *outcome.Interval) bool {
	return iv.Treatment.Requests > 0 && iv.Control.Requests > 0 &&
		iv.Treatment.Consistent() && iv.Control.Consistent()
}

// advance moves to the next step; after the last one the trial has reached its goal.
func (s State) advance(spec *Spec) (State, []Action) {
	if s.Step < len(spec.Steps)-1 {
		s.Phase = PhaseRunning
		s.Step++
		s.beginStep()
		s.Why = s.stepSentence(spec)
		return s, []Action{{ActionStep}}
	}
	if spec.Goal == GoalSurvive {
		return s.end(ResultSurvived, s.survivedSentence())
	}
	return s.promote(spec, s.promotedSentence(spec))
}

// beginStep starts the counts of a step.
func (s *State) beginStep() {
	s.StepStartedAt, s.StepUnits, s.StepElapsed, s.Approved = s.UpdatedAt, 0, 0, false
	for i := range s.Guardrails {
		s.Guardrails[i].StepTold = 0
	}
}

func (s State) promote(spec *Spec, why string) (State, []Action) {
	s.PromotedAt, s.Why, s.NoData, s.StepElapsed = s.UpdatedAt, why, 0, 0
	if spec.Watch <= 0 {
		return s.end(ResultPromoted, why, ActionPromote)
	}
	s.rememberControl(spec)
	s.Phase = PhaseWatching
	return s, []Action{{ActionPromote}}
}

func (s State) end(result Result, why string, also ...ActionKind) (State, []Action) {
	s.Phase, s.Result, s.Why, s.EndedAt = PhaseEnded, result, why, s.UpdatedAt
	var actions []Action
	for _, kind := range also {
		actions = append(actions, Action{kind})
	}
	return s, append(actions, Action{ActionEnd})
}

// hold stands still until the reason goes away.
func (s State) hold(why string) (State, []Action) {
	was := s.Phase
	s.Phase, s.Why = PhaseHolding, why
	if was == PhaseHolding {
		return s, nil
	}
	return s, []Action{{ActionHold}}
}

func (s State) goOn(spec *Spec) (State, []Action) {
	was := s.Phase
	s.Phase = PhaseRunning
	s.Why = s.sentence(spec)
	if was == PhaseHolding {
		return s, []Action{{ActionResume}}
	}
	return s, nil
}
