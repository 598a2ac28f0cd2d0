package trial

import (
	"fmt"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// The sentences a person reads. Each says what is, why, and what comes next.

func (s *State) sentence(spec *Spec) string {
	if s.Steady {
		return s.steadyLead(spec) + " Waiting for the first outcomes."
	}
	where := s.lead(spec, "Running")
	i := s.telling(spec)
	if i < 0 || s.Seq == 0 || s.NoData == s.Seq {
		return where + " Waiting for the first outcomes."
	}
	return where + " " + s.estimate(spec, i) + " " + s.nextSentence(spec)
}

// lead says what the trial is doing and where: "Running at 5 %.", "Holding: v2 against v1."
func (s *State) lead(spec *Spec, doing string) string {
	if spec.Cohorts != nil {
		return doing + ": " + spec.Cohorts.Treatment + " against " + spec.Cohorts.Control + "."
	}
	return doing + " at " + s.place(spec) + "."
}

// place names the step: "5 %", or "50 % of beta-testers".
func (s *State) place(spec *Spec) string {
	step := &spec.Steps[s.Step]
	if len(step.Segments) > 0 {
		return percent(step.Share) + " of " + strings.Join(step.Segments, " and ")
	}
	return percent(step.Share)
}

// telling picks the guardrail to speak of: the one with most evidence of harm.
func (s *State) telling(spec *Spec) int {
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

func (s *State) nextSentence(spec *Spec) string {
	step := &spec.Steps[s.Step]
	if spec.Goal == GoalCalibrate {
		return "Both arms are the same; " + span(time.Duration(max(spec.Deadline-s.Elapsed, 0))) + " to go."
	}
	if left := step.MinTime - s.StepElapsed; left > 0 {
		return "Next look at the step in " + span(time.Duration(left)) + "."
	}
	if have := s.units(spec); have < step.MinUnits {
		return fmt.Sprintf("%d of %d users seen.", have, step.MinUnits)
	}
	var waiting []string
	longest, known := time.Duration(0), true
	for i := range s.Guardrails {
		if spec.Guardrails[i].Mode == ModeShadow || s.Guardrails[i].Verdict == VerdictSafe {
			continue
		}
		waiting = append(waiting, spec.Guardrails[i].Name)
		left, ok := s.eta(spec, i)
		longest, known = max(longest, left), known && ok
	}
	text := "Not yet proven safe: " + strings.Join(waiting, ", ") + "."
	untried, tooFew := "", false
	if spec.Goal == GoalSurvive {
		untried, tooFew = s.untried(spec)
	}
	switch {
	case len(waiting) == 0 && tooFew:
		return untried
	case len(waiting) == 0:
		return "Waiting for outcomes of this step."
	case known:
		return text + " About " + span(longest) + " more to decide."
	}
	return text
}

func (s *State) stepSentence(spec *Spec) string {
	return fmt.Sprintf("Up to %s: no guardrail is harmed after %s and %s.", s.place(spec), span(s.UpdatedAt.Sub(s.began())), counted(s.Treatment.Units, "user"))
}

func (s *State) promotedSentence(spec *Spec) string {
	text := "Promoted: every guardrail is proven within its tolerance after " + s.exposure() + "."
	switch {
	case spec.Cohorts != nil:
		return text + " Who deploys " + spec.Cohorts.Treatment + " may go on."
	case spec.Watch > 0:
		text += " Watching for " + spec.Watch.String() + ". No control is left, so it is compared with what the control did before, which is weaker."
	}
	return text
}

// exposure says how much of the treatment there was.
func (s *State) exposure() string {
	requests := counted(s.Treatment.Requests, "request")
	if s.Treatment.Units == 0 {
		return requests
	}
	return counted(s.Treatment.Units, "user") + " and " + requests
}

func (s *State) watchedSentence(spec *Spec) string {
	if s.NoData > 0 && time.Duration(s.NoData)*time.Duration(spec.Interval) >= time.Duration(spec.Watch) {
		return "Promoted, but not watched: no outcomes arrived in " + spec.Watch.String() + "."
	}
	return "Promoted and watched for " + spec.Watch.String() + " without a catastrophe; at the end it is not worse than the control was before."
}

func (s *State) watchAlarmSentence(spec *Spec, i int) string {
	st := &s.Guardrails[i]
	if h := st.History; h != nil && h.Backstop.Breached(spec.Alpha) {
		return fmt.Sprintf("%s: %s since the promotion, where the control had %s before; up to %s was allowed for. This is compared with what the control did before, so something else may have changed meanwhile.",
			subject(&spec.Guardrails[i], h.Seconds), ratio(h.Watched.Share()), ratio(spec.Guardrails[i].worse(h.Control)), ratio(h.Limit))
	}
	return s.sloText(spec, i, st.SLO.TogetherCount) + " No control is left that could tell whether the treatment is at fault."
}

// worse is the bad share of a count: where higher is better, that of the units without the event.
func (g *Guardrail) worse(c Count) float64 {
	if g.Better == BetterHigher {
		return 1 - c.Share()
	}
	return c.Share()
}

func (s *State) survivedSentence() string {
	return "Survived: with the fault on for " + s.exposure() + ", where it hit " + counted(s.Treatment.Injected, "call") + ", every guardrail is proven within its tolerance."
}

func (s *State) harmSentence(spec *Spec, blamed []string) string {
	text := stoppedWord(spec) + " because of " + strings.Join(blamed, " and ") + "."
	for i := range spec.Guardrails {
		if spec.Guardrails[i].Name == blamed[0] {
			text += " " + s.estimate(spec, i)
		}
	}
	return text + s.reachedSentence()
}

func stoppedWord(spec *Spec) string {
	if spec.Goal == GoalSurvive {
		return "Weakness found, fault off"
	}
	return "Rolled back"
}

func (s *State) reachedSentence() string {
	return fmt.Sprintf(" It reached %s, %d of them bad.", s.exposure(), s.Treatment.Bad)
}

func catastropheSentence(iv *outcome.Interval) string {
	text := fmt.Sprintf("Stopped at once: %d of %d treatment requests failed in one interval", iv.Treatment.Bad, iv.Treatment.Requests)
	if iv.Control.Requests == 0 {
		return text + "."
	}
	return text + fmt.Sprintf(", %d of %d in the control.", iv.Control.Bad, iv.Control.Requests)
}

func (s *State) sloHarmSentence(spec *Spec, i int) string {
	return stoppedWord(spec) + " because of " + spec.Guardrails[i].Name + ". " +
		s.sloText(spec, i, s.Guardrails[i].SLO.TreatmentCount) + " The treatment is worse than the control. " +
		s.estimate(spec, i) + s.reachedSentence()
}

func (s *State) sloSentence(spec *Spec, i int) string {
	text := s.sloText(spec, i, s.Guardrails[i].SLO.TreatmentCount) +
		" Both arms are affected, which looks like an incident and not like the treatment: look at what both depend on."
	if spec.Goal == GoalSurvive {
		return "Stopped undecided. " + text
	}
	return s.lead(spec, "Holding") + " " + text
}

// sloText says which service level is broken, with the bound that was really used.
func (s *State) sloText(spec *Spec, i int, c Count) string {
	g := &spec.Guardrails[i]
	text := fmt.Sprintf("The service level of %s is broken: %s in all, lately more than the %s allowed.", g.Name, ratio(c.Share()), ratio(g.SLO.Share))
	if used := s.Guardrails[i].SLO.Seconds; used > 0 {
		text = fmt.Sprintf("The service level of %s is broken: %s over %s in all, lately more than the %s allowed over %s (rounded to the stricter bucket).",
			g.Name, ratio(c.Share()), duration(used), ratio(g.SLO.Share), duration(g.SLO.Seconds))
	}
	return text
}

func (s *State) spentSentence(spec *Spec) string {
	text := fmt.Sprintf("Stopped undecided: the fault reached %d users, the cap is %d.", s.Treatment.Units, spec.MaxUnits)
	if why, ok := s.untried(spec); ok {
		return text + " " + why
	}
	return text + " Raise maxUnits to learn more."
}

func (s *State) sampleSentence() string {
	return fmt.Sprintf("The arms do not grow as assigned: %d users in treatment, %d in control. The comparison cannot be trusted; look for a treatment that crashes or redirects before it reports.", s.Treatment.Units, s.Control.Units)
}

// noDataSentence says which guardrail hears nothing, and where to look.
func (s *State) noDataSentence(spec *Spec, i int, iv *outcome.Interval) string {
	g, n := &spec.Guardrails[i], s.Guardrails[i].NoData
	if g.Prometheus != nil {
		return fmt.Sprintf("No usable counts of %s from Prometheus for %d intervals. Check that its selectors find counters of both arms and that they are scraped.", g.Name, n)
	}
	missing := ""
	switch t, c := iv.Treatment.Requests > 0, iv.Control.Requests > 0; {
	case t && c && !compared(iv):
		return fmt.Sprintf("The outcomes of %d intervals contradict themselves: more bad ones than there were. Check that every service sends its outcomes here once, and only once.", n)
	case t && c:
		return fmt.Sprintf("Nothing to compare for %s in %d intervals, although requests arrive. Check that both arms report it%s.", g.Name, n, eventHint(g))
	case t:
		missing = "the control"
	case c:
		missing = "the treatment"
	default:
		missing = "either arm"
	}
	hint := "the service evaluates the flag inside a unit of work and reaches this server"
	if spec.Cohorts != nil {
		hint = "its telemetry carries the attribute " + spec.Cohorts.Attribute + " and reaches this server"
	}
	return fmt.Sprintf("No outcomes from %s for %d intervals. Check that %s.", missing, n, hint)
}

func eventHint(g *Guardrail) string {
	if g.Event == "" {
		return ""
	}
	return " (event " + g.Event + ")"
}

func (s *State) alarmSentence(spec *Spec, i int) string {
	text := s.lead(spec, "Holding") + " " + s.estimate(spec, i)
	if left, ok := s.eta(spec, i); ok {
		return text + " It may still be within tolerance; about " + span(left) + " more to decide."
	}
	return text + " It may still be within tolerance; the ramp waits for proof."
}

func (s *State) approvalSentence(spec *Spec) string {
	next := "to go on"
	switch {
	case s.Step+1 < len(spec.Steps):
		next = "to go up to " + (&State{Step: s.Step + 1}).place(spec)
	case spec.Cohorts == nil && spec.Goal == GoalPromote:
		next = "to promote"
	}
	return s.lead(spec, "Holding") + " Waiting for approval " + next + ": every other condition of this step holds."
}

func (s *State) deadlineSentence(spec *Spec) string {
	text := fmt.Sprintf("The deadline of %s has passed without proof either way.", spec.Deadline)
	if why, ok := s.untried(spec); ok && spec.Goal == GoalSurvive {
		return text + " " + why
	}
	return text
}

func (s *State) quietSentence(spec *Spec) string {
	return fmt.Sprintf("Quiet: in %s with %s no guardrail alarmed and the arms grew as assigned.%s", spec.Deadline, s.exposure(), s.effects(spec))
}

func (s *State) noisySentence(spec *Spec) string {
	text := fmt.Sprintf("Noisy: in %s with %s,", spec.Deadline, s.exposure())
	if len(s.Blamed) > 0 {
		text += " " + strings.Join(s.Blamed, " and ") + " alarmed although both arms are the same (by chance in at most " + ratio(spec.HoldAlpha) + " of A/A trials for each guardrail)."
	}
	if s.Sample.Invalid {
		text = strings.TrimSuffix(text, ",") + fmt.Sprintf(" The arms did not grow as assigned: %d users and %d.", s.Treatment.Units, s.Control.Units)
	}
	return text + s.effects(spec)
}

// effects tells the design effects that differ from 1 for certain.
func (s *State) effects(spec *Spec) (text string) {
	for i := range s.Guardrails {
		if v, low, high, ok := s.Guardrails[i].Dispersion.DesignEffect(); ok && low > 1 {
			text += fmt.Sprintf(" %s cluster: design effect %.2g (%.2g to %.2g).", capital(spec.Guardrails[i].Name), v, low, high)
		}
	}
	return text
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
	VerbPromote: "Promoted", VerbAbort: "Aborted", VerbApprove: "Approved",
}

func percent(w flag.Weight) string { return fmt.Sprintf("%.4g %%", w.Percent()) }

// counted gives a number with its word: "1 user", "20 users".
func counted(n uint64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
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
