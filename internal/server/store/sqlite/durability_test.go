package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

const (
	dbFile      = "seatrial.db"
	walFile     = "seatrial.db-wal"
	witnessFile = "seatrial.head"
)

// crashed is what a killed process leaves in its directory: what was written last is only in the
// write-ahead log.
type crashed struct {
	files   map[string][]byte
	changes []control.Change
}

var remembered = map[int]crashed{} // by number of changes; tests that use it do not run in parallel

// filled makes a directory with n changes and one interval, as a killed process leaves it.
func filled(t *testing.T, n int) (dir string, changes []control.Change) {
	t.Helper()
	left, ok := remembered[n]
	if !ok {
		left = crashed{files: map[string][]byte{}}
		dir := t.TempDir()
		s := open(t, dir)
		defer s.Close()
		left.changes = storetest.Fill(t, s, n)
		row := control.IntervalRow{Trial: "t", Attempt: 1, Seq: 1, Revision: 1, Interval: []byte(`{}`), State: []byte(`{}`)}
		if err := errors.Join(s.AppendIntervals(t.Context(), []control.IntervalRow{row})...); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{dbFile, walFile, witnessFile} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			left.files[name] = data
		}
		remembered[n] = left
	}
	dir = t.TempDir()
	for name, data := range left.files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, left.changes
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	for _, name := range []string{dbFile, walFile, witnessFile} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// edit changes the bytes of a file.
func edit(t *testing.T, dir, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(data), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sqlEdit changes the database behind the store's back.
func sqlEdit(t *testing.T, dir, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, dbFile))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, dir string)
		want error
		says string
	}{
		{"nothing", func(*testing.T, string) {}, nil, ""},
		{"the write-ahead log is gone", func(t *testing.T, dir string) { remove(t, dir, walFile) }, sqlite.ErrLostChanges, ""},
		{"the write-ahead log is torn", func(t *testing.T, dir string) {
			edit(t, dir, walFile, func(b []byte) []byte { return b[:len(b)/2] })
		}, sqlite.ErrLostChanges, "were acknowledged, but the database ends at"},
		{"the end of the write-ahead log is zero", func(t *testing.T, dir string) {
			edit(t, dir, walFile, func(b []byte) []byte { clear(b[len(b)-9000:]); return b })
		}, sqlite.ErrLostChanges, "acknowledged"},
		{"a bit of the write-ahead log is flipped", func(t *testing.T, dir string) {
			edit(t, dir, walFile, func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		}, sqlite.ErrLostChanges, "acknowledged"},
		{"the database is gone", func(t *testing.T, dir string) { remove(t, dir, dbFile, walFile) }, sqlite.ErrLostChanges, "missing or empty"},
		{"the database is empty", func(t *testing.T, dir string) {
			remove(t, dir, walFile)
			edit(t, dir, dbFile, func([]byte) []byte { return nil })
		}, sqlite.ErrLostChanges, "missing or empty"},
		{"the database is no database", func(t *testing.T, dir string) {
			remove(t, dir, walFile)
			edit(t, dir, dbFile, func(b []byte) []byte { return bytes.Repeat([]byte("no"), 5000) })
		}, sqlite.ErrDamaged, ""},
		{"the witness is gone", func(t *testing.T, dir string) { remove(t, dir, witnessFile) }, sqlite.ErrLostChanges, "the head witness seatrial.head is missing"},
		{"the witness is unreadable", func(t *testing.T, dir string) {
			edit(t, dir, witnessFile, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("revision"), []byte("revisiom")) })
		}, sqlite.ErrLostChanges, "unreadable"},
		{"the newest slot of the witness is torn", func(t *testing.T, dir string) { tearNewestSlot(t, dir) }, nil, ""},
		{"a change has another reason", func(t *testing.T, dir string) {
			sqlEdit(t, dir, `UPDATE changes SET body = replace(body, 'change 5', 'change 9') WHERE revision = 5`)
		}, sqlite.ErrDamaged, "revision 6 does not follow revision 5"},
		{"the last change has another reason", func(t *testing.T, dir string) {
			sqlEdit(t, dir, `UPDATE changes SET body = replace(body, 'change 20', 'change 29') WHERE revision = 20`)
		}, sqlite.ErrDamaged, "the head says"},
		{"a change is missing", func(t *testing.T, dir string) { sqlEdit(t, dir, `DELETE FROM changes WHERE revision = 7`) }, sqlite.ErrDamaged, "revision 8 does not follow revision 6"},
		{"the last change is missing", func(t *testing.T, dir string) { sqlEdit(t, dir, `DELETE FROM changes WHERE revision = 20`) }, sqlite.ErrDamaged, ""},
		{"a change is no change", func(t *testing.T, dir string) { sqlEdit(t, dir, `UPDATE changes SET body = x'00' WHERE revision = 3`) }, sqlite.ErrDamaged, "revision 3"},
		{"the head is gone", func(t *testing.T, dir string) { sqlEdit(t, dir, `DELETE FROM head`) }, sqlite.ErrDamaged, ""},
		{"the head was moved back with its changes", func(t *testing.T, dir string) { moveBack(t, dir, 15) }, sqlite.ErrLostChanges, "revisions 16 to 20 were acknowledged, but the database ends at 15"},
		{"an interval is missing", func(t *testing.T, dir string) { sqlEdit(t, dir, `DELETE FROM intervals`) }, sqlite.ErrDamaged, "interval"},
		{"an interval is missing, and not counted", func(t *testing.T, dir string) {
			sqlEdit(t, dir, `DELETE FROM intervals`)
			sqlEdit(t, dir, `UPDATE head SET journal = 0`)
		}, sqlite.ErrLostChanges, "1 of 1 journalled intervals are missing"},
		{"a newer version has written it", func(t *testing.T, dir string) {
			sqlEdit(t, dir, `INSERT INTO migrations VALUES (99, '2030-01-01T00:00:00Z')`)
		}, sqlite.ErrNewer, "update seatrial"},
		{"a table is missing", func(t *testing.T, dir string) { sqlEdit(t, dir, `DROP TABLE histories`) }, sqlite.ErrDamaged, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, changes := filled(t, 20)
			c.harm(t, dir)
			s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
			// The directory has the name of the test in it.
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), c.says) {
				t.Fatalf("got %v, want %v with %q", err, c.want, c.says)
			}
			if err != nil {
				if !strings.Contains(err.Error(), dir) {
					t.Errorf("the error does not name the directory: %v", err)
				}
				return
			}
			defer s.Close()
			if got := storetest.CheckChain(t, s); len(got) != len(changes) {
				t.Errorf("%d changes, want %d", len(got), len(changes))
			}
		})
	}
}

// tearNewestSlot leaves of the newer slot what a write leaves that was cut short.
func tearNewestSlot(t *testing.T, dir string) {
	t.Helper()
	edit(t, dir, witnessFile, func(b []byte) []byte {
		newest := bytes.LastIndex(b, []byte(`"revision":20`))
		if newest < 0 {
			t.Fatal("the witness does not know revision 20")
		}
		clear(b[newest/4096*4096+40 : newest/4096*4096+512])
		return b
	})
}

// moveBack cuts the log consistently, as a restored backup does, but leaves the witness.
func moveBack(t *testing.T, dir string, revision int64) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, dbFile))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var body []byte
	if err := db.QueryRow(`SELECT body FROM changes WHERE revision = ?`, revision).Scan(&body); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		fmt.Sprintf(`DELETE FROM changes WHERE revision > %d`, revision),
		fmt.Sprintf(`UPDATE head SET revision = %d, hash = '%s'`, revision, control.HashOf(body)),
	} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

// An accepted loss starts a new history: every client notices and reads everything again.
func TestAcceptedLossStartsANewHistory(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, dir string)
		left int
	}{
		{"moved back", func(t *testing.T, dir string) { moveBack(t, dir, 15) }, 15},
		{"witness gone", func(t *testing.T, dir string) { remove(t, dir, witnessFile) }, 20},
		{"everything gone but the witness", func(t *testing.T, dir string) { remove(t, dir, dbFile, walFile) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := filled(t, 20)
			copied := t.TempDir()
			copyDir(t, dir, copied)
			before := headOf(t, copied)
			c.harm(t, dir)
			if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{}); !errors.Is(err, sqlite.ErrLostChanges) {
				t.Fatalf("got %v", err)
			}
			var told bytes.Buffer
			s, err := sqlite.Open(t.Context(), dir, sqlite.Options{AcceptLoss: true, Logger: slog.New(slog.NewTextHandler(&told, nil))})
			if err != nil {
				t.Fatal(err)
			}
			head, _ := s.Head(t.Context())
			if head.History == before.History || head.Epoch <= before.Epoch && c.left > 0 || head.Revision != int64(c.left) {
				t.Errorf("head %+v after %+v", head, before)
			}
			if !strings.Contains(told.String(), "accepting the loss") {
				t.Errorf("the log says %q", told.String())
			}
			storetest.Fill(t, s, 3)
			want, _ := s.Head(t.Context())
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := headOf(t, dir); got != want || got.Revision != int64(c.left)+3 {
				t.Errorf("reopened at %+v, want %+v", got, want)
			}
		})
	}
}

// A damaged chain is not a loss that can be accepted.
func TestDamageIsNotAccepted(t *testing.T) {
	dir, _ := filled(t, 5)
	sqlEdit(t, dir, `UPDATE changes SET body = replace(body, 'change 2', 'change 9') WHERE revision = 2`)
	if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{AcceptLoss: true}); !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func headOf(t *testing.T, dir string) control.Head {
	t.Helper()
	s := open(t, dir)
	defer s.Close()
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// A backup of the database with the witness of then is a complete, older state: nothing in the
// directory can tell. With today's witness it is a loss.
func TestRestoredBackup(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	storetest.Fill(t, s, 5)
	s.Close()
	backup := t.TempDir()
	copyDir(t, dir, backup)
	s = open(t, dir)
	storetest.Fill(t, s, 5)
	s.Close()
	remove(t, backup, witnessFile)
	copyDir(t, backup, dir)
	if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{}); !errors.Is(err, sqlite.ErrLostChanges) {
		t.Errorf("got %v", err)
	}
}

// Two copies of one log that went on apart are told from each other, although history, revision and
// chain are in order.
func TestForkedDatabase(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	storetest.Fill(t, s, 5)
	s.Close()
	fork := t.TempDir()
	copyDir(t, dir, fork)
	s = open(t, dir)
	storetest.Fill(t, s, 2)
	s.Close()
	s = open(t, fork)
	d := control.Draft{Actor: "ben", Time: day0, Ops: []control.Op{{Kind: control.KindFlag, Key: "f", Value: []byte("1")}}}
	if _, err := s.Append(t.Context(), 5, d); err != nil {
		t.Fatal(err)
	}
	storetest.Fill(t, s, 3)
	s.Close()
	remove(t, fork, witnessFile)
	copyDir(t, fork, dir)
	_, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if !errors.Is(err, sqlite.ErrLostChanges) || !strings.Contains(err.Error(), "revision 7 is another change") {
		t.Errorf("got %v", err)
	}
}

// The database of another log is not taken for this one, whatever its revision.
func TestReplacedDatabase(t *testing.T) {
	mine, _ := filled(t, 5)
	other, _ := filled(t, 9)
	remove(t, mine, dbFile, walFile)
	remove(t, other, witnessFile)
	copyDir(t, other, mine)
	_, err := sqlite.Open(t.Context(), mine, sqlite.Options{})
	if !errors.Is(err, sqlite.ErrLostChanges) || !strings.Contains(err.Error(), "another history") {
		t.Errorf("got %v", err)
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	_, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if !errors.Is(err, sqlite.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("got %v", err)
	}
	storetest.Fill(t, first, 1) // the attempt has harmed nothing
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir)
	storetest.CheckChain(t, second)
	second.Close()
}

func TestOpenMakesAPrivateDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	open(t, dir).Close()
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	for _, name := range []string{dbFile, witnessFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 && name == witnessFile {
			t.Errorf("%s: mode %v, error %v", name, info.Mode(), err)
		}
	}
}

func TestOpenNeedsADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), file, sqlite.Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

// Waiting for the writer's turn ends with the caller's context; a write that has begun does not.
func TestAppendWithCancelledContext(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := 0
	for range 50 { // select chooses at random between the turn and the context
		head, _ := s.Head(t.Context())
		d := control.Draft{Actor: "ana", Time: day0, Ops: []control.Op{{Kind: control.KindFlag, Key: "f", Value: []byte("1")}}}
		_, err := s.Append(ctx, head.Revision, d)
		after, _ := s.Head(t.Context())
		if (err == nil) != (after.Revision == head.Revision+1) {
			t.Fatalf("revision %d became %d, error %v", head.Revision, after.Revision, err)
		}
		if err == nil {
			done++
		} else if control.CodeOf(err) != control.CodeUnavailable || !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if done == 50 {
		t.Error("no append was cancelled while it waited")
	}
	storetest.CheckChain(t, s)
}

// Random damage to the write-ahead log or the database is seen, or has touched nothing that was
// stored: an older or other state is never served as the newest.
func TestRandomDamageIsNeverSilent(t *testing.T) {
	dir, changes := filled(t, 20)
	closed := t.TempDir() // the same, checkpointed into the database file
	copyDir(t, dir, closed)
	headOf(t, closed)
	r := rand.New(rand.NewPCG(1, 2))
	silent, seen := 0, 0
	for i := range 60 {
		victim, file := t.TempDir(), walFile
		from := dir
		if i%2 == 1 {
			from, file = closed, dbFile
		}
		copyDir(t, from, victim)
		edit(t, victim, file, func(b []byte) []byte { return damage(r, b) })
		s, err := sqlite.Open(t.Context(), victim, sqlite.Options{})
		if err != nil {
			if !errors.Is(err, sqlite.ErrDamaged) && !errors.Is(err, sqlite.ErrLostChanges) {
				t.Errorf("damage %d: not told as damage or loss: %v", i, err)
			}
			seen++
			continue
		}
		silent++
		got := storetest.CheckChain(t, s)
		if len(got) != len(changes) || got[len(got)-1].Hash != changes[len(changes)-1].Hash {
			t.Errorf("damage %d: opened at revision %d without a word, %d were acknowledged", i, len(got), len(changes))
		}
		s.Close()
	}
	t.Logf("%d of 60 were refused, %d touched nothing that counts", seen, silent)
	if seen < 30 {
		t.Errorf("only %d of 60 damages were seen: do they still damage anything?", seen)
	}
}

func damage(r *rand.Rand, b []byte) []byte {
	switch r.IntN(3) {
	case 0:
		return b[:r.IntN(len(b))]
	case 1:
		clear(b[r.IntN(len(b)):])
	default:
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return b
}
