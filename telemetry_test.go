package seatrial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// inTrace puts a sampled remote parent into ctx; its trace consists of the byte.
func inTrace(ctx context.Context, b byte) context.Context {
	id := trace.TraceID(slices.Repeat([]byte{b}, 16))
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{b}, TraceFlags: trace.FlagsSampled}))
}

// tracing gives a tracer of the OpenTelemetry SDK, and what it recorded.
func tracing(t *testing.T, sampler sdktrace.Sampler) (trace.Tracer, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sampler))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return provider.Tracer("test"), recorder
}

func TestExposureInSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer, recorder := tracing(t, sdktrace.AlwaysSample())
		p := newPlane(t, trialSet(1, 0))
		c := p.open()
		user := NewContext(userIn(t, c, "f", treatment))

		ctx, entry := tracer.Start(t.Context(), "entry")
		ctx, w := c.Begin(WithContext(ctx, user))
		ctx, child := tracer.Start(ctx, "child")
		for range 3 {
			c.Bool(ctx, "f", false)
			c.Bool(ctx, "plain", false)
		}
		child.End()
		w.End(errors.New("no"))
		entry.End()

		spans := recorder.Ended()
		if got := fmt.Sprint(spans[1].Attributes()); got != fmt.Sprint([]attribute.KeyValue{attribute.String("seatrial.flag.f", "on")}) {
			t.Errorf("entry span: %v", got)
		}
		if len(spans[0].Attributes()) != 0 || len(spans[1].Events()) != 0 {
			t.Errorf("child has attributes %v, entry has events %v", spans[0].Attributes(), spans[1].Events())
		}
		events := spans[0].Events()
		want := attribute.NewSet(
			attribute.String("feature_flag.key", "f"), attribute.String("feature_flag.result.variant", "on"),
			attribute.String("feature_flag.result.reason", "split"), attribute.String("feature_flag.provider.name", "seatrial"),
			attribute.String("feature_flag.set.id", "production"), attribute.String("feature_flag.version", "f-trial.1.0"),
		)
		if len(events) != 1 || events[0].Name != "feature_flag.evaluation" || attribute.NewSet(events[0].Attributes...) != want {
			t.Errorf("events %v", events)
		}

		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		taken, _ := p.reports()
		bads := taken[0].ResourceMetrics[0].ScopeMetrics[0].Metrics[1].GetSum().DataPoints
		exemplar := bads[0].Exemplars[0]
		if at := entry.SpanContext(); fmt.Sprintf("%x", exemplar.TraceId) != at.TraceID().String() || fmt.Sprintf("%x", exemplar.SpanId) != at.SpanID().String() {
			t.Errorf("exemplar %v is not the entry span %v", exemplar, at)
		}
	})
}

func TestExposureOutsideWork(t *testing.T) {
	tracer, recorder := tracing(t, sdktrace.AlwaysSample())
	c := offline(t, trialSet(1, 0))
	ctx, span := tracer.Start(WithContext(t.Context(), NewContext(userIn(t, c, "f", control))), "span")
	c.Bool(ctx, "f", false)
	span.End()
	got := recorder.Ended()[0]
	if len(got.Events()) != 1 || len(got.Attributes()) != 0 {
		t.Errorf("events %v, attributes %v", got.Events(), got.Attributes())
	}
}

// A trace that is not sampled cannot explain anything: it is no exemplar.
func TestNoExemplarUnsampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer, _ := tracing(t, sdktrace.NeverSample())
		p := newPlane(t, trialSet(1, 0))
		c := p.open()
		ctx, _ := tracer.Start(WithContext(t.Context(), NewContext(userIn(t, c, "f", treatment))), "entry")
		ctx, w := c.Begin(ctx)
		c.Bool(ctx, "f", false)
		w.End(errors.New("no"))
		p.wantArrived(c, map[string]arrived{inTreatment: {Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1}})
		taken, _ := p.reports()
		if e := taken[0].ResourceMetrics[0].ScopeMetrics[0].Metrics[1].GetSum().DataPoints[0].Exemplars; len(e) != 0 {
			t.Errorf("exemplars %v", e)
		}
	})
}
