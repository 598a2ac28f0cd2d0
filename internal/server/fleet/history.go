package fleet

import (
	"slices"
	"time"
)

// Transition is one change of a breaker, dated by when it was reported.
type Transition struct {
	Seq                              int64 // grows from one to the next, also over restarts
	At                               time.Time
	Name, Service, Instance, Variant string // as those of a [Fact]
	From, To                         State
}

// history is the newest transitions, in order.
type history struct {
	limit int
	last  int64 // the last Seq
	list  []Transition
}

func (h *history) add(more ...Transition) {
	for _, t := range more {
		h.last++
		t.Seq = h.last
		h.list = append(h.list, t)
	}
	if n := len(h.list) - h.limit; n > 0 {
		h.list = slices.Delete(h.list, 0, n)
	}
}

// Selection selects among dependencies and their transitions; empty fields select all.
type Selection struct{ Name, Service string }

func (s Selection) has(name, service string) bool {
	return (s.Name == "" || s.Name == name) && (s.Service == "" || s.Service == service)
}

// Transitions gives those of the selected dependencies that are remembered after a Seq, oldest first.
func (s *Store) Transitions(what Selection, after int64) (list []Transition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.history.list {
		if t.Seq > after && what.has(t.Name, t.Service) {
			list = append(list, t)
		}
	}
	return list
}
