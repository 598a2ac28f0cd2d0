package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

func newChange(a *app) *cobra.Command {
	return group(groupLook, "change", "The change log: who changed what, when and why; take a change back",
		newChangeList(a), newChangeGet(a), newChangeRevert(a))
}

var changeColumns = []string{"REVISION", "TIME", "ACTOR", "WHAT", "REASON"}

func newChangeList(a *app) *cobra.Command {
	filter := api.ChangeFilter{Limit: 50}
	cmd := &cobra.Command{
		Use: "list", Short: "List changes, the newest first",
		Example: "  seatrial change list\n  seatrial change list --kind trial --limit 10\n  seatrial change list --after 120 -o json",
	}
	flags := cmd.Flags()
	flags.IntVar(&filter.Limit, "limit", filter.Limit, "how many at most; 0 for all")
	flags.Int64Var(&filter.After, "after", 0, "only changes after this revision")
	flags.StringVar(&filter.Kind, "kind", "", "only changes of a flag, segment, layer, trial, schedule, token, webhook or lever")
	flags.StringVar(&filter.Key, "key", "", "only changes of what has this name")
	completeWords(cmd, "kind", changeKinds...)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if filter.Kind != "" {
			if err := oneOf("kind", filter.Kind, changeKinds...); err != nil {
				return err
			}
		}
		changes, err := c.Changes(cmd.Context(), filter)
		if err != nil {
			return err
		}
		return a.print(changeTable(changes, "Nothing has been changed yet."))
	})
	return cmd
}

var changeKinds = []string{"flag", "segment", "layer", "trial", "schedule", "token", "webhook", "lever"}

// newHistory is the verb history of a noun whose entities are in the log.
func newHistory(a *app, kind string, list names) *cobra.Command {
	filter := api.ChangeFilter{Kind: kind, Limit: 50}
	cmd := &cobra.Command{
		Use: "history NAME", Short: "List the changes of one " + kind + ", the newest first", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(list), Example: "  seatrial " + kind + " history NAME --limit 5",
	}
	cmd.Flags().IntVar(&filter.Limit, "limit", filter.Limit, "how many at most; 0 for all")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		filter.Key = args[0]
		changes, err := c.Changes(cmd.Context(), filter)
		if err != nil {
			return err
		}
		return a.print(changeTable(changes, "The log has no change of "+kind+" "+args[0]+"."))
	})
	return cmd
}

func changeTable(changes []api.Change, empty string) table {
	t := table{json: changes, head: changeColumns, empty: empty}
	for _, c := range changes {
		t.rows = append(t.rows, []cell{text("%d", c.Revision), ago(c.Time), actor(c.Actor), text("%s", showOps(c.Ops, 3)), text("%s", c.Reason)})
	}
	return t
}

// actor shows who made a change: "api:x7 (ci)" is ci to a person.
func actor(text string) cell {
	c := cell{plain: text}
	if _, name, ok := strings.Cut(text, " ("); ok {
		c.shown = strings.TrimSuffix(name, ")")
	}
	return c
}

// showOps names what a change touched, up to limit entities.
func showOps(ops []api.Op, limit int) string {
	var parts []string
	for i, op := range ops {
		if i == limit {
			parts = append(parts, fmt.Sprintf("and %d more", len(ops)-limit))
			break
		}
		what := op.Kind + " " + op.Key
		if deletes(op) {
			what += " deleted"
		}
		parts = append(parts, what)
	}
	return strings.Join(parts, ", ")
}

func deletes(op api.Op) bool { return len(op.Value) == 0 || string(op.Value) == "null" }

func parseRevision(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, usage(fmt.Errorf("revision %q: give a number, `seatrial change list` shows them", text))
	}
	return n, nil
}

func newChangeGet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get REVISION", Short: "Show one change with all it wrote", Args: cobra.ExactArgs(1),
		Example: "  seatrial change get 12\n  seatrial change get 12 -o json",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		revision, err := parseRevision(args[0])
		if err != nil {
			return err
		}
		change, err := c.Change(cmd.Context(), revision)
		if err != nil {
			return err
		}
		return a.printDetails(changeDetails(change))
	})
	return cmd
}

func changeDetails(change api.Change) details {
	d := details{json: change, rows: []detail{
		{"revision", text("%d", change.Revision)},
		{"time", ago(change.Time)},
		{"actor", actor(change.Actor)},
		{"reason", text("%s", change.Reason)},
		{"hash", text("%s", change.Hash)},
	}}
	for _, op := range change.Ops {
		d.rows = append(d.rows, detail{op.Kind + " " + op.Key, text("%s", showValue(op))})
	}
	return d
}

func showValue(op api.Op) string {
	if deletes(op) {
		return "deleted"
	}
	var b bytes.Buffer
	if json.Indent(&b, op.Value, "", "  ") != nil {
		return string(op.Value)
	}
	return b.String()
}

func newChangeRevert(a *app) *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use: "revert REVISION", Short: "Take a change of flags and segments back, by a new change", Args: cobra.ExactArgs(1),
		Long: "Take a change of flags and segments back, by a new change. What was changed again since then is refused (exit code 6),\n" +
			"and so are trials and tokens: rollout abort and token revoke are for those.",
		Example: "  seatrial change revert 12 --reason \"wrong country list\"",
	}
	w.withReason(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		revision, err := parseRevision(args[0])
		if err != nil {
			return err
		}
		change, err := c.Revert(cmd.Context(), revision, w.reason)
		if err != nil {
			return err
		}
		return a.wrote(w, change, "change %d taken back by change %d: %s", revision, change.Revision, showOps(change.Ops, 3))
	})
	return cmd
}
