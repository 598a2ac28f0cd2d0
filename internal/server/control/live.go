package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// The state of a trial moves with every interval, but only decisions and commands change the log.
// The states in between are in the journal, each with the revision of the trial that it builds
// on: a state counts only while the trial is still at that revision, so a person's command is
// never undone by an interval that was weighed before it.

// liveTrial is the newest journalled state of a trial.
type liveTrial struct {
	revision int64 // of the trial that it builds on
	state    trial.State
}

// newest gives the entry with its newest known state. The caller holds s.mu.
func (s *Service) newest(entry TrialEntry) TrialEntry {
	l, ok := s.live[entry.Spec.Name]
	if ok && l.revision == entry.Revision && l.state.Seq > entry.State.Seq {
		entry.State = l.state
	}
	return entry
}

// loadLive reads the newest journalled state of every active trial.
func (s *Service) loadLive(ctx context.Context, p *projection) (map[string]liveTrial, error) {
	live := map[string]liveTrial{}
	for name, entry := range p.trials {
		if entry.State.Ended() {
			continue
		}
		l, ok, err := s.readLive(ctx, entry)
		if err != nil {
			return nil, err
		}
		if ok {
			live[name] = l
		}
	}
	return live, nil
}

// readLive reads the newest journalled state of a trial; false if there is none that counts.
func (s *Service) readLive(ctx context.Context, entry TrialEntry) (liveTrial, bool, error) {
	row, err := s.cfg.Journal.LastInterval(ctx, entry.Spec.Name, entry.State.Attempt)
	if errors.Is(err, ErrNotFound) || err == nil && row.Revision != entry.Revision {
		return liveTrial{}, false, nil
	}
	if err != nil {
		return liveTrial{}, false, err
	}
	l := liveTrial{revision: row.Revision}
	if err := decodeStrict(row.State, &l.state); err != nil {
		return liveTrial{}, false, fmt.Errorf("control: interval %d of trial %s cannot be read (%w): a newer version may have written it", row.Seq, row.Trial, err)
	}
	return l, true, nil
}

// refreshLive brings in what another service has journalled of a trial since.
func (s *Service) refreshLive(ctx context.Context, name string) error {
	s.mu.RLock()
	entry, ok := s.state.trials[name]
	s.mu.RUnlock()
	if !ok || entry.State.Ended() {
		return nil
	}
	l, ok, err := s.readLive(ctx, entry)
	if !ok || err != nil {
		return err
	}
	s.setLive(name, l)
	return nil
}

// setLive keeps a journalled state if it is newer than the one that is known.
func (s *Service) setLive(name string, l liveTrial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.live[name]
	if l.revision > known.revision || l.revision == known.revision && l.state.Seq > known.state.Seq {
		s.live[name] = l
	}
}
