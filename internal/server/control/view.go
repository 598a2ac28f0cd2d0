package control

import (
	"slices"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// View is one published state. It and everything it points to is immutable and shared: read
// it, never write to it.
type View struct {
	// Head identifies the state.
	Head Head
	// Set is what evaluators see of it.
	Set *flag.Set

	json     func() []byte
	compiled func() (*eval.Snapshot, error)
}

// JSON gives the Set as JSON, encoded once for all callers. Do not modify it.
func (v *View) JSON() []byte { return v.json() }

// ShownJSON gives the Set as JSON for people: without the secrets of experiments. Do not modify it.
func (v *View) ShownJSON() []byte {
	hasSecret := func(a flag.Allocation) bool { return a.Secret != "" }
	if !slices.ContainsFunc(v.Set.Allocations, hasSecret) {
		return v.JSON()
	}
	shown := *v.Set
	shown.Allocations = slices.Clone(shown.Allocations)
	for i := range shown.Allocations {
		shown.Allocations[i].Secret = ""
	}
	return encodeOnce(&shown)()
}

// Compiled gives the Set in the form that evaluates, compiled once for all callers, when first
// asked for. It fails if the stored set is not valid for this version.
func (v *View) Compiled() (*eval.Snapshot, error) { return v.compiled() }

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

// NoticeableSince reports whether a change after a state is one that evaluators can notice. It is
// true, too, if the changes since then are no longer known.
func (s *Service) NoticeableSince(head Head) bool {
	deltas, ok := s.DeltasSince(head.History, head.Revision)
	return !ok || slices.ContainsFunc(deltas, func(d *DeltaEvent) bool { return !d.Delta.Empty() })
}
