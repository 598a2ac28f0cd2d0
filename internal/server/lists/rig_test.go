package lists_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// by is who changes lists in the tests.
var by = control.WriteOptions{Actor: "ana"}

// rig is a control plane in memory with one segment, "beta".
type rig struct {
	log     *storetest.Memory
	service *control.Service
	blobs   *storetest.MemoryBlobs
	loader  *lists.Loader
	lists   *lists.Service
	now     time.Time
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newRig(t fataler) *rig {
	t.Helper()
	r := &rig{log: storetest.NewMemory(), blobs: storetest.NewMemoryBlobs(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	service, err := control.New(context.Background(), control.Config{Log: r.log, Journal: r.log})
	if err != nil {
		t.Fatal(err)
	}
	r.service = service
	r.restart()
	r.segment(t, flag.Segment{Key: "beta"})
	return r
}

// restart forgets what is in memory.
func (r *rig) restart() {
	r.loader = lists.NewLoader(lists.LoaderConfig{Blobs: r.blobs})
	r.lists = lists.New(lists.Config{Segments: r.service, Loader: r.loader, Now: r.clock})
}

func (r *rig) segment(t fataler, g flag.Segment) {
	t.Helper()
	if _, err := r.service.PutSegment(context.Background(), g, by); err != nil {
		t.Fatal(err)
	}
}

// list gives the list of beta.
func (r *rig) list(t fataler) *flag.List {
	t.Helper()
	entry, err := r.service.GetSegment("beta")
	if err != nil {
		t.Fatal(err)
	}
	return entry.List
}

func (r *rig) clock() time.Time { return r.now }

func (r *rig) has(t fataler, targetingKey string) bool {
	t.Helper()
	member, err := r.lists.Contains(context.Background(), "beta", targetingKey)
	if err != nil {
		t.Fatal(err)
	}
	return member
}

func (r *rig) parts(t fataler) int {
	t.Helper()
	all, err := r.blobs.OldBlobs(context.Background(), r.now.Add(1000*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// users gives lines "user-from" to "user-(to-1)".
func users(from, to int) *strings.Reader {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "user-%d\n", i)
	}
	return strings.NewReader(b.String())
}

func zipped(text string) *bytes.Buffer {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // memory does not fail
	_ = z.Close()
	return &b
}

func must(t *testing.T) func(lists.Change, error) lists.Change {
	return func(c lists.Change, err error) lists.Change {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func wantCode(t *testing.T, doing string, err error, want control.Code) {
	t.Helper()
	if err == nil || control.CodeOf(err) != want {
		t.Errorf("%s: error %v (%s), want code %s", doing, err, control.CodeOf(err), want)
	}
}
