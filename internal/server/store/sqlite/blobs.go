package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

var _ lists.Blobs = (*Store)(nil)

// Blobs are written in transactions of their own, each before the change that names it: they
// share the log's order of writes, so whenever the change is there, its blobs are. They need no
// witness and no row in the chain, since their name is their hash.

// PutBlob keeps a part of a member list, see [lists.Blobs].
func (s *Store) PutBlob(ctx context.Context, digest string, data []byte, at time.Time) error {
	switch {
	case len(data) == 0 || len(data) > lists.MaxBlob:
		return &control.Error{Code: control.CodeTooLarge, Message: fmt.Sprintf("store: a blob has 1 to %d bytes, not %d", lists.MaxBlob, len(data))}
	case digestOf(data) != digest:
		return &control.Error{Code: control.CodeInvalid, Message: fmt.Sprintf("store: the blob's SHA-256 is %s, not %q", digestOf(data), digest)}
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	ctx = context.WithoutCancel(ctx)
	res, err := s.conn.ExecContext(ctx, `UPDATE blobs SET put_at = max(put_at, ?) WHERE digest = ?`, at.UnixMilli(), digest)
	if err != nil {
		return s.explain(ctx, "touching a blob", err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	if _, err := s.conn.ExecContext(ctx, `INSERT INTO blobs (digest, put_at, data) VALUES (?, ?, ?)`, digest, at.UnixMilli(), data); err != nil {
		return s.explain(ctx, "writing a blob", err)
	}
	return nil
}

// Blob reads a part, see [lists.Blobs].
func (s *Store) Blob(ctx context.Context, digest string) (data []byte, err error) {
	if _, err := s.Head(ctx); err != nil {
		return nil, err
	}
	err = s.query(ctx, func(rows *sql.Rows) error {
		if err := rows.Scan(&data); err != nil {
			return err
		}
		if digestOf(data) != digest {
			return damaged("member list part %s", digest)
		}
		return nil
	}, `SELECT data FROM blobs WHERE digest = ?`, digest)
	if err == nil && data == nil {
		err = control.ErrNotFound
	}
	return data, err
}

// MissingBlobs tells what is not there, see [lists.Blobs].
func (s *Store) MissingBlobs(ctx context.Context, digests []string) (missing []string, err error) {
	for _, digest := range digests {
		found := false
		err := s.query(ctx, func(*sql.Rows) error { found = true; return nil }, `SELECT 1 FROM blobs WHERE digest = ?`, digest)
		if err != nil {
			return nil, err
		}
		if !found {
			missing = append(missing, digest)
		}
	}
	return missing, nil
}

// OldBlobs lists what may have to go, see [lists.Blobs].
func (s *Store) OldBlobs(ctx context.Context, before time.Time) (digests []string, err error) {
	err = s.query(ctx, func(rows *sql.Rows) error {
		var digest string
		if err := rows.Scan(&digest); err != nil {
			return err
		}
		digests = append(digests, digest)
		return nil
	}, `SELECT digest FROM blobs WHERE put_at < ? ORDER BY digest`, before.UnixMilli())
	return digests, err
}

// DeleteOldBlobs removes parts, see [lists.Blobs]. SQLite uses their pages again.
func (s *Store) DeleteOldBlobs(ctx context.Context, digests []string, before time.Time) (deleted int, err error) {
	for _, digest := range digests { // one turn each: other writers wait no longer than for one
		n, err := s.deleteBlob(ctx, digest, before)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

func (s *Store) deleteBlob(ctx context.Context, digest string, before time.Time) (int, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.end()
	ctx = context.WithoutCancel(ctx)
	res, err := s.conn.ExecContext(ctx, `DELETE FROM blobs WHERE digest = ? AND put_at < ?`, digest, before.UnixMilli())
	if err != nil {
		return 0, s.explain(ctx, "deleting a blob", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
