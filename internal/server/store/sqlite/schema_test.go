package sqlite

import (
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
)

// A database from before the journal had rows without a state is brought up to date, and nothing
// of it is lost.
func TestOldJournal(t *testing.T) {
	dir, all := t.TempDir(), migrations
	defer func() { migrations = all }()
	migrations = all[:2]
	s := mustOpen(t, dir)
	row := control.IntervalRow{Trial: "t", Attempt: 1, Seq: 1, Revision: 1, Interval: []byte(`{"seq":1}`), State: []byte(`{"seq":1}`)}
	stateless := row
	stateless.Seq, stateless.State = 2, nil
	errs := s.AppendIntervals(t.Context(), []control.IntervalRow{row})
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	migrations = all
	for range 2 {
		s = mustOpen(t, dir)
		if err := s.AppendIntervals(t.Context(), []control.IntervalRow{stateless})[0]; err != nil {
			t.Fatal(err)
		}
		stateless.Seq++
		list, err := s.Tail(t.Context(), "t", 1, 1, 0)
		if err != nil || len(list) != stateless.Seq-1 || string(list[0].State) != `{"seq":1}` || list[1].State != nil {
			t.Errorf("%+v, error %v", list, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
