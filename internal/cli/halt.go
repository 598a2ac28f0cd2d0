package cli

import (
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

var haltColumns = []string{"ENVIRONMENT", "TRIAL", "GOAL", "WAS", "RESULT", "ERROR"}

// newHalt is the emergency stop: few words, no question, one request.
func newHalt(a *app) *cobra.Command {
	var (
		all, everywhere bool
		w               writing
	)
	cmd := &cobra.Command{
		GroupID: groupWork,
		Use:     "halt --all", Short: "Stop every running rollout and chaos experiment, now",
		Long: "Stop every running trial of the environment in one change: faults go off, and everybody gets the control again.\n" +
			"It asks no question. Exit codes: 0 nothing runs any more (also if nothing did), 1 something may still run: it says what.",
		Example: "  seatrial halt --all\n  seatrial halt --all --reason \"incident 4711\"\n  seatrial halt --all --all-environments\n  seatrial halt --all --dry-run",
	}
	cmd.Flags().BoolVar(&all, "all", false, "every trial; required, so that a typing error stops nothing")
	cmd.Flags().BoolVar(&everywhere, "all-environments", false, "in every environment of the server")
	w.withDryRun(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !all {
			return usage(errors.New("say that you mean every trial: `seatrial halt --all`; for one alone use `seatrial rollout abort NAME` or `seatrial chaos abort NAME`"))
		}
		return a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
			halted, err := c.Halt(cmd.Context(), api.NewHalt{Reason: w.reason, AllEnvironments: everywhere}, w.to(""))
			if err != nil {
				return err
			}
			return a.halted(halted, w)
		})(cmd, args)
	}
	return cmd
}

// halted confirms what was stopped, and fails if anything may still run.
func (a *app) halted(h api.Halted, w writing) error {
	t := table{json: h, head: haltColumns}
	stopped, failed := 0, 0
	for _, e := range h.Environments {
		for _, one := range e.Trials {
			m := markGood
			if one.Error != "" {
				failed++
				m = markBad
			} else {
				stopped++
			}
			t.rows = append(t.rows, []cell{text("%s", e.Environment), text("%s", one.Trial), text("%s", one.Goal), text("%s", one.Was),
				marked(m, orElse(one.Result, "running")), text("%s", one.Error)})
		}
		if e.Error != "" {
			failed++
			t.rows = append(t.rows, []cell{text("%s", e.Environment), text(""), text(""), text(""), marked(markBad, "unknown"), text("%s", e.Error)})
		}
	}
	if err := a.print(t); err != nil {
		return err
	}
	switch {
	case failed > 0 || !h.Complete:
		return fmt.Errorf("not everything stopped: repeat `seatrial halt --all`, or abort what the list names one by one; faults end by themselves within their lease once services cannot reach the server")
	case w.dryRun:
		a.say("%s", a.narration.marked(markQuiet, fmt.Sprintf("dry run, nothing was stopped: %s would be", trialsInWords(stopped))))
	case stopped == 0:
		a.say("%s", a.narration.marked(markGood, "nothing was running"))
	default:
		a.say("%s", a.narration.marked(markGood, trialsInWords(stopped)+" stopped; nothing runs any more"))
	}
	return nil
}

func trialsInWords(n int) string {
	if n == 1 {
		return "1 trial"
	}
	return fmt.Sprintf("%d trials", n)
}
