package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
)

// rowOf is a row that says where it belongs.
func rowOf(trial string, attempt, seq int) control.IntervalRow {
	return control.IntervalRow{Trial: trial, Attempt: attempt, Seq: seq, Revision: 7,
		Interval: fmt.Appendf(nil, `{"seq":%d}`, seq), State: fmt.Appendf(nil, `{"trial":%q,"attempt":%d,"seq":%d}`, trial, attempt, seq)}
}

func journal(t *testing.T, s Store, rows ...control.IntervalRow) {
	t.Helper()
	for i, err := range s.AppendIntervals(t.Context(), rows) {
		if err != nil {
			t.Fatalf("interval %d of %s, attempt %d: %v", rows[i].Seq, rows[i].Trial, rows[i].Attempt, err)
		}
	}
}

// journalOne tries to add one row.
func journalOne(t *testing.T, s Store, row control.IntervalRow) error {
	t.Helper()
	errs := s.AppendIntervals(t.Context(), []control.IntervalRow{row})
	if len(errs) != 1 {
		t.Fatalf("%d errors for one row", len(errs))
	}
	return errs[0]
}

// rowsOf gives all rows of a trial's attempt.
func rowsOf(t *testing.T, s Store, trial string, attempt int) []control.IntervalRow {
	t.Helper()
	list, err := s.Intervals(t.Context(), trial, attempt, 0, control.MaxRead)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func testIntervals(t *testing.T, b Backend) {
	s := open(t, b)
	before := headOf(t, s)
	if list := rowsOf(t, s, "a", 1); len(list) != 0 {
		t.Errorf("%d rows of an empty journal", len(list))
	}
	stateless := rowOf("b", 1, 2)
	stateless.State = nil
	journal(t, s, rowOf("a", 1, 1), rowOf("b", 1, 1), rowOf("a", 1, 2), rowOf("a", 2, 1), rowOf("a/b", 1, 9))
	journal(t, s, stateless)
	journal(t, s)
	wantEqual(t, "attempt 1", rowsOf(t, s, "a", 1), []control.IntervalRow{rowOf("a", 1, 1), rowOf("a", 1, 2)})
	wantEqual(t, "attempt 2", rowsOf(t, s, "a", 2), []control.IntervalRow{rowOf("a", 2, 1)})
	wantEqual(t, "a row without a state", rowsOf(t, s, "b", 1), []control.IntervalRow{rowOf("b", 1, 1), stateless})
	wantEqual(t, "a longer name", rowsOf(t, s, "a/b", 1), []control.IntervalRow{rowOf("a/b", 1, 9)})
	wantErr(t, "the same again", journalOne(t, s, rowOf("a", 1, 2)), control.ErrConflict)
	if list := rowsOf(t, s, "a", 3); len(list) != 0 {
		t.Errorf("%d rows of another attempt", len(list))
	}
	wantEqual(t, "the head, which intervals do not move", headOf(t, s), before)
}

// A row that cannot be kept does not keep the others out.
func testIntervalsTogether(t *testing.T, b Backend) {
	s := open(t, b)
	journal(t, s, rowOf("taken", 1, 1))
	bad, again := rowOf("bad", 0, 1), rowOf("taken", 1, 1)
	again.Interval = []byte(`"another"`)
	errs := s.AppendIntervals(t.Context(), []control.IntervalRow{rowOf("a", 1, 1), bad, again, rowOf("b", 1, 1), rowOf("a", 1, 1), rowOf("a", 1, 2)})
	for i, want := range []control.Code{"", control.CodeInvalid, control.CodeConflict, "", control.CodeConflict, ""} {
		if want == "" && errs[i] != nil || want != "" && control.CodeOf(errs[i]) != want {
			t.Errorf("row %d: %v, want %q", i, errs[i], want)
		}
	}
	wantEqual(t, "a", rowsOf(t, s, "a", 1), []control.IntervalRow{rowOf("a", 1, 1), rowOf("a", 1, 2)})
	wantEqual(t, "b", rowsOf(t, s, "b", 1), []control.IntervalRow{rowOf("b", 1, 1)})
	wantEqual(t, "what was there", rowsOf(t, s, "taken", 1), []control.IntervalRow{rowOf("taken", 1, 1)})
	for _, err := range s.AppendIntervals(t.Context(), make([]control.IntervalRow, control.MaxRead+1)) {
		if control.CodeOf(err) != control.CodeTooLarge {
			t.Fatalf("too many rows: %v", err)
		}
	}
	if b.Reopen != nil { // the store's own count of rows is right
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		reopened := b.Reopen(t, s)
		defer reopened.Close()
		if n := len(rowsOf(t, reopened, "a", 1)); n != 2 {
			t.Errorf("%d rows after reopening", n)
		}
	}
}

// The tail of a trial is what its newest state is computed from.
func testTail(t *testing.T, b Backend) {
	s := open(t, b)
	row := func(seq int, revision int64, state bool) control.IntervalRow {
		r := rowOf("t", 1, seq)
		if r.Revision = revision; !state {
			r.State = nil
		}
		return r
	}
	var all []control.IntervalRow
	for seq := 1; seq <= 9; seq++ {
		all = append(all, row(seq, []int64{3, 5}[seq/4%2], seq == 6)) // 4 to 7 are of revision 5
	}
	journal(t, s, append(all, rowOf("u", 1, 1), rowOf("t", 2, 1))...)
	for _, c := range []struct {
		name     string
		revision int64
		after    int
		want     []control.IntervalRow
	}{
		{"from the newest state", 5, 0, all[5:7]},
		{"after that", 5, 6, all[6:7]},
		{"before it", 5, 4, all[5:7]},
		{"nothing newer", 5, 7, nil},
		{"no state", 3, 0, []control.IntervalRow{all[0], all[1], all[2], all[7], all[8]}},
		{"no state, from a row on", 3, 2, []control.IntervalRow{all[2], all[7], all[8]}},
		{"another revision", 4, 0, nil},
	} {
		list, err := s.Tail(t.Context(), "t", 1, c.revision, c.after)
		if err != nil || len(list) != len(c.want) {
			t.Errorf("%s: %d rows, want %d, error %v", c.name, len(list), len(c.want), err)
			continue
		}
		for i := range list {
			wantEqual(t, c.name, list[i], c.want[i])
		}
	}
}

func testIntervalPages(t *testing.T, b Backend) {
	s := open(t, b)
	var all []control.IntervalRow
	for _, seq := range []int{3, 1, 2, 10, 9} { // the order of a journal is that of Seq
		journal(t, s, rowOf("t", 1, seq))
	}
	for _, seq := range []int{1, 2, 3, 9, 10} {
		all = append(all, rowOf("t", 1, seq))
	}
	for _, c := range []struct {
		name         string
		after, limit int
		from, to     int
	}{
		{"all", 0, 100, 0, 5},
		{"a page", 1, 2, 1, 3},
		{"over the gap", 3, 9, 3, 5},
		{"nothing newer", 10, 9, 5, 5},
		{"no limit means one", 0, 0, 0, 1},
		{"negative", -3, -3, 0, 1},
		{"a huge limit", 2, 1 << 30, 2, 5},
	} {
		list, err := s.Intervals(t.Context(), "t", 1, c.after, c.limit)
		if err != nil || len(list) != c.to-c.from {
			t.Errorf("%s: %d rows, want %d, error %v", c.name, len(list), c.to-c.from, err)
			continue
		}
		for i := range list {
			wantEqual(t, c.name, list[i], all[c.from+i])
		}
	}
}

func testIntervalLimits(t *testing.T, b Backend) {
	s := open(t, b)
	for _, c := range []struct {
		name   string
		change func(*control.IntervalRow)
		want   control.Code
	}{
		{"no trial", func(r *control.IntervalRow) { r.Trial = "" }, control.CodeInvalid},
		{"trial too long", func(r *control.IntervalRow) { r.Trial = strings.Repeat("x", control.MaxEntityKey+1) }, control.CodeInvalid},
		{"no attempt", func(r *control.IntervalRow) { r.Attempt = 0 }, control.CodeInvalid},
		{"no seq", func(r *control.IntervalRow) { r.Seq = 0 }, control.CodeInvalid},
		{"no revision", func(r *control.IntervalRow) { r.Revision = 0 }, control.CodeInvalid},
		{"interval is not JSON", func(r *control.IntervalRow) { r.Interval = []byte("{") }, control.CodeInvalid},
		{"no interval", func(r *control.IntervalRow) { r.Interval = nil }, control.CodeInvalid},
		{"state is not JSON", func(r *control.IntervalRow) { r.State = []byte("}") }, control.CodeInvalid},
		{"too large", func(r *control.IntervalRow) {
			r.State = []byte(`"` + strings.Repeat("x", control.MaxIntervalRow) + `"`)
		}, control.CodeTooLarge},
	} {
		row := rowOf("t", 1, 1)
		c.change(&row)
		wantCode(t, c.name, journalOne(t, s, row), c.want)
		d := draft(1)
		d.Interval = &row
		_, err := s.Append(t.Context(), 0, d)
		wantCode(t, c.name+", with a change", err, c.want)
	}
	if list, err := s.Intervals(t.Context(), "t", 1, 0, 10); len(list) != 0 || err != nil {
		t.Errorf("%d rows, error %v", len(list), err)
	}
	if n := len(CheckChain(t, s)); n != 0 {
		t.Errorf("%d changes", n)
	}
}

// A row that builds on an older revision of its trial was overtaken by whoever changed the trial.
func testOvertaken(t *testing.T, b Backend) {
	s := open(t, b)
	journal(t, s, rowOf("t", 1, 1), rowOf("t", 1, 2))
	older, newer := rowOf("t", 1, 2), rowOf("t", 1, 2)
	older.Revision, newer.Revision = 6, 8
	older.State, newer.State = []byte(`"older"`), []byte(`"newer"`)
	wantErr(t, "an older row", journalOne(t, s, older), control.ErrConflict)
	journal(t, s, newer)
	wantErr(t, "the same row", journalOne(t, s, newer), control.ErrConflict)
	wantEqual(t, "the rows", rowsOf(t, s, "t", 1), []control.IntervalRow{rowOf("t", 1, 1), newer})
	journal(t, s, rowOf("t", 1, 3))
	if b.Reopen != nil { // the store's own count of rows survived the replacement
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := b.Reopen(t, s)
		defer again.Close()
		if list, err := again.Intervals(t.Context(), "t", 1, 0, 10); err != nil || len(list) != 3 {
			t.Errorf("%d rows, want 3, error %v", len(list), err)
		}
	}
}

// The evidence of a decision and the decision are stored together or not at all.
func testDecision(t *testing.T, b Backend) {
	s := open(t, b)
	Fill(t, s, 1)
	d := draft(2)
	first := rowOf("t", 1, 1)
	d.Interval = &first
	if _, err := s.Append(t.Context(), 1, d); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the intervals", rowsOf(t, s, "t", 1), []control.IntervalRow{first})

	_, err := s.Append(t.Context(), 2, d)
	wantErr(t, "a decision on an interval that is there", err, control.ErrConflict)
	second := rowOf("t", 1, 2)
	d.Interval = &second
	_, err = s.Append(t.Context(), 1, d)
	wantErr(t, "a decision on a stale revision", err, control.ErrConflict)
	if list, err := s.Intervals(t.Context(), "t", 1, 0, 10); len(list) != 1 || err != nil {
		t.Errorf("%d rows, want 1, error %v", len(list), err)
	}
	if n := len(CheckChain(t, s)); n != 2 {
		t.Errorf("%d changes, want 2", n)
	}
	journal(t, s, second) // nothing of the failed ones is left
	Fill(t, s, 1)
	CheckChain(t, s)
}
