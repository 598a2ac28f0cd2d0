package seatrialnet

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// deadline is the deadline of one direction of a connection, as the context of who waits there. It
// differs from other contexts in that it may come back to life when the deadline is moved; so it
// stays in this package and with the fault that waits. A deadline that nobody waits for costs no timer.
type deadline struct {
	mu     sync.Mutex
	at     time.Time     // zero: none
	closed bool          // the connection is
	done   chan struct{} // of who waits; nil if nobody did since it was last closed
	timer  *time.Timer   // closes done
	turn   int           // of timers, so that one that comes late closes nothing
}

var _ context.Context = (*deadline)(nil)

// set moves the deadline.
func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = at
	if d.done != nil {
		d.start()
	}
}

// close ends all waits for good.
func (d *deadline) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.done != nil {
		d.start()
	}
}

// start makes done be closed at the right time.
func (d *deadline) start() {
	d.turn++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.over() {
		close(d.done)
		d.done = nil
		return
	}
	if !d.at.IsZero() {
		turn := d.turn
		d.timer = time.AfterFunc(time.Until(d.at), func() { d.expire(turn) })
	}
}

func (d *deadline) expire(turn int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.turn == turn && d.done != nil {
		close(d.done)
		d.done = nil
	}
}

func (d *deadline) over() bool { return d.closed || !d.at.IsZero() && time.Until(d.at) <= 0 }

// Done gives a channel that is closed at the deadline, wherever it is moved until then.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		done := d.done
		d.start()
		return done
	}
	return d.done
}

// Err tells why there is nothing to wait for.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return net.ErrClosed
	case d.over():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// Deadline gives the deadline.
func (d *deadline) Deadline() (time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at, !d.at.IsZero()
}

// Value gives nothing.
func (d *deadline) Value(any) any { return nil }
