package control

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// TrialChange is a change that touched trials, as those see it who tell others of it.
type TrialChange struct {
	Revision int64
	Hash     string
	Time     time.Time
	By       string // the name of who made it
	Reason   string
	// Trials are those from First on, in the order of the change; More says that there are others
	// after them.
	First  int
	Trials []TrialStep
	More   bool
}

// TrialStep is what a change made of one trial.
type TrialStep struct {
	Before *Trial // nil: it is new
	After  Trial
}

// NextTrialChange reads the first change after a revision that touched trials, of those at most
// limit from number first on; false if there is no such change yet. What it reads is bounded by the
// size of a change, however far behind the caller is. It reads the store.
func (s *Service) NextTrialChange(ctx context.Context, after int64, first, limit int) (TrialChange, bool, error) {
	s.mu.RLock()
	revisions := s.state.trialRevisions
	s.mu.RUnlock() // the part of the list that we hold is never written to again
	n, found := slices.BinarySearch(revisions, after)
	if found {
		n++
	}
	if n == len(revisions) {
		return TrialChange{}, false, nil
	}
	c, err := s.readChange(ctx, revisions[n])
	if err != nil {
		return TrialChange{}, false, err
	}
	change, err := s.trialChange(ctx, c, first, limit)
	return change, err == nil, err
}

// TrialChangesAfter counts the changes after a revision that touched trials.
func (s *Service) TrialChangesAfter(revision int64) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n, found := slices.BinarySearch(s.state.trialRevisions, revision)
	if found {
		n++
	}
	return len(s.state.trialRevisions) - n
}

func (s *Service) trialChange(ctx context.Context, c Change, first, limit int) (TrialChange, error) {
	change := TrialChange{Revision: c.Revision, Hash: c.Hash, Time: c.Time, By: nameOf(c.Actor), Reason: c.Reason, First: first}
	n := -1
	for _, op := range c.Ops {
		if op.Kind != KindTrial || op.Value == nil {
			continue
		}
		if n++; n < first {
			continue
		}
		if len(change.Trials) >= limit {
			change.More = true
			break
		}
		step, err := s.trialStep(ctx, op, c.Revision)
		if err != nil {
			return TrialChange{}, fmt.Errorf("control: revision %d: trial %s: %w", c.Revision, op.Key, err)
		}
		change.Trials = append(change.Trials, step)
	}
	return change, nil
}

func (s *Service) trialStep(ctx context.Context, op Op, revision int64) (step TrialStep, err error) {
	is, err := trials.read(op.Value)
	if err != nil {
		return step, err
	}
	step.After = is.Trial
	before, err := s.valueBefore(ctx, entity{KindTrial, op.Key}, revision)
	if err != nil || before.Value == nil {
		return step, err
	}
	was, err := trials.read(before.Value)
	step.Before = &was.Trial
	return step, err
}
