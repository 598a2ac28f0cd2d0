package storetest

import (
	"testing"

	"github.com/seatrial/seatrial/internal/server/lists"
)

func TestMemoryBlobs(t *testing.T) {
	RunBlobs(t, BlobBackend{Open: func(*testing.T) lists.Blobs { return NewMemoryBlobs() }})
}
