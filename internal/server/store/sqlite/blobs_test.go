package sqlite_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

func openBlobs(t *testing.T, dir string) lists.Blobs {
	s := open(t, dir)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestBlobsInFiles(t *testing.T) {
	var dirs sync.Map // directory of each store
	storetest.RunBlobs(t, storetest.BlobBackend{
		Open: func(t *testing.T) lists.Blobs {
			dir := t.TempDir()
			s := openBlobs(t, dir)
			dirs.Store(s, dir)
			return s
		},
		Reopen: func(t *testing.T, was lists.Blobs) lists.Blobs {
			if err := was.(*sqlite.Store).Close(); err != nil {
				t.Fatal(err)
			}
			dir, _ := dirs.Load(was)
			return openBlobs(t, dir.(string))
		},
	})
}

func TestBlobsInMemory(t *testing.T) {
	storetest.RunBlobs(t, storetest.BlobBackend{Open: func(t *testing.T) lists.Blobs { return openBlobs(t, sqlite.Memory) }})
}

func TestDamagedBlobIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // of "a"
	if err := s.PutBlob(t.Context(), digest, []byte("a"), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "seatrial.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE blobs SET data = 'b'`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if data, err := s.Blob(t.Context(), digest); !errors.Is(err, sqlite.ErrDamaged) || control.CodeOf(err) != control.CodeUnavailable {
		t.Errorf("%q, error %v", data, err)
	}
}
