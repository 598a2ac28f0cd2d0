package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// worker delivers to one webhook, one event after the other.
type worker struct {
	n      *Notifier
	target control.WebhookTarget
	log    *slog.Logger

	cursor   control.Cursor // as stored last, but for what was passed since
	progress progress
	behind   int // changes passed since it was stored
	// lost is on after the store failed: it may have kept a move and only failed to say so.
	lost       bool
	complained time.Time // when the log was last told that the store fails
}

// How deliveries are paced.
const (
	// firstRetry and longestRetry bound the pause before an attempt: after the n-th failure it is
	// random, up to firstRetry·2^(n-1) ("full jitter": Brooker, "Exponential Backoff And Jitter",
	// AWS Architecture Blog, 2015).
	firstRetry   = 2 * time.Second
	longestRetry = time.Hour
	// longestAsked bounds what Retry-After may ask for.
	longestAsked = 6 * time.Hour
	// finalAttempts is how often an event is sent that the receiver refuses as it is.
	finalAttempts = 5
	// deadAfter is how old an event gets that cannot be delivered.
	deadAfter = 3 * 24 * time.Hour

	// leaseFor is how long nobody else delivers. It is renewed when less than an attempt's time,
	// twice, is left of it.
	leaseFor = 30 * time.Second
	// storeRetry is the pause after the store failed.
	storeRetry = time.Second
	// storeBehind is after how many changes that are not for the webhook the cursor is stored all
	// the same, so that a restart does not read them again.
	storeBehind = 256
	// pageOfTrials bounds how many trials of one change are in memory.
	pageOfTrials = 16
)

// errOthers says that another server delivers for now.
var errOthers = errors.New("another server delivers")

// run delivers until ctx ends or the store is closed.
func (w *worker) run(ctx context.Context) {
	w.lost = true
	for ctx.Err() == nil {
		head := w.n.cfg.Changes.Head()
		idle, err := w.next(ctx, head)
		switch {
		case errors.Is(err, control.ErrClosed) || ctx.Err() != nil:
			w.release(ctx)
			return
		case errors.Is(err, errOthers):
			w.lost = true
			sleep(ctx, time.Until(w.cursor.Until))
		case control.CodeOf(err) == control.CodeConflict && err != nil:
			w.lost = true
		case err != nil:
			w.lost = true
			w.complain(err)
			sleep(ctx, storeRetry)
		case idle:
			w.n.passed(w.target.ID, head.Revision)
			_, _ = w.n.cfg.Changes.WaitSnapshot(ctx, head)
		}
	}
	w.release(ctx)
}

// complain tells operators that the store fails, once a minute.
func (w *worker) complain(err error) {
	if now := time.Now(); now.Sub(w.complained) >= time.Minute {
		w.complained = now
		w.log.Warn("the store could not be used to deliver; it is tried again", "error", err)
	}
}

// next takes one step: it passes what is not for the webhook, or delivers one event, or waits for
// its time. idle means that there is nothing to do up to head.
func (w *worker) next(ctx context.Context, head control.Head) (idle bool, err error) {
	if w.lost {
		if err := w.load(ctx, head); err != nil {
			return false, err
		}
		w.lost = false
	}
	e, found, idle, err := w.find(ctx)
	if err != nil || idle || !found {
		return idle, err
	}
	if err := w.claim(ctx); err != nil {
		return false, err
	}
	// A longer wait than ever is asked for means that the clock was set back.
	if wait := time.Until(w.progress.NextAttemptAt); w.progress.Attempts > 0 && wait > 0 && wait <= longestRetry+longestAsked {
		return false, w.wait(ctx, wait)
	}
	return false, w.deliver(ctx, e)
}

// load reads the cursor, and brings it to where the webhook begins.
func (w *worker) load(ctx context.Context, head control.Head) error {
	c, err := w.n.cfg.Cursors.Cursor(ctx, w.target.ID)
	switch {
	case errors.Is(err, control.ErrNotFound):
		c = control.Cursor{ID: w.target.ID}
	case err != nil:
		return err
	}
	w.cursor, w.behind = c, 0
	w.progress = readProgress(c.Status)
	if w.progress.Webhook != w.target.Revision { // it was changed: what failed may work now
		w.progress.Webhook = w.target.Revision
		w.progress.retryNow()
	}
	if w.cursor.Revision < w.target.Since {
		w.moveTo(w.target.Since, 0)
	}
	if w.cursor.Revision > head.Revision { // a log that has lost changes
		w.moveTo(head.Revision, 0)
	}
	return nil
}

func (w *worker) moveTo(revision int64, index int) {
	w.cursor.Revision, w.cursor.Index = revision, index
}

// find gives the next event for the webhook in the change that comes next. Without one it passes
// that change.
func (w *worker) find(ctx context.Context) (e event, found, idle bool, err error) {
	select {
	case w.n.reading <- struct{}{}:
	case <-ctx.Done():
		return event{}, false, false, context.Cause(ctx)
	}
	defer func() { <-w.n.reading }()
	first := w.cursor.Index / slots
	change, ok, err := w.n.cfg.Changes.NextTrialChange(ctx, w.cursor.Revision, first, pageOfTrials)
	if err != nil || !ok {
		return event{}, false, err == nil, err
	}
	for i := range change.Trials {
		for _, e := range eventsOf(&change, i) {
			if e.slot >= w.cursor.Index && wanted(&w.target, e) {
				return w.alone(e), true, false, nil
			}
		}
	}
	if change.More {
		w.moveTo(w.cursor.Revision, (first+len(change.Trials))*slots)
		return event{}, false, false, nil
	}
	return event{}, false, false, w.pass(ctx, change.Revision)
}

// alone keeps of a change only what the event needs, while it waits for its delivery.
func (w *worker) alone(e event) event {
	change, trial := *e.change, *e.trial
	change.Trials = nil
	e.change, e.trial = &change, &trial
	return e
}

// pass moves beyond a change that has nothing more for the webhook.
func (w *worker) pass(ctx context.Context, revision int64) error {
	w.moveTo(revision, 0)
	w.n.passed(w.target.ID, revision)
	if w.behind++; w.behind < storeBehind {
		return nil
	}
	if err := w.claim(ctx); err != nil {
		return err
	}
	return w.store(ctx)
}

// claim sees to it that nobody else delivers, for long enough to make an attempt.
func (w *worker) claim(ctx context.Context) error {
	left := time.Until(w.cursor.Until)
	if left > 2*leaseFor { // the clock was set back
		left = 0
	}
	switch mine := w.cursor.Owner == w.n.cfg.Owner; {
	case mine && left > 2*sendTimeout:
		return nil
	case !mine && w.cursor.Owner != "" && left > 0:
		return errOthers
	}
	return w.store(ctx)
}

// store makes what was passed and what happened durable, and renews the lease.
func (w *worker) store(ctx context.Context) error {
	w.cursor.Owner, w.cursor.Until = w.n.cfg.Owner, time.Now().Add(leaseFor)
	return w.put(ctx)
}

func (w *worker) put(ctx context.Context) error {
	next := w.cursor
	next.Version++
	next.Status = w.progress.encode()
	if err := w.n.cfg.Cursors.MoveCursor(ctx, next); err != nil {
		return err
	}
	w.cursor, w.behind = next, 0
	return nil
}

// release lets others deliver at once, if this one does.
func (w *worker) release(ctx context.Context) {
	if w.lost || w.cursor.Owner != w.n.cfg.Owner {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeRetry)
	defer cancel()
	w.cursor.Owner, w.cursor.Until = "", time.Time{}
	if err := w.put(ctx); err != nil && !errors.Is(err, control.ErrClosed) {
		w.log.Debug("the lease stays until it is over", "error", err)
	}
	w.lost = true
}

// wait sleeps until it is time for the next attempt. A long wait is left to whoever is there then.
func (w *worker) wait(ctx context.Context, d time.Duration) error {
	if d > leaseFor {
		w.release(ctx)
	}
	sleep(ctx, d)
	return nil
}

// deliver makes one attempt, and stores what became of it.
func (w *worker) deliver(ctx context.Context, e event) error {
	body, err := w.n.bodyOf(&w.target, e)
	if err != nil {
		return w.skip(ctx, e, "it cannot be encoded: "+err.Error())
	}
	a := w.n.send(ctx, &w.target, e.id(), body)
	if a.err == nil {
		w.n.stats.delivered.Add(1)
		w.progress.succeeded(time.Now())
		w.moveTo(w.cursor.Revision, e.slot+1)
		return w.store(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // it was cut off, which says nothing of the receiver
	}
	w.n.stats.failed.Add(1)
	pause := w.progress.failed(time.Now(), a, w.n.cfg.jitter)
	switch {
	case a.final() && w.progress.Attempts >= finalAttempts:
		return w.skip(ctx, e, a.err.Error())
	case time.Since(e.change.Time) > deadAfter:
		return w.skip(ctx, e, "it is older than 3 days and could not be delivered: "+a.err.Error())
	}
	w.log.Debug("an event was not delivered yet", "event", e.id(), "attempts", w.progress.Attempts, "pause", pause, "error", a.err)
	return w.store(ctx)
}

// skip gives an event up.
func (w *worker) skip(ctx context.Context, e event, why string) error {
	w.n.stats.skipped.Add(1)
	w.log.Warn("an event was given up", "event", e.id(), "attempts", w.progress.Attempts, "error", why)
	w.progress.skip(time.Now(), e.id(), why)
	w.moveTo(w.cursor.Revision, e.slot+1)
	return w.store(ctx)
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
