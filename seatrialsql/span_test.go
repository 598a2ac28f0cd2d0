package seatrialsql

import (
	"context"
	"database/sql/driver"
	"testing"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"modernc.org/sqlite"
)

func TestSpansFollowTheConventions(t *testing.T) {
	option, spans := record()
	db := real(t, nil, option, WithNamespace("orders"))
	ctx := context.Background()
	tx, _ := db.BeginTx(ctx, nil)
	_, _ = tx.ExecContext(ctx, "INSERT INTO orders (key) VALUES ('secret')")
	_ = tx.Commit()
	_, err := db.ExecContext(ctx, "INSERT INTO orders (key) VALUES ('secret')")
	if err == nil {
		t.Fatal("the key is there twice")
	}
	want := []struct{ name, operation, summary, kind string }{
		{"CONNECT", "CONNECT", "", ""},
		{"CREATE", "", "CREATE", ""},
		{"BEGIN", "BEGIN", "", ""},
		{"INSERT orders", "", "INSERT orders", ""},
		{"COMMIT", "COMMIT", "", ""},
		{"INSERT orders", "", "INSERT orders", "*sqlite.Error"},
	}
	got := spans()
	if len(got) != len(want) {
		t.Fatalf("%d spans, want %d", len(got), len(want))
	}
	for i, w := range want {
		s := got[i]
		if s.Name() != w.name || s.SpanKind() != trace.SpanKindClient || (s.Status().Code == codes.Error) != (w.kind != "") {
			t.Errorf("%q %v %v, want %q", s.Name(), s.SpanKind(), s.Status(), w.name)
		}
		for key, value := range map[string]string{"db.system.name": "sqlite", "db.namespace": "orders", "db.operation.name": w.operation,
			"db.query.summary": w.summary, "db.query.text": "", "error.type": w.kind, "seatrial.dependency": "db"} {
			if attr(s, key) != value {
				t.Errorf("%s: %s = %q, want %q", w.name, key, attr(s, key), value)
			}
		}
	}
}

func TestTextOfStatementsOnlyIfAskedFor(t *testing.T) {
	option, spans := record()
	db := Open(&fake{}, nil, "db", option, WithStatementText(), WithSystem("trino"))
	defer db.Close()
	_, _ = db.Exec("INSERT INTO t VALUES (?)", "secret")
	s := spans()[1]
	if attr(s, "db.query.text") != "INSERT INTO t VALUES (?)" || attr(s, "db.system.name") != "trino" {
		t.Errorf("%v", s.Attributes())
	}
	for _, kv := range s.Attributes() {
		if kv.Value.String() == "secret" {
			t.Errorf("an argument is recorded: %v", kv)
		}
	}
}

func TestC7FaultsAndTriesAreMarked(t *testing.T) {
	option, spans := record()
	f := &fake{}
	db, inject := warm(t, f, resilience.Policy{Retry: quick(3)}, option)
	inject(fault.Fault{Kind: fault.KindError})
	if _, err := db.ExecContext(WithRetryable(context.Background()), "INSERT"); err != nil {
		t.Fatal(err)
	}
	list := spans()
	hit, next := list[len(list)-2], list[len(list)-1]
	if attr(hit, fault.AttrExperiment) != "storm" || attr(hit, "error.type") != "injected" || hit.Status().Code != codes.Error || attr(hit, "seatrial.dependency") != "db" {
		t.Errorf("%v", hit.Attributes())
	}
	if attr(next, "seatrial.resend_count") != "1" || attr(next, fault.AttrExperiment) != "" || next.Status().Code == codes.Error {
		t.Errorf("%v", next.Attributes())
	}
}

func TestKindsOfErrors(t *testing.T) {
	for want, err := range map[string]error{"23505": stateError("23505"), "timeout": context.DeadlineExceeded, "canceled": context.Canceled,
		"connection": driver.ErrBadConn, "*net.OpError": errWire} {
		if got := kindOf(err, stateOf(err)); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
	if got := systemOf(&sqlite.Driver{}); got != "sqlite" {
		t.Errorf("system %q", got)
	}
	if got := systemOf(&fake{}); got != "other_sql" {
		t.Errorf("system %q", got)
	}
}
