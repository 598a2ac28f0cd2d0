package otlp

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seatrial/seatrial/internal/server/traces"
)

// protoMetrics reads an ExportMetricsServiceRequest; false if the body is not one.
func (b *pointBuilder) protoMetrics(body []byte) bool {
	return eachGroup(body, func(group message) bool {
		r, ok := b.protoResource(group)
		return ok && eachLeaf(group, func(part, scope message) {
			b.protoMetric(part, b.within(r, scope.pos, func() string { return protoScope(scope) }))
		})
	})
}

// Fields of a Metric with its data: gauge, sum, histogram, exponential histogram, summary. In
// all of them field 1 is the data points, 2 the temporality (if any) and 3 the monotonicity.
const (
	fieldGauge        = 5
	fieldSum          = 7
	fieldHistogram    = 9
	fieldExpHistogram = 10
	fieldSummary      = 11
)

// protoMetric reads a Metric: first its name and where its data is, then the data.
func (b *pointBuilder) protoMetric(m message, r resource) {
	head := metric{resource: r}
	var data message
	for tag, more := m.next(); more; tag, more = m.next() {
		switch tag {
		case 1<<3 | length:
			head.name = m.str()
		case 3<<3 | length:
			head.unit = m.str()
		case fieldGauge<<3 | length, fieldSum<<3 | length, fieldHistogram<<3 | length,
			fieldExpHistogram<<3 | length, fieldSummary<<3 | length:
			head.sum, head.histogram = tag>>3 == fieldSum, tag>>3 == fieldExpHistogram
			head.explicit, head.gauge = tag>>3 == fieldHistogram, tag>>3 == fieldGauge
			data = m.sub()
		default:
			m.skip(tag)
		}
	}
	if m.bad {
		b.reject(1, reasonPoint)
		return
	}
	if data.source == nil {
		return
	}
	if b.admit(&head, head.protoData(data)) {
		b.protoPoints(&head, data)
	}
}

// protoData reads what applies to all points, and counts the points.
func (h *metric) protoData(m message) (points int) {
	for tag, more := m.next(); more; tag, more = m.next() {
		switch {
		case tag == 1<<3|length:
			points++
			m.skip(tag)
		case tag == 2<<3|varint:
			h.temporality = m.varint()
		case tag == 3<<3|varint && h.sum:
			h.monotonic = m.varint() != 0
		default:
			m.skip(tag)
		}
	}
	return points
}

func (b *pointBuilder) protoPoints(head *metric, m message) {
	for tag, more := m.next(); more; tag, more = m.next() {
		if tag != 1<<3|length {
			m.skip(tag)
			continue
		}
		b.begin()
		var raw rawPoint
		point := m.sub()
		read := b.protoNumber
		switch {
		case head.histogram:
			read = b.protoHistogram
		case head.explicit:
			read = b.protoExplicit
		}
		if !read(point, &raw) {
			b.reject(1, reasonPoint)
			continue
		}
		b.finish(head, &raw)
	}
	if m.bad {
		b.reject(1, reasonPoint)
	}
}

// protoNumber reads a NumberDataPoint.
func (b *pointBuilder) protoNumber(m message, raw *rawPoint) bool {
	ok := true
	for tag, more := m.next(); more && ok; tag, more = m.next() {
		switch tag {
		case 2<<3 | fixed8:
			raw.start = m.fixed64()
		case 3<<3 | fixed8:
			raw.end = m.fixed64()
		case 4<<3 | fixed8:
			raw.value = math.Float64frombits(m.fixed64())
		case 5<<3 | length:
			ok = raw.protoExemplar(m.sub())
		case 6<<3 | fixed8:
			raw.value = float64(int64(m.fixed64()))
		case 7<<3 | length:
			b.attrs, ok = b.protoAttribute(m.sub(), b.attrs)
		case 8<<3 | varint:
			raw.flags = m.varint()
		default:
			m.skip(tag)
		}
	}
	return ok && !m.bad
}

// protoHistogram reads an ExponentialHistogramDataPoint.
func (b *pointBuilder) protoHistogram(m message, raw *rawPoint) bool {
	ok := true
	for tag, more := m.next(); more && ok; tag, more = m.next() {
		switch tag {
		case 1<<3 | length:
			b.attrs, ok = b.protoAttribute(m.sub(), b.attrs)
		case 2<<3 | fixed8:
			raw.start = m.fixed64()
		case 3<<3 | fixed8:
			raw.end = m.fixed64()
		case 4<<3 | fixed8:
			raw.count = m.fixed64()
		case 5<<3 | fixed8:
			raw.sum = math.Float64frombits(m.fixed64())
		case 6<<3 | varint:
			raw.scale = int64(int32(protowire.DecodeZigZag(m.varint())))
		case 7<<3 | fixed8:
			raw.zero = m.fixed64()
		case 8<<3 | length:
			b.counts = b.counts[:0]
			ok = b.protoBuckets(m.sub(), &raw.positive)
		case 9<<3 | length:
			var negative rawBuckets
			saved := b.counts
			b.counts = nil
			ok = b.protoBuckets(m.sub(), &negative)
			b.counts = saved
			raw.negative = negative.total()
		case 10<<3 | varint:
			raw.flags = m.varint()
		case 11<<3 | length:
			ok = raw.protoExemplar(m.sub())
		default:
			m.skip(tag)
		}
	}
	return ok && !m.bad
}

// total adds up the counts, without overflow: above maxCount it stops.
func (r *rawBuckets) total() uint64 {
	var sum uint64
	for _, n := range r.counts {
		if sum += n; n > maxCount || sum > maxCount {
			return maxCount + 1
		}
	}
	return sum
}

// protoBuckets reads Buckets; the counts are in scratch memory of b, packed or not.
func (b *pointBuilder) protoBuckets(m message, into *rawBuckets) bool {
	for tag, more := m.next(); more; tag, more = m.next() {
		switch tag {
		case 1<<3 | varint:
			into.offset = int64(int32(protowire.DecodeZigZag(m.varint())))
		case 2<<3 | length:
			packed := m.sub()
			for packed.pos < packed.end && !packed.bad && len(b.counts) <= maxBuckets {
				b.counts = append(b.counts, packed.varint())
			}
			if packed.bad {
				return false
			}
		case 2<<3 | varint:
			if n := m.varint(); len(b.counts) <= maxBuckets {
				b.counts = append(b.counts, n)
			}
		default:
			m.skip(tag)
		}
	}
	into.counts = b.counts
	return !m.bad
}

func (r *rawPoint) protoExemplar(m message) bool {
	var trace traces.TraceID
	var span traces.SpanID
	var at uint64
	var value float64
	ok := true
	for tag, more := m.next(); more; tag, more = m.next() {
		switch tag {
		case 2<<3 | fixed8:
			at = m.fixed64()
		case 3<<3 | fixed8:
			value = math.Float64frombits(m.fixed64())
		case 4<<3 | length:
			ok = m.id(span[:]) && ok
		case 5<<3 | length:
			ok = m.id(trace[:]) && ok
		case 6<<3 | fixed8:
			value = float64(int64(m.fixed64()))
		default:
			m.skip(tag)
		}
	}
	if ok && !m.bad {
		r.addExemplar(trace, span, at, value)
	}
	return !m.bad
}
