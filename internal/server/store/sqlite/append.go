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
	return c, s.store(ctx, "log", next, func() (added int64, err error) {
		if draft.Interval != nil {
			if added, err = s.insertInterval(ctx, draft.Interval); err != nil {
				return 0, err
			}
		}
		_, err = s.appendStmt.ExecContext(ctx, c.Revision, nullable(c.IdempotencyKey), control.EncodeChange(head.History, c))
		return added, err
	})
}

// AppendIntervals adds rows to the journal, see [control.Journal].
func (s *Store) AppendIntervals(ctx context.Context, rows []control.IntervalRow) []error {
	errs, some := control.CheckRows(rows)
	if !some {
		return errs
	}
	err := s.begin(ctx)
	if err == nil {
		err = s.storeIntervals(context.WithoutCancel(ctx), rows, errs)
		s.end()
	}
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return errs
}

// storeIntervals leaves out the rows that have an error, and those that get one because they are
// there already.
func (s *Store) storeIntervals(ctx context.Context, rows []control.IntervalRow, errs []error) error {
	return s.store(ctx, "journal", s.head, func() (total int64, err error) {
		for i := range rows {
			if errs[i] != nil {
				continue
			}
			added, err := s.insertInterval(ctx, &rows[i])
			if errors.Is(err, control.ErrConflict) {
				errs[i] = err
			} else if err != nil {
				return 0, err
			}
			total += added
		}
		return total, nil
	})
}

// store runs one transaction that leads to head, and to as many more journal rows as write tells.
// what names it for Options.Reached.
func (s *Store) store(ctx context.Context, what string, head control.Head, write func() (added int64, err error)) error {
	journal, err := s.transact(ctx, what, head, write)
	if err != nil {
		return err
	}
	s.reached(what + ".after_commit")
	if s.witness != nil {
		if err := s.witness.write(head, journal); err != nil {
			return s.fail("writing the head witness", err)
		}
		s.reached(what + ".witnessed")
	}
	s.publish(head, journal)
	return nil
}

// transact gives the number of journal rows after it.
func (s *Store) transact(ctx context.Context, what string, head control.Head, write func() (int64, error)) (journal int64, err error) {
	if _, err := s.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return 0, s.explain(ctx, "beginning a transaction", err)
	}
	s.reached(what + ".begin")
	added, err := write()
	if err != nil {
		return 0, s.explain(ctx, "writing to the "+what, err)
	}
	journal = s.journal + added
	res, err := s.headStmt.ExecContext(ctx, head.Revision, head.Hash, journal, s.head.Revision, s.head.Hash, s.journal)
	if err != nil {
		return 0, s.explain(ctx, "moving the head", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		s.rollback(ctx)
		return 0, s.fail("moving the head", errors.New("another process has changed the database"))
	}
	s.reached(what + ".before_commit")
	if _, err := s.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return 0, s.explain(ctx, "committing", err)
	}
	return journal, nil
}

// explain rolls back and says what an error of SQLite means for the caller.
func (s *Store) explain(ctx context.Context, doing string, err error) error {
	s.rollback(ctx)
	if errors.Is(err, control.ErrConflict) {
		return err
	}
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
// that was overtaken. ErrConflict if it is there already.
func (s *Store) insertInterval(ctx context.Context, row *control.IntervalRow) (added int64, err error) {
	sum := intervalSum(row)
	var state any // null where there is none
	if len(row.State) > 0 {
		state = []byte(row.State)
	}
	added, err = affected(s.journalStmt.ExecContext(ctx, row.Trial, row.Attempt, row.Seq, row.Revision, []byte(row.Interval), state, sum[:]))
	if err != nil || added == 1 {
		return added, err
	}
	replaced, err := affected(s.replaceStmt.ExecContext(ctx, row.Revision, []byte(row.Interval), state, sum[:], row.Trial, row.Attempt, row.Seq, row.Revision))
	if err == nil && replaced == 0 {
		err = control.ErrConflict
	}
	return 0, err
}

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// intervalSum covers everything in a row, so that damage is seen when it is read.
func intervalSum(row *control.IntervalRow) [sha256.Size]byte {
	b := make([]byte, 0, len(row.Trial)+len(row.Interval)+len(row.State)+64)
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
