package seatrial

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// This file writes an ExportMetricsServiceRequest of OTLP 1 (opentelemetry/proto/metrics/v1): the
// few messages and fields that outcomes need, in protobuf's wire format.

// protobuf wire types, and the field numbers that recur.
const (
	wireVarint = 0
	wireFixed  = 1
	wireLength = 2

	deltaTemporality = 1
)

// wire builds a message.
type wire struct{ bytes []byte }

func (p *wire) tag(field, wire int) {
	p.bytes = binary.AppendUvarint(p.bytes, uint64(field)<<3|uint64(wire))
}

func (p *wire) varint(field int, v uint64) {
	p.tag(field, wireVarint)
	p.bytes = binary.AppendUvarint(p.bytes, v)
}

// zigzag writes a sint32.
func (p *wire) zigzag(field int, v int32) {
	p.varint(field, uint64(uint32(v)<<1^uint32(v>>31)))
}

func (p *wire) fixed(field int, v uint64) {
	p.tag(field, wireFixed)
	p.bytes = binary.LittleEndian.AppendUint64(p.bytes, v)
}

func (p *wire) double(field int, v float64) { p.fixed(field, math.Float64bits(v)) }

func (p *wire) text(field int, v string) {
	p.tag(field, wireLength)
	p.bytes = binary.AppendUvarint(p.bytes, uint64(len(v)))
	p.bytes = append(p.bytes, v...)
}

// message writes what build does as a message of its own. The length in front, not known before,
// is put in afterwards.
func (p *wire) message(field int, build func()) {
	p.tag(field, wireLength)
	start := len(p.bytes)
	build()
	var head [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(head[:], uint64(len(p.bytes)-start))
	p.bytes = append(p.bytes, head[:size]...)
	copy(p.bytes[start+size:], p.bytes[start:len(p.bytes)-size])
	copy(p.bytes[start:], head[:size])
}

// attribute writes a KeyValue with a string. Names in code need not be text, but OTLP is not read
// with anything else in it.
func (p *wire) attribute(field int, key, value string) {
	value = strings.ToValidUTF8(value, "\ufffd")
	p.message(field, func() {
		p.text(1, key)
		p.message(2, func() { p.text(1, value) })
	})
}

func (p *wire) intAttribute(field int, key string, value int64) {
	p.message(field, func() {
		p.text(1, key)
		p.message(2, func() { p.varint(3, uint64(value)) })
	})
}

// identity is the resource: whose outcomes are reported.
type identity struct {
	service  string
	instance string // random, new for each client
	born     time.Time
}

// unixNano gives a time as nanoseconds since 1970 by the monotonic clock: setting the wall clock
// never makes reports overlap.
func (id *identity) unixNano(t time.Time) uint64 {
	return uint64(max(id.born.UnixNano()+int64(t.Sub(id.born)), 1))
}

// encodeReport writes a report as an OTLP request.
func encodeReport(id *identity, r *report) []byte {
	p := &wire{}
	window := window{id.unixNano(r.from), id.unixNano(r.to)}
	p.message(1, func() { // resource_metrics
		p.message(1, func() { // resource
			p.attribute(1, "service.name", id.service)
			p.attribute(1, "service.instance.id", id.instance)
			p.attribute(1, "telemetry.sdk.name", "seatrial")
			p.attribute(1, "telemetry.sdk.language", "go")
			p.attribute(1, "telemetry.sdk.version", Version)
		})
		p.message(2, func() { // scope_metrics
			p.message(1, func() { // scope
				p.text(1, scopeName)
				p.text(2, Version)
			})
			if len(r.series) > 0 || r.empty() {
				p.durations(r, window)
				p.bads(r, window)
				p.units(r, window)
				p.measures(r, window)
			}
			p.told(r, window)
		})
	})
	return p.bytes
}

// told writes what there is beside outcomes.
func (p *wire) told(r *report, w window) {
	if len(r.injected) > 0 {
		p.injections(r, w)
	}
	if len(r.seen) > 0 {
		p.sightings(r, w)
	}
	if len(r.points) > 0 {
		p.points(r, w)
	}
	if len(r.dependencies) > 0 {
		p.dependencies(r, w)
	}
}

// scopeName is the instrumentation scope of outcomes.
const scopeName = "github.com/seatrial/seatrial"

// window is the time of a report, Unix nanoseconds.
type window struct{ from, to uint64 }

// eachArm calls visit for the arms that had requests.
func (r *report) eachArm(visit func(s *seriesReport, a arm, counts *outcome.Arm)) {
	for i := range r.series {
		s := &r.series[i]
		for a := range arms {
			if s.arms[a].Requests > 0 {
				visit(s, a, &s.arms[a])
			}
		}
	}
}

// metric writes a Metric whose data is of the kind that field says; sums of it only grow.
func (p *wire) metric(name, unit string, field int, points func()) {
	p.anyMetric(name, unit, field, func() {
		points()
		if field == fieldSum {
			p.varint(3, 1) // monotonic
		}
	})
}

func (p *wire) anyMetric(name, unit string, field int, data func()) {
	p.message(2, func() {
		p.text(1, name)
		p.text(3, unit)
		p.message(field, func() {
			data()
			p.varint(2, deltaTemporality)
		})
	})
}

const (
	fieldSum       = 7
	fieldHistogram = 10 // exponential
)

func (p *wire) durations(r *report, w window) {
	p.metric(outcome.MetricDuration, "s", fieldHistogram, func() {
		r.eachArm(func(s *seriesReport, a arm, counts *outcome.Arm) {
			p.message(1, func() { p.histogram(s, a, &counts.Latency, w) })
		})
	})
}

// histogram writes the fields of an ExponentialHistogramDataPoint.
func (p *wire) histogram(s *seriesReport, a arm, h *outcome.Histogram, w window) {
	p.series(1, s, a)
	p.fixed(2, w.from)
	p.fixed(3, w.to)
	p.fixed(4, h.Count())
	p.double(5, h.Sum)
	p.zigzag(6, outcome.Scale)
	p.fixed(7, h.Zero)
	if len(h.Counts) == 0 {
		return
	}
	p.message(8, func() {
		p.zigzag(1, h.Offset)
		p.message(2, func() { // packed
			for _, n := range h.Counts {
				p.bytes = binary.AppendUvarint(p.bytes, n)
			}
		})
	})
}

// bads writes how many requests were bad, also if none: it counts together with their durations.
func (p *wire) bads(r *report, w window) {
	p.metric(outcome.MetricBad, "{request}", fieldSum, func() {
		r.eachArm(func(s *seriesReport, a arm, counts *outcome.Arm) {
			p.message(1, func() {
				p.sum(s, a, counts.Bad, w)
				if a == treatment {
					p.exemplars(s.exemplars)
				}
			})
		})
	})
}

// units writes the counts of units, all of an arm or none: they count together.
func (p *wire) units(r *report, w window) {
	p.metric(outcome.MetricUnits, "{unit}", fieldSum, func() {
		r.eachArm(func(s *seriesReport, a arm, counts *outcome.Arm) {
			if counts.NewUnits+counts.AtRiskUnits+counts.BadUnits == 0 {
				return
			}
			p.unitCount(s, a, outcome.UnitNew, counts.NewUnits, w)
			p.unitCount(s, a, outcome.UnitAtRisk, counts.AtRiskUnits, w)
			p.unitCount(s, a, outcome.UnitBad, counts.BadUnits, w)
		})
	})
}

func (p *wire) unitCount(s *seriesReport, a arm, state string, n uint64, w window) {
	p.message(1, func() {
		p.sum(s, a, n, w)
		p.attribute(7, outcome.AttrUnitState, state)
	})
}

// measures writes what was counted of tracked events, if any: all the numbers of one together, so
// that the receiver can tell when it has them all.
func (p *wire) measures(r *report, w window) {
	points := func(values bool) (data func(), some bool) {
		r.eachMeasure(values, func(*seriesReport, arm, *outcome.Measure) { some = true })
		return func() {
			r.eachMeasure(values, func(s *seriesReport, a arm, m *outcome.Measure) { p.measure(s, a, m, values, w) })
		}, some
	}
	if data, some := points(false); some {
		p.metric(outcome.MetricEvents, "{event}", fieldSum, data)
	}
	if data, some := points(true); some {
		p.anyMetric(outcome.MetricValues, "1", fieldSum, data)
	}
}

// eachMeasure calls visit for what was counted of tracked values, or else of events.
func (r *report) eachMeasure(values bool, visit func(s *seriesReport, a arm, m *outcome.Measure)) {
	r.eachArm(func(s *seriesReport, a arm, _ *outcome.Arm) {
		for i := range s.measures[a] {
			m := &s.measures[a][i]
			if m.Of > 0 && values == (s.events[i].Count == flag.CountValues) {
				visit(s, a, m)
			}
		}
	})
}

// measure writes the points of one measure.
func (p *wire) measure(s *seriesReport, a arm, m *outcome.Measure, values bool, w window) {
	point := func(what string, number func()) {
		p.message(1, func() {
			p.fixed(2, w.from)
			p.fixed(3, w.to)
			number()
			p.series(7, s, a)
			p.attribute(7, outcome.AttrEvent, m.Name)
			p.attribute(7, outcome.AttrMeasure, what)
		})
	}
	if !values {
		point(outcome.MeasureOf, func() { p.fixed(6, m.Of) })
		point(outcome.MeasureBad, func() { p.fixed(6, m.Bad) })
		return
	}
	point(outcome.MeasureOf, func() { p.double(4, float64(m.Of)) })
	point(outcome.MeasureSum, func() { p.double(4, m.Sum) })
	point(outcome.MeasureSumSquares, func() { p.double(4, m.SumSquares) })
}

// sightings writes which flags were evaluated.
func (p *wire) sightings(r *report, w window) {
	p.metric(outcome.MetricSeen, "{flag}", fieldSum, func() {
		for _, s := range r.seen {
			p.message(1, func() {
				p.fixed(2, w.from)
				p.fixed(3, w.to)
				p.fixed(6, 1)
				p.attribute(7, outcome.AttrSeenFlag, s.flag)
				if s.variant != "" {
					p.attribute(7, outcome.AttrSeenVariant, s.variant)
				}
			})
		}
	})
}

// sum writes the fields of a NumberDataPoint.
func (p *wire) sum(s *seriesReport, a arm, n uint64, w window) {
	p.fixed(2, w.from)
	p.fixed(3, w.to)
	p.fixed(6, n)
	p.series(7, s, a)
}

// series writes the attributes that name a series.
func (p *wire) series(field int, s *seriesReport, a arm) {
	p.attribute(field, outcome.AttrFlag, s.ref.Flag)
	p.attribute(field, outcome.AttrTrial, s.ref.Trial)
	p.attribute(field, outcome.AttrVersion, s.ref.Version)
	p.intAttribute(field, outcome.AttrStep, int64(s.ref.Step))
	p.attribute(field, outcome.AttrArm, a.name())
	p.attribute(field, outcome.AttrVariant, s.variants[a])
}

// partialSuccess reads from an ExportMetricsServiceResponse how many points were rejected, and
// why. Anything that is not one says nothing.
func partialSuccess(response []byte) (rejected uint64, why string) {
	eachField(response, func(field int, _ uint64, partial []byte) {
		if field != 1 {
			return
		}
		eachField(partial, func(field int, n uint64, text []byte) {
			switch field {
			case 1:
				rejected = n
			case 2:
				why = string(text)
			}
		})
	})
	return rejected, why
}

// eachField visits the varint and length-delimited fields of a message, up to the first thing
// that is neither.
func eachField(message []byte, visit func(field int, n uint64, data []byte)) {
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return
		}
		n, more := binary.Uvarint(message[size:])
		if more <= 0 {
			return
		}
		message = message[size+more:]
		switch tag & 7 {
		case wireVarint:
			visit(int(tag>>3), n, nil)
		case wireLength:
			if n > uint64(len(message)) {
				return
			}
			visit(int(tag>>3), 0, message[:n])
			message = message[n:]
		default:
			return
		}
	}
}

func (p *wire) exemplars(list []outcome.Exemplar) {
	for i := range list {
		trace, _ := hex.DecodeString(list[i].TraceID)
		span, _ := hex.DecodeString(list[i].SpanID)
		p.message(5, func() {
			p.fixed(2, uint64(max(list[i].Time.UnixNano(), 0)))
			p.double(3, list[i].Seconds)
			p.text(4, string(span))
			p.text(5, string(trace))
		})
	}
}
