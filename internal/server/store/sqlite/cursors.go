package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

var _ control.Cursors = (*Store)(nil)

// cursorsSchema is the migration that keeps how far webhooks are. A cursor that is lost with a
// power cut repeats events, which receivers recognise; so it needs no place in the hash chain.
const cursorsSchema = `CREATE TABLE cursors (
		id       TEXT    PRIMARY KEY, -- of the webhook
		version  INTEGER NOT NULL,
		revision INTEGER NOT NULL,
		idx      INTEGER NOT NULL,
		owner    TEXT    NOT NULL,
		until_at INTEGER NOT NULL, -- milliseconds
		status   BLOB
	);`

// Cursor gives how far a webhook is, see [control.Cursors].
func (s *Store) Cursor(ctx context.Context, id string) (c control.Cursor, err error) {
	if _, err := s.Head(ctx); err != nil {
		return c, err
	}
	err = s.query(ctx, func(rows *sql.Rows) error {
		var until int64
		var status []byte
		if err := rows.Scan(&c.Version, &c.Revision, &c.Index, &c.Owner, &until, &status); err != nil {
			return err
		}
		c.ID, c.Status = id, status
		if until != 0 {
			c.Until = time.UnixMilli(until).UTC()
		}
		return nil
	}, `SELECT version, revision, idx, owner, until_at, status FROM cursors WHERE id = ?`, id)
	if err == nil && c.ID == "" {
		err = control.ErrNotFound
	}
	return c, err
}

// MoveCursor moves a cursor, see [control.Cursors].
func (s *Store) MoveCursor(ctx context.Context, c control.Cursor) error {
	if err := c.Check(); err != nil {
		return err
	}
	until := int64(0)
	if !c.Until.IsZero() {
		until = c.Until.UnixMilli()
	}
	values := []any{c.Version, c.Revision, c.Index, c.Owner, until, nullableBytes(c.Status), c.ID}
	if c.Version == 1 {
		return s.moveCursor(ctx, `INSERT INTO cursors (version, revision, idx, owner, until_at, status, id) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, values...)
	}
	return s.moveCursor(ctx, `UPDATE cursors SET version = ?, revision = ?, idx = ?, owner = ?, until_at = ?, status = ? WHERE id = ? AND version = ?`,
		append(values, c.Version-1)...)
}

func (s *Store) moveCursor(ctx context.Context, query string, values ...any) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	ctx = context.WithoutCancel(ctx)
	res, err := s.conn.ExecContext(ctx, query, values...)
	if err != nil {
		return s.explain(ctx, "moving a cursor", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return control.ErrConflict
	}
	return nil
}

// DropCursor forgets a webhook, see [control.Cursors].
func (s *Store) DropCursor(ctx context.Context, id string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	ctx = context.WithoutCancel(ctx)
	if _, err := s.conn.ExecContext(ctx, `DELETE FROM cursors WHERE id = ?`, id); err != nil {
		return s.explain(ctx, "dropping a cursor", err)
	}
	return nil
}

func nullableBytes(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
