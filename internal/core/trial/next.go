package trial

import (
	"math"
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
	ActionStep    ActionKind = "step"    // the share moved to State.Step
	ActionHold    ActionKind = "hold"    // the ramp stands still, State.Why says why
	ActionResume  ActionKind = "resume"  // it goes on
	ActionPromote ActionKind = "promote" // the flag's default becomes the treatment
	ActionDemote  ActionKind = "demote"  // the flag's default becomes the control again
	ActionEnd     ActionKind = "end"     // the trial is over, State.Result says how
)

// Start gives the first state of an attempt. The spec must be normalised and valid.
func Start(spec Spec, attempt int, at time.Time) State {
	s := State{
		Attempt: attempt, Phase: PhaseRunning,
		StartedAt: at, StepStartedAt: at, UpdatedAt: at,
		Guardrails: make([]GuardrailState, len(spec.Guardrails)),
	}
	for i, g := range spec.Guardrails {
		s.Guardrails[i] = newGuardrail(g)
	}
	s.Why = s.sentence(spec)
	return s
}

// Next gives the state after an event, and what to do. It never changes s; an ended trial stays
// as it is, whatever comes.
func Next(spec Spec, s State, e Event) (State, []Action) {
	if s.Ended() {
		return s, nil
	}
	s = s.clone()
	switch e := e.(type) {
	case Command:
		return s.obey(spec, e)
	case IntervalClosed:
		return s.weigh(spec, e.Interval)
	}
	return s, nil
}

// weigh takes one interval into account and decides, in a fixed order: what stops the trial
// first, then what holds it, then what moves it on. An interval that was weighed before, or
// belongs to another step, changes nothing.
func (s State) weigh(spec Spec, iv outcome.Interval) (State, []Action) {
	if iv.Seq <= s.Seq || iv.Step != s.Step {
		return s, nil
	}
	s.count(iv)
	if s.Phase == PhaseWatching {
		return s.watch(spec, iv)
	}
	s.addEvidence(spec, iv)
	if result, why, blamed := s.stopped(spec, iv); result != "" {
		s.Blamed = blamed
		return s.end(result, why)
	}
	if s.Phase == PhasePaused {
		return s, nil
	}
	return s.move(spec, iv)
}

// stopped says how the trial ends if something demands it now; a pause does not protect it.
func (s *State) stopped(spec Spec, iv outcome.Interval) (result Result, why string, blamed []string) {
	harm, survive := ResultRolledBack, spec.Goal == GoalSurvive
	if survive {
		harm = ResultWeaknessFound
	}
	if why, blamed, ok := s.catastrophe(spec, iv); ok {
		return harm, why, blamed
	}
	if blamed, ok := s.harmful(spec); ok {
		return harm, s.harmSentence(spec, blamed), blamed
	}
	if !survive {
		return "", "", nil
	}
	if s.Treatment.Units >= spec.MaxUnits {
		return ResultInconclusive, spentSentence(s, spec), nil
	}
	if why, ok := s.blind(spec, iv); ok {
		return ResultAborted, why, nil // a fault that nobody sees is no experiment
	}
	if s.Phase == PhasePaused && s.pastDeadline(spec) {
		return ResultInconclusive, s.deadlineSentence(spec), nil
	}
	return "", "", nil
}

// move decides about a trial that nothing stops: it holds, or goes on when its step is done.
func (s State) move(spec Spec, iv outcome.Interval) (State, []Action) {
	if why, ok := s.blind(spec, iv); ok {
		if s.pastDeadline(spec) && spec.OnDeadline == DeadlineRollBack {
			return s.end(ResultRolledBack, s.deadlineSentence(spec))
		}
		return s.hold(why)
	}
	why, alarm := s.alarmed(spec)
	switch {
	case !alarm && s.stepDone(spec):
		return s.advance(spec)
	case s.pastDeadline(spec) && (spec.OnDeadline != DeadlinePromote || s.NoData == 0 && !alarm):
		return s.deadline(spec)
	case alarm:
		return s.hold(why)
	}
	return s.goOn(spec)
}

// count adds the interval to the totals.
func (s *State) count(iv outcome.Interval) {
	s.Seq = iv.Seq
	if iv.To.After(s.UpdatedAt) { // a command may have come later
		s.UpdatedAt = iv.To
	}
	s.Treatment.add(iv.Treatment)
	s.Control.add(iv.Control)
	s.StepUnits += iv.Treatment.NewUnits
	told := compared(iv)
	if s.Phase == PhaseWatching {
		told = iv.Treatment.Requests > 0 // there is no control any more
	}
	if told {
		s.NoData = 0
	} else {
		s.NoData++
	}
	s.Exemplars = outcome.AddExemplars(s.Exemplars, iv.Exemplars...)
}

func (t *Totals) add(a outcome.Arm) {
	t.Requests += a.Requests
	t.Bad += a.Bad
	t.Units += a.NewUnits
	t.BadUnits += a.BadUnits
}

// compared reports whether the interval says anything: both arms were exposed, and their counts
// can be true.
func compared(iv outcome.Interval) bool {
	return iv.Treatment.Requests > 0 && iv.Control.Requests > 0 &&
		iv.Treatment.Consistent() && iv.Control.Consistent()
}

// catastrophe needs no statistics: most of the treatment's requests fail and the control's do
// not. An incident that hits both arms is no catastrophe of the treatment.
func (s *State) catastrophe(spec Spec, iv outcome.Interval) (why string, blamed []string, ok bool) {
	const minRequests, most, few = 20, 0.5, 0.25
	if iv.Treatment.Requests < minRequests || !iv.Treatment.Consistent() || share(iv.Treatment.Bad, iv.Treatment.Requests) <= most {
		return "", nil, false
	}
	if iv.Control.Requests > 0 && share(iv.Control.Bad, iv.Control.Requests) > few {
		return "", nil, false
	}
	name := "errors"
	for _, g := range spec.Guardrails {
		if g.Metric == MetricErrors {
			name = g.Name
		}
	}
	return catastropheSentence(iv), []string{name}, true
}

// harmful applies the mean rule over the enforced guardrails and names those that closed testing
// holds responsible.
func (s *State) harmful(spec Spec) (blamed []string, ok bool) {
	names, logs := s.enforced(spec)
	return blame(names, logs, spec.Alpha)
}

// blind reports evidence that cannot be trusted: an arm is missing, or the arms' sizes are not
// what the assignment makes them.
func (s *State) blind(spec Spec, iv outcome.Interval) (string, bool) {
	if s.Sample.Invalid {
		return s.sampleSentence(spec), true
	}
	if s.silent(spec) {
		return s.noDataSentence(iv), true
	}
	return "", false
}

// silent reports whether no comparable interval has come for longer than telemetry may take.
func (s *State) silent(spec Spec) bool {
	return s.NoData >= max(noDataIntervals, int(math.Ceil(float64(noDataTime)/float64(spec.Interval))))
}

// An arm may be silent for this long before the trial holds: whichever is more.
const (
	noDataIntervals = 3
	noDataTime      = Duration(10 * time.Second)
)

// alarmed holds the ramp when a guardrail looks worse at all, tolerance or not, until it is
// proven safe.
func (s *State) alarmed(spec Spec) (string, bool) {
	for i, g := range s.Guardrails {
		if g.Alarm && spec.Guardrails[i].Mode != ModeShadow {
			return s.alarmSentence(spec, i), true
		}
	}
	return "", false
}

func (s *State) pastDeadline(spec Spec) bool {
	return s.UpdatedAt.Sub(s.StartedAt) >= time.Duration(spec.Deadline)
}

func (s State) deadline(spec Spec) (State, []Action) {
	why := s.deadlineSentence(spec)
	switch {
	case spec.Goal == GoalSurvive:
		return s.end(ResultInconclusive, why)
	case spec.OnDeadline == DeadlinePromote:
		return s.promote(spec, why)
	case spec.OnDeadline == DeadlineRollBack:
		return s.end(ResultRolledBack, why)
	}
	return s.hold(why)
}

// stepDone reports whether this step has shown what it was for. It is never done in an interval
// that shows nothing.
func (s *State) stepDone(spec Spec) bool {
	step := spec.Steps[s.Step]
	if s.NoData > 0 || s.UpdatedAt.Sub(s.StepStartedAt) < time.Duration(step.MinTime) || s.units(spec) < step.MinUnits {
		return false
	}
	return !step.RequireSafe || s.allSafe(spec)
}

// units is the exposure a step has to reach: units first seen in it, or, once the whole audience
// was seen, in the trial.
func (s *State) units(spec Spec) uint64 {
	if spec.Steps[s.Step].RequireSafe {
		return s.Treatment.Units
	}
	return s.StepUnits
}

func (s *State) allSafe(spec Spec) bool {
	for i := range s.Guardrails {
		if spec.Guardrails[i].Mode != ModeShadow && s.Guardrails[i].Verdict != VerdictSafe {
			return false
		}
	}
	return true
}

// advance moves to the next step; after the last one the trial has reached its goal.
func (s State) advance(spec Spec) (State, []Action) {
	if s.Step < len(spec.Steps)-1 {
		s.Phase = PhaseRunning
		s.Step++
		s.StepStartedAt, s.StepUnits = s.UpdatedAt, 0
		s.Why = s.stepSentence(spec)
		return s, []Action{{ActionStep}}
	}
	if spec.Goal == GoalSurvive {
		return s.end(ResultSurvived, s.survivedSentence(spec))
	}
	return s.promote(spec, s.promotedSentence(spec))
}

func (s State) promote(spec Spec, why string) (State, []Action) {
	s.PromotedAt, s.Why, s.NoData = s.UpdatedAt, why, 0
	if spec.Watch == 0 {
		return s.end(ResultPromoted, why, ActionPromote)
	}
	s.Phase = PhaseWatching
	return s, []Action{{ActionPromote}}
}

// watch looks after a promoted treatment. No control is left, so only a catastrophe can still
// be told; that is weaker than the trial was, and the page says so.
func (s State) watch(spec Spec, iv outcome.Interval) (State, []Action) {
	if why, blamed, ok := s.catastrophe(spec, iv); ok {
		s.Blamed = blamed
		return s.end(ResultRolledBack, why, ActionDemote)
	}
	if s.UpdatedAt.Sub(s.PromotedAt) >= time.Duration(spec.Watch) {
		return s.end(ResultPromoted, s.watchedSentence(spec))
	}
	return s, nil
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

func (s State) goOn(spec Spec) (State, []Action) {
	was := s.Phase
	s.Phase = PhaseRunning
	s.Why = s.sentence(spec)
	if was == PhaseHolding {
		return s, []Action{{ActionResume}}
	}
	return s, nil
}

func (s State) clone() State {
	s.Guardrails = append([]GuardrailState(nil), s.Guardrails...)
	for i := range s.Guardrails {
		s.Guardrails[i] = s.Guardrails[i].clone()
	}
	return s
}

func share(bad, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(bad) / float64(of)
}
