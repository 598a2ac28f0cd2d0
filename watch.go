package seatrial

import (
	"context"
	"iter"
	"time"
)

// Update is what [Client.Watch] tells: how the client is now, and what is different.
type Update struct {
	Status Status
	// Changed are the keys, sorted, of the flags whose evaluations may differ since the update
	// before: those that changed themselves, and those that depend on what changed, be it a
	// segment, a prerequisite, a layer or a trial. With the client's first snapshot it is every
	// flag. Nil in the first update, which others are compared with.
	Changed []string
}

// Watch gives the client's state of the moment and then each change of it: another snapshot,
// another [State], the stream opened or lost, another error. It ends with ctx, and after an
// update that says that the client is closed.
//
// Nothing is queued and nobody waits for the receiver: what happens while it is busy comes as
// one update, with all the keys that changed meanwhile. A receiver may therefore be slow, and it
// may be one of many. Comparing two snapshots takes about as long as reading all flags once; it
// is done by the receiver's goroutine.
func (c *Client) Watch(ctx context.Context) iter.Seq[Update] {
	if ctx == nil {
		ctx = context.Background()
	}
	return func(yield func(Update) bool) {
		w := watcher{client: c}
		for {
			changed := c.announcement()
			if update, news := w.look(); news && !yield(update) {
				return
			}
			if w.last.State == StateClosed || !w.wait(ctx, changed) {
				return
			}
		}
	}
}

// watcher is what one receiver has seen.
type watcher struct {
	client *Client
	began  bool
	last   Status
	at     *snapshot
}

// look compares the client with what was seen last. News is true if there is something to tell.
func (w *watcher) look() (u Update, news bool) {
	var at *snapshot
	if w.client != nil {
		at = w.client.current.Load()
	}
	u.Status = w.client.Status()
	if w.began && at != w.at {
		u.Changed = changedFlags(w.at, at)
	}
	news = !w.began || at != w.at || !sameState(&u.Status, &w.last)
	w.began, w.last, w.at = true, u.Status, at
	return u, news
}

// sameState reports whether two states differ in nothing that a receiver is told of.
func sameState(a, b *Status) bool {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	return a.State == b.State && a.Connected == b.Connected && text(a.Error) == text(b.Error)
}

// wait returns true when there may be something new: after an announcement, or when the snapshot
// gets old without any.
func (w *watcher) wait(ctx context.Context, changed <-chan struct{}) bool {
	var old <-chan time.Time
	if w.last.State == StateReady {
		t := time.NewTimer(time.Until(w.last.SyncedAt.Add(staleAfter)))
		defer t.Stop()
		old = t.C
	}
	select {
	case <-changed:
	case <-old:
	case <-ctx.Done():
		return false
	}
	return ctx.Err() == nil
}
