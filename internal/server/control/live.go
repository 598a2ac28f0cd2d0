package control

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// The state of a trial moves with every interval, but only decisions and commands change the log.
// The intervals in between are in the journal, each with the revision of the trial that it was
// weighed on: it counts only while the trial is still at that revision, so a person's command is
// never undone by an interval that was weighed before it. What they made of the state is computed
// again from the last state that was stored: trial.Next gives the same bits every time.

// checkpointEvery is how many rows apart the journal keeps a state: what a restart computes again
// at most, for each trial.
const checkpointEvery = 20

// liveTrial is the newest journalled state of a trial.
type liveTrial struct {
	revision int64 // of the trial that it builds on
	state    trial.State
}

// newest gives the entry with its newest known state, as everybody may see it. The caller holds
// s.mu.
func (s *Service) newest(entry TrialEntry) TrialEntry {
	entry.unseen = unseen{}
	l, ok := s.live[entry.Spec.Name]
	if ok && l.revision == entry.Revision && l.state.Seq > entry.State.Seq {
		entry.State = l.state
	}
	return entry
}

// loaders is how many trials are read at once at the start.
const loaders = 4

// loadLive computes the newest state of every active trial.
func (s *Service) loadLive(ctx context.Context, p *projection) (map[string]liveTrial, error) {
	entries := make(chan TrialEntry)
	var mu sync.Mutex
	live, errs := map[string]liveTrial{}, []error(nil)
	var readers sync.WaitGroup
	for range loaders {
		readers.Go(func() {
			for entry := range entries {
				l, ok, err := s.readLive(ctx, entry)
				mu.Lock()
				if ok {
					live[entry.Spec.Name] = l
				}
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	for _, entry := range p.trials {
		if !entry.State.Ended() {
			entries <- entry
		}
	}
	close(entries)
	readers.Wait()
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return live, nil
}

// readLive computes the newest state of a trial from the journal, on top of the one given; false
// if there is nothing newer.
func (s *Service) readLive(ctx context.Context, entry TrialEntry) (liveTrial, bool, error) {
	l := liveTrial{revision: entry.Revision, state: entry.State}
	for {
		rows, err := s.cfg.Journal.Tail(ctx, entry.Spec.Name, entry.State.Attempt, entry.Revision, l.state.Seq)
		if err != nil {
			return liveTrial{}, false, err
		}
		for _, row := range rows {
			if len(row.State) == 0 && row.Seq != l.state.Seq+1 {
				return l, l.state.Seq > entry.State.Seq, nil // the one before it was overtaken, so it is too
			}
			if err := l.follow(entry.Spec, row); err != nil {
				return liveTrial{}, false, fmt.Errorf("control: interval %d of trial %s cannot be read (%w): a newer version may have written it", row.Seq, row.Trial, err)
			}
		}
		if len(rows) < MaxRead {
			return l, l.state.Seq > entry.State.Seq, nil
		}
	}
}

// follow moves the state on by the next row.
func (l *liveTrial) follow(spec trial.Spec, row IntervalRow) error {
	if len(row.State) > 0 {
		l.state = trial.State{}
		return decodeStrict(row.State, &l.state)
	}
	var iv outcome.Interval
	if err := decodeStrict(row.Interval, &iv); err != nil {
		return err
	}
	l.state, _ = trial.Next(spec, l.state, trial.IntervalClosed{Interval: iv})
	if l.state.Seq != row.Seq {
		return errors.New("it changes nothing")
	}
	return nil
}

// refreshLive brings in what another service has journalled of a trial since.
func (s *Service) refreshLive(ctx context.Context, name string) error {
	s.mu.RLock()
	entry, ok := s.state.trials[name]
	entry = s.newest(entry)
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
