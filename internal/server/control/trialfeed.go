package control

import "context"

// TrialChanges tells which trials have changed since a state.
type TrialChanges struct {
	// Head identifies the state that they lead to.
	Head Head
	// Names of the trials, some perhaps twice. A trial may be gone or over.
	Names []string
	// All says that nobody knows what has changed: Names are all the trials that have not ended.
	All bool
}

// WaitTrials tells which trials were changed in the log since the state that have identifies, as
// soon as there is a newer one; all active trials if that is the zero value. Intervals that were
// only journalled are no changes. It reads memory only and fails only with the cause of ctx.
func (s *Service) WaitTrials(ctx context.Context, have Head) (TrialChanges, error) {
	for {
		s.mu.RLock()
		changes, changed := s.changedTrials(have), s.changed
		s.mu.RUnlock()
		if changes.Head != have {
			return changes, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return TrialChanges{}, context.Cause(ctx)
		}
	}
}

// changedTrials does what WaitTrials does, of now. The caller holds s.mu.
func (s *Service) changedTrials(have Head) TrialChanges {
	c := TrialChanges{Head: s.state.head}
	if have.History == c.Head.History && have.Epoch == c.Head.Epoch && have.Revision >= s.feed.from {
		c.Names = s.feed.since(have.Revision)
		return c
	}
	c.All = true
	for name, entry := range s.state.trials {
		if !entry.State.Ended() {
			c.Names = append(c.Names, name)
		}
	}
	return c
}

// feed remembers which trials the newest changes of the log were about.
type feed struct {
	from int64 // it knows all changes after this revision
	list []trialChange
}

type trialChange struct {
	revision int64
	name     string
}

// maxFeed bounds the changes that a feed remembers.
const maxFeed = 4096

func (f *feed) push(c Change) {
	for _, op := range c.Ops {
		if op.Kind == KindTrial {
			f.list = append(f.list, trialChange{c.Revision, op.Key})
		}
	}
	if len(f.list) > maxFeed {
		half := len(f.list) / 2
		f.from = f.list[half-1].revision
		f.list = append([]trialChange(nil), f.list[half:]...)
	}
}

func (f *feed) since(revision int64) (names []string) {
	first := len(f.list)
	for first > 0 && f.list[first-1].revision > revision {
		first--
	}
	for _, c := range f.list[first:] {
		names = append(names, c.name)
	}
	return names
}
