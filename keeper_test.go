package seatrial

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// saveThree writes revisions 1, 2 and 3, so that all generations are there.
func saveThree(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "lkg.json")
	for revision := range int64(3) {
		set := valueAt(revision + 1)
		if err := saveSnapshot(path, &set); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGenerations(t *testing.T) {
	tests := map[string]struct {
		damage   func(t *testing.T, path string)
		revision int64  // that is used; 0: none
		problem  string // part of what is logged; empty: nothing
	}{
		"all is well": {func(*testing.T, string) {}, 3, ""},
		"none":        {func(t *testing.T, path string) { os.RemoveAll(filepath.Dir(path)) }, 0, ""},
		"torn": {func(t *testing.T, path string) {
			rewrite(t, path, func(b []byte) []byte { return b[:len(b)/2] })
		}, 2, "torn"},
		"empty": {func(t *testing.T, path string) {
			rewrite(t, path, func([]byte) []byte { return nil })
		}, 2, "torn"},
		"changed": {func(t *testing.T, path string) {
			rewrite(t, path, func(b []byte) []byte { return bytes.Replace(b, []byte(`"revision":3`), []byte(`"revision":4`), 1) })
		}, 2, "checksum"},
		"another format": {func(t *testing.T, path string) {
			rewrite(t, path, func(b []byte) []byte { return bytes.Replace(b, []byte(`"format":1`), []byte(`"format":2`), 1) })
		}, 2, "format 2"},
		"others may read": {func(t *testing.T, path string) { os.Chmod(path, 0o644) }, 2, "chmod 600"},
		"a directory":     {func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o700) }, 2, "not a regular file"},
		"gone":            {func(t *testing.T, path string) { os.Remove(path) }, 2, ""},
		"two torn": {func(t *testing.T, path string) {
			rewrite(t, path, func(b []byte) []byte { return b[:10] })
			rewrite(t, path+".1", func(b []byte) []byte { return b[:10] })
		}, 1, "lkg.json.1"},
		"all torn": {func(t *testing.T, path string) {
			for i := range generations {
				rewrite(t, generation(path, i), func(b []byte) []byte { return b[1:] })
			}
		}, 0, "lkg.json.2"},
		"cannot be compiled": {func(t *testing.T, path string) {
			set := valueAt(4)
			set.Flags[0].Type = "no type"
			if err := saveSnapshot(path, &set); err != nil {
				t.Fatal(err)
			}
		}, 3, "cannot be used"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && test.problem == "chmod 600" {
				t.Skip("files have no mode here")
			}
			path := saveThree(t)
			test.damage(t, path)
			set, err := loadSnapshot(path, func(s flag.Set) error { _, err := newSnapshot(s); return err })
			switch {
			case set == nil && test.revision != 0, set != nil && set.Revision != test.revision:
				t.Errorf("got %+v, want revision %d", set, test.revision)
			case (err != nil) != (test.problem != ""), err != nil && !strings.Contains(err.Error(), test.problem):
				t.Errorf("error %v, want %q in it", err, test.problem)
			}
		})
	}
}

func TestFileIsPrivateAndAlone(t *testing.T) {
	path := saveThree(t)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != generations {
		t.Errorf("%v, %v: want the three generations and nothing else", entries, err)
	}
	for i := range generations {
		info, err := os.Stat(generation(path, i))
		if err != nil || info.Mode().Perm() != keptMode && runtime.GOOS != "windows" {
			t.Errorf("%v, %v: want mode 0600", info.Mode(), err)
		}
	}
}

func TestClientKeepsAndUsesTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "lkg.json")
		p := newPlane(t, valueAt(1))
		c := p.open(WithFile(path))
		for revision := int64(2); revision <= 100; revision++ {
			p.publish(valueAt(revision))
		}
		if err := c.WaitRevision(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := contents(t, path)

		time.Sleep(time.Minute)
		p.fail(503)
		var log bytes.Buffer
		again := p.open(WithFile(path), WithWait(0), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		wantRevision(t, again, 100)
		if s := again.Status(); s.State != StateStale {
			t.Errorf("status %+v: nobody knows whether the file is current", s)
		}
		if err := again.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := contents(t, path); after != before {
			t.Errorf("the file was written again: %s, before %s", after, before)
		}
		if strings.Contains(log.String(), "not usable") {
			t.Errorf("log: %s", &log)
		}
	})
}

// contents gives that of all generations.
func contents(t *testing.T, path string) string {
	t.Helper()
	var all []string
	for i := range generations {
		if data, err := os.ReadFile(generation(path, i)); err == nil {
			all = append(all, string(data))
		}
	}
	if len(all) == 0 {
		t.Fatal("no file was kept")
	}
	data, _ := json.Marshal(all)
	return string(data)
}

// A disk that fails must not stand in the way of anything.
func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "gone")
		var log bytes.Buffer
		p := newPlane(t, valueAt(1))
		c := p.open(WithFile(filepath.Join(dir, "lkg.json")), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		time.Sleep(time.Second)
		wantRevision(t, c, 1)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		p.publish(valueAt(2))
		time.Sleep(5 * time.Second)
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), "could not be kept") {
			t.Errorf("log: %s", &log)
		}
		if set, err := loadSnapshot(filepath.Join(dir, "lkg.json"), func(flag.Set) error { return nil }); err != nil || set == nil || set.Revision != 2 {
			t.Errorf("the next change was not kept: %v, %v", set, err)
		}
	})
}

func FuzzDecodeKept(f *testing.F) {
	path := filepath.Join(f.TempDir(), "lkg.json")
	set := valueAt(1)
	if err := saveSnapshot(path, &set); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := decodeKept(data)
		if (set == nil) == (err == nil) {
			t.Fatalf("set %v, error %v", set, err)
		}
	})
}
