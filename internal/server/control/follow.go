package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// errGap says that a change does not continue the state: the log is another one than it was.
var errGap = errors.New("control: the change does not continue the published state")

// load folds the whole log and publishes the result. It starts anew when the log or the published
// state moves under its hands, so that it never takes anything back.
func (s *Service) load(ctx context.Context) error {
	for {
		was := s.published()
		head, err := s.cfg.Log.Head(ctx)
		if err != nil {
			return err
		}
		p, w, err := s.foldAll(ctx, head)
		if errors.Is(err, errGap) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		live, err := s.loadLive(ctx, p)
		if err != nil {
			return err
		}
		set := p.snapshot(s.cfg.Environment)
		if err := set.Validate(); err != nil {
			s.cfg.Logger.Warn("the stored flags are not valid for this version; clients may keep their last good state", "error", err)
		}
		if s.replace(was, p, w, live, set) {
			return nil
		}
	}
}

// published gives the identity of the published state; the zero value before the first.
func (s *Service) published() Head {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.state == nil {
		return Head{}
	}
	return s.state.head
}

// replace publishes a state that was read from the start, unless the published one is no longer
// the one it is to replace.
func (s *Service) replace(was Head, p *projection, w *window, live map[string]liveTrial, set flag.Set) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil && s.state.head != was {
		return false
	}
	s.state, s.window, s.live, s.feed = p, w, live, feed{from: p.head.Revision}
	s.publish(set)
	return true
}

// foldAll reads the log up to head.
func (s *Service) foldAll(ctx context.Context, head Head) (*projection, *window, error) {
	p, w := newProjection(head), newWindow(s.cfg)
	for p.head.Revision < head.Revision {
		changes, err := s.cfg.Log.Read(ctx, p.head.Revision, MaxRead)
		if err != nil {
			return nil, nil, err
		}
		if len(changes) == 0 {
			return nil, nil, errGap
		}
		for _, c := range changes {
			if c.Revision > head.Revision {
				break
			}
			if p.head.Revision > 0 && c.Parent != p.head.Hash {
				return nil, nil, errGap
			}
			d, err := p.fold(c)
			if err != nil {
				return nil, nil, err
			}
			w.push(d, c)
		}
	}
	if p.head.Revision > 0 && p.head.Hash != head.Hash {
		return nil, nil, errGap
	}
	p.head = head // an accepted loss starts a new epoch without a change
	return p, w, nil
}

// catchUp publishes what others have written to the log.
func (s *Service) catchUp(ctx context.Context) error {
	head, err := s.cfg.Log.Head(ctx)
	if err != nil {
		return err
	}
	for {
		have := s.Head()
		switch {
		case head.History != have.History || head.Epoch < have.Epoch:
			return s.load(ctx)
		case head.Revision <= have.Revision:
			return nil
		}
		changes, err := s.cfg.Log.Read(ctx, have.Revision, 1_000)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			return s.load(ctx)
		}
		for _, c := range changes {
			err := s.advance(c)
			if errors.Is(err, errGap) {
				return s.load(ctx)
			}
			if err != nil {
				return err
			}
		}
	}
}

// advance publishes the next change. One that has been published already changes nothing, so
// that the follower and a writer may both bring it.
func (s *Service) advance(c Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Revision <= s.state.head.Revision {
		return nil
	}
	if c.Revision != s.state.head.Revision+1 || c.Parent != s.state.head.Hash {
		return errGap
	}
	d, err := s.state.fold(c)
	if err != nil {
		return err
	}
	set, err := s.view.Set.Apply(d)
	if err != nil {
		return fmt.Errorf("control: revision %d: %w", c.Revision, err)
	}
	s.window.push(d, c)
	s.feed.push(c)
	s.publish(set)
	return nil
}

// publish makes a state visible. The caller holds s.mu.
func (s *Service) publish(set flag.Set) {
	s.view = &View{Head: s.state.head, Set: &set, json: encodeOnce(&set), compiled: s.compiler(&set)}
	close(s.changed)
	s.changed = make(chan struct{})
}

// encodeOnce encodes v when first asked. v consists of checked values, which cannot fail.
func encodeOnce(v any) func() []byte {
	return sync.OnceValue(func() []byte {
		b, _ := json.Marshal(v)
		return b
	})
}

// WaitSnapshot returns the newest state as soon as it differs from the state that have
// identifies (another history, epoch or revision), at once if it does already. It fails only
// with the cause of ctx.
func (s *Service) WaitSnapshot(ctx context.Context, have Head) (*View, error) {
	for {
		s.mu.RLock()
		view, changed := s.view, s.changed
		s.mu.RUnlock()
		if h := view.Head; h.History != have.History || h.Epoch != have.Epoch || h.Revision != have.Revision {
			return view, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// retryFollowing is the pause after the store could not be read.
const retryFollowing = time.Second

// Run follows the log until ctx ends, so that changes which other services wrote are published
// too. Writes of this service are published without it. It returns nil when ctx ended, else why
// following is no longer possible (the log is closed, or holds what this version cannot
// understand); the last good state stays published. A store that cannot be read for a while is
// asked again every second.
func (s *Service) Run(ctx context.Context) error {
	for {
		err := s.cfg.Log.Wait(ctx, s.Head().Revision)
		if err == nil {
			err = s.catchUp(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			continue
		case errors.Is(err, ErrClosed) || CodeOf(err) != CodeUnavailable:
			return err
		}
		s.cfg.Logger.Warn("following the change log", "error", err)
		select {
		case <-time.After(retryFollowing):
		case <-ctx.Done():
			return nil
		}
	}
}
