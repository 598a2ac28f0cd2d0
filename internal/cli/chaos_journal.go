package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

// The journal of an experiment as the Chaos Toolkit writes it, for the tools that read those. The
// fields are those of its specification (chaostoolkit.org, Experiment Journal and Experiment), with
// platform, node, chaoslib-version and steady_states.during as chaostoolkit-lib 1.x adds them.
//
// What is what:
//
//	hypothesis          steady-state-hypothesis.title; a guardrail is a probe of it
//	steady phase        steady_states.before
//	decisions           steady_states.during, one for each while the fault was on
//	last evidence       steady_states.after
//	fault               method and run, one action
//	fault off again     rollbacks, one action; it never fails, as faults lapse by themselves
//	survived            status completed, deviated false
//	weakness_found      status completed, deviated true
//	inconclusive        status completed, deviated false; the action's output says so
//	aborted             status aborted, deviated false
//
// A probe has met its tolerance unless its guardrail was proven harmful; one without data, or whose
// arms cannot be compared, has failed and not met it.

// ctkJournal is the document.
type ctkJournal struct {
	Version      string        `json:"chaoslib-version"`
	Platform     string        `json:"platform"`
	Node         string        `json:"node"`
	Experiment   ctkExperiment `json:"experiment"`
	Start        ctkTime       `json:"start"`
	Status       string        `json:"status"`
	Deviated     bool          `json:"deviated"`
	SteadyStates ctkSteady     `json:"steady_states"`
	Run          []ctkRun      `json:"run"`
	Rollbacks    []ctkRun      `json:"rollbacks"`
	End          ctkTime       `json:"end"`
	Duration     float64       `json:"duration"` // seconds
}

type ctkExperiment struct {
	Version     string        `json:"version"`
	Title       string        `json:"title"`
	Description string        `json:"description"`
	Tags        []string      `json:"tags"`
	Hypothesis  ctkHypothesis `json:"steady-state-hypothesis"`
	Method      []ctkActivity `json:"method"`
	Rollbacks   []ctkActivity `json:"rollbacks"`
}

type ctkHypothesis struct {
	Title  string        `json:"title"`
	Probes []ctkActivity `json:"probes"`
}

// ctkActivity is a probe or an action.
type ctkActivity struct {
	Type      string        `json:"type"`
	Name      string        `json:"name"`
	Tolerance *ctkTolerance `json:"tolerance,omitempty"` // of probes of the hypothesis
	Provider  ctkProvider   `json:"provider"`
}

type ctkTolerance struct {
	Type    string `json:"type"`
	Pattern string `json:"pattern"`
}

type ctkProvider struct {
	Type   string `json:"type"`
	URL    string `json:"url"`
	Method string `json:"method,omitempty"`
}

type ctkSteady struct {
	Before *ctkState  `json:"before"`
	After  *ctkState  `json:"after"`
	During []ctkState `json:"during"`
}

type ctkState struct {
	Met    bool     `json:"steady_state_met"`
	Probes []ctkRun `json:"probes"`
}

// ctkRun is what came of an activity.
type ctkRun struct {
	Activity ctkActivity `json:"activity"`
	Status   string      `json:"status"` // succeeded or failed
	Start    ctkTime     `json:"start"`
	End      ctkTime     `json:"end"`
	Duration float64     `json:"duration"` // seconds
	Met      *bool       `json:"tolerance_met,omitempty"`
	Output   *string     `json:"output"`
}

// ctkTime is written in UTC (RFC 3339).
type ctkTime time.Time

// MarshalText writes the time to the microsecond.
func (t ctkTime) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000000Z07:00"), nil
}

func newChaosJournal(a *app) *cobra.Command {
	var number int
	cmd := &cobra.Command{
		Use: "journal NAME", Short: "Print an ended experiment as a journal of the Chaos Toolkit", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(chaosNoun.names),
		Long: "Print an ended experiment as a journal in the format of the Chaos Toolkit, for reports and archives that read it. A weakness\n" +
			"is written as deviated; inconclusive as completed and not deviated, which the output of the action tells.",
		Example: "  seatrial chaos journal payment-fails > journal.json",
	}
	cmd.Flags().IntVar(&number, "attempt", 0, "of this attempt (default the newest)")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		t, err := chaosNoun.get(cmd.Context(), c, args[0])
		if err != nil {
			return err
		}
		j, err := journalOf(cmd.Context(), c, t, number)
		if err != nil {
			return err
		}
		return a.printJSON(j)
	})
	return cmd
}

func journalOf(ctx context.Context, c *api.Client, t api.Trial, number int) (ctkJournal, error) {
	r, err := reportOf(ctx, c, t, number)
	if err != nil {
		return ctkJournal{}, err
	}
	if r.EndedAt.IsZero() {
		return ctkJournal{}, fmt.Errorf("%s has not ended: a journal is written at the end, `seatrial chaos status %s` waits for it", r.Trial, r.Trial)
	}
	return journal(r, c.TrialURL(r.Trial), readBuildInfo().Version), nil
}

// journal makes the document; url is where the HTTP API has the experiment.
func journal(r reportOutput, url, version string) ctkJournal {
	inject := ctkActivity{Type: "action", Name: "faults of flag " + r.Flag, Provider: ctkProvider{Type: "http", URL: url, Method: "POST"}}
	off := ctkActivity{Type: "action", Name: "faults off", Provider: ctkProvider{Type: "http", URL: url + "/actions", Method: "POST"}}
	j := ctkJournal{Version: "seatrial-" + version, Platform: "seatrial", Node: "seatrial", Start: ctkTime(r.StartedAt), End: ctkTime(r.EndedAt),
		Duration: r.EndedAt.Sub(r.StartedAt).Seconds(), Status: "completed", Deviated: r.Result == trial.ResultWeaknessFound,
		Run: []ctkRun{}, Rollbacks: []ctkRun{},
		Experiment: ctkExperiment{Version: "1.0.0", Title: r.Trial, Description: orElse(r.Description, r.Hypothesis), Tags: []string{"seatrial"},
			Hypothesis: ctkHypothesis{Title: r.Hypothesis, Probes: []ctkActivity{}}, Method: []ctkActivity{inject}, Rollbacks: []ctkActivity{off}}}
	if r.Result == trial.ResultAborted {
		j.Status = "aborted"
	}
	for _, g := range r.Guardrails {
		j.Experiment.Hypothesis.Probes = append(j.Experiment.Hypothesis.Probes, ctkProbe(g.Name, url))
	}
	j.SteadyStates = ctkSteadyStates(r, url)
	if !r.InjectedAt.IsZero() {
		status, output := "succeeded", r.injectedWords()+" "+r.Why
		if r.Injected.Calls == 0 {
			status = "failed"
		}
		j.Run = append(j.Run, ctkDone(inject, status, r.InjectedAt, r.EndedAt, output))
		j.Rollbacks = append(j.Rollbacks, ctkDone(off, "succeeded", r.EndedAt, r.EndedAt, "the fault is off"))
	}
	return j
}

func ctkProbe(guardrail, url string) ctkActivity {
	return ctkActivity{Type: "probe", Name: guardrail, Provider: ctkProvider{Type: "http", URL: url},
		Tolerance: &ctkTolerance{Type: "regex", Pattern: "^(safe|undecided)$"}}
}

// ctkSteadyStates tells how the hypothesis fared before, during and after the fault.
func ctkSteadyStates(r reportOutput, url string) ctkSteady {
	s := ctkSteady{During: []ctkState{}}
	on := r.InjectedAt
	switch {
	case r.Steady != nil:
		s.Before = ctkStateOf(r, url, r.Steady.From, r.Steady.To, func(string) trial.Verdict { return trial.VerdictUndecided })
	case on.IsZero():
		s.Before = ctkStateOf(r, url, r.StartedAt, r.EndedAt, verdictsOf(r.lastEvidence()))
		s.Before.Met = false // else the fault had been put on
		return s
	}
	from := on
	for _, d := range r.Timeline {
		if d.Time.Before(on) || d.Phase == trial.PhaseEnded {
			continue
		}
		s.During = append(s.During, *ctkStateOf(r, url, from, d.Time, verdictsOf(d.Guardrails)))
		from = d.Time
	}
	s.After = ctkStateOf(r, url, on, r.EndedAt, verdictsOf(r.lastEvidence()))
	return s
}

func (r *reportOutput) lastEvidence() []evidenceItem {
	if len(r.Timeline) == 0 {
		return nil
	}
	return r.Timeline[len(r.Timeline)-1].Guardrails
}

func verdictsOf(items []evidenceItem) func(string) trial.Verdict {
	return func(name string) trial.Verdict {
		for _, one := range items {
			if one.Name == name {
				return one.Verdict
			}
		}
		return trial.VerdictNoData
	}
}

func ctkStateOf(r reportOutput, url string, from, to time.Time, verdict func(string) trial.Verdict) *ctkState {
	s := &ctkState{Met: true, Probes: []ctkRun{}}
	for _, g := range r.Guardrails {
		v := verdict(g.Name)
		met, status := v == trial.VerdictSafe || v == trial.VerdictUndecided, "succeeded"
		if v == trial.VerdictNoData || v == trial.VerdictInvalid {
			status = "failed"
		}
		run := ctkDone(ctkProbe(g.Name, url), status, from, to, string(v))
		run.Met = &met
		s.Met = s.Met && met
		s.Probes = append(s.Probes, run)
	}
	return s
}

func ctkDone(activity ctkActivity, status string, from, to time.Time, output string) ctkRun {
	output = strings.TrimSpace(output)
	return ctkRun{Activity: activity, Status: status, Start: ctkTime(from), End: ctkTime(to), Duration: max(0, to.Sub(from).Seconds()), Output: &output}
}
