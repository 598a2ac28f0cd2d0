package cli

import (
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

// newChaosOff is the kill switch: few words, no question, one request.
func newChaosOff(a *app) *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use: "off --reason WHY", Short: "Kill switch: abort every experiment, and let none start",
		Long: "Put faults off in this environment: every running experiment is aborted in one change, every connected service lets go of\n" +
			"the calls that it holds, and nothing starts until `seatrial chaos on`. Rollouts go on. It holds over restarts.\n" +
			"Exit codes: 0 faults are off, 1 they are off, but an experiment could not be ended: it says which.\n\n" +
			"Without the control plane: SEATRIAL_FAULTS=off in the environment of a service, or the file that it watches.",
		Example: "  seatrial chaos off --reason \"incident 4711\"\n  seatrial chaos off --reason \"rehearsal\" --dry-run",
	}
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if w.reason == "" {
			return usage(errors.New(`say why, others will want to know: --reason "incident 4711"`))
		}
		moved, err := c.MoveLever(cmd.Context(), true, w.to(""))
		if err != nil {
			return err
		}
		return a.faultsOff(moved, w)
	})
	return cmd
}

// faultsOff confirms what was stopped, and fails if an experiment could not be ended.
func (a *app) faultsOff(moved api.MovedLever, w writing) error {
	t := table{json: moved, head: haltColumns[1:]}
	failed := 0
	for _, one := range moved.Halted {
		m := markGood
		if one.Error != "" {
			failed++
			m = markBad
		}
		t.rows = append(t.rows, []cell{text("%s", one.Trial), text("%s", one.Goal), text("%s", one.Was), marked(m, orElse(one.Result, "running")), text("%s", one.Error)})
	}
	if err := a.print(t); err != nil {
		return err
	}
	if w.dryRun {
		a.say("%s", a.narration.marked(markQuiet, "dry run, nothing was stopped: "+trialsInWords(len(moved.Halted))+" would be"))
		return nil
	}
	a.say("%s", a.narration.marked(markGood, fmt.Sprintf("faults are off (%s); allow them again with: seatrial chaos on --reason ...", moved.Reason)))
	if failed > 0 || !moved.Complete {
		return errors.New("faults are off, but an experiment could not be ended: abort what the list names by `seatrial chaos abort NAME`")
	}
	return nil
}

func newChaosOn(a *app) *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use: "on --reason WHY", Short: "Allow faults again after `seatrial chaos off`; what was aborted stays so",
		Example: "  seatrial chaos on --reason \"incident 4711 is over\"",
	}
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if w.reason == "" {
			return usage(errors.New(`say why, others will want to know: --reason "incident 4711 is over"`))
		}
		moved, err := c.MoveLever(cmd.Context(), false, w.to(""))
		if err != nil {
			return err
		}
		return a.wrote(w, moved.Lever, "faults are allowed")
	})
	return cmd
}

func newChaosLever(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lever", Short: "Show whether faults are off, since when, by whom and why",
		Example: "  seatrial chaos lever\n  seatrial chaos lever -o json",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		lever, err := c.Lever(cmd.Context())
		if err != nil {
			return err
		}
		return a.printDetails(leverDetails(lever))
	})
	return cmd
}

func leverDetails(l api.Lever) details {
	state := marked(markGood, "allowed")
	if l.Off {
		state = marked(markBad, "off")
	}
	return details{json: l, rows: []detail{{"faults", state}, {"since", ago(l.At)}, {"by", actor(l.By)}, {"reason", text("%s", l.Reason)}}}
}
