package otlp

// protoTraces reads an ExportTraceServiceRequest; false if the body is not one.
func (b *spanBuilder) protoTraces(body []byte) bool {
	return eachGroup(body, func(group message) bool {
		r, ok := b.protoResource(group)
		return ok && eachLeaf(group, func(span, _ message) { b.protoSpan(span, r) })
	})
}

// protoSpan reads a Span and keeps or rejects it.
func (b *spanBuilder) protoSpan(m message, r resource) {
	b.begin()
	var d draft
	ok := true
	for tag, more := m.next(); more && ok; tag, more = m.next() {
		switch tag {
		case 1<<3 | length:
			d.badID = !m.id(d.TraceID[:]) || d.badID
		case 2<<3 | length:
			d.badID = !m.id(d.SpanID[:]) || d.badID
		case 4<<3 | length:
			d.badID = !m.id(d.Parent[:]) || d.badID
		case 5<<3 | length:
			d.Name = m.str()
		case 6<<3 | varint:
			d.Kind = kindOf(m.varint())
		case 7<<3 | fixed8:
			d.start = m.fixed64()
		case 8<<3 | fixed8:
			d.end = m.fixed64()
		case 9<<3 | length:
			b.attrs, ok = b.protoAttribute(m.sub(), b.attrs)
		case 10<<3 | varint, 12<<3 | varint:
			d.dropped += uint32(m.varint())
		case 11<<3 | length:
			ok = b.protoEvent(m.sub())
		case 13<<3 | length:
			d.Links++
			m.skip(tag)
		case 15<<3 | length:
			ok = d.protoStatus(m.sub())
		case 16<<3 | fixed4:
			d.Flags = m.fixed32()
		default:
			m.skip(tag)
		}
	}
	if !ok || m.bad {
		b.reject(1, reasonSpan)
		return
	}
	b.finish(&d, r)
}

func (d *draft) protoStatus(m message) bool {
	for tag, more := m.next(); more; tag, more = m.next() {
		switch tag {
		case 2<<3 | length:
			d.StatusMessage = m.str()
		case 3<<3 | varint:
			d.Status = statusOf(m.varint())
		default:
			m.skip(tag)
		}
	}
	return !m.bad
}

func (b *spanBuilder) protoEvent(m message) bool {
	var time uint64
	var name string
	ok := true
	b.nested = b.nested[:0]
	for tag, more := m.next(); more && ok; tag, more = m.next() {
		switch tag {
		case 1<<3 | fixed8:
			time = m.fixed64()
		case 2<<3 | length:
			name = m.str()
		case 3<<3 | length:
			b.nested, ok = b.protoAttribute(m.sub(), b.nested)
		default:
			m.skip(tag)
		}
	}
	if ok && !m.bad {
		b.appendEvent(time, name)
	}
	return ok && !m.bad
}
