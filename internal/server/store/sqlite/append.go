package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Append adds a change, see [control.Log]. The order is: transaction committed, witness written,
// then made visible and acknowledged.
func (s *Store) Append(ctx context.Context, expected int64, draft control.Draft) (control.Change, error) {
	draft, err := draft.Normalize()
	if err != nil {
		return control.Change{}, err
	}
	if draft.Interval != nil {
		if err := draft.Interval.Check(); err != nil {
			return control.Change{}, err
		}
	}
	if err := s.begin(ctx); err != nil {
		return control.Change{}, err
	}
	defer s.end()
	// From here on the caller's patience no longer counts: half a commit helps nobody.
	ctx = context.WithoutCancel(ctx)

	if c, found, err := s.byKey(ctx, draft); found || err != nil {
		return c, err
	}
	head := s.head // only writers change it, and this is the writer
	if head.Revision != expected {
		return control.Change{}, control.ErrConflict
	}
	c := head.Next(draft)
	next := control.Head{History: head.History, Epoch: head.Epoch, Revision: c.Revision, Hash: c.Hash}
	return c, s.store(ctx, next, draft.Interval, func() error {
		_, err := s.appendStmt.ExecContext(ctx, c.Revision, nullable(c.IdempotencyKey), control.EncodeChange(head.History, c))
		return err
	})
}

// AppendInterval adds a row to the journal, see [control.Journal].
func (s *Store) AppendInterval(ctx context.Context, row control.IntervalRow) error {
	if err := row.Check(); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	return s.store(context.WithoutCancel(ctx), s.head, &row, nil)
}

// store runs one transaction that leads to head and one more journal row, if any.
func (s *Store) store(ctx context.Context, head control.Head, row *control.IntervalRow, write func() error) error {
	journal, err := s.transact(ctx, head, row, write)
	if err != nil {
		return err
	}
	if s.witness != nil {
		if err := s.witness.write(head, journal); err != nil {
			return s.fail("writing the head witness", err)
		}
	}
	s.publish(head, journal)
	return nil
}

// transact gives the number of journal rows after it.
func (s *Store) transact(ctx context.Context, head control.Head, row *control.IntervalRow, write func() error) (journal int64, err error) {
	if _, err := s.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return 0, s.explain(ctx, "beginning a transaction", err)
	}
	if write != nil {
		if err := write(); err != nil {
			return 0, s.explain(ctx, "writing a change", err)
		}
	}
	journal = s.journal
	if row != nil {
		added, err := s.insertInterval(ctx, *row)
		journal += added
		if err != nil {
			return 0, s.explain(ctx, "writing an interval", err)
		}
	}
	res, err := s.headStmt.ExecContext(ctx, head.Revision, head.Hash, journal, s.head.Revision, s.head.Hash, s.journal)
	if err != nil {
		return 0, s.explain(ctx, "moving the head", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		s.rollback(ctx)
		return 0, s.fail("moving the head", errors.New("another process has changed the database"))
	}
	if _, err := s.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return 0, s.explain(ctx, "committing", err)
	}
	return journal, nil
}

// explain rolls back and says what an error of SQLite means for the caller.
func (s *Store) explain(ctx context.Context, doing string, err error) error {
	s.rollback(ctx)
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return s.fail(doing, err)
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT:
		return control.ErrConflict
	case lib.SQLITE_FULL:
		return &control.Error{Code: control.CodeUnavailable, Err: err,
			Message: "store: the disk is full: nothing was written; free space and try again"}
	}
	return s.fail(doing, err)
}

func (s *Store) rollback(ctx context.Context) {
	// SQLite has rolled back by itself after some errors; then this one tells so, in vain.
	_, _ = s.conn.ExecContext(ctx, "ROLLBACK")
}

// byKey looks for a change with the draft's idempotency key.
func (s *Store) byKey(ctx context.Context, draft control.Draft) (control.Change, bool, error) {
	if draft.IdempotencyKey == "" {
		return control.Change{}, false, nil
	}
	var body []byte
	err := s.byKeyStmt.QueryRowContext(ctx, draft.IdempotencyKey).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return control.Change{}, false, nil
	}
	if err != nil {
		return control.Change{}, true, s.explain(ctx, "looking for an idempotency key", err)
	}
	_, c, err := control.DecodeChange(body)
	switch {
	case err != nil:
		return control.Change{}, true, s.fail("reading a change", err)
	case !control.SameOps(c.Ops, draft.Ops):
		return control.Change{}, true, control.ErrIdempotencyMismatch
	}
	return c, true, nil
}

// insertInterval adds a row and gives by how many the journal grew: none if the row replaces one
// that was overtaken.
func (s *Store) insertInterval(ctx context.Context, row control.IntervalRow) (added int64, err error) {
	res, err := s.replaceStmt.ExecContext(ctx, row.Trial, row.Attempt, row.Seq, row.Revision)
	if err != nil {
		return 0, err
	}
	replaced, err := res.RowsAffected()
	if err != nil {
		return 0, err
	}
	sum := intervalSum(row)
	_, err = s.journalStmt.ExecContext(ctx, row.Trial, row.Attempt, row.Seq, row.Revision, []byte(row.Interval), []byte(row.State), sum[:])
	return 1 - replaced, err
}

// intervalSum covers everything in a row, so that damage is seen when it is read.
func intervalSum(row control.IntervalRow) [sha256.Size]byte {
	var b []byte
	for _, field := range [][]byte{[]byte(row.Trial), row.Interval, row.State} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
	}
	return sha256.Sum256(fmt.Appendf(b, "%d.%d.%d", row.Attempt, row.Seq, row.Revision))
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}
