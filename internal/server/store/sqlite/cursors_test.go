package sqlite_test

import (
	"sync"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

func openCursors(t *testing.T, dir string) control.Cursors {
	s := open(t, dir)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestCursorsInFiles(t *testing.T) {
	var dirs sync.Map // directory of each store
	storetest.RunCursors(t, storetest.CursorBackend{
		Open: func(t *testing.T) control.Cursors {
			dir := t.TempDir()
			s := openCursors(t, dir)
			dirs.Store(s, dir)
			return s
		},
		Reopen: func(t *testing.T, was control.Cursors) control.Cursors {
			if err := was.(*sqlite.Store).Close(); err != nil {
				t.Fatal(err)
			}
			dir, _ := dirs.Load(was)
			return openCursors(t, dir.(string))
		},
	})
}

func TestCursorsInMemory(t *testing.T) {
	storetest.RunCursors(t, storetest.CursorBackend{Open: func(t *testing.T) control.Cursors { return openCursors(t, sqlite.Memory) }})
}
