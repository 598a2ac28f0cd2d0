package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// The files in the data directory.
const (
	dbFile      = "seatrial.db"
	witnessFile = "seatrial.head"
	lockFile    = "seatrial.lock"
)

// Open opens the log in a directory, which it makes if need be (mode 0700), or in [Memory]. It
// verifies the whole chain and compares it with the head witness before it returns; the errors
// it can give are [ErrLocked], [ErrLostChanges], [ErrDamaged], [ErrNewer] and those of the
// operating system. ctx bounds the opening only.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Reached == nil {
		o.Reached = func(string) {}
	}
	s := &Store{turn: make(chan struct{}, 1), wake: make(chan struct{}), reached: o.Reached}
	if err := s.open(ctx, dir, o); err != nil {
		_ = s.release() // the first error is the one that tells
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	s.turn <- struct{}{}
	return s, nil
}

func (s *Store) open(ctx context.Context, dir string, o Options) error {
	file := dir
	if dir != Memory {
		var err error
		if file, err = s.openDir(dir, o); err != nil {
			return err
		}
	}
	if err := s.connect(ctx, file); err != nil {
		return explainOpen(err)
	}
	if err := s.migrate(ctx, o.Now()); err != nil {
		return explainOpen(err)
	}
	if err := s.loadHead(ctx, o.Now()); err != nil {
		return explainOpen(err)
	}
	if err := s.verify(ctx); err != nil {
		return explainOpen(err)
	}
	if s.witness != nil {
		if err := s.checkWitness(ctx, o); err != nil {
			return err
		}
	}
	return s.prepare(ctx)
}

// openDir locks the directory and reads the witness, before SQLite touches a file.
func (s *Store) openDir(dir string, o Options) (file string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := checkFileSystem(dir); err != nil {
		return "", err
	}
	if s.lock, err = acquireLock(filepath.Join(dir, lockFile)); err != nil {
		return "", err
	}
	if s.witness, err = openWitness(filepath.Join(dir, witnessFile)); err != nil {
		return "", err
	}
	file = filepath.Join(dir, dbFile)
	info, err := os.Stat(file)
	if empty := errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0; empty && s.witness.last.Revision > 0 && !o.AcceptLoss {
		return "", lost("%s is missing or empty, but revision %d was acknowledged", dbFile, s.witness.last.Revision)
	}
	return file, nil
}

// connect opens the writing connection and, for files, the reading ones.
func (s *Store) connect(ctx context.Context, file string) (err error) {
	name := Memory
	if file != Memory {
		name = (&url.URL{Scheme: "file", OmitHost: true, Path: file}).String()
	}
	pragmas := "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=trusted_schema(0)"
	if s.db, err = sql.Open("sqlite", name+"?"+pragmas); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	var version string
	if err := s.conn.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		return err
	}
	if err := checkVersion(version); err != nil || file == Memory {
		return err
	}
	var mode string
	if err := s.conn.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the database is in journal mode %q, not WAL: use a local file system", mode)
	}
	s.readers, err = sql.Open("sqlite", name+"?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)&_pragma=trusted_schema(0)")
	if err == nil {
		s.readers.SetMaxOpenConns(4)
	}
	return err
}

func (s *Store) prepare(ctx context.Context) error {
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.appendStmt, `INSERT INTO changes (revision, idem, body) VALUES (?, ?, ?)`},
		{&s.headStmt, `UPDATE head SET revision = ?, hash = ?, journal = ? WHERE id = 1 AND revision = ? AND hash = ? AND journal = ?`},
		{&s.journalStmt, `INSERT INTO intervals (trial, attempt, seq, revision, interval, state, sum) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`},
		{&s.replaceStmt, `UPDATE intervals SET revision = ?, interval = ?, state = ?, sum = ? WHERE trial = ? AND attempt = ? AND seq = ? AND revision < ?`},
		{&s.byKeyStmt, `SELECT body FROM changes WHERE idem = ?`},
	} {
		var err error
		if *p.stmt, err = s.conn.PrepareContext(ctx, p.text); err != nil {
			return err
		}
	}
	return nil
}

// checkWitness compares the database with what was acknowledged.
func (s *Store) checkWitness(ctx context.Context, o Options) error {
	err := s.compareWitness(ctx)
	if err != nil && o.AcceptLoss && errors.Is(err, ErrLostChanges) {
		o.Logger.Warn("accepting the loss of changes, starting a new history", "loss", err.Error(), "revision", s.head.Revision)
		s.head.History, s.head.Epoch = newHistory(), max(s.head.Epoch, s.witness.last.Epoch)+1
		err = s.startHistory(ctx, o.Now(), "accepted: "+err.Error())
	}
	if err != nil {
		return err
	}
	return s.witness.write(s.head, s.journal)
}

func (s *Store) compareWitness(ctx context.Context) error {
	w := s.witness
	switch {
	case w.damaged != nil:
		return lost("the head witness %s is unreadable (%v), so nobody knows what was acknowledged", witnessFile, w.damaged)
	case w.last == (record{}) && s.head.Revision == 0:
		return nil // a new log
	case w.last.Write > 0 && w.last.Revision == 0 && w.last.Journal == 0:
		return nil // nothing was ever acknowledged, so nothing can be missing
	case w.last == (record{}):
		return lost("the head witness %s is missing, as after the restore of a backup: changes after revision %d may be missing", witnessFile, s.head.Revision)
	case w.last.History != s.head.History:
		return lost("the database is of another history (%s) than the one last served here (%s)", s.head.History, w.last.History)
	case w.last.Revision > s.head.Revision:
		return lost("revisions %d to %d were acknowledged, but the database ends at %d", s.head.Revision+1, w.last.Revision, s.head.Revision)
	case w.last.Journal > s.journal:
		return lost("%d of %d journalled intervals are missing", w.last.Journal-s.journal, w.last.Journal)
	}
	hash, err := s.hashAt(ctx, w.last.Revision)
	if err != nil {
		return err
	}
	if hash != w.last.Hash {
		return lost("revision %d is another change than the one that was acknowledged", w.last.Revision)
	}
	return nil
}

func lost(format string, args ...any) error {
	return fmt.Errorf("%w: %s. Restore the newest copy of the whole data directory, or accept the loss: "+
		"that starts a new history, and every client reads everything again", ErrLostChanges, fmt.Sprintf(format, args...))
}

// explainOpen turns what SQLite says of a broken file into ErrDamaged.
func explainOpen(err error) error {
	if err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer) || control.CodeOf(err) != control.CodeInternal {
		return err
	}
	for _, sign := range []string{"malformed", "not a database", "no such table", "no such column", "disk I/O error", "corrupt", "unsupported file format", "already exists", "converting NULL"} {
		if strings.Contains(err.Error(), sign) {
			return damaged("%v", err)
		}
	}
	return err
}
