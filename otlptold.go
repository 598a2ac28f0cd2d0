package seatrial

import "github.com/seatrial/seatrial/internal/core/outcome"

// This file writes what processes tell of faults, points and dependencies; see otlp.go.

const fieldGauge = 5

// injections writes how many calls faults hit, all of them in treatments.
func (p *wire) injections(r *report, w window) {
	p.metric(outcome.MetricInjections, "{call}", fieldSum, func() {
		for i := range r.injected {
			n := &r.injected[i]
			s := &seriesReport{ref: n.ref, variants: [arms]string{treatment: n.variant}}
			p.message(1, func() {
				p.sum(s, treatment, n.calls, w)
				p.attribute(7, outcome.AttrPoint, n.point)
				p.attribute(7, outcome.AttrKind, string(n.kind))
				p.attribute(7, outcome.AttrPhase, string(n.phase))
			})
		}
	})
}

// points writes which points there are, and whether calls came.
func (p *wire) points(r *report, w window) {
	p.metric(outcome.MetricTraffic, "{point}", fieldSum, func() {
		for _, point := range r.points {
			p.message(1, func() {
				p.count(map[bool]uint64{true: 1}[point.traffic], w)
				p.attribute(7, outcome.AttrPoint, point.name)
				p.attribute(7, outcome.AttrAllowed, map[bool]string{true: "true", false: "false"}[point.allowed])
			})
		}
	})
}

// count writes the fields of a NumberDataPoint that have no attributes.
func (p *wire) count(n uint64, w window) {
	p.fixed(2, w.from)
	p.fixed(3, w.to)
	p.fixed(6, n)
}

// dependencies writes how dependencies stand and what happened to them.
func (p *wire) dependencies(r *report, w window) {
	p.gauge(outcome.MetricState, "1", r, w, func(d *dependencyTold) { p.fixed(6, stateNumber(d.stats.State)) })
	p.gauge(outcome.MetricBudget, "1", r, w, func(d *dependencyTold) { p.double(4, d.stats.Budget) })
	p.gauge(outcome.MetricInFlight, "{call}", r, w, func(d *dependencyTold) { p.fixed(6, uint64(d.stats.InFlight)) })
	p.gauge(outcome.MetricLimit, "{call}", r, w, func(d *dependencyTold) { p.fixed(6, uint64(d.stats.Limit)) })
	p.metric(outcome.MetricDependency, "{event}", fieldSum, func() {
		for i := range r.dependencies {
			p.dependencyEvents(&r.dependencies[i], w)
		}
	})
}

func (p *wire) dependencyEvents(d *dependencyTold, w window) {
	for i := range dependencyEvents {
		e := &dependencyEvents[i]
		if n := *e.of(&d.since); n > 0 {
			p.message(1, func() {
				p.count(n, w)
				p.dependency(d)
				p.attribute(7, outcome.AttrDependencyEvent, e.name)
			})
		}
	}
}

// gauge writes a Metric of one number for each dependency. A gauge has no temporality.
func (p *wire) gauge(name, unit string, r *report, w window, number func(*dependencyTold)) {
	p.message(2, func() {
		p.text(1, name)
		p.text(3, unit)
		p.message(fieldGauge, func() {
			for i := range r.dependencies {
				p.message(1, func() {
					p.fixed(3, w.to)
					number(&r.dependencies[i])
					p.dependency(&r.dependencies[i])
				})
			}
		})
	})
}

func (p *wire) dependency(d *dependencyTold) {
	p.attribute(7, outcome.AttrDependency, d.dependency)
	p.attribute(7, outcome.AttrPolicyVariant, d.variant)
}
