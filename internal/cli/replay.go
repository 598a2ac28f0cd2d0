package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/replay"
	"github.com/seatrial/seatrial/internal/core/rules"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

// replayOutput is what replay prints as JSON.
type replayOutput struct {
	Trial     string             `json:"trial"`
	Attempt   int                `json:"attempt"`
	Intervals int                `json:"intervals"`
	Decisions int                `json:"decisions"` // of the automation
	Commands  int                `json:"commands"`  // of people
	Compared  int                `json:"compared"`  // stored states that are equal
	Adopted   int                `json:"adopted"`   // stored states of another version of the rules, not compared
	Equal     bool               `json:"equal"`
	Differs   *replay.Difference `json:"differs,omitempty"`
	Rules     []ruleOutput       `json:"rules,omitempty"`
	Log       []replayRow        `json:"log"`
}

// replayRow is one event: what went in, what the evidence says after it, what was decided.
type replayRow struct {
	Time       time.Time      `json:"time"`
	Seq        int            `json:"seq"`
	Event      string         `json:"event"` // start, interval or a verb
	Actor      string         `json:"actor,omitempty"`
	Step       int            `json:"step"` // from 1
	Treatment  armOutput      `json:"treatment"`
	Control    armOutput      `json:"control"`
	Guardrails []evidenceItem `json:"guardrails"`
	Decision   string         `json:"decision,omitempty"`
	Phase      trial.Phase    `json:"phase"`
	Result     trial.Result   `json:"result,omitempty"`
	Stored     string         `json:"stored,omitempty"` // equal, or other-version
	Why        string         `json:"why"`
}

type armOutput struct {
	Requests uint64 `json:"requests"`
	Bad      uint64 `json:"bad"`
	Units    uint64 `json:"units"` // seen for the first time
}

type evidenceItem struct {
	Name       string        `json:"name"`
	Verdict    trial.Verdict `json:"verdict"`
	LogHarm    float64       `json:"logHarm"`
	LogNoWorse float64       `json:"logNoWorse"`
	LogAnyHarm float64       `json:"logAnyHarm"`
}

// ruleOutput is what a rule would have done.
type ruleOutput struct {
	Rule   string       `json:"rule"`
	Action rules.Action `json:"action"`
	At     time.Time    `json:"at,omitzero"`
	After  float64      `json:"afterMinutes,omitempty"`
	Why    string       `json:"why"`
}

var (
	replayColumns = []string{"TIME", "SEQ", "EVENT", "STEP", "TREATMENT", "CONTROL", "EVIDENCE", "DECISION", "STORED", "WHY"}
	ruleColumns   = []string{"RULE", "DECISION", "AT", "AFTER", "WHY"}
)

// thisTrial is the name under which a trial stands among the rules.
const thisTrial = "seatrial"

func (n trialNoun) newReplay(a *app) *cobra.Command {
	var (
		number int
		names  []string
	)
	cmd := &cobra.Command{
		Use: "replay NAME", Short: "Recompute every decision from the journal, bit for bit", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(n.names),
		Long: "Recompute every decision of a " + n.what + " from what is stored: its intervals and what people told it. Every state that was\n" +
			"stored is compared, bit for bit. It prints a row for each event; the evidence is natural logs of e-values, for harm, for no\n" +
			"worse and for any harm. With --rule it shows instead what other tools' rules would have decided on the same intervals, and\n" +
			"when. Exit codes: 0 all is equal, 1 something differs.",
		Example: fmt.Sprintf("  seatrial %[1]s replay NAME\n  seatrial %[1]s replay NAME --attempt 1 -o json\n  seatrial %[1]s replay NAME --rule argo,kayenta", n.name),
	}
	cmd.Flags().IntVar(&number, "attempt", 0, "of this attempt (default the newest)")
	cmd.Flags().StringSliceVar(&names, "rule", nil, "`rules` to compare with, by comma: "+strings.Join(rules.Names, ", ")+", or all")
	completeWords(cmd, "rule", append(slices.Clone(rules.Names), "all")...)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		others, err := newRules(names)
		if err != nil {
			return err
		}
		t, err := n.get(cmd.Context(), c, args[0])
		if err != nil {
			return err
		}
		out, err := replayed(cmd.Context(), c, t, number, others)
		if err != nil {
			return err
		}
		return a.printReplay(out, len(names) > 0)
	})
	return cmd
}

// namedRule is a rule under its name.
type namedRule struct {
	name string
	rules.Rule
}

func newRules(names []string) ([]namedRule, error) {
	if slices.Contains(names, "all") {
		names = rules.Names
	}
	var list []namedRule
	for _, name := range names {
		if err := oneOf("--rule", name, rules.Names...); err != nil {
			return nil, err
		}
		rule, err := rules.New(name)
		if err != nil {
			return nil, usage(err)
		}
		list = append(list, namedRule{name, rule})
	}
	return list, nil
}

// replayed fetches an attempt and recomputes it. A difference is part of the output, not an error.
func replayed(ctx context.Context, c *api.Client, t api.Trial, number int, others []namedRule) (replayOutput, error) {
	log, err := attempt(ctx, c, t, number)
	if err != nil {
		return replayOutput{}, err
	}
	r, first, err := replay.New(log.spec, log.changes())
	if err != nil {
		return replayOutput{}, fmt.Errorf("%s: %w", t.Spec.Name, err)
	}
	out := replayOutput{Trial: t.Spec.Name, Attempt: log.entries[0].state.Attempt, Log: []replayRow{}}
	out.add(log, first)
	last := first.State
	take := func(steps []replay.Step, err error) error {
		for _, s := range steps {
			if s.State.Attempt > 0 {
				out.add(log, s)
				last = s.State
			}
		}
		return err
	}
	err = c.EachInterval(ctx, t.Spec.Name, out.Attempt, func(one api.Interval) error {
		for _, rule := range others {
			rule.Add(one.Interval)
		}
		return take(r.Interval(replay.Row{Interval: one.Interval, State: one.State}))
	})
	if err == nil {
		steps, _, finish := r.Finish()
		err = take(steps, finish)
	}
	if err != nil && !errors.As(err, &out.Differs) {
		return out, err
	}
	out.Equal = out.Differs == nil
	out.Rules = ruleOutputs(log, last, others)
	return out, nil
}

// add appends a step of the replay to the log.
func (out *replayOutput) add(log attemptLog, s replay.Step) {
	row := replayRow{Time: s.State.UpdatedAt, Seq: s.State.Seq, Event: string(s.Kind), Step: s.State.Step + 1, Phase: s.State.Phase, Result: s.State.Result,
		Why: s.State.Why}
	switch s.Kind {
	case replay.KindInterval:
		out.Intervals++
		row.Step = s.Interval.Step + 1
		row.Treatment, row.Control = armOf(s.Interval.Treatment), armOf(s.Interval.Control)
		if s.Revision > 0 {
			out.Decisions++
		}
	case replay.KindCommand:
		out.Commands++
		row.Event = orElse(string(s.Verb), "command")
	}
	if entry, ok := log.at(s.Revision); ok && s.Kind != replay.KindInterval {
		row.Time, row.Actor = entry.Time, entry.Actor
	}
	row.Guardrails = evidenceItems(s.State)
	row.Decision = decisionOf(s)
	switch {
	case s.Compared:
		row.Stored = "equal"
		out.Compared++
	case s.Adopted:
		row.Stored = "other-version"
		out.Adopted++
	}
	out.Log = append(out.Log, row)
}

func decisionOf(s replay.Step) string {
	var words []string
	for _, action := range s.Actions {
		words = append(words, string(action.Kind))
	}
	if s.State.Ended() && s.State.Result != "" && len(words) > 0 {
		words = append(words, string(s.State.Result))
	}
	return strings.Join(words, " ")
}

func armOf(a outcome.Arm) armOutput { return armOutput{a.Requests, a.Bad, a.NewUnits} }

// finite keeps a log within what JSON can say.
func finite(v float64) float64 { return max(-math.MaxFloat64, min(v, math.MaxFloat64)) }

// ruleOutputs puts the trial itself before the rules it is compared with.
func ruleOutputs(log attemptLog, last trial.State, others []namedRule) []ruleOutput {
	if len(others) == 0 {
		return nil
	}
	after := func(at time.Time) float64 {
		if at.IsZero() {
			return 0
		}
		return math.Round(at.Sub(log.started()).Minutes()*10) / 10
	}
	own := ruleOutput{Rule: thisTrial, Action: rules.Continue, Why: last.Why}
	if last.Ended() {
		own.Action, own.At, own.After = rules.Action(last.Result), last.EndedAt, after(last.EndedAt)
	}
	list := []ruleOutput{own}
	for _, rule := range others {
		d := rule.Decision()
		list = append(list, ruleOutput{Rule: rule.name, Action: d.Action, At: d.At, After: after(d.At), Why: d.Why})
	}
	return list
}

func ruleTable(list []ruleOutput) table {
	t := table{json: list, head: ruleColumns, wrap: true}
	for _, r := range list {
		m := markQuiet
		if r.Action == rules.RollBack || r.Action == rules.Action(trial.ResultRolledBack) {
			m = markBad
		}
		at, after := cell{shown: "-"}, cell{shown: "-"}
		if !r.At.IsZero() {
			at, after = cell{plain: r.At.UTC().Format(time.RFC3339)}, text("%s min", trimFloat(r.After))
		}
		t.rows = append(t.rows, []cell{text("%s", r.Rule), {plain: string(r.Action), shown: strings.ReplaceAll(string(r.Action), "_", " "), mark: m}, at, after, text("%s", r.Why)})
	}
	return t
}

func (a *app) printReplay(out replayOutput, onlyRules bool) error {
	shown := table{json: out, head: replayColumns}
	if onlyRules {
		shown = ruleTable(out.Rules)
		shown.json = out
	} else {
		for _, row := range out.Log {
			shown.rows = append(shown.rows, row.cells())
		}
	}
	if err := a.print(shown); err != nil {
		return err
	}
	if out.Differs != nil {
		return fmt.Errorf("attempt %d of %s does not replay: %w", out.Attempt, out.Trial, out.Differs)
	}
	a.say("%s", a.narration.marked(markGood, out.sentence()))
	if out.Intervals == 0 {
		a.say("The journal is empty: no interval was closed yet. `seatrial trace list` shows whether anything arrives.")
	}
	return nil
}

func (out replayOutput) sentence() string {
	text := fmt.Sprintf("%s, %s and %s recomputed; %s compared, all equal to the bit", counted(out.Intervals, "interval"), counted(out.Decisions, "decision"),
		counted(out.Commands, "command"), counted(out.Compared, "stored state"))
	if out.Adopted > 0 {
		text += fmt.Sprintf("; %s made by another version of the rules, which this version cannot recompute: taken as they are", counted(out.Adopted, "stored state"))
	}
	return text
}

func (r replayRow) cells() []cell {
	event := text("%s", r.Event)
	if r.Actor != "" && r.Event != string(replay.KindStart) {
		event.shown = r.Event + " by " + r.Actor
	}
	arm := func(a armOutput) cell { return text("%s", fmt.Sprintf("%d/%d", a.Bad, a.Requests)) }
	return []cell{text("%s", r.Time.UTC().Format(time.RFC3339)), text("%d", r.Seq), event, text("%d", r.Step), arm(r.Treatment), arm(r.Control),
		text("%s", evidenceText(r.Guardrails)), text("%s", r.Decision), text("%s", r.Stored), text("%s", r.Why)}
}
