// Package sqlite keeps the change log and the interval journal in one SQLite database, in a
// directory that one process at a time may open.
//
// What it promises: a change that Append has returned survives the death of the process and,
// as far as the disk honours fsync, a power cut. If the files are damaged, truncated or replaced by an
// older copy all the same, Open says so instead of serving an older state as the newest. Three
// means work together: SQLite in WAL mode with synchronous=FULL, a SHA-256 chain over all
// changes that Open verifies, and a head witness, a second small file that remembers the newest
// acknowledged state (SQLite itself cannot tell a torn tail of its WAL from a transaction that
// was never committed).
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Memory as the directory opens a log that lives and dies with the Store, for tests: no lock, no
// witness, no file.
const Memory = ":memory:"

// MinVersion is the oldest SQLite that is accepted: older ones can lose committed writes when a
// write meets a WAL reset (3.7.0 to 3.51.2).
const MinVersion = "3.51.3"

// Options for Open. The zero value is right for a server.
type Options struct {
	// AcceptLoss opens a log that has lost acknowledged changes (see ErrLostChanges). It starts
	// a new history and epoch, so that every client notices and reads everything again. It does
	// not accept a damaged chain.
	AcceptLoss bool
	// Logger gets a line when a loss was accepted. Default: discard.
	Logger *slog.Logger
	// Now reads the clock, for the records of migrations and histories. Default time.Now.
	Now func() time.Time
	// Reached, for tests, is called at the boundaries of every write, by the writing goroutine:
	// "log." or "journal." and begin, before_commit, after_commit, witnessed. Default: nothing.
	Reached func(point string)
}

// Store is an open log. All methods are safe for concurrent use.
type Store struct {
	db      *sql.DB // the one writing connection
	conn    *sql.Conn
	readers *sql.DB // nil in memory: then reads share conn under the writer's turn
	lock    *fileLock
	witness *witness // nil in memory

	turn    chan struct{} // holds one token: whoever has it may write
	reached func(point string)

	appendStmt, headStmt, journalStmt, replaceStmt, byKeyStmt *sql.Stmt

	mu      sync.Mutex // guards what follows
	head    control.Head
	journal int64 // rows in the journal
	wake    chan struct{}
	closed  bool
	failed  error // why nothing more is written; nil while all is well
}

var (
	_ control.Log     = (*Store)(nil)
	_ control.Journal = (*Store)(nil)
)

// Errors that Open returns, with details and remedy in the message.
var (
	// ErrLocked means that another process has the directory open.
	ErrLocked = errors.New("the data directory is in use")
	// ErrLostChanges means that changes which had been acknowledged are not in the database.
	ErrLostChanges = errors.New("acknowledged changes are missing")
	// ErrDamaged means that the stored changes are not those that were written.
	ErrDamaged = errors.New("the change log is damaged")
	// ErrNewer means that a newer version has written the database.
	ErrNewer = errors.New("the database was written by a newer version")
)

// Head gives the newest durable state.
func (s *Store) Head(context.Context) (control.Head, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return control.Head{}, control.ErrClosed
	}
	return s.head, nil
}

// Wait returns nil when the log's revision is greater than after.
func (s *Store) Wait(ctx context.Context, after int64) error {
	for {
		s.mu.Lock()
		closed, revision, wake := s.closed, s.head.Revision, s.wake
		s.mu.Unlock()
		if closed {
			return control.ErrClosed
		}
		if revision > after {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close waits for a write under way and releases everything. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.wake)
	s.mu.Unlock()
	<-s.turn
	err := s.release()
	s.turn <- struct{}{} // who still waits for it finds the store closed
	return err
}

// release closes what is open; it is also the way out of a failed Open.
func (s *Store) release() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{s.appendStmt, s.headStmt, s.journalStmt, s.replaceStmt, s.byKeyStmt} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.witness != nil {
		errs = append(errs, s.witness.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}

// begin waits for the writer's turn. The caller gives it back with s.end.
func (s *Store) begin(ctx context.Context) error {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return &control.Error{Code: control.CodeUnavailable, Err: context.Cause(ctx),
			Message: "waiting for the store: " + context.Cause(ctx).Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.failed
	if s.closed {
		err = control.ErrClosed
	}
	if err != nil {
		s.turn <- struct{}{}
	}
	return err
}

func (s *Store) end() { s.turn <- struct{}{} }

// fail stops all writing: after an error of the disk nobody knows what a later fsync means, so
// only a new Open, which verifies everything, may write again. Reading goes on.
func (s *Store) fail(doing string, err error) error {
	e := &control.Error{Code: control.CodeUnavailable, Err: err,
		Message: fmt.Sprintf("store: %s failed (%v): writing has stopped; check the disk and restart, which verifies the log", doing, err)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = e
	}
	return e
}

// publish makes a durable state visible.
func (s *Store) publish(head control.Head, journal int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = journal
	if head == s.head {
		return
	}
	s.head = head
	if !s.closed {
		close(s.wake)
		s.wake = make(chan struct{})
	}
}
