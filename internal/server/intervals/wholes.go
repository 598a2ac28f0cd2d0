package intervals

import (
	"math"
	"math/bits"
	"strings"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// What a process saw comes in several points: durations and how many requests were bad; units that
// are new, at risk, bad; of a measure how many, of how many, their sum. A collector may put them into
// different requests, with the end of an interval in between, and lose some of them. A rate whose
// two halves are not of the same requests is wrong, and if the bad ones are what is missing, it looks
// better than it is. So the points that belong together, a whole, wait for each other, and count
// together in the interval in which the last of them arrives; a whole that never gets complete does
// not count.

// parts is a set of points of a whole.
type parts uint16

const (
	partDurations parts = 1 << iota
	partBad

	partNewUnits
	partAtRiskUnits
	partBadUnits

	partOfAll
	partEvents
	partSum
	partSumSquares

	partInjected

	wholeRequests = partDurations | partBad
	wholeUnits    = partNewUnits | partAtRiskUnits | partBadUnits
	wholeEvent    = partOfAll | partEvents
	wholeValue    = partOfAll | partSum | partSumSquares
)

// partOf tells which part the point is, and of which whole; 0 if it is none, or if its number is
// impossible.
func partOf(p *Point) (part, whole parts) {
	switch p.Metric {
	case outcome.MetricDuration:
		part, whole = partDurations, wholeRequests
	case outcome.MetricBad:
		part, whole = partBad, wholeRequests
	case outcome.MetricUnits:
		part, whole = unitPart(p.UnitState), wholeUnits
	case outcome.MetricEvents:
		part, whole = measurePart(p)&wholeEvent, wholeEvent
	case outcome.MetricValues:
		part, whole = measurePart(p)&wholeValue, wholeValue
	case outcome.MetricInjections:
		if p.Fault.valid() {
			part, whole = partInjected, partInjected
		}
	}
	if p.Count > maxCount || !finite(p.Value) || part == partDurations && (p.Latency.Count() > maxCount || !finite(p.Latency.Sum)) {
		return 0, whole
	}
	return part, whole
}

func unitPart(state string) parts {
	switch state {
	case outcome.UnitNew:
		return partNewUnits
	case outcome.UnitAtRisk:
		return partAtRiskUnits
	case outcome.UnitBad:
		return partBadUnits
	}
	return 0
}

func measurePart(p *Point) parts {
	if p.Event == "" {
		return 0
	}
	switch p.Measure {
	case outcome.MeasureOf:
		return partOfAll
	case outcome.MeasureBad:
		return partEvents
	case outcome.MeasureSum:
		return partSum
	case outcome.MeasureSumSquares:
		return partSumSquares
	}
	return 0
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// waiting is what the parts of a whole that are there tell, until the rest comes.
type waiting struct {
	outcome.Arm
	exemplars  []outcome.Exemplar
	injections []outcome.Injection
}

// take adds a part. What it keeps of the point is its own, not the whole request.
func (w *waiting) take(part parts, p *Point) {
	switch part {
	case partDurations:
		w.Requests = p.Latency.Count()
		w.Latency = p.Latency.Clone()
	case partBad:
		w.Bad = p.Count
		w.exemplars = p.Exemplars
	case partNewUnits:
		w.NewUnits = p.Count
	case partAtRiskUnits:
		w.AtRiskUnits = p.Count
	case partBadUnits:
		w.BadUnits = p.Count
	case partOfAll:
		w.measure(p).Of = p.Count
	case partEvents:
		w.measure(p).Bad = p.Count
	case partSum:
		w.measure(p).Sum = p.Value
	case partSumSquares:
		w.measure(p).SumSquares = p.Value
	case partInjected:
		w.Injected = p.Count
		w.inject(p)
	}
}

func (w *waiting) measure(p *Point) *outcome.Measure {
	if len(w.Measures) == 0 {
		w.Measures = []outcome.Measure{{Name: strings.Clone(p.Event)}}
	}
	return &w.Measures[0]
}

// inject notes where a fault has hit.
func (w *waiting) inject(p *Point) {
	if p.Count > 0 {
		f := p.Fault
		w.injections = []outcome.Injection{{Point: strings.Clone(f.Point), Kind: strings.Clone(f.Kind), Phase: strings.Clone(f.Phase), Calls: p.Count}}
	}
}

// addTo adds the whole to an arm; false if its numbers cannot be, or there is no room for them.
func (w *waiting) addTo(arm *outcome.Arm) bool {
	if !w.Consistent() || !finite(arm.Latency.Sum+w.Latency.Sum) || !w.within(arm) {
		return false
	}
	for i := range w.Measures {
		if m := &w.Measures[i]; !m.Possible() || !arm.AddMeasure(*m) {
			return false
		}
	}
	w.Measures = nil // they are added
	arm.Merge(&w.Arm)
	return true
}

// within reports whether the counts of both together stay within bounds.
func (w *waiting) within(arm *outcome.Arm) bool {
	fits := arm.Requests+w.Requests <= maxCount && arm.NewUnits+w.NewUnits <= maxCount &&
		arm.AtRiskUnits+w.AtRiskUnits <= maxCount && arm.Injected+w.Injected <= maxCount
	for i := range w.Measures {
		fits = fits && outcome.FindMeasure(arm.Measures, w.Measures[i].Name).Of+w.Measures[i].Of <= maxCount
	}
	return fits
}

// incomplete counts the points of a whole that did not get complete.
func (w *window) incomplete() uint64 {
	if w.waiting == nil {
		return 0
	}
	return uint64(bits.OnesCount16(uint16(w.have)))
}
