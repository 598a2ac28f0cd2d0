package intervals

import (
	"math"
	"math/bits"
	"strings"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// A measure comes in several points: how many, of how many, their sum. A collector may put them
// into different requests, with the end of an interval in between; a count without its sum would
// then be taken for values of zero. So the points wait for each other, and count together in the
// interval in which the last of them arrives.

// parts is a set of points of a measure.
type parts uint8

const (
	partOfAll parts = 1 << iota
	partBad
	partSum
	partSumSquares

	wholeEvent = partOfAll | partBad
	wholeValue = partOfAll | partSum | partSumSquares
)

// partial is the measure of one window of a series, until it is whole and for as long as
// duplicates of it may come.
type partial struct {
	start   int64
	have    parts
	measure outcome.Measure
}

func isMeasure(p *Point) bool {
	return p.Metric == outcome.MetricEvents || p.Metric == outcome.MetricValues
}

func whole(p *Point) parts {
	if p.Metric == outcome.MetricEvents {
		return wholeEvent
	}
	return wholeValue
}

// partOf tells which part of a measure the point is; 0 if none, or if its number is impossible.
func partOf(p *Point) parts {
	var part parts
	switch p.Measure {
	case outcome.MeasureOf:
		part = partOfAll
	case outcome.MeasureBad:
		part = partBad
	case outcome.MeasureSum:
		part = partSum
	case outcome.MeasureSumSquares:
		part = partSumSquares
	}
	part &= whole(p)
	if p.Event == "" || p.Count > maxCount || math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
		return 0
	}
	return part
}

// addMeasure adds one point of a measure, and the measure if it is whole by that.
func (a *Accumulator) addMeasure(o *open, to *arm, p *Point) {
	part := partOf(p)
	last, known := o.series[p.Series]
	same := known && last.partial != nil && p.Start == last.partial.start && p.End == last.end
	switch {
	case same && last.partial.have&part != 0, known && !same && (p.Start < last.end || p.End <= last.end):
		a.stats.Duplicates++
		return
	case !same:
		a.giveUp(last.partial, whole(p))
		if !known && len(o.series) >= a.limits.MaxSeries {
			o.forgetSilent()
		}
		name := strings.Clone(p.Event) // not the whole request
		last = window{end: p.End, partial: &partial{start: p.Start, measure: outcome.Measure{Name: name}}}
	}
	last.partial.take(part, p)
	if last.partial.have == whole(p) && !to.takeMeasure(&last.partial.measure) {
		last.partial.have &^= part // a repetition is as invalid as this one
		a.stats.Invalid++
		return
	}
	o.touched++
	last.touched = o.touched
	o.series[p.Series] = last
	a.stats.Accepted++
}

// giveUp counts the points of a measure that did not become whole.
func (a *Accumulator) giveUp(p *partial, whole parts) {
	if p != nil && p.have != whole {
		a.stats.Incomplete += uint64(bits.OnesCount8(uint8(p.have)))
	}
}

func (m *partial) take(part parts, p *Point) {
	m.have |= part
	switch part {
	case partOfAll:
		m.measure.Of = p.Count
	case partBad:
		m.measure.Bad = p.Count
	case partSum:
		m.measure.Sum = p.Value
	case partSumSquares:
		m.measure.SumSquares = p.Value
	}
}

// takeMeasure adds a measure to the arm; false if the numbers cannot be, or there is no room.
func (a *arm) takeMeasure(m *outcome.Measure) bool {
	if before := outcome.FindMeasure(a.Measures, m.Name); !m.Possible() || before.Of+m.Of > maxCount {
		return false
	}
	return a.AddMeasure(*m)
}
