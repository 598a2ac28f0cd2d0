package trial

import (
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// stopped says how the trial ends if something demands it now; a pause does not protect it.
func (s *State) stopped(spec *Spec, iv *outcome.Interval) (result Result, why string, blamed []string) {
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
	if i, ok := s.sloHarm(spec); ok {
		return harm, s.sloHarmSentence(spec, i), []string{spec.Guardrails[i].Name}
	}
	if survive {
		result, why = s.spent(spec, iv)
	}
	return result, why, nil
}

// spent says how an experiment ends that has found nothing: a fault is not kept up for longer
// than it teaches something.
func (s *State) spent(spec *Spec, iv *outcome.Interval) (Result, string) {
	if s.Control.Injected > 0 {
		return ResultAborted, s.controlHitSentence()
	}
	if s.Treatment.Units >= spec.MaxUnits {
		return ResultInconclusive, s.spentSentence(spec)
	}
	if why, ok := s.blind(spec, iv); ok {
		return ResultAborted, why // a fault that nobody sees is no experiment
	}
	if i, ok := s.sloBroken(spec); ok {
		return ResultAborted, s.sloSentence(spec, i)
	}
	if s.Phase == PhasePaused && s.pastDeadline(spec) {
		return ResultInconclusive, s.deadlineSentence(spec)
	}
	return "", ""
}

// catastropheControl is the largest bad share of the control's requests at which the treatment
// alone can be at fault.
const catastropheControl = 0.25

// catastrophe needs no statistics: most of the treatment's requests fail and the control's do
// not. An incident that hits both arms is no catastrophe of the treatment.
func (s *State) catastrophe(spec *Spec, iv *outcome.Interval) (why string, blamed []string, ok bool) {
	const minRequests, most = 20, 0.5
	if iv.Treatment.Requests < minRequests || !iv.Treatment.Consistent() || share(iv.Treatment.Bad, iv.Treatment.Requests) <= most {
		return "", nil, false
	}
	if iv.Control.Requests > 0 && share(iv.Control.Bad, iv.Control.Requests) > catastropheControl {
		return "", nil, false
	}
	name := string(MetricErrors)
	for i := range spec.Guardrails {
		if spec.Guardrails[i].Metric == MetricErrors {
			name = spec.Guardrails[i].Name
		}
	}
	return catastropheSentence(iv), []string{name}, true
}

// move decides about a trial that nothing stops: it holds, or goes on when its step is done.
func (s State) move(spec *Spec, iv *outcome.Interval) (State, []Action) {
	if why, ok := s.blind(spec, iv); ok {
		if s.pastDeadline(spec) && spec.OnDeadline == DeadlineRollBack {
			return s.end(ResultRolledBack, s.deadlineSentence(spec))
		}
		return s.hold(why)
	}
	if i, ok := s.sloBroken(spec); ok {
		return s.hold(s.sloSentence(spec, i))
	}
	worst, alarm := s.alarmed(spec)
	done := !alarm && s.stepDone(spec)
	switch {
	case done && !s.gated(spec, s.Step):
		return s.advance(spec)
	case s.pastDeadline(spec) && s.mayEnd(spec, alarm):
		return s.deadline(spec)
	case done:
		return s.hold(s.approvalSentence(spec))
	case alarm:
		return s.hold(s.alarmSentence(spec, worst))
	}
	return s.goOn(spec)
}

// gated reports whether a person has to approve before a step is left.
func (s *State) gated(spec *Spec, step int) bool {
	return spec.Steps[step].Approval && !(step == s.Step && s.Approved)
}

// mayEnd reports whether the deadline's policy may be carried out now. Nothing is promoted that
// looks worse, that shows nothing, or that a person has yet to approve at this step or a later
// one. A rollout that only waits for approval waits on.
func (s *State) mayEnd(spec *Spec, alarm bool) bool {
	if spec.Goal == GoalSurvive || spec.OnDeadline == DeadlineRollBack {
		return true
	}
	gated := false
	for step := s.Step; step < len(spec.Steps); step++ {
		gated = gated || s.gated(spec, step)
	}
	if spec.OnDeadline == DeadlinePromote {
		return !alarm && !gated && s.allTold(spec)
	}
	return !(s.gated(spec, s.Step) && !alarm && s.stepDone(spec))
}

func (s *State) pastDeadline(spec *Spec) bool {
	if spec.Goal == GoalSurvive && s.UpdatedAt.Sub(s.began()) >= time.Duration(spec.Deadline) {
		return true // a fault is bounded by the clock too, observed or not
	}
	return s.Elapsed >= spec.Deadline
}

// began is when the trial began to try something: an experiment when its fault was put on.
func (s *State) began() time.Time {
	if s.InjectedAt.IsZero() {
		return s.StartedAt
	}
	return s.InjectedAt
}

func (s State) deadline(spec *Spec) (State, []Action) {
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
func (s *State) stepDone(spec *Spec) bool {
	step := &spec.Steps[s.Step]
	if !s.allTold(spec) || s.StepElapsed < step.MinTime || s.units(spec) < step.MinUnits {
		return false
	}
	if spec.Goal == GoalSurvive && s.Step == len(spec.Steps)-1 {
		if _, untried := s.untried(spec); untried {
			return false
		}
	}
	return !step.RequireSafe || s.allSafe(spec)
}

// allTold reports whether every guardrail that counts had something to say in this step, and
// lately: in this very interval or, as it comes less often, in a pull that is not too old.
func (s *State) allTold(spec *Spec) bool {
	_, untold := s.untold(spec)
	return !untold
}

// untold gives a guardrail that counts and had nothing to say.
func (s *State) untold(spec *Spec) (int, bool) {
	for i := range s.Guardrails {
		g, st := &spec.Guardrails[i], &s.Guardrails[i]
		if g.Mode == ModeShadow {
			continue
		}
		if st.StepTold == 0 || g.Prometheus == nil && st.NoData > 0 || st.silent(spec, g) {
			return i, true
		}
	}
	return 0, false
}

// units is the exposure a step has to reach: units first seen in it, or, once the whole audience
// was seen, in the trial.
func (s *State) units(spec *Spec) uint64 {
	if spec.Steps[s.Step].RequireSafe {
		return s.Treatment.Units
	}
	return s.StepUnits
}

func (s *State) allSafe(spec *Spec) bool {
	for i := range s.Guardrails {
		if spec.Guardrails[i].Mode != ModeShadow && s.Guardrails[i].Verdict != VerdictSafe {
			return false
		}
	}
	return true
}

// blind reports evidence that cannot be trusted: a guardrail hears nothing of an arm, or the
// arms' sizes are not what the assignment makes them.
func (s *State) blind(spec *Spec, iv *outcome.Interval) (string, bool) {
	if s.Sample.Invalid {
		return s.sampleSentence(), true
	}
	return s.unheard(spec, iv)
}

// unheard reports a guardrail that counts and hears nothing.
func (s *State) unheard(spec *Spec, iv *outcome.Interval) (string, bool) {
	for i := range s.Guardrails {
		if g := &spec.Guardrails[i]; g.Mode != ModeShadow && s.Guardrails[i].silent(spec, g) {
			return s.noDataSentence(spec, i, iv), true
		}
	}
	return "", false
}

// alarmed holds the ramp when a guardrail looks worse at all, tolerance or not, until it is
// proven safe.
func (s *State) alarmed(spec *Spec) (int, bool) {
	for i := range s.Guardrails {
		if s.Guardrails[i].Alarm && spec.Guardrails[i].Mode != ModeShadow {
			return i, true
		}
	}
	return 0, false
}

// Alarmed names a guardrail that is not shadow and alarms, or whose service level is broken, in a
// trial that has not ended: that something is wrong, whoever is at fault.
func (s *State) Alarmed(spec Spec) (guardrail string, ok bool) {
	if s.Ended() {
		return "", false
	}
	if i, ok := s.alarmed(&spec); ok {
		return spec.Guardrails[i].Name, true
	}
	if i, ok := s.sloOfBoth(&spec); ok {
		return spec.Guardrails[i].Name, true
	}
	return "", false
}

func share(bad, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(bad) / float64(of)
}
