package trial

import (
	"fmt"
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

// maxCalibration is the longest that an A/A trial may run.
const maxCalibration = Duration(7 * 24 * time.Hour)

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
	if spec.Cohorts != nil {
		c.cohorts(&spec)
	} else {
		c.target(spec, set)
	}
	c.plan(spec, set)
	c.levels(spec)
	c.policies(&spec)
	c.guardrails(&spec)
	switch spec.Goal {
	case GoalSurvive:
		c.survive(spec)
	case GoalCalibrate:
		c.calibrate(&spec)
	}
	if spec.FourEyes && spec.Goal != GoalSurvive {
		c.Add("/fourEyes", "only a chaos experiment needs approval before it begins: leave it out, or give a step an approval")
	}
	if spec.SteadyTime != 0 && spec.Goal != GoalSurvive {
		c.Add("/steadyTime", "only a chaos experiment has a time before its fault: leave out steadyTime")
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
	if spec.Goal != GoalPromote && spec.Goal != GoalSurvive && spec.Goal != GoalCalibrate {
		c.Add("/goal", "goal %q is unknown: use promote or survive, or calibrate for an A/A trial", spec.Goal)
	}
	if len(spec.Artifact) > flag.MaxMember {
		c.Add("/artifact", "the artifact's name has %d bytes, at most %d are allowed", len(spec.Artifact), flag.MaxMember)
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
	switch same := spec.Treatment == spec.Control; {
	case same && spec.Goal != GoalCalibrate:
		c.Add("/treatment", "treatment and control are both %q: name two variants", spec.Control)
	case !same && spec.Goal == GoalCalibrate:
		c.Add("/treatment", "treatment is %q, control %q: an A/A trial gives both arms the same variant", spec.Treatment, spec.Control)
	}
	if spec.Goal == GoalCalibrate && f.DefaultVariant != "" && spec.Control != f.DefaultVariant {
		c.Add("/control", "the default variant of flag %s is %q: an A/A trial changes nothing for anybody, so give both arms that one", f.Key, f.DefaultVariant)
	}
	c.variant("/treatment", f, spec.Treatment)
	c.variant("/control", f, spec.Control)
	if !f.Enabled {
		c.Add("/flag", "flag %s is disabled: enable it, or nobody gets either variant", f.Key)
	}
	if (spec.Goal == GoalSurvive) != (f.Kind == flag.KindFault) {
		c.Add("/flag", "flag %s is of kind %s: faults are tried with goal survive, everything else with goal promote or calibrate", f.Key, f.Kind)
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
	if spec.Watch < 0 && spec.Watch != NoWatch || spec.Watch > maxDeadline {
		c.Add("/watch", "watch %s is not within 0 to 90 days, or none", spec.Watch)
	}
	if spec.Deadline <= 0 || spec.Deadline > maxDeadline {
		c.Add("/deadline", "deadline %s is not over 0 and at most 90 days", spec.Deadline)
	}
}

func (c *checker) policies(spec *Spec) {
	switch spec.OnDeadline {
	case DeadlineHold, DeadlinePromote, DeadlineRollBack, "":
	default:
		c.Add("/onDeadline", "%q is unknown: use hold, promote or rollback", spec.OnDeadline)
	}
	switch spec.OnWatch {
	case WatchNotify, WatchRollBack, "":
	default:
		c.Add("/onWatch", "%q is unknown: use notify or rollback", spec.OnWatch)
	}
}

// cohorts checks a trial without a flag: it judges what somebody else divides.
func (c *checker) cohorts(spec *Spec) {
	co := spec.Cohorts
	if spec.Flag != "" || spec.Treatment != "" || spec.Control != "" || spec.Audience != nil {
		c.Add("/flag", "cohorts are told apart by a resource attribute: leave out flag, treatment, control and audience, or leave out cohorts")
	}
	for _, name := range []struct{ pointer, value string }{
		{"/cohorts/attribute", co.Attribute}, {"/cohorts/treatment", co.Treatment}, {"/cohorts/control", co.Control},
	} {
		if name.value == "" || len(name.value) > flag.MaxMember {
			c.Add(name.pointer, "it has %d bytes: give 1 to %d, such as the version of a deployment", len(name.value), flag.MaxMember)
		}
	}
	if len(co.Service) > flag.MaxMember {
		c.Add("/cohorts/service", "it has %d bytes, at most %d are allowed", len(co.Service), flag.MaxMember)
	}
	if co.From != FromMetrics && co.From != FromSpans && co.From != "" {
		c.Add("/cohorts/from", "%q is unknown: use metrics or spans", co.From)
	}
	if co.Treatment == co.Control {
		c.Add("/cohorts/treatment", "treatment and control are both %q: name two values of %s", co.Control, co.Attribute)
	}
	if co.Share < 0 || co.Share >= flag.TotalWeight {
		c.Add("/cohorts/share", "share %s is not over 0 and under 100 %%; leave it out if it is not known", percent(co.Share))
	}
	if spec.Goal == GoalSurvive {
		c.Add("/goal", "a chaos experiment needs a flag of kind fault: cohorts are tried with goal promote or calibrate")
	}
	if len(spec.Steps) > 1 || len(spec.Steps) == 1 && (spec.Steps[0].Share != half || len(spec.Steps[0].Segments) > 0 || spec.Steps[0].MinUnits > 0) {
		c.Add("/steps", "the shares of cohorts are not ours to move: leave out steps, or give one with minTime and approval only and a share of 50 %%")
	}
	if spec.Watch > 0 {
		c.Add("/watch", "after a cohort is promoted there is none left to compare with: leave out watch")
	}
}

// calibrate checks an A/A trial.
func (c *checker) calibrate(spec *Spec) {
	if len(spec.Steps) > 1 {
		c.Add("/steps", "an A/A trial stays at one share: give one step")
	}
	for i, step := range spec.Steps {
		if step.Approval {
			c.Add(fmt.Sprintf("/steps/%d/approval", i), "an A/A trial leaves its step by its deadline only: leave out approval")
		}
	}
	if spec.Deadline > maxCalibration {
		c.Add("/deadline", "an A/A trial runs at most 7 days, this one %s", spec.Deadline)
	}
	if spec.Watch > 0 {
		c.Add("/watch", "an A/A trial promotes nothing: leave out watch")
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
	if spec.SteadyTime < 2*spec.Interval || spec.SteadyTime > maxSurvive {
		c.Add("/steadyTime", "steadyTime %s is not within two intervals (%s) and %s", spec.SteadyTime, 2*spec.Interval, maxSurvive)
	}
	for i, step := range spec.Steps {
		if step.Share > half {
			c.Add(fmt.Sprintf("/steps/%d/share", i), "a chaos experiment needs a control of equal size: its share is at most 50 %%")
		}
		if step.Approval && i == len(spec.Steps)-1 {
			c.Add(fmt.Sprintf("/steps/%d/approval", i), "the last step of a chaos experiment ends by its evidence, cap or deadline: approval has nothing to wait for")
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
