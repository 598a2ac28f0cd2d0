package otlp

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// outcomePrefix starts the names of the metrics that are read; all others are accepted and
// ignored, since an SDK sends all its metrics to one place.
const outcomePrefix = "seatrial.outcome."

// Bounds of a histogram point. Buckets from 2^-40 s (a picosecond) to 2^40 s hold every
// duration; without a bound, two points far apart would make a histogram of 2^32 buckets.
const (
	maxBuckets   = 8192 // in the message, at the scale of the message
	bucketBound  = 40 << outcome.Scale
	maxCount     = 1 << 53 // where float64 stops to hold every integer
	maxExemplars = 2 * outcome.MaxExemplars
)

const deltaTemporality = 1

// Messages for the sender: what is wrong, and what to do.
const (
	reasonTemporality = "outcome metrics must have delta temporality: set the exporter's temporality preference to delta"
	reasonShape       = "outcome metrics must be monotonic sums, and seatrial.outcome.duration an exponential histogram"
	reasonInstance    = "outcome metrics need the resource attribute service.instance.id: without it, points of two processes cannot be told apart"
	reasonPoint       = "an outcome data point could not be decoded"
	reasonWindow      = "outcome data points need a start time not after their time"
	reasonCount       = "outcome counts must be whole numbers from 0 to 2^53, and the count of a histogram the sum of its buckets"
	reasonScale       = "outcome histograms need scale 5 or finer, and durations between 2^-40 s and 2^40 s"
	reasonArm         = "outcome data points need the attributes seatrial.trial, seatrial.version and seatrial.arm (treatment or control)"
)

// pointBuilder collects the outcome points of one request.
type pointBuilder struct {
	builder
	points  []intervals.Point
	ignored int // data points of other metrics
	counts  []uint64
}

// metric is what applies to all points of a metric.
type metric struct {
	resource
	name        string
	temporality uint64
	monotonic   bool
	histogram   bool // an exponential histogram
	sum         bool
}

// fault says why no point of the metric can be taken, "" if they can.
func (m *metric) fault() string {
	switch {
	case m.histogram != (m.name == outcome.MetricDuration) || m.histogram == m.sum:
		return reasonShape
	case m.temporality != deltaTemporality:
		return reasonTemporality
	case m.sum && !m.monotonic:
		return reasonShape
	case m.instance == "":
		return reasonInstance
	}
	return ""
}

// wanted reports whether the points of a metric are read at all.
func wanted(name string) bool {
	if !strings.HasPrefix(name, outcomePrefix) {
		return false
	}
	switch name {
	case outcome.MetricDuration, outcome.MetricBad, outcome.MetricUnits:
		return true
	}
	return false // of a newer SDK
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
	negative   uint64 // values below zero, which no duration has
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
	p := intervals.Point{Metric: m.name, Start: int64(raw.start), End: int64(raw.end), Exemplars: raw.exemplars}
	reason := b.window(raw)
	if reason == "" {
		reason = b.identify(&p)
	}
	if reason == "" && m.histogram {
		reason = raw.histogram(&p.Latency)
	} else if reason == "" {
		reason = raw.total(&p.Count)
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
		}
	}
	if p.Trial == "" || p.Version == "" || p.Arm != outcome.ArmTreatment && p.Arm != outcome.ArmControl {
		return reasonArm
	}
	return ""
}

func (r *rawPoint) total(into *uint64) string {
	if !(r.value >= 0 && r.value <= maxCount) || r.value != math.Trunc(r.value) {
		return reasonCount
	}
	*into = uint64(r.value)
	return ""
}

// histogram brings the point to the scale of outcome.Histogram. Coarser buckets are unions of
// finer ones, so from a finer scale nothing is estimated (OpenTelemetry data model,
// "Exponential Scale"); from a coarser one it would be, hence the refusal.
func (r *rawPoint) histogram(h *outcome.Histogram) string {
	if r.scale < outcome.Scale || r.scale > 20 || len(r.positive.counts) > maxBuckets {
		return reasonScale
	}
	if math.IsNaN(r.sum) || math.IsInf(r.sum, 0) || r.zero > maxCount || r.negative > maxCount {
		return reasonCount
	}
	first, last := -1, -1
	total := r.zero + r.negative
	for i, n := range r.positive.counts {
		if n == 0 {
			continue
		}
		if total += n; n > maxCount || total > maxCount {
			return reasonCount
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	if total != r.count {
		return reasonCount
	}
	h.Zero, h.Sum = r.zero+r.negative, r.sum
	if first < 0 {
		return ""
	}
	shift := r.scale - outcome.Scale
	low, high := (r.positive.offset+int64(first))>>shift, (r.positive.offset+int64(last))>>shift
	if low < -bucketBound || high >= bucketBound {
		return reasonScale
	}
	h.Offset, h.Counts = int32(low), make([]uint64, high-low+1)
	for i := first; i <= last; i++ {
		h.Counts[(r.positive.offset+int64(i))>>shift-low] += r.positive.counts[i]
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
// length in front, so that no two identities run together.
func seriesKey(m *metric, attributes []traces.Attribute) intervals.SeriesKey {
	slices.SortStableFunc(attributes, func(a, b traces.Attribute) int { return cmp.Compare(a.Key, b.Key) })
	buffer := make([]byte, 0, 512)
	part := func(text string) {
		buffer = binary.AppendUvarint(buffer, uint64(len(text)))
		buffer = append(buffer, text...)
	}
	part(m.service)
	part(m.instance)
	part(m.name)
	for i := range attributes {
		part(attributes[i].Key)
		buffer = append(buffer, byte(attributes[i].Value.Kind()))
		part(attributes[i].Value.String())
	}
	sum := sha256.Sum256(buffer)
	return intervals.SeriesKey(sum[:16])
}
