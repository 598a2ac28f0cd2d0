package lists_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

// counted counts how often parts are read.
type counted struct {
	lists.Blobs
	reads atomic.Int32
}

func (c *counted) Blob(ctx context.Context, digest string) ([]byte, error) {
	c.reads.Add(1)
	return c.Blobs.Blob(ctx, digest)
}

// All who send a part at the same time share it; it is gone when nobody does.
func TestPartsAreSharedWhileTheyAreSent(t *testing.T) {
	r := newRig(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 100), by))
	digest := r.list(t).Parts[0].Digest
	blobs := &counted{Blobs: r.blobs}
	service := lists.New(lists.Config{Segments: r.service, Loader: lists.NewLoader(lists.LoaderConfig{Blobs: blobs})})
	for round := range int32(2) {
		var together, all sync.WaitGroup
		together.Add(8)
		for range 8 {
			all.Go(func() {
				err := service.Part(t.Context(), digest, func(data []byte) error {
					together.Done()
					together.Wait()
					if len(data) != 16+100*8 {
						t.Errorf("%d bytes", len(data))
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := blobs.reads.Load(); n != round+1 {
			t.Errorf("round %d: read %d times", round, n)
		}
	}
	err := service.Part(t.Context(), "none", func([]byte) error { t.Error("sent"); return nil })
	wantCode(t, "no part", err, control.CodeNotFound)
}
