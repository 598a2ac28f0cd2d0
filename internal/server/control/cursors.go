package control

import (
	"context"
	"encoding/json"
	"time"
)

// Cursor is how far a webhook has been told of the log, with the lease of who tells it.
type Cursor struct {
	ID string // of the webhook, 1 to 256 bytes
	// Version counts the moves, from 1. It is the compare-and-set of [Cursors].
	Version int64
	// Revision and Index say what is done with: all events of the changes up to Revision, and the
	// first Index events of the change after it.
	Revision int64
	Index    int
	// Owner delivers until Until (to the millisecond); then, or if it is empty, anybody may.
	Owner string
	Until time.Time
	// Status is JSON for people, at most [MaxCursorStatus] bytes; nil: none.
	Status json.RawMessage
}

// MaxCursorStatus bounds Cursor.Status, in bytes.
const MaxCursorStatus = 8 << 10

// Cursors keeps how far webhooks are. Implementations are safe for concurrent use; storetest holds
// what every one of them must do.
type Cursors interface {
	// Cursor gives a webhook's cursor, or ErrNotFound.
	Cursor(ctx context.Context, id string) (Cursor, error)
	// MoveCursor stores c, durably, if the stored one has the version before c's (none: 0), else
	// ErrConflict: somebody else has moved it.
	MoveCursor(ctx context.Context, c Cursor) error
	// DropCursor forgets a webhook; one that is not there is no error.
	DropCursor(ctx context.Context, id string) error
}

// Check tells whether a store may keep the cursor.
func (c Cursor) Check() error {
	switch {
	case c.ID == "" || len(c.ID) > MaxEntityKey || c.Version < 1 || c.Revision < 0 || c.Index < 0 || len(c.Owner) > MaxEntityKey:
		return &Error{Code: CodeInvalid, Message: "cursor: id and version are required, revision and index count from 0"}
	case len(c.Status) > MaxCursorStatus:
		return &Error{Code: CodeTooLarge, Message: "cursor " + c.ID + ": the status has more than 8 KiB"}
	case len(c.Status) > 0 && !json.Valid(c.Status):
		return &Error{Code: CodeInvalid, Message: "cursor " + c.ID + ": the status must be JSON"}
	}
	return nil
}
