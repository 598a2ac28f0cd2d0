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
	DefaultMinTime      = Duration(5 * time.Minute)
	DefaultMinUnits     = 100

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
	if s.Goal == GoalPromote {
		setDefault(&s.Watch, DefaultWatch)
		setDefault(&s.Deadline, DefaultDeadline)
		setDefault(&s.OnDeadline, DeadlineHold)
	}
	if s.Goal == GoalPromote && len(s.Steps) == 0 {
		s.Steps = DefaultSteps()
	}
	if len(s.Guardrails) == 0 && s.Goal == GoalPromote {
		s.Guardrails = DefaultGuardrails()
	}
	s.Steps = normalSteps(s)
	s.Guardrails = normalGuardrails(s.Guardrails)
	return s
}

func normalSteps(s Spec) []Step {
	steps := append([]Step(nil), s.Steps...)
	if n := len(steps); n > 1 && s.Goal == GoalPromote && steps[n-1].Share == flag.TotalWeight && len(steps[n-1].Segments) == 0 {
		steps = steps[:n-1] // the promotion is the 100 % step
	}
	for i := range steps {
		setDefault(&steps[i].MinTime, DefaultMinTime)
		setDefault(&steps[i].MinUnits, DefaultMinUnits)
		last := i == len(steps)-1
		steps[i].RequireSafe = steps[i].RequireSafe || last
	}
	return steps
}

func normalGuardrails(list []Guardrail) []Guardrail {
	list = append([]Guardrail(nil), list...)
	for i := range list {
		g := &list[i]
		setDefault(&g.Name, string(g.Metric))
		setDefault(&g.Mode, ModeShadow)
		if g.Metric == MetricErrors {
			setDefault(&g.Unit, UnitKey)
		} else {
			setDefault(&g.Unit, UnitRequest)
		}
	}
	return list
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
