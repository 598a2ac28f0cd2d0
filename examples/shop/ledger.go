package shop

import (
	"context"
	"sync"
)

// ledger remembers the newest charges, so that a repeated one is not taken twice, also while the
// first is still under way. Safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	booked  map[string]bool
	pending map[string]chan struct{} // closed when the charge is over, one way or the other
	order   []string                 // ring of the newest booked keys
	next    int
}

// ledgerSize bounds what is remembered: far more than a caller's longest retry takes.
const ledgerSize = 10_000

func newLedger() *ledger {
	return &ledger{booked: map[string]bool{}, pending: map[string]chan struct{}{}, order: make([]string, ledgerSize)}
}

// once charges for the order unless that was done before, and books it if it went well. A call
// that finds the order being charged waits for the end of that.
func (l *ledger) once(ctx context.Context, order string, charge func() error) error {
	for {
		wait, done := l.begin(order)
		switch {
		case done:
			return nil
		case wait == nil:
			err := charge()
			l.end(order, err == nil)
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// begin reports that the order is done, or gives what to wait for, or lets the caller charge.
func (l *ledger) begin(order string) (wait <-chan struct{}, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.booked[order] {
		return nil, true
	}
	if pending, ok := l.pending[order]; ok {
		return pending, false
	}
	l.pending[order] = make(chan struct{})
	return nil, false
}

func (l *ledger) end(order string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.pending[order])
	delete(l.pending, order)
	if !ok {
		return
	}
	delete(l.booked, l.order[l.next])
	l.booked[order], l.order[l.next] = true, order
	l.next = (l.next + 1) % len(l.order)
}
