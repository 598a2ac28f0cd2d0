package seatrialsql

import (
	"context"
	"database/sql/driver"
	"sync/atomic"
)

// conn is a connection around one of the driver. Package sql uses a connection by one goroutine at
// a time. The optional interfaces of package driver that it has always do, where the driver lacks
// them, what package sql does then; the others are added by [shape].
type conn struct {
	inner  driver.Conn
	source *source
	inTx   bool        // a transaction is open: nothing may be repeated
	broken atomic.Bool // by a fault: the connection must not be used again
}

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
)

// connect makes a connection by dial.
func (s *source) connect(ctx context.Context, dial func(context.Context) (driver.Conn, error)) (driver.Conn, error) {
	var c *conn
	err := s.pass(ctx, &operation{name: "CONNECT", repeat: true}, nil, func(ctx context.Context) (err error) {
		inner, err := dial(ctx)
		if err == nil {
			c = &conn{inner: inner, source: s}
		}
		return err
	}, func() { _ = c.inner.Close() })
	if err != nil {
		return nil, err
	}
	return shape(c), nil
}

// lost tells whether a fault has broken the connection; one that is not there yet is not.
func (c *conn) lost() bool { return c != nil && c.broken.Load() }

func (c *conn) underlying() driver.Conn { return c.inner }

// Close closes the driver's connection.
func (c *conn) Close() error { return c.inner.Close() }

// Ping asks the driver whether the connection lives; without asking, it is taken to.
func (c *conn) Ping(ctx context.Context) error {
	p, ok := c.inner.(driver.Pinger)
	if !ok {
		return nil
	}
	return c.source.pass(ctx, &operation{name: "PING", repeat: true}, c, p.Ping, nil)
}

// CheckNamedValue leaves arguments to the driver, and to package sql if the driver does.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.inner.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// Prepare is for package sql of long ago.
func (c *conn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), text)
}

// PrepareContext prepares a statement.
func (c *conn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	op := newOperation(text)
	s := &stmt{conn: c, verb: op.name, summary: op.summary, text: text}
	op.name, op.summary = "PREPARE", "PREPARE "+op.summary
	err := c.source.pass(ctx, op, c, func(ctx context.Context) (err error) {
		s.inner, err = prepare(ctx, c.inner, text)
		return err
	}, func() { _ = s.inner.Close() })
	if err != nil {
		return nil, err
	}
	return s.shape(), nil
}

// Begin is for package sql of long ago.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a transaction, which lives by ctx, not by the context of the try.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	t := &tx{conn: c, ctx: ctx}
	err := c.source.pass(ctx, &operation{name: "BEGIN"}, c, func(try context.Context) error {
		t.lease = lasting(ctx, try)
		var err error
		t.inner, err = begin(t.lease.ctx, c.inner, o)
		return t.lease.settle(err, func() { _ = t.inner.Rollback() })
	}, func() { _ = t.inner.Rollback(); t.lease.release() })
	if err != nil {
		return nil, err
	}
	c.inTx = true
	return t, nil
}

// exec and query are what [shape] makes methods of.
func (c *conn) exec(ctx context.Context, text string, args []driver.NamedValue) (result driver.Result, err error) {
	return c.run(ctx, newOperation(text), func(ctx context.Context) (driver.Result, error) {
		return exec(ctx, c.inner, text, args)
	})
}

func (c *conn) query(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	return c.read(ctx, newOperation(text), func(ctx context.Context) (driver.Rows, error) {
		return query(ctx, c.inner, text, args)
	})
}

// run makes a statement.
func (c *conn) run(ctx context.Context, op *operation, do func(context.Context) (driver.Result, error)) (result driver.Result, err error) {
	op.repeat = c.mayRepeat(ctx)
	err = c.source.pass(ctx, op, c, func(ctx context.Context) (err error) {
		result, err = do(ctx)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// read makes a query. Its rows live by ctx, not by the context of the try.
func (c *conn) read(ctx context.Context, op *operation, do func(context.Context) (driver.Rows, error)) (driver.Rows, error) {
	op.repeat, op.rows = c.mayRepeat(ctx), true
	r := &rows{}
	op.keep = r.keep
	err := c.source.pass(ctx, op, c, func(try context.Context) error {
		r.lease = lasting(ctx, try)
		var err error
		r.inner, err = do(r.lease.ctx)
		return r.lease.settle(err, func() { _ = r.inner.Close() })
	}, func() { _ = r.Close() })
	if err != nil {
		return nil, err
	}
	return r, nil
}

// mayRepeat tells whether a statement may be carried out again on this connection.
func (c *conn) mayRepeat(ctx context.Context) bool { return !c.inTx && retryable(ctx) }
