package seatrialsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestPackageSQLSeesNoDifference does the same with a driver and with the driver wrapped, for every
// shape of connections, statements and rows: what the driver is asked, and what the program gets,
// must be the same.
func TestPackageSQLSeesNoDifference(t *testing.T) {
	clients := map[string]func(*fake) driver.Connector{
		"nil client": func(f *fake) driver.Connector { return WrapConnector(f, nil, "db") },
		"driver": func(f *fake) driver.Connector {
			c, _ := WrapDriver(f, nil, "db").(driver.DriverContext).OpenConnector("name")
			return c
		},
		"client": func(f *fake) driver.Connector { return WrapConnector(f, open(t), "db") },
	}
	conns := []string{"bare", "check", "full check"}
	if testing.Short() {
		delete(clients, "driver")
		delete(clients, "nil client")
		conns = conns[2:]
	}
	compare := func(t *testing.T, make func() *fake) {
		t.Helper()
		f := make()
		want := transcript(t, f, f)
		for name, wrap := range clients {
			f := make()
			if got := transcript(t, f, wrap(f)); !slices.Equal(got, want) {
				t.Errorf("%s:\n%s", name, difference(got, want))
			}
		}
	}
	for name, shape := range shapes {
		t.Run("connection "+name, func(t *testing.T) { compare(t, func() *fake { return &fake{shape: shape} }) })
	}
	for name, shape := range stmtShapes {
		for _, conn := range conns {
			t.Run("statement "+name+", connection "+conn, func(t *testing.T) {
				compare(t, func() *fake { return &fake{shape: shapes[conn], stmts: shape} })
			})
		}
	}
	for name, shape := range rowShapes {
		t.Run("rows "+name, func(t *testing.T) { compare(t, func() *fake { return &fake{shape: shapes["full"], rows: shape} }) })
	}
}

// difference gives the first lines that differ.
func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("line %d: wrapped: %s\nthe driver itself: %s\nafter\n%s", i, g, w, strings.Join(want[max(0, i-5):i], "\n"))
		}
	}
	return "none"
}

// transcript makes use of all of package sql, and gives what came of it.
func transcript(t *testing.T, f *fake, c driver.Connector) (log []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(c)
		note := func(format string, args ...any) {
			synctest.Wait()
			log = append(append(log, f.said()...), fmt.Sprintf("→ "+format, args...))
		}
		ctx := t.Context()
		over, cancel := context.WithCancel(ctx)
		cancel()
		note("ping: %v", db.Ping())
		for _, args := range [][]any{{}, {1, "a"}, {sql.Named("n", 1)}, {odd{7}}, {true}, {struct{}{}}} {
			text := "INSERT" + strings.Repeat(" ?", len(args))
			_, err := db.Exec(text, args...)
			note("exec %v: %v", args, err)
			rows, err := db.Query(text, args...)
			note("query %v: %v", args, err)
			note("rows: %v", read(rows))
			stmt, err := db.Prepare(text)
			note("prepare: %v", err)
			_, err = stmt.Exec(args...)
			note("exec prepared %v: %v", args, err)
			rows, err = stmt.Query(args...)
			note("query prepared %v: %v", args, err)
			note("rows: %v", read(rows))
			_, err = stmt.Exec(append(args, 1)...)
			note("one argument more: %v", err)
			note("close: %v", stmt.Close())
			_, err = db.ExecContext(over, text, args...)
			note("too late: %v", err)
		}
		transactions(db, note)
		trouble(ctx, f, db, note)
		note("close: %v", db.Close())
	})
	return log
}

// transactions is the part of transcript about them.
func transactions(db *sql.DB, note func(string, ...any)) {
	for _, o := range []*sql.TxOptions{nil, {}, {ReadOnly: true}, {Isolation: sql.LevelSerializable}} {
		for _, end := range []string{"commit", "rollback", "cancel"} {
			ctx, cancel := context.WithCancel(context.Background())
			tx, err := db.BeginTx(ctx, o)
			note("begin %v: %v", o, err)
			if err != nil {
				cancel()
				continue
			}
			_, err = tx.ExecContext(ctx, "UPDATE ?", 1)
			note("exec: %v", err)
			switch end {
			case "commit":
				note("commit: %v", tx.Commit())
			case "rollback":
				note("rollback: %v", tx.Rollback())
			}
			cancel()
			note("over")
			note("open connections: %d", db.Stats().OpenConnections)
		}
	}
}

// trouble is the part of transcript about connections that are not what they were.
func trouble(ctx context.Context, f *fake, db *sql.DB, note func(string, ...any)) {
	for _, err := range []error{driver.ErrBadConn, driver.ErrSkip, context.Canceled, fmt.Errorf("wrapped: %w", driver.ErrBadConn)} {
		for _, what := range []string{"connect", "ping", "prepare", "begin", "exec", "query", "stmt", "commit", "rollback", "next", "close", "reset"} {
			failures := 0
			f.answer = func(_ context.Context, asked string) error {
				if failures++; failures <= 2 && strings.HasPrefix(asked, what) {
					return err
				}
				return nil
			}
			_, got := db.ExecContext(ctx, "INSERT ?", 1)
			note("exec with failing %s: %v", what, got)
			rows, got := db.QueryContext(ctx, "SELECT ?", 1)
			note("query: %v, %v", got, read(rows))
			tx, got := db.BeginTx(ctx, nil)
			note("begin: %v", got)
			if got == nil {
				note("commit: %v", tx.Commit())
			}
			conn, got := db.Conn(ctx)
			note("conn: %v", got)
			if got == nil {
				note("invalid: %v, %v", conn.Raw(func(c any) error { invalidate(c); return nil }), conn.Close())
			}
			f.answer = nil
		}
	}
}

// invalidate makes a connection of the fake invalid, wrapped or not.
func invalidate(c any) { Underlying(c).(interface{ spoil() }).spoil() }

func (c *fakeConn) spoil() { c.invalid = true }

// read gives all that rows tell.
func read(rows *sql.Rows) string {
	if rows == nil {
		return "none"
	}
	defer rows.Close()
	text := ""
	types, err := rows.ColumnTypes()
	for _, c := range types {
		length, hasLength := c.Length()
		null, knowsNull := c.Nullable()
		precision, scale, decimal := c.DecimalSize()
		text += fmt.Sprint(c.Name(), c.ScanType(), c.DatabaseTypeName(), length, hasLength, null, knowsNull, precision, scale, decimal, " ")
	}
	text += fmt.Sprint(err)
	for sets := 0; sets < 3; sets++ {
		for rows.Next() {
			var a, b any
			text += fmt.Sprint(" ", rows.Scan(&a, &b), a, b)
		}
		text += fmt.Sprintf(" (%v)", rows.Err())
		if !rows.NextResultSet() {
			break
		}
		text += " | "
	}
	return text + fmt.Sprintf(" end %v", rows.Err())
}
