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
	VerbApprove Verb = "approve" // let a step with an approval gate be left
)

// Verbs lists every verb.
var Verbs = []Verb{VerbPause, VerbResume, VerbAdvance, VerbPromote, VerbAbort}

// Allowed tells whether the verb makes sense in state s; the error says why not and what would.
func (v Verb) Allowed(spec Spec, s State) error {
	if s.Ended() {
		return fmt.Errorf("trial %s is over (%s): start it again to go on", spec.Name, s.Result)
	}
	switch v {
	case VerbAbort:
		return nil
	case VerbPause, VerbAdvance, VerbPromote, VerbResume:
		if s.Phase == PhaseWatching {
			return fmt.Errorf("trial %s is promoted and only watched: abort takes the promotion back", spec.Name)
		}
	default:
		return fmt.Errorf("verb %q is unknown: use pause, resume, advance, promote or abort", v)
	}
	if v == VerbResume && s.Phase != PhasePaused {
		return fmt.Errorf("trial %s is %s, not paused: there is nothing to resume", spec.Name, s.Phase)
	}
	if v == VerbPromote && spec.Goal == GoalSurvive {
		return fmt.Errorf("trial %s is a chaos experiment: its fault is never promoted; abort stops it", spec.Name)
	}
	if v == VerbAdvance && s.Step == len(spec.Steps)-1 {
		if spec.Goal == GoalSurvive {
			return fmt.Errorf("trial %s is at its last step: it goes on until it is decided; abort stops it", spec.Name)
		}
		return fmt.Errorf("trial %s is at its last step: promote gives everybody the treatment", spec.Name)
	}
	return nil
}

// obey carries out a command. A command that is not allowed changes nothing.
func (s State) obey(spec Spec, c Command) (State, []Action) {
	if c.Verb.Allowed(spec, s) != nil {
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
		return s, []Action{{ActionResume}}
	case VerbAdvance:
		s, actions := s.advance(spec)
		s.Why = why
		return s, actions
	case VerbPromote:
		return s.promote(spec, why)
	}
	if s.Phase == PhaseWatching {
		return s.end(ResultAborted, why, ActionDemote)
	}
	return s.end(ResultAborted, why)
}
