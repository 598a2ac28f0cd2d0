// Package controller is the shell around package trial: it closes intervals when they are due,
// asks trial.Next what follows, and has the answer stored: intervals that change nothing together,
// a decision as one compare-and-set with its evidence. It decides nothing itself.
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
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// Trials is where trials live; *control.Service is one.
type Trials interface {
	// WaitTrials tells which trials were changed since a state, as soon as there is a newer one.
	WaitTrials(ctx context.Context, have control.Head) (control.TrialChanges, error)
	GetTrial(name string) (control.TrialEntry, error)
	StoreDecision(ctx context.Context, d control.Decision) (control.TrialEntry, error)
	// RecordIntervals gives an error, or nil, for each.
	RecordIntervals(ctx context.Context, records []control.Record) []error
}

// Outcomes is where the outcomes of open intervals accumulate; *intervals.Accumulator is one.
type Outcomes interface {
	// Expect announces the version of a trial whose outcomes are wanted from now on. It fails
	// when too many trials are open.
	Expect(trial, version string) error
	// Close returns what arrived for that version since the last Close, and starts anew: an interval
	// with its arms, exemplars and injections.
	Close(trial, version string) outcome.Interval
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

// Sources is where counts are pulled from that do not come as telemetry, such as Prometheus.
type Sources interface {
	// Pull gives the measures of the plan's guardrails that have a source, of the time from from
	// (exclusive) to until (inclusive) or less, as the pull tells. It is called by many goroutines
	// at once and returns when ctx ends.
	Pull(ctx context.Context, spec trial.Spec, from, until time.Time) (outcome.Pull, error)
}

// Config is what a Controller needs; Trials, Outcomes and Evidence are required.
type Config struct {
	Trials   Trials
	Outcomes Outcomes
	Evidence Evidence
	// Sources of guardrails that name one. Nil: they have no data.
	Sources Sources
	Logger  *slog.Logger // default: discard
	// Now reads the clock for the times that intervals are told to have, default time.Now. When
	// they fall due, and how long they were, is told by a clock that nobody sets.
	Now func() time.Time
	// Reached, for tests, is called by the controller at the boundaries of a step; see points.
	// Default: nothing.
	Reached func(point string)
}

// Controller runs the trials of one control plane. Only the goroutine of Run touches its fields.
type Controller struct {
	cfg     Config
	weighed func() // called after an interval was weighed, for metrics

	began   time.Time // of Run, with its monotonic reading: clock jumps change nothing
	open    map[string]*openInterval
	due     dueHeap
	pulls   chan pulled   // what came back
	pulling chan struct{} // holds a token for each pull under way
	failing failing
}

// New gives a controller that does nothing until Run. onInterval, if not nil, is called after
// each weighed interval.
func New(cfg Config, onInterval func()) *Controller {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Reached == nil {
		cfg.Reached = func(string) {}
	}
	if onInterval == nil {
		onInterval = func() {}
	}
	return &Controller{cfg: cfg, weighed: onInterval, open: map[string]*openInterval{},
		pulls: make(chan pulled), pulling: make(chan struct{}, maxPulls)}
}

// The points that Config.Reached is told of, in the order of a step. Between decided and stored
// are those of the store.
const (
	pointExpected = "expected"        // the outcomes of a version are collected
	pointClosed   = "interval.closed" // nothing more is added to it
	pointPulled   = "pull.done"       // the sources have answered, or failed
	pointDecided  = "decision.made"   // it is not stored yet
	pointStored   = "published"       // the decision is stored, and everybody can see it
	pointRecorded = "recorded"        // the intervals without a decision are stored
	pointForgot   = "forgotten"       // a trial that is over
)

const (
	// idle is how long the controller sleeps when no trial runs; a change of the log wakes it.
	idle = time.Hour
	// retryAfter is the time between attempts to store an interval.
	retryAfter = 2 * time.Second
)

// Run closes intervals as they fall due, until ctx ends. It may be called once.
func (c *Controller) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer stop()
	c.began = time.Now()
	changes := make(chan control.TrialChanges)
	helpers.Go(func() { c.watch(ctx, changes) })
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case change := <-changes:
			c.adopt(change, c.elapsed())
		case p := <-c.pulls:
			c.take(p, c.elapsed())
		case <-timer.C:
		}
		c.tick(ctx, &helpers, c.elapsed())
		timer.Reset(max(c.due.next(idle+c.elapsed())-c.elapsed(), 0))
	}
}

// elapsed is the time since Run began.
func (c *Controller) elapsed() time.Duration { return time.Since(c.began) }

// watch tells which trials were started, stopped or told something. It holds back while the last
// news are not taken, and then brings everything at once.
func (c *Controller) watch(ctx context.Context, changes chan<- control.TrialChanges) {
	var have control.Head
	for {
		change, err := c.cfg.Trials.WaitTrials(ctx, have)
		if err != nil {
			return
		}
		have = change.Head
		if len(change.Names) == 0 && !change.All {
			continue
		}
		select {
		case changes <- change:
		case <-ctx.Done():
			return
		}
	}
}

// adopt looks at the trials that have changed.
func (c *Controller) adopt(change control.TrialChanges, now time.Duration) {
	if change.All {
		active := make(map[string]bool, len(change.Names))
		for _, name := range change.Names {
			active[name] = true
		}
		for name := range c.open {
			if !active[name] {
				c.forget(name)
			}
		}
	}
	for _, name := range change.Names {
		c.expectNamed(name, now)
	}
}

// expectNamed makes sure that what is collected is what the trial's newest state needs. It gives
// nil for a trial that is over.
func (c *Controller) expectNamed(name string, now time.Duration) (*openInterval, control.TrialEntry) {
	entry, err := c.cfg.Trials.GetTrial(name)
	if err != nil || entry.State.Ended() {
		c.forget(name)
		return nil, entry
	}
	return c.expect(&entry, now), entry
}

// expect makes sure that the outcomes of the trial's present version are collected.
func (c *Controller) expect(entry *control.TrialEntry, now time.Duration) *openInterval {
	name := entry.Spec.Name
	o := c.open[name]
	if o == nil || o.attempt != entry.State.Attempt {
		c.due.remove(o)
		o = &openInterval{trial: name, attempt: entry.State.Attempt, from: now, base: now, start: c.cfg.Now().UTC().Round(0), place: -1}
		if o.start.Before(entry.State.UpdatedAt) {
			o.start = entry.State.UpdatedAt
		}
		c.open[name] = o
		c.schedule(o, entry)
	}
	if o.version == "" || o.step != entry.State.Step || o.steady != entry.State.Steady {
		c.collect(o, entry)
	}
	return o
}

// collect has the outcomes of the trial's present version collected, and drops what waits of a
// step that is over.
func (c *Controller) collect(o *openInterval, entry *control.TrialEntry) {
	if o.closed != nil {
		o.closed = nil
		c.schedule(o, entry)
	}
	version := entry.State.Version(entry.Spec)
	if err := c.cfg.Outcomes.Expect(o.trial, version); err != nil {
		c.cfg.Logger.Error("outcomes cannot be collected", "trial", o.trial, "error", err)
		o.version = ""
		return
	}
	o.step, o.steady, o.version = entry.State.Step, entry.State.Steady, version
	c.cfg.Reached(pointExpected)
}

func (c *Controller) forget(name string) {
	o, ok := c.open[name]
	if !ok {
		return
	}
	c.due.remove(o)
	delete(c.open, name)
	c.cfg.Outcomes.Forget(name)
	c.cfg.Reached(pointForgot)
}
