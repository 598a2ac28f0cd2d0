package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/gameday"
	"github.com/spf13/cobra"
)

// dayOutput is a game day: what is planned, or what came of it.
type dayOutput struct {
	Title    string         `json:"title"`
	Deadline trial.Duration `json:"deadline"`
	// AtMost is how long it takes if every experiment needs its maximum; people not counted.
	AtMost trial.Duration `json:"atMost"`
	Result trial.Result   `json:"result,omitempty"` // the worst of all
	Why    string         `json:"why,omitempty"`    // it ended before its last step
	Steps  []dayStep      `json:"steps"`
}

// dayStep is one step of a game day.
type dayStep struct {
	Step     int            `json:"step"` // from 1
	Name     string         `json:"name,omitempty"`
	Pause    string         `json:"pause,omitempty"` // a duration, or ask
	Point    string         `json:"point,omitempty"`
	Share    string         `json:"share,omitempty"`
	MaxUsers uint64         `json:"maxUsers,omitempty"`
	AtMost   trial.Duration `json:"atMost,omitempty"`
	Attempt  int            `json:"attempt,omitempty"` // 0: not started
	Result   trial.Result   `json:"result,omitempty"`
	Why      string         `json:"why,omitempty"`
	Users    uint64         `json:"users,omitempty"` // that got the fault
}

var dayColumns = []string{"STEP", "WHAT", "POINT", "SHARE", "MAX USERS", "AT MOST", "RESULT", "WHY"}

// stopPatience is how long a game day that is over tries to stop what still runs, and to report.
const stopPatience = 30 * time.Second

func newChaosRun(a *app) *cobra.Command {
	var (
		d    day
		file string
		yes  bool
	)
	cmd := &cobra.Command{
		Use: "run -f FILE", Short: "Hold a game day: experiments and pauses, one after the other",
		Long: "Hold a game day: the steps of a file, one after the other. Everything is checked before the first step. A weakness stops it\n" +
			"(or not, with onWeakness: continue), an aborted experiment always does. An interrupt, the deadline and a step that fails abort\n" +
			"the experiment that runs. If this command is killed, the server ends the experiment at its maximum duration or users.\n\n" +
			"  title: Payment\n  deadline: 1h\n  onWeakness: stop\n  steps:\n" +
			"  - experiment: {name: payment-fails, point: payment, error: 503, rate: 60%, hypothesis: orders go on, maxDuration: 10m}\n" +
			"  - pause: 2m\n  - pause: ask\n    message: Is the on-call engineer at the desk?\n" +
			"  - experiment: {name: retries, point: payment, sequence: \"2*503,1*ok\", hypothesis: the third try succeeds}\n\n" +
			"The fields of an experiment are the flags of `seatrial chaos start`, as maxUsers for --max-users. Exit codes: 0 all survived,\n" +
			"3 a weakness, or aborted, 1 inconclusive or an error, 5 the deadline was over.",
		Example: "  seatrial chaos run -f gameday.yaml --dry-run\n  seatrial chaos run -f gameday.yaml --report gameday.md",
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the game day, in YAML or JSON (required)")
	cmd.Flags().StringVar(&d.report, "report", "", "write a report in Markdown to this file")
	cmd.Flags().BoolVar(&yes, "yes", false, "ask nobody: pauses that wait for a person are passed over")
	d.w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if file == "" {
			return usage(errors.New("which game day? -f gameday.yaml"))
		}
		var err error
		if d.plan, d.experiments, err = a.readDay(file); err != nil {
			return err
		}
		d.app, d.c, d.ask = a, c, !yes
		return d.run(cmd.Context())
	})
	return cmd
}

// day is a game day that is held.
type day struct {
	app         *app
	c           *api.Client
	plan        gameday.Plan
	experiments []*experiment // by step; nil: a pause
	w           writing
	report      string
	ask         bool

	out   dayOutput
	lines *bufio.Reader // of standard input
}

func (d *day) run(ctx context.Context) error {
	d.out = d.planned()
	if err := d.check(ctx); err != nil {
		return err
	}
	if d.w.dryRun {
		d.app.say("%s", d.app.narration.marked(markQuiet, "dry run, nothing was started"))
		return d.app.print(d.table())
	}
	held, cancel := context.WithTimeoutCause(ctx, d.plan.Deadline,
		&exit{code: exitTimeout, err: fmt.Errorf("the game day's deadline of %s is over", trial.Duration(d.plan.Deadline))})
	defer cancel()
	err := d.steps(held)
	if err != nil {
		d.out.Why = err.Error()
	}
	return errors.Join(err, d.finish(ctx))
}

// planned is the game day before anything is started.
func (d *day) planned() dayOutput {
	out := dayOutput{Title: d.plan.Title, Deadline: trial.Duration(d.plan.Deadline), Steps: []dayStep{}}
	for i, step := range d.plan.Steps {
		one := dayStep{Step: i + 1, AtMost: trial.Duration(step.Pause)}
		switch x := d.experiments[i]; {
		case x != nil:
			one.Name, one.Point, one.Share, one.MaxUsers = x.spec.Name, orElse(x.point, x.spec.Flag), x.share, x.spec.MaxUnits
			one.AtMost = x.spec.Deadline
		case step.Ask:
			one.Pause = "ask"
		default:
			one.Pause = one.AtMost.String()
		}
		out.AtMost += one.AtMost
		out.Steps = append(out.Steps, one)
	}
	return out
}

// check applies the server's own rules to every experiment before the first starts, and looks
// whether it could start.
func (d *day) check(ctx context.Context) error {
	lever, err := d.c.Lever(ctx)
	if err != nil {
		return err
	}
	if lever.Off {
		return fmt.Errorf("faults are off (%s): allow them first, `seatrial chaos on`", lever.Reason)
	}
	points, err := pointNames(ctx, d.c)
	if err != nil {
		return err
	}
	for i, x := range d.experiments {
		if x == nil {
			continue
		}
		f, err := x.faultFlag(ctx, d.c)
		if err == nil {
			err = x.check(ctx, d.c, f.want)
		}
		if err == nil {
			err = d.free(ctx, x.spec.Name)
		}
		if err == nil {
			err = reported(x.point, points)
		}
		if err != nil {
			return fmt.Errorf("step %d, experiment %s: %w", i+1, x.spec.Name, err)
		}
	}
	return nil
}

// reported refuses a point that no service has reported; names have what they are of behind a tab.
// Whether there is traffic is asked when the experiment starts.
func reported(point string, names []string) error {
	for i, name := range names {
		names[i], _, _ = strings.Cut(name, "\t")
	}
	if point == "" || slices.Contains(names, point) {
		return nil
	}
	return fmt.Errorf("no process has reported the point %q%s", point, orElse(flag.Suggest(point, slices.Values(names)), ": see `seatrial point list`, and start the service that has it"))
}

// free refuses a name under which a trial runs.
func (d *day) free(ctx context.Context, name string) error {
	t, err := d.c.Trial(ctx, name)
	switch {
	case api.NotFound(err):
		return nil
	case err == nil && !t.State.Ended():
		return fmt.Errorf("it runs already: wait for its end, or give this one another name")
	}
	return err
}

func (d *day) steps(ctx context.Context) error {
	for i, step := range d.plan.Steps {
		x, into := d.experiments[i], &d.out.Steps[i]
		if x == nil {
			if err := d.pause(ctx, step); err != nil {
				return err
			}
			continue
		}
		d.app.say("step %d/%d: experiment %s, %s", i+1, len(d.plan.Steps), x.spec.Name, x.spec.Hypothesis)
		if err := d.try(ctx, x, into); err != nil {
			return fmt.Errorf("step %d, experiment %s: %w", i+1, x.spec.Name, err)
		}
		d.app.say("%s: %s", x.spec.Name, into.Why)
		if why, ok := d.plan.Proceed(x.spec.Name, into.Result); !ok {
			d.out.Why = why
			return nil
		}
	}
	return nil
}

// try carries out one experiment to its end. Whatever keeps it from that aborts it.
func (d *day) try(ctx context.Context, x *experiment, into *dayStep) error {
	f, err := x.faultFlag(ctx, d.c)
	if err != nil {
		return err
	}
	w := writing{reason: orElse(d.w.reason, "game day "+d.plan.Title)}
	if err := d.app.storeFault(ctx, d.c, &f, w); err != nil {
		return err
	}
	// An interrupt between the request and its answer would leave an experiment that nobody follows.
	t, err := d.c.StartTrial(context.WithoutCancel(ctx), x.spec, w.to(""))
	var refused *api.Problem
	switch {
	case errors.As(err, &refused):
		return d.app.takeBack(ctx, d.c, f, err)
	case err != nil: // it may have started all the same
		return errors.Join(err, d.abort(ctx, x.spec.Name, err, &t))
	}
	into.Attempt = t.State.Attempt
	follow := watcher{fetch: func(ctx context.Context) (api.Trial, error) { return d.c.Trial(ctx, x.spec.Name) }, show: d.app.narrate(), away: d.app.tellAway}
	if t, err = follow.run(ctx); err != nil {
		err = errors.Join(err, d.abort(ctx, x.spec.Name, err, &t))
	}
	into.Result, into.Why, into.Users = t.State.Result, t.State.Why, t.State.Treatment.Units
	return err
}

// abort ends an experiment although ctx may be over.
func (d *day) abort(ctx context.Context, name string, why error, into *api.Trial) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	t, err := d.c.Act(ctx, name, string(trial.VerbAbort), "the game day ended: "+why.Error())
	if err != nil {
		return fmt.Errorf("experiment %s could not be aborted (%w): it ends by itself at its maximum duration", name, err)
	}
	*into = t
	d.app.say("%s", d.app.narration.marked(markWarn, name+" aborted: the fault is off"))
	return nil
}

// pause waits for some time, or for a person.
func (d *day) pause(ctx context.Context, step gameday.Step) error {
	if step.Message != "" {
		d.app.say("%s", step.Message)
	}
	if !step.Ask {
		d.app.say("pause of %s", trial.Duration(step.Pause))
		return pause(ctx, step.Pause)
	}
	if !d.ask {
		return nil
	}
	d.app.say("Go on? [y/N]")
	answer, err := d.line(ctx)
	if err != nil {
		return fmt.Errorf("nobody answered (%w): use --yes where nobody can", err)
	}
	if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
		return errors.New("stopped by the answer to a question")
	}
	return nil
}

// line reads a line of standard input; the reading itself cannot be given up, only waiting for it.
func (d *day) line(ctx context.Context) (string, error) {
	if d.lines == nil {
		d.lines = bufio.NewReader(d.app.in)
	}
	type read struct {
		text string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		text, err := d.lines.ReadString('\n')
		done <- read{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// finish prints what came of the game day, writes the report and gives the exit code.
func (d *day) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	var results []trial.Result
	for _, s := range d.out.Steps {
		if s.Attempt > 0 {
			results = append(results, s.Result)
		}
	}
	d.out.Result = gameday.Worst(results)
	if err := d.app.print(d.table()); err != nil {
		return err
	}
	if d.out.Why != "" {
		d.app.say("%s", d.app.narration.marked(markWarn, "stopped early: "+d.out.Why))
	}
	if d.report != "" {
		if err := d.writeReport(ctx); err != nil {
			return err
		}
	}
	return exitOfResult(d.out.Result)
}

func (d *day) writeReport(ctx context.Context) error {
	text := dayMarkdown(d.out)
	for _, s := range d.out.Steps {
		if s.Attempt == 0 {
			continue
		}
		t, err := d.c.Trial(ctx, s.Name)
		if err != nil {
			return err
		}
		r, err := reportOf(ctx, d.c, t, s.Attempt)
		if err != nil {
			return err
		}
		text += "\n" + r.markdown("##")
	}
	if err := os.WriteFile(d.report, []byte(text), 0o644); err != nil {
		return err
	}
	d.app.say("report written to %s", d.report)
	return nil
}

func (d *day) table() table {
	t := table{json: d.out, head: dayColumns}
	for _, s := range d.out.Steps {
		what, result := s.Name, cell{}
		if s.Pause != "" {
			what = "pause " + s.Pause
		}
		if s.Attempt > 0 {
			result = trialStatus(trial.State{Phase: trial.PhaseEnded, Result: s.Result})
		}
		most, users := "", ""
		if s.AtMost > 0 {
			most = s.AtMost.String()
		}
		if s.MaxUsers > 0 {
			users = fmt.Sprint(s.MaxUsers)
		}
		t.rows = append(t.rows, []cell{text("%d", s.Step), text("%s", what), text("%s", s.Point), text("%s", s.Share), text("%s", users), text("%s", most), result, text("%s", s.Why)})
	}
	return t
}
