package seatrialsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// What package sql does for drivers that lack the interfaces with a context, done here in its
// place: a wrapper has these interfaces always, and the driver under it must not notice.

// execer and queryer are the deprecated driver.Execer and driver.Queryer.
type (
	execer interface {
		Exec(query string, args []driver.Value) (driver.Result, error)
	}
	queryer interface {
		Query(query string, args []driver.Value) (driver.Rows, error)
	}
)

func prepare(ctx context.Context, c driver.Conn, query string) (driver.Stmt, error) {
	if with, ok := c.(driver.ConnPrepareContext); ok {
		return with.PrepareContext(ctx, query)
	}
	s, err := c.Prepare(query)
	if err == nil && ctx.Err() != nil {
		_ = s.Close()
		return nil, ctx.Err()
	}
	return s, err
}

func begin(ctx context.Context, c driver.Conn, o driver.TxOptions) (driver.Tx, error) {
	if with, ok := c.(driver.ConnBeginTx); ok {
		return with.BeginTx(ctx, o)
	}
	if o.Isolation != driver.IsolationLevel(sql.LevelDefault) {
		return nil, errors.New("sql: driver does not support non-default isolation level")
	}
	if o.ReadOnly {
		return nil, errors.New("sql: driver does not support read-only transactions")
	}
	//lint:ignore SA1019 it is all that this driver has
	t, err := c.Begin()
	if err == nil && ctx.Err() != nil {
		_ = t.Rollback()
		return nil, ctx.Err()
	}
	return t, err
}

func exec(ctx context.Context, c driver.Conn, query string, args []driver.NamedValue) (driver.Result, error) {
	if with, ok := c.(driver.ExecerContext); ok {
		return with.ExecContext(ctx, query, args)
	}
	old, ok := c.(execer)
	if !ok {
		return nil, driver.ErrSkip
	}
	return plain(ctx, args, func(values []driver.Value) (driver.Result, error) { return old.Exec(query, values) })
}

func query(ctx context.Context, c driver.Conn, text string, args []driver.NamedValue) (driver.Rows, error) {
	if with, ok := c.(driver.QueryerContext); ok {
		return with.QueryContext(ctx, text, args)
	}
	old, ok := c.(queryer)
	if !ok {
		return nil, driver.ErrSkip
	}
	return plain(ctx, args, func(values []driver.Value) (driver.Rows, error) { return old.Query(text, values) })
}

func execPrepared(ctx context.Context, s driver.Stmt, args []driver.NamedValue) (driver.Result, error) {
	if with, ok := s.(driver.StmtExecContext); ok {
		return with.ExecContext(ctx, args)
	}
	//lint:ignore SA1019 it is all that this driver has
	return plain(ctx, args, s.Exec)
}

func queryPrepared(ctx context.Context, s driver.Stmt, args []driver.NamedValue) (driver.Rows, error) {
	if with, ok := s.(driver.StmtQueryContext); ok {
		return with.QueryContext(ctx, args)
	}
	//lint:ignore SA1019 it is all that this driver has
	return plain(ctx, args, s.Query)
}

// plain makes a call that knows neither contexts nor names of arguments.
func plain[T any](ctx context.Context, args []driver.NamedValue, call func([]driver.Value) (T, error)) (none T, err error) {
	values := make([]driver.Value, len(args))
	for i, arg := range args {
		if arg.Name != "" {
			return none, errors.New("sql: driver does not support the use of Named Parameters")
		}
		values[i] = arg.Value
	}
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	return call(values)
}
