package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// CursorBackend makes the stores of cursors for the tests.
type CursorBackend struct {
	// Open gives a new, empty store, closed by the test's cleanup.
	Open func(t *testing.T) control.Cursors
	// Reopen gives a store with what the other one held, which it closes. Nil if it dies with its
	// process.
	Reopen func(t *testing.T, open control.Cursors) control.Cursors
}

// RunCursors runs the suite for cursors.
func RunCursors(t *testing.T, b CursorBackend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, CursorBackend)
	}{
		{"a cursor moves", testCursorMoves},
		{"what cannot be kept", testCursorLimits},
		{"one of many moves it", testConcurrentCursors},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
	if b.Reopen != nil {
		t.Run("reopening", func(t *testing.T) {
			s := b.Open(t)
			want := cursor("a", 1)
			moveCursor(t, s, want)
			wantCursor(t, b.Reopen(t, s), want)
		})
	}
}

func cursor(id string, version int64) control.Cursor {
	return control.Cursor{ID: id, Version: version, Revision: version * 10, Index: int(version), Owner: "me",
		Until: day0.Truncate(time.Millisecond), Status: json.RawMessage(fmt.Sprintf(`{"n":%d}`, version))}
}

func moveCursor(t *testing.T, s control.Cursors, c control.Cursor) {
	t.Helper()
	if err := s.MoveCursor(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func wantCursor(t *testing.T, s control.Cursors, want control.Cursor) {
	t.Helper()
	got, err := s.Cursor(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "cursor", got, want)
}

func testCursorMoves(t *testing.T, b CursorBackend) {
	s := b.Open(t)
	_, err := s.Cursor(t.Context(), "a")
	wantErr(t, "reading one that is not there", err, control.ErrNotFound)
	wantErr(t, "moving one that is not there", s.MoveCursor(t.Context(), cursor("a", 2)), control.ErrConflict)
	moveCursor(t, s, cursor("a", 1))
	wantCursor(t, s, cursor("a", 1))
	wantErr(t, "making it twice", s.MoveCursor(t.Context(), cursor("a", 1)), control.ErrConflict)
	bare := control.Cursor{ID: "a", Version: 2}
	moveCursor(t, s, bare)
	wantCursor(t, s, bare)
	for _, version := range []int64{1, 2, 4} {
		wantErr(t, fmt.Sprintf("moving from 2 to %d", version), s.MoveCursor(t.Context(), cursor("a", version)), control.ErrConflict)
	}
	moveCursor(t, s, cursor("b", 1))
	wantCursor(t, s, bare)
	for range 2 {
		if err := s.DropCursor(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.Cursor(t.Context(), "a")
	wantErr(t, "reading one that was dropped", err, control.ErrNotFound)
	wantCursor(t, s, cursor("b", 1))
	moveCursor(t, s, cursor("a", 1))
}

func testCursorLimits(t *testing.T, b CursorBackend) {
	s := b.Open(t)
	for _, test := range []struct {
		name   string
		change func(*control.Cursor)
		code   control.Code
	}{
		{"no id", func(c *control.Cursor) { c.ID = "" }, control.CodeInvalid},
		{"no version", func(c *control.Cursor) { c.Version = 0 }, control.CodeInvalid},
		{"a negative revision", func(c *control.Cursor) { c.Revision = -1 }, control.CodeInvalid},
		{"a long status", func(c *control.Cursor) {
			c.Status = json.RawMessage(`"` + strings.Repeat("x", control.MaxCursorStatus) + `"`)
		}, control.CodeTooLarge},
		{"a status that is no JSON", func(c *control.Cursor) { c.Status = json.RawMessage("{") }, control.CodeInvalid},
	} {
		c := cursor("a", 1)
		test.change(&c)
		wantCode(t, test.name, s.MoveCursor(t.Context(), c), test.code)
	}
}

// Many move one cursor; each version is made by one of them.
func testConcurrentCursors(t *testing.T, b CursorBackend) {
	s := b.Open(t)
	var moved atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for version := int64(1); version <= 10; version++ {
				switch err := s.MoveCursor(t.Context(), cursor("a", version)); {
				case err == nil:
					moved.Add(1)
				case !errors.Is(err, control.ErrConflict):
					t.Errorf("version %d: %v", version, err)
				}
			}
		})
	}
	all.Wait()
	if moved.Load() != 10 {
		t.Errorf("%d moves were made, want 10", moved.Load())
	}
	wantCursor(t, s, cursor("a", 10))
}

// MemoryCursors keeps cursors in a map, as simple as the contract allows. The zero value is empty
// and ready. Safe for concurrent use.
type MemoryCursors struct {
	mu  sync.Mutex
	all map[string]control.Cursor
	// Moving, if not nil, is asked before each move; its error is that of the move, which has then
	// not happened. It stands for disks that fail and for processes that die.
	Moving func(control.Cursor) error
}

var _ control.Cursors = (*MemoryCursors)(nil)

// Cursor implements [control.Cursors].
func (m *MemoryCursors) Cursor(_ context.Context, id string) (control.Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.all[id]
	if !ok {
		return c, control.ErrNotFound
	}
	return c, nil
}

// MoveCursor implements [control.Cursors].
func (m *MemoryCursors) MoveCursor(_ context.Context, c control.Cursor) error {
	if err := c.Check(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Moving != nil {
		if err := m.Moving(c); err != nil {
			return err
		}
	}
	if m.all[c.ID].Version != c.Version-1 {
		return control.ErrConflict
	}
	if m.all == nil {
		m.all = map[string]control.Cursor{}
	}
	c.Status = slices.Clone(c.Status)
	if !c.Until.IsZero() {
		c.Until = c.Until.UTC().Truncate(time.Millisecond)
	}
	m.all[c.ID] = c
	return nil
}

// DropCursor implements [control.Cursors].
func (m *MemoryCursors) DropCursor(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, id)
	return nil
}
