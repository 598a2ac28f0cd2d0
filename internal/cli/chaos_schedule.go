package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

func newChaosSchedule(a *app) *cobra.Command {
	return group("", "schedule", "Starts of experiments by the control plane, once or again and again",
		newChaosScheduleCreate(a), newChaosScheduleList(a), newChaosScheduleCancel(a))
}

// timing is when a schedule starts its experiment.
type timing struct {
	at, between string
	every       time.Duration
}

func newChaosScheduleCreate(a *app) *cobra.Command {
	var (
		x    experiment
		when timing
	)
	cmd := &cobra.Command{
		Use: "create [NAME]", Short: "Have an experiment started at a time, or again and again", Args: cobra.MaximumNArgs(1),
		Long: "Have an experiment started by the control plane at a time and, with --every, again and again; --between keeps the starts to\n" +
			"hours of the week. Whole days (24h, 168h) keep the time of day in the zone of --between. A start that may not be, because faults\n" +
			"are off, another experiment runs, or nobody passes the point, is skipped and tried at the next time; so is one that is more than\n" +
			"5 minutes late. Nothing is made up for. `seatrial chaos schedule list` shows what came of it.\n\n" + experimentWords,
		Example: `  seatrial chaos schedule create payment-daily --at 2026-12-01T10:30:00+01:00 --every 24h --between "Mon-Fri 10:00-16:00 Europe/Berlin" \
      --point payment --error 503 --rate 60% --hypothesis "orders go on while payment fails"
  seatrial chaos schedule create -f experiment.yaml --every 168h --between "Tue 14:00-15:00 Europe/Berlin"
  seatrial chaos schedule create -f experiment.yaml --at 36h`,
	}
	x.withFlags(a, cmd)
	x.withPlanFlags(cmd)
	x.w.withDryRun(cmd)
	flags := cmd.Flags()
	flags.StringVar(&when.at, "at", "", "when, of repeated starts the first: RFC 3339, or a duration from now such as 36h (default when the hours of --between begin)")
	positiveVar(flags, &when.every, "every", 0, "start it again after this time, 5m to a year (default once)")
	flags.StringVar(&when.between, "between", "", `hours of the week, such as "Mon-Fri 10:00-16:00 Europe/Berlin" (default any time; without a zone UTC)`)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if err := x.read(a, cmd, args); err != nil {
			return err
		}
		return a.scheduleChaos(cmd.Context(), c, &x, when)
	})
	return cmd
}

// first is the first time; zero leaves it to the hours.
func (t timing) first() (time.Time, error) {
	if t.at == "" && t.between != "" {
		return time.Time{}, nil
	}
	return parseWhen(t.at, time.Now())
}

func (a *app) scheduleChaos(ctx context.Context, c *api.Client, x *experiment, when timing) error {
	at, err := when.first()
	if err != nil {
		return usage(err)
	}
	f, err := a.prepareChaos(ctx, c, x, "be scheduled")
	if err != nil || x.w.dryRun {
		return err
	}
	n := api.NewSchedule{At: at, Trial: &x.spec, Every: trial.Duration(when.every), Between: when.between}
	stored, err := c.CreateSchedule(ctx, n, x.w.to(""))
	if err != nil {
		return a.takeBack(ctx, c, f, err)
	}
	return a.wrote(x.w, stored, "experiment %s will be started at %s%s; to cancel: seatrial chaos schedule cancel %s", x.spec.Name, moment(stored.At).shown, showEvery(stored), stored.ID)
}

// showEvery tells how often a start is repeated.
func showEvery(s api.Schedule) (words string) {
	if s.Every > 0 {
		words = " and every " + s.Every.String()
	}
	if s.Between != "" {
		words += ", " + s.Between
	}
	return words
}

var chaosScheduleColumns = []string{"ID", "EXPERIMENT", "NEXT", "EVERY", "BETWEEN", "STATE", "LAST", "REASON"}

func newChaosScheduleList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List scheduled experiments, the first due first, and what came of the last start",
		Example: "  seatrial chaos schedule list\n  seatrial chaos schedule list -o json", Args: cobra.NoArgs}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		list, err := c.Schedules(cmd.Context(), api.ScheduleFilter{})
		if err != nil {
			return err
		}
		mine := []api.Schedule{}
		for _, s := range list {
			if s.Trial != nil {
				mine = append(mine, s)
			}
		}
		t := table{json: mine, head: chaosScheduleColumns, empty: "No experiment is scheduled.", wrap: true}
		for _, s := range mine {
			every := ""
			if s.Every > 0 {
				every = s.Every.String()
			}
			last, why := lastTry(s)
			t.rows = append(t.rows, []cell{text("%s", s.ID), text("%s", s.Trial.Name), moment(s.At), text("%s", every), text("%s", s.Between),
				marked(scheduleMarks[s.State], s.State), last, text("%s", why)})
		}
		return a.print(t)
	})
	return cmd
}

// lastTry tells what came of the last time, and why nothing if nothing did.
func lastTry(s api.Schedule) (cell, string) {
	if len(s.Tries) == 0 {
		return cell{}, s.Reason
	}
	last := s.Tries[len(s.Tries)-1]
	if last.Skipped != "" {
		return marked(markWarn, "skipped"), last.Skipped
	}
	return marked(markGood, fmt.Sprintf("attempt %d", last.Attempt)), s.Reason
}

func newChaosScheduleCancel(a *app) *cobra.Command {
	var w writing
	cmd := &cobra.Command{Use: "cancel ID", Short: "Start it no more; an attempt that runs goes on", Args: cobra.ExactArgs(1), Example: "  seatrial chaos schedule cancel 4kq3v7"}
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		s, err := c.Schedule(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if s.Trial == nil {
			return errors.New("that is a change of a flag: use `seatrial schedule cancel` for it")
		}
		if s, err = c.CancelSchedule(cmd.Context(), args[0], w.to("")); err != nil {
			return err
		}
		return a.wrote(w, s, "schedule %s of experiment %s cancelled", s.ID, s.Trial.Name)
	})
	return cmd
}
