// Package controller is the shell around package trial: it closes intervals when they are due,
// asks trial.Next what follows, and has the answer stored as one compare-and-set with its
// evidence. It decides nothing itself.
//
// Any number of controllers may run on one log. Intervals of a trial are numbered, and the
// journal takes every number once, so every step is made by one of them, once. Each closes its
// own intervals of what arrived at its own receiver. The one that comes second adds its interval
// under the next number, if the trial is still at the step that it was counted under; else it is
// dropped, as a step that is over is not judged any more. So what arrives anywhere is weighed
// once and no controller waits for another. Their clocks should agree to a few seconds, because
// the lengths of steps are told from the times of intervals.
//
// What is lost: the open interval of a controller that dies, and that of a step which ends by a
// person's command. Both are lost whatever they say, so the evidence stays valid.
//
// The package is for the server's wiring only, and does no I/O but through its ports.
package controller

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// Trials is where trials live; *control.Service is one.
type Trials interface {
	ActiveTrials() []control.TrialEntry
	GetTrial(name string) (control.TrialEntry, error)
	StoreDecision(ctx context.Context, d control.Decision) (control.TrialEntry, error)
	RecordInterval(ctx context.Context, name string, revision int64, iv outcome.Interval, state trial.State) error
	WaitSnapshot(ctx context.Context, have control.Head) (*control.View, error)
}

// Outcomes is where the outcomes of open intervals accumulate; *intervals.Accumulator is one.
type Outcomes interface {
	// Expect announces the version of a trial whose outcomes are wanted from now on. It fails
	// when too many trials are open.
	Expect(trial, version string) error
	// Close returns what arrived for that version since the last Close, and starts anew.
	Close(trial, version string) (treatment, control outcome.Arm, exemplars []outcome.Exemplar)
	// Forget drops a trial that is over.
	Forget(trial string)
}

// Evidence keeps traces that a decision points at; *traces.Store is one.
type Evidence interface {
	// PinTrace keeps a trace, given in hex, which may not have arrived yet.
	PinTrace(id string) bool
	// UnpinTrace lets it go again.
	UnpinTrace(id string)
}

// Config is what a Controller needs; all fields but Logger are required.
type Config struct {
	Trials   Trials
	Outcomes Outcomes
	Evidence Evidence
	Logger   *slog.Logger // default: discard
}

// Controller runs the trials of one control plane.
type Controller struct {
	cfg     Config
	open    map[string]*openInterval // by trial; only the Run goroutine touches it
	weighed func()                   // called after an interval was weighed, for metrics
}

// openInterval is what the controller knows of a trial's current interval.
type openInterval struct {
	attempt int
	version string
	from    time.Time // when it was opened, with monotonic reading: clock jumps change nothing
	start   time.Time // its start as recorded: where the last one ended
	closed  *closedInterval
}

// closedInterval waits to be stored. What arrives meanwhile is in the open interval, which is
// closed after this one is stored.
type closedInterval struct {
	outcome.Interval
	retry time.Time // not before
	// uncertain is on after a store failed: it may have kept the interval and only failed to
	// say so.
	uncertain bool
}

// New gives a controller that does nothing until Run. onInterval, if not nil, is called after
// each weighed interval.
func New(cfg Config, onInterval func()) *Controller {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if onInterval == nil {
		onInterval = func() {}
	}
	return &Controller{cfg: cfg, open: map[string]*openInterval{}, weighed: onInterval}
}

const (
	// idle is how long the controller sleeps when no trial runs; a change of the log wakes it.
	idle = time.Hour
	// retryAfter is the time between attempts to store an interval.
	retryAfter = 2 * time.Second
	// maxConflicts bounds how often one attempt is weighed anew. Every conflict means that
	// somebody else made progress, so a few are plenty.
	maxConflicts = 20
)

// Run closes intervals as they fall due, until ctx ends. It may be called once.
func (c *Controller) Run(ctx context.Context) {
	changed := c.watch(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
		timer.Reset(c.tick(ctx, time.Now()))
	}
}

// watch signals when the log has changed: a trial may have been started, stopped or told.
func (c *Controller) watch(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		var have control.Head
		for {
			view, err := c.cfg.Trials.WaitSnapshot(ctx, have)
			if err != nil {
				return
			}
			have = view.Head
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed
}

// tick looks after every active trial and gives the time until the next interval is due.
func (c *Controller) tick(ctx context.Context, now time.Time) time.Duration {
	next := idle
	active := map[string]bool{}
	for _, entry := range c.cfg.Trials.ActiveTrials() {
		active[entry.Spec.Name] = true
		next = min(next, c.look(ctx, entry, now))
	}
	for name := range c.open {
		if !active[name] {
			delete(c.open, name)
			c.cfg.Outcomes.Forget(name)
		}
	}
	return max(next, time.Millisecond)
}

// look closes and stores the trial's interval if it is due, and gives the time until there is
// something to do again.
func (c *Controller) look(ctx context.Context, entry control.TrialEntry, now time.Time) time.Duration {
	o := c.expect(entry, now)
	interval := time.Duration(entry.Spec.Interval)
	if o.closed == nil {
		if left := interval - now.Sub(o.from); left > 0 {
			return left
		}
		c.closeInterval(entry, o, now)
	}
	if left := o.closed.retry.Sub(now); left > 0 {
		return left
	}
	if err := c.weigh(ctx, entry, o.closed); err != nil {
		o.closed.uncertain, o.closed.retry = true, now.Add(retryAfter)
		c.cfg.Logger.Error("interval not stored, will be retried", "trial", entry.Spec.Name, "error", err)
		return retryAfter
	}
	o.closed = nil
	if entry, err := c.cfg.Trials.GetTrial(entry.Spec.Name); err == nil && !entry.State.Ended() {
		c.expect(entry, now)
	}
	return interval - now.Sub(o.from)
}

// expect makes sure that the outcomes of the trial's present version are collected.
func (c *Controller) expect(entry control.TrialEntry, now time.Time) *openInterval {
	name, version := entry.Spec.Name, entry.State.Version(entry.Spec)
	o := c.open[name]
	if o == nil || o.attempt != entry.State.Attempt {
		o = &openInterval{attempt: entry.State.Attempt, from: now, start: now.UTC().Round(0)}
		if o.start.Before(entry.State.UpdatedAt) {
			o.start = entry.State.UpdatedAt
		}
		c.open[name] = o
	}
	if o.version != version {
		o.closed = nil // of a step that is over
		if err := c.cfg.Outcomes.Expect(name, version); err != nil {
			c.cfg.Logger.Error("outcomes cannot be collected", "trial", name, "error", err)
			return o
		}
		o.version = version
	}
	return o
}

// closeInterval takes what has arrived, and opens the next interval.
func (c *Controller) closeInterval(entry control.TrialEntry, o *openInterval, now time.Time) {
	t, k, exemplars := c.cfg.Outcomes.Close(entry.Spec.Name, o.version)
	iv := outcome.Interval{Seq: entry.State.Seq + 1, Step: entry.State.Step,
		From: o.start, To: o.start.Add(now.Sub(o.from)),
		Treatment: t, Control: k, Exemplars: exemplars}
	o.closed = &closedInterval{Interval: iv}
	o.from, o.start = now, iv.To
}

// weigh asks what follows from the interval and stores it. If a person's command came between,
// or another controller's interval, it is weighed again on top of that. It fails if the store
// did, and may then be repeated.
func (c *Controller) weigh(ctx context.Context, entry control.TrialEntry, iv *closedInterval) error {
	var err error
	for range maxConflicts {
		if !iv.follows(entry) {
			return nil
		}
		switch err = c.store(ctx, entry, iv.Interval); control.CodeOf(err) {
		case control.CodeConflict:
		case control.CodeNotFound, control.CodePrecondition: // it ended or was deleted
			return nil
		case control.CodeInvalid, control.CodeTooLarge: // repeating it would not help
			c.cfg.Logger.Error("interval dropped", "trial", entry.Spec.Name, "interval", iv.Seq, "error", err)
			return nil
		default:
			if err == nil {
				c.weighed()
			}
			return err
		}
		name, attempt := entry.Spec.Name, entry.State.Attempt
		var missing error
		if entry, missing = c.cfg.Trials.GetTrial(name); missing != nil || entry.State.Attempt != attempt {
			return nil
		}
	}
	return err
}

// follows reports whether the interval can be weighed on top of a state, and numbers it anew if
// its number is taken.
func (iv *closedInterval) follows(entry control.TrialEntry) bool {
	if entry.State.Ended() || entry.State.Step != iv.Step {
		return false
	}
	if iv.Seq <= entry.State.Seq {
		// Who took the number? If it may have been this very interval, adding it again would
		// count it twice. An empty one adds nothing to what the other controller knows.
		if iv.uncertain || iv.Treatment.Empty() && iv.Control.Empty() {
			return false
		}
		iv.Seq = entry.State.Seq + 1
	}
	return true
}

func (c *Controller) store(ctx context.Context, entry control.TrialEntry, iv outcome.Interval) error {
	state, actions := trial.Next(entry.Spec, entry.State, trial.IntervalClosed{Interval: iv})
	for _, e := range state.Exemplars {
		c.cfg.Evidence.PinTrace(e.TraceID)
	}
	var err error
	if len(actions) == 0 {
		err = c.cfg.Trials.RecordInterval(ctx, entry.Spec.Name, entry.Revision, iv, state)
	} else {
		_, err = c.cfg.Trials.StoreDecision(ctx, control.Decision{
			Trial: entry.Spec.Name, Revision: entry.Revision, State: state,
			Interval: &iv, Actions: actions, Reason: state.Why,
		})
	}
	if err == nil {
		c.unpin(entry.State.Exemplars, state.Exemplars)
	}
	return err
}

// unpin lets go of the traces that newer ones have replaced, so that a trial pins only as many
// as it shows and does not push out the evidence of others.
func (c *Controller) unpin(before, after []outcome.Exemplar) {
	for _, old := range before {
		if !slices.ContainsFunc(after, func(e outcome.Exemplar) bool { return e.TraceID == old.TraceID }) {
			c.cfg.Evidence.UnpinTrace(old.TraceID)
		}
	}
}
