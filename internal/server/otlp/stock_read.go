package otlp

import "math"

// protoScope gives the bytes of the InstrumentationScope of a ScopeMetrics.
func protoScope(m message) string {
	for tag, more := m.next(); more; tag, more = m.next() {
		if tag == 1<<3|length {
			return m.str()
		}
		m.skip(tag)
	}
	return ""
}

// jsonScope gives the text of the scope of a ScopeMetrics.
func jsonScope(c cursor) string {
	found, ok := c.find("scope")
	if !ok {
		return ""
	}
	from := found
	found.skip()
	return from.text[from.pos:found.pos]
}

// protoExplicit reads a HistogramDataPoint, whose buckets have explicit bounds.
func (b *pointBuilder) protoExplicit(m message, raw *rawPoint) bool {
	ok := true
	b.counts, b.bounds = b.counts[:0], b.bounds[:0]
	for tag, more := m.next(); more && ok; tag, more = m.next() {
		switch tag {
		case 2<<3 | fixed8:
			raw.start = m.fixed64()
		case 3<<3 | fixed8:
			raw.end = m.fixed64()
		case 4<<3 | fixed8:
			raw.count = m.fixed64()
		case 5<<3 | fixed8:
			raw.sum = math.Float64frombits(m.fixed64())
		case 6<<3 | length, 6<<3 | fixed8:
			b.protoFixed(&m, tag == 6<<3|length, func(n uint64) { b.counts = append(b.counts, n) }, len(b.counts))
		case 7<<3 | length, 7<<3 | fixed8:
			b.protoFixed(&m, tag == 7<<3|length, func(n uint64) { b.bounds = append(b.bounds, math.Float64frombits(n)) }, len(b.bounds))
		case 8<<3 | length:
			ok = raw.protoExemplar(m.sub())
		case 9<<3 | length:
			b.attrs, ok = b.protoAttribute(m.sub(), b.attrs)
		case 10<<3 | varint:
			raw.flags = m.varint()
		default:
			m.skip(tag)
		}
	}
	raw.positive.counts, raw.bounds = b.counts, b.bounds
	return ok && !m.bad
}

// protoFixed reads a repeated field of 8 bytes, packed or not, up to the bound of buckets.
func (b *pointBuilder) protoFixed(m *message, packed bool, add func(uint64), have int) {
	if !packed {
		if n := m.fixed64(); have <= maxBuckets {
			add(n)
		}
		return
	}
	list := m.sub()
	for ; list.pos < list.end && !list.bad && have <= maxBuckets; have++ {
		add(list.fixed64())
	}
	m.bad = m.bad || list.bad
}

// jsonExplicit reads a HistogramDataPoint, whose buckets have explicit bounds.
func (b *pointBuilder) jsonExplicit(c *cursor, raw *rawPoint) {
	b.counts, b.bounds = b.counts[:0], b.bounds[:0]
	for field := range c.fields() {
		switch field {
		case "count":
			raw.count = c.unsigned()
		case "sum":
			raw.sum = c.float()
		case "bucketCounts":
			for range c.elements() {
				if len(b.counts) <= maxBuckets {
					b.counts = append(b.counts, c.unsigned())
				}
			}
		case "explicitBounds":
			for range c.elements() {
				if len(b.bounds) <= maxBuckets {
					b.bounds = append(b.bounds, c.float())
				}
			}
		default:
			b.jsonCommon(c, field, raw)
		}
	}
	raw.positive.counts, raw.bounds = b.counts, b.bounds
}
