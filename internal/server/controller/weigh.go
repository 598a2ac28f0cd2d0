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
	// maxConflicts bounds how often one attempt is weighed anew. Every conflict means that
	// somebody else made progress, so a few are plenty.
	maxConflicts = 20
	// maxBatch bounds the intervals of one transaction, so that people's commands and the memory
	// for states do not have to wait for ten thousand.
	maxBatch = 500
)

// weighing is a closed interval on its way into the store.
type weighing struct {
	entry   control.TrialEntry
	open    *openInterval
	iv      *closedInterval
	state   trial.State // after it
	decided bool        // it asks for something to be done
}

// tick closes the intervals that are due, and has those stored that are complete.
func (c *Controller) tick(ctx context.Context, helpers *sync.WaitGroup, now time.Duration) {
	var batch []*weighing
	for {
		o, ok := c.due.take(now)
		if !ok {
			break
		}
		if w := c.look(ctx, helpers, o, now); w != nil {
			batch = append(batch, w)
		}
		if len(batch) == maxBatch {
			c.weigh(ctx, batch, now)
			batch = batch[:0]
		}
	}
	c.weigh(ctx, batch, now)
}

// look gives the interval of a trial that is due, if it can be weighed. If it cannot, something
// else is planned for it, or under way.
func (c *Controller) look(ctx context.Context, helpers *sync.WaitGroup, due *openInterval, now time.Duration) *weighing {
	o, entry := c.expectNamed(due.trial, now)
	if o == nil || o != due || o.place >= 0 {
		return nil
	}
	if o.closed == nil {
		c.closeInterval(&entry, o, now)
		if c.pull(ctx, helpers, &entry, o) {
			return nil
		}
	}
	return &weighing{entry: entry, open: o, iv: o.closed}
}

// weigh asks what follows from intervals and stores it. Where a person's command came between, or
// another controller's interval, it is weighed again on top of that.
func (c *Controller) weigh(ctx context.Context, batch []*weighing, now time.Duration) {
	for range maxConflicts {
		if len(batch) == 0 {
			return
		}
		batch = c.attempt(ctx, batch, now)
	}
	for _, w := range batch {
		c.later(w, control.ErrConflict, now)
	}
}

// attempt weighs and stores, and gives those that have to be weighed again.
func (c *Controller) attempt(ctx context.Context, batch []*weighing, now time.Duration) (again []*weighing) {
	records, plain := make([]control.Record, 0, len(batch)), make([]*weighing, 0, len(batch))
	for _, w := range batch {
		if !w.iv.follows(&w.entry) {
			c.done(w, now)
			continue
		}
		actions := c.next(w)
		w.decided = len(actions) > 0
		if !w.decided {
			records = append(records, control.Record{Trial: w.open.trial, Revision: w.entry.Revision, Interval: w.iv.Interval, State: w.state})
			plain = append(plain, w)
			continue
		}
		c.cfg.Reached(pointDecided)
		_, err := c.cfg.Trials.StoreDecision(ctx, control.Decision{
			Trial: w.open.trial, Revision: w.entry.Revision, State: w.state,
			Interval: &w.iv.Interval, Actions: actions, Reason: w.state.Why,
		})
		if err == nil {
			c.cfg.Reached(pointStored)
		}
		again = c.settle(w, err, now, again)
	}
	if len(records) == 0 {
		return again
	}
	errs := c.cfg.Trials.RecordIntervals(ctx, records)
	c.cfg.Reached(pointRecorded)
	for i, w := range plain {
		again = c.settle(w, errs[i], now, again)
	}
	return again
}

// next asks what follows, and keeps the traces that the answer points at.
func (c *Controller) next(w *weighing) (actions []trial.Action) {
	w.state, actions = trial.Next(w.entry.Spec, w.entry.State, trial.IntervalClosed{Interval: w.iv.Interval})
	for _, e := range w.state.Exemplars {
		c.cfg.Evidence.PinTrace(e.TraceID)
	}
	return actions
}

// settle does what the answer of the store asks for: after a conflict the interval is to be
// weighed again on what is newest.
func (c *Controller) settle(w *weighing, err error, now time.Duration, again []*weighing) []*weighing {
	switch control.CodeOf(err) {
	case control.CodeConflict:
		entry, missing := c.cfg.Trials.GetTrial(w.open.trial)
		if missing == nil && entry.State.Attempt == w.open.attempt {
			w.entry = entry
			return append(again, w)
		}
		c.done(w, now)
	case control.CodeNotFound, control.CodePrecondition: // it ended or was deleted
		c.done(w, now)
	case control.CodeInvalid, control.CodeTooLarge: // repeating it would not help
		c.cfg.Logger.Error("interval dropped", "trial", w.open.trial, "interval", w.iv.Seq, "error", err)
		c.done(w, now)
	default:
		if err != nil {
			c.later(w, err, now)
			break
		}
		c.unpin(w.entry.State.Exemplars, w.state.Exemplars)
		c.weighed()
		if !w.decided { // the step is the same, so what is collected stays so too
			w.open.closed = nil
			c.schedule(w.open, &w.entry)
			break
		}
		c.done(w, now)
	}
	return again
}

// done turns to the trial's next interval.
func (c *Controller) done(w *weighing, now time.Duration) {
	w.open.closed = nil
	c.schedule(w.open, &w.entry)
	c.expectNamed(w.open.trial, now)
}

// later tries again after a while.
func (c *Controller) later(w *weighing, err error, now time.Duration) {
	c.cfg.Logger.Error("interval not stored, will be retried", "trial", w.open.trial, "error", err)
	w.iv.uncertain = true
	c.due.put(w.open, roundUp(now+retryAfter))
}

// follows reports whether the interval can be weighed on top of a state, and numbers it anew if
// its number is taken.
func (iv *closedInterval) follows(entry *control.TrialEntry) bool {
	if entry.State.Ended() || entry.State.Step != iv.Step || entry.State.Steady != iv.Steady {
		return false
	}
	if iv.Seq <= entry.State.Seq {
		// Who took the number? If it may have been this very interval, adding it again would
		// count it twice. An empty one adds nothing to what the other controller knows, and what
		// it pulled the other one has pulled too.
		if iv.uncertain || iv.Treatment.Empty() && iv.Control.Empty() {
			return false
		}
		iv.Seq = entry.State.Seq + 1
	}
	return true
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
