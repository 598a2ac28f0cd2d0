package intervals

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// SeriesKey identifies one stream of delta points: a hash of service.instance.id, metric name
// and attribute set. The receiver makes it.
type SeriesKey [16]byte

// Point is one delta data point of an outcome metric, as the receiver decoded it.
type Point struct {
	Series SeriesKey
	// Metric is one of outcome.MetricDuration, MetricBad, MetricUnits, MetricEvents, MetricValues,
	// MetricInjections.
	Metric string
	// Trial, Version, Arm and UnitState are the attributes of these names.
	Trial, Version, Arm, UnitState string
	// Start and End bound the point, Unix nanoseconds, Start ≤ End.
	Start, End int64
	// Count is the value of a sum.
	Count uint64
	// Event and Measure are the attributes of points of outcome.MetricEvents and MetricValues. All
	// points of one measure have the same Series, and count when all of the same time are there.
	Event, Measure string
	// Value is that of a measure's sum or sum of squares.
	Value float64
	// Latency is the value of outcome.MetricDuration; its count is the number of requests. The
	// accumulator does not keep it.
	Latency outcome.Histogram
	// Fault tells where a fault has hit, of points of outcome.MetricInjections: Count calls.
	Fault Fault
	// Exemplars are bad requests, of outcome.MetricBad.
	Exemplars []outcome.Exemplar
}

// Fault names where a fault has hit: the attributes of these names, each at most 200 bytes and
// none empty.
type Fault struct{ Point, Kind, Phase string }

func (f *Fault) valid() bool {
	for _, name := range []string{f.Point, f.Kind, f.Phase} {
		if name == "" || len(name) > maxFaultName {
			return false
		}
	}
	return true
}

// maxFaultName bounds the names in a [Fault], in bytes.
const maxFaultName = 200

// maxCount bounds every count of an open interval: up to here float64 holds integers exactly,
// and the statistics compute in float64.
const maxCount = 1 << 53

// AddOutcomes adds the points of one request: all of them before, or all of them after, any
// concurrent [Accumulator.Close]. The points of a series must not overlap in time; one that
// starts before the end of the last accepted one is a duplicate, since OTLP delivers at least
// once. Hence points of a series that were sent out of order are lost, and counted.
func (a *Accumulator) AddOutcomes(points []Point) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range points {
		a.add(&points[i])
	}
}

func (a *Accumulator) add(p *Point) {
	o := a.trials[p.Trial]
	if o == nil {
		a.stats.Unknown++
		return
	}
	if o.version != p.Version {
		a.stats.Stale++
		return
	}
	arm := o.arm(p.Arm)
	if arm == nil || !arm.takes(p) {
		a.stats.Invalid++
		return
	}
	if isMeasure(p) {
		a.addMeasure(o, arm, p)
		return
	}
	last, known := o.series[p.Series]
	if known && (p.Start < last.end || p.End <= last.end) {
		a.stats.Duplicates++
		return
	}
	if !known && len(o.series) >= a.limits.MaxSeries {
		o.forgetSilent()
	}
	o.touched++
	o.series[p.Series] = window{end: p.End, touched: o.touched}
	arm.add(p)
	o.addInjection(p)
	if p.Arm == outcome.ArmTreatment {
		o.addExemplars(p.Exemplars)
	}
	a.stats.Accepted++
}

// arm is an outcome.Arm with the mapping of metrics to its fields.
type arm struct{ *outcome.Arm }

func (o *open) arm(name string) *arm {
	switch name {
	case outcome.ArmTreatment:
		return &arm{&o.counts.Treatment}
	case outcome.ArmControl:
		return &arm{&o.counts.Control}
	}
	return nil
}

// counter returns the count that a sum adds to, nil if it is none.
func (a *arm) counter(p *Point) *uint64 {
	switch {
	case p.Metric == outcome.MetricBad:
		return &a.Bad
	case p.Metric == outcome.MetricInjections && p.Fault.valid():
		return &a.Injected
	case p.Metric == outcome.MetricUnits && p.UnitState == outcome.UnitNew:
		return &a.NewUnits
	case p.Metric == outcome.MetricUnits && p.UnitState == outcome.UnitAtRisk:
		return &a.AtRiskUnits
	case p.Metric == outcome.MetricUnits && p.UnitState == outcome.UnitBad:
		return &a.BadUnits
	}
	return nil
}

// takes reports whether the point belongs to the arm and leaves its counts within bounds.
func (a *arm) takes(p *Point) bool {
	if isMeasure(p) {
		return partOf(p) != 0
	}
	if p.Metric == outcome.MetricDuration {
		n := p.Latency.Count()
		sum := a.Latency.Sum + p.Latency.Sum
		return n <= maxCount && a.Requests+n <= maxCount && !math.IsNaN(sum) && !math.IsInf(sum, 0)
	}
	counter := a.counter(p)
	return counter != nil && p.Count <= maxCount && *counter+p.Count <= maxCount
}

func (a *arm) add(p *Point) {
	if p.Metric == outcome.MetricDuration {
		a.Requests += p.Latency.Count()
		a.Latency.Merge(&p.Latency)
		return
	}
	*a.counter(p) += p.Count
}

// addInjection notes where a fault has hit; points of other metrics tell nothing of it.
func (o *open) addInjection(p *Point) {
	if p.Metric != outcome.MetricInjections || p.Count == 0 {
		return
	}
	f := p.Fault
	o.counts.Injections = outcome.AddInjections(o.counts.Injections, outcome.Injection{
		Point: strings.Clone(f.Point), Kind: strings.Clone(f.Kind), Phase: strings.Clone(f.Phase), Calls: p.Count})
}

func (o *open) addExemplars(more []outcome.Exemplar) {
	if len(more) == 0 {
		return
	}
	o.counts.Exemplars = append(o.counts.Exemplars, more...)
	slices.SortStableFunc(o.counts.Exemplars, func(a, b outcome.Exemplar) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.SpanID, b.SpanID))
	})
	o.counts.Exemplars = slices.Clip(o.counts.Exemplars[:min(len(o.counts.Exemplars), outcome.MaxExemplars)])
}

// forgetSilent drops the quarter of the series that was silent longest.
func (o *open) forgetSilent() {
	touched := make([]uint64, 0, len(o.series))
	for _, w := range o.series {
		touched = append(touched, w.touched)
	}
	slices.Sort(touched)
	limit := touched[len(touched)/4]
	for key, w := range o.series {
		if w.touched <= limit {
			delete(o.series, key)
		}
	}
}

// Close returns what arrived for this version of a trial since the last Close, and starts the
// next interval: both arms, exemplars of the treatment, and injections. The rest of the interval is
// the caller's to fill in, who owns what is returned. All is zero if the trial is not expected with
// this version.
func (a *Accumulator) Close(trial, version string) outcome.Interval {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.trials[trial]
	if o == nil || o.version != version {
		return outcome.Interval{}
	}
	counts := o.counts
	o.counts, o.closed = outcome.Interval{}, o.touched
	return counts
}
