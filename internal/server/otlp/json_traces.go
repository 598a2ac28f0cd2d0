package otlp

var (
	kindNames = []string{
		"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER",
	}
	statusNames      = []string{"STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"}
	temporalityNames = []string{"AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE"}
)

// jsonTraces reads an ExportTraceServiceRequest.
func (b *spanBuilder) jsonTraces(body []byte) error {
	c, err := newCursor(body)
	if err != nil {
		return err
	}
	b.jsonLeaves(&c, "resourceSpans", "scopeSpans", "spans", b.jsonSpan)
	return c.err
}

// jsonSpan reads a Span and keeps or rejects it.
func (b *spanBuilder) jsonSpan(c *cursor, r resource) {
	b.begin()
	var d draft
	for field := range c.fields() {
		switch field {
		case "traceId":
			d.badID = !c.id(d.TraceID[:]) || d.badID
		case "spanId":
			d.badID = !c.id(d.SpanID[:]) || d.badID
		case "parentSpanId":
			d.badID = !c.id(d.Parent[:]) || d.badID
		case "name":
			d.Name = c.str()
		case "kind":
			d.Kind = kindOf(c.enum(kindNames))
		case "startTimeUnixNano":
			d.start = c.unsigned()
		case "endTimeUnixNano":
			d.end = c.unsigned()
		case "attributes":
			b.attrs = b.jsonAttributes(c, b.attrs)
		case "droppedAttributesCount", "droppedEventsCount":
			d.dropped += uint32(c.unsigned())
		case "events":
			for range c.elements() {
				b.jsonEvent(c)
			}
		case "links":
			for range c.elements() {
				d.Links++
			}
		case "status":
			d.jsonStatus(c)
		case "flags":
			d.Flags = uint32(c.unsigned())
		}
	}
	if c.err == nil {
		b.finish(&d, r)
	}
}

func (d *draft) jsonStatus(c *cursor) {
	for field := range c.fields() {
		switch field {
		case "message":
			d.StatusMessage = c.str()
		case "code":
			d.Status = statusOf(c.enum(statusNames))
		}
	}
}

func (b *spanBuilder) jsonEvent(c *cursor) {
	var time uint64
	var name string
	b.nested = b.nested[:0]
	for field := range c.fields() {
		switch field {
		case "timeUnixNano":
			time = c.unsigned()
		case "name":
			name = c.str()
		case "attributes":
			b.nested = b.jsonAttributes(c, b.nested)
		}
	}
	if c.err == nil {
		b.appendEvent(time, name)
	}
}
