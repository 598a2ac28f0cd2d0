package otlp

import "github.com/seatrial/seatrial/internal/server/traces"

// jsonMetrics reads an ExportMetricsServiceRequest.
func (b *pointBuilder) jsonMetrics(body []byte) error {
	c, err := newCursor(body)
	if err != nil {
		return err
	}
	b.jsonLeaves(&c, "resourceMetrics", "scopeMetrics", "metrics", b.jsonMetric)
	return c.err
}

// jsonMetric reads a Metric: first its name and where its data is, then the data.
func (b *pointBuilder) jsonMetric(c *cursor, r resource) {
	head := metric{resource: r}
	var data cursor
	for field := range c.fields() {
		switch field {
		case "name":
			head.name = c.str()
		case "unit":
			head.unit = c.str()
		case "gauge", "sum", "histogram", "exponentialHistogram", "summary":
			if c.peek() != 'n' { // null
				head.sum, head.histogram = field == "sum", field == "exponentialHistogram"
				head.explicit, head.gauge = field == "histogram", field == "gauge"
				data = *c
			}
		}
	}
	if c.err != nil || data.text == "" {
		return
	}
	points := head.jsonData(&data)
	if b.admit(&head, points) {
		b.jsonPoints(&head, &data)
	}
	if data.err != nil {
		*c = data
	}
}

// jsonData reads what applies to all points, and counts the points; c stays where it is.
func (h *metric) jsonData(c *cursor) (points int) {
	ahead := *c
	for field := range ahead.fields() {
		switch field {
		case "dataPoints":
			for range ahead.elements() {
				points++
			}
		case "aggregationTemporality":
			h.temporality = ahead.enum(temporalityNames)
		case "isMonotonic":
			h.monotonic = h.sum && ahead.boolean()
		}
	}
	if ahead.err != nil {
		*c = ahead
	}
	return points
}

func (b *pointBuilder) jsonPoints(head *metric, c *cursor) {
	for field := range c.fields() {
		if field != "dataPoints" {
			continue
		}
		for range c.elements() {
			b.begin()
			var raw rawPoint
			switch {
			case head.histogram:
				b.jsonHistogram(c, &raw)
			case head.explicit:
				b.jsonExplicit(c, &raw)
			default:
				b.jsonNumber(c, &raw)
			}
			if c.err == nil {
				b.finish(head, &raw)
			}
		}
	}
}

// jsonCommon reads a field that both kinds of points have.
func (b *pointBuilder) jsonCommon(c *cursor, field string, raw *rawPoint) {
	switch field {
	case "startTimeUnixNano":
		raw.start = c.unsigned()
	case "timeUnixNano":
		raw.end = c.unsigned()
	case "attributes":
		b.attrs = b.jsonAttributes(c, b.attrs)
	case "flags":
		raw.flags = c.unsigned()
	case "exemplars":
		for range c.elements() {
			raw.jsonExemplar(c)
		}
	}
}

// jsonNumber reads a NumberDataPoint.
func (b *pointBuilder) jsonNumber(c *cursor, raw *rawPoint) {
	for field := range c.fields() {
		switch field {
		case "asDouble":
			raw.value = c.float()
		case "asInt":
			raw.value = float64(c.signed())
		default:
			b.jsonCommon(c, field, raw)
		}
	}
}

// jsonHistogram reads an ExponentialHistogramDataPoint.
func (b *pointBuilder) jsonHistogram(c *cursor, raw *rawPoint) {
	for field := range c.fields() {
		switch field {
		case "count":
			raw.count = c.unsigned()
		case "sum":
			raw.sum = c.float()
		case "scale":
			raw.scale = c.signed()
		case "zeroCount":
			raw.zero = c.unsigned()
		case "positive":
			b.counts = jsonBuckets(c, &raw.positive, b.counts[:0])
		case "negative":
			var negative rawBuckets
			jsonBuckets(c, &negative, nil)
			raw.negative = negative.total()
		default:
			b.jsonCommon(c, field, raw)
		}
	}
}

// jsonBuckets reads Buckets; the counts are appended to scratch.
func jsonBuckets(c *cursor, into *rawBuckets, scratch []uint64) []uint64 {
	for field := range c.fields() {
		switch field {
		case "offset":
			into.offset = c.signed()
		case "bucketCounts":
			for range c.elements() {
				if len(scratch) <= maxBuckets {
					scratch = append(scratch, c.unsigned())
				}
			}
		}
	}
	into.counts = scratch
	return scratch
}

func (r *rawPoint) jsonExemplar(c *cursor) {
	var trace traces.TraceID
	var span traces.SpanID
	var at uint64
	var value float64
	ok := true
	for field := range c.fields() {
		switch field {
		case "timeUnixNano":
			at = c.unsigned()
		case "asDouble":
			value = c.float()
		case "asInt":
			value = float64(c.signed())
		case "spanId":
			ok = c.id(span[:]) && ok
		case "traceId":
			ok = c.id(trace[:]) && ok
		}
	}
	if ok && c.err == nil {
		r.addExemplar(trace, span, at, value)
	}
}
