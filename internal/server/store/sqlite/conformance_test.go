package sqlite_test

import (
	"sync"
	"testing"

	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformanceOfFiles(t *testing.T) {
	var dirs sync.Map // directory of each store
	storetest.Run(t, storetest.Backend{
		Open: func(t *testing.T) storetest.Store {
			dir := t.TempDir()
			s := open(t, dir)
			dirs.Store(s, dir)
			return s
		},
		Reopen: func(t *testing.T, closed storetest.Store) storetest.Store {
			dir, _ := dirs.Load(closed)
			return open(t, dir.(string))
		},
	})
}

func TestConformanceInMemory(t *testing.T) {
	storetest.Run(t, storetest.Backend{
		Open: func(t *testing.T) storetest.Store { return open(t, sqlite.Memory) },
	})
}
