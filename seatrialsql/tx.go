package seatrialsql

import (
	"context"
	"database/sql/driver"
)

// tx is a transaction around one of the driver.
type tx struct {
	inner driver.Tx
	conn  *conn
	ctx   context.Context // that it was begun with: Commit and Rollback are given none
	lease *lease          // of the context that the driver was given
}

// Commit commits, once and without a timeout: the driver takes no context. If it is not made, the
// transaction is rolled back.
func (t *tx) Commit() error {
	made := false
	defer func() {
		if !made {
			_ = t.inner.Rollback()
		}
		t.over()
	}()
	return t.conn.source.pass(t.ctx, &operation{name: "COMMIT"}, t.conn, func(context.Context) error {
		made = true
		return t.inner.Commit()
	}, nil)
}

// Rollback rolls back, whatever is injected; there is no policy that could stand in its way.
func (t *tx) Rollback() error {
	made := false
	rollback := func(context.Context) error {
		made = true
		return t.inner.Rollback()
	}
	defer func() {
		if !made {
			_ = t.inner.Rollback()
		}
		t.over()
	}()
	if t.conn.lost() {
		return driver.ErrBadConn
	}
	return t.conn.source.try(context.WithoutCancel(t.ctx), &operation{name: "ROLLBACK"}, t.conn, 0, rollback)
}

func (t *tx) over() {
	t.conn.inTx = false
	t.lease.release()
}
