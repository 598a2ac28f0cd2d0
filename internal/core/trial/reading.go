package trial

import (
	"math"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// reading is what one interval brings for one guardrail, wherever its counts come from.
type reading struct {
	treatment, control *outcome.Arm
	pulled             bool            // the counts are these, not the arms'
	t, c               outcome.Measure // pulled, or of the guardrail's event
	share              float64         // expected part of the treatment, 0 if not known
}

// addEvidence weighs the interval for every guardrail, and reports whether it told any of them
// something. One that cannot be compared says nothing: it stops the clock of the evidence and
// changes no verdict.
func (s *State) addEvidence(spec *Spec, iv *outcome.Interval) (told bool) {
	pull := s.takePull(iv)
	if s.Phase == PhaseWatching {
		s.addWatch(spec, iv, pull)
		return false
	}
	if spec.Cohorts == nil && compared(iv) {
		s.Sample.add(iv, spec.treatmentShare(s))
	}
	for i := range s.Guardrails {
		g, st := &spec.Guardrails[i], &s.Guardrails[i]
		r := newReading(g, iv, pull)
		r.share = spec.treatmentShare(s)
		ok := r.tells(spec, g, iv)
		if ok {
			st.NoData = 0
			st.StepTold++
			st.addDispersion(g, &r)
			st.add(g, &r)
			st.SLO.add(g, &r)
			told = true
		} else {
			st.NoData++
		}
		st.judge(spec, g, s, ok)
	}
	return told
}

// takePull gives the interval's pull if it belongs to this step and was not weighed before, and
// remembers up to when it goes.
func (s *State) takePull(iv *outcome.Interval) *outcome.Pull {
	p := iv.Pull
	if p == nil || !p.To.After(p.From) || p.From.Before(s.PulledTo) || p.From.Before(s.StepStartedAt) {
		return nil
	}
	s.PulledTo = p.To
	return p
}

func newReading(g *Guardrail, iv *outcome.Interval, pull *outcome.Pull) reading {
	r := reading{treatment: &iv.Treatment, control: &iv.Control}
	switch {
	case g.Prometheus != nil:
		r.pulled = true
		if pull != nil {
			r.t = outcome.FindMeasure(pull.Treatment, g.Name)
			r.c = outcome.FindMeasure(pull.Control, g.Name)
		}
	case g.Event != "":
		r.t = outcome.FindMeasure(iv.Treatment.Measures, g.Event)
		r.c = outcome.FindMeasure(iv.Control.Measures, g.Event)
	}
	return r
}

// counts gives bad events and exposures of both arms.
func (r *reading) counts(g *Guardrail, bound float64) (t, c Count) {
	if r.pulled || g.Event != "" {
		return Count{Bad: r.t.Bad, Of: r.t.Of}, Count{Bad: r.c.Bad, Of: r.c.Of}
	}
	return g.count(r.treatment, bound), g.count(r.control, bound)
}

// count gives bad events and exposures of one arm's own telemetry.
func (g *Guardrail) count(a *outcome.Arm, bound float64) Count {
	switch {
	case g.Metric == MetricLatency:
		return Count{Bad: a.Latency.Above(bound), Of: a.Latency.Count()}
	case g.Metric == MetricThroughput && g.Unit == UnitKey:
		return Count{Of: a.NewUnits}
	case g.Metric == MetricThroughput:
		return Count{Of: a.Requests}
	case g.Unit == UnitRequest:
		return Count{Bad: a.Bad, Of: a.Requests}
	}
	return Count{Bad: a.BadUnits, Of: a.AtRiskUnits}
}

// tells reports whether the interval says anything to the guardrail: both arms were exposed, and
// their counts can be true.
func (r *reading) tells(spec *Spec, g *Guardrail, iv *outcome.Interval) bool {
	if g.Metric == MetricThroughput {
		return r.flows(spec)
	}
	if !r.pulled && !compared(iv) {
		return false
	}
	if r.pulled || g.Event != "" {
		return r.t.Of > 0 && r.c.Of > 0 && r.t.Possible() && r.c.Possible()
	}
	return g.exposed(r.treatment) && g.exposed(r.control)
}

func (g *Guardrail) exposed(a *outcome.Arm) bool {
	if g.Metric == MetricLatency {
		return a.Latency.Count() > 0
	}
	return g.Unit == UnitRequest || a.AtRiskUnits > 0
}

// flows is tells for throughput, where nothing at all may be what it is there to notice. In
// telemetry of a flag's trial one process reports both arms, so an arm that is missing has lost
// its traffic. Where each arm has a reporter of its own, it may be the reporter.
func (r *reading) flows(spec *Spec) bool {
	switch {
	case r.pulled:
		return r.t.Name != "" && r.c.Of > 0 && r.t.Possible() && r.c.Possible()
	case spec.Cohorts != nil && r.treatment.Requests == 0:
		return false
	}
	return r.control.Requests > 0 && r.treatment.Consistent() && r.control.Consistent()
}

// silent reports whether the guardrail has heard nothing for longer than telemetry may take.
func (s *GuardrailState) silent(spec *Spec, g *Guardrail) bool { return s.NoData >= g.silence(spec) }

// silence is after how many intervals without a word the guardrail counts as silent.
func (g *Guardrail) silence(spec *Spec) int {
	intervals, limit := noDataIntervals, noDataTime
	if g.Prometheus != nil {
		intervals, limit = noPullIntervals, noPullTime
	}
	return max(intervals, int(math.Ceil(float64(limit)/float64(max(spec.Interval, 1)))))
}

// A guardrail may be silent for this long before the trial holds: whichever is more. Counters
// that are scraped move only every minute or so.
const (
	noDataIntervals = 3
	noDataTime      = Duration(10 * time.Second)
	noPullIntervals = 6
	noPullTime      = Duration(3 * time.Minute)
)
