package seatrialsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
)

func quick(attempts int) *resilience.RetryPolicy {
	return &resilience.RetryPolicy{MaxAttempts: attempts, BaseDelay: time.Microsecond, MaxDelay: time.Microsecond}
}

// failing makes what begins with the name fail with err for the first n times.
func failing(name string, n int, err error) func(context.Context, string) error {
	return func(_ context.Context, asked string) error {
		if strings.HasPrefix(asked, name) {
			if n--; n >= 0 {
				return err
			}
		}
		return nil
	}
}

var errWire = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}

func TestR8WhatIsRepeated(t *testing.T) {
	ctx := context.Background()
	exec := func(ctx context.Context, db *sql.DB) error { _, err := db.ExecContext(ctx, "INSERT"); return err }
	cases := []struct {
		name  string
		fails string
		do    func(*sql.DB) error
		asked int // with two failures and a retry of three
	}{
		{"connect", "connect", func(db *sql.DB) error { return exec(ctx, db) }, 3},
		{"ping", "ping", func(db *sql.DB) error { return db.Ping() }, 3},
		{"statement", "exec-ctx", func(db *sql.DB) error { return exec(ctx, db) }, 1},
		{"statement, marked", "exec-ctx", func(db *sql.DB) error { return exec(WithRetryable(ctx), db) }, 3},
		{"query", "query-ctx", func(db *sql.DB) error { return scan(db.QueryContext(ctx, "SELECT 1")) }, 1},
		{"query, marked", "query-ctx", func(db *sql.DB) error { return scan(db.QueryContext(WithRetryable(ctx), "SELECT 1")) }, 3},
		{"prepare", "prepare", func(db *sql.DB) error { _, err := db.Prepare("SELECT"); return err }, 1},
		{"begin", "begin", func(db *sql.DB) error { _, err := db.Begin(); return err }, 1},
		{"commit", "commit", func(db *sql.DB) error { tx, _ := db.Begin(); return tx.Commit() }, 1},
		{"in a transaction, marked", "exec-ctx", func(db *sql.DB) error {
			tx, _ := db.Begin()
			defer tx.Rollback()
			_, err := tx.ExecContext(WithRetryable(ctx), "INSERT")
			return err
		}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{answer: failing(c.fails, 2, errWire)}
			db := Open(f, subject(t, resilience.Policy{Retry: quick(3)}), "db")
			defer db.Close()
			err := c.do(db)
			if (err == nil) != (c.asked == 3) || err != nil && err != error(errWire) {
				t.Errorf("%v", err)
			}
			if asked := f.count(c.fails); asked != c.asked {
				t.Errorf("asked %d times, want %d:\n%s", asked, c.asked, strings.Join(f.said(), "\n"))
			}
		})
	}
}

func scan(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b any
		if err := rows.Scan(&a, &b); err != nil {
			return err
		}
	}
	return rows.Err()
}

// stateError has an SQLSTATE.
type stateError string

func (e stateError) Error() string    { return "state " + string(e) }
func (e stateError) SQLState() string { return string(e) }

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want resilience.Class
	}{
		{nil, resilience.Success},
		{driver.ErrSkip, resilience.Success},
		{errors.New("syntax error"), resilience.Success},
		{stateError("23505"), resilience.Success}, // unique violation
		{stateError("40001"), resilience.Success}, // serialization failure
		{stateError("08006"), resilience.Transient},
		{stateError("53300"), resilience.Transient},
		{stateError("57014"), resilience.Transient},
		{stateError("58030"), resilience.Permanent},
		{stateError("XX000"), resilience.Permanent},
		{stateError("0"), resilience.Success},
		{driver.ErrBadConn, resilience.Transient},
		{io.EOF, resilience.Transient},
		{errWire, resilience.Transient},
		{context.DeadlineExceeded, resilience.Transient},
		{context.Canceled, resilience.Permanent},
		{resilience.AsPermanent(errWire), resilience.Permanent},
		{&fault.Error{Injection: fault.Injection{Kind: fault.KindReset}}, resilience.Transient},
		{&fault.Error{Injection: fault.Injection{Kind: fault.KindError, Status: 400}}, resilience.Permanent},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("%v is %v, want %v", c.err, got, c.want)
		}
	}
}

func TestBreakerCountsConnectionsNotAnswers(t *testing.T) {
	policy := resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 3}}
	for name, c := range map[string]struct {
		err  error
		want resilience.State
	}{
		"constraint": {stateError("23505"), resilience.Closed},
		"wire":       {errWire, resilience.Open},
		"skipped":    {driver.ErrSkip, resilience.Closed},
	} {
		client := subject(t, policy)
		f := &fake{answer: failing("exec-ctx", 1000, c.err)}
		db := Open(f, client, "db")
		for range 10 {
			_, _ = db.Exec("INSERT")
		}
		if got := client.Dependency("db").State(); got != c.want {
			t.Errorf("%s: the breaker is %v, want %v", name, got, c.want)
		}
		_, err := db.Exec("INSERT")
		if errors.Is(err, resilience.ErrOpen) != (c.want == resilience.Open) {
			t.Errorf("%s: %v", name, err)
		}
		_ = db.Close()
	}
}

func TestClassifierOfTheUser(t *testing.T) {
	client := subject(t, resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}})
	busy := errors.New("database is locked")
	db := Open(&fake{answer: failing("exec-ctx", 1, busy)}, client, "db", WithClassifier(func(err error) resilience.Class {
		if errors.Is(err, busy) {
			return resilience.Transient
		}
		return Classify(err)
	}))
	defer db.Close()
	if _, err := db.Exec("INSERT"); err != busy || client.Dependency("db").State() != resilience.Open {
		t.Errorf("%v, %v", err, client.Dependency("db").State())
	}
}

// TestTimeoutOfATry: the driver is cut short, and what lives on afterwards is not.
func TestTimeoutOfATry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		db := Open(f, subject(t, resilience.Policy{TryTimeout: time.Second, Retry: quick(2)}), "db")
		defer db.Close()
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
		hang := func(what string) func(context.Context, string) error {
			return func(ctx context.Context, asked string) error {
				if strings.HasPrefix(asked, what) {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
		}
		for what, do := range map[string]func(context.Context) error{
			"exec-ctx":  func(ctx context.Context) error { _, err := db.ExecContext(ctx, "INSERT"); return err },
			"query-ctx": func(ctx context.Context) error { _, err := db.QueryContext(ctx, "SELECT"); return err },
			"begin-tx":  func(ctx context.Context) error { _, err := db.BeginTx(ctx, nil); return err },
		} {
			f.said()
			f.answer = hang(what)
			began := time.Now()
			err := do(t.Context())
			var timeout *resilience.TimeoutError
			if !errors.As(err, &timeout) && !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second || f.count(what) != 1 {
				t.Errorf("%s: %v after %v, asked %d times", what, err, time.Since(began), f.count(what))
			}
			if what != "begin-tx" {
				began = time.Now()
				err = do(WithRetryable(t.Context()))
				if !errors.As(err, &timeout) || time.Since(began).Round(time.Millisecond) != 2*time.Second {
					t.Errorf("%s, marked: %v after %v", what, err, time.Since(began))
				}
			}
		}
	})
}

func TestRowsAndTransactionsOutliveTheTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		client := subject(t, resilience.Policy{Timeout: 2 * time.Second, TryTimeout: time.Second})
		db := Open(f, client, "db")
		defer db.Close()
		var kept []context.Context // that the driver was given
		f.answer = func(ctx context.Context, asked string) error {
			if strings.HasPrefix(asked, "query-ctx") || strings.HasPrefix(asked, "begin-tx") {
				kept = append(kept, ctx)
			}
			return ctx.Err()
		}
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := tx.QueryContext(t.Context(), "SELECT")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if kept[0].Err() != nil || kept[1].Err() != nil {
			t.Errorf("the driver's contexts ended with the try: %v, %v", kept[0].Err(), kept[1].Err())
		}
		if err := scan(rows, nil); err != nil {
			t.Errorf("rows: %v", err)
		}
		if kept[1].Err() == nil {
			t.Error("the rows are closed and their context lives: it leaks")
		}
		if err := tx.Commit(); err != nil || kept[0].Err() == nil {
			t.Errorf("commit: %v; its context: %v", err, kept[0].Err())
		}
	})
}

func TestTheCallersContextEndsRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		db := Open(f, subject(t, resilience.Policy{TryTimeout: time.Second}), "db")
		defer db.Close()
		ctx, cancel := context.WithCancel(t.Context())
		rows, err := db.QueryContext(ctx, "SELECT")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if rows.Next() || !errors.Is(rows.Err(), context.Canceled) {
			t.Errorf("rows go on: %v", rows.Err())
		}
	})
}

func TestARefusedCommitIsRolledBack(t *testing.T) {
	f := &fake{}
	client := subject(t, resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}})
	db := Open(f, client, "db")
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	f.answer = failing("exec-ctx", 1, errWire)
	_, _ = tx.Exec("UPDATE")
	f.said()
	if err := tx.Commit(); !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("%v", err)
	}
	if said := f.said(); !slices.Contains(said, "1 rollback") || slices.Contains(said, "1 commit") {
		t.Errorf("the driver was asked for %v", said)
	}
}

func TestRollbackPassesAnOpenBreaker(t *testing.T) {
	f := &fake{}
	client := subject(t, resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}})
	db := Open(f, client, "db")
	defer db.Close()
	tx, _ := db.Begin()
	f.answer = failing("exec-ctx", 1, errWire)
	_, _ = tx.Exec("UPDATE")
	if err := tx.Rollback(); err != nil || f.count("rollback") != 1 {
		t.Errorf("%v, %v", err, f.said())
	}
}
