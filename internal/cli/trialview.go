package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// This file shows a trial: the sentence that tells why first, then the numbers, then the commands
// to act.

// trialStatus is the result of a trial that is over, else its phase.
func trialStatus(s trial.State) cell {
	word, m := string(s.Phase), map[trial.Phase]mark{
		trial.PhaseRunning: markBusy, trial.PhaseHolding: markWarn, trial.PhasePaused: markPaused, trial.PhaseWatching: markBusy,
	}[s.Phase]
	if s.Ended() && s.Result != "" {
		word = string(s.Result)
		switch s.Result {
		case trial.ResultPromoted, trial.ResultSurvived, trial.ResultQuiet:
			m = markGood
		case trial.ResultInconclusive:
			m = markUnknown
		default:
			m = markBad
		}
	}
	return cell{plain: word, shown: strings.ReplaceAll(word, "_", " "), mark: m}
}

// trialPlace is the step a trial is at, as "2/4", and its share.
func trialPlace(t api.Trial) (step, share string) {
	if t.State.Step < 0 || t.State.Step >= len(t.Spec.Steps) {
		return "", ""
	}
	return fmt.Sprintf("%d/%d", t.State.Step+1, len(t.Spec.Steps)), showStep(t.Spec.Steps[t.State.Step])
}

func showStep(s trial.Step) string {
	if len(s.Segments) == 0 {
		return showShare(s.Share)
	}
	return showShare(s.Share) + " of " + strings.Join(s.Segments, "+")
}

// showRampStep adds to a step's share that a person must approve that it ends.
func showRampStep(s trial.Step) string {
	if s.Approval {
		return showStep(s) + " (approval)"
	}
	return showStep(s)
}

// showSteps writes the ramp, with what is behind and where the trial is.
func (s style) showSteps(t api.Trial) string {
	parts := make([]string, len(t.Spec.Steps))
	for i, step := range t.Spec.Steps {
		switch word := showRampStep(step); {
		case i < t.State.Step || t.State.Phase == trial.PhaseWatching || t.State.Result == trial.ResultPromoted:
			parts[i] = s.marked(markGood, word)
		case i == t.State.Step && t.State.Ended():
			parts[i] = s.marked(trialStatus(t.State).mark, word)
		case i == t.State.Step:
			parts[i] = s.bold(s.marked(trialStatus(t.State).mark, word))
		default:
			parts[i] = s.paint(markQuiet, s.choose("· ", ". ")+word)
		}
	}
	return strings.Join(parts, "  ")
}

func showTotals(t trial.Totals) string {
	return fmt.Sprintf("%d users, %d requests, %d of them bad", t.Units, t.Requests, t.Bad)
}

var guardrailColumns = []string{"GUARDRAIL", "VERDICT", "CONTROL", "TREATMENT", "RATIO", "TOLERANCE", "MODE"}

func verdictCell(g trial.GuardrailState) cell {
	c := cell{plain: string(g.Verdict), shown: strings.ReplaceAll(string(g.Verdict), "_", " "), mark: map[trial.Verdict]mark{
		trial.VerdictHarmful: markBad, trial.VerdictSafe: markGood, trial.VerdictUndecided: markBusy,
		trial.VerdictNoData: markUnknown, trial.VerdictInvalid: markWarn,
	}[g.Verdict]}
	if g.Alarm && g.Verdict != trial.VerdictHarmful {
		c.shown, c.mark = c.shown+", looks worse", markWarn
	}
	return c
}

// guardrailRows shows every guardrail of the plan with the evidence on it so far.
func guardrailRows(t api.Trial) [][]cell {
	var rows [][]cell
	for i, g := range t.Spec.Guardrails {
		state := trial.GuardrailState{Name: g.Name, Verdict: trial.VerdictNoData}
		if i < len(t.State.Guardrails) {
			state = t.State.Guardrails[i]
		}
		rows = append(rows, []cell{text("%s", g.Name), verdictCell(state), text("%s", showCounted(g, state.Control)),
			text("%s", showCounted(g, state.Treatment)), text("%s", showComparison(state)), text("%s", showTolerance(g)), text("%s", g.Mode)})
	}
	return rows
}

func showCount(c trial.Count) string {
	if c.Of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g%% of %d", c.Share()*100, c.Of)
}

// showArm shows what a guardrail has counted in one arm: bad ones, or the mean of a value.
func showArm(g trial.Guardrail, c trial.Count) string {
	switch {
	case c.Of == 0:
		return "-"
	case g.Metric == trial.MetricValue:
		return fmt.Sprintf("mean %.4g of %d", c.Mean(), c.Of)
	case g.Metric == trial.MetricThroughput:
		return fmt.Sprintf("%d", c.Of)
	}
	return fmt.Sprintf("%d of %d, %.3g%%", c.Bad, c.Of, c.Share()*100)
}

// showCounted is showCount for any metric.
func showCounted(g trial.Guardrail, c trial.Count) string {
	switch {
	case c.Of == 0:
		return "-"
	case g.Metric == trial.MetricValue:
		return fmt.Sprintf("%.4g, mean of %d", c.Mean(), c.Of)
	case g.Metric == trial.MetricThroughput:
		return fmt.Sprintf("%d", c.Of)
	}
	return showCount(c)
}

// showComparison is the ratio of the arms, of a value the difference of its means.
func showComparison(s trial.GuardrailState) string {
	if d := s.Difference; d != nil {
		return fmt.Sprintf("%s (%s to %s)", signed(d.Value), signed(d.Low), signed(d.High))
	}
	return showEstimate(s.Ratio)
}

func showEstimate(e trial.Estimate) string { return cmp.Or(e.String(), "-") }

// trialRows are the named values of get; TSV has them all, a terminal shows what is not empty.
func trialRows(s style, t api.Trial) []detail {
	_, share := trialPlace(t)
	rows := []detail{
		{"hypothesis", text("%s", t.Spec.Hypothesis)},
		{"flag", text("%s", s.showTarget(t.Spec))},
		{"audience", text("%s", showCondition(t.Spec.Audience))},
		{"steps", cell{plain: share, shown: s.showSteps(t)}},
		{"treatment", text("%s", showTotals(t.State.Treatment))},
		{"control", text("%s", showTotals(t.State.Control))},
		{"started", startedCell(t.State)},
		{"ended", cell{}},
	}
	if !t.State.EndedAt.IsZero() {
		rows[len(rows)-1].cell = ago(t.State.EndedAt)
	}
	return rows
}

// showTarget names what is tried: the variants of a flag, or deployments.
func (s style) showTarget(spec trial.Spec) string {
	from, to := spec.Control, spec.Treatment
	if c := spec.Cohorts; c != nil {
		from, to = c.Control, c.Treatment
	}
	return fmt.Sprintf("%s: %s %s %s", showFlag(spec), from, s.choose("→", "->"), to)
}

// showFlag names the flag, or where it is none the service and the attribute.
func showFlag(spec trial.Spec) string {
	c := spec.Cohorts
	switch {
	case c == nil:
		return spec.Flag
	case c.Service == "":
		return c.Attribute
	}
	return c.Service + " by " + c.Attribute
}

// traceFilter are the flags of trace list that select the trial's treatment.
func traceFilter(spec trial.Spec, variant string) string {
	switch c := spec.Cohorts; {
	case c == nil && variant == "":
		return "--flag " + spec.Flag
	case c == nil:
		return "--flag " + spec.Flag + "=" + variant
	case c.Service == "":
		return ""
	}
	return "--service " + spec.Cohorts.Service
}

func startedCell(s trial.State) cell {
	c := ago(s.StartedAt)
	if s.Attempt > 1 {
		c.shown += fmt.Sprintf(", attempt %d", s.Attempt)
	}
	return c
}

// trialView is the whole picture of a trial for a terminal.
func (s style) trialView(noun trialNoun, t api.Trial) string {
	status := trialStatus(t.State)
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n", s.bold(t.Spec.Name), s.paint(status.mark, s.display(status)))
	fmt.Fprintf(&b, "%s\n\n", s.wrap(orElse(t.State.Why, "Waiting for the first outcomes.")))
	b.WriteString(s.details(trialRows(s, t)))
	b.WriteString("\n" + s.table(guardrailColumns, guardrailRows(t)))
	if rows := actionRows(noun, t); len(rows) > 0 {
		b.WriteString("\n" + s.details(rows))
	}
	return b.String()
}

// actionRows are the traces to look at and the commands to act.
func actionRows(noun trialNoun, t api.Trial) []detail {
	var rows []detail
	var traces []string
	for _, e := range t.State.Exemplars {
		traces = append(traces, "seatrial trace get "+e.TraceID)
	}
	if len(traces) > 0 {
		rows = append(rows, detail{"bad requests", text("%s", strings.Join(traces, "\n"))})
	} else if t.State.NoData > 0 && !t.State.Ended() {
		rows = append(rows, detail{"is it there?", text("%s", strings.TrimSpace("seatrial trace list "+traceFilter(t.Spec, "")))})
	}
	return append(rows, detail{"next", text("%s", strings.Join(nextCommands(noun, t), "\n"))})
}

// nextCommands are the commands that make sense now, each with what it does.
func nextCommands(noun trialNoun, t api.Trial) []string {
	command := func(verb, does string) string {
		return fmt.Sprintf("seatrial %s %s %s  (%s)", noun.name, verb, t.Spec.Name, does)
	}
	switch {
	case t.State.Ended() && t.Spec.Goal == trial.GoalSurvive:
		return []string{"seatrial trace list --errors " + traceFilter(t.Spec, t.Spec.Treatment) + "  (what the fault did)"}
	case t.Spec.Goal == trial.GoalCalibrate:
		return []string{fmt.Sprintf("seatrial rollout aa %s  (what the self-test shows)", t.Spec.Name)}
	case t.State.Ended():
		return []string{"seatrial rollout explain " + t.Spec.Name + "  (why, with all the evidence)", "seatrial change list --kind trial --key " + t.Spec.Name + "  (what happened, decision by decision)"}
	case t.State.Phase == trial.PhaseWatching:
		return []string{command("abort", "take the promotion back")}
	case t.Spec.Goal == trial.GoalSurvive && t.State.Steady && t.Spec.FourEyes && !t.State.Approved:
		return []string{command("approve", "by somebody else than who started it"), command("abort", "no fault")}
	case t.Spec.Goal == trial.GoalSurvive:
		return []string{command("abort", "fault off, now")}
	}
	var commands []string
	if t.State.Step < len(t.Spec.Steps) && t.Spec.Steps[t.State.Step].Approval && !t.State.Approved {
		commands = append(commands, command("approve", "let this step be left once the evidence allows"))
	}
	if t.State.Phase == trial.PhasePaused {
		commands = append(commands, command("resume", "let the evidence decide again"))
	} else {
		commands = append(commands, command("pause", "stay at this share"))
	}
	if t.Spec.Cohorts != nil {
		return append(commands, command("promote", "end it as a success; your deployment tool moves the traffic"), command("abort", "end it as a failure"))
	}
	if next := t.State.Step + 1; next < len(t.Spec.Steps) {
		commands = append(commands, command("advance", "to "+showStep(t.Spec.Steps[next])+" now"))
	} else {
		commands = append(commands, command("promote", "everybody gets "+t.Spec.Treatment+" now"))
	}
	return append(commands, command("abort", "everybody gets "+t.Spec.Control+" now"))
}

// printTrial prints one trial in the format of this call.
func (a *app) printTrial(noun trialNoun, t api.Trial) error {
	switch a.format() {
	case formatJSON:
		return a.printJSON(outputOf(t))
	case formatTSV:
		return writeTSV(a.out, trialTSV(t))
	}
	_, err := fmt.Fprint(a.out, a.style.trialView(noun, t))
	return err
}

// trialTSV gives one name and value a row, then one row for each guardrail.
func trialTSV(t api.Trial) [][]cell {
	step, _ := trialPlace(t)
	rows := [][]cell{
		{text("name"), text("%s", t.Spec.Name)}, {text("status"), trialStatus(t.State)},
		{text("why"), text("%s", t.State.Why)}, {text("step"), text("%s", step)},
	}
	for _, d := range trialRows(style{}, t) {
		name := d.name
		switch name {
		case "steps":
			name = "share"
		case "treatment", "control":
			continue // below, as numbers
		}
		rows = append(rows, []cell{text("%s", name), d.cell})
	}
	rows = append(rows, totalsTSV("treatment", t.State.Treatment), totalsTSV("control", t.State.Control))
	for _, row := range guardrailRows(t) {
		rows = append(rows, append([]cell{text("guardrail")}, row...))
	}
	return rows
}

// totalsTSV gives users, requests and bad requests of an arm.
func totalsTSV(name string, t trial.Totals) []cell {
	return []cell{text("%s", name), text("%d", t.Units), text("%d", t.Requests), text("%d", t.Bad)}
}

// watchColumns are what watching without a terminal prints at each change.
var watchColumns = []string{"TIME", "STATUS", "STEP", "SHARE", "WHY"}

func watchRow(t api.Trial) []cell {
	step, share := trialPlace(t)
	at := t.State.UpdatedAt
	if at.IsZero() {
		at = t.State.StartedAt
	}
	return []cell{text("%s", at.UTC().Format(time.RFC3339)), trialStatus(t.State), text("%s", step), text("%s", share), text("%s", t.State.Why)}
}
