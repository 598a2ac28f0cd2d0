package trial

import (
	"fmt"
	"math"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Limits of a spec.
const (
	MaxSteps      = 50
	MaxGuardrails = 20
	MaxBounds     = 10
	maxSurvive    = Duration(time.Hour)
	maxDeadline   = Duration(90 * 24 * time.Hour)
)

// Values of Guardrail.Unit.
const (
	UnitKey     = "unit"
	UnitRequest = "request"
)

// Validate checks a normalised spec against the flags and segments it names. The error is
// *flag.Problems with every problem, each with its place and the remedy.
func (spec Spec) Validate(set flag.Set) error {
	c := &checker{flag.Problems{Subject: "trial " + spec.Name}}
	c.identity(spec)
	c.target(spec, set)
	c.plan(spec, set)
	c.levels(spec)
	c.guardrails(spec)
	if spec.Goal == GoalSurvive {
		c.survive(spec)
	}
	return c.Err()
}

type checker struct{ flag.Problems }

func (c *checker) identity(spec Spec) {
	if err := flag.CheckKey(spec.Name); err != nil {
		c.Add("/name", "the name %v", err)
	}
	if err := flag.CheckKey(spec.Salt); err != nil {
		c.Add("/salt", "the salt %v", err)
	}
	if spec.Goal != GoalPromote && spec.Goal != GoalSurvive {
		c.Add("/goal", "goal %q is unknown: use promote or survive", spec.Goal)
	}
	if len(spec.Description) > 2000 || len(spec.Hypothesis) > 2000 {
		c.Add("/description", "description and hypothesis may have at most 2,000 bytes")
	}
}

func (c *checker) target(spec Spec, set flag.Set) {
	f, ok := find(set.Flags, func(f flag.Flag) bool { return f.Key == spec.Flag })
	if !ok {
		c.Add("/flag", "there is no flag %q: create it first", spec.Flag)
		return
	}
	if spec.Treatment == spec.Control {
		c.Add("/treatment", "treatment and control are both %q: name two variants", spec.Control)
	}
	c.variant("/treatment", f, spec.Treatment)
	c.variant("/control", f, spec.Control)
	if !f.Enabled {
		c.Add("/flag", "flag %s is disabled: enable it, or nobody gets either variant", f.Key)
	}
	if (spec.Goal == GoalSurvive) != (f.Kind == flag.KindFault) {
		c.Add("/flag", "flag %s is of kind %s: faults are tried with goal survive, everything else with goal promote", f.Key, f.Kind)
	}
	c.Merge("", spec.Audience.Validate("/audience", set))
}

func (c *checker) variant(pointer string, f flag.Flag, name string) {
	if _, ok := find(f.Variants, func(v flag.Variant) bool { return v.Name == name }); !ok {
		c.Add(pointer, "flag %s has no variant %q: it has %s", f.Key, name, variantNames(f))
	}
}

func (c *checker) plan(spec Spec, set flag.Set) {
	if n := len(spec.Steps); n == 0 || n > MaxSteps {
		c.Add("/steps", "a plan has 1 to %d steps, this one %d", MaxSteps, n)
		return
	}
	var everybody flag.Weight
	for i, step := range spec.Steps {
		place := fmt.Sprintf("/steps/%d", i)
		if len(step.Segments) > 0 {
			c.groupStep(place, step, everybody, set)
		} else {
			c.shareStep(place, step, everybody, i)
			everybody = step.Share
		}
		if step.MinTime < 0 || step.MinTime > maxDeadline {
			c.Add(place+"/minTime", "minTime %s is outside 0 to 90 days", step.MinTime)
		}
	}
	if everybody == 0 && spec.Goal == GoalPromote {
		c.Add("/steps", "no step is for everybody: add one after the groups, such as a share of 50 %%")
	}
}

func (c *checker) groupStep(place string, step Step, everybody flag.Weight, set flag.Set) {
	if everybody > 0 {
		c.Add(place+"/segments", "groups go first: put this step before the steps for everybody")
	}
	if step.Share <= 0 || step.Share > half {
		c.Add(place+"/share", "a group's share is over 0 and at most 50 %%, so that the other half can be its control; this is %s", percent(step.Share))
	}
	for _, key := range step.Segments {
		if _, ok := find(set.Segments, func(s flag.Segment) bool { return s.Key == key }); !ok {
			c.Add(place+"/segments", "there is no segment %q: create it first", key)
		}
	}
}

func (c *checker) shareStep(place string, step Step, before flag.Weight, i int) {
	switch {
	case step.Share <= 0 || step.Share > flag.TotalWeight:
		c.Add(place+"/share", "step %d: share %s is not over 0 and at most 100 %%", i+1, percent(step.Share))
	case step.Share == flag.TotalWeight:
		c.Add(place+"/share", "step %d: at 100 %% no control is left to compare with; end the plan at 50 %% to 99 %%, the promotion gives everybody the treatment", i+1)
	case step.Share <= before:
		c.Add(place+"/share", "step %d: share %s does not grow from %s: nobody may lose the treatment on the way up", i+1, percent(step.Share), percent(before))
	}
}

func (c *checker) levels(spec Spec) {
	for _, l := range []struct {
		pointer string
		value   float64
	}{{"/alpha", spec.Alpha}, {"/holdAlpha", spec.HoldAlpha}, {"/promoteAlpha", spec.PromoteAlpha}} {
		if !(l.value > 0 && l.value <= 0.5) {
			c.Add(l.pointer, "level %v is not over 0 and at most 0.5", l.value)
		}
	}
	if spec.Interval < Duration(time.Second) || spec.Interval > Duration(time.Hour) {
		c.Add("/interval", "interval %s is not within 1s to 1h", spec.Interval)
	}
	if spec.Watch < 0 || spec.Watch > maxDeadline {
		c.Add("/watch", "watch %s is not within 0 to 90 days", spec.Watch)
	}
	if spec.Deadline <= 0 || spec.Deadline > maxDeadline {
		c.Add("/deadline", "deadline %s is not over 0 and at most 90 days", spec.Deadline)
	}
	switch spec.OnDeadline {
	case DeadlineHold, DeadlinePromote, DeadlineRollBack, "":
	default:
		c.Add("/onDeadline", "%q is unknown: use hold, promote or rollback", spec.OnDeadline)
	}
}

func (c *checker) guardrails(spec Spec) {
	if n := len(spec.Guardrails); n == 0 || n > MaxGuardrails {
		c.Add("/guardrails", "a trial has 1 to %d guardrails, this one %d", MaxGuardrails, n)
	}
	seen := map[string]bool{}
	enforced := false
	for i, g := range spec.Guardrails {
		place := fmt.Sprintf("/guardrails/%d", i)
		if seen[g.Name] {
			c.Add(place+"/name", "guardrail %q is there twice", g.Name)
		}
		seen[g.Name] = true
		enforced = enforced || g.Mode == ModeEnforce
		c.guardrail(place, g)
	}
	if !enforced {
		c.Add("/guardrails", "no guardrail has mode enforce, so nothing could stop this trial: set it on at least one")
	}
}

func (c *checker) guardrail(place string, g Guardrail) {
	if g.Metric != MetricErrors && g.Metric != MetricLatency {
		c.Add(place+"/metric", "metric %q is unknown: use errors or latency", g.Metric)
	}
	if g.Mode != ModeShadow && g.Mode != ModeHold && g.Mode != ModeEnforce {
		c.Add(place+"/mode", "mode %q is unknown: use shadow, hold or enforce", g.Mode)
	}
	if g.Unit != UnitKey && g.Unit != UnitRequest || g.Unit == UnitKey && g.Metric != MetricErrors {
		c.Add(place+"/unit", "unit %q does not fit metric %s: errors count by unit or request, latency by request", g.Unit, g.Metric)
	}
	if !(g.Relative >= 0 && g.Relative <= 10) || !(g.Absolute >= 0 && g.Absolute <= 0.5) {
		c.Add(place, "tolerance %v relative, %v absolute: relative is 0 to 10, absolute 0 to 0.5", g.Relative, g.Absolute)
	} else if g.Relative == 0 && g.Absolute == 0 {
		c.Add(place, "without a tolerance nothing can be proven safe: set relative (0.2) or absolute (0.001)")
	}
	if len(g.Bounds) > MaxBounds || len(g.Bounds) > 0 && g.Metric != MetricLatency {
		c.Add(place+"/bounds", "bounds are for latency, at most %d", MaxBounds)
	}
	for _, b := range g.Bounds {
		if !(b >= 1e-5 && b <= 3600) || math.IsNaN(b) {
			c.Add(place+"/bounds", "bound %v is not within 0.00001 to 3600 seconds", b)
		}
	}
}

// survive holds the safety rules that a fault experiment cannot start without (chaos
// reference, S3).
func (c *checker) survive(spec Spec) {
	if spec.Hypothesis == "" {
		c.Add("/hypothesis", "a chaos experiment needs a hypothesis: say what you expect to stay true, such as \"orders go on while payment fails\"")
	}
	if spec.MaxUnits == 0 {
		c.Add("/maxUnits", "a chaos experiment needs a cap on the users it may affect, such as 1000")
	}
	if spec.Deadline > maxSurvive {
		c.Add("/deadline", "a chaos experiment runs at most %s, this one %s", maxSurvive, spec.Deadline)
	}
	for i, step := range spec.Steps {
		if step.Share > half {
			c.Add(fmt.Sprintf("/steps/%d/share", i), "a chaos experiment needs a control of equal size: its share is at most 50 %%")
		}
	}
}

func find[T any](list []T, ok func(T) bool) (T, bool) {
	for _, v := range list {
		if ok(v) {
			return v, true
		}
	}
	var zero T
	return zero, false
}

func variantNames(f flag.Flag) string {
	names := ""
	for i, v := range f.Variants {
		if i > 0 {
			names += ", "
		}
		names += v.Name
	}
	return names
}
