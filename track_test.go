package seatrial

import (
	"context"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/log/embedded"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// logbook keeps the records that it is given.
type logbook struct {
	embedded.Logger
	off     bool
	records []log.Record
}

func (l *logbook) Enabled(context.Context, log.EnabledParameters) bool { return !l.off }
func (l *logbook) Emit(_ context.Context, r log.Record)                { l.records = append(l.records, r.Clone()) }

func textOf(attributes []attribute.KeyValue) string {
	var list []string
	for _, a := range attributes {
		list = append(list, string(a.Key)+"="+a.Value.String())
	}
	return strings.Join(list, " ")
}

func TestTrack(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	book := &logbook{}
	c := offline(t, evaluationSet(), WithEventLogger(book))
	user := userIn(t, c, "trial", treatment)

	ctx, span := tracer.Start(WithContext(t.Context(), NewContext(user)), "request")
	ctx, work := c.Begin(ctx)
	c.Bool(ctx, "trial", false)
	c.Track(ctx, "purchase", 99.5, attribute.String("currency", "EUR"))
	c.Track(ctx, "", 1)
	(*Client)(nil).Track(ctx, "purchase", 1)
	work.End(nil)
	span.End()

	const want = "seatrial.track.name=purchase seatrial.track.value=99.5 currency=EUR seatrial.flag.trial=on"
	events := recorder.Ended()[0].Events()
	events = slices.DeleteFunc(events, func(e sdktrace.Event) bool { return e.Name != "seatrial.track" })
	if len(events) != 1 || textOf(events[0].Attributes) != want {
		t.Errorf("events of the span: %+v, want one with %s", events, want)
	}
	if len(book.records) != 1 {
		t.Fatalf("%d log records, want 1", len(book.records))
	}
	r := book.records[0]
	var attributes []attribute.KeyValue
	r.WalkAttributes(func(a attribute.KeyValue) bool { attributes = append(attributes, a); return true })
	if r.EventName() != "seatrial.track" || r.Severity() != log.SeverityInfo || r.Timestamp().IsZero() || textOf(attributes) != want {
		t.Errorf("record %q: %s", r.EventName(), textOf(attributes))
	}
	if strings.Contains(textOf(attributes), user) {
		t.Error("the targeting key left the process")
	}
}

func TestTrackWithoutListeners(t *testing.T) {
	book := &logbook{off: true}
	c := offline(t, evaluationSet(), WithEventLogger(book))
	c.Track(noContext, "purchase", 1)
	if len(book.records) > 0 {
		t.Error("a logger that is off got a record")
	}
	ctx, key := t.Context(), attribute.String("a", "b")
	if n := testing.AllocsPerRun(100, func() { c.Track(ctx, "purchase", 1, key) }); n > 1 {
		t.Errorf("%v allocations where nobody listens", n)
	}
}
