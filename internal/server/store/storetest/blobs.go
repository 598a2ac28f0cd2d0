package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

// BlobBackend makes the blob stores for the tests.
type BlobBackend struct {
	// Open gives a new, empty store, closed by the test's cleanup.
	Open func(t *testing.T) lists.Blobs
	// Reopen gives a store with what the other one held, which it closes. Nil if it dies with its
	// process.
	Reopen func(t *testing.T, open lists.Blobs) lists.Blobs
}

// RunBlobs runs the suite for blobs.
func RunBlobs(t *testing.T, b BlobBackend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, BlobBackend)
	}{
		{"what was put is there", testBlobs},
		{"what cannot be put", testBlobLimits},
		{"only what is old goes", testOldBlobs},
		{"concurrent writers of one blob", testConcurrentBlobs},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
	if b.Reopen != nil {
		t.Run("reopening", func(t *testing.T) { testReopenBlobs(t, b) })
	}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func putBlob(t *testing.T, s lists.Blobs, data string, at time.Time) (digest string) {
	t.Helper()
	digest = digestOf([]byte(data))
	if err := s.PutBlob(t.Context(), digest, []byte(data), at); err != nil {
		t.Fatal(err)
	}
	return digest
}

func testBlobs(t *testing.T, b BlobBackend) {
	s := b.Open(t)
	none := digestOf([]byte("none"))
	_, err := s.Blob(t.Context(), none)
	wantErr(t, "a blob that is not there", err, control.ErrNotFound)

	data := []byte("the first part")
	first := digestOf(data)
	if err := s.PutBlob(t.Context(), first, data, day0); err != nil {
		t.Fatal(err)
	}
	data[0] = '?' // the caller's memory is its own
	second := putBlob(t, s, "\x00binary\xff", day0)
	large := putBlob(t, s, string(bytes.Repeat([]byte("large"), lists.MaxBlob/5)), day0)
	putBlob(t, s, "the first part", day0) // again
	for digest, want := range map[string]string{first: "the first part", second: "\x00binary\xff"} {
		got, err := s.Blob(t.Context(), digest)
		if err != nil || string(got) != want {
			t.Errorf("%q, error %v, want %q", got, err, want)
			continue
		}
		got[0] = '?'
		if again, err := s.Blob(t.Context(), digest); err != nil || string(again) != want {
			t.Errorf("after the caller wrote to it: %q, error %v", again, err)
		}
	}
	if got, err := s.Blob(t.Context(), large); err != nil || len(got) != lists.MaxBlob/5*5 {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	missing, err := s.MissingBlobs(t.Context(), []string{second, none, first})
	if err != nil || !slices.Equal(missing, []string{none}) {
		t.Errorf("missing: %q, error %v", missing, err)
	}
}

func testBlobLimits(t *testing.T, b BlobBackend) {
	s := b.Open(t)
	long := make([]byte, lists.MaxBlob+1)
	for _, c := range []struct {
		name, digest string
		data         []byte
		want         control.Code
	}{
		{"another digest", digestOf([]byte("b")), []byte("a"), control.CodeInvalid},
		{"no digest", "", []byte("a"), control.CodeInvalid},
		{"nothing", digestOf(nil), nil, control.CodeTooLarge},
		{"too large", digestOf(long), long, control.CodeTooLarge},
	} {
		wantCode(t, c.name, s.PutBlob(t.Context(), c.digest, c.data, day0), c.want)
		_, err := s.Blob(t.Context(), c.digest)
		wantErr(t, c.name, err, control.ErrNotFound)
	}
}

func testOldBlobs(t *testing.T, b BlobBackend) {
	s := b.Open(t)
	hour := func(n int) time.Time { return day0.Add(time.Duration(n) * time.Hour) }
	a, x, y := putBlob(t, s, "a", hour(1)), putBlob(t, s, "x", hour(2)), putBlob(t, s, "y", hour(3))
	want := []string{a, x}
	slices.Sort(want)
	old, err := s.OldBlobs(t.Context(), hour(3))
	if err != nil || !slices.Equal(old, want) {
		t.Errorf("old: %q, error %v, want %q", old, err, want)
	}
	putBlob(t, s, "x", hour(5)) // somebody needs it again
	putBlob(t, s, "y", hour(1)) // time does not go back
	if n, err := s.DeleteOldBlobs(t.Context(), []string{a, x, y, digestOf(nil)}, hour(3)); err != nil || n != 1 {
		t.Errorf("%d deleted, want 1, error %v", n, err)
	}
	missing, err := s.MissingBlobs(t.Context(), []string{a, x, y})
	if err != nil || !slices.Equal(missing, []string{a}) {
		t.Errorf("missing: %q, error %v", missing, err)
	}
	putBlob(t, s, "a", hour(6))
	if _, err := s.Blob(t.Context(), a); err != nil {
		t.Errorf("after it was put again: %v", err)
	}
}

func testConcurrentBlobs(t *testing.T, b BlobBackend) {
	s := b.Open(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 10 {
				data := fmt.Appendf(nil, "part %d", n)
				if err := s.PutBlob(t.Context(), digestOf(data), data, day0.Add(time.Duration(i)*time.Hour)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if old, err := s.OldBlobs(t.Context(), day0.Add(100*time.Hour)); err != nil || len(old) != 10 {
		t.Errorf("%d blobs, want 10, error %v", len(old), err)
	}
	if old, err := s.OldBlobs(t.Context(), day0.Add(7*time.Hour)); err != nil || len(old) != 0 {
		t.Errorf("%d blobs have the time of an earlier writer, error %v", len(old), err)
	}
}

func testReopenBlobs(t *testing.T, b BlobBackend) {
	s := b.Open(t)
	digest := putBlob(t, s, "kept", day0)
	s = b.Reopen(t, s)
	if got, err := s.Blob(t.Context(), digest); err != nil || string(got) != "kept" {
		t.Errorf("%q, error %v", got, err)
	}
}

// MemoryBlobs keeps blobs in a map, as simple as the contract allows. Safe for concurrent use.
type MemoryBlobs struct {
	mu     sync.Mutex
	blobs  map[string]memoryBlob
	refuse error
}

type memoryBlob struct {
	data string
	at   time.Time
}

var _ lists.Blobs = (*MemoryBlobs)(nil)

// NewMemoryBlobs gives an empty store.
func NewMemoryBlobs() *MemoryBlobs { return &MemoryBlobs{blobs: map[string]memoryBlob{}} }

// Refuse makes every call fail with err until it is called with nil.
func (m *MemoryBlobs) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// PutBlob implements [lists.Blobs].
func (m *MemoryBlobs) PutBlob(_ context.Context, digest string, data []byte, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.refuse != nil:
		return m.refuse
	case len(data) == 0 || len(data) > lists.MaxBlob:
		return &control.Error{Code: control.CodeTooLarge, Message: "the blob is empty or too large"}
	case digestOf(data) != digest:
		return &control.Error{Code: control.CodeInvalid, Message: "the blob has another digest"}
	}
	if have := m.blobs[digest]; have.at.After(at) {
		at = have.at
	}
	m.blobs[digest] = memoryBlob{string(data), at}
	return nil
}

// Blob implements [lists.Blobs].
func (m *MemoryBlobs) Blob(_ context.Context, digest string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return nil, m.refuse
	}
	b, ok := m.blobs[digest]
	if !ok {
		return nil, control.ErrNotFound
	}
	return []byte(b.data), nil
}

// MissingBlobs implements [lists.Blobs].
func (m *MemoryBlobs) MissingBlobs(_ context.Context, digests []string) (missing []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, digest := range digests {
		if _, ok := m.blobs[digest]; !ok {
			missing = append(missing, digest)
		}
	}
	return missing, m.refuse
}

// OldBlobs implements [lists.Blobs].
func (m *MemoryBlobs) OldBlobs(_ context.Context, before time.Time) (digests []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for digest, b := range m.blobs {
		if b.at.Before(before) {
			digests = append(digests, digest)
		}
	}
	slices.Sort(digests)
	return digests, m.refuse
}

// DeleteOldBlobs implements [lists.Blobs].
func (m *MemoryBlobs) DeleteOldBlobs(_ context.Context, digests []string, before time.Time) (deleted int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, digest := range digests {
		if b, ok := m.blobs[digest]; ok && b.at.Before(before) && m.refuse == nil {
			delete(m.blobs, digest)
			deleted++
		}
	}
	return deleted, m.refuse
}
