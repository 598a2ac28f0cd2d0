package seatrial

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"
)

// Names of what [Client.Track] records. There are no conventions for tracked values (OpenFeature
// specification, section 6; OpenTelemetry 1.44), so they are this client's own.
const (
	trackEvent     = "seatrial.track"
	attrTrackName  = "seatrial.track.name"
	attrTrackValue = "seatrial.track.value"
)

// maxTrackedArms bounds the arms that a tracked value is recorded with.
const maxTrackedArms = 32

// Track records that something happened that a flag may have an influence on, such as a purchase
// and its price: as an event "seatrial.track" of the span in ctx if that records, and as a log
// event if there is a logger ([WithEventLogger]). The event has the name, the value, the
// attributes, and for each trial that the open unit of work has met so far "seatrial.flag.<key>"
// with the variant, so that it can be analysed without joining it with anything. The targeting
// key is not recorded.
//
// If a guardrail of a running trial names the event, it also counts: for each trial that the open
// unit of work meets, before or after, until it ends. A guardrail of the metric "event" counts
// units that had the event for the first time (or, by request, units of work that had it), whatever
// the value. One of the metric "value" takes what a unit of work tracked under the name as one
// observation, added up:
//
//	ctx, work := client.Begin(ctx)
//	defer func() { work.End(err) }()
//	if client.Bool(ctx, "new-checkout", false) { … }
//	client.Track(ctx, "basket value", 59.90) // with 10.00 for wrapping:
//	client.Track(ctx, "basket value", 10.00) // one observation of 69.90
//
// Values are of any unit, negative ones included; those that are not finite, or beyond 10^12, are
// not observed, and [Status] counts them. What is tracked outside a unit of work, or after its end,
// counts for no trial, and neither does anything without a server. An empty name records nothing.
// It never blocks on the network.
func (c *Client) Track(ctx context.Context, name string, value float64, attributes ...attribute.KeyValue) {
	if c == nil || name == "" {
		return
	}
	if ctx == nil {
		ctx = context.Background()
	}
	where := scopeOf(ctx)
	inWork := where != nil && where.work != nil && where.work.client == c
	if inWork {
		c.count(where.work, name, value)
	}
	span, logger := trace.SpanFromContext(ctx), c.config.events
	logs := logger != nil && logger.Enabled(ctx, log.EnabledParameters{Severity: log.SeverityInfo, EventName: trackEvent})
	if !logs && !span.IsRecording() {
		return
	}
	all := append([]attribute.KeyValue{attribute.String(attrTrackName, name), attribute.Float64(attrTrackValue, value)}, attributes...)
	if inWork {
		all = append(all, where.work.arms()...)
	}
	if span.IsRecording() {
		span.AddEvent(trackEvent, trace.WithAttributes(all...))
	}
	if logs {
		var record log.Record
		record.SetEventName(trackEvent)
		record.SetTimestamp(time.Now())
		record.SetSeverity(log.SeverityInfo)
		record.AddAttributes(all...)
		logger.Emit(ctx, record)
	}
}

// arms gives the arms that the unit of work has met, as attributes of spans.
func (w *Work) arms() []attribute.KeyValue {
	w.mu.Lock()
	defer w.mu.Unlock()
	met := w.exposures[:min(len(w.exposures), maxTrackedArms)]
	list := make([]attribute.KeyValue, len(met))
	for i := range met {
		list[i] = met[i].series.telemetry[met[i].arm].entry
	}
	return list
}
