package fault

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Attributes of a span that a fault was injected into; the event has the name "seatrial.fault".
const (
	AttrExperiment = "seatrial.fault.experiment"
	AttrVariant    = "seatrial.fault.variant"
	AttrPoint      = "seatrial.fault.point"
	AttrKind       = "seatrial.fault.kind"
	AttrPhase      = "seatrial.fault.phase"
	AttrDelay      = "seatrial.fault.delay" // seconds, float; of latencies and cancellations
)

const eventName = "seatrial.fault"

// tell makes it known, once, that the fault took effect.
func (s *Strike) tell() {
	if !s.told.CompareAndSwap(false, true) {
		return
	}
	s.charge.point.injected.Add(1)
	s.record()
	s.observe()
}

// observe tells the source. One that panics is not the call's problem.
func (s *Strike) observe() {
	defer func() { _ = recover() }()
	if o, ok := s.charge.source.(Observer); ok {
		o.Injected(s.ctx, s.injection)
	}
}

// record marks the current span, if there is one. A span that panics is not the call's problem.
func (s *Strike) record() {
	defer func() { _ = recover() }()
	span := trace.SpanFromContext(s.ctx)
	if !span.IsRecording() {
		return
	}
	i := &s.injection
	attrs := []attribute.KeyValue{
		attribute.String(AttrExperiment, i.Experiment),
		attribute.String(AttrVariant, i.Variant),
		attribute.String(AttrPoint, i.Point),
		attribute.String(AttrKind, string(i.Kind)),
		attribute.String(AttrPhase, string(i.Phase)),
	}
	span.SetAttributes(attrs...)
	if i.Kind == KindLatency || i.Kind == KindCancel {
		attrs = append(attrs, attribute.Float64(AttrDelay, i.Delay.Seconds()))
	}
	span.AddEvent(eventName, trace.WithAttributes(attrs...))
}
