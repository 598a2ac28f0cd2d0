package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// This file writes reports of experiments in Markdown.

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "\r", " ", "\n", " ", "<", "&lt;", "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`)

// md writes a text so that Markdown takes it for nothing else.
func md(text string) string { return markdownEscapes.Replace(text) }

func markdownTable(b *strings.Builder, head []string, rows [][]string) {
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, row := range rows {
		line(row)
	}
	b.WriteByte('\n')
}

func markdownTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func resultWord(phase trial.Phase, result trial.Result) string {
	return strings.ReplaceAll(orElse(string(result), string(phase)), "_", " ")
}

// markdown writes the report; level is the mark of its first heading, such as "#".
func (r *reportOutput) markdown(level string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n\n", level, md(r.Trial), resultWord(r.Phase, r.Result))
	fmt.Fprintf(&b, "%s\n\n", md(orElse(r.Why, "Waiting for the first outcomes.")))
	if r.Description != "" {
		fmt.Fprintf(&b, "%s\n\n", md(r.Description))
	}
	markdownTable(&b, []string{"", ""}, [][]string{
		{"Hypothesis", md(r.Hypothesis)}, {"Flag", md(r.Flag)}, {"Audience", md(orElse(r.Audience, "everybody"))}, {"Attempt", fmt.Sprint(r.Attempt)},
		{"Started", markdownTime(r.StartedAt)}, {"Fault on", markdownTime(r.InjectedAt)}, {"Ended", markdownTime(r.EndedAt)},
	})
	level += "#"
	r.writeInjected(&b, level)
	r.writeBlast(&b, level)
	r.writeSteady(&b, level)
	r.writeGuardrails(&b, level)
	r.writeTimeline(&b, level)
	r.writeTraces(&b, level)
	fmt.Fprintf(&b, "%s What to do next\n\n", level)
	for _, next := range r.Next {
		command, note, _ := strings.Cut(next, "  ")
		fmt.Fprintf(&b, "- `%s` %s\n", command, md(strings.TrimSpace(note)))
	}
	return b.String()
}

func (r *reportOutput) writeInjected(b *strings.Builder, level string) {
	fmt.Fprintf(b, "%s What was injected\n\n%s\n\n", level, r.injectedWords())
	if len(r.Injected.Points) == 0 {
		return
	}
	var rows [][]string
	for _, p := range r.Injected.Points {
		rows = append(rows, []string{md(p.Point), md(p.Kind), md(p.Phase), fmt.Sprint(p.Calls)})
	}
	markdownTable(b, []string{"Point", "Fault", "Phase", "Calls"}, rows)
}

func (r *reportOutput) writeBlast(b *strings.Builder, level string) {
	x := r.Blast
	fmt.Fprintf(b, "%s Whom it reached\n\n", level)
	fmt.Fprintf(b, "%s of the audience got the fault: %d users of at most %d, with %d requests. %d of these failed", md(orElse(x.Share, "None")), x.Users, x.MaxUsers, x.Requests, x.Bad)
	if x.CausedBad >= 0.5 {
		fmt.Fprintf(b, ", about %.0f more than without it", x.CausedBad)
	}
	fmt.Fprintf(b, ". The control had %d users.\n\n", x.ControlUsers)
}

func (r *reportOutput) writeSteady(b *strings.Builder, level string) {
	fmt.Fprintf(b, "%s Before the fault\n\n", level)
	if r.Steady == nil {
		b.WriteString("No steady state was seen.\n\n")
		return
	}
	fmt.Fprintf(b, "Both arms had the control, and nothing was out of order.\n\n")
	row := func(name string, t trial.Totals) []string {
		return []string{name, fmt.Sprint(t.Units), fmt.Sprint(t.Requests), fmt.Sprint(t.Bad)}
	}
	markdownTable(b, []string{"Arm", "Users", "Requests", "Failed"}, [][]string{row("treatment", r.Steady.Treatment), row("control", r.Steady.Control)})
}

func (r *reportOutput) writeGuardrails(b *strings.Builder, level string) {
	fmt.Fprintf(b, "%s Guardrails\n\n", level)
	var rows [][]string
	for _, g := range r.Guardrails {
		compared := g.Ratio.String()
		if d := g.Difference; d != nil {
			compared = fmt.Sprintf("%s (%s to %s)", signed(d.Value), signed(d.Low), signed(d.High))
		}
		verdict := strings.ReplaceAll(string(g.Verdict), "_", " ")
		for _, blamed := range r.Blamed {
			if blamed == g.Name {
				verdict += ", blamed"
			}
		}
		spec := trial.Guardrail{Metric: g.Metric}
		rows = append(rows, []string{md(g.Name), verdict, md(showArm(spec, g.Treatment)), md(showArm(spec, g.Control)), md(orElse(compared, "-")), md(g.Tolerance), string(g.Mode)})
	}
	markdownTable(b, []string{"Guardrail", "Verdict", "Treatment", "Control", "Compared", "Tolerance", "Mode"}, rows)
	b.WriteString("Intervals hold at any time, however often somebody looked.\n\n")
}

func (r *reportOutput) writeTimeline(b *strings.Builder, level string) {
	fmt.Fprintf(b, "%s What happened\n\n", level)
	var rows [][]string
	for _, d := range r.Timeline {
		rows = append(rows, []string{markdownTime(d.Time), md(actor(d.Actor).display()), resultWord(d.Phase, d.Result), md(d.Why), fmt.Sprint(d.Revision)})
	}
	markdownTable(b, []string{"Time", "By", "State", "Why", "Revision"}, rows)
}

func (r *reportOutput) writeTraces(b *strings.Builder, level string) {
	fmt.Fprintf(b, "%s Failed requests\n\n", level)
	if len(r.Traces) == 0 {
		b.WriteString("None was kept.\n\n")
		return
	}
	for _, t := range r.Traces {
		fmt.Fprintf(b, "- %s, `%s`\n", time.Duration(t.Seconds*float64(time.Second)).Round(time.Millisecond), t.Command)
	}
	b.WriteByte('\n')
}

// dayMarkdown writes the head of a game day's report.
func dayMarkdown(d dayOutput) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n", md(d.Title), orElse(resultWord("", d.Result), "nothing was tried"))
	if d.Why != "" {
		fmt.Fprintf(&b, "It ended early: %s.\n\n", md(d.Why))
	}
	var rows [][]string
	for _, s := range d.Steps {
		what, result := md(s.Name), "not started"
		switch {
		case s.Pause != "":
			what, result = "pause "+s.Pause, ""
		case s.Attempt > 0:
			result = resultWord("", s.Result)
		}
		rows = append(rows, []string{fmt.Sprint(s.Step), what, md(s.Point), md(s.Share), result, md(s.Why)})
	}
	markdownTable(&b, []string{"Step", "What", "Point", "Share", "Result", "Why"}, rows)
	return b.String()
}

// display is what people see of a cell, without its mark.
func (c cell) display() string { return orElse(c.shown, c.plain) }
