package lists

import (
	"context"
	"time"

	"github.com/seatrial/seatrial/internal/core/members"
)

// MaxBlob is the longest blob, in bytes: the longest part.
const MaxBlob = members.MaxPartBytes

// Blobs keeps parts of member lists by the hash of their content. Implementations are safe for
// concurrent use; storetest holds what every one of them must do. Errors are *control.Error;
// CodeUnavailable where the store fails.
type Blobs interface {
	// PutBlob keeps data, 1 to MaxBlob bytes, durably, as put at a time. The digest is the hex
	// SHA-256 of data, else CodeInvalid. Putting what is there only moves its time forward.
	PutBlob(ctx context.Context, digest string, data []byte, at time.Time) error
	// Blob gives the data of a digest, whose hash is checked again, in memory of the caller's
	// own; control.ErrNotFound if it is not there.
	Blob(ctx context.Context, digest string) ([]byte, error)
	// MissingBlobs gives which of the digests are not there, in the order given.
	MissingBlobs(ctx context.Context, digests []string) ([]string, error)
	// OldBlobs gives the digests of what was last put before a time, sorted.
	OldBlobs(ctx context.Context, before time.Time) ([]string, error)
	// DeleteOldBlobs removes those of the digests that were last put before a time, and gives how
	// many.
	DeleteOldBlobs(ctx context.Context, digests []string, before time.Time) (int, error)
}
