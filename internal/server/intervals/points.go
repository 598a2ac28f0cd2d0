package intervals

import (
	"cmp"
	"slices"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// SeriesKey identifies one stream of delta points that belong together, a whole of each time: a hash
// of service.instance.id, of the attributes but outcome.AttrUnitState and AttrMeasure, and of the
// metric as [Together] names it. The receiver makes it.
type SeriesKey [16]byte

// Together names the metric with whose points those of a metric make one series: its own, but durations
// and bad requests are one.
func Together(metric string) string {
	if metric == outcome.MetricBad {
		return outcome.MetricDuration
	}
	return metric
}

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
	// Event and Measure are the attributes of points of outcome.MetricEvents and MetricValues.
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
// concurrent [Accumulator.Close]. Points that belong together count when all of them are there. The
// windows of a series must not overlap in time; a point that starts before the end of the last
// accepted one is a duplicate, since OTLP delivers at least once. Hence points of a series that were
// sent out of order are lost, and counted.
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
	part, whole := partOf(p)
	if arm == nil || part == 0 {
		a.stats.Invalid++
		return
	}
	last, known := o.series[p.Series]
	same := known && p.Start == last.start && p.End == last.end
	switch {
	case same && (last.have&part != 0 || last.waiting == nil), known && !same && (p.Start < last.end || p.End <= last.end):
		a.stats.Duplicates++
		return
	case !same:
		a.stats.Incomplete += last.incomplete()
		if !known && len(o.series) >= a.limits.MaxSeries {
			a.stats.Incomplete += o.forgetSilent()
		}
		last = window{start: p.Start, end: p.End, waiting: new(waiting)}
	}
	last.waiting.take(part, p)
	last.have |= part
	if last.have == whole {
		if !last.waiting.addTo(arm) {
			last.have &^= part // a repetition is as invalid as this one
			a.stats.Invalid++
			return
		}
		o.addInjections(last.waiting.injections)
		if p.Arm == outcome.ArmTreatment {
			o.addExemplars(last.waiting.exemplars)
		}
		last.waiting = nil
	}
	o.touched++
	last.touched = o.touched
	o.series[p.Series] = last
	a.stats.Accepted++
}

func (o *open) arm(name string) *outcome.Arm {
	switch name {
	case outcome.ArmTreatment:
		return &o.counts.Treatment
	case outcome.ArmControl:
		return &o.counts.Control
	}
	return nil
}

func (o *open) addInjections(more []outcome.Injection) {
	for _, i := range more {
		o.counts.Injections = outcome.AddInjections(o.counts.Injections, i)
	}
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

// forgetSilent drops the quarter of the series that was silent longest, and gives how many points were
// waiting there for others.
func (o *open) forgetSilent() (incomplete uint64) {
	touched := make([]uint64, 0, len(o.series))
	for _, w := range o.series {
		touched = append(touched, w.touched)
	}
	slices.Sort(touched)
	limit := touched[len(touched)/4]
	for key, w := range o.series {
		if w.touched <= limit {
			incomplete += w.incomplete()
			delete(o.series, key)
		}
	}
	return incomplete
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
