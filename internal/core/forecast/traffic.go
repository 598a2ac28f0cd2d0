package forecast

import (
	"math"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Traffic is what the whole audience does in a minute, as the control shows it.
type Traffic struct {
	// Minutes over which it was measured, 0 if somebody stated it.
	Minutes float64
	// Requests per minute and the bad ones among them.
	Requests, BadRequests float64
	// Units that are at risk of their first bad event, counted in every interval in which they
	// are active, per minute, and those that have it. 0 if units are not known.
	AtRisk, BadUnits float64
	NewUnits         float64 // seen for the first time, per minute
	// Latency of the control's requests; nil if it is not known.
	Latency *outcome.Histogram
	// Measures are those of tracked events and values and of pulls, per minute.
	Measures map[string]Stream
}

// Stream is what one guardrail counts in a minute.
type Stream struct {
	PerMinute       float64 // exposures or observations
	Bad             float64 // share of exposures that are bad
	Mean, Deviation float64 // of a value
}

func (s Stream) events(share float64) float64 {
	if s.Deviation > 0 {
		return s.PerMinute * share
	}
	return s.PerMinute * s.Bad * share
}

// Stated makes the traffic that a person states: requests and users per minute, and the share
// that fails. Without users, requests stand for them.
func Stated(requests, users, errorRate float64) Traffic {
	if users == 0 {
		users = requests
	}
	return Traffic{Requests: requests, BadRequests: requests * errorRate, AtRisk: users, BadUnits: users * errorRate, NewUnits: users}
}

// learned are the quantiles at which latency bounds are read off.
var learned = []float64{0.5, 0.25, 0.1, 0.05, 0.01}

// streams gives what a guardrail counts: one, or one for each latency bound.
func (t Traffic) streams(g trial.Guardrail) (list []Stream, unknown string) {
	var s Stream
	switch {
	case g.Prometheus != nil:
		s = t.Measures[g.Name]
	case g.Metric == trial.MetricLatency:
		return t.latency(g)
	case g.Metric == trial.MetricEvent || g.Metric == trial.MetricValue:
		s = t.Measures[g.Event]
	case g.Metric == trial.MetricThroughput:
		s = Stream{PerMinute: t.NewUnits, Bad: 1}
		if g.Unit == trial.UnitRequest || s.PerMinute == 0 {
			s.PerMinute = t.Requests
		}
	case g.Unit == trial.UnitRequest || t.AtRisk == 0:
		s = stream(t.Requests, t.BadRequests)
	default:
		s = stream(t.AtRisk, t.BadUnits)
	}
	if g.Metric == trial.MetricThroughput {
		s.Bad = 1 // every arrival counts
	}
	switch {
	case s.PerMinute == 0:
		return nil, "nothing is known of what it counts"
	case g.Metric == trial.MetricValue && s.Deviation == 0:
		return nil, "the spread of its value is not known"
	}
	return []Stream{s}, ""
}

func (t Traffic) latency(g trial.Guardrail) (list []Stream, unknown string) {
	if t.Requests == 0 {
		return nil, "nothing is known of what it counts"
	}
	if len(g.Bounds) == 0 {
		for _, share := range learned {
			list = append(list, Stream{PerMinute: t.Requests, Bad: share})
		}
		return list, ""
	}
	if t.Latency == nil || t.Latency.Count() == 0 {
		return nil, "latency is not known"
	}
	for _, b := range g.Bounds {
		above := float64(t.Latency.Above(outcome.Edge(b))) / float64(t.Latency.Count())
		list = append(list, Stream{PerMinute: t.Requests, Bad: above})
	}
	return list, ""
}

func stream(of, bad float64) Stream {
	if of == 0 {
		return Stream{}
	}
	return Stream{PerMinute: of, Bad: bad / of}
}

// Meter measures traffic from the intervals of a trial: the control's counts, scaled up by its
// share. Steps for groups are left out, as they show only the groups. The zero value is ready.
type Meter struct {
	minutes  float64
	total    Traffic // sums, scaled
	measures map[string]*sums
	latency  outcome.Histogram
}

type sums struct{ of, bad, n, sum, squares float64 }

// Add takes one interval into account.
func (m *Meter) Add(spec trial.Spec, iv outcome.Interval) {
	if iv.Step < 0 || iv.Step >= len(spec.Steps) || len(spec.Steps[iv.Step].Segments) > 0 {
		return
	}
	_, share := arms(spec, spec.Steps[iv.Step])
	minutes := iv.Duration().Minutes()
	if share <= 0 || minutes == 0 || iv.Control.Requests == 0 && iv.Pull == nil {
		return
	}
	c := iv.Control
	m.minutes += minutes
	m.total.Requests += float64(c.Requests) / share
	m.total.BadRequests += float64(c.Bad) / share
	m.total.AtRisk += float64(c.AtRiskUnits) / share
	m.total.BadUnits += float64(c.BadUnits) / share
	m.total.NewUnits += float64(c.NewUnits) / share
	m.latency.Merge(&c.Latency)
	for _, measure := range c.Measures {
		m.measure(measure, share)
	}
	if iv.Pull != nil {
		for _, measure := range iv.Pull.Control {
			m.measure(measure, share)
		}
	}
}

func (m *Meter) measure(from outcome.Measure, share float64) {
	if m.measures == nil {
		m.measures = map[string]*sums{}
	}
	to := m.measures[from.Name]
	if to == nil {
		to = &sums{}
		m.measures[from.Name] = to
	}
	to.of += float64(from.Of) / share
	to.bad += float64(from.Bad) / share
	to.n += float64(from.Of)
	to.sum += from.Sum
	to.squares += from.SumSquares
}

// Traffic is what was measured; ok is false if nothing was.
func (m *Meter) Traffic() (t Traffic, ok bool) {
	if m.minutes == 0 {
		return Traffic{}, false
	}
	t = Traffic{Minutes: m.minutes,
		Requests: m.total.Requests / m.minutes, BadRequests: m.total.BadRequests / m.minutes,
		AtRisk: m.total.AtRisk / m.minutes, BadUnits: m.total.BadUnits / m.minutes, NewUnits: m.total.NewUnits / m.minutes,
		Measures: map[string]Stream{}}
	if m.latency.Count() > 0 {
		latency := m.latency.Clone()
		t.Latency = &latency
	}
	for name, s := range m.measures {
		t.Measures[name] = s.stream(m.minutes)
	}
	return t, true
}

func (s *sums) stream(minutes float64) Stream {
	out := stream(s.of/minutes, s.bad/minutes)
	if s.n > 1 {
		out.Mean = s.sum / s.n
		out.Deviation = math.Sqrt(max(s.squares/s.n-out.Mean*out.Mean, 0))
	}
	return out
}

// Available is how much time the last step has before the deadline, if each step before it takes
// its least time.
func Available(spec trial.Spec) time.Duration {
	left := time.Duration(spec.Deadline)
	for _, step := range spec.Steps[:len(spec.Steps)-1] {
		left -= time.Duration(step.MinTime)
	}
	return max(left, 0)
}

// Remedy is a change to a plan after which a guardrail can be proven safe in the time there is.
// A zero field is no remedy.
type Remedy struct {
	Relative float64       // this relative tolerance
	Absolute float64       // or this absolute one
	Share    flag.Weight   // or this share at the last step
	Deadline time.Duration // or this deadline
}

// Remedies looks for changes that let guardrail i be decided at the last step: the smallest
// tolerances of a list of round ones, an even split, a longer deadline.
func Remedies(spec trial.Spec, i int, traffic Traffic) Remedy {
	var r Remedy
	last, available := len(spec.Steps)-1, Available(spec).Minutes()
	fits := func(change func(*trial.Guardrail, *trial.Step)) bool {
		g, step := spec.Guardrails[i], spec.Steps[last]
		change(&g, &step)
		f := forecast(spec, step, g, traffic)
		return f.Unknown == "" && f.Safe <= available
	}
	for _, v := range []float64{0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10} {
		if more := v > spec.Guardrails[i].Relative; more && fits(func(g *trial.Guardrail, _ *trial.Step) { g.Relative = v }) {
			r.Relative = v
			break
		}
	}
	for _, v := range []float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1} {
		metric := spec.Guardrails[i].Metric
		if metric == trial.MetricThroughput || metric == trial.MetricValue {
			break // theirs is relative, or in a unit of its own
		}
		if more := v > spec.Guardrails[i].Absolute; more && fits(func(g *trial.Guardrail, _ *trial.Step) { g.Absolute = v }) {
			r.Absolute = v
			break
		}
	}
	const half = flag.TotalWeight / 2
	if spec.Cohorts == nil && spec.Steps[last].Share != half && fits(func(_ *trial.Guardrail, s *trial.Step) { s.Share = half }) {
		r.Share = half
	}
	f := forecast(spec, spec.Steps[last], spec.Guardrails[i], traffic)
	if days := f.Safe / (24 * 60); f.Unknown == "" && days <= 90 {
		r.Deadline = time.Duration(spec.Deadline) + time.Duration(math.Ceil(f.Safe-available))*time.Minute
	}
	return r
}
