package control

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Head identifies a state of the log. Revision alone is no identity: after a restored backup or
// an asynchronous fail-over the same number can be given to another change.
type Head struct {
	History  string `json:"history"`  // new when the log is created or restored
	Epoch    int64  `json:"epoch"`    // grows when another writer takes over
	Revision int64  `json:"revision"` // gap-free, 0 = empty log
	Hash     string `json:"hash"`     // hex SHA-256, chain over all changes
}

// Change is one entry of the change log: the only way state changes.
type Change struct {
	Revision int64     `json:"revision"`
	Epoch    int64     `json:"epoch"`
	Parent   string    `json:"parent"` // hash of the previous change
	Hash     string    `json:"hash"`
	Time     time.Time `json:"time"` // UTC, for people; order is by revision
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	// IdempotencyKey, if not empty, makes a repeated append return the first one's result.
	IdempotencyKey string `json:"idempotencyKey,omitempty"`
	Ops            []Op   `json:"ops"`
}

// Op sets one entity, or deletes it (Value is null).
type Op struct {
	Kind  EntityKind      `json:"kind"`
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value,omitempty"`
}

// EntityKind names a kind of entity in the log.
type EntityKind string

// The entities.
const (
	KindFlag     EntityKind = "flag"
	KindSegment  EntityKind = "segment"
	KindLayer    EntityKind = "layer"
	KindTrial    EntityKind = "trial"
	KindSchedule EntityKind = "schedule"
	KindToken    EntityKind = "token"
)

// Draft is a change that has not been appended yet.
type Draft struct {
	Actor          string
	Reason         string
	IdempotencyKey string
	Time           time.Time
	Ops            []Op
	// Interval, if not nil, is journalled in the same transaction: the evidence of a decision
	// and the decision are stored together or not at all.
	Interval *IntervalRow
}

// Log is the append-only change log. Implementations are safe for concurrent use; storetest
// holds what every one of them must do.
type Log interface {
	// Head gives the newest durable state.
	Head(ctx context.Context) (Head, error)
	// Append adds draft if the log's revision is still expected (else ErrConflict) and returns
	// when it is durable. A draft whose idempotency key is already in the log returns that
	// change, if its ops are equal (else ErrIdempotencyMismatch), whatever expected is. Any
	// other error but CodeUnavailable means that nothing was appended; after CodeUnavailable
	// it may or may not have been: repeat with the same idempotency key.
	Append(ctx context.Context, expected int64, draft Draft) (Change, error)
	// Read gives at most limit changes after a revision, in order. A limit outside 1 to 10 000
	// is brought into it.
	Read(ctx context.Context, after int64, limit int) ([]Change, error)
	// Wait returns nil when the log's revision is greater than after, or the cause of ctx.
	Wait(ctx context.Context, after int64) error
	// Close releases the log; pending Waits return ErrClosed.
	Close() error
}

// Journal keeps the closed intervals of trials, so that a restarted controller goes on with the
// same bits, and any decision can be recomputed. Some rows keep the state too, so that not all
// of them have to be.
type Journal interface {
	// AppendIntervals adds rows, durably, in one transaction, and gives an error, or nil, for each
	// of them. A row that the journal cannot take does not keep the others out: what Check says of
	// it, or ErrConflict if (Trial, Attempt, Seq) exists. But a row whose Revision is lower than
	// the new one's is replaced: it was recorded while somebody else changed the trial, and no
	// later state builds on it. The same holds for Draft.Interval. If the transaction fails, every
	// other row has its error; after CodeUnavailable they may be stored or not. At most MaxRead
	// rows, else CodeTooLarge for all.
	AppendIntervals(ctx context.Context, rows []IntervalRow) []error
	// Intervals gives a trial's rows with Seq > after, in order, at most limit (brought into 1
	// to 10 000).
	Intervals(ctx context.Context, trial string, attempt int, after int, limit int) ([]IntervalRow, error)
	// Tail gives what is needed to recompute the newest state that builds on a revision of the
	// trial: the rows of that revision with Seq > after, in order, from the newest one on that
	// keeps a state; all of them if none does. At most MaxRead; the tail of a trial that is
	// longer has to be asked for piece by piece.
	Tail(ctx context.Context, trial string, attempt int, revision int64, after int) ([]IntervalRow, error)
}

// IntervalRow is one closed interval as stored.
type IntervalRow struct {
	Trial   string `json:"trial"`
	Attempt int    `json:"attempt"`
	Seq     int    `json:"seq"`
	// Revision is that of the trial entity that the interval was weighed on. The row counts for
	// the state only while the trial is still at it.
	Revision int64           `json:"revision"`
	Interval json.RawMessage `json:"interval"`        // outcome.Interval
	State    json.RawMessage `json:"state,omitempty"` // trial.State after it; most rows have none

	encoded bool // both come from the encoder, so they need not be read to know that they are JSON
}

// MaxRead bounds what one Read or Intervals returns.
const MaxRead = 10_000

// Check tells whether a store may keep the row.
func (r *IntervalRow) Check() error {
	switch {
	case r.Trial == "" || len(r.Trial) > MaxEntityKey || r.Attempt < 1 || r.Seq < 1 || r.Revision < 1:
		return &Error{Code: CodeInvalid, Message: "interval: trial, attempt, seq and revision are required, counted from 1"}
	case len(r.Interval)+len(r.State) > MaxIntervalRow:
		return &Error{Code: CodeTooLarge, Message: "interval of trial " + r.Trial + ": more than 1 MiB"}
	case !r.encoded && (!json.Valid(r.Interval) || len(r.State) > 0 && !json.Valid(r.State)):
		return &Error{Code: CodeInvalid, Message: "interval of trial " + r.Trial + ": interval and state must be JSON"}
	}
	return nil
}

// CheckRows gives what Check says of each row, and whether any of them may be kept. It is for
// stores.
func CheckRows(rows []IntervalRow) (errs []error, some bool) {
	errs = make([]error, len(rows))
	for i := range rows {
		if len(rows) > MaxRead {
			errs[i] = &Error{Code: CodeTooLarge, Message: fmt.Sprintf("%d intervals at once, at most %d are allowed: split them", len(rows), MaxRead)}
		} else {
			errs[i] = rows[i].Check()
		}
		some = some || errs[i] == nil
	}
	return errs, some
}
