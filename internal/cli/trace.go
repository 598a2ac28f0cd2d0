package cli

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

func newTrace(a *app) *cobra.Command {
	return group(groupLook, "trace", "Traces of requests: find one, see where its time went", newTraceList(a), newTraceGet(a))
}

var traceColumns = []string{"TRACE", "START", "DURATION", "SPANS", "STATUS", "SERVICE", "ROOT"}

func newTraceList(a *app) *cobra.Command {
	var (
		f    api.TraceFilter
		flag string
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List traces, the newest first",
		Example: `  seatrial trace list --errors
  seatrial trace list --flag express-checkout=on --min-duration 500ms
  seatrial trace list --service payment --limit 5 -o json`,
	}
	flags := cmd.Flags()
	flags.StringVar(&flag, "flag", "", "`FLAG[=VARIANT]`, only traces that evaluated it")
	flags.StringVar(&f.Service, "service", "", "only traces that touched this service")
	flags.BoolVar(&f.ErrorOnly, "errors", false, "only traces with an error")
	flags.DurationVar(&f.MinDuration, "min-duration", 0, "only traces that took at least this long")
	flags.IntVar(&f.Limit, "limit", 20, "how many at most, up to 1000")
	a.completeFlag(cmd, "flag", flagNames)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if f.Limit < 1 || f.Limit > 1000 {
			return usage(fmt.Errorf("--limit %d: give 1 to 1000", f.Limit))
		}
		f.Flag, f.Variant, _ = strings.Cut(flag, "=")
		traces, err := c.Traces(cmd.Context(), f)
		if err != nil {
			return err
		}
		return a.print(traceTable(traces))
	})
	return cmd
}

func traceTable(traces []api.TraceSummary) table {
	t := table{json: traces, head: traceColumns,
		empty: "No such traces. They are kept for a while only; does the service send OTLP to this server, with an SDK key?"}
	for _, one := range traces {
		t.rows = append(t.rows, []cell{text("%s", one.TraceID), ago(one.Start), duration(one.DurationMs), text("%d", one.Spans),
			spanStatus(one.Error), text("%s", one.Service), text("%s", one.Root)})
	}
	return t
}

func spanStatus(failed bool) cell {
	if failed {
		return marked(markBad, "error")
	}
	return marked(markGood, "ok")
}

// duration shows milliseconds; TSV has them as a number.
func duration(ms float64) cell {
	return cell{plain: fmt.Sprintf("%g", ms), shown: showMs(ms)}
}

func showMs(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0fms", ms)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1fms", ms)
	}
	return fmt.Sprintf("%.0fµs", ms*1000)
}

var traceID = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)

func newTraceGet(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "get TRACE", Short: "Show a trace as a tree of spans", Args: cobra.ExactArgs(1),
		Long: "Show a trace as a tree of spans, with the time each took, its errors, the flags that were evaluated, and what it was about.\n\n" +
			"On a terminal the bar shows when a span ran within the trace. Without --all, attributes are those that tell what happened.",
		Example:           "  seatrial trace get 4bf92f3577b34da6a3ce929d0e0e4736\n  seatrial trace get 4bf92f3577b34da6a3ce929d0e0e4736 --all -o json",
		ValidArgsFunction: a.complete(traceNames),
	}
	cmd.Flags().BoolVar(&all, "all", false, "show every attribute and event")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if !traceID.MatchString(args[0]) {
			return usage(fmt.Errorf("trace %q: a trace id has 32 hexadecimal digits; `seatrial trace list` shows them", args[0]))
		}
		t, err := c.Trace(cmd.Context(), strings.ToLower(args[0]))
		switch {
		case api.NotFound(err):
			return &named{err: err, text: fmt.Sprintf("there is no trace %s here: traces are kept for a while only, `seatrial trace list` shows which", args[0])}
		case err != nil:
			return err
		}
		return a.printTrace(t, all)
	})
	return cmd
}
