package trial

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// The sentences a person reads. Each says what is, why, and what comes next.

func (s *State) sentence(spec Spec) string {
	where := "Running at " + s.place(spec)
	i := s.telling(spec)
	if i < 0 || s.Treatment.Requests == 0 {
		return where + ". Waiting for the first outcomes."
	}
	return fmt.Sprintf("%s. %s %s", where, s.estimate(spec, i), s.nextSentence(spec))
}

// telling picks the guardrail to speak of: the one with most evidence of harm.
func (s *State) telling(spec Spec) int {
	best := -1
	for i := range s.Guardrails {
		if spec.Guardrails[i].Mode == ModeShadow {
			continue
		}
		if best < 0 || s.Guardrails[i].LogAnyHarm > s.Guardrails[best].LogAnyHarm {
			best = i
		}
	}
	return best
}

// subject names what a guardrail counts: "Errors", or "Latency over 45 ms".
func (s *State) subject(spec Spec, i int) string {
	name := capital(spec.Guardrails[i].Name)
	if bound := s.Guardrails[i].Bound; bound > 0 {
		return name + " over " + time.Duration(bound*float64(time.Second)).Round(10*time.Microsecond).String()
	}
	return name
}

// estimate says how a guardrail's bad share compares with the control's.
func (s *State) estimate(spec Spec, i int) string {
	g, st := spec.Guardrails[i], s.Guardrails[i]
	subject := s.subject(spec, i)
	if st.Learning != nil {
		return subject + ": reading the bounds off the control's first requests."
	}
	if st.Treatment.Of == 0 || st.Control.Of == 0 {
		return subject + ": nothing counted yet."
	}
	text := fmt.Sprintf("%s: %s, control %s", subject, ratio(st.Treatment.Share()), ratio(st.Control.Share()))
	if times := st.Ratio.with(", valid at any time"); times != "" {
		text += ", that is " + times
	}
	return text + "; tolerance " + tolerance(g) + "."
}

func (s *State) nextSentence(spec Spec) string {
	step := spec.Steps[s.Step]
	if left := time.Duration(step.MinTime) - s.UpdatedAt.Sub(s.StepStartedAt); left > 0 {
		return "Next look at the step in " + span(left) + "."
	}
	if have := s.units(spec); have < step.MinUnits {
		return fmt.Sprintf("%d of %d users seen.", have, step.MinUnits)
	}
	var waiting []string
	for i := range s.Guardrails {
		if spec.Guardrails[i].Mode != ModeShadow && s.Guardrails[i].Verdict != VerdictSafe {
			waiting = append(waiting, s.Guardrails[i].Name+s.eta(spec, i))
		}
	}
	return "Not yet proven safe: " + strings.Join(waiting, ", ") + "."
}

// eta extrapolates the evidence for "safe" as it has grown so far.
func (s *State) eta(spec Spec, i int) string {
	g := s.Guardrails[i]
	need := math.Log(1 / spec.PromoteAlpha)
	elapsed := s.UpdatedAt.Sub(s.StartedAt)
	if g.LogNoWorse <= 0 || elapsed <= 0 {
		return ""
	}
	left := time.Duration(float64(elapsed) * (need/g.LogNoWorse - 1))
	if left <= 0 || left > 30*24*time.Hour {
		return ""
	}
	return " (about " + span(left) + " more)"
}

func (s *State) stepSentence(spec Spec) string {
	return fmt.Sprintf("Up to %s: no guardrail is harmed after %s and %d users.", s.place(spec), span(s.UpdatedAt.Sub(s.StartedAt)), s.Treatment.Units)
}

func (s *State) promotedSentence(spec Spec) string {
	text := fmt.Sprintf("Promoted: every guardrail is proven within its tolerance after %d users and %d requests.", s.Treatment.Units, s.Treatment.Requests)
	if spec.Watch > 0 {
		text += " Watching for " + spec.Watch.String() + "; without a control only a catastrophe would be noticed now."
	}
	return text
}

func (s *State) watchedSentence(spec Spec) string {
	if time.Duration(s.NoData)*time.Duration(spec.Interval) >= time.Duration(spec.Watch) {
		return "Promoted, but not watched: no outcomes arrived in " + spec.Watch.String() + "."
	}
	return "Promoted and watched for " + spec.Watch.String() + " without a catastrophe."
}

func (s *State) survivedSentence(spec Spec) string {
	return fmt.Sprintf("Survived: with the fault on for %d users and %d requests, every guardrail is proven within its tolerance.", s.Treatment.Units, s.Treatment.Requests)
}

func (s *State) harmSentence(spec Spec, blamed []string) string {
	what := "Rolled back"
	if spec.Goal == GoalSurvive {
		what = "Weakness found, fault off"
	}
	text := fmt.Sprintf("%s because of %s.", what, strings.Join(blamed, " and "))
	for i, g := range spec.Guardrails {
		if g.Name == blamed[0] {
			text += " " + s.estimate(spec, i)
		}
	}
	return text + fmt.Sprintf(" It reached %d users and %d requests, %d of them bad.", s.Treatment.Units, s.Treatment.Requests, s.Treatment.Bad)
}

func catastropheSentence(iv outcome.Interval) string {
	text := fmt.Sprintf("Stopped at once: %d of %d treatment requests failed in one interval", iv.Treatment.Bad, iv.Treatment.Requests)
	if iv.Control.Requests == 0 {
		return text + "."
	}
	return text + fmt.Sprintf(", %d of %d in the control.", iv.Control.Bad, iv.Control.Requests)
}

func spentSentence(s *State, spec Spec) string {
	return fmt.Sprintf("Stopped undecided: the fault reached %d users, the cap is %d. Raise maxUnits to learn more.", s.Treatment.Units, spec.MaxUnits)
}

func (s *State) sampleSentence(spec Spec) string {
	return fmt.Sprintf("The arms do not grow as assigned: %d users in treatment, %d in control. The comparison cannot be trusted; look for a treatment that crashes or redirects before it reports.", s.Treatment.Units, s.Control.Units)
}

func (s *State) noDataSentence(iv outcome.Interval) string {
	missing := "either arm"
	switch t, c := iv.Treatment.Requests > 0, iv.Control.Requests > 0; {
	case t && c:
		return fmt.Sprintf("The outcomes of %d intervals contradict themselves: more bad ones than there were. Check that every service sends its outcomes here once, and only once.", s.NoData)
	case t:
		missing = "the control"
	case c:
		missing = "the treatment"
	}
	return fmt.Sprintf("No outcomes from %s for %d intervals. Check that the service evaluates the flag inside a unit of work and reaches this server.", missing, s.NoData)
}

func (s *State) alarmSentence(spec Spec, i int) string {
	return fmt.Sprintf("Holding at %s. %s It may still be within tolerance; the ramp waits for proof.", s.place(spec), s.estimate(spec, i))
}

func (s *State) deadlineSentence(spec Spec) string {
	return fmt.Sprintf("The deadline of %s has passed without proof either way.", spec.Deadline)
}

func commandSentence(c Command) string {
	text := fmt.Sprintf("%s by %s", commandDone[c.Verb], c.Actor)
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text + "."
}

var commandDone = map[Verb]string{
	VerbPause: "Paused", VerbResume: "Resumed", VerbAdvance: "Advanced",
	VerbPromote: "Promoted", VerbAbort: "Aborted",
}

// place names the step: "5 %", or "50 % of beta-testers".
func (s *State) place(spec Spec) string {
	step := spec.Steps[s.Step]
	if len(step.Segments) > 0 {
		return percent(step.Share) + " of " + strings.Join(step.Segments, " and ")
	}
	return percent(step.Share)
}

func tolerance(g Guardrail) string {
	switch {
	case g.Absolute == 0:
		return fmt.Sprintf("%s×", factor(1+g.Relative))
	case g.Relative == 0:
		return fmt.Sprintf("+%.3g percentage points", g.Absolute*100)
	}
	return fmt.Sprintf("%s× or +%.3g percentage points", factor(1+g.Relative), g.Absolute*100)
}

func percent(w flag.Weight) string { return fmt.Sprintf("%.4g %%", w.Percent()) }

func ratio(share float64) string { return fmt.Sprintf("%.3g %%", share*100) }

func factor(f float64) string {
	if f >= 100 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.2g", f)
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
