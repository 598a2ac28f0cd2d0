package resilience

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// bulkhead bounds how many are inside at a time. Who finds no place may queue, first come, first
// served. One word counts those inside (low half) and those waiting (high half); while nobody waits,
// coming and going is one exchange of it, without a lock. The bound may change at any time: those
// who are inside when it shrinks finish.
type bulkhead struct {
	word  atomic.Uint64
	limit atomic.Int64

	mu          sync.Mutex // guards the queue; while somebody waits, the word changes only under it
	first, last *waiter
}

// waiter is one in the queue.
type waiter struct {
	next, prev *waiter
	admitted   chan struct{} // closed when it has a place
	left       bool          // the queue, with a place
}

const (
	oneWaiting  = 1 << 32
	lessWaiting = math.MaxUint64 - oneWaiting + 1 // to add for one waiting less
	insideMask  = oneWaiting - 1
	unlimited   = math.MaxInt64
)

func newBulkhead() *bulkhead {
	b := &bulkhead{}
	b.limit.Store(unlimited)
	return b
}

// inside and waiting give how many there are.
func (b *bulkhead) inside() int64  { return int64(b.word.Load() & insideMask) }
func (b *bulkhead) waiting() int64 { return int64(b.word.Load() / oneWaiting) }

// setLimit changes the bound at once.
func (b *bulkhead) setLimit(n int64) {
	if b.limit.Swap(n) >= n {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.admit()
}

// take gives a place, after a wait if it must and may be. Whoever got one has to leave.
func (b *bulkhead) take(ctx context.Context, name string, p *BulkheadPolicy) error {
	for {
		word := b.word.Load()
		if int64(word) >= b.limit.Load() || word >= oneWaiting { // somebody waits: no overtaking
			return b.queue(ctx, name, p)
		}
		if b.word.CompareAndSwap(word, word+1) {
			return nil
		}
	}
}

// leave gives a place back.
func (b *bulkhead) leave() {
	for {
		word := b.word.Load()
		if word >= oneWaiting {
			break
		}
		if b.word.CompareAndSwap(word, word-1) {
			return
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.word.Add(^uint64(0))
	b.admit()
}

// admit lets in those who wait longest, as far as there are places; the caller holds the lock.
func (b *bulkhead) admit() {
	for b.first != nil && b.inside() < b.limit.Load() {
		b.word.Add(lessWaiting + 1)
		w := b.first
		b.unlink(w)
		w.left = true
		close(w.admitted)
	}
}

// queue waits for a place.
func (b *bulkhead) queue(ctx context.Context, name string, p *BulkheadPolicy) error {
	w, ok := b.enqueue(p.MaxQueue)
	if !ok {
		return &FullError{Name: name}
	}
	if w == nil {
		return nil
	}
	timer := time.NewTimer(p.MaxWait)
	defer timer.Stop()
	select {
	case <-w.admitted:
		return nil
	case <-timer.C:
		if b.withdraw(w) {
			return &FullError{Name: name}
		}
		return nil // admitted at the last moment
	case <-ctx.Done():
		if !b.withdraw(w) {
			b.leave()
		}
		return fmt.Errorf("%w: %w", &FullError{Name: name}, ended(ctx))
	}
}

// enqueue gives a place in the queue, or none (nil) if one inside came free. It is not ok if the queue
// is full.
func (b *bulkhead) enqueue(most int) (*waiter, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		word := b.word.Load()
		next := word + oneWaiting
		switch {
		case int64(word) < b.limit.Load() && word < oneWaiting:
			next = word + 1
		case word/oneWaiting >= uint64(most):
			return nil, false
		}
		if !b.word.CompareAndSwap(word, next) {
			continue
		}
		if next == word+1 {
			return nil, true
		}
		w := &waiter{prev: b.last, admitted: make(chan struct{})}
		b.link(w)
		return w, true
	}
}

// withdraw takes w out of the queue unless it has been admitted.
func (b *bulkhead) withdraw(w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.left {
		return false
	}
	b.word.Add(lessWaiting)
	b.unlink(w)
	return true
}

func (b *bulkhead) link(w *waiter) {
	if b.last == nil {
		b.first = w
	} else {
		b.last.next = w
	}
	b.last = w
}

func (b *bulkhead) unlink(w *waiter) {
	if w.prev == nil {
		b.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		b.last = w.prev
	} else {
		w.next.prev = w.prev
	}
}
