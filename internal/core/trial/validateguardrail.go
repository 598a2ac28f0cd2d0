package trial

import (
	"fmt"
	"math"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Limits of a guardrail.
const (
	maxWeight       = 1_000
	maxDesignEffect = 1_000
	maxSelector     = 2_000 // bytes of a selector in PromQL
	maxValueMargin  = 1e12
)

func (c *checker) guardrails(spec *Spec) {
	if n := len(spec.Guardrails); n == 0 || n > MaxGuardrails {
		c.Add("/guardrails", "a trial has 1 to %d guardrails, this one %d", MaxGuardrails, n)
	}
	seen, uses := map[string]bool{}, map[string]string{}
	enforced := false
	for i := range spec.Guardrails {
		g, place := &spec.Guardrails[i], fmt.Sprintf("/guardrails/%d", i)
		if seen[g.Name] {
			c.Add(place+"/name", "guardrail %q is there twice", g.Name)
		}
		seen[g.Name] = true
		enforced = enforced || g.Mode == ModeEnforce
		c.guardrail(place, spec, g)
		if g.Event == "" || g.Prometheus != nil {
			continue
		}
		// One measure per event travels with the telemetry.
		use := string(g.Metric) + " by " + g.Unit
		if before, ok := uses[g.Event]; ok && before != use {
			c.Add(place+"/event", "event %q is counted as %s by another guardrail, here as %s: count it in one way, or track it under two names", g.Event, before, use)
		}
		uses[g.Event] = use
	}
	if !enforced && spec.Goal != GoalCalibrate {
		c.Add("/guardrails", "no guardrail has mode enforce, so nothing could stop this trial: set it on at least one")
	}
}

func (c *checker) guardrail(place string, spec *Spec, g *Guardrail) {
	if g.Name == "" || len(g.Name) > flag.MaxMember {
		c.Add(place+"/name", "the name has %d bytes: give 1 to %d", len(g.Name), flag.MaxMember)
	}
	if !slices.Contains(metrics, g.Metric) {
		c.Add(place+"/metric", "metric %q is unknown: use errors, latency, throughput, event or value", g.Metric)
		return
	}
	if g.Mode != ModeShadow && g.Mode != ModeHold && g.Mode != ModeEnforce {
		c.Add(place+"/mode", "mode %q is unknown: use shadow, hold or enforce", g.Mode)
	}
	c.unit(place, spec, g)
	c.tolerance(place, g)
	c.bounds(place, g)
	c.event(place, g)
	if spec.Cohorts != nil && g.Event != "" {
		c.Add(place+"/event", "the telemetry of cohorts has no tracked events: count them with Prometheus, as errors with their counter as bad")
	}
	c.slo(place, g)
	c.prometheus(place, g)
	if !(g.Weight >= 0 && g.Weight <= maxWeight) {
		c.Add(place+"/weight", "weight %v is not over 0 and at most %d", g.Weight, maxWeight)
	}
	if g.Metric == MetricThroughput && spec.Cohorts != nil && spec.Cohorts.Share == 0 {
		c.Add(place+"/metric", "throughput needs to know what part of the traffic the treatment should get: set cohorts.share, or leave out this guardrail")
	}
}

var metrics = []Metric{MetricErrors, MetricLatency, MetricThroughput, MetricEvent, MetricValue}

func (c *checker) unit(place string, spec *Spec, g *Guardrail) {
	byUnit := g.Metric == MetricErrors || g.Metric == MetricThroughput || g.Metric == MetricEvent
	switch {
	case g.Unit != UnitKey && g.Unit != UnitRequest || g.Unit == UnitKey && !byUnit:
		c.Add(place+"/unit", "unit %q does not fit metric %s: errors, throughput and event count by unit or request, latency and value by request", g.Unit, g.Metric)
	case g.Unit == UnitKey && g.Prometheus != nil:
		c.Add(place+"/unit", "counters of Prometheus know no units: use request, or leave it out")
	case g.Unit == UnitKey && spec.Cohorts != nil:
		c.Add(place+"/unit", "the units of cohorts are not known: use request, or leave it out")
	}
	if !(g.DesignEffect == 0 || g.DesignEffect >= 1 && g.DesignEffect <= maxDesignEffect) {
		c.Add(place+"/designEffect", "design effect %v is not within 1 to %d", g.DesignEffect, maxDesignEffect)
	} else if g.DesignEffect > 1 && g.Unit == UnitKey {
		c.Add(place+"/designEffect", "units are counted once each and do not cluster: leave out designEffect, or count by request")
	}
}

func (c *checker) tolerance(place string, g *Guardrail) {
	mostRelative, mostAbsolute := 10.0, 0.5
	switch {
	case g.Metric == MetricThroughput:
		mostRelative, mostAbsolute = 0.5, 0
	case g.Better == BetterHigher:
		mostRelative = 0.9
	}
	if g.Metric == MetricValue {
		mostAbsolute = maxValueMargin
	}
	if !(g.Relative >= 0 && g.Relative <= mostRelative) || !(g.Absolute >= 0 && g.Absolute <= mostAbsolute) {
		c.Add(place, "tolerance %v relative, %v absolute: for this metric relative is 0 to %v, absolute 0 to %v", g.Relative, g.Absolute, mostRelative, mostAbsolute)
	} else if g.Relative == 0 && g.Absolute == 0 {
		c.Add(place, "without a tolerance nothing can be proven safe: set relative (0.2) or absolute (0.001)")
	}
}

func (c *checker) bounds(place string, g *Guardrail) {
	if len(g.Bounds) > MaxBounds || len(g.Bounds) > 0 && g.Metric != MetricLatency {
		c.Add(place+"/bounds", "bounds are for latency, at most %d", MaxBounds)
	} else if len(g.Bounds) > 0 && g.Prometheus != nil {
		c.Add(place+"/bounds", "the bound of a latency from Prometheus is that of the bucket in good: leave out bounds")
	}
	for _, b := range g.Bounds {
		if !validSeconds(b) {
			c.Add(place+"/bounds", "bound %v is not within 0.00001 to 3600 seconds", b)
		}
	}
}

func validSeconds(b float64) bool { return b >= 1e-5 && b <= 3600 && !math.IsNaN(b) }

func (c *checker) event(place string, g *Guardrail) {
	tracked := g.Metric == MetricEvent || g.Metric == MetricValue
	switch {
	case tracked && (g.Event == "" || len(g.Event) > flag.MaxMember):
		c.Add(place+"/event", "metric %s needs the name of what is tracked, 1 to %d bytes: set event", g.Metric, flag.MaxMember)
	case !tracked && g.Event != "":
		c.Add(place+"/event", "event %q is for the metrics event and value, not %s: leave it out", g.Event, g.Metric)
	}
	switch {
	case !tracked && g.Better != "":
		c.Add(place+"/better", "of %s it is known what is better: leave it out", g.Metric)
	case tracked && g.Better != BetterLower && g.Better != BetterHigher:
		c.Add(place+"/better", "better %q is unknown: say whether lower or higher is good", g.Better)
	}
}

func (c *checker) slo(place string, g *Guardrail) {
	if g.SLO == nil {
		return
	}
	if g.Metric == MetricThroughput || g.Metric == MetricValue || g.Better == BetterHigher {
		c.Add(place+"/slo", "a service level is the largest bad share that is acceptable, which this guardrail has not: use it on errors, latency, or an event of which less is better")
		return
	}
	if !(g.SLO.Share > 0 && g.SLO.Share < 1) {
		c.Add(place+"/slo/share", "share %v is not over 0 and under 1, such as 0.01 for 1 %%", g.SLO.Share)
	}
	switch own := g.Metric == MetricLatency && g.Prometheus == nil; {
	case own && !validSeconds(g.SLO.Seconds):
		c.Add(place+"/slo/seconds", "%v is not within 0.00001 to 3600: say from how many seconds on a request is bad", g.SLO.Seconds)
	case !own && g.SLO.Seconds != 0:
		c.Add(place+"/slo/seconds", "seconds are for latency from telemetry: leave it out")
	}
}

func (c *checker) prometheus(place string, g *Guardrail) {
	if g.Prometheus == nil {
		return
	}
	if g.Metric == MetricEvent || g.Metric == MetricValue {
		c.Add(place+"/prometheus", "counters of Prometheus feed errors, latency and throughput: count events as errors, with their counter as bad")
		return
	}
	c.counters(place+"/prometheus/treatment", g.Metric, g.Prometheus.Treatment)
	c.counters(place+"/prometheus/control", g.Metric, g.Prometheus.Control)
}

func (c *checker) counters(place string, metric Metric, p PromCounters) {
	if p.Total == "" {
		c.Add(place+"/total", "name the counter of all requests, such as http_requests_total{version=\"v2\"}")
	}
	for _, selector := range []struct{ name, text string }{{"total", p.Total}, {"bad", p.Bad}, {"good", p.Good}} {
		if len(selector.text) > maxSelector {
			c.Add(place+"/"+selector.name, "the selector has %d bytes, at most %d are allowed", len(selector.text), maxSelector)
		}
	}
	switch both := p.Bad != "" && p.Good != ""; {
	case metric == MetricThroughput && (p.Bad != "" || p.Good != ""):
		c.Add(place, "throughput has a total only: leave out bad and good")
	case metric != MetricThroughput && (both || p.Bad == "" && p.Good == ""):
		c.Add(place, "give the counter of bad requests or that of good ones (for latency the bucket within the bound), and not both")
	}
}
