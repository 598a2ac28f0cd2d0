package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

func newRollout(a *app) *cobra.Command {
	n := rolloutNoun
	return group(groupWork, "rollout", "Canaries: raise a variant's share step by step while the evidence allows",
		newRolloutStart(a), n.newGet(a),
		n.newList(a, "There are no rollouts yet. Start one: seatrial rollout start NAME --flag FLAG --treatment on --control off"),
		n.newAct(a, trial.VerbPause, "Stay at this share until told otherwise; harm still rolls back", "paused"),
		n.newAct(a, trial.VerbResume, "Let the evidence decide again", "resumed"),
		n.newAct(a, trial.VerbAdvance, "Go to the next step now, whatever the evidence lacks", "advanced"),
		n.newAct(a, trial.VerbPromote, "Give everybody the treatment now", "promoted"),
		n.newAct(a, trial.VerbAbort, "Give everybody the control now", "aborted: everybody gets the control"),
		n.newStatus(a))
}

// plan is what the command line says about a trial, rollout or chaos alike.
type plan struct {
	spec               trial.Spec
	file, audience     string
	guardrails         []string
	interval, deadline time.Duration
	minTime            time.Duration
	minUsers           uint64
	watch              bool
	w                  writing
}

// withFlags adds what rollout start and chaos start share.
func (p *plan) withFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.spec.Description, "description", "", "what it is about")
	flags.StringVar(&p.audience, "audience", "", `who takes part, such as "country in SE,NO"; the rest is left alone (default everybody)`)
	flags.StringArrayVar(&p.guardrails, "guardrail", nil,
		"`METRIC:TOLERANCE[:MODE]`, such as errors:\"+20%|+0.1pp\" or latency:+20%:hold; the larger tolerance holds (repeatable; replaces the defaults)")
	positiveVar(flags, &p.interval, "interval", 0, "how often evidence is weighed (default 15s)")
	flags.Uint64Var(&p.minUsers, "min-users", 0, "users each step must have seen (default 100; 10 for groups)")
	flags.BoolVarP(&p.watch, "follow", "w", false, "follow it to its end")
	p.w.withDryRun(cmd)
}

// finish reads the notations into the spec.
func (p *plan) finish() error {
	audience, err := parseCondition(p.audience)
	if err != nil {
		return usage(fmt.Errorf("--audience: %w", err))
	}
	if p.audience != "" {
		p.spec.Audience = audience
	}
	for _, text := range p.guardrails {
		g, err := parseGuardrail(text)
		if err != nil {
			return usage(err)
		}
		p.spec.Guardrails = append(p.spec.Guardrails, g)
	}
	if p.interval != 0 {
		p.spec.Interval = trial.Duration(p.interval)
	}
	if p.deadline != 0 {
		p.spec.Deadline = trial.Duration(p.deadline)
	}
	for i := range p.spec.Steps {
		if p.minUsers > 0 {
			p.spec.Steps[i].MinUnits = p.minUsers
		}
		if p.minTime > 0 {
			p.spec.Steps[i].MinTime = trial.Duration(p.minTime)
		}
	}
	return nil
}

func newRolloutStart(a *app) *cobra.Command {
	var (
		p      plan
		steps  string
		groups []string
		watch  time.Duration
	)
	cmd := &cobra.Command{
		Use: "start [NAME]", Short: "Start a rollout", Args: cobra.MaximumNArgs(1),
		Long: "Start a rollout: the treatment's share grows by steps while no guardrail is harmed, and falls to nothing at once when one is.\n\n" +
			"A step is SHARE[:TIME][:safe]: the least time it lasts, and whether every guardrail must be proven safe before the next one.\n" +
			"Groups go first, one half of them against the other. Without --steps the ramp is 1%:5m,5%:10m,25%:15m,50%:15m:safe, and then\n" +
			"everybody. Without --guardrail errors and latency are watched. Start an ended rollout again by its name: users keep their variant.",
		Example: `  seatrial rollout start search-v2 --flag search --treatment on --control off
  seatrial rollout start search-v2 --flag search --treatment on --control off --groups internal-users,beta-testers \
      --steps "1%:5m,5%:10m,50%:safe" --guardrail errors:"+20%|+0.1pp" --guardrail latency:+20% -w
  seatrial rollout start search-v2 --flag search --treatment on --control off --dry-run
  seatrial rollout start -f rollout.yaml --reason "release 2.4"`,
	}
	flags := cmd.Flags()
	flags.StringVarP(&p.file, "file", "f", "", "read the whole plan from this JSON or YAML file, - for standard input")
	flags.StringVar(&p.spec.Flag, "flag", "", "the flag whose variants are tried")
	flags.StringVar(&p.spec.Treatment, "treatment", "", "the variant that is new")
	flags.StringVar(&p.spec.Control, "control", "", "the variant that everybody gets today")
	flags.StringVar(&p.spec.Hypothesis, "hypothesis", "", "what you expect")
	flags.StringVar(&steps, "steps", "", `the ramp, such as "1%:5m,5%:10m,50%:safe"`)
	flags.StringSliceVar(&groups, "groups", nil, "`segments` that go first, by comma")
	positiveVar(flags, &p.deadline, "deadline", 0, "the longest it may run (default 24h)")
	flags.StringVar((*string)(&p.spec.OnDeadline), "on-deadline", "", "then: hold, promote or rollback (default hold)")
	positiveVar(flags, &watch, "watch", 0, "how long it is still watched once everybody has the treatment (default 30m)")
	p.withFlags(cmd)
	a.completeFlag(cmd, "flag", flagNames)
	a.completeFlag(cmd, "groups", segmentNames)
	completeWords(cmd, "on-deadline", "hold", "promote", "rollback")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		p.spec.Goal, p.spec.Watch = trial.GoalPromote, trial.Duration(watch)
		if err := p.rollout(a, cmd, args, steps, groups); err != nil {
			return err
		}
		t, err := c.StartTrial(cmd.Context(), p.spec, p.w.to(""))
		if err != nil {
			return rolloutHint(cmd, c, p.spec, err)
		}
		return a.started(cmd.Context(), c, rolloutNoun, t, p.w, p.watch)
	})
	return cmd
}

// rollout completes the plan of a rollout from file or flags.
func (p *plan) rollout(a *app, cmd *cobra.Command, args []string, steps string, groups []string) error {
	if p.file != "" {
		if anyChanged(cmd, "flag", "treatment", "control", "steps", "groups", "guardrail", "audience") {
			return usage(errors.New("--file holds the whole plan: leave --flag, --treatment, --control, --steps, --groups, --guardrail and --audience out"))
		}
		if err := a.readPlan(p.file, &p.spec); err != nil {
			return err
		}
		p.spec.Name = firstOf(strings.Join(args, ""), p.spec.Name)
		return p.finish()
	}
	for _, missing := range []struct{ flag, value string }{
		{"NAME", strings.Join(args, "")}, {"--flag", p.spec.Flag}, {"--treatment", p.spec.Treatment}, {"--control", p.spec.Control},
	} {
		if missing.value == "" {
			return usage(fmt.Errorf("%s is missing: say what is rolled out, such as `seatrial rollout start search-v2 --flag search --treatment on --control off`", missing.flag))
		}
	}
	p.spec.Name = args[0]
	if steps != "" {
		parsed, err := parseSteps(steps)
		if err != nil {
			return usage(err)
		}
		p.spec.Steps = parsed
	}
	if len(groups) > 0 {
		ramp := trial.DefaultSteps(groups...)
		if steps != "" {
			ramp = append(ramp[:1:1], p.spec.Steps...)
		}
		p.spec.Steps = ramp
	} else if steps == "" && (p.minUsers > 0 || p.minTime > 0) {
		p.spec.Steps = trial.DefaultSteps()
	}
	return p.finish()
}

// readPlan reads a plan strictly: a field that is misspelt is an error, not a default.
func (a *app) readPlan(path string, spec *trial.Spec) error {
	document, err := a.readDocument(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(spec); err != nil {
		return fmt.Errorf("%s: %w%s", shownPath(path), err, suggestField(err, *spec))
	}
	return nil
}

// rolloutHint adds the names that exist to a refusal that names one which does not.
func rolloutHint(cmd *cobra.Command, c *api.Client, spec trial.Spec, err error) error {
	if spec.Flag == "" {
		return err
	}
	f, _, ferr := c.Flag(cmd.Context(), spec.Flag)
	if api.NotFound(ferr) {
		return orSuggest(ferr, "flag", spec.Flag, known(cmd.Context(), c, flagNames))
	}
	if ferr != nil {
		return err
	}
	for _, variant := range []string{spec.Treatment, spec.Control} {
		names := namesOf(f.Variants, func(v flag.Variant) string { return v.Name })
		if hint := misspelt(variant, names); hint != "" {
			return fmt.Errorf("%w%s", err, hint)
		}
	}
	return err
}
