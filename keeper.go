package seatrial

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

const (
	generations   = 3           // files kept: path, path.1, path.2
	keepGap       = time.Second // between two writes, however fast changes come
	keptFormat    = 1
	maxKept       = maxSnapshot + 1<<10 // bytes of a file
	keptMode      = 0o600
	othersCanRead = 0o077 // permissions that the file must not have
)

// kept is the content of a last-known-good file.
type kept struct {
	Format int             `json:"format"`
	SHA256 string          `json:"sha256"` // hex, of the bytes of Set
	Set    json.RawMessage `json:"set"`
}

// keeper writes the newest snapshot to a file. Writers hand over and go on: a slow disk delays
// nobody, and of changes in quick succession only the last is written.
type keeper struct {
	path   string
	logger *slog.Logger
	kept   func(*flag.Set) // is told what was written; may be nil

	mu      sync.Mutex
	next    *snapshot // to be written; nil: nothing to do
	written mark
	wake    chan struct{} // holds a token when there is something to do
	ending  chan struct{}
	ended   sync.Once
}

// newKeeper makes a keeper of a file that holds the state written, if any.
func newKeeper(path string, written mark, logger *slog.Logger) *keeper {
	return &keeper{path: path, logger: logger, written: written, wake: make(chan struct{}, 1), ending: make(chan struct{})}
}

// keep hands a snapshot over to be written.
func (k *keeper) keep(s *snapshot) {
	k.mu.Lock()
	k.next = s
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// close lets run write what was handed over, and end.
func (k *keeper) close() { k.ended.Do(func() { close(k.ending) }) }

// run writes until close. An error is logged, and the next change tries again.
func (k *keeper) run() {
	for last := false; !last; {
		select {
		case <-k.wake:
		case <-k.ending:
			last = true
		}
		k.write()
		if !last {
			k.rest()
		}
	}
}

// rest bounds how often the disk is written to.
func (k *keeper) rest() {
	t := time.NewTimer(keepGap)
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.ending:
	}
}

func (k *keeper) write() {
	k.mu.Lock()
	next := k.next
	k.next = nil
	if next != nil && markOf(&next.set).same(k.written) {
		next = nil
	}
	k.mu.Unlock()
	if next == nil {
		return
	}
	if err := saveSnapshot(k.path, &next.set); err != nil {
		k.logger.Warn("seatrial: the last known good snapshot could not be kept", "file", k.path, "error", err)
		return
	}
	k.mu.Lock()
	k.written = markOf(&next.set)
	k.mu.Unlock()
	if k.kept != nil {
		k.kept(&next.set)
	}
}

// generation gives the path of the i-th newest file, from 0.
func generation(path string, i int) string {
	if i == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, i)
}

// saveSnapshot replaces the file, and makes the older ones move up by one generation. At every
// moment, also if the machine stops, at least one generation is whole: the new file is complete
// and on disk before any other is touched.
func saveSnapshot(path string, set *flag.Set) error {
	data, err := json.Marshal(set)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	data, err = json.Marshal(kept{Format: keptFormat, SHA256: hex.EncodeToString(sum[:]), Set: data})
	if err != nil {
		return err
	}
	temporary, err := writeTemporary(path, data)
	if err != nil {
		return err
	}
	for i := generations - 1; i > 0; i-- {
		if err := os.Rename(generation(path, i-1), generation(path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(temporary)
			return err
		}
	}
	if err := os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeTemporary writes a new file beside path, which only the user may read.
func writeTemporary(path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(keptMode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
	}
	return f.Name(), err
}

// syncDir makes renames survive a stop of the machine, where the system can do that.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// loadSnapshot gives the newest generation that is whole and that usable accepts, nil if there is
// none. The error tells what is wrong with those passed over, also where an older one is given;
// it is nil if there are no files at all.
func loadSnapshot(path string, usable func(flag.Set) error) (*flag.Set, error) {
	var problems []error
	for i := range generations {
		set, err := readSnapshot(generation(path, i))
		if err == nil {
			err = usable(*set)
		}
		if err == nil {
			return set, errors.Join(problems...)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("%s: %w", generation(path, i), err))
		}
	}
	return nil, errors.Join(problems...)
}

func readSnapshot(path string) (*flag.Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file: remove it")
	case info.Mode().Perm()&othersCanRead != 0 && runtime.GOOS != "windows":
		return nil, fmt.Errorf("its mode %#o lets others read or change it: chmod 600", info.Mode().Perm())
	case info.Size() > maxKept:
		return nil, fmt.Errorf("it is larger than %d bytes: remove it", maxKept)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKept))
	if err != nil {
		return nil, err
	}
	return decodeKept(data)
}

func decodeKept(data []byte) (*flag.Set, error) {
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("it is torn or not a snapshot: %w", err)
	}
	if k.Format != keptFormat {
		return nil, fmt.Errorf("it has format %d: this client reads %d", k.Format, keptFormat)
	}
	if sum := sha256.Sum256(k.Set); hex.EncodeToString(sum[:]) != k.SHA256 {
		return nil, errors.New("its checksum does not match: it is torn or was changed")
	}
	set := &flag.Set{}
	if err := json.Unmarshal(k.Set, set); err != nil {
		return nil, err
	}
	return set, nil
}
