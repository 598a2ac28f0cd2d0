package trial

import (
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Defaults of a plan. The reasons stand in docs/architecture.md and ADR 0003.
const (
	DefaultInterval     = Duration(15 * time.Second)
	DefaultAlpha        = 0.01
	DefaultHoldAlpha    = 0.05
	DefaultPromoteAlpha = 0.05
	DefaultWatch        = Duration(30 * time.Minute)
	DefaultDeadline     = Duration(24 * time.Hour)
	DefaultCalibration  = Duration(time.Hour)
	DefaultAttribute    = "service.version"
	DefaultThroughput   = 0.05 // a treatment may lose 5 % of its traffic
	DefaultMinTime      = Duration(5 * time.Minute)
	DefaultMinUnits     = 100
	// ApprovalTime is how long an experiment with [Spec.FourEyes] waits for approval, on the clock.
	ApprovalTime      = Duration(time.Hour)
	DefaultSteadyTime = Duration(30 * time.Second)

	half = flag.TotalWeight / 2
)

// RetryWindow is how long an attempt of the same artifact counts against the next one.
const RetryWindow = Duration(24 * time.Hour)

// DefaultSteps is the ramp of a rollout without a plan of its own: small steps only to catch
// disasters, the balanced step to prove safety. Groups, if any, go first.
func DefaultSteps(groups ...string) []Step {
	steps := []Step{
		{Share: 1_000, MinTime: Duration(5 * time.Minute), MinUnits: DefaultMinUnits},
		{Share: 5_000, MinTime: Duration(10 * time.Minute), MinUnits: DefaultMinUnits},
		{Share: 25_000, MinTime: Duration(15 * time.Minute), MinUnits: DefaultMinUnits},
		{Share: half, MinTime: Duration(15 * time.Minute), MinUnits: DefaultMinUnits, RequireSafe: true},
	}
	if len(groups) == 0 {
		return steps
	}
	first := Step{Segments: groups, Share: half, MinTime: DefaultMinTime, MinUnits: 10}
	return append([]Step{first}, steps...)
}

// DefaultGuardrails watch errors and latency with the tolerances that small base rates need.
func DefaultGuardrails() []Guardrail {
	return []Guardrail{
		{Name: "errors", Metric: MetricErrors, Mode: ModeEnforce, Relative: 0.2, Absolute: 0.001},
		{Name: "latency", Metric: MetricLatency, Mode: ModeEnforce, Relative: 0.2, Absolute: 0.005},
	}
}

// Normalize fills in every default, so that a stored spec says all that it means. It returns a
// new Spec and leaves s alone.
func Normalize(s Spec) Spec {
	setDefault(&s.Goal, GoalPromote)
	setDefault(&s.Salt, s.Name)
	setDefault(&s.Interval, DefaultInterval)
	setDefault(&s.Alpha, DefaultAlpha)
	setDefault(&s.HoldAlpha, DefaultHoldAlpha)
	setDefault(&s.PromoteAlpha, DefaultPromoteAlpha)
	switch s.Goal {
	case GoalPromote:
		setDefault(&s.Watch, DefaultWatch)
		setDefault(&s.Deadline, DefaultDeadline)
		setDefault(&s.OnDeadline, DeadlineHold)
		setDefault(&s.OnWatch, WatchNotify)
	case GoalCalibrate:
		setDefault(&s.Deadline, DefaultCalibration)
	case GoalSurvive:
		setDefault(&s.SteadyTime, max(DefaultSteadyTime, 2*s.Interval))
	}
	if s.Cohorts != nil {
		s.normalCohorts()
	}
	s.Steps = normalSteps(&s)
	if len(s.Guardrails) == 0 && s.Goal != GoalSurvive {
		s.Guardrails = DefaultGuardrails()
	}
	s.Guardrails = normalGuardrails(&s)
	return s
}

// normalCohorts leaves one step, at which the treatment must be proven safe: the shares are
// somebody else's. There is no watch, as no cohort would be left to compare with.
func (s *Spec) normalCohorts() {
	c := *s.Cohorts
	setDefault(&c.Attribute, DefaultAttribute)
	s.Cohorts = &c
	if s.Watch == DefaultWatch {
		s.Watch = 0
	}
	if s.Goal == GoalPromote {
		setDefault(&s.Watch, NoWatch)
	}
}

func normalSteps(s *Spec) []Step {
	steps := append([]Step(nil), s.Steps...)
	switch {
	case len(steps) > 0:
	case s.Cohorts != nil || s.Goal == GoalCalibrate:
		steps = []Step{{Share: half}}
	case s.Goal == GoalPromote:
		steps = DefaultSteps()
	}
	if n := len(steps); n > 1 && s.Goal == GoalPromote && steps[n-1].Share == flag.TotalWeight && len(steps[n-1].Segments) == 0 {
		steps = steps[:n-1] // the promotion is the 100 % step
	}
	for i := range steps {
		setDefault(&steps[i].MinTime, DefaultMinTime)
		if s.Cohorts == nil { // their units are not known
			setDefault(&steps[i].MinUnits, DefaultMinUnits)
		}
		last := i == len(steps)-1
		steps[i].RequireSafe = steps[i].RequireSafe || last
	}
	return steps
}

func normalGuardrails(s *Spec) []Guardrail {
	list := append([]Guardrail(nil), s.Guardrails...)
	for i := range list {
		g := &list[i]
		setDefault(&g.Name, g.defaultName())
		setDefault(&g.Mode, ModeShadow)
		setDefault(&g.Weight, 1)
		setDefault(&g.DesignEffect, 1)
		if g.Metric == MetricThroughput && g.Absolute == 0 {
			setDefault(&g.Relative, DefaultThroughput)
		}
		if g.Metric == MetricEvent {
			setDefault(&g.Better, BetterLower)
		}
		byRequest := g.Metric == MetricLatency || g.Metric == MetricValue || g.Prometheus != nil || s.Cohorts != nil
		if byRequest {
			setDefault(&g.Unit, UnitRequest)
		} else {
			setDefault(&g.Unit, UnitKey)
		}
	}
	return list
}

// defaultName is the event's, or else the metric's.
func (g *Guardrail) defaultName() string {
	if g.Event != "" {
		return g.Event
	}
	return string(g.Metric)
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
