package traces

import (
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// entry is one stored trace. It is guarded by the mutex of its shard.
type entry struct {
	id         TraceID
	seq        uint64 // order of arrival, from 1
	pinned     bool
	bytes      int64
	spans      []Span // appended to, never changed
	ids        map[SpanID]struct{}
	exposures  []Exposure
	services   []string
	failed     bool
	overflowed int
	prev, next *entry
}

// linearIDs is the number of spans up to which looking through them beats a map.
const linearIDs = 32

func (e *entry) has(id SpanID) bool {
	if e.ids != nil {
		_, found := e.ids[id]
		return found
	}
	for i := range e.spans {
		if e.spans[i].SpanID == id {
			return true
		}
	}
	return false
}

func (e *entry) add(span Span) {
	e.spans = append(e.spans, span)
	if e.ids == nil && len(e.spans) > linearIDs {
		e.ids = make(map[SpanID]struct{}, 2*linearIDs)
		for i := range e.spans {
			e.ids[e.spans[i].SpanID] = struct{}{}
		}
	} else if e.ids != nil {
		e.ids[span.SpanID] = struct{}{}
	}
	e.failed = e.failed || span.Status == StatusError
	e.exposures = AppendExposures(e.exposures, &span)
	e.services = appendService(e.services, span.Service)
}

func appendService(list []string, service string) []string {
	for _, known := range list {
		if known == service {
			return list
		}
	}
	return append(list, service)
}

// chain is a doubly linked list of entries in the order of arrival.
type chain struct{ head, tail *entry }

func (c *chain) insert(e *entry) {
	after := c.tail // nearly always: entries come in order, except when a pin is released
	for after != nil && after.seq > e.seq {
		after = after.prev
	}
	e.prev = after
	if after == nil {
		e.next, c.head = c.head, e
	} else {
		e.next, after.next = after.next, e
	}
	if e.next == nil {
		c.tail = e
	} else {
		e.next.prev = e
	}
}

func (c *chain) remove(e *entry) {
	if e.prev == nil {
		c.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		c.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// shard is a part of the store with its own lock.
type shard struct {
	mu       sync.Mutex
	traces   map[TraceID]*entry
	unpinned chain
	kept     chain         // pinned
	oldest   atomic.Uint64 // seq of unpinned.head, 0 if none; read without the lock
	names    map[string]string
}

func (s *shard) init() {
	s.traces = make(map[TraceID]*entry)
	s.names = make(map[string]string)
}

func (s *shard) chain(e *entry) *chain {
	if e.pinned {
		return &s.kept
	}
	return &s.unpinned
}

func (s *shard) insert(e *entry) {
	s.traces[e.id] = e
	s.chain(e).insert(e)
	s.noteOldest()
}

func (s *shard) remove(e *entry) {
	delete(s.traces, e.id)
	s.chain(e).remove(e)
	s.noteOldest()
}

func (s *shard) setPinned(e *entry, pinned bool) {
	s.chain(e).remove(e)
	e.pinned = pinned
	s.chain(e).insert(e)
	s.noteOldest()
}

func (s *shard) noteOldest() {
	if s.unpinned.head == nil {
		s.oldest.Store(0)
		return
	}
	s.oldest.Store(s.unpinned.head.seq)
}

// Estimated memory, in bytes, of things without their strings: the struct itself and, for
// entries, the map slot and the small slices.
const (
	entryBytes     = int64(unsafe.Sizeof(entry{})) + 160
	spanBytes      = int64(unsafe.Sizeof(Span{}))
	attributeBytes = int64(unsafe.Sizeof(Attribute{}))
	eventBytes     = int64(unsafe.Sizeof(Event{}))
	valueBytes     = int64(unsafe.Sizeof(Value{}))
	nestedBytes    = int64(unsafe.Sizeof(nested{}))
)

// spanSize estimates what a span will take. Names and keys count too, although they are mostly
// shared: the limit must hold when they are not.
func spanSize(s *Span) int64 {
	size := spanBytes + int64(len(s.Name)+len(s.Service)+len(s.Instance)+len(s.StatusMessage)) + attributesSize(s.Attributes)
	for i := range s.Events {
		size += eventBytes + int64(len(s.Events[i].Name)) + attributesSize(s.Events[i].Attributes)
	}
	return size
}

func attributesSize(attributes []Attribute) int64 {
	size := int64(len(attributes)) * attributeBytes
	for i := range attributes {
		size += int64(len(attributes[i].Key)) + valueSize(&attributes[i].Value)
	}
	return size
}

func valueSize(v *Value) int64 {
	size := int64(len(v.text))
	if v.nested == nil {
		return size
	}
	size += nestedBytes + int64(len(v.nested.list))*valueBytes + attributesSize(v.nested.pairs)
	for i := range v.nested.list {
		size += valueSize(&v.nested.list[i])
	}
	return size
}

// Names longer than maxName are not shared, and the table of names starts anew when full: it
// must not grow with names that contain ids.
const (
	maxName  = 128
	maxNames = 4096
)

func (s *shard) name(text string) string {
	if len(text) > maxName {
		return strings.Clone(text)
	}
	if known, ok := s.names[text]; ok {
		return known
	}
	if len(s.names) >= maxNames {
		clear(s.names)
	}
	text = strings.Clone(text)
	s.names[text] = text
	return text
}

// copy returns the span without references to the memory of the request that brought it.
func (s *shard) copy(span *Span) Span {
	c := *span
	c.Name, c.Service, c.Instance = s.name(span.Name), s.name(span.Service), s.name(span.Instance)
	c.StatusMessage = strings.Clone(span.StatusMessage)
	c.Attributes = s.copyAttributes(span.Attributes)
	c.Events = nil
	if len(span.Events) > 0 {
		c.Events = make([]Event, len(span.Events))
	}
	for i, e := range span.Events {
		c.Events[i] = Event{Time: e.Time, Name: s.name(e.Name), Attributes: s.copyAttributes(e.Attributes)}
	}
	return c
}

func (s *shard) copyAttributes(attributes []Attribute) []Attribute {
	if len(attributes) == 0 {
		return nil
	}
	texts := 0
	for i := range attributes {
		texts += len(attributes[i].Value.text)
	}
	var arena strings.Builder // one allocation for all values
	arena.Grow(texts)
	for i := range attributes {
		arena.WriteString(attributes[i].Value.text)
	}
	rest := arena.String()
	copied := make([]Attribute, len(attributes))
	for i := range attributes {
		v := attributes[i].Value
		v.text, rest = rest[:len(v.text)], rest[len(v.text):]
		if v.nested != nil {
			v.nested = s.copyNested(v.nested)
		}
		copied[i] = Attribute{Key: s.name(attributes[i].Key), Value: v}
	}
	return copied
}

func (s *shard) copyNested(n *nested) *nested {
	copied := &nested{pairs: s.copyAttributes(n.pairs)}
	if len(n.list) > 0 {
		copied.list = make([]Value, len(n.list))
	}
	for i, v := range n.list {
		v.text = strings.Clone(v.text)
		if v.nested != nil {
			v.nested = s.copyNested(v.nested)
		}
		copied.list[i] = v
	}
	return copied
}
