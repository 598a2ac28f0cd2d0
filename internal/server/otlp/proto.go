package otlp

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seatrial/seatrial/internal/server/traces"
)

// Wire types, named as one writes them next to a field number: 5<<3 | length.
const (
	varint = uint64(protowire.VarintType)
	fixed8 = uint64(protowire.Fixed64Type)
	length = uint64(protowire.BytesType)
	fixed4 = uint64(protowire.Fixed32Type)
)

// source is a body in both forms: strings are cut out of text without copying.
type source struct {
	body []byte
	text string
}

// eachGroup calls do with each ResourceSpans or ResourceMetrics of an export request (field 1),
// until it gives false; true if the body is a proper request.
func eachGroup(body []byte, do func(group message) bool) bool {
	src := &source{body: body, text: string(body)}
	m := src.message()
	for tag, more := m.next(); more; tag, more = m.next() {
		if tag != 1<<3|length {
			m.skip(tag)
		} else if !do(m.sub()) {
			return false
		}
	}
	return !m.bad
}

// message is a cursor over the fields of one protobuf message. After next has returned false,
// bad tells whether the message ended properly. Fields of an unexpected wire type are skipped
// like unknown ones, as the protobuf specification has it.
type message struct {
	*source
	pos, end int
	bad      bool
}

func (s *source) message() message { return message{source: s, end: len(s.body)} }

// next reads the tag of the next field: number<<3 | wire type.
func (m *message) next() (tag uint64, ok bool) {
	if m.pos >= m.end || m.bad {
		return 0, false
	}
	tag, n := protowire.ConsumeVarint(m.body[m.pos:m.end])
	if n < 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		m.bad = true
		return 0, false
	}
	m.pos += n
	return tag, true
}

func (m *message) advance(n int) bool {
	if n < 0 {
		m.bad = true
		return false
	}
	m.pos += n
	return true
}

func (m *message) skip(tag uint64) {
	m.advance(protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), m.body[m.pos:m.end]))
}

func (m *message) varint() uint64 {
	v, n := protowire.ConsumeVarint(m.body[m.pos:m.end])
	m.advance(n)
	return v
}

func (m *message) fixed64() uint64 {
	v, n := protowire.ConsumeFixed64(m.body[m.pos:m.end])
	m.advance(n)
	return v
}

func (m *message) fixed32() uint32 {
	v, n := protowire.ConsumeFixed32(m.body[m.pos:m.end])
	m.advance(n)
	return v
}

// sub returns a cursor over a length-delimited field.
func (m *message) sub() message {
	size, n := protowire.ConsumeVarint(m.body[m.pos:m.end])
	if n < 0 || size > uint64(m.end-m.pos-n) {
		m.bad = true
		return message{source: m.source, bad: true}
	}
	from := m.pos + n
	m.pos = from + int(size)
	return message{source: m.source, pos: from, end: m.pos}
}

func (m *message) str() string {
	part := m.sub()
	return part.text[part.pos:part.end]
}

// id reads an id; absent bytes leave it zero, a wrong length is reported.
func (m *message) id(into []byte) (ok bool) {
	part := m.str()
	if part == "" {
		clear(into)
		return true
	}
	return copy(into, part) == len(part) && len(part) == len(into)
}

// attribute appends one KeyValue to scratch.
func (b *builder) protoAttribute(m message, scratch []traces.Attribute) ([]traces.Attribute, bool) {
	key, value, ok := b.protoPair(m, 0)
	if !ok {
		return scratch, false
	}
	return b.appendAttribute(scratch, key, value), true
}

func (b *builder) protoPair(m message, depth int) (key string, value traces.Value, ok bool) {
	for tag, more := m.next(); more; tag, more = m.next() {
		switch tag {
		case 1<<3 | length:
			key = m.str()
		case 2<<3 | length:
			if value, ok = b.protoValue(m.sub(), depth); !ok {
				return "", value, false
			}
		default:
			m.skip(tag)
		}
	}
	return key, value, !m.bad
}

// protoValue reads an AnyValue; of several alternatives the last holds, as for every oneof.
func (b *builder) protoValue(m message, depth int) (value traces.Value, ok bool) {
	for tag, more := m.next(); more; tag, more = m.next() {
		switch tag {
		case 1<<3 | length:
			value = traces.StringValue(clip(m.str(), maxText))
		case 2<<3 | varint:
			value = traces.BoolValue(m.varint() != 0)
		case 3<<3 | varint:
			value = traces.IntValue(int64(m.varint()))
		case 4<<3 | fixed8:
			value = traces.FloatValue(math.Float64frombits(m.fixed64()))
		case 5<<3 | length, 6<<3 | length:
			if value, ok = b.protoNested(m.sub(), depth+1, tag == 6<<3|length); !ok {
				return value, false
			}
		case 7<<3 | length:
			value = traces.BytesValue(clipBytes(m.str(), maxText))
		default:
			m.skip(tag)
		}
	}
	return value, !m.bad
}

// protoNested reads an ArrayValue or a KeyValueList, which look alike from outside.
func (b *builder) protoNested(m message, depth int, pairs bool) (traces.Value, bool) {
	if depth > maxValueDepth {
		b.dropped++
		return traces.Value{}, true
	}
	var list nestedValues
	for tag, more := m.next(); more; tag, more = m.next() {
		switch {
		case tag != 1<<3|length:
			m.skip(tag)
		case list.size() >= maxElements || !b.spend():
			b.dropped++
			m.skip(tag)
		case pairs:
			key, value, ok := b.protoPair(m.sub(), depth)
			if !ok {
				return traces.Value{}, false
			}
			list.pairs = append(list.pairs, traces.Attribute{Key: clip(key, maxKey), Value: value})
		default:
			value, ok := b.protoValue(m.sub(), depth)
			if !ok {
				return traces.Value{}, false
			}
			list.values = append(list.values, value)
		}
	}
	return list.value(pairs), !m.bad
}

// nestedValues collects a list or a map.
type nestedValues struct {
	values []traces.Value
	pairs  []traces.Attribute
}

func (n *nestedValues) size() int { return len(n.values) + len(n.pairs) }

func (n *nestedValues) value(pairs bool) traces.Value {
	if pairs {
		return traces.MapValue(n.pairs)
	}
	return traces.ListValue(n.values)
}

// protoResource reads the Resource of a ResourceSpans or ResourceMetrics, which may stand after
// what it describes. Both have it in field 1.
func (b *builder) protoResource(m message) (resource, bool) {
	b.attrs = b.attrs[:0]
	for tag, more := m.next(); more; tag, more = m.next() {
		if tag != 1<<3|length {
			m.skip(tag)
			continue
		}
		r := m.sub()
		for tag, more := r.next(); more; tag, more = r.next() {
			if tag != 1<<3|length {
				r.skip(tag)
				continue
			}
			var ok bool
			if b.attrs, ok = b.protoAttribute(r.sub(), b.attrs); !ok {
				return resource{}, false
			}
		}
		if r.bad {
			return resource{}, false
		}
	}
	return b.resource(), !m.bad
}

// eachLeaf calls leaf for field 2 of field 2 of a message: the spans or metrics in their scopes.
func eachLeaf(m message, leaf func(part, scope message)) (ok bool) {
	for tag, more := m.next(); more; tag, more = m.next() {
		if tag != 2<<3|length {
			m.skip(tag)
			continue
		}
		scope := m.sub()
		whole := scope
		for tag, more := scope.next(); more; tag, more = scope.next() {
			if tag != 2<<3|length {
				scope.skip(tag)
				continue
			}
			if part := scope.sub(); !part.bad {
				leaf(part, whole)
			}
		}
		if scope.bad {
			return false
		}
	}
	return !m.bad
}
