package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

// aaOutput is what a self-test shows.
type aaOutput struct {
	Trial      string        `json:"trial"`
	Phase      trial.Phase   `json:"phase"`
	Result     trial.Result  `json:"result,omitempty"`
	Why        string        `json:"why"`
	SampleLogE float64       `json:"sampleLogE"`
	Guardrails []aaGuardrail `json:"guardrails"`
}

type aaGuardrail struct {
	Name         string              `json:"name"`
	Alarm        bool                `json:"alarm"` // now or before
	LogAnyHarm   float64             `json:"logAnyHarm"`
	LogHarm      float64             `json:"logHarm"`
	DesignEffect *designEffectOutput `json:"designEffect,omitempty"` // absent: not enough was seen
	// Suggested is the guardrail with its design effect, in the notation of --guardrail; empty if
	// it is good as it is.
	Suggested string `json:"suggested,omitempty"`
}

var aaColumns = []string{"GUARDRAIL", "ALARM", "LOG ANY HARM", "LOG HARM", "DESIGN EFFECT", "LOW", "HIGH", "SUGGESTED"}

func newRolloutAA(a *app) *cobra.Command {
	var (
		p       plan
		variant string
		length  time.Duration
		share   string
	)
	cmd := &cobra.Command{
		Use: "aa NAME", Short: "Test the evidence itself: the same variant in both arms must raise no alarm", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(rolloutNoun.names),
		Long: "Test the evidence itself on your own traffic (A/A): both arms get the same variant, so every alarm is a false one. Nobody\n" +
			"gets anything new. With --flag a self-test is started, without it the one of that name is reported: its alarms, the e-values\n" +
			"and the design effect, by which counts of requests that cluster by user have to be divided, with the guardrail to write.\n\n" +
			"Exit codes with -w, and of a report of one that is over: 0 quiet, 3 noisy, 1 it saw too little.",
		Example: `  seatrial rollout aa search-aa --flag search --for 2h -w
  seatrial rollout aa search-aa --flag search --guardrail by-request=errors:+20%:request
  seatrial rollout aa search-aa`,
	}
	flags := cmd.Flags()
	flags.StringVar(&p.spec.Flag, "flag", "", "the flag whose traffic is divided; starts a self-test")
	flags.StringVar(&variant, "variant", "", "the variant that both arms get (default the flag's default variant)")
	flags.StringVar(&share, "share", "50%", "of the audience in either arm")
	positiveVar(flags, &length, "for", 0, "how long (default 1h, at most 168h)")
	p.withFlags(cmd)
	a.completeFlag(cmd, "flag", flagNames)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if p.spec.Flag == "" {
			if anyChanged(cmd, "variant", "share", "for", "guardrail", "audience", "interval", "dry-run") {
				return usage(errors.New("--flag is missing: say on which flag's traffic the self-test is to run"))
			}
			return a.reportAA(cmd.Context(), c, args[0], p.watch)
		}
		if err := p.selfTest(cmd.Context(), c, args[0], variant, share, length); err != nil {
			return err
		}
		t, err := c.StartTrial(cmd.Context(), p.spec, p.w.to(""))
		if err != nil {
			return rolloutHint(cmd, c, p.spec, err)
		}
		if err := a.wrote(p.w, outputOf(t), "self-test %s started; it ends by itself after %s", t.Spec.Name, t.Spec.Deadline); err != nil || p.w.dryRun {
			return err
		}
		if p.watch {
			return a.reportAA(cmd.Context(), c, args[0], true)
		}
		a.say("Its report: seatrial rollout aa %s", t.Spec.Name)
		return nil
	})
	return cmd
}

// selfTest completes the plan of a self-test.
func (p *plan) selfTest(ctx context.Context, c *api.Client, name, variant, share string, length time.Duration) error {
	weight, err := parseShare(share)
	if err != nil {
		return usage(fmt.Errorf("--share: %w", err))
	}
	if variant == "" {
		f, _, err := c.Flag(ctx, p.spec.Flag)
		if err != nil {
			return orSuggest(err, "flag", p.spec.Flag, known(ctx, c, flagNames))
		}
		variant = f.DefaultVariant
	}
	p.spec.Name, p.spec.Goal, p.spec.Treatment, p.spec.Control = name, trial.GoalCalibrate, variant, variant
	p.spec.Deadline = trial.Duration(length)
	p.spec.Steps = []trial.Step{{Share: weight}}
	if err := p.finish(); err != nil {
		return err
	}
	if len(p.spec.Guardrails) == 0 {
		// The defaults, and errors by request besides, as that is where users cluster.
		byRequest := trial.DefaultGuardrails()[0]
		byRequest.Name, byRequest.Unit, byRequest.Mode = "errors-by-request", trial.UnitRequest, trial.ModeHold
		p.spec.Guardrails = append(trial.DefaultGuardrails(), byRequest)
	}
	return nil
}

// reportAA reports a self-test, at its end if wait is on.
func (a *app) reportAA(ctx context.Context, c *api.Client, name string, wait bool) error {
	t, err := rolloutNoun.get(ctx, c, name)
	if err != nil {
		return err
	}
	if t.Spec.Goal != trial.GoalCalibrate {
		return fmt.Errorf("%s is a rollout, not a self-test: `seatrial rollout explain %s` shows its evidence; start a self-test with --flag", name, name)
	}
	if wait {
		w := watcher{fetch: func(ctx context.Context) (api.Trial, error) { return c.Trial(ctx, name) }, away: a.tellAway, show: a.narrate()}
		if t, err = w.run(ctx); err != nil {
			return err
		}
	}
	out := aaOf(t)
	rows := table{json: out, head: aaColumns, rows: out.rows()}
	if err := a.print(rows); err != nil {
		return err
	}
	a.say("%s", orElse(t.State.Why, "Waiting for the first outcomes."))
	for _, g := range out.Guardrails {
		if g.Suggested != "" {
			a.say("Requests of %s cluster: write it as --guardrail %q", g.Name, g.Suggested)
		}
	}
	if !t.State.Ended() {
		return nil
	}
	return exitOfResult(t.State.Result)
}

func aaOf(t api.Trial) aaOutput {
	out := aaOutput{Trial: t.Spec.Name, Phase: t.State.Phase, Result: t.State.Result, Why: t.State.Why, SampleLogE: finite(t.State.Sample.LogE), Guardrails: []aaGuardrail{}}
	for i, g := range t.State.Guardrails {
		shown := guardrailOf(g)
		one := aaGuardrail{Name: g.Name, Alarm: g.Alarm || slices.Contains(t.State.Blamed, g.Name), LogAnyHarm: shown.LogAnyHarm, LogHarm: shown.LogHarm, DesignEffect: shown.DesignEffect}
		if spec := t.Spec.Guardrails[i]; one.DesignEffect != nil && one.DesignEffect.Low > 1 && spec.Unit == trial.UnitRequest {
			spec.DesignEffect = math.Ceil(max(spec.DesignEffect, 1)*one.DesignEffect.Value*10) / 10
			one.Suggested = showGuardrail(spec)
		}
		out.Guardrails = append(out.Guardrails, one)
	}
	return out
}

func (out aaOutput) rows() [][]cell {
	var rows [][]cell
	for _, g := range out.Guardrails {
		alarm := marked(markGood, "no")
		if g.Alarm {
			alarm = marked(markBad, "yes")
		}
		row := []cell{text("%s", g.Name), alarm, logCell(g.LogAnyHarm), logCell(g.LogHarm)}
		if d := g.DesignEffect; d != nil {
			row = append(row, ratioCell(d.Value), ratioCell(d.Low), ratioCell(d.High))
		} else {
			row = append(row, ratioCell(0), ratioCell(0), ratioCell(0))
		}
		rows = append(rows, append(row, cell{plain: g.Suggested, shown: orElse(g.Suggested, "-")}))
	}
	return rows
}
