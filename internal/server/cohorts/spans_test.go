package cohorts_test

import (
	"testing"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/cohorts"
	"github.com/seatrial/seatrial/internal/server/traces"
)

func span(version string, id byte, end float64, change ...func(*traces.Span)) cohorts.Span {
	s := &traces.Span{
		TraceID: traces.TraceID{1, 15: id}, SpanID: traces.SpanID{2, 7: id}, Kind: traces.KindServer,
		Start: at(end - 0.1).UnixNano(), End: at(end).UnixNano(),
	}
	for _, c := range change {
		c(s)
	}
	return cohorts.Span{Resource: resource(version, "a"), Span: s}
}

func TestSpans(t *testing.T) {
	e := versions(func(s *trial.Spec) { s.Cohorts.From = trial.FromSpans })
	r := newRig(t, cohorts.Limits{}, e)
	if metrics, spans := r.Active(); metrics || !spans {
		t.Errorf("wants metrics: %v, spans: %v", metrics, spans)
	}
	broken := func(s *traces.Span) { s.Status = traces.StatusError }
	r.AddSpans([]cohorts.Span{
		span("v2", 1, 10), span("v2", 2, 10, broken), span("v1", 3, 10),
		span("v2", 4, 10, func(s *traces.Span) { s.Kind = traces.KindClient }), // not a request to it
		span("v3", 5, 10),
		span("v2", 6, -1), // before the trial
	})
	r.AddSpans([]cohorts.Span{span("v2", 1, 10), span("v1", 7, 20, func(s *traces.Span) {
		s.Attributes = []traces.Attribute{{Key: "http.response.status_code", Value: traces.IntValue(502)}}
	})}) // one comes again
	iv := r.open.Close("shop", e.State.Version(e.Spec))
	treatment, ctl, exemplars := iv.Treatment, iv.Control, iv.Exemplars
	if treatment.Requests != 2 || treatment.Bad != 1 || ctl.Requests != 2 || ctl.Bad != 1 {
		t.Errorf("treatment %d/%d, control %d/%d", treatment.Bad, treatment.Requests, ctl.Bad, ctl.Requests)
	}
	if treatment.Latency.Above(0.09) != 2 || treatment.Latency.Above(0.11) != 0 {
		t.Errorf("durations %+v, want 0.1 s twice", treatment.Latency)
	}
	if len(exemplars) != 1 || exemplars[0].SpanID != "0200000000000002" {
		t.Errorf("exemplars %v", exemplars)
	}
	if got := r.Stats(); got.Counted != 4 || got.Duplicates != 1 || got.Early != 1 {
		t.Errorf("stats %+v", got)
	}
	// Metrics are for those who ask for metrics.
	r.send(at(60), point(resource("v2", "a"), 1, 60, fast(5)))
	r.want(e, "metrics", "treatment 0/0 control 0/0")
}
