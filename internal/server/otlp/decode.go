package otlp

import (
	"encoding/hex"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/server/cohorts"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// What one request may hold. Wire formats are compact: two bytes of protobuf can become an
// attribute of 56 bytes, so memory is bounded by counts and not by the length of the body alone.
const (
	maxSpans       = 1 << 16 // spans per request
	maxValues      = 1 << 20 // attributes, list elements, events and points per request
	maxAttributes  = 128     // per span, event, point or resource; the SDK limits of OpenTelemetry
	maxEvents      = 128     // per span
	maxKey         = 256     // bytes of an attribute key
	maxName        = 1024    // bytes of a span, event or service name
	maxText        = 4096    // bytes of an attribute value or a status message
	maxValueDepth  = 8       // lists and maps within each other
	maxElements    = 1024    // of one list or map
	chunkOfSlab    = 1024    // attributes allocated at once
	maxTime        = math.MaxInt64
	attrService    = "service.name"
	attrInstanceID = "service.instance.id"
)

// Messages for the sender. They are constants so that a flood of bad spans costs nothing.
const (
	reasonIDs      = "spans need a 16-byte trace id and an 8-byte span id that are not all zero"
	reasonTime     = "times must be Unix nanoseconds below 2^63"
	reasonSpan     = "a span could not be decoded"
	reasonTooLarge = "the request holds more than 65536 spans or 1048576 values: send smaller batches"
)

// resource is what is kept of a resource.
type resource struct {
	service, instance string
	from              *cohorts.Resource // nil unless a trial compares what it sends
}

// builder holds what both encodings share: limits, arenas and the count of what was rejected.
// Decoded strings are parts of the text of the body, so one request is a handful of
// allocations.
type builder struct {
	values    int // still allowed
	slab      []traces.Attribute
	attrs     []traces.Attribute // scratch of the span or point at hand
	nested    []traces.Attribute // scratch of the event at hand
	events    []traces.Event     // scratch of the span at hand
	dropped   uint32             // attributes, events and values left out of the span at hand
	exhausted bool               // a value found no room: from here on nothing is complete

	rejected int
	reason   string // of the first rejection

	stock *stock
}

func newBuilder() builder { return builder{values: maxValues} }

func (b *builder) reject(n int, reason string) {
	b.rejected += n
	if b.reason == "" {
		b.reason = reason
	}
}

// spend takes one value from the budget of the request.
func (b *builder) spend() bool {
	if b.values == 0 {
		b.exhausted = true
		return false
	}
	b.values--
	return true
}

// keep copies scratch attributes to memory that outlives the scratch.
func (b *builder) keep(scratch []traces.Attribute) []traces.Attribute {
	n := len(scratch)
	if n == 0 {
		return nil
	}
	if cap(b.slab)-len(b.slab) < n {
		b.slab = make([]traces.Attribute, 0, max(chunkOfSlab, n))
	}
	from := len(b.slab)
	b.slab = append(b.slab, scratch...)
	return b.slab[from : from+n : from+n]
}

// appendAttribute adds an attribute to scratch, or counts it as dropped.
func (b *builder) appendAttribute(scratch []traces.Attribute, key string, value traces.Value) []traces.Attribute {
	if key == "" || len(key) > maxKey || len(scratch) >= maxAttributes || !b.spend() {
		b.dropped++
		return scratch
	}
	return append(scratch, traces.Attribute{Key: clip(key, maxKey), Value: value})
}

func (b *builder) appendEvent(time uint64, name string) {
	if len(b.events) >= maxEvents || time > maxTime || !b.spend() {
		b.dropped++
		return
	}
	b.events = append(b.events, traces.Event{Time: int64(time), Name: clip(name, maxName), Attributes: b.keep(b.nested)})
}

func (b *builder) resource() resource {
	var r resource
	for i := range b.attrs {
		switch b.attrs[i].Key {
		case attrService:
			r.service = clip(b.attrs[i].Value.Str(), maxName)
		case attrInstanceID:
			r.instance = clip(b.attrs[i].Value.Str(), maxName)
		}
	}
	r.from = b.origin(r.service)
	return r
}

// spanBuilder collects the spans of one request.
type spanBuilder struct {
	builder
	spans []traces.Span
}

// draft is a span with what is checked when it is complete.
type draft struct {
	traces.Span
	start, end uint64
	dropped    uint32 // by the sender
	badID      bool
}

func (b *spanBuilder) begin() {
	b.attrs, b.events, b.dropped = b.attrs[:0], b.events[:0], 0
}

// finish adds the span or counts it as rejected.
func (b *spanBuilder) finish(d *draft, r resource) {
	switch {
	case len(b.spans) >= maxSpans || b.exhausted:
		b.reject(1, reasonTooLarge)
		return
	case d.badID || d.TraceID.IsZero() || d.SpanID.IsZero():
		b.reject(1, reasonIDs)
		return
	case d.start > maxTime || d.end > maxTime:
		b.reject(1, reasonTime)
		return
	}
	span := d.Span
	span.Start, span.End = int64(d.start), int64(d.end)
	span.Service, span.Instance = r.service, r.instance
	span.Name, span.StatusMessage = clip(span.Name, maxName), clip(span.StatusMessage, maxText)
	span.Attributes = b.keep(b.attrs)
	if len(b.events) > 0 {
		span.Events = append([]traces.Event(nil), b.events...)
	}
	span.Dropped = d.dropped + b.dropped
	b.spans = append(b.spans, span)
	b.offer(r)
}

// kindOf keeps the known kinds; a number from the future is "unspecified".
func kindOf(n uint64) traces.Kind {
	if n > uint64(traces.KindConsumer) {
		return traces.KindUnspecified
	}
	return traces.Kind(n)
}

func statusOf(n uint64) traces.Status {
	if n > uint64(traces.StatusError) {
		return traces.StatusUnset
	}
	return traces.Status(n)
}

// clip returns valid UTF-8 of at most limit bytes, cut between characters.
func clip(text string, limit int) string {
	if len(text) > limit {
		cut := limit
		for cut > limit-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	if utf8.ValidString(text) {
		return text
	}
	return clip(strings.ToValidUTF8(text, "\uFFFD"), limit)
}

func decodeHex(into []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(into)) {
		return false
	}
	_, err := hex.Decode(into, []byte(text))
	return err == nil
}

// clipBytes is clip for values that are not text.
func clipBytes(text string, limit int) string { return text[:min(len(text), limit)] }
