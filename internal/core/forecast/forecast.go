// Package forecast estimates how long the evidence of a trial will take: minutes until a
// harmless treatment is proven safe, and until a harmful one is found, from the traffic there is.
//
// The planning rule: an e-process that bets on the truth gains, per minute, the expected events
// times the Kullback-Leibler divergence of the truth from the margin, and decides at ln(1/α). As
// it does not know the truth it pays about 2 more:
//
//	minutes ≈ (ln(1/α) + 2) / (λ·KL(θ‖θ0))
//
// with λ the bad events per minute in both arms, θ the share of them that falls on the treatment,
// and θ0 that share at the margin. For an absolute margin the gain is the divergence of both
// arms' rates from the nearest rates that differ by the margin (the projection of Turner and
// Grünwald, 2023). The rule is our own, checked against simulations: within about 20 % in 8 of 10
// cases, a guess in the others.
package forecast

import (
	"math"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// overhead is what an e-process pays for not knowing the truth, as a natural logarithm.
const overhead = 2

// Ratios are the regressions whose detection is forecast: times as bad as the control.
var Ratios = [...]float64{1.5, 2, 5}

// Forecast of one guardrail at one step. Times are in minutes, counted as if the trial were at
// that step from its start; +Inf where it cannot happen.
type Forecast struct {
	Guardrail string
	Safe      float64              // until a treatment just like the control is proven safe
	Detect    [len(Ratios)]float64 // until one that is Ratios[i] times as bad is found
	Events    float64              // bad events per minute in both arms; observations for a value
	// Unknown says what is missing for a forecast; empty if nothing is.
	Unknown string
}

// Step forecasts every guardrail of a plan at one of its steps. The spec must be normalised.
func Step(spec trial.Spec, step int, traffic Traffic) []Forecast {
	list := make([]Forecast, len(spec.Guardrails))
	for i, g := range spec.Guardrails {
		list[i] = forecast(spec, spec.Steps[step], g, traffic)
	}
	return list
}

// arms gives the shares of the traffic in treatment and control.
func arms(spec trial.Spec, step trial.Step) (treatment, control float64) {
	if spec.Cohorts != nil {
		share := float64(spec.Cohorts.Share) / flag.TotalWeight
		if share == 0 {
			share = 0.5
		}
		return share, 1 - share
	}
	share := float64(step.Share) / flag.TotalWeight
	return share, min(share, 1-share)
}

func forecast(spec trial.Spec, step trial.Step, g trial.Guardrail, traffic Traffic) Forecast {
	f := Forecast{Guardrail: g.Name, Safe: math.Inf(1)}
	for i := range f.Detect {
		f.Detect[i] = math.Inf(1)
	}
	if len(step.Segments) > 0 {
		f.Unknown = "the traffic of the groups is not known"
		return f
	}
	streams, unknown := traffic.streams(g)
	if unknown != "" {
		f.Unknown = unknown
		return f
	}
	treatment, control := arms(spec, step)
	harm, safe := levels(spec, g)
	bounds := math.Log(float64(len(streams))) // harm is the mean over the bounds
	f.Safe = 0
	for _, s := range streams {
		s.PerMinute /= max(g.DesignEffect, 1)
		f.Events = max(f.Events, s.events(treatment+control))
		f.Safe = max(f.Safe, minutes(safe, s.gain(g, treatment, control, 1, true)))
		for i, r := range Ratios {
			f.Detect[i] = min(f.Detect[i], minutes(harm+bounds, s.gain(g, treatment, control, r, false)))
		}
	}
	return f
}

// levels gives the logarithms that the e-values of harm and of "no worse" have to reach. Harm is
// judged by the weighted mean over the guardrails that may roll back.
func levels(spec trial.Spec, g trial.Guardrail) (harm, safe float64) {
	weights, own := 0.0, g.Weighs()
	for _, other := range spec.Guardrails {
		if other.Mode == trial.ModeEnforce {
			weights += other.Weighs()
		}
	}
	if g.Mode != trial.ModeEnforce {
		weights = own
	}
	return math.Log(weights / own / spec.Alpha), math.Log(1 / spec.PromoteAlpha)
}

func minutes(level, gain float64) float64 {
	if !(gain > 0) {
		return math.Inf(1)
	}
	return (level + overhead) / gain
}

// gain per minute of the evidence, if the treatment is r times as bad as the control.
func (s Stream) gain(g trial.Guardrail, treatment, control, r float64, safe bool) float64 {
	if g.Metric == trial.MetricValue {
		return s.meanGain(g, treatment, control, r, safe)
	}
	x, y := arm{s.PerMinute * treatment, min(s.Bad*r, 1)}, arm{s.PerMinute * control, s.Bad}
	relative := g.Relative
	if g.Better == trial.BetterHigher || g.Metric == trial.MetricThroughput {
		// The arms change places: what the treatment loses is what the control has more of.
		x, y = arm{s.PerMinute * control, s.Bad}, arm{s.PerMinute * treatment, s.Bad / r}
		relative = g.Relative / (1 - g.Relative)
	}
	var gains []float64
	if relative > 0 {
		gains = append(gains, relativeGain(x, y, 1+relative, safe))
	}
	if g.Absolute > 0 {
		gains = append(gains, absoluteGain(x, y, g.Absolute, safe))
	}
	return combine(gains, safe)
}

// combine: harm must beat both margins, so the slower counts; safe either, so the faster does.
func combine(gains []float64, safe bool) float64 {
	if len(gains) == 0 {
		return 0
	}
	best := gains[0]
	for _, v := range gains[1:] {
		if safe {
			best = max(best, v)
		} else {
			best = min(best, v)
		}
	}
	return best
}

// arm is one arm's exposures per minute and the share of them that is bad.
type arm struct{ exposures, bad float64 }

// relativeGain is λ·KL(θ‖θ0); 0 if the truth is on the wrong side of the margin r0.
func relativeGain(x, y arm, r0 float64, safe bool) float64 {
	events := x.exposures*x.bad + y.exposures*y.bad
	if events == 0 {
		return 0
	}
	theta := x.exposures * x.bad / events
	null := x.exposures * r0 / (x.exposures*r0 + y.exposures)
	if safe == (theta >= null) {
		return 0
	}
	return events * divergence(theta, null)
}

// absoluteGain is the divergence of both arms from the nearest rates (q+δ, q).
func absoluteGain(x, y arm, delta float64, safe bool) float64 {
	if safe == (x.bad-y.bad >= delta) {
		return 0
	}
	cost := func(q float64) float64 {
		return x.exposures*divergence(x.bad, q+delta) + y.exposures*divergence(y.bad, q)
	}
	low, high := min(max(min(x.bad-delta, y.bad), 0), 1-delta), min(max(x.bad-delta, y.bad), 1-delta)
	for range 100 { // the cost is convex in q
		a, b := low+(high-low)/3, high-(high-low)/3
		if cost(a) < cost(b) {
			high = b
		} else {
			low = a
		}
	}
	return cost((low + high) / 2)
}

// divergence is the Kullback-Leibler divergence of two Bernoulli distributions.
func divergence(p, q float64) float64 {
	term := func(a, b float64) float64 {
		if a == 0 {
			return 0
		}
		return a * math.Log(a/b)
	}
	return term(p, q) + term(1-p, 1-q)
}

// meanGain is that of a normal mean: the squared distance from the margin in standard errors of
// one minute, halved.
func (s Stream) meanGain(g trial.Guardrail, treatment, control, r float64, safe bool) float64 {
	if s.Deviation == 0 {
		return 0
	}
	margin := max(g.Relative*math.Abs(s.Mean), g.Absolute)
	distance := math.Abs(s.Mean)*(r-1) - margin
	if safe {
		distance = margin
	}
	if g.Better == trial.BetterHigher && !safe {
		distance = math.Abs(s.Mean)*(1-1/r) - margin
	}
	if distance <= 0 {
		return 0
	}
	variance := s.Deviation * s.Deviation * (1/(s.PerMinute*treatment) + 1/(s.PerMinute*control))
	return distance * distance / (2 * variance)
}
