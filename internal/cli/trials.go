package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

// trialNoun is a trial under the name that its goal has for users.
type trialNoun struct {
	name string // the noun of the command line
	goal trial.Goal
	what string // for sentences
}

// A self-test (goal calibrate) is a rollout of nothing, and found among rollouts.
var (
	rolloutNoun = trialNoun{"rollout", trial.GoalPromote, "rollout"}
	chaosNoun   = trialNoun{"chaos", trial.GoalSurvive, "chaos experiment"}
)

// has reports whether a trial of that goal is one of this noun.
func (n trialNoun) has(goal trial.Goal) bool {
	return goal == n.goal || n.goal == trial.GoalPromote && goal == trial.GoalCalibrate
}

func (n trialNoun) names(ctx context.Context, c *api.Client) ([]string, error) {
	trials, err := c.Trials(ctx)
	return namesOf(n.mine(trials), func(t api.Trial) string { return t.Spec.Name }), err
}

func (n trialNoun) mine(trials []api.Trial) []api.Trial {
	mine := []api.Trial{}
	for _, t := range trials {
		if n.has(t.Spec.Goal) {
			mine = append(mine, t)
		}
	}
	return mine
}

// get gives a trial of this noun. A trial of the other noun is an error that names it.
func (n trialNoun) get(ctx context.Context, c *api.Client, name string) (api.Trial, error) {
	t, err := c.Trial(ctx, name)
	if err != nil {
		return t, orSuggest(err, n.name, name, known(ctx, c, n.names))
	}
	if !n.has(t.Spec.Goal) {
		other := rolloutNoun
		if n.goal == other.goal {
			other = chaosNoun
		}
		return t, fmt.Errorf("%s is a %s: use `seatrial %s` for it", name, other.what, other.name)
	}
	return t, nil
}

var trialColumns = []string{"NAME", "STATUS", "STEP", "SHARE", "FLAG", "USERS", "UPDATED", "WHY"}

func (n trialNoun) newList(a *app, empty string) *cobra.Command {
	var active bool
	cmd := &cobra.Command{
		Use: "list", Short: "List every " + n.what + ", those that run first",
		Example: fmt.Sprintf("  seatrial %[1]s list\n  seatrial %[1]s list --active -o json", n.name),
	}
	cmd.Flags().BoolVar(&active, "active", false, "only those that have not ended")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		trials, err := c.Trials(cmd.Context())
		if err != nil {
			return err
		}
		running, ended := []api.Trial{}, []api.Trial{}
		for _, t := range n.mine(trials) {
			if t.State.Ended() {
				ended = append(ended, t)
			} else {
				running = append(running, t)
			}
		}
		if !active {
			running = append(running, ended...)
		}
		return a.print(trialTable(running, empty))
	})
	return cmd
}

func trialTable(trials []api.Trial, empty string) table {
	t := table{json: outputsOf(trials), head: trialColumns, empty: empty}
	for _, one := range trials {
		step, share := trialPlace(one)
		t.rows = append(t.rows, []cell{text("%s", one.Spec.Name), trialStatus(one.State), text("%s", step), text("%s", share),
			text("%s", showFlag(one.Spec)), text("%d", one.State.Treatment.Units), ago(one.State.UpdatedAt), text("%s", one.State.Why)})
	}
	return t
}

func (n trialNoun) newGet(a *app) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show one " + n.what + ": why it is where it is, the numbers, what to do", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(n.names),
		Long: "Show one " + n.what + ": why it is where it is, the numbers, what to do.\n\n" +
			"With -w it is followed to its end, and the exit code tells the result: 0 promoted or survived, 3 rolled back,\n" +
			"aborted or a weakness found, 1 inconclusive.",
		Example: fmt.Sprintf("  seatrial %[1]s get NAME\n  seatrial %[1]s get NAME -w\n  seatrial %[1]s get NAME -w -o json", n.name),
	}
	cmd.Flags().BoolVarP(&watch, "follow", "w", false, "follow it to its end; a terminal is redrawn, elsewhere each change is a line")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		t, err := n.get(cmd.Context(), c, args[0])
		switch {
		case err != nil:
			return err
		case watch:
			return a.watch(cmd.Context(), c, n, args[0])
		}
		return a.printTrial(n, t)
	})
	return cmd
}

func (n trialNoun) newStatus(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "status NAME", Short: "Wait until a " + n.what + " is over; the exit code tells how it ended", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(n.names),
		Long: "Wait until a " + n.what + " is over, for pipelines. Exit codes: 0 promoted or survived, 3 rolled back, aborted or a\n" +
			"weakness found, 1 inconclusive, 5 still running when the time was over.",
		Example: fmt.Sprintf("  seatrial %s status NAME --timeout 2h", n.name),
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait, such as 30m; 0: as long as it takes")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if _, err := n.get(cmd.Context(), c, args[0]); err != nil {
			return err
		}
		return a.statusOf(cmd.Context(), c, args[0], timeout)
	})
	return cmd
}

// newAct is a verb that gives a running trial a command.
func (n trialNoun) newAct(a *app, verb trial.Verb, short, done string) *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use: string(verb) + " NAME", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(n.names),
		Example: fmt.Sprintf("  seatrial %s %s NAME --reason \"...\"", n.name, verb),
	}
	w.withReason(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if _, err := n.get(cmd.Context(), c, args[0]); err != nil {
			return err
		}
		t, err := c.Act(cmd.Context(), args[0], string(verb), w.reason)
		if err != nil {
			return err
		}
		return a.wrote(writing{}, outputOf(t), "%s %s", args[0], done)
	})
	return cmd
}

// started reports a trial that was started, and follows it if that was asked for.
func (a *app) started(ctx context.Context, c *api.Client, n trialNoun, t api.Trial, w writing, watch bool) error {
	step, share := trialPlace(t)
	shown := any(outputOf(t))
	if watch {
		shown = nil // watching prints it
	}
	if err := a.wrote(w, shown, "%s %s started at step %s, %s", n.what, t.Spec.Name, step, share); err != nil {
		return err
	}
	if w.dryRun {
		return nil
	}
	if t.Spec.FourEyes {
		a.say("Somebody else has to approve it within %s: seatrial %s approve %s", trial.ApprovalTime, n.name, t.Spec.Name)
	}
	if watch {
		return a.watch(ctx, c, n, t.Spec.Name)
	}
	a.say("Follow it: seatrial %s get %s -w", n.name, t.Spec.Name)
	return nil
}
