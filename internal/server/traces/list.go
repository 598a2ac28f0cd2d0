package traces

import (
	"cmp"
	"slices"
	"time"
)

// Filter selects traces; all given fields must match. The zero value selects all.
type Filter struct {
	// Flag selects traces in which the flag was evaluated, Variant those in which it gave this
	// variant. Variant without Flag is ignored.
	Flag, Variant string
	// Service selects traces with a span of this service.name.
	Service string
	// ErrorOnly selects traces with at least one span of status error.
	ErrorOnly bool
	// MinDuration selects traces that took at least this long, see [Summary].
	MinDuration time.Duration
	// Limit is the most traces returned, default 100, at most 1000.
	Limit int
}

// Bounds of [Filter.Limit].
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Summary is a trace in a list.
type Summary struct {
	ID TraceID
	// Root and Service are the name and the service of the root span; if that has not come,
	// of the span that started first.
	Root, Service string
	Start         time.Time
	// Duration is that of the root span; if that has not come, from the first start to the
	// last end of all spans.
	Duration  time.Duration
	Spans     int
	Error     bool // a span has status error
	Pinned    bool
	Exposures []Exposure
}

// List returns the matching traces, those that arrived last first.
func (s *Store) List(f Filter) []Summary {
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	f.Limit = min(f.Limit, MaxLimit)
	var found []numbered
	for i := range s.shards {
		found = append(found, s.shards[i].list(f)...)
	}
	slices.SortFunc(found, func(a, b numbered) int { return cmp.Compare(b.seq, a.seq) })
	found = found[:min(len(found), f.Limit)]
	summaries := make([]Summary, len(found))
	for i := range found {
		summaries[i] = found[i].Summary
	}
	return summaries
}

type numbered struct {
	Summary
	seq uint64
}

// list returns up to f.Limit matches of each chain: enough for the newest f.Limit of all.
func (s *shard) list(f Filter) []numbered {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []numbered
	for _, tail := range []*entry{s.unpinned.tail, s.kept.tail} {
		count := 0
		for e := tail; e != nil && count < f.Limit; e = e.prev {
			if !e.matches(f) {
				continue
			}
			if summary := e.summary(); summary.Duration >= f.MinDuration {
				found = append(found, numbered{summary, e.seq})
				count++
			}
		}
	}
	return found
}

func (e *entry) matches(f Filter) bool {
	if len(e.spans) == 0 || f.ErrorOnly && !e.failed {
		return false
	}
	if f.Service != "" && !slices.Contains(e.services, f.Service) {
		return false
	}
	return f.Flag == "" || slices.ContainsFunc(e.exposures, func(x Exposure) bool {
		return x.Flag == f.Flag && (f.Variant == "" || x.Variant == f.Variant)
	})
}

func (e *entry) summary() Summary {
	first, root := &e.spans[0], (*Span)(nil)
	start, end := first.Start, first.End
	for i := range e.spans {
		span := &e.spans[i]
		if span.Start < first.Start {
			first = span
		}
		if span.Parent.IsZero() && (root == nil || span.Start < root.Start) {
			root = span
		}
		start, end = min(start, span.Start), max(end, span.End)
	}
	duration := time.Duration(max(end-start, 0))
	if root != nil {
		first, duration = root, root.Duration()
	}
	return Summary{
		ID: e.id, Root: first.Name, Service: first.Service, Start: first.StartTime(), Duration: duration,
		Spans: len(e.spans), Error: e.failed, Pinned: e.pinned,
		Exposures: e.exposures[:len(e.exposures):len(e.exposures)],
	}
}
