package cli

import (
	"context"
	"io"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

// reportOutput tells all of an experiment's attempt.
type reportOutput struct {
	Trial       string       `json:"trial"`
	Attempt     int          `json:"attempt"`
	Description string       `json:"description,omitempty"`
	Hypothesis  string       `json:"hypothesis"`
	Flag        string       `json:"flag"`
	Audience    string       `json:"audience"`
	Phase       trial.Phase  `json:"phase"`
	Result      trial.Result `json:"result,omitempty"`
	Why         string       `json:"why"` // the verdict in a sentence
	StartedAt   time.Time    `json:"startedAt"`
	InjectedAt  time.Time    `json:"injectedAt,omitzero"` // when the fault was put on
	EndedAt     time.Time    `json:"endedAt,omitzero"`

	Steady     *trial.Baseline    `json:"steady,omitempty"` // before the fault was on; absent if it never was
	Injected   injectedOutput     `json:"injected"`
	Blast      blastOutput        `json:"blast"`
	Guardrails []explainGuardrail `json:"guardrails"`
	Blamed     []string           `json:"blamed"`
	Timeline   []decisionOutput   `json:"timeline"` // the oldest first
	Traces     []traceOutput      `json:"traces"`
	Next       []string           `json:"next"`
}

// injectedOutput is the check that faults really were injected, and only where they should.
type injectedOutput struct {
	Calls        uint64              `json:"calls"`        // of the treatment
	ControlCalls uint64              `json:"controlCalls"` // should be 0
	Points       []outcome.Injection `json:"points"`
}

// blastOutput is who was reached.
type blastOutput struct {
	Users    uint64 `json:"users"` // with the fault
	Requests uint64 `json:"requests"`
	Bad      uint64 `json:"bad"`
	// CausedBad are the bad requests beyond what the control's rate would have given; an estimate.
	CausedBad    float64 `json:"causedBad"`
	ControlUsers uint64  `json:"controlUsers"`
	MaxUsers     uint64  `json:"maxUsers"` // that the plan allowed
	// Share of the audience that the plan gives the fault.
	Share string `json:"share"`
}

func newChaosReport(a *app) *cobra.Command {
	var number int
	cmd := &cobra.Command{
		Use: "report NAME", Short: "Report on an experiment: what was injected, to whom, and what came of it", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(chaosNoun.names),
		Long: "Report on an experiment, in Markdown or with -o json: hypothesis and verdict, what was injected where, to how many users and\n" +
			"requests, the steady state before, each guardrail with its interval, the log, traces of failed requests, what to do next.",
		Example: "  seatrial chaos report payment-fails > payment-fails.md\n  seatrial chaos report payment-fails --attempt 1 -o json",
	}
	cmd.Flags().IntVar(&number, "attempt", 0, "of this attempt (default the newest)")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		t, err := chaosNoun.get(cmd.Context(), c, args[0])
		if err != nil {
			return err
		}
		r, err := reportOf(cmd.Context(), c, t, number)
		if err != nil {
			return err
		}
		if a.format() == formatJSON {
			return a.printJSON(r)
		}
		_, err = io.WriteString(a.out, r.markdown("#"))
		return err
	})
	return cmd
}

// reportOf gathers the report on an attempt, 0 for the newest.
func reportOf(ctx context.Context, c *api.Client, t api.Trial, number int) (reportOutput, error) {
	log, err := attempt(ctx, c, t, number)
	if err != nil {
		return reportOutput{}, err
	}
	t = log.asLeft(t)
	explained, err := explainedTrial(ctx, c, chaosNoun, t, log)
	if err != nil {
		return reportOutput{}, err
	}
	s := t.State
	r := reportOutput{
		Trial: t.Spec.Name, Attempt: s.Attempt, Description: t.Spec.Description, Hypothesis: t.Spec.Hypothesis, Flag: t.Spec.Flag, Audience: showCondition(t.Spec.Audience),
		Phase: s.Phase, Result: s.Result, Why: s.Why, StartedAt: s.StartedAt, InjectedAt: s.InjectedAt, EndedAt: s.EndedAt, Steady: s.Baseline,
		Injected: injectedOutput{s.Treatment.Injected, s.Control.Injected, append([]outcome.Injection{}, s.Injections...)},
		Blast: blastOutput{Users: s.Treatment.Units, Requests: s.Treatment.Requests, Bad: s.Treatment.Bad, CausedBad: explained.Spent.CausedBad,
			ControlUsers: s.Control.Units, MaxUsers: t.Spec.MaxUnits, Share: explained.Share},
		Guardrails: explained.Guardrails, Blamed: explained.Blamed, Timeline: []decisionOutput{}, Traces: explained.Traces, Next: explained.Next,
	}
	for _, e := range log.entries {
		r.Timeline = append(r.Timeline, e.decision())
	}
	return r, nil
}

// injectedWords says whether the experiment tried anything at all.
func (r *reportOutput) injectedWords() string {
	i := r.Injected
	switch {
	case i.ControlCalls > 0:
		return "Calls of the control were hit, too: the comparison cannot be trusted. Look for services with another version of the client, and for faults that reach both."
	case i.Calls == 0 && r.InjectedAt.IsZero():
		return "The fault was never on."
	case i.Calls == 0:
		return "No call was hit: nothing was tried. Look whether the treatment's requests pass the point, and whether a service's own caps or deny list keep faults away (`seatrial chaos explain`)."
	}
	return counted(int(i.Calls), "call") + " of the treatment hit, none of the control."
}
