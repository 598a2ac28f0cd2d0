package demo

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seatrial/seatrial/examples/shop/load"
	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// opening is said before anything slow is done.
func (t *timeline) opening(seed uint64) {
	t.add(event{Change: changeStart, Text: fmt.Sprintf(
		"Starting a control plane, a shop of six services and %s customers on this machine (seed %d).", thousands(customers), seed)})
}

func (t *timeline) ready(w *world) {
	t.add(event{Change: changeReady, Text: fmt.Sprintf("Control plane at %s, shop at %s, about %.0f checkouts a second.",
		w.server.URL(), w.shop.URL(), w.cfg.Rate)})
	t.add(event{Change: changeNote, Text: "Seconds of traffic cannot prove tight margins. So the trials here have steps of seconds " +
		"and wide tolerances (such as 2 percentage points more errors); the defaults of `" + t.call + " rollout start` are much stricter. " +
		"Controller, statistics and SDK are those of production, and no scene knows how it will end."})
}

// scene begins a scene.
func (t *timeline) scene(n, of int, s scene) {
	t.mu.Lock()
	t.name = s.name
	if !t.json {
		t.write("\n" + t.screen.Bold(fmt.Sprintf("Scene %d of %d: %s", n, of, s.title)) + "\n")
	}
	t.mu.Unlock()
	t.add(event{Change: changeScene, Trial: s.spec.Name, Text: s.about})
}

// trial tells what is new with a trial: what it was started as (before is nil), another step,
// phase or result. The reason is always the trial's own.
func (t *timeline) trial(before *api.Trial, now api.Trial) {
	e := event{Trial: now.Spec.Name, Step: now.State.Step + 1, Text: now.State.Why}
	switch {
	case before == nil:
		e.Change = change(now.State.Phase)
		e.Text = planSentence(now.Spec) + " " + e.Text
	case !moved(&before.State, &now.State):
		return
	case now.State.Ended():
		e.Change = change(now.State.Result)
	case before.State.Step != now.State.Step:
		e.Change = changeStep
	default:
		e.Change = change(now.State.Phase)
	}
	t.add(e)
}

// moved reports whether a person should be told.
func moved(before, now *trial.State) bool {
	return before.Phase != now.Phase || before.Step != now.Step || before.Result != now.Result
}

// planSentence says what will be judged, and with what tolerance.
func planSentence(spec trial.Spec) string {
	var rails []string
	for _, g := range spec.Guardrails {
		if g.Mode == trial.ModeEnforce {
			rails = append(rails, g.Name+" up to "+tolerance(g))
		}
	}
	return fmt.Sprintf("Trial %s of flag %s tolerates %s.", spec.Name, spec.Flag, strings.Join(rails, ", "))
}

// tolerance in words: the larger of two margins.
func tolerance(g trial.Guardrail) string {
	points := fmt.Sprintf("%.3g percentage points more", g.Absolute*100)
	times := fmt.Sprintf("%.3g times the control's", 1+g.Relative)
	switch {
	case g.Relative == 0:
		return points + " than the control's"
	case g.Absolute == 0:
		return times
	}
	return times + " or " + points
}

// progress shows on the status line how the trial stands between two changes.
func (t *timeline) progress(now api.Trial, s load.Stats) {
	state := now.State
	if state.Ended() {
		t.show("")
		return
	}
	t.show(fmt.Sprintf("%6.1fs  treatment: %s of %s requests failed, control: %s of %s; %s checkouts in all",
		t.seconds(), thousands(state.Treatment.Bad), thousands(state.Treatment.Requests),
		thousands(state.Control.Bad), thousands(state.Control.Requests), thousands(s.OK+s.Failed)))
}

// evidence names traces of what went wrong, for `seatrial trace get`.
func (t *timeline) evidence(r SceneResult) {
	if len(r.Traces) > 0 {
		t.add(event{Change: changeTraces, Trial: r.Trial, Text: "Failed requests to look at with `" + t.call + " trace get`: " + strings.Join(r.Traces, " ")})
	}
}

// summary ends the scenes.
func (t *timeline) summary(sum Summary) {
	t.show("")
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.json {
		t.encode(sum)
		return
	}
	var b strings.Builder
	b.WriteString("\n" + t.screen.Bold(fmt.Sprintf("Summary after %.0f s", sum.Seconds)) + "\n")
	for _, r := range sum.Scenes {
		b.WriteString(t.summaryLine(r))
	}
	fmt.Fprintf(&b, "%s checkouts, %s of them failed, %s not sent because the shop was slow.\n",
		thousands(sum.Load.OK+sum.Load.Failed), thousands(sum.Load.Failed), thousands(sum.Load.Shed))
	t.write(b.String())
}

func (t *timeline) summaryLine(r SceneResult) string {
	mark, ending := MarkGood, "as it should"
	if !r.OK {
		mark, ending = MarkBad, "NOT as it should: "+string(expected[r.Name])
	}
	word := strings.ReplaceAll(string(r.Verdict), "_", " ")
	line := fmt.Sprintf("  %s%s%s%5.1f s, %s", t.screen.Paint(mark, t.screen.Icon(mark)+" "+r.Name), gap(r.Name, 17), word+gap(word, 16), r.Seconds, ending)
	if r.Guardrail != "" {
		line += fmt.Sprintf("; guardrail %s, %s users reached", r.Guardrail, thousands(r.UsersAffected))
	}
	return line + "\n"
}

func gap(text string, columns int) string {
	return strings.Repeat(" ", max(columns-utf8.RuneCountInString(text), 1))
}

// whatNow says what can be tried while the shop goes on. Programs were told all they need.
func (t *timeline) whatNow(w *world, sum Summary) {
	if t.json {
		return
	}
	commands := []string{"rollout list", "rollout get " + expressTrial, "chaos list", "flag list"}
	for _, r := range sum.Scenes {
		if len(r.Traces) > 0 {
			commands = append(commands, "trace get "+r.Traces[0])
			break
		}
	}
	var b strings.Builder
	b.WriteString("\nThe shop goes on. Look around from another terminal:\n")
	for _, c := range commands {
		b.WriteString("  " + t.call + " " + c + "\n")
	}
	fmt.Fprintf(&b, "A link to log in, good once: %s\nCtrl-C ends everything and removes its data.\n", w.server.LoginLink())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write(b.String())
}

// thousands writes n with separators.
func thousands(n uint64) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
