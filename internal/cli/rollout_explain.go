package cli

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/rules"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

// explainOutput is what explain prints as JSON.
type explainOutput struct {
	Trial      string             `json:"trial"`
	Attempt    int                `json:"attempt"`
	Phase      trial.Phase        `json:"phase"`
	Result     trial.Result       `json:"result,omitempty"`
	Why        string             `json:"why"`
	Step       int                `json:"step"` // from 1
	Share      string             `json:"share"`
	Guardrails []explainGuardrail `json:"guardrails"`
	Spent      spentOutput        `json:"spent"`
	Blamed     []string           `json:"blamed"`
	Traces     []traceOutput      `json:"traces"`
	Decisions  []decisionOutput   `json:"decisions"` // the newest first
	Rules      []ruleOutput       `json:"rules"`
	Next       []string           `json:"next"`
}

// explainGuardrail is the evidence on a guardrail, with the marks at which it decides.
type explainGuardrail struct {
	guardrailOutput
	Metric    trial.Metric `json:"metric"`
	Mode      trial.Mode   `json:"mode"`
	Tolerance string       `json:"tolerance"`
	// HarmAt and SafeAt are the logs at which it is harmful and safe.
	HarmAt float64 `json:"harmAt"`
	SafeAt float64 `json:"safeAt"`
	// SafeInMinutes extrapolates the evidence so far; 0: not known, or not needed.
	SafeInMinutes float64 `json:"safeInMinutes,omitempty"`
}

// spentOutput is the exposure that the treatment has cost.
type spentOutput struct {
	Users    uint64 `json:"users"`
	Requests uint64 `json:"requests"`
	Bad      uint64 `json:"bad"`
	// CausedBad are the bad requests beyond what the control's rate would have given, interval by
	// interval; an estimate, at least 0.
	CausedBad float64 `json:"causedBad"`
}

type traceOutput struct {
	TraceID string  `json:"traceId"`
	Seconds float64 `json:"seconds"`
	Command string  `json:"command"`
}

type decisionOutput struct {
	Time       time.Time      `json:"time"`
	Revision   int64          `json:"revision"`
	Seq        int            `json:"seq"`
	Actor      string         `json:"actor"`
	Phase      trial.Phase    `json:"phase"`
	Result     trial.Result   `json:"result,omitempty"`
	Step       int            `json:"step"`
	Guardrails []evidenceItem `json:"guardrails"`
	Why        string         `json:"why"`
}

var decisionColumns = []string{"TIME", "BY", "STATUS", "STEP", "EVIDENCE", "WHY"}

// lastDecisions is how many decisions explain shows.
const lastDecisions = 8

func (n trialNoun) newExplain(a *app) *cobra.Command {
	var number int
	cmd := &cobra.Command{
		Use: "explain NAME", Short: "Tell why a " + n.what + " is where it is, with all the evidence", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(n.names),
		Long: "Tell why a " + n.what + " is where it is: the sentence first, then for each guardrail the estimate with an interval that is\n" +
			"valid at any time, the tolerance, and the evidence on its way to both marks; what the treatment has cost; traces of bad\n" +
			"requests; the last decisions; and what other tools' rules would have done. It works for ended ones too.",
		Example: fmt.Sprintf("  seatrial %[1]s explain NAME\n  seatrial %[1]s explain NAME --attempt 1\n  seatrial %[1]s explain NAME -o json", n.name),
	}
	cmd.Flags().IntVar(&number, "attempt", 0, "of this attempt (default the newest)")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		t, err := n.get(cmd.Context(), c, args[0])
		if err != nil {
			return err
		}
		log, err := attempt(cmd.Context(), c, t, number)
		if err != nil {
			return err
		}
		t = log.asLeft(t)
		out, err := explainedTrial(cmd.Context(), c, n, t, log)
		if err != nil {
			return err
		}
		return a.printExplained(n, t, out)
	})
	return cmd
}

// explainedTrial gathers what explains an attempt of a trial; t is as the attempt left it.
func explainedTrial(ctx context.Context, c *api.Client, n trialNoun, t api.Trial, log attemptLog) (explainOutput, error) {
	others, err := newRules(rules.Names)
	if err != nil {
		return explainOutput{}, err
	}
	caused := 0.0
	err = c.EachInterval(ctx, t.Spec.Name, t.State.Attempt, func(one api.Interval) error {
		for _, rule := range others {
			rule.Add(one.Interval)
		}
		caused += causedBad(one.Interval)
		return nil
	})
	if err != nil {
		return explainOutput{}, err
	}
	out := explainState(n, t)
	out.Spent.CausedBad = math.Round(max(caused, 0)*10) / 10
	out.Rules = ruleOutputs(log, t.State, others)
	for _, e := range slices.Backward(log.entries) {
		if len(out.Decisions) < lastDecisions {
			out.Decisions = append(out.Decisions, e.decision())
		}
	}
	return out, nil
}

// causedBad is how many bad requests the treatment had beyond the control's rate in an interval.
func causedBad(iv outcome.Interval) float64 {
	if iv.Control.Requests == 0 || iv.Steady {
		return 0
	}
	rate := float64(iv.Control.Bad) / float64(iv.Control.Requests)
	return float64(iv.Treatment.Bad) - float64(iv.Treatment.Requests)*rate
}

// explainState is what the state alone tells.
func explainState(n trialNoun, t api.Trial) explainOutput {
	s := t.State
	step, share := trialPlace(t)
	out := explainOutput{Trial: t.Spec.Name, Attempt: s.Attempt, Phase: s.Phase, Result: s.Result, Why: s.Why, Step: s.Step + 1, Share: share,
		Guardrails: []explainGuardrail{}, Blamed: []string{}, Traces: []traceOutput{}, Decisions: []decisionOutput{}, Rules: []ruleOutput{}, Next: nextAfterExplain(n, t),
		Spent: spentOutput{Users: s.Treatment.Units, Requests: s.Treatment.Requests, Bad: s.Treatment.Bad}}
	if step == "" {
		out.Share = ""
	}
	out.Blamed = append(out.Blamed, s.Blamed...)
	for _, e := range s.Exemplars {
		out.Traces = append(out.Traces, traceOutput{e.TraceID, e.Seconds, "seatrial trace get " + e.TraceID})
	}
	for i, g := range t.Spec.Guardrails {
		if i < len(s.Guardrails) {
			out.Guardrails = append(out.Guardrails, explainOne(t, g, s.Guardrails[i]))
		}
	}
	return out
}

// nextAfterExplain leaves out the command that was just given.
func nextAfterExplain(n trialNoun, t api.Trial) []string {
	commands := slices.DeleteFunc(nextCommands(n, t), func(c string) bool { return strings.HasPrefix(c, "seatrial "+n.name+" explain") })
	return append(commands, fmt.Sprintf("seatrial %s replay %s  (every decision, recomputed)", n.name, t.Spec.Name))
}

func explainOne(t api.Trial, g trial.Guardrail, s trial.GuardrailState) explainGuardrail {
	one := explainGuardrail{guardrailOutput: guardrailOf(s), Metric: g.Metric, Mode: g.Mode, Tolerance: showTolerance(g),
		HarmAt: math.Log(1 / t.Spec.Alpha), SafeAt: math.Log(1 / t.State.SafeLevel(&t.Spec))}
	elapsed := t.State.UpdatedAt.Sub(t.State.StartedAt).Minutes()
	if !t.State.Ended() && s.Verdict == trial.VerdictUndecided && s.LogNoWorse > 0 && elapsed > 0 {
		const month = 30 * 24 * 60
		if left := elapsed * (one.SafeAt/s.LogNoWorse - 1); left > 0 && left < month {
			one.SafeInMinutes = math.Ceil(left)
		}
	}
	return one
}

func evidenceItems(s trial.State) []evidenceItem {
	items := []evidenceItem{}
	for _, g := range s.Guardrails {
		items = append(items, evidenceItem{g.Name, g.Verdict, finite(g.LogHarm), finite(g.LogNoWorse), finite(g.LogAnyHarm)})
	}
	return items
}

func (a *app) printExplained(n trialNoun, t api.Trial, out explainOutput) error {
	switch a.format() {
	case formatJSON:
		return a.printJSON(out)
	case formatTSV:
		return writeTSV(a.out, explainTSV(out))
	}
	_, err := fmt.Fprint(a.out, a.style.explainView(n, t, out))
	return err
}

// explainView is the explanation for people.
func (s style) explainView(n trialNoun, t api.Trial, out explainOutput) string {
	status := trialStatus(t.State)
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n%s\n", s.bold(t.Spec.Name), s.paint(status.mark, s.display(status)), s.wrap(orElse(out.Why, "Waiting for the first outcomes.")))
	for i, g := range out.Guardrails {
		fmt.Fprintf(&b, "\n%s  %s\n", s.bold(g.Name), s.guardrailHead(t, i, g))
		b.WriteString(s.details(s.guardrailDetails(t, i, g)))
	}
	b.WriteString("\n" + s.details(spentRows(out, n, t)))
	if len(out.Decisions) > 0 {
		b.WriteString("\n" + s.bold("The last decisions") + "\n" + s.wrapped([]string{"TIME", "BY", "STATUS", "STEP", "WHY"}, decisionLines(out.Decisions)))
	}
	if len(out.Rules) > 1 {
		b.WriteString("\n" + s.bold("What other rules would have done") + "\n" + s.wrapped(ruleColumns, ruleTable(out.Rules).rows))
	}
	return b.String()
}

func (s style) guardrailHead(t api.Trial, i int, g explainGuardrail) string {
	verdict := verdictCell(t.State.Guardrails[i])
	head := s.paint(verdict.mark, s.display(verdict)) + "  " + s.paint(markQuiet, string(g.Mode))
	if slices.Contains(t.State.Blamed, g.Name) {
		head += "  " + s.marked(markBad, "blamed")
	}
	return head
}

func (s style) guardrailDetails(t api.Trial, i int, g explainGuardrail) []detail {
	spec, state := t.Spec.Guardrails[i], t.State.Guardrails[i]
	rows := []detail{
		{"  treatment", text("%s", showArm(spec, state.Treatment))},
		{"  control", text("%s", showArm(spec, state.Control))},
		{"  compared", text("%s", compareWords(spec, state))},
		{"  tolerance", text("%s", g.Tolerance)},
		{"  harm", text("%s", s.evidenceBar(g.LogHarm, g.HarmAt))},
		{"  no worse", text("%s", s.evidenceBar(g.LogNoWorse, g.SafeAt))},
	}
	if g.SafeInMinutes > 0 {
		rows = append(rows, detail{"  time left", text("%s", "about "+showMinutes(g.SafeInMinutes)+" more until it is proven safe, if it goes on like this")})
	}
	return rows
}

// compareWords tells how the arms compare: a ratio, or a difference of means.
func compareWords(g trial.Guardrail, s trial.GuardrailState) string {
	text := s.Ratio.String()
	if d := s.Difference; d != nil {
		text = fmt.Sprintf("%s (%s to %s)", signed(d.Value), signed(d.Low), signed(d.High))
	}
	if text == "" {
		return "too little is known yet"
	}
	if s.Bound > 0 {
		text += fmt.Sprintf(" slower than %s", time.Duration(s.Bound*float64(time.Second)).Round(10*time.Microsecond))
	}
	return text + ", valid at any time"
}

func signed(v float64) string { return fmt.Sprintf("%+.3g", v) }

// evidenceBar shows evidence on a log scale, on its way to the mark at which it decides.
func (s style) evidenceBar(log, mark float64) string {
	const width = 20
	part := min(max(log/mark, 0), 1)
	full := int(part * width)
	b := "[" + strings.Repeat(s.choose("█", "#"), full) + strings.Repeat(s.choose("·", "."), width-full) + "]"
	note := fmt.Sprintf("%.0f %% of the way", part*100)
	switch {
	case log >= mark:
		note = "decided"
	case log < 0:
		note = "the evidence points the other way"
	}
	return fmt.Sprintf("%s e-value %s, decides at %.3g: %s", b, eValue(log), math.Exp(mark), note)
}

// eValue shows e^log also where it has hundreds of digits.
func eValue(log float64) string {
	const digits = 1e6
	if math.Abs(log) < math.Log(digits) {
		return fmt.Sprintf("%.3g", math.Exp(log))
	}
	return fmt.Sprintf("10^%.0f", log/math.Ln10)
}

func spentRows(out explainOutput, n trialNoun, t api.Trial) []detail {
	spent := fmt.Sprintf("%d users, %d requests, %d of them bad", out.Spent.Users, out.Spent.Requests, out.Spent.Bad)
	if out.Spent.CausedBad >= 0.5 {
		spent += fmt.Sprintf(", about %.0f more than the control's rate would have given", out.Spent.CausedBad)
	}
	rows := []detail{{"spent", text("%s", spent)}, {"blamed", text("%s", strings.Join(out.Blamed, ", "))}}
	for _, row := range actionRows(n, t) {
		if row.name == "next" {
			row.cell = text("%s", strings.Join(out.Next, "\n"))
		}
		rows = append(rows, row)
	}
	return rows
}

func decisionRows(list []decisionOutput) [][]cell {
	var rows [][]cell
	for _, d := range list {
		status := trialStatus(trial.State{Phase: d.Phase, Result: d.Result})
		rows = append(rows, []cell{text("%s", d.Time.UTC().Format(time.RFC3339)), text("%s", d.Actor), status, text("%d", d.Step),
			{plain: evidenceText(d.Guardrails), shown: cmp.Or(evidenceText(d.Guardrails), "-")}, text("%s", d.Why)})
	}
	return rows
}

// decisionLines are the rows for people: the evidence behind each is in replay.
func decisionLines(list []decisionOutput) [][]cell {
	rows := decisionRows(list)
	for i, row := range rows {
		rows[i] = []cell{row[0], actor(list[i].Actor), row[2], row[3], row[5]}
	}
	return rows
}

func evidenceText(items []evidenceItem) string {
	var parts []string
	for _, g := range items {
		parts = append(parts, fmt.Sprintf("%s %.2f %.2f %.2f", g.Name, g.LogHarm, g.LogNoWorse, g.LogAnyHarm))
	}
	return strings.Join(parts, ", ")
}

// explainTSV gives one name and value a row; guardrails, traces, decisions and rules have more values.
func explainTSV(out explainOutput) [][]cell {
	status := trialStatus(trial.State{Phase: out.Phase, Result: out.Result})
	rows := [][]cell{{text("name"), text("%s", out.Trial)}, {text("attempt"), text("%d", out.Attempt)}, {text("status"), status}, {text("why"), text("%s", out.Why)},
		{text("share"), text("%s", out.Share)}, {text("blamed"), text("%s", strings.Join(out.Blamed, ","))},
		{text("spent"), text("%d", out.Spent.Users), text("%d", out.Spent.Requests), text("%d", out.Spent.Bad), text("%s", trimFloat(out.Spent.CausedBad))}}
	for _, g := range out.Guardrails {
		rows = append(rows, []cell{text("guardrail"), text("%s", g.Name), text("%s", g.Verdict), text("%d", g.Treatment.Bad), text("%d", g.Treatment.Of), text("%d", g.Control.Bad), text("%d", g.Control.Of),
			ratioCell(g.Ratio.Value), ratioCell(g.Ratio.Low), ratioCell(g.Ratio.High), text("%s", g.Tolerance), logCell(g.LogHarm), logCell(g.HarmAt), logCell(g.LogNoWorse), logCell(g.SafeAt), logCell(g.LogAnyHarm)})
	}
	for _, t := range out.Traces {
		rows = append(rows, []cell{text("trace"), text("%s", t.TraceID)})
	}
	for _, row := range decisionRows(out.Decisions) {
		rows = append(rows, append([]cell{text("decision")}, row...))
	}
	for _, row := range ruleTable(out.Rules).rows {
		rows = append(rows, append([]cell{text("rule")}, row...))
	}
	return rows
}

// showMinutes writes a length of time in the unit that fits.
func showMinutes(m float64) string {
	switch {
	case m < 1:
		return fmt.Sprintf("%.0f s", math.Ceil(m*60))
	case m < 120:
		return fmt.Sprintf("%.0f min", m)
	case m < 48*60:
		return fmt.Sprintf("%.1f h", m/60)
	}
	return fmt.Sprintf("%.0f days", m/60/24)
}
