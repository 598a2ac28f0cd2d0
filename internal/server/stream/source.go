package stream

import (
	"context"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Source is the change log as streams see it; [FromService] makes one. Its methods must be safe
// for concurrent use.
type Source interface {
	// Newest gives the newest state. ok is false as long as there is none.
	Newest() (state State, ok bool)
	// DeltasSince gives the changes that lead from a revision of a history to the newest
	// state, oldest first; ok is false if they are not kept (any more).
	DeltasSince(history string, revision int64) (deltas []State, ok bool)
	// Wait returns when the newest state is another than have, or ctx ends (error: its cause).
	Wait(ctx context.Context, have control.Head) error
}

// State is a state of the log with a payload: that of a whole flag.Set or of the flag.Delta
// that made it.
type State struct {
	Head control.Head
	// JSON gives the payload, one line, encoded once however many streams send it.
	JSON func() []byte
}

// FromService makes a Source of the control plane's service.
func FromService(s *control.Service) Source { return service{s} }

type service struct{ *control.Service }

func (s service) Newest() (State, bool) {
	v := s.Snapshot()
	if v == nil {
		return State{}, false
	}
	return State{Head: v.Head, JSON: v.JSON}, true
}

func (s service) DeltasSince(history string, revision int64) ([]State, bool) {
	events, ok := s.Service.DeltasSince(history, revision)
	if !ok {
		return nil, false
	}
	deltas := make([]State, len(events))
	for i, e := range events {
		d := &e.Delta
		deltas[i] = State{
			Head: control.Head{History: d.History, Epoch: d.Epoch, Revision: d.Revision, Hash: d.Hash},
			JSON: e.JSON,
		}
	}
	return deltas, true
}

func (s service) Wait(ctx context.Context, have control.Head) error {
	_, err := s.WaitSnapshot(ctx, have)
	return err
}
