package resilience

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Names of the events on the span of the caller, and of their attributes.
const (
	spanState    = "seatrial.dependency.state"
	spanRetry    = "seatrial.dependency.retry"
	spanHedge    = "seatrial.dependency.hedge"
	spanFallback = "seatrial.dependency.fallback"

	attrDependency = attribute.Key("seatrial.dependency")
	attrFrom       = attribute.Key("seatrial.dependency.state.from")
	attrTo         = attribute.Key("seatrial.dependency.state.to")
	attrAttempt    = attribute.Key("seatrial.attempt")
	attrDelay      = attribute.Key("seatrial.delay_ms")
	attrError      = attribute.Key("error.message")
)

// onSpan adds an event to the span in ctx, if one is recording.
func onSpan(ctx context.Context, event string, e Event) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{attrDependency.String(e.Name)}
	if e.Kind == StateChanged {
		attrs = append(attrs, attrFrom.String(e.From.String()), attrTo.String(e.To.String()))
	}
	if e.Attempt > 0 {
		attrs = append(attrs, attrAttempt.Int(e.Attempt), attrDelay.Float64(float64(e.Delay)/float64(time.Millisecond)))
	}
	if e.Err != nil {
		attrs = append(attrs, attrError.String(e.Err.Error()))
	}
	span.AddEvent(event, trace.WithAttributes(attrs...))
}
