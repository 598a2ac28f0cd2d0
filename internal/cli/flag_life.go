package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

func newFlagArchive(a *app) *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use: "archive NAME", Short: "Put a flag away: it gives the value in the code, and cannot be changed until it is restored",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(flagNames),
		Example: "  seatrial flag archive search --reason \"shipped\"",
	}
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		return a.editFlag(cmd.Context(), c, args[0], w, "archived", func(f *flag.Flag) error {
			f.Archived = true
			return nil
		})
	})
	return cmd
}

func newFlagRestore(a *app) *cobra.Command {
	var w writing
	var revision int64
	cmd := &cobra.Command{
		Use: "restore NAME", Short: "Bring back an archived flag, or any earlier state of a flag",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(flagNames),
		Long: "Bring back an archived flag; with --revision make a flag what it was at that revision of the log, also one that was deleted.\n" +
			"`seatrial flag history NAME` has the revisions.",
		Example: "  seatrial flag restore search\n  seatrial flag restore search --revision 12 --reason \"the new rules were wrong\"",
	}
	cmd.Flags().Int64Var(&revision, "revision", 0, "the revision whose state is wanted")
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if cmd.Flags().Changed("revision") {
			stored, err := c.RestoreFlag(cmd.Context(), args[0], revision, w.to(""))
			if err != nil {
				return err // that it did not exist then, the server says
			}
			return a.wrote(w, stored, "flag %s is what it was at revision %d", args[0], revision)
		}
		return a.editFlag(cmd.Context(), c, args[0], w, "restored", func(f *flag.Flag) error {
			f.Archived = false
			return nil
		})
	})
	return cmd
}

var staleColumns = []string{"FLAG", "REASON", "SINCE", "DETAIL"}

func newFlagStale(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "stale", Short: "List flags that seem to be done with, and why", Args: cobra.NoArgs,
		Long: "List flags that seem to be done with: past their day, not evaluated by anybody for 14 days, giving everybody the same for\n" +
			"14 days, or switched off for 30.",
		Example: "  seatrial flag stale",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		report, err := c.StaleFlags(cmd.Context())
		if err != nil {
			return err
		}
		t := table{json: report, head: staleColumns, empty: "No flag seems to be done with.", wrap: true}
		for _, f := range report.Items {
			for _, r := range f.Reasons {
				t.rows = append(t.rows, []cell{text("%s", f.Flag), text("%s", r.Code), ago(r.Since), text("%s", r.Detail)})
			}
		}
		return a.print(t)
	})
	return cmd
}

func newSchedule(a *app) *cobra.Command {
	return group(groupWork, "schedule", "Changes of flags that the control plane makes at a time",
		newScheduleList(a), newScheduleCreate(a), newScheduleCancel(a))
}

var scheduleColumns = []string{"ID", "FLAG", "AT", "STATE", "PATCH", "REASON"}

func newScheduleList(a *app) *cobra.Command {
	var filter api.ScheduleFilter
	cmd := &cobra.Command{Use: "list", Short: "List schedules, the first due first", Example: "  seatrial schedule list --state pending", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&filter.Flag, "flag", "", "only those of this flag")
	cmd.Flags().StringVar(&filter.State, "state", "", "pending, done, failed or cancelled")
	completeWords(cmd, "state", scheduleStates...)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if filter.State != "" {
			if err := oneOf("state", filter.State, scheduleStates...); err != nil {
				return err
			}
		}
		list, err := c.Schedules(cmd.Context(), filter)
		if err != nil {
			return err
		}
		t := table{json: list, head: scheduleColumns, empty: "Nothing is scheduled."}
		for _, s := range list {
			reason, what := s.Reason, string(s.Patch)
			if s.Trial != nil {
				what = "start experiment " + s.Trial.Name + showEvery(s)
			}
			if s.Failure != "" {
				reason = s.Failure
			}
			t.rows = append(t.rows, []cell{text("%s", s.ID), text("%s", s.Flag), moment(s.At),
				marked(scheduleMarks[s.State], s.State), text("%s", what), text("%s", reason)})
		}
		return a.print(t)
	})
	return cmd
}

var (
	scheduleStates = []string{"pending", "done", "failed", "cancelled"}
	scheduleMarks  = map[string]mark{"pending": markPaused, "done": markGood, "failed": markBad, "cancelled": markQuiet}
)

// moment shows a time in the zone of who looks, and how far away it is.
func moment(t time.Time) cell {
	c := ago(t)
	c.shown = t.Local().Format(time.RFC3339) + " (" + c.shown + ")"
	return c
}

func newScheduleCreate(a *app) *cobra.Command {
	var w writing
	var at, fallback, patch string
	var enable, disable bool
	cmd := &cobra.Command{
		Use: "create FLAG --at TIME", Short: "Plan a change of a flag", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(flagNames),
		Long: "Plan a change of a flag. It is made at the time, or as soon after as the server runs, as one change of the log; what somebody\n" +
			"changes before stays, as far as the plan does not name it. A plan that is no longer valid then fails, and says so.",
		Example: `  seatrial schedule create search --at 2026-12-01T08:00:00Z --enable
  seatrial schedule create search --at 36h --default off --reason "end of the sale"
  seatrial schedule create search --at 2026-12-01T08:00:00Z --patch '{"rules":[]}'`,
	}
	flags := cmd.Flags()
	flags.StringVar(&at, "at", "", "when: RFC 3339, or a duration from now such as 36h")
	flags.BoolVar(&enable, "enable", false, "switch it on")
	flags.BoolVar(&disable, "disable", false, "switch it off")
	flags.StringVar(&fallback, "default", "", "make this variant the default")
	flags.StringVar(&patch, "patch", "", "a JSON merge patch of the flag's definition")
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		when, err := parseWhen(at, time.Now())
		if err != nil {
			return usage(err)
		}
		n := api.NewSchedule{Flag: args[0], At: when}
		if n.Patch, err = schedulePatch(enable, disable, fallback, patch); err != nil {
			return usage(err)
		}
		stored, err := c.CreateSchedule(cmd.Context(), n, w.to(""))
		if err != nil {
			return orSuggest(err, "flag", args[0], known(cmd.Context(), c, flagNames))
		}
		return a.wrote(w, stored, "flag %s will be changed at %s; to cancel: seatrial schedule cancel %s", args[0], moment(when).shown, stored.ID)
	})
	return cmd
}

func parseWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, errors.New("when? --at 2026-12-01T08:00:00Z, or a time from now: --at 36h")
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d).UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("--at %s: write it as 2026-12-01T08:00:00Z, or as a time from now such as 36h", text)
	}
	return t, nil
}

// schedulePatch makes the merge patch of what was asked for.
func schedulePatch(enable, disable bool, fallback, patch string) ([]byte, error) {
	fields := map[string]any{}
	switch {
	case enable && disable:
		return nil, errors.New("--enable and --disable are both given: choose one")
	case enable, disable:
		fields["enabled"] = enable
	}
	if fallback != "" {
		fields["defaultVariant"] = fallback
	}
	switch {
	case patch != "" && len(fields) > 0:
		return nil, errors.New("--patch says everything: leave out --enable, --disable and --default")
	case patch != "" && !json.Valid([]byte(patch)):
		return nil, fmt.Errorf("--patch %s: write a JSON object such as '{\"enabled\":true}'", patch)
	case patch != "":
		return []byte(patch), nil
	case len(fields) == 0:
		return nil, errors.New("what is to change? --enable, --disable, --default VARIANT or --patch JSON")
	}
	return json.Marshal(fields)
}

func newScheduleCancel(a *app) *cobra.Command {
	var w writing
	cmd := &cobra.Command{Use: "cancel ID", Short: "Cancel a planned change", Args: cobra.ExactArgs(1), Example: "  seatrial schedule cancel 4kq3v7"}
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		s, err := c.CancelSchedule(cmd.Context(), args[0], w.to(""))
		if err != nil {
			return err
		}
		return a.wrote(w, s, "schedule %s of flag %s cancelled", s.ID, s.Flag)
	})
	return cmd
}
