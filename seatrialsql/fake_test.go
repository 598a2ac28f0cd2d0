package seatrialsql

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
)

// fake is a driver that writes down what is asked of it. What it answers is up to the test.
type fake struct {
	shape func(*fakeConn) driver.Conn
	stmts func(*fakeStmt) driver.Stmt
	rows  func(*fakeRows) driver.Rows

	mu     sync.Mutex
	log    []string
	conns  int
	answer func(ctx context.Context, what string) error // nil: everything succeeds
}

func (f *fake) Connect(ctx context.Context) (driver.Conn, error) {
	f.mu.Lock()
	f.conns++
	c := &fakeConn{fake: f, id: f.conns}
	f.mu.Unlock()
	if err := c.do(ctx, "connect"); err != nil {
		return nil, err
	}
	if f.shape == nil {
		return full{c}, nil
	}
	return f.shape(c), nil
}

func (f *fake) Driver() driver.Driver { return f }

func (f *fake) Open(string) (driver.Conn, error) { return f.Connect(context.Background()) }

// said gives what was asked since the last time.
func (f *fake) said() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

// count gives how often something was asked for, by the beginning of it.
func (f *fake) count(what string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.log {
		if _, line, _ = strings.Cut(line, " "); strings.HasPrefix(line, what) {
			n++
		}
	}
	return n
}

// fakeConn is a connection without any optional interface.
type fakeConn struct {
	fake    *fake
	id      int
	invalid bool
}

func (c *fakeConn) do(ctx context.Context, what string, args ...any) error {
	for _, arg := range args {
		what += fmt.Sprintf(" %v", arg)
	}
	c.fake.mu.Lock()
	c.fake.log = append(c.fake.log, fmt.Sprintf("%d %s", c.id, what))
	answer := c.fake.answer
	c.fake.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(ctx, what)
}

func (c *fakeConn) Prepare(text string) (driver.Stmt, error) {
	return c.prepare(context.Background(), "prepare", text)
}

func (c *fakeConn) prepare(ctx context.Context, what, text string) (driver.Stmt, error) {
	if err := c.do(ctx, what, text); err != nil {
		return nil, err
	}
	s := &fakeStmt{c: c, text: text}
	if c.fake.stmts == nil {
		return s, nil
	}
	return c.fake.stmts(s), nil
}

func (c *fakeConn) Close() error { return c.do(context.Background(), "close") }

func (c *fakeConn) Begin() (driver.Tx, error) {
	return fakeTx{c}, c.do(context.Background(), "begin")
}

type fakeTx struct{ c *fakeConn }

func (t fakeTx) Commit() error   { return t.c.do(context.Background(), "commit") }
func (t fakeTx) Rollback() error { return t.c.do(context.Background(), "rollback") }

// One optional interface of connections each.
type (
	pings      struct{ c *fakeConn }
	prepares   struct{ c *fakeConn }
	beginsTx   struct{ c *fakeConn }
	execOld    struct{ c *fakeConn }
	execCtx    struct{ c *fakeConn }
	queryOld   struct{ c *fakeConn }
	queryCtx   struct{ c *fakeConn }
	resetting  struct{ c *fakeConn }
	validating struct{ c *fakeConn }
	converting struct{ c *fakeConn }
)

func (p pings) Ping(ctx context.Context) error { return p.c.do(ctx, "ping") }

func (p prepares) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	return p.c.prepare(ctx, "prepare-ctx", text)
}

func (b beginsTx) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return fakeTx(b), b.c.do(ctx, "begin-tx", o)
}

func (e execOld) Exec(text string, args []driver.Value) (driver.Result, error) {
	return driver.RowsAffected(1), e.c.do(context.Background(), "exec "+text, args)
}

func (e execCtx) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), e.c.do(ctx, "exec-ctx "+text, args)
}

func (q queryOld) Query(text string, args []driver.Value) (driver.Rows, error) {
	return q.c.newRows(), q.c.do(context.Background(), "query "+text, args)
}

func (q queryCtx) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	r := q.c.newRows()
	if inner, ok := r.(*fakeRows); ok {
		inner.ctx = ctx
	}
	return r, q.c.do(ctx, "query-ctx "+text, args)
}

func (r resetting) ResetSession(ctx context.Context) error {
	if err := r.c.do(ctx, "reset"); err != nil {
		return err
	}
	if r.c.invalid {
		return driver.ErrBadConn
	}
	return nil
}

func (v validating) IsValid() bool {
	_ = v.c.do(context.Background(), "valid?")
	return !v.c.invalid
}

// odd is a type that only converting drivers take.
type odd struct{ v int64 }

func (x converting) CheckNamedValue(v *driver.NamedValue) error {
	_ = x.c.do(context.Background(), "check", v.Name, v.Value)
	switch value := v.Value.(type) {
	case odd:
		v.Value = value.v
		return nil
	case bool: // an option of the query
		return driver.ErrRemoveArgument
	}
	return driver.ErrSkip
}

// full is a connection with all that is up to date.
type full struct{ *fakeConn }

func (c full) Ping(ctx context.Context) error { return pings{c.fakeConn}.Ping(ctx) }
func (c full) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	return prepares{c.fakeConn}.PrepareContext(ctx, text)
}
func (c full) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return beginsTx{c.fakeConn}.BeginTx(ctx, o)
}
func (c full) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	return execCtx{c.fakeConn}.ExecContext(ctx, text, args)
}
func (c full) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	return queryCtx{c.fakeConn}.QueryContext(ctx, text, args)
}
func (c full) ResetSession(ctx context.Context) error { return resetting{c.fakeConn}.ResetSession(ctx) }
func (c full) IsValid() bool                          { return validating{c.fakeConn}.IsValid() }

// fakeStmt is a statement without any optional interface.
type fakeStmt struct {
	c    *fakeConn
	text string
}

func (s *fakeStmt) Close() error  { return s.c.do(context.Background(), "close-stmt") }
func (s *fakeStmt) NumInput() int { return strings.Count(s.text, "?") }
func (s *fakeStmt) Exec(args []driver.Value) (driver.Result, error) {
	return driver.RowsAffected(1), s.c.do(context.Background(), "stmt-exec "+s.text, args)
}
func (s *fakeStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.c.newRows(), s.c.do(context.Background(), "stmt-query "+s.text, args)
}

// One optional interface of statements each.
type (
	stmtExec   struct{ s *fakeStmt }
	stmtQuery  struct{ s *fakeStmt }
	stmtChecks struct{ s *fakeStmt }
	stmtColumn struct{ s *fakeStmt }
)

func (e stmtExec) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), e.s.c.do(ctx, "stmt-exec-ctx "+e.s.text, args)
}
func (q stmtQuery) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return q.s.c.newRows(), q.s.c.do(ctx, "stmt-query-ctx "+q.s.text, args)
}
func (x stmtChecks) CheckNamedValue(v *driver.NamedValue) error {
	_ = x.s.c.do(context.Background(), "stmt-check", v.Name, v.Value)
	return converting{x.s.c}.CheckNamedValue(v)
}
func (x stmtColumn) ColumnConverter(i int) driver.ValueConverter {
	_ = x.s.c.do(context.Background(), "column", i)
	return oddConverter{}
}

// oddConverter makes strings of numbers.
type oddConverter struct{}

func (oddConverter) ConvertValue(v any) (driver.Value, error) { return fmt.Sprint(v), nil }

// fakeRows are two rows, without any optional interface.
type fakeRows struct {
	c    *fakeConn
	ctx  context.Context
	left int
}

func (c *fakeConn) newRows() driver.Rows {
	r := &fakeRows{c: c, ctx: context.Background(), left: 2}
	if c.fake.rows == nil {
		return r
	}
	return c.fake.rows(r)
}

func (r *fakeRows) Columns() []string { return []string{"a", "b"} }
func (r *fakeRows) Close() error      { return r.c.do(context.Background(), "close-rows") }
func (r *fakeRows) Next(dest []driver.Value) error {
	if err := r.c.do(r.ctx, "next"); err != nil {
		return err
	}
	if r.left <= 0 {
		return io.EOF
	}
	r.left--
	dest[0], dest[1] = int64(r.left), "text"
	return nil
}

// One optional interface of rows each.
type (
	nextSet    struct{ r *fakeRows }
	scanType   struct{}
	typeName   struct{}
	typeLength struct{}
	nullable   struct{}
	precision  struct{}
)

func (n nextSet) HasNextResultSet() bool { return n.r.left == 0 }
func (n nextSet) NextResultSet() error {
	_ = n.r.c.do(context.Background(), "next-set")
	if n.r.left < 0 {
		return io.EOF
	}
	n.r.left = -1
	return nil
}
func (scanType) ColumnTypeScanType(int) reflect.Type                  { return reflect.TypeFor[odd]() }
func (typeName) ColumnTypeDatabaseTypeName(int) string                { return "ODD" }
func (typeLength) ColumnTypeLength(i int) (int64, bool)               { return int64(i), i > 0 }
func (nullable) ColumnTypeNullable(i int) (bool, bool)                { return true, i > 0 }
func (precision) ColumnTypePrecisionScale(i int) (int64, int64, bool) { return 3, 2, i > 0 }
