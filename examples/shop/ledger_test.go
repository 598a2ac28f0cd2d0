package shop

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLedgerChargesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		var charges atomic.Int32
		charge := func() error {
			time.Sleep(50 * time.Millisecond)
			charges.Add(1)
			return nil
		}
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				if err := l.once(t.Context(), "o-1", charge); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if n := charges.Load(); n != 1 {
			t.Errorf("20 repetitions of a charge took money %d times", n)
		}
	})
}

func TestLedgerTriesAgainAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		var waited error
		var waiting sync.WaitGroup
		first := l.once(t.Context(), "o-1", func() error {
			waiting.Go(func() { waited = l.once(t.Context(), "o-1", func() error { return nil }) })
			synctest.Wait() // the second caller waits for the first
			return errAcquirer
		})
		waiting.Wait()
		if !errors.Is(first, errAcquirer) || waited != nil {
			t.Errorf("first %v, then %v; want the acquirer's failure, then success", first, waited)
		}
	})
}

func TestLedgerWaitEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		err := l.once(t.Context(), "o-1", func() error {
			impatient, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return l.once(impatient, "o-1", func() error { t.Error("charged twice"); return nil })
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the caller's patience", err)
		}
	})
}

func TestLedgerForgetsTheOldest(t *testing.T) {
	l := newLedger()
	for i := range ledgerSize + 10 {
		if err := l.once(t.Context(), strconv.Itoa(i), func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.booked) != ledgerSize || len(l.pending) != 0 || l.booked["9"] || !l.booked["10"] {
		t.Errorf("%d booked, %d pending; want the newest %d and none", len(l.booked), len(l.pending), ledgerSize)
	}
}
