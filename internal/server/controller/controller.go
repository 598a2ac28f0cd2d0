// Package controller is the shell around package trial: it closes intervals when they are due,
// asks trial.Next what follows, and has the answer stored as one compare-and-set with its
// evidence. It decides nothing itself.
//
// Any number of controllers may run on one log: the compare-and-set lets one of them act, the
// others find that the trial has moved on. It is for the server's wiring only, and does no I/O
// but through its ports.
package controller

import (
	"context"
	"log/slog"
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
	cfg    Config
	open   map[string]*openInterval // by trial; only the Run goroutine touches it
	closed func()                   // called after an interval was weighed, for metrics
}

// openInterval is what the controller knows of a trial's current interval.
type openInterval struct {
	attempt int
	version string
	from    time.Time // when it was opened, with monotonic reading: clock jumps change nothing
	start   time.Time // its start as recorded: where the last one ended
	held    *outcome.Interval
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
	return &Controller{cfg: cfg, open: map[string]*openInterval{}, closed: onInterval}
}

// idle is how long the controller sleeps when no trial runs; a change of the log wakes it.
const idle = time.Hour

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

// look closes the trial's interval if it is due, and gives the time until the next one is.
func (c *Controller) look(ctx context.Context, entry control.TrialEntry, now time.Time) time.Duration {
	o := c.expect(entry, now)
	interval := time.Duration(entry.Spec.Interval)
	if left := interval - now.Sub(o.from); left > 0 {
		return left
	}
	iv := c.closeInterval(entry, o, now)
	o.from, o.start = now, iv.To
	if err := c.weigh(ctx, entry, iv); err != nil {
		o.held = &iv // nothing that was counted is lost: it joins the next interval
		c.cfg.Logger.Error("interval not stored, will be retried", "trial", entry.Spec.Name, "error", err)
		return interval
	}
	o.held = nil
	c.closed()
	if entry, err := c.cfg.Trials.GetTrial(entry.Spec.Name); err == nil && !entry.State.Ended() {
		c.expect(entry, now)
	}
	return interval
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
		if err := c.cfg.Outcomes.Expect(name, version); err != nil {
			c.cfg.Logger.Error("outcomes cannot be collected", "trial", name, "error", err)
			return o
		}
		o.version = version
	}
	return o
}

// closeInterval takes what has arrived.
func (c *Controller) closeInterval(entry control.TrialEntry, o *openInterval, now time.Time) outcome.Interval {
	t, k, exemplars := c.cfg.Outcomes.Close(entry.Spec.Name, o.version)
	iv := outcome.Interval{Seq: entry.State.Seq + 1, Step: entry.State.Step,
		From: o.start, To: o.start.Add(now.Sub(o.from)),
		Treatment: t, Control: k, Exemplars: exemplars}
	if o.held != nil {
		iv.Treatment.Merge(&o.held.Treatment)
		iv.Control.Merge(&o.held.Control)
	}
	return iv
}

// weigh asks what follows from the interval and stores it. If a person's command came between,
// the interval is weighed again on top of it; if another controller was faster, it is dropped.
func (c *Controller) weigh(ctx context.Context, entry control.TrialEntry, iv outcome.Interval) error {
	for {
		err := c.store(ctx, entry, iv)
		if control.CodeOf(err) != control.CodeConflict {
			return err
		}
		name, attempt := entry.Spec.Name, entry.State.Attempt
		if entry, err = c.cfg.Trials.GetTrial(name); err != nil {
			return err
		}
		if entry.State.Ended() || entry.State.Attempt != attempt || entry.State.Seq >= iv.Seq || entry.State.Step != iv.Step {
			return nil
		}
	}
}

func (c *Controller) store(ctx context.Context, entry control.TrialEntry, iv outcome.Interval) error {
	state, actions := trial.Next(entry.Spec, entry.State, trial.IntervalClosed{Interval: iv})
	if len(actions) == 0 {
		return c.cfg.Trials.RecordInterval(ctx, entry.Spec.Name, entry.Revision, iv, state)
	}
	for _, e := range state.Exemplars {
		c.cfg.Evidence.PinTrace(e.TraceID)
	}
	_, err := c.cfg.Trials.StoreDecision(ctx, control.Decision{
		Trial: entry.Spec.Name, Revision: entry.Revision, State: state,
		Interval: &iv, Actions: actions, Reason: state.Why,
	})
	return err
}
