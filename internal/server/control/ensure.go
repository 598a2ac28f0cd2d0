package control

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// maxEnsure bounds how often a start is tried anew because somebody else was faster.
const maxEnsure = 5

// EnsureTrial makes sure that a cohort trial judges what the plan names, however often it is called:
// for delivery tools, which ask again and again. A running attempt of the same cohorts and artifact
// goes on, with the plan it was started with. A running one of others is aborted, and a new attempt
// started. An attempt of the same artifact that has ended is left as it is, unless again is true.
//
// Errors are those of [Service.StartTrial]; CodePrecondition also if the name is that of a trial on
// a flag, CodeInvalid if the plan has no cohorts.
func (s *Service) EnsureTrial(ctx context.Context, spec trial.Spec, again bool, o WriteOptions) (entry TrialEntry, err error) {
	if spec.Cohorts == nil {
		return entry, invalid("/cohorts", "trial %q: the plan has no cohorts, so there is nothing to compare by itself: name service, attribute, treatment and control, or start a trial on a flag", spec.Name)
	}
	for range maxEnsure {
		entry, err = s.GetTrial(spec.Name)
		switch {
		case CodeOf(err) == CodeNotFound && err != nil:
		case err != nil:
			return entry, err
		case entry.Spec.Cohorts == nil:
			return entry, precondition("trial %q is one on flag %q: give the comparison of deployments another name", spec.Name, entry.Spec.Flag)
		case entry.State.Ended():
			if !again && spec.Tried() == entry.Spec.Tried() {
				return entry, nil
			}
		case sameTry(&spec, &entry.Spec):
			return entry, nil
		default:
			if err = s.supersede(ctx, entry, &spec, o); err != nil && !wasSlower(err) {
				return entry, err
			}
			continue
		}
		entry, err = s.StartTrial(ctx, spec, o)
		if err == nil || !wasSlower(err) {
			return entry, err
		}
	}
	return entry, err
}

// supersede aborts a running attempt because another artifact is there.
func (s *Service) supersede(ctx context.Context, old TrialEntry, spec *trial.Spec, o WriteOptions) error {
	o.IfMatch = IfMatch(old.Revision)
	o.Reason = fmt.Sprintf("%s is tried instead of %s", spec.Tried(), old.Spec.Tried())
	_, err := s.CommandTrial(ctx, old.Spec.Name, string(trial.VerbAbort), o)
	return err
}

// wasSlower reports whether an error means that the trial is another one by now.
func wasSlower(err error) bool {
	switch CodeOf(err) {
	case CodeExists, CodeConflict, CodePrecondition:
		return true
	}
	return false
}

// sameTry reports whether a plan tries what a started one does.
func sameTry(spec, started *trial.Spec) bool {
	normal := trial.Normalize(*spec)
	return *normal.Cohorts == *started.Cohorts && spec.Tried() == started.Tried()
}
