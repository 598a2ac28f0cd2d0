package trial

import "fmt"

// Verb is what a person can tell a trial to do.
type Verb string

// The verbs.
const (
	VerbPause   Verb = "pause"   // stay at this share; harm still stops the trial
	VerbResume  Verb = "resume"  // let the evidence decide again
	VerbAdvance Verb = "advance" // to the next step now, whatever the evidence lacks
	VerbPromote Verb = "promote" // everybody now
	VerbAbort   Verb = "abort"   // nobody, now
	VerbApprove Verb = "approve" // let a step with an approval gate be left, or the fault of an experiment be put on
)

// Verbs lists every verb.
var Verbs = []Verb{VerbPause, VerbResume, VerbAdvance, VerbPromote, VerbAbort, VerbApprove}

// Allowed tells whether the verb makes sense in state s; the error says why not and what would.
func (v Verb) Allowed(spec Spec, s State) error {
	if s.Ended() {
		return fmt.Errorf("trial %s is over (%s): start it again to go on", spec.Name, s.Result)
	}
	switch v {
	case VerbAbort:
		return nil
	case VerbPause, VerbAdvance, VerbPromote, VerbResume, VerbApprove:
		if s.Phase == PhaseWatching {
			return fmt.Errorf("trial %s is promoted and only watched: abort takes the promotion back", spec.Name)
		}
	default:
		return fmt.Errorf("verb %q is unknown: use pause, resume, advance, promote, approve or abort", v)
	}
	switch v {
	case VerbResume:
		if s.Phase != PhasePaused {
			return fmt.Errorf("trial %s is %s, not paused: there is nothing to resume", spec.Name, s.Phase)
		}
	case VerbPromote:
		return mayPromote(spec)
	case VerbAdvance, VerbApprove:
		if s.Steady && !(v == VerbApprove && spec.FourEyes) {
			return fmt.Errorf("the fault of trial %s is not on yet: it is put on when everything has looked well for %s, and not before; abort stops it", spec.Name, spec.SteadyTime)
		}
	}
	switch v {
	case VerbAdvance:
		return mayAdvance(spec, s)
	case VerbApprove:
		return mayApprove(spec, s)
	}
	return nil
}

func mayPromote(spec Spec) error {
	switch spec.Goal {
	case GoalSurvive:
		return fmt.Errorf("trial %s is a chaos experiment: its fault is never promoted; abort stops it", spec.Name)
	case GoalCalibrate:
		return fmt.Errorf("trial %s compares a variant with itself: there is nothing to promote; abort stops it", spec.Name)
	}
	return nil
}

func mayAdvance(spec Spec, s State) error {
	switch {
	case s.Step < len(spec.Steps)-1:
		return nil
	case spec.Goal != GoalPromote:
		return fmt.Errorf("trial %s is at its last step: it goes on until it is decided; abort stops it", spec.Name)
	case spec.Cohorts != nil:
		return fmt.Errorf("trial %s has no steps of its own: promote ends it with the verdict promoted", spec.Name)
	}
	return fmt.Errorf("trial %s is at its last step: promote gives everybody the treatment", spec.Name)
}

func mayApprove(spec Spec, s State) error {
	switch {
	case s.Steady && s.Approved:
		return fmt.Errorf("trial %s is approved already: its fault is put on when everything has looked well for %s", spec.Name, spec.SteadyTime)
	case s.Steady:
		return nil
	case !spec.Steps[s.Step].Approval:
		return fmt.Errorf("step %d of trial %s needs no approval: advance leaves it now", s.Step+1, spec.Name)
	case s.Approved:
		return fmt.Errorf("step %d of trial %s is approved already: it is left when its other conditions hold", s.Step+1, spec.Name)
	}
	return nil
}

// obey carries out a command. A command that is not allowed changes nothing.
func (s State) obey(spec *Spec, c Command) (State, []Action) {
	if c.Verb.Allowed(*spec, s) != nil {
		return s, nil
	}
	if c.At.After(s.UpdatedAt) {
		s.UpdatedAt = c.At
	}
	why := commandSentence(c)
	switch c.Verb {
	case VerbPause:
		s.Phase, s.Why = PhasePaused, why
		return s, []Action{{ActionHold}}
	case VerbResume:
		s.Phase, s.Why = PhaseRunning, why
		if s.Steady {
			s.restartSteady()
		}
		return s, []Action{{ActionResume}}
	case VerbAdvance:
		s, actions := s.advance(spec)
		s.Why = why
		return s, actions
	case VerbPromote:
		return s.promote(spec, why)
	case VerbApprove:
		s.Approved, s.Why = true, why
		return s, []Action{{ActionApprove}}
	}
	if s.Phase == PhaseWatching {
		return s.end(ResultAborted, why, ActionDemote)
	}
	return s.end(ResultAborted, why)
}
