package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"crypto/rand"

	"github.com/seatrial/seatrial/internal/server/control"
)

// migrations lead from schema version i to i+1; they are never edited once released.
var migrations = []string{
	// The body of a change is its canonical form, the very bytes that the hash covers. The
	// revision comes from the head row, never from the database's own counting.
	`CREATE TABLE head (
		id       INTEGER PRIMARY KEY CHECK (id = 1),
		history  TEXT    NOT NULL,
		epoch    INTEGER NOT NULL,
		revision INTEGER NOT NULL,
		hash     TEXT    NOT NULL,
		journal  INTEGER NOT NULL -- rows in intervals
	);
	CREATE TABLE histories (
		history       TEXT    PRIMARY KEY,
		epoch         INTEGER NOT NULL,
		from_revision INTEGER NOT NULL, -- the first revision that belongs to it
		started_at    TEXT    NOT NULL,
		reason        TEXT    NOT NULL
	);
	CREATE TABLE changes (
		revision INTEGER PRIMARY KEY,
		idem     TEXT UNIQUE, -- copy of the idempotency key in body, null if empty
		body     BLOB NOT NULL
	);
	CREATE TABLE intervals (
		id       INTEGER PRIMARY KEY,
		trial    TEXT    NOT NULL,
		attempt  INTEGER NOT NULL,
		seq      INTEGER NOT NULL,
		revision INTEGER NOT NULL, -- of the trial that the state builds on
		interval BLOB    NOT NULL,
		state    BLOB    NOT NULL,
		sum      BLOB    NOT NULL,
		UNIQUE (trial, attempt, seq)
	);`,

	// Parts of member lists. The data comes last, so that looking at the others reads none of it.
	`CREATE TABLE blobs (
		id     INTEGER PRIMARY KEY,
		digest TEXT    NOT NULL UNIQUE, -- hex SHA-256 of data
		put_at INTEGER NOT NULL,        -- last time, milliseconds
		data   BLOB    NOT NULL
	);`,

	// Most intervals have no state: it is computed again.
	`CREATE TABLE intervals_3 (
		id       INTEGER PRIMARY KEY,
		trial    TEXT    NOT NULL,
		attempt  INTEGER NOT NULL,
		seq      INTEGER NOT NULL,
		revision INTEGER NOT NULL, -- of the trial that the interval was weighed on
		interval BLOB    NOT NULL,
		state    BLOB,             -- after it, null in most rows
		sum      BLOB    NOT NULL,
		UNIQUE (trial, attempt, seq)
	);
	INSERT INTO intervals_3 SELECT id, trial, attempt, seq, revision, interval, state, sum FROM intervals;
	DROP TABLE intervals;
	ALTER TABLE intervals_3 RENAME TO intervals;`,

	cursorsSchema,
}

// migrate brings the schema up to date, each step in one transaction.
func (s *Store) migrate(ctx context.Context, now time.Time) error {
	if _, err := s.conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (
		version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL)`); err != nil {
		return err
	}
	var version int
	if err := s.conn.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM migrations`).Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("%w: its schema is %d, this version knows %d: update seatrial", ErrNewer, version, len(migrations))
	}
	for v := version; v < len(migrations); v++ {
		script := "BEGIN IMMEDIATE;" + migrations[v] + fmt.Sprintf(";INSERT INTO migrations VALUES (%d, '%s');COMMIT",
			v+1, now.UTC().Format(time.RFC3339))
		if _, err := s.conn.ExecContext(ctx, script); err != nil {
			s.rollback(ctx)
			return fmt.Errorf("migrating the schema to %d: %w", v+1, err)
		}
	}
	return nil
}

// loadHead reads the head row, and makes the first one.
func (s *Store) loadHead(ctx context.Context, now time.Time) error {
	err := s.conn.QueryRowContext(ctx, `SELECT history, epoch, revision, hash, journal FROM head`).
		Scan(&s.head.History, &s.head.Epoch, &s.head.Revision, &s.head.Hash, &s.journal)
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var changes int
	if err := s.conn.QueryRowContext(ctx, `SELECT count(*) FROM changes`).Scan(&changes); err != nil {
		return err
	}
	if changes > 0 {
		return damaged("there are %d changes but no head", changes)
	}
	history := newHistory()
	s.head = control.Head{History: history, Epoch: 1, Hash: control.Genesis(history)}
	return s.startHistory(ctx, now, "created")
}

// startHistory writes s.head as the start of a history.
func (s *Store) startHistory(ctx context.Context, now time.Time, reason string) error {
	if _, err := s.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer s.rollback(ctx) // in vain after the commit
	if _, err := s.conn.ExecContext(ctx, `INSERT INTO histories VALUES (?, ?, ?, ?, ?)`,
		s.head.History, s.head.Epoch, s.head.Revision+1, now.UTC().Format(time.RFC3339), reason); err != nil {
		return err
	}
	if _, err := s.conn.ExecContext(ctx, `INSERT INTO head VALUES (1, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET history = excluded.history, epoch = excluded.epoch`,
		s.head.History, s.head.Epoch, s.head.Revision, s.head.Hash, s.journal); err != nil {
		return err
	}
	_, err := s.conn.ExecContext(ctx, "COMMIT")
	return err
}

func newHistory() string { return strings.ToLower(rand.Text()) }

// checkVersion refuses a SQLite that can lose committed writes.
func checkVersion(version string) error {
	if compareVersions(version, MinVersion) < 0 {
		return fmt.Errorf("SQLite %s can lose committed writes (WAL reset): build with %s or newer", version, MinVersion)
	}
	return nil
}

func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if d := part(as, i) - part(bs, i); d != 0 {
			return d
		}
	}
	return 0
}

func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i])
	return n
}
