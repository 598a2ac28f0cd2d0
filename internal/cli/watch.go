package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/cli/api"
)

const (
	// watchEvery is how often a watched trial is asked for; a terminal is redrawn as often.
	watchEvery = time.Second
	// watchPatience is how long a control plane may be away before watching gives up. It is
	// meant to outlast a restart.
	watchPatience = time.Minute
)

// watcher follows a trial until it is over.
type watcher struct {
	fetch func(ctx context.Context) (api.Trial, error)
	// show is given every answer; first and last are among them.
	show func(api.Trial) error
	// away is told once when the control plane does not answer.
	away func(err error)
}

// run watches until the trial is over, ctx ends, or the control plane is away for too long.
func (w watcher) run(ctx context.Context) (last api.Trial, err error) {
	err = again(ctx, func(ctx context.Context) (bool, error) {
		t, err := w.fetch(ctx)
		if err != nil {
			return false, err
		}
		last = t
		return t.State.Ended(), w.show(t)
	}, w.away)
	return last, err
}

// again repeats a step until it says that all is over or fails for good, ctx ends, or the control
// plane is away for too long, which away is told of once when it begins.
func again(ctx context.Context, step func(context.Context) (over bool, err error), away func(error)) error {
	var since time.Time // when the control plane went away; zero: it is there
	for {
		over, err := step(ctx)
		switch {
		case err == nil && over:
			return nil
		case err == nil:
			since = time.Time{}
		case !passing(err):
			return err
		case since.IsZero():
			since = time.Now()
			away(err)
		case time.Since(since) > watchPatience:
			return err
		}
		if err := pause(ctx, watchEvery); err != nil {
			return err
		}
	}
}

// pause waits, or gives the cause of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passing reports whether an error may go away by itself.
func passing(err error) bool {
	var (
		problem *api.Problem
		away    *api.Unreachable
	)
	return errors.As(err, &away) || errors.As(err, &problem) &&
		(problem.Status >= 500 || problem.Status == http.StatusTooManyRequests)
}

// watch shows a trial until it is over; its error carries the exit code of the result.
func (a *app) watch(ctx context.Context, c *api.Client, noun trialNoun, name string) error {
	w := watcher{
		fetch: func(ctx context.Context) (api.Trial, error) { return c.Trial(ctx, name) },
		show:  a.showChanges(noun),
		away:  a.tellAway,
	}
	t, err := w.run(ctx)
	if err != nil {
		return err
	}
	return exitOfResult(t.State.Result)
}

func (a *app) tellAway(err error) { a.say("%v; trying again for %s", err, watchPatience) }

// showChanges gives how a watched trial is shown: redrawn on a terminal, else one line a change.
func (a *app) showChanges(noun trialNoun) func(api.Trial) error {
	if a.format() == formatTable && a.style.terminal {
		s := screen{out: a.out}
		return func(t api.Trial) error { return s.draw(a.style.trialView(noun, t), a.style.width(), a.style.height()) }
	}
	seen := ""
	return func(t api.Trial) error {
		line := stage(t)
		if a.format() == formatJSON {
			line = fmt.Sprint(t.Revision, t.State.Seq, line)
		}
		if line == seen {
			return nil
		}
		seen = line
		switch a.format() {
		case formatJSON:
			return a.printLine(outputOf(t))
		case formatTSV:
			return writeTSV(a.out, [][]cell{watchRow(t)})
		}
		_, err := fmt.Fprintln(a.out, a.watchLine(t))
		return err
	}
}

// stage is what makes a change worth a line: not every number, but what they led to.
func stage(t api.Trial) string {
	var b strings.Builder
	fmt.Fprint(&b, t.State.Attempt, t.State.Phase, t.State.Result, t.State.Step)
	for _, g := range t.State.Guardrails {
		fmt.Fprint(&b, g.Verdict, g.Alarm)
	}
	return b.String()
}

func (a *app) watchLine(t api.Trial) string {
	status, row := trialStatus(t.State), watchRow(t)
	at := t.State.UpdatedAt
	if at.IsZero() {
		at = t.State.StartedAt
	}
	return fmt.Sprintf("%s  %s  step %s, %s  %s", at.Local().Format(time.TimeOnly),
		a.style.paint(status.mark, a.style.display(status)), row[2].plain, row[3].plain, t.State.Why)
}

// statusOf waits for the end of a trial, tells of changes on standard error, and prints how it
// ended. A timeout of 0 waits as long as it takes.
func (a *app) statusOf(ctx context.Context, c *api.Client, name string, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		still := &exit{code: exitTimeout, err: fmt.Errorf("%s is still running after %s", name, timeout)}
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, still)
		defer cancel()
	}
	w := watcher{
		fetch: func(ctx context.Context) (api.Trial, error) { return c.Trial(ctx, name) },
		away:  a.tellAway,
		show:  a.narrate(),
	}
	t, err := w.run(ctx)
	if err != nil {
		return err
	}
	if err := a.print(table{json: outputOf(t), head: watchColumns, rows: [][]cell{watchRow(t)}}); err != nil {
		return err
	}
	return exitOfResult(t.State.Result)
}

// narrate gives how the changes of a trial that runs are told on standard error.
func (a *app) narrate() func(api.Trial) error {
	seen := ""
	return func(t api.Trial) error {
		if line := stage(t); line != seen && !t.State.Ended() {
			seen = line
			a.say("%s", a.watchLine(t))
		}
		return nil
	}
}

// screen redraws text in place.
type screen struct {
	out   io.Writer
	lines int // on the screen now
}

// draw replaces what was drawn before. Lines are cut at width, as a line that the terminal wraps
// would not be counted, and those beyond height (0: unknown) are left out, as the cursor cannot go
// back to what has scrolled away.
func (s *screen) draw(text string, width, height int) error {
	var b strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.lines)
	}
	list := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if height > 1 {
		list = list[:min(len(list), height-1)]
	}
	for _, line := range list {
		b.WriteString(cutPainted(line, width) + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	s.lines = len(list)
	_, err := io.WriteString(s.out, b.String())
	return err
}

// cutPainted cuts a line with colours to n columns; colour codes take no room.
func cutPainted(line string, n int) string {
	var b strings.Builder
	room := n
	for i := 0; i < len(line); {
		if line[i] == '\x1b' {
			end := strings.IndexByte(line[i:], 'm')
			if end < 0 {
				break
			}
			b.WriteString(line[i : i+end+1])
			i += end + 1
			continue
		}
		_, size := utf8.DecodeRuneInString(line[i:])
		if room > 0 {
			b.WriteString(line[i : i+size])
			room--
		}
		i += size
	}
	return b.String()
}
