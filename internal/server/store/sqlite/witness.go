package sqlite

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seatrial/seatrial/internal/server/control"
)

// witness is a small file beside the database that remembers the newest acknowledged state. It
// has two slots that are written in turn, each with a checksum: a write that a crash tears
// leaves the other slot, which is one write older and still true ("at least this was
// acknowledged"). Writing in place costs one sync; replacing the file would cost two, one of
// them for the directory.
type witness struct {
	file    *os.File
	last    record
	damaged error // the file is there, but no slot can be read
}

// record is the content of a slot.
type record struct {
	Write    uint64 `json:"write"` // counts writes; the highest is the newest
	History  string `json:"history"`
	Epoch    int64  `json:"epoch"`
	Revision int64  `json:"revision"`
	Hash     string `json:"hash"`
	Journal  int64  `json:"journal"`
}

// slotSize keeps the slots in different pages and sectors.
const slotSize = 4096

func openWitness(path string) (*witness, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		if file, err = createWitness(path); err != nil {
			return nil, err
		}
		return &witness{file: file}, nil
	}
	if err != nil {
		return nil, err
	}
	w := &witness{file: file}
	var errs []error
	for i := range 2 {
		r, err := w.read(i)
		if err != nil {
			errs = append(errs, fmt.Errorf("slot %d: %w", i+1, err))
		} else if r.Write >= w.last.Write {
			w.last = r
		}
	}
	if len(errs) == 2 {
		w.damaged = errors.Join(errs...)
	}
	return w, nil
}

// createWitness makes a file of full size, so that later writes need no new space.
func createWitness(path string) (*os.File, error) {
	tmp := path + ".new"
	file, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	empty := slot(record{})
	_, err = file.Write(append(bytes.Clone(empty), empty...))
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// write remembers a state, durably.
func (w *witness) write(head control.Head, journal int64) error {
	r := record{Write: w.last.Write + 1, History: head.History, Epoch: head.Epoch,
		Revision: head.Revision, Hash: head.Hash, Journal: journal}
	if _, err := w.file.WriteAt(slot(r), int64(r.Write%2)*slotSize); err != nil {
		return err
	}
	if err := syncData(w.file); err != nil {
		return err
	}
	w.last = r
	return nil
}

func (w *witness) read(i int) (record, error) {
	b := make([]byte, slotSize)
	if _, err := w.file.ReadAt(b, int64(i)*slotSize); err != nil && err != io.EOF {
		return record{}, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	text, sum, ok := bytes.Cut(line, []byte(" "))
	want := sha256.Sum256(text)
	if !ok || string(sum) != hex.EncodeToString(want[:]) {
		return record{}, errors.New("the checksum does not fit")
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, err
	}
	return r, nil
}

// slot gives a record as a line of text with its checksum, padded to the size of a slot.
func slot(r record) []byte {
	text, _ := json.Marshal(r) // numbers and strings: cannot fail
	sum := sha256.Sum256(text)
	line := fmt.Appendf(text, " %x\n", sum)
	return append(line, bytes.Repeat([]byte(" "), slotSize-len(line))...)
}

func (w *witness) close() error { return w.file.Close() }
