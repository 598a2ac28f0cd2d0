package seatrialsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
)

// warm gives a database with one connection.
func warm(t *testing.T, f *fake, p resilience.Policy, options ...Option) (*sql.DB, func(...fault.Fault) *fault.Point) {
	t.Helper()
	client := subject(t, p)
	db := Open(f, client, "db", options...)
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	f.said()
	return db, func(faults ...fault.Fault) *fault.Point { return inject(client, faults...) }
}

func TestFaultsOnStatements(t *testing.T) {
	cases := []struct {
		name  string
		fault fault.Fault
		is    []error // what the error is, besides injected; none: it succeeds
		made  int     // how often the driver was asked
		conns int
	}{
		{"error", fault.Fault{Kind: fault.KindError, Message: "disk full"}, []error{fault.ErrInjected}, 0, 1},
		{"error after", fault.Fault{Kind: fault.KindError, Phase: fault.After}, []error{fault.ErrInjected}, 1, 1},
		{"latency", fault.Fault{Kind: fault.KindLatency, Min: time.Second, Max: time.Second}, nil, 1, 1},
		{"never an answer", fault.Fault{Kind: fault.KindLatency, Phase: fault.Instead, Min: time.Second, Max: time.Second}, []error{fault.ErrInjected}, 0, 1},
		{"cancel", fault.Fault{Kind: fault.KindCancel}, []error{context.Canceled}, 1, 1},
		{"reset", fault.Fault{Kind: fault.KindReset}, nil, 1, 2}, // package sql made it again
		{"reset after", fault.Fault{Kind: fault.KindReset, Phase: fault.After}, []error{syscall.ECONNRESET}, 1, 1},
		{"lost reply", fault.Fault{Kind: fault.KindLostReply, Phase: fault.After}, []error{syscall.ECONNRESET}, 1, 1},
		{"bandwidth", fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 1}, nil, 1, 1},
		{"corrupt", fault.Fault{Kind: fault.KindCorrupt, Share: 1}, nil, 1, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				db, inject := warm(t, f, resilience.Policy{})
				f.answer = func(ctx context.Context, _ string) error { return ctx.Err() }
				p := inject(c.fault)
				_, err := db.ExecContext(t.Context(), "INSERT")
				if (err == nil) != (c.is == nil) || err != nil && !errors.Is(err, fault.ErrInjected) || errors.Is(err, driver.ErrBadConn) {
					t.Errorf("%v", err)
				}
				for _, is := range c.is {
					if !errors.Is(err, is) {
						t.Errorf("%v is no %v", err, is)
					}
				}
				if made := f.count("exec-ctx"); made != c.made {
					t.Errorf("the driver was asked %d times, want %d", made, c.made)
				}
				if f.conns != c.conns || p.Active() != 0 {
					t.Errorf("%d connections, want %d; %d under a fault", f.conns, c.conns, p.Active())
				}
			})
		})
	}
}

// A connection that a fault has broken is not used again.
func TestBrokenConnectionsLeaveThePool(t *testing.T) {
	for name, shape := range map[string]string{"valid": "ExecContext valid", "reset": "ExecContext reset", "both": "full", "neither": "ExecContext"} {
		f := &fake{shape: shapes[shape]}
		db, inject := warm(t, f, resilience.Policy{})
		p := inject(fault.Fault{Kind: fault.KindLostReply, Phase: fault.After})
		if _, err := db.Exec("INSERT"); !errors.Is(err, fault.ErrInjected) {
			t.Errorf("%s: %v", name, err)
		}
		p.Off()
		if _, err := db.Exec("INSERT"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if said := f.said(); f.conns != 2 || !slices.Contains(said, "1 close") {
			t.Errorf("%s: %d connections: %v", name, f.conns, said)
		}
	}
}

func TestALostReplyIsRepeatedOnAnotherConnectionIfMarked(t *testing.T) {
	f := &fake{}
	db, inject := warm(t, f, resilience.Policy{Retry: quick(3)})
	inject(fault.Fault{Kind: fault.KindLostReply, Phase: fault.After})
	if _, err := db.ExecContext(WithRetryable(context.Background()), "INSERT"); err != nil || f.count("exec-ctx") != 2 || f.conns != 2 {
		t.Errorf("%v, %d times on %d connections", err, f.count("exec-ctx"), f.conns)
	}
}

func TestFaultsOnCommit(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault.Fault
		said  []string
	}{
		{"error", fault.Fault{Kind: fault.KindError}, []string{"rollback"}},
		{"error after", fault.Fault{Kind: fault.KindError, Phase: fault.After}, []string{"commit"}},
		{"reset", fault.Fault{Kind: fault.KindReset}, []string{"rollback", "close"}},
		{"lost reply", fault.Fault{Kind: fault.KindLostReply, Phase: fault.After}, []string{"commit", "close"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{}
			db, inject := warm(t, f, resilience.Policy{Retry: quick(3)})
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			f.said()
			p := inject(c.fault)
			if err := tx.Commit(); !errors.Is(err, fault.ErrInjected) {
				t.Errorf("%v", err)
			}
			var said []string
			for _, line := range f.said() {
				said = append(said, strings.TrimPrefix(line, "1 "))
			}
			said = slices.DeleteFunc(said, func(s string) bool { return s == "valid?" })
			if !slices.Equal(said, c.said) {
				t.Errorf("the driver was asked for %v, want %v", said, c.said)
			}
			p.Off()
			next, err := db.Begin()
			if err != nil {
				t.Fatalf("the next transaction: %v", err)
			}
			if err := next.Commit(); err != nil {
				t.Errorf("the next commit: %v", err)
			}
		})
	}
}

func TestAPanicOnCommitRollsBack(t *testing.T) {
	f := &fake{}
	c := &conn{inner: full{&fakeConn{fake: f, id: 1}}, source: newSource(f, subject(t, resilience.Policy{}), "db", nil)}
	began, err := c.BeginTx(context.Background(), driver.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.source.point.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		return &fault.Program{Rate: 1, Faults: []fault.Fault{{Kind: fault.KindPanic}}}, fault.Assignment{}
	}), nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = began.Commit()
	}()
	if f.count("rollback") != 1 || f.count("commit") != 0 || c.source.point.Active() != 0 {
		t.Errorf("%v, %d under a fault", f.said(), c.source.point.Active())
	}
}

func TestARollbackIsAlwaysCarriedOut(t *testing.T) {
	for _, one := range []fault.Fault{{Kind: fault.KindError}, {Kind: fault.KindReset}, {Kind: fault.KindLostReply, Phase: fault.After}} {
		f := &fake{}
		db, inject := warm(t, f, resilience.Policy{})
		tx, _ := db.Begin()
		inject(one)
		if err := tx.Rollback(); !errors.Is(err, fault.ErrInjected) || f.count("rollback") != 1 {
			t.Errorf("%s: %v, %v", one.Kind, err, f.said())
		}
	}
}

func TestRowsEndEarly(t *testing.T) {
	f := &fake{}
	db, inject := warm(t, f, resilience.Policy{})
	p := inject(fault.Fault{Kind: fault.KindTruncate, AfterBytes: 12}) // a row takes 8 + 4
	rows, err := db.Query("SELECT")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
		if p.Active() != 1 {
			t.Errorf("%d under a fault while rows are read", p.Active())
		}
	}
	if err := rows.Err(); n != 1 || !errors.Is(err, fault.ErrInjected) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d rows, then %v", n, err)
	}
	if p.Active() != 0 {
		t.Errorf("%d under a fault", p.Active())
	}
}

// A cancellation is of the operation. Once there are rows it does nothing any more, and does not count as
// a hit.
func TestNoCancellationOnceThereAreRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		db, inject := warm(t, f, resilience.Policy{})
		p := inject(fault.Fault{Kind: fault.KindCancel, Min: time.Second, Max: time.Second})
		rows, err := db.QueryContext(t.Context(), "SELECT")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		time.Sleep(2 * time.Second)
		if !rows.Next() || p.Injected() != 0 || p.Active() != 0 {
			t.Errorf("%v, %d hit, %d under a fault", rows.Err(), p.Injected(), p.Active())
		}
	})
}

func TestC2KillCutsSlowRowsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		db, inject := warm(t, f, resilience.Policy{})
		p := inject(fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 6}) // two seconds a row
		began := time.Now()
		rows, err := db.Query("SELECT")
		if err != nil || !rows.Next() || time.Since(began) != 2*time.Second {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		time.AfterFunc(time.Second/2, p.Off)
		if err := scan(rows, nil); err != nil || time.Since(began) != 2500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestFaultsOnConnecting(t *testing.T) {
	f := &fake{}
	client := subject(t, resilience.Policy{Retry: quick(3)})
	db := Open(f, client, "db")
	defer db.Close()
	inject(client, fault.Fault{Kind: fault.KindReset}, fault.Fault{Kind: fault.KindLostReply, Phase: fault.After})
	if err := db.Ping(); err != nil {
		t.Error(err)
	}
	if said := f.said(); !slices.Equal(said, []string{"1 connect", "1 close", "2 connect", "2 ping", "2 valid?"}) {
		t.Errorf("the driver was asked for %v", said)
	}
}
