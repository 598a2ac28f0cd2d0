package seatrialsql

import (
	"context"
	"database/sql/driver"
)

// stmt is a prepared statement around one of the driver.
type stmt struct {
	inner               driver.Stmt
	conn                *conn
	verb, summary, text string
}

var (
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
)

// shape gives s with a ColumnConverter if the driver's statement has one: its presence changes how
// package sql converts arguments.
func (s *stmt) shape() driver.Stmt {
	if c, ok := s.inner.(columnConverter); ok {
		return struct {
			*stmt
			columnConverter
		}{s, c}
	}
	return s
}

// columnConverter is the deprecated driver.ColumnConverter.
type columnConverter interface {
	ColumnConverter(index int) driver.ValueConverter
}

func (s *stmt) operation() *operation {
	return &operation{name: s.verb, summary: s.summary, text: s.text}
}

// Close closes the driver's statement.
func (s *stmt) Close() error { return s.inner.Close() }

// NumInput gives the number of placeholders, -1 if the driver does not know.
func (s *stmt) NumInput() int { return s.inner.NumInput() }

// CheckNamedValue leaves arguments to the driver's statement, to the driver's connection, or to
// package sql.
func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := s.inner.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}

// Exec is for package sql of long ago.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), numbered(args))
}

// Query is for package sql of long ago.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), numbered(args))
}

// ExecContext makes the statement.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.run(ctx, s.operation(), func(ctx context.Context) (driver.Result, error) {
		return execPrepared(ctx, s.inner, args)
	})
}

// QueryContext makes the query.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.read(ctx, s.operation(), func(ctx context.Context) (driver.Rows, error) {
		return queryPrepared(ctx, s.inner, args)
	})
}

func numbered(values []driver.Value) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return args
}
