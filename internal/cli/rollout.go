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
		newRolloutStart(a), newRolloutPlan(a), newRolloutAA(a), n.newGet(a),
		n.newList(a, "There are no rollouts yet. Start one: seatrial rollout start NAME --flag FLAG --treatment on --control off"),
		n.newAct(a, trial.VerbPause, "Stay at this share until told otherwise; harm still rolls back", "paused"),
		n.newAct(a, trial.VerbResume, "Let the evidence decide again", "resumed"),
		n.newAct(a, trial.VerbAdvance, "Go to the next step now, whatever the evidence lacks", "advanced"),
		n.newAct(a, trial.VerbPromote, "Give everybody the treatment now", "promoted"),
		n.newAct(a, trial.VerbApprove, "Let a step that waits for approval be left", "approved"),
		n.newAct(a, trial.VerbAbort, "Give everybody the control now", "aborted: everybody gets the control"),
		n.newStatus(a), n.newExplain(a), n.newReplay(a))
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
	p.withPlanFlags(cmd)
	cmd.Flags().BoolVarP(&p.watch, "follow", "w", false, "follow it to its end")
	p.w.withDryRun(cmd)
}

// withPlanFlags adds those that are part of the plan.
func (p *plan) withPlanFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.spec.Description, "description", "", "what it is about")
	flags.StringVar(&p.audience, "audience", "", `who takes part, such as "country in SE,NO"; the rest is left alone (default everybody)`)
	flags.StringArrayVar(&p.guardrails, "guardrail", nil,
		"`METRIC:TOLERANCE[:PART]...`, such as errors:\"+20%|+0.1pp\", latency:+20%:hold or throughput:-5%; the larger tolerance holds (repeatable; replaces the defaults)")
	positiveVar(flags, &p.interval, "interval", 0, "how often evidence is weighed (default 15s)")
	flags.Uint64Var(&p.minUsers, "min-users", 0, "users each step must have seen (default 100; 10 for groups)")
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

// ramp is what the command line says about a rollout.
type ramp struct {
	plan
	steps    string
	groups   []string
	watched  time.Duration
	noWatch  bool
	cohorts  trial.Cohorts
	expected string // share of the treatment's cohort
}

// withFlags adds the flags that say what is rolled out and how.
func (r *ramp) withFlags(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&r.file, "file", "f", "", "read the whole plan from this JSON or YAML file, - for standard input")
	flags.StringVar(&r.spec.Flag, "flag", "", "the flag whose variants are tried")
	flags.StringVar(&r.spec.Treatment, "treatment", "", "the variant that is new; for cohorts its value of the attribute")
	flags.StringVar(&r.spec.Control, "control", "", "the variant that everybody gets today; for cohorts its value of the attribute")
	flags.StringVar(&r.cohorts.Service, "service", "", "judge deployments that no flag divides: the `service.name` of both")
	flags.StringVar(&r.cohorts.Attribute, "attribute", "", "the resource attribute that tells the deployments apart (default service.version)")
	flags.StringVar(&r.expected, "expected-share", "", "of the traffic of both deployments that the treatment should get, such as 10%; for throughput")
	flags.StringVar(&r.spec.Artifact, "artifact", "", "what is tried, such as an image or a commit; trying the same one again is judged more strictly")
	flags.StringVar(&r.spec.Hypothesis, "hypothesis", "", "what you expect")
	flags.StringVar(&r.steps, "steps", "", `the ramp, such as "1%:5m,5%:10m:approve,50%:safe"`)
	flags.StringSliceVar(&r.groups, "groups", nil, "`segments` that go first, by comma")
	positiveVar(flags, &r.deadline, "deadline", 0, "the longest it may run (default 24h)")
	flags.StringVar((*string)(&r.spec.OnDeadline), "on-deadline", "", "then: hold, promote or rollback (default hold)")
	positiveVar(flags, &r.watched, "watch", 0, "how long it is still watched once everybody has the treatment (default 30m)")
	flags.BoolVar(&r.noWatch, "no-watch", false, "end with the promotion")
	flags.StringVar((*string)(&r.spec.OnWatch), "on-watch", "", "when it looks worse while it is watched: notify or rollback (default notify)")
	a.completeFlag(cmd, "flag", flagNames)
	a.completeFlag(cmd, "groups", segmentNames)
	completeWords(cmd, "on-deadline", "hold", "promote", "rollback")
	completeWords(cmd, "on-watch", "notify", "rollback")
}

func newRolloutStart(a *app) *cobra.Command {
	var r ramp
	cmd := &cobra.Command{
		Use: "start [NAME]", Short: "Start a rollout", Args: cobra.MaximumNArgs(1),
		Long: "Start a rollout: the treatment's share grows by steps while no guardrail is harmed, and falls to nothing at once when one is.\n\n" +
			"A step is SHARE[:TIME][:safe][:approve]: the least time it lasts, whether every guardrail must be proven safe before the next\n" +
			"one, and whether a person must approve it. Groups go first, one half of them against the other. Without --steps the ramp is\n" +
			"1%:5m,5%:10m,25%:15m,50%:15m:safe, and then everybody. Start an ended rollout again by its name: users keep their variant.\n\n" +
			"A guardrail is [NAME=]METRIC[:PART]..., without any errors and latency are watched:\n\n" +
			"  errors:+20%|+0.1pp             1.2 times the control's share or 0.1 percentage points more, whichever is larger\n" +
			"  errors:+20%:slo=1%             never more than 1 %, whatever the control shows\n" +
			"  latency:+20%:100ms,1s:hold     requests slower than these bounds; it may only hold the ramp\n" +
			"  latency:+20%:slo=1%@300ms      at most 1 % slower than 300 ms\n" +
			"  throughput:-5%                 arrivals that get lost\n" +
			"  event:sign-up:higher:-5%       users with an event that the application tracks\n" +
			"  value:basket:higher:-5%        mean of a value that it tracks; -2 tolerates 2 of its own unit\n\n" +
			"Further parts: shadow, hold or enforce; unit or request; weight=2; design-effect=3. Counters from Prometheus need a plan file.\n" +
			"With --service two deployments are judged that no flag divides: nothing is moved, the verdict is for your deployment tool.",
		Example: `  seatrial rollout start search-v2 --flag search --treatment on --control off
  seatrial rollout start search-v2 --flag search --treatment on --control off --groups internal-users,beta-testers \
      --steps "1%:5m,5%:10m:approve,50%:safe" --guardrail errors:"+20%|+0.1pp":slo=1% --guardrail latency:+20% -w
  seatrial rollout start search-v2 --flag search --treatment on --control off --dry-run
  seatrial rollout start checkout-2.4 --service checkout --treatment 2.4.0 --control 2.3.1
  seatrial rollout start -f rollout.yaml --reason "release 2.4"`,
	}
	r.withFlags(a, cmd)
	r.plan.withFlags(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		r.spec.Goal = trial.GoalPromote
		if err := r.resolve(a, cmd, args); err != nil {
			return err
		}
		t, err := c.StartTrial(cmd.Context(), r.spec, r.w.to(""))
		if err != nil {
			return rolloutHint(cmd, c, r.spec, err)
		}
		return a.started(cmd.Context(), c, rolloutNoun, t, r.w, r.plan.watch)
	})
	return cmd
}

// ofPlanFile are the flags that a plan file stands for.
var ofPlanFile = []string{"flag", "treatment", "control", "service", "attribute", "expected-share", "artifact", "steps", "groups", "guardrail", "audience"}

// resolve completes the plan of a rollout from file or flags.
func (r *ramp) resolve(a *app, cmd *cobra.Command, args []string) error {
	if r.noWatch && r.watched > 0 {
		return usage(errors.New("--watch and --no-watch: give one"))
	}
	if r.file != "" {
		if anyChanged(cmd, ofPlanFile...) {
			return usage(errors.New("--file holds the whole plan: leave --flag, --treatment, --control, --service, --steps, --groups, --guardrail, --audience and the like out"))
		}
		if err := a.readPlan(r.file, &r.spec); err != nil {
			return err
		}
		r.spec.Name = firstOf(strings.Join(args, ""), r.spec.Name)
		r.watching()
		return r.finish()
	}
	if err := r.complete(args); err != nil {
		return err
	}
	r.watching()
	if r.cohorts != (trial.Cohorts{}) {
		return r.asCohorts()
	}
	if err := r.readSteps(); err != nil {
		return err
	}
	return r.finish()
}

func (r *ramp) watching() {
	switch {
	case r.noWatch:
		r.spec.Watch = trial.NoWatch
	case r.watched > 0:
		r.spec.Watch = trial.Duration(r.watched)
	}
}

// complete refuses a plan that lacks what every plan needs.
func (r *ramp) complete(args []string) error {
	target := struct{ flag, value string }{"--flag", firstOf(r.spec.Flag, r.cohorts.Service, r.cohorts.Attribute)}
	for _, missing := range []struct{ flag, value string }{
		{"NAME", strings.Join(args, "")}, target, {"--treatment", r.spec.Treatment}, {"--control", r.spec.Control},
	} {
		if missing.value == "" {
			return usage(fmt.Errorf("%s is missing: say what is rolled out, such as `%s search-v2 --flag search --treatment on --control off`", missing.flag, "seatrial rollout start"))
		}
	}
	r.spec.Name = args[0]
	return nil
}

// asCohorts makes the plan one of deployments that no flag divides.
func (r *ramp) asCohorts() error {
	if r.spec.Flag != "" || r.audience != "" || len(r.groups) > 0 || r.steps != "" {
		return usage(errors.New("--service and --attribute judge deployments that no flag divides: leave --flag, --audience, --groups and --steps out, or leave them out"))
	}
	if r.expected != "" {
		share, err := parseShare(r.expected)
		if err != nil {
			return usage(fmt.Errorf("--expected-share: %w", err))
		}
		r.cohorts.Share = share
	}
	r.cohorts.Treatment, r.cohorts.Control = r.spec.Treatment, r.spec.Control
	r.spec.Cohorts, r.spec.Treatment, r.spec.Control = &r.cohorts, "", ""
	return r.finish()
}

func (r *ramp) readSteps() error {
	if r.expected != "" {
		return usage(errors.New("--expected-share is for deployments that no flag divides: of a flag the share is known"))
	}
	if r.steps != "" {
		parsed, err := parseSteps(r.steps)
		if err != nil {
			return usage(err)
		}
		r.spec.Steps = parsed
	}
	if len(r.groups) > 0 {
		first := trial.DefaultSteps(r.groups...)
		if r.steps != "" {
			first = append(first[:1:1], r.spec.Steps...)
		}
		r.spec.Steps = first
	} else if r.steps == "" && (r.minUsers > 0 || r.minTime > 0) {
		r.spec.Steps = trial.DefaultSteps()
	}
	return nil
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
