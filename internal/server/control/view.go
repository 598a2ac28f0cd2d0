package control

import (
	"context"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// View is one published state. It and everything it points to is immutable and shared: read
// it, never write to it.
type View struct {
	// Head identifies the state.
	Head Head
	// Set is what evaluators see of it.
	Set *flag.Set

	json func() []byte
}

// JSON gives the Set as JSON, encoded once for all callers. Do not modify it.
func (v *View) JSON() []byte { return v.json() }

// DeltaEvent is what one change did to the Set. It is immutable and shared by all streams. A
// change that evaluators need not know of (a token, a decision that moved no share) gives a
// delta without lists, so that revisions stay gap-free.
type DeltaEvent struct {
	Delta flag.Delta

	json func() []byte
}

// JSON gives the Delta as JSON, encoded once for all callers. Do not modify it.
func (d *DeltaEvent) JSON() []byte { return d.json() }

// Snapshot gives the newest published state; never nil.
func (s *Service) Snapshot() *View {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view
}

// Head gives the identity of the newest published state.
func (s *Service) Head() Head { return s.Snapshot().Head }

// WaitSnapshot returns the newest state as soon as it differs from the state that have
// identifies (another history, epoch or revision), at once if it does already. It fails only
// with the cause of ctx.
func (s *Service) WaitSnapshot(ctx context.Context, have Head) (*View, error) {
	panic("not yet")
}

// DeltasSince gives the deltas that lead from a revision of a history to the newest published
// state, oldest first, none if that is the newest. ok is false when they are not in the window,
// or the history or revision is not one of this log: then send the whole Snapshot.
func (s *Service) DeltasSince(history string, revision int64) (deltas []*DeltaEvent, ok bool) {
	panic("not yet")
}

// Run follows the log until ctx ends, so that changes which other services wrote are published
// too. Writes of this service are published without it. It returns nil when ctx ended, else why
// following is no longer possible; the last good state stays published.
func (s *Service) Run(ctx context.Context) error {
	panic("not yet")
}
