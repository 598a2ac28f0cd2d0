package control

import (
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// window keeps the newest deltas, bounded in number and in bytes of changed values.
type window struct {
	maxChanges, maxBytes int

	list  []*DeltaEvent // without gaps in revision
	sizes []int
	bytes int
}

func newWindow(c Config) *window {
	return &window{maxChanges: c.WindowChanges, maxBytes: c.WindowBytes}
}

// deltaOverhead is what a delta costs beside the changed values, in bytes.
const deltaOverhead = 256

func (w *window) push(d flag.Delta, c Change) {
	if w.maxChanges < 0 || w.maxBytes < 0 {
		return
	}
	size := deltaOverhead
	for _, op := range c.Ops {
		if op.Kind == KindFlag || op.Kind == KindSegment || op.Kind == KindLayer || len(d.Allocations) > 0 {
			size += len(op.Key) + len(op.Value)
		}
	}
	event := &DeltaEvent{Delta: d}
	event.json = encodeOnce(&event.Delta)
	w.list, w.sizes, w.bytes = append(w.list, event), append(w.sizes, size), w.bytes+size
	n := 0
	for len(w.list)-n > w.maxChanges || w.bytes > w.maxBytes {
		w.bytes -= w.sizes[n]
		w.list[n] = nil // the array lives on for a while
		n++
	}
	w.list, w.sizes = w.list[n:], w.sizes[n:]
}

// since gives the deltas from a revision on; false if they are not kept.
func (w *window) since(revision int64) ([]*DeltaEvent, bool) {
	if len(w.list) == 0 {
		return nil, false
	}
	first := w.list[0].Delta.Parent
	if revision < first || revision >= first+int64(len(w.list)) {
		return nil, false
	}
	return slices.Clone(w.list[revision-first:]), true
}

// DeltasSince gives the deltas that lead from a revision of a history to the newest published
// state, oldest first, none if that is the newest. ok is false when they are not in the window,
// or the history or revision is not one of this log: then send the whole Snapshot.
func (s *Service) DeltasSince(history string, revision int64) (deltas []*DeltaEvent, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	head := s.view.Head
	switch {
	case history != head.History:
		return nil, false
	case revision == head.Revision:
		return nil, true
	}
	return s.window.since(revision)
}
