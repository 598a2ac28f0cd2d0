package seatrialsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"testing"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"modernc.org/sqlite"
)

// real is a database of SQLite with a table of orders.
func real(t *testing.T, c *seatrial.Client, options ...Option) *sql.DB {
	t.Helper()
	connector, err := WrapDriver(&sqlite.Driver{}, c, "db", options...).(driver.DriverContext).OpenConnector(filepath.Join(t.TempDir(), "orders.db"))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, key TEXT UNIQUE, item TEXT)"); err != nil {
		t.Fatal(err)
	}
	return db
}

// order writes an order in a transaction, as a program that tries again when it goes wrong.
func order(ctx context.Context, db *sql.DB, statement string) (err error) {
	for range 3 {
		var tx *sql.Tx
		if tx, err = db.BeginTx(ctx, nil); err != nil {
			continue
		}
		if _, err = tx.ExecContext(ctx, statement, "order-1", "book"); err != nil {
			_ = tx.Rollback()
			continue
		}
		if err = tx.Commit(); err == nil {
			return nil
		}
	}
	return err
}

func orders(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM orders").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestC10LostReplyOnCommitFindsADoubleInsert: the naive program writes twice, the careful one once,
// and an error in front of the commit leaves nothing behind.
func TestC10LostReplyOnCommitFindsADoubleInsert(t *testing.T) {
	lost := fault.Fault{Kind: fault.KindLostReply, Phase: fault.After}
	for _, c := range []struct {
		name      string
		statement string
		fault     fault.Fault
		rows      int
	}{
		{"naive", "INSERT INTO orders (item) SELECT ?2 WHERE ?1 <> ''", lost, 2},
		{"with a key", "INSERT INTO orders (key, item) VALUES (?, ?) ON CONFLICT DO NOTHING", lost, 1},
		{"before the commit", "INSERT INTO orders (item) SELECT ?2 WHERE ?1 <> ''", fault.Fault{Kind: fault.KindError}, 1},
		{"connection lost before the commit", "INSERT INTO orders (item) SELECT ?2 WHERE ?1 <> ''", fault.Fault{Kind: fault.KindReset}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := subject(t, resilience.Policy{})
			db := real(t, client)
			// Begin and insert pass; the commit is hit.
			p := inject(client, fault.Fault{}, fault.Fault{}, c.fault)
			if err := order(context.Background(), db, c.statement); err != nil {
				t.Error(err)
			}
			if p.Injected() != 1 {
				t.Errorf("%d hit", p.Injected())
			}
			p.Off()
			if n := orders(t, db); n != c.rows {
				t.Errorf("%d orders, want %d", n, c.rows)
			}
		})
	}
}

func TestSQLiteIsWhatItWas(t *testing.T) {
	db := real(t, open(t))
	ctx := context.Background()
	stmt, err := db.PrepareContext(ctx, "INSERT INTO orders (key, item) VALUES (@key, @item)")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		result, err := stmt.ExecContext(ctx, sql.Named("key", key), sql.Named("item", "book"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := result.RowsAffected(); n != 1 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
	}
	_, err = stmt.ExecContext(ctx, sql.Named("key", "a"), sql.Named("item", "book"))
	var answer *sqlite.Error
	if !errors.As(err, &answer) {
		t.Errorf("a key twice: %v", err)
	}
	rows, err := db.QueryContext(ctx, "SELECT key, item FROM orders ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	rows.Next()
	types, _ := rows.ColumnTypes()
	if types[0].DatabaseTypeName() != "TEXT" {
		t.Errorf("type %q", types[0].DatabaseTypeName())
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		if _, ok := Underlying(c).(interface{ Serialize() ([]byte, error) }); !ok {
			t.Errorf("under %T is %T, which cannot do what the driver can", c, Underlying(c))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if db.Driver() == nil {
		t.Error("no driver")
	}
}
