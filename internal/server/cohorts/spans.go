package cohorts

import (
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// Span is a span with its resource. What it holds may be parts of the request's memory; nothing of
// it is kept.
type Span struct {
	Resource *Resource
	*traces.Span
}

// AddSpans counts the SERVER spans of one request for the trials that want spans: each is a request.
// Sampled traces are counted as they come: if both arms are sampled alike, their shares are right,
// and only the evidence grows slower.
func (t *Tracker) AddSpans(spans []Span) {
	tb := t.table.Load()
	if tb == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var arms []spanArm
	for i := range spans {
		s := &spans[i]
		if s.Kind != traces.KindServer {
			continue
		}
		targets := tb.targets(s.Resource, true)
		if len(targets) == 0 {
			continue
		}
		if !t.spans.add(s.Span) {
			t.stats.Duplicates++
			continue
		}
		counted := false
		for j := range targets {
			if s.End >= targets[j].started.UnixNano() {
				arms, counted = addSpan(arms, &targets[j], s.Span), true
			}
		}
		if counted {
			t.stats.Counted++
		} else {
			t.stats.Early++
		}
	}
	t.send(arms)
}

// spanArm adds up the spans of one arm.
type spanArm struct {
	target
	latency   outcome.Histogram
	bad       uint64
	exemplars []outcome.Exemplar
}

func addSpan(arms []spanArm, to *target, s *traces.Span) []spanArm {
	i := slices.IndexFunc(arms, func(a spanArm) bool { return a.version == to.version && a.arm == to.arm })
	if i < 0 {
		arms, i = append(arms, spanArm{target: *to}), len(arms)
	}
	a := &arms[i]
	seconds := s.Duration().Seconds()
	a.latency.Record(seconds)
	if s.Status == traces.StatusError || isBad(s.Attributes) {
		a.bad++
		if len(a.exemplars) < outcome.MaxExemplars {
			a.exemplars = append(a.exemplars, outcome.Exemplar{
				TraceID: s.TraceID.String(), SpanID: s.SpanID.String(), Time: time.Unix(0, s.End).UTC(), Seconds: seconds,
			})
		}
	}
	return arms
}

// send gives what was added up to the open intervals, as one series an arm. Duplicates are out
// already, so the times of the points only have to follow each other.
func (t *Tracker) send(arms []spanArm) {
	var out []intervals.Point
	for i := range arms {
		a := &arms[i]
		t.touched++
		one := intervals.Point{
			Trial: a.trial, Version: a.version, Arm: a.arm, Start: int64(t.touched), End: int64(t.touched) + 1,
			Series: spanSeries(a),
		}
		out = append(out, requests(one, a.latency, a.bad, a.exemplars)...)
	}
	if len(out) > 0 {
		t.outcomes.AddOutcomes(out)
	}
}

func spanSeries(a *spanArm) intervals.SeriesKey {
	h := make(hasher, 0, 128)
	h.text("spans")
	h.text(a.version)
	h.text(a.arm)
	return intervals.SeriesKey(h.sum())
}

// seenSpans recognises spans that come again. It remembers at least the last maxSeen.
type seenSpans struct{ now, before map[spanKey]struct{} }

type spanKey struct {
	traces.TraceID
	traces.SpanID
}

const maxSeen = 1 << 17

// add reports whether the span is new.
func (s *seenSpans) add(span *traces.Span) bool {
	key := spanKey{span.TraceID, span.SpanID}
	_, now := s.now[key]
	if _, before := s.before[key]; now || before {
		return false
	}
	if s.now == nil || len(s.now) >= maxSeen {
		s.before, s.now = s.now, make(map[spanKey]struct{})
	}
	s.now[key] = struct{}{}
	return true
}
