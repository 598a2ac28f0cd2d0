// Package traces keeps the most recent traces in memory, within a fixed number of bytes, and
// arranges the spans of one trace as a tree.
//
// Traces explain, they do not judge: a trial is decided on metrics, and what is lost here by
// eviction costs an explanation, never a verdict. Traces that a verdict names are pinned and
// outlive the others.
package traces

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// TraceID identifies a trace (W3C Trace Context). The zero value is invalid.
type TraceID [16]byte

// String returns 32 lower-case hex digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is the invalid, all-zero one.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// SpanID identifies a span within a trace. The zero value means "none".
type SpanID [8]byte

// String returns 16 lower-case hex digits, also for the zero id.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether there is no span.
func (id SpanID) IsZero() bool { return id == SpanID{} }

// ErrID says that a text is not an id; [ParseTraceID] and [ParseSpanID] wrap it.
var ErrID = errors.New("not a valid id")

// ParseTraceID reads 32 hex digits, upper or lower case. All zeros is an error.
func ParseTraceID(text string) (TraceID, error) {
	var id TraceID
	if !decodeHex(id[:], text) || id.IsZero() {
		return TraceID{}, fmt.Errorf("trace id %.40q: %w: want 32 hex digits, not all zero", text, ErrID)
	}
	return id, nil
}

// ParseSpanID reads 16 hex digits, upper or lower case. All zeros is an error.
func ParseSpanID(text string) (SpanID, error) {
	var id SpanID
	if !decodeHex(id[:], text) || id.IsZero() {
		return SpanID{}, fmt.Errorf("span id %.40q: %w: want 16 hex digits, not all zero", text, ErrID)
	}
	return id, nil
}

func decodeHex(into []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(into)) {
		return false
	}
	_, err := hex.Decode(into, []byte(text))
	return err == nil
}

// Kind is the role of a span, with the numbers of OTLP. Unknown numbers are kept.
type Kind uint8

// The kinds of spans.
const (
	KindUnspecified Kind = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

var kindNames = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}

// String returns the lower-case name, "unspecified" for unknown numbers.
func (k Kind) String() string { return nameOf(kindNames[:], int(k)) }

// Status is the outcome of a span, with the numbers of OTLP.
type Status uint8

// The outcomes of spans.
const (
	StatusUnset Status = iota
	StatusOK
	StatusError
)

var statusNames = [...]string{"unset", "ok", "error"}

// String returns the lower-case name, "unset" for unknown numbers.
func (s Status) String() string { return nameOf(statusNames[:], int(s)) }

func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return names[0]
	}
	return names[i]
}

// Attribute is one key with its value.
type Attribute struct {
	Key   string
	Value Value
}

// Event is something that happened at a moment of a span.
type Event struct {
	Time       int64 // Unix time in nanoseconds; 0: unknown
	Name       string
	Attributes []Attribute
}

// Span is one operation of a service. Values are not changed after they were given to a
// [Store]; reading them concurrently is safe.
type Span struct {
	TraceID TraceID
	SpanID  SpanID
	Parent  SpanID // zero: root
	// Service and Instance are the resource attributes service.name and service.instance.id,
	// empty if the resource has none.
	Service, Instance string
	Name              string
	Kind              Kind
	Status            Status
	StatusMessage     string
	// Start and End are Unix times in nanoseconds, ≥ 0. End may lie before Start when the
	// clock of the service was set back.
	Start, End int64
	Attributes []Attribute
	Events     []Event
	Links      int    // number of links; the links themselves are not kept
	Flags      uint32 // W3C trace flags; bits 0x100 and 0x200: is the parent remote (known, yes)
	// Dropped is how many attributes, events and values were left out, here (limits) or by
	// the sender.
	Dropped uint32
}

// Duration is End − Start, never negative.
func (s *Span) Duration() time.Duration { return time.Duration(max(s.End-s.Start, 0)) }

// StartTime is Start as a time in UTC.
func (s *Span) StartTime() time.Time { return time.Unix(0, s.Start).UTC() }

// Attribute returns the value of the first attribute with this key; false if there is none.
func (s *Span) Attribute(key string) (Value, bool) { return find(s.Attributes, key) }

func find(attributes []Attribute, key string) (Value, bool) {
	for i := range attributes {
		if attributes[i].Key == key {
			return attributes[i].Value, true
		}
	}
	return Value{}, false
}
