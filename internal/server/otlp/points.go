package otlp

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/fleet"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// ownPrefix starts the names of the metrics that are read; all others are accepted and ignored,
// since an SDK sends all its metrics to one place.
const ownPrefix = "seatrial."

// Bounds of a data point.
const (
	maxBuckets   = 8192    // of a histogram, at the scale of the message
	maxCount     = 1 << 53 // where float64 stops to hold every integer
	maxExemplars = 2 * outcome.MaxExemplars
)

const deltaTemporality = 1

// Messages for the sender: what is wrong, and what to do.
const (
	reasonTemporality = "outcome metrics must have delta temporality: set the exporter's temporality preference to delta"
	reasonShape       = "outcome metrics must be sums, monotonic but for seatrial.outcome.values, and seatrial.outcome.duration an exponential histogram"
	reasonInstance    = "outcome metrics need the resource attribute service.instance.id: without it, points of two processes cannot be told apart"
	reasonPoint       = "an outcome data point could not be decoded"
	reasonWindow      = "outcome data points need a start time not after their time"
	reasonCount       = "outcome counts must be whole numbers from 0 to 2^53, and the count of a histogram the sum of its at most 8192 buckets"
	reasonScale       = "outcome histograms need a scale from 5 to 20, and a finite sum of seconds that is not negative"
	reasonEvent       = "outcomes of events need the attributes seatrial.event.name (1 to 256 bytes) and seatrial.measure, and a number that is finite"
	reasonFault       = "injections need the attributes seatrial.fault.point, seatrial.fault.kind and seatrial.fault.phase, each of 1 to 200 bytes"
	reasonArm         = "outcome data points need the attributes seatrial.trial, seatrial.version and seatrial.arm (treatment or control)"
)

// pointBuilder collects the outcome points of one request.
type pointBuilder struct {
	builder
	points  []intervals.Point
	ignored int // data points of other metrics

	sightings []sighting
	facts     []fleet.Fact
	counts    []uint64
	bounds    []float64 // scratch, as counts
}

// metric is what applies to all points of a metric.
type metric struct {
	resource
	name        string
	temporality uint64
	monotonic   bool
	histogram   bool // an exponential histogram
	sum         bool
	gauge       bool
	explicit    bool   // a histogram with explicit bounds, which only stock SDKs send
	unit        string // read for those only
}

// fault says why no point of the metric can be taken, "" if they can.
func (m *metric) fault() string {
	if m.name == outcome.MetricSeen {
		return m.seenFault()
	}
	if kind, ok := factKinds[m.name]; ok {
		return m.factFault(kind)
	}
	switch {
	case m.histogram != (m.name == outcome.MetricDuration) || m.histogram == m.sum:
		return reasonShape
	case m.temporality != deltaTemporality:
		return reasonTemporality
	case m.sum && !m.monotonic && m.name != outcome.MetricValues:
		return reasonShape
	case m.instance == "":
		return reasonInstance
	}
	return ""
}

// admit reports whether the points of a metric are to be read; if not, it counts them.
func (b *pointBuilder) admit(m *metric, points int) bool {
	if m.ofStock() {
		return b.admitStock(m, points)
	}
	if !wanted(m.name) {
		b.ignored += points
		return false
	}
	if reason := m.fault(); reason != "" {
		b.reject(points, reason)
		return false
	}
	return true
}

// begin makes room for the next point.
func (b *pointBuilder) begin() {
	b.attrs, b.dropped = b.attrs[:0], 0
	b.spend()
}

// wanted reports whether the points of a metric are read at all.
func wanted(name string) bool {
	if !strings.HasPrefix(name, ownPrefix) {
		return false
	}
	switch name {
	case outcome.MetricDuration, outcome.MetricBad, outcome.MetricUnits, outcome.MetricEvents, outcome.MetricValues,
		outcome.MetricInjections, outcome.MetricSeen:
		return true
	}
	_, ok := factKinds[name]
	return ok // else of a newer SDK
}

// rawPoint is a data point as it stands in the message.
type rawPoint struct {
	start, end uint64
	flags      uint64
	value      float64 // of a sum
	count      uint64
	sum        float64
	scale      int64
	zero       uint64
	positive   rawBuckets
	bounds     []float64 // explicit ones
	negative   uint64    // values below zero, which no duration has
	exemplars  []outcome.Exemplar
}

type rawBuckets struct {
	offset int64
	counts []uint64
}

// noRecordedValue is a flag of a point that says "no data here".
const noRecordedValue = 1

// finish adds the point or counts it as rejected. Its attributes are in b.attrs.
func (b *pointBuilder) finish(m *metric, raw *rawPoint) {
	if raw.flags&noRecordedValue != 0 {
		b.ignored++
		return
	}
	if m.name == outcome.MetricSeen {
		b.seen(raw)
		return
	}
	if kind, ok := factKinds[m.name]; ok {
		b.fact(kind, m, raw)
		return
	}
	if m.ofStock() {
		b.finishStock(m, raw)
		return
	}
	p := intervals.Point{Metric: m.name, Start: int64(raw.start), End: int64(raw.end), Exemplars: raw.exemplars}
	reason := b.window(raw)
	if reason == "" {
		reason = b.identify(&p)
	}
	if reason == "" && m.histogram {
		reason = raw.histogram(&p.Latency)
	} else if reason == "" {
		reason = raw.number(&p)
	}
	if reason != "" {
		b.reject(1, reason)
		return
	}
	p.Series = seriesKey(m, b.attrs)
	b.points = append(b.points, p)
}

func (b *pointBuilder) window(raw *rawPoint) string {
	switch {
	case b.exhausted:
		return reasonTooLarge
	case b.dropped > 0: // the identity of the series would be incomplete
		return reasonPoint
	case raw.start == 0 || raw.start > raw.end || raw.end > maxTime:
		return reasonWindow
	}
	return ""
}

// identify reads whose outcomes the point counts.
func (b *pointBuilder) identify(p *intervals.Point) string {
	for i := range b.attrs {
		value := b.attrs[i].Value.Str()
		switch b.attrs[i].Key {
		case outcome.AttrTrial:
			p.Trial = value
		case outcome.AttrVersion:
			p.Version = value
		case outcome.AttrArm:
			p.Arm = value
		case outcome.AttrUnitState:
			p.UnitState = value
		case outcome.AttrEvent:
			p.Event = value
		case outcome.AttrMeasure:
			p.Measure = value
		case outcome.AttrPoint:
			p.Fault.Point = value
		case outcome.AttrKind:
			p.Fault.Kind = value
		case outcome.AttrPhase:
			p.Fault.Phase = value
		}
	}
	if p.Metric == outcome.MetricInjections && !isNamed(p.Fault.Point, p.Fault.Kind, p.Fault.Phase) {
		return reasonFault
	}
	if p.Trial == "" || p.Version == "" || p.Arm != outcome.ArmTreatment && p.Arm != outcome.ArmControl {
		return reasonArm
	}
	return ""
}

// number reads the value of a sum: of a measure it may be any number.
func (r *rawPoint) number(p *intervals.Point) string {
	measure := p.Metric == outcome.MetricEvents || p.Metric == outcome.MetricValues
	switch {
	case measure && (p.Event == "" || len(p.Event) > flag.MaxMember):
		return reasonEvent
	case p.Metric != outcome.MetricValues || p.Measure == outcome.MeasureOf:
		return r.total(&p.Count)
	case math.IsNaN(r.value) || math.IsInf(r.value, 0):
		return reasonEvent
	}
	p.Value = r.value
	return ""
}

func (r *rawPoint) total(into *uint64) string {
	if !(r.value >= 0 && r.value <= maxCount) || r.value != math.Trunc(r.value) {
		return reasonCount
	}
	*into = uint64(r.value)
	return ""
}

// histogram brings the point to the scale of outcome.Histogram, exactly.
func (r *rawPoint) histogram(h *outcome.Histogram) string {
	if r.zero > maxCount || r.negative > maxCount || len(r.positive.counts) > maxBuckets {
		return reasonCount
	}
	below := r.zero + r.negative
	if positive := r.positive.total(); below+positive > maxCount || below+positive != r.count {
		return reasonCount
	}
	if r.scale != int64(int32(r.scale)) || r.positive.offset != int64(int32(r.positive.offset)) {
		return reasonScale
	}
	err := h.ImportExponential(int32(r.scale), below, int32(r.positive.offset), r.positive.counts, r.sum)
	if err != nil {
		return reasonScale
	}
	return ""
}

// addExemplar keeps an exemplar that has a trace and a sensible duration.
func (r *rawPoint) addExemplar(trace traces.TraceID, span traces.SpanID, at uint64, seconds float64) {
	usable := !trace.IsZero() && !span.IsZero() && at <= maxTime && seconds >= 0 && !math.IsInf(seconds, 0)
	if !usable || len(r.exemplars) >= maxExemplars {
		return
	}
	r.exemplars = append(r.exemplars, outcome.Exemplar{
		TraceID: trace.String(), SpanID: span.String(), Time: time.Unix(0, int64(at)).UTC(), Seconds: seconds,
	})
}

// seriesKey hashes the identity of a series. Attributes are sorted in place; every part has its
// length in front, so that no two identities run together. Points that belong together are one
// series, see [intervals.SeriesKey].
func seriesKey(m *metric, attributes []traces.Attribute) intervals.SeriesKey {
	slices.SortStableFunc(attributes, func(a, b traces.Attribute) int { return cmp.Compare(a.Key, b.Key) })
	buffer := make([]byte, 0, 512)
	part := func(text string) {
		buffer = binary.AppendUvarint(buffer, uint64(len(text)))
		buffer = append(buffer, text...)
	}
	part(m.service)
	part(m.instance)
	part(intervals.Together(m.name))
	for i := range attributes {
		if key := attributes[i].Key; key == outcome.AttrMeasure || key == outcome.AttrUnitState {
			continue
		}
		part(attributes[i].Key)
		buffer = append(buffer, byte(attributes[i].Value.Kind()))
		part(attributes[i].Value.String())
	}
	sum := sha256.Sum256(buffer)
	return intervals.SeriesKey(sum[:16])
}
