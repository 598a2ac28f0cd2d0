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
	for _, row := range rows {
		if err := s.AppendInterval(t.Context(), row); err != nil {
			t.Fatalf("interval %d of %s, attempt %d: %v", row.Seq, row.Trial, row.Attempt, err)
		}
	}
}

func testIntervals(t *testing.T, b Backend) {
	s := open(t, b)
	before := headOf(t, s)
	_, err := s.LastInterval(t.Context(), "a", 1)
	wantErr(t, "the last of none", err, control.ErrNotFound)
	journal(t, s, rowOf("a", 1, 1), rowOf("b", 1, 1), rowOf("a", 1, 2), rowOf("a", 2, 1), rowOf("a/b", 1, 9))
	for _, c := range []struct {
		trial         string
		attempt, last int
	}{{"a", 1, 2}, {"a", 2, 1}, {"b", 1, 1}, {"a/b", 1, 9}} {
		row, err := s.LastInterval(t.Context(), c.trial, c.attempt)
		if err != nil {
			t.Errorf("%s, attempt %d: %v", c.trial, c.attempt, err)
		}
		wantEqual(t, "the last", row, rowOf(c.trial, c.attempt, c.last))
	}
	wantErr(t, "the same again", s.AppendInterval(t.Context(), rowOf("a", 1, 2)), control.ErrConflict)
	_, err = s.LastInterval(t.Context(), "a", 3)
	wantErr(t, "another attempt", err, control.ErrNotFound)
	wantEqual(t, "the head, which intervals do not move", headOf(t, s), before)
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
		{"no state", func(r *control.IntervalRow) { r.State = nil }, control.CodeInvalid},
		{"too large", func(r *control.IntervalRow) {
			r.State = []byte(`"` + strings.Repeat("x", control.MaxIntervalRow) + `"`)
		}, control.CodeTooLarge},
	} {
		row := rowOf("t", 1, 1)
		c.change(&row)
		wantCode(t, c.name, s.AppendInterval(t.Context(), row), c.want)
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
	wantErr(t, "an older row", s.AppendInterval(t.Context(), older), control.ErrConflict)
	journal(t, s, newer)
	wantErr(t, "the same row", s.AppendInterval(t.Context(), newer), control.ErrConflict)
	row, err := s.LastInterval(t.Context(), "t", 1)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the row", row, newer)
	list, err := s.Intervals(t.Context(), "t", 1, 0, 10)
	if err != nil || len(list) != 2 {
		t.Errorf("%d rows, want 2, error %v", len(list), err)
	}
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
	row, err := s.LastInterval(t.Context(), "t", 1)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the interval", row, first)

	_, err = s.Append(t.Context(), 2, d)
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
