package seatrialsql

import (
	"context"
	"database/sql/driver"
)

// The optional interfaces of a connection whose mere presence changes what package sql does:
//
//   - with ExecerContext or QueryerContext, arguments are converted without a prepared statement;
//   - with both SessionResetter and Validator, a connection outlives a transaction that ended
//     because its context did.
//
// A connection has exactly those of them that the driver's has; a Validator for one with neither
// of the last two, and for one with a SessionResetter alone its ResetSession, refuse it once a
// fault has broken it.
type (
	execs   struct{ c *conn }
	queries struct{ c *conn }
	resets  struct{ c *conn }
	checks  struct{ c *conn }
)

// ExecContext makes a statement.
func (e execs) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	return e.c.exec(ctx, text, args)
}

// QueryContext makes a query.
func (q queries) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	return q.c.query(ctx, text, args)
}

// ResetSession readies the connection for its next user.
func (r resets) ResetSession(ctx context.Context) error {
	if r.c.broken.Load() {
		return driver.ErrBadConn
	}
	return r.c.inner.(driver.SessionResetter).ResetSession(ctx)
}

// IsValid tells whether the connection may be used again.
func (v checks) IsValid() bool {
	if v.c.broken.Load() {
		return false
	}
	inner, ok := v.c.inner.(driver.Validator)
	return !ok || inner.IsValid()
}

// shape gives c with the optional interfaces of its driver.
func shape(c *conn) driver.Conn {
	e, q, r, v := execs{c}, queries{c}, resets{c}, checks{c}
	switch execer, queryer, resetter, validator := features(c.inner); {
	case execer && queryer && resetter && validator:
		return struct {
			*conn
			execs
			queries
			resets
			checks
		}{c, e, q, r, v}
	case execer && queryer && resetter:
		return struct {
			*conn
			execs
			queries
			resets
		}{c, e, q, r}
	case execer && queryer:
		return struct {
			*conn
			execs
			queries
			checks
		}{c, e, q, v}
	case execer && resetter && validator:
		return struct {
			*conn
			execs
			resets
			checks
		}{c, e, r, v}
	case execer && resetter:
		return struct {
			*conn
			execs
			resets
		}{c, e, r}
	case execer:
		return struct {
			*conn
			execs
			checks
		}{c, e, v}
	default:
		return shapeRest(c, q, r, v)
	}
}

// shapeRest is shape for connections without ExecerContext.
func shapeRest(c *conn, q queries, r resets, v checks) driver.Conn {
	switch _, queryer, resetter, validator := features(c.inner); {
	case queryer && resetter && validator:
		return struct {
			*conn
			queries
			resets
			checks
		}{c, q, r, v}
	case queryer && resetter:
		return struct {
			*conn
			queries
			resets
		}{c, q, r}
	case queryer:
		return struct {
			*conn
			queries
			checks
		}{c, q, v}
	case resetter && validator:
		return struct {
			*conn
			resets
			checks
		}{c, r, v}
	case resetter:
		return struct {
			*conn
			resets
		}{c, r}
	default:
		return struct {
			*conn
			checks
		}{c, v}
	}
}

// features tells which of the interfaces the driver's connection has, in the deprecated form or
// not.
func features(c driver.Conn) (execerOf, queryerOf, resetter, validator bool) {
	_, execNew := c.(driver.ExecerContext)
	_, execOld := c.(execer)
	_, queryNew := c.(driver.QueryerContext)
	_, queryOld := c.(queryer)
	_, resetter = c.(driver.SessionResetter)
	_, validator = c.(driver.Validator)
	return execNew || execOld, queryNew || queryOld, resetter, validator
}
