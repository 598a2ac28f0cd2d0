package traces

import (
	"slices"
	"sync"
)

// pinBoard remembers which traces are pinned, also those that have not arrived yet.
type pinBoard struct {
	mu    sync.Mutex // taken before the mutex of a shard, never after
	order []TraceID  // oldest pin first
	ids   sync.Map   // TraceID → struct{}, read under the mutex of a shard
}

func (b *pinBoard) has(id TraceID) bool {
	_, found := b.ids.Load(id)
	return found
}

// Pin keeps a trace from being evicted. It may be called before the trace arrives: evidence is
// often named by a metric while the spans are still on their way. When there are too many pins,
// or pinned bytes, the oldest pin is released; its trace is then evicted like any other. Pin
// reports whether the trace is stored now. A zero id is ignored.
func (s *Store) Pin(id TraceID) bool {
	if id.IsZero() {
		return false
	}
	s.pins.mu.Lock()
	if !s.pins.has(id) {
		s.pins.ids.Store(id, struct{}{})
		s.pins.order = append(s.pins.order, id)
	}
	stored := s.setPinned(id, true)
	for n := len(s.pins.order); n > s.limits.MaxPins || n > 1 && s.pinned.Load() > s.limits.MaxBytes/2; n-- {
		oldest := s.pins.order[0]
		s.pins.order = slices.Delete(s.pins.order, 0, 1)
		s.pins.ids.Delete(oldest)
		s.setPinned(oldest, false)
	}
	s.pins.mu.Unlock()
	s.evict()
	return stored
}

// PinTrace is [Store.Pin] for an id in hex. What is not an id is ignored.
func (s *Store) PinTrace(id string) bool {
	parsed, err := ParseTraceID(id)
	return err == nil && s.Pin(parsed)
}

// Unpin releases a pin; the trace is then evicted like any other. Other ids are ignored.
func (s *Store) Unpin(id TraceID) {
	s.pins.mu.Lock()
	if s.pins.has(id) {
		s.pins.order = slices.DeleteFunc(s.pins.order, func(pinned TraceID) bool { return pinned == id })
		s.pins.ids.Delete(id)
		s.setPinned(id, false)
	}
	s.pins.mu.Unlock()
	s.evict()
}

// UnpinTrace is [Store.Unpin] for an id in hex. What is not an id is ignored.
func (s *Store) UnpinTrace(id string) {
	if parsed, err := ParseTraceID(id); err == nil {
		s.Unpin(parsed)
	}
}

// setPinned moves a trace between the chains of its shard; false if it is not stored.
func (s *Store) setPinned(id TraceID, pinned bool) bool {
	shard := s.shard(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	e := shard.traces[id]
	if e == nil {
		return false
	}
	if e.pinned == pinned {
		return true
	}
	s.account(e, -e.bytes)
	shard.setPinned(e, pinned)
	s.account(e, e.bytes)
	return true
}
