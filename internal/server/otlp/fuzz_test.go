package otlp

import (
	"strings"
	"testing"
	"unicode/utf8"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/fleet"
	"github.com/seatrial/seatrial/internal/server/intervals"
)

// checkSpans holds what must be true of spans whatever came.
func checkSpans(t *testing.T, got *sink) {
	for _, s := range got.spans {
		if s.TraceID.IsZero() || s.SpanID.IsZero() || s.Start < 0 || s.End < 0 {
			t.Errorf("span %+v", s)
		}
		texts := []string{s.Name, s.Service, s.Instance, s.StatusMessage}
		for _, a := range s.Attributes {
			texts = append(texts, a.Key)
		}
		for _, text := range texts {
			if !utf8.ValidString(text) || len(text) > maxText {
				t.Errorf("text %q", text)
			}
		}
		if len(s.Attributes) > maxAttributes || len(s.Events) > maxEvents {
			t.Errorf("%d attributes, %d events", len(s.Attributes), len(s.Events))
		}
	}
}

func checkPoints(t *testing.T, points []intervals.Point) {
	for _, p := range points {
		if p.Trial == "" || p.Version == "" || p.Start > p.End || p.Start <= 0 || p.Count > maxCount || p.Latency.Count() > maxCount {
			t.Errorf("point %+v", p)
		}
		if p.Metric != outcome.MetricDuration && p.Latency.Count() > 0 || p.Arm != outcome.ArmControl && p.Arm != outcome.ArmTreatment {
			t.Errorf("point %+v", p)
		}
	}
}

// checkFacts holds what must be true of facts whatever came.
func checkFacts(t *testing.T, facts []fleet.Fact) {
	for _, f := range facts {
		if !isNamed(f.Name) || f.Instance == "" || f.End <= 0 || !(f.Value >= 0 && f.Value <= maxCount) || f.Kind > fleet.OfEvents || f.State > fleet.Open || int(f.Event) >= fleet.Events {
			t.Errorf("fact %+v", f)
		}
		for _, text := range []string{f.Service, f.Instance, f.Name, f.Variant} {
			if !utf8.ValidString(text) || len(text) > maxFleetName {
				t.Errorf("text %q", text)
			}
		}
	}
}

// What the oracle can read, the reader can, and it accounts for as many spans.
func FuzzTracesInProtobuf(f *testing.F) {
	for i := range 40 {
		body, _ := proto.Marshal(genTraces.Example(i))
		f.Add(body)
	}
	f.Add(inSpan(field(9, append(field(1, []byte("k")), field(2, nestedValue(20))...))))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got sink
		result, err := NewReceiver(Config{Traces: &got}).takeTraces(body, encodingProtobuf)
		checkSpans(t, &got)
		var request coltraces.ExportTraceServiceRequest
		if proto.Unmarshal(body, &request) != nil {
			return
		}
		want := 0
		for _, group := range request.ResourceSpans {
			for _, scope := range group.ScopeSpans {
				want += len(scope.Spans)
			}
		}
		if err != nil || len(got.spans)+result.rejected != want {
			t.Errorf("%v, %d spans and %d rejected, want %d together", err, len(got.spans), result.rejected, want)
		}
	})
}

func FuzzMetricsInProtobuf(f *testing.F) {
	for i := range 40 {
		body, _ := proto.Marshal(genMetrics.Example(i))
		f.Add(body)
	}
	body, _ := proto.Marshal(aReport())
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		var got register
		_, err := NewReceiver(Config{Outcomes: &got, Fleet: &got}).takeMetrics(body, encodingProtobuf)
		checkPoints(t, got.points)
		checkFacts(t, got.facts)
		var request colmetrics.ExportMetricsServiceRequest
		if proto.Unmarshal(body, &request) == nil && err != nil {
			t.Error(err)
		}
	})
}

func seedJSON[M proto.Message](f *testing.F, gen *rapid.Generator[M]) {
	for i := range 40 {
		body, err := otlpJSON(gen.Example(i), protojson.MarshalOptions{EmitUnpopulated: i%2 == 0})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}`))
	f.Add([]byte(strings.Repeat(`{"a":[`, 50)))
}

func FuzzTracesInJSON(f *testing.F) {
	seedJSON(f, genTraces)
	f.Fuzz(func(t *testing.T, body []byte) {
		var got sink
		if _, err := NewReceiver(Config{Traces: &got}).takeTraces(body, encodingJSON); err != nil && len(got.spans) > 0 {
			t.Error("spans were kept of a request that is an error")
		}
		checkSpans(t, &got)
	})
}

func FuzzMetricsInJSON(f *testing.F) {
	seedJSON(f, genMetrics)
	body, err := otlpJSON(aReport(), protojson.MarshalOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		var got register
		if _, err := NewReceiver(Config{Outcomes: &got, Fleet: &got}).takeMetrics(body, encodingJSON); err != nil && len(got.points)+len(got.facts) > 0 {
			t.Error("points were kept of a request that is an error")
		}
		checkPoints(t, got.points)
		checkFacts(t, got.facts)
	})
}
