package control

import (
	"slices"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// Experiments that reach many need the approval of a second person before their fault is on.

// withFourEyes demands approval of an experiment whose share is above the limit.
func (s *Service) withFourEyes(spec trial.Spec) trial.Spec {
	if limit := s.cfg.FourEyesAbove; limit != nil && spec.Goal == trial.GoalSurvive &&
		slices.ContainsFunc(spec.Steps, func(step trial.Step) bool { return step.Share > *limit }) {
		spec.FourEyes = true
	}
	return spec
}

// newUnseen is what the log keeps of a new attempt for itself.
func newUnseen(spec trial.Spec, secret, by string) unseen {
	u := unseen{Secret: secret}
	if spec.FourEyes {
		u.StartedBy = by
	}
	return u
}

// mayApprove refuses who started an experiment, with whatever token of theirs that has their name.
func mayApprove(t TrialEntry, starter, by string) error {
	if !t.State.Steady || starter != by && nameOf(starter) != nameOf(by) {
		return nil
	}
	return precondition("trial %q: %s started it, so somebody else has to approve it, with a token of their own", t.Spec.Name, nameOf(starter))
}
