package controller

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

const (
	// maxPulls bounds the pulls that are under way at once.
	maxPulls = 16
	// maxPullTime bounds one, waiting for its turn included; a trial's interval does so too.
	maxPullTime = 10 * time.Second
	// failuresEvery is the pause between two lines of the log about pulls that fail.
	failuresEvery = time.Minute
)

// pulled is what came back for a closed interval.
type pulled struct {
	open   *openInterval
	closed *closedInterval
	pull   outcome.Pull
	err    error
}

// pull asks the sources about the interval that was just closed, if the plan has any; the answer
// comes on c.pulls. Other trials do not wait for it.
func (c *Controller) pull(ctx context.Context, helpers *sync.WaitGroup, entry *control.TrialEntry, o *openInterval) bool {
	if c.cfg.Sources == nil || !slices.ContainsFunc(entry.Spec.Guardrails, func(g trial.Guardrail) bool { return g.Prometheus != nil }) {
		return false
	}
	from, until := entry.State.PulledTo, o.closed.To
	if from.Before(entry.State.StepStartedAt) {
		from = entry.State.StepStartedAt
	}
	if !from.Before(until) {
		return false
	}
	spec, p := entry.Spec, pulled{open: o, closed: o.closed}
	helpers.Go(func() {
		p.pull, p.err = c.ask(ctx, spec, from, until)
		select {
		case c.pulls <- p:
		case <-ctx.Done():
		}
	})
	return true
}

// ask waits for its turn and pulls, all within the deadline.
func (c *Controller) ask(ctx context.Context, spec trial.Spec, from, until time.Time) (outcome.Pull, error) {
	ctx, cancel := context.WithTimeout(ctx, min(time.Duration(spec.Interval), maxPullTime))
	defer cancel()
	select {
	case c.pulling <- struct{}{}:
		defer func() { <-c.pulling }()
	case <-ctx.Done():
		return outcome.Pull{}, context.Cause(ctx)
	}
	return c.cfg.Sources.Pull(ctx, spec, from, until)
}

// take completes an interval with what was pulled for it, if it still waits for that. Without an
// answer it stays without: nothing that a source fails to say is taken for anything.
func (c *Controller) take(p pulled, now time.Duration) {
	c.cfg.Reached(pointPulled)
	if p.err != nil {
		c.failing.log(c, p, now)
	}
	if c.open[p.open.trial] != p.open || p.open.closed != p.closed {
		return
	}
	if p.err == nil {
		p.closed.Pull = &p.pull
	}
	c.due.put(p.open, now)
}

// failing counts the pulls that failed since the log was told.
type failing struct {
	count int
	told  time.Duration
}

func (f *failing) log(c *Controller, p pulled, now time.Duration) {
	f.count++
	if f.told > 0 && now-f.told < failuresEvery {
		return
	}
	c.cfg.Logger.Warn("counts could not be pulled: the guardrails that need them have no data",
		"trial", p.open.trial, "failures", f.count, "error", p.err)
	f.count, f.told = 0, now
}
