package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"

	"github.com/seatrial/seatrial/internal/server/control"
)

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// query runs read over the rows of a query. Reading never waits for a write, but in memory,
// where both share a connection.
func (s *Store) query(ctx context.Context, read func(*sql.Rows) error, query string, args ...any) error {
	var q querier = s.readers
	if s.readers == nil {
		if err := s.begin(ctx); err != nil {
			return err
		}
		defer s.end()
		q = s.conn
	}
	err := scan(ctx, q, read, query, args...)
	if err == nil || control.CodeOf(err) != control.CodeInternal {
		return err
	}
	if _, closed := s.Head(ctx); closed != nil {
		return closed
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &control.Error{Code: control.CodeUnavailable, Message: "store: reading failed: " + err.Error(), Err: err}
}

func scan(ctx context.Context, q querier, read func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Read gives at most limit changes after a revision, in order, see [control.Log]. It verifies
// the chain between them.
func (s *Store) Read(ctx context.Context, after int64, limit int) ([]control.Change, error) {
	head, err := s.Head(ctx) // nothing newer than what is acknowledged
	if err != nil {
		return nil, err
	}
	after = max(after, 0)
	var list []control.Change
	err = s.query(ctx, func(rows *sql.Rows) error {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return err
		}
		_, c, err := control.DecodeChange(body)
		if err != nil {
			return damaged("revision %d: %v", after+1+int64(len(list)), err)
		}
		if n := len(list); c.Revision != after+1+int64(n) || n > 0 && c.Parent != list[n-1].Hash {
			return damaged("revision %d does not follow the one before", c.Revision)
		}
		list = append(list, c)
		return nil
	}, `SELECT body FROM changes WHERE revision > ? AND revision <= ? ORDER BY revision LIMIT ?`,
		after, head.Revision, bound(limit))
	return list, err
}

// Intervals gives a trial's rows in order, see [control.Journal].
func (s *Store) Intervals(ctx context.Context, trial string, attempt int, after int, limit int) ([]control.IntervalRow, error) {
	return s.intervals(ctx, `SELECT trial, attempt, seq, revision, interval, state, sum FROM intervals
		WHERE trial = ? AND attempt = ? AND seq > ? ORDER BY seq LIMIT ?`, trial, attempt, after, bound(limit))
}

// Tail gives the rows that lead from the newest stored state to the newest one, see
// [control.Journal].
func (s *Store) Tail(ctx context.Context, trial string, attempt int, revision int64, after int) ([]control.IntervalRow, error) {
	return s.intervals(ctx, `SELECT trial, attempt, seq, revision, interval, state, sum FROM intervals
		WHERE trial = ?1 AND attempt = ?2 AND revision = ?3 AND seq > ?4 AND seq >= coalesce((SELECT seq FROM intervals
			WHERE trial = ?1 AND attempt = ?2 AND revision = ?3 AND seq > ?4 AND state IS NOT NULL ORDER BY seq DESC LIMIT 1), 0)
		ORDER BY seq LIMIT ?5`, trial, attempt, revision, after, control.MaxRead)
}

func (s *Store) intervals(ctx context.Context, query string, args ...any) ([]control.IntervalRow, error) {
	if _, err := s.Head(ctx); err != nil {
		return nil, err
	}
	var list []control.IntervalRow
	err := s.query(ctx, func(rows *sql.Rows) error {
		var row control.IntervalRow
		var interval, state, sum []byte
		if err := rows.Scan(&row.Trial, &row.Attempt, &row.Seq, &row.Revision, &interval, &state, &sum); err != nil {
			return err
		}
		row.Interval, row.State = interval, state
		if want := intervalSum(&row); !bytes.Equal(want[:], sum) {
			return damaged("interval %d of trial %s, attempt %d", row.Seq, row.Trial, row.Attempt)
		}
		list = append(list, row)
		return nil
	}, query, args...)
	return list, err
}

func bound(limit int) int { return min(max(limit, 1), control.MaxRead) }

// damaged is the error of a stored row that is not what was written.
func damaged(format string, args ...any) error {
	return &control.Error{Code: control.CodeUnavailable, Err: ErrDamaged,
		Message: ErrDamaged.Error() + ": " + fmt.Sprintf(format, args...) + "; restore a backup of the data directory"}
}
