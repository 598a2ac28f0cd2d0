package seatrial

import (
	"cmp"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
)

// keptPartAge is for how long a part is kept on disk that the snapshot does not name.
const keptPartAge = 24 * time.Hour

// readPart reads a part from the folder.
func (m *memberLists) readPart(p flag.ListPart) ([]byte, error) {
	if m.dir == "" {
		return nil, fs.ErrNotExist
	}
	f, err := os.Open(filepath.Join(m.dir, p.Digest))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, members.MaxPartBytes+1))
	return data, cmp.Or(err, checkPart(p, data))
}

// writePart keeps a part in the folder, which only the process's user may read.
func (m *memberLists) writePart(p flag.ListPart, data []byte) error {
	if m.dir == "" {
		return nil
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(m.dir, p.Digest)
	temporary, err := writeTemporary(path, data)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}

// sweep removes what is in the folder, is not named by the snapshot that was kept, and has not
// been for a day: older generations of the file may name it.
func (m *memberLists) sweep(set *flag.Set) {
	entries, err := os.ReadDir(m.dir)
	if m.dir == "" || err != nil {
		return
	}
	named := map[string]bool{}
	for _, g := range set.Segments {
		if g.List == nil {
			continue
		}
		for _, p := range g.List.Parts {
			named[p.Digest] = true
		}
	}
	now := time.Now()
	for _, entry := range entries {
		path := filepath.Join(m.dir, entry.Name())
		info, err := entry.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case named[entry.Name()]:
			if now.Sub(info.ModTime()) > keptPartAge/2 {
				_ = os.Chtimes(path, now, now) // else it is swept a little early once it is not named
			}
		case now.Sub(info.ModTime()) > keptPartAge:
			_ = os.Remove(path) // the next sweep tries again
		}
	}
}
