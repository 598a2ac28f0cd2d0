package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/cli/api"
	"pgregory.net/rapid"
)

func TestStyleFollowsTheEnvironment(t *testing.T) {
	for _, test := range []struct {
		name            string
		env             map[string]string
		colour, unicode bool
	}{
		{name: "nothing", env: map[string]string{}},
		{name: "forced", env: map[string]string{"CLICOLOR_FORCE": "1"}, colour: true},
		{name: "not forced", env: map[string]string{"CLICOLOR_FORCE": "0"}},
		{name: "NO_COLOR wins", env: map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}},
		{name: "utf-8", env: map[string]string{"LANG": "de_DE.UTF-8"}, unicode: true},
		{name: "LC_ALL wins", env: map[string]string{"LC_ALL": "C", "LANG": "de_DE.UTF-8"}},
		{name: "dumb", env: map[string]string{"TERM": "dumb", "LANG": "C.utf8"}},
	} {
		s := newStyle(&bytes.Buffer{}, func(k string) string { return test.env[k] })
		if s.colour != test.colour || s.unicode != test.unicode {
			t.Errorf("%s: colour %v, unicode %v", test.name, s.colour, s.unicode)
		}
	}
}

// TestColumnsAlign: every column begins at the same place in all lines, whatever the icons,
// colours and letters.
func TestColumnsAlign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-zäöü✔]{0,12}`)
		var rows [][]cell
		for range rapid.IntRange(1, 5).Draw(t, "rows") {
			rows = append(rows, []cell{marked(mark(rapid.IntRange(0, 7).Draw(t, "mark")), word.Draw(t, "first")), text("%s", "|"+word.Draw(t, "second"))})
		}
		s := style{unicode: rapid.Bool().Draw(t, "unicode"), colour: rapid.Bool().Draw(t, "colour")}
		lines := strings.Split(strings.TrimSuffix(s.table([]string{"ONE", "|TWO"}, rows), "\n"), "\n")
		at := -1
		for _, line := range lines {
			plain := uncoloured(line)
			column := utf8.RuneCountInString(plain[:strings.LastIndex(plain, "|")])
			if at >= 0 && column != at {
				t.Fatalf("columns at %d and %d:\n%s", at, column, strings.Join(lines, "\n"))
			}
			at = column
		}
	})
}

func uncoloured(s string) string {
	for {
		start := strings.Index(s, "\x1b[")
		if start < 0 {
			return s
		}
		s = s[:start] + s[start+strings.IndexByte(s[start:], 'm')+1:]
	}
}

func TestWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zä]{1,15}`), 1, 40).Draw(t, "words")
		s := style{terminal: true} // no file: 80 columns
		wrapped := s.wrap(strings.Join(words, " "))
		if !slices.Equal(strings.Fields(wrapped), words) {
			t.Fatalf("words were lost: %q", wrapped)
		}
		for _, line := range strings.Split(wrapped, "\n") {
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Fatalf("a line has %d columns: %q", n, line)
			}
		}
	})
}

func TestScreenRedraws(t *testing.T) {
	var out bytes.Buffer
	s := screen{out: &out}
	if err := s.draw("one\ntwo\nthree\n", 10, 3); err != nil {
		t.Fatal(err)
	}
	if err := s.draw("\x1b[32mthree and a long rest\x1b[0m\n", 5, 0); err != nil {
		t.Fatal(err)
	}
	want := "one\x1b[K\ntwo\x1b[K\n\x1b[J" + "\x1b[2A" + "\x1b[32mthree\x1b[0m\x1b[K\n\x1b[J"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestTSVHasOneLineARow(t *testing.T) {
	var out bytes.Buffer
	if err := writeTSV(&out, [][]cell{{text("%s", "a\tb"), text("%s", "c\nd\re")}}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "a b\tc d e\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDurations(t *testing.T) {
	for ms, want := range map[float64]string{0.0004: "0µs", 0.25: "250µs", 1.24: "1.2ms", 25: "25ms", 1234: "1.23s", 61_000: "1m1s"} {
		if got := showMs(ms); got != want {
			t.Errorf("%v ms: got %s, want %s", ms, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-90 * time.Second: "in 1m", 0: "0s ago", 90 * time.Minute: "1h ago", 72 * time.Hour: "3d ago"} {
		if got := since(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}

// TestTreeHasEverySpanOnce, children below their parents, whatever the parents say.
func TestTreeHasEverySpanOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var spans []api.Span
		for i := range rapid.IntRange(0, 8).Draw(t, "spans") {
			s := api.Span{SpanID: fmt.Sprint(i), Start: time.Unix(int64(rapid.IntRange(0, 3).Draw(t, "start")), 0)}
			if parent := rapid.IntRange(-1, 9).Draw(t, "parent"); parent >= 0 {
				s.ParentSpanID = fmt.Sprint(parent)
			}
			spans = append(spans, s)
		}
		depth := map[string]int{}
		for _, l := range arrange(spans) {
			if _, twice := depth[l.span.SpanID]; twice {
				t.Fatalf("span %s is there twice", l.span.SpanID)
			}
			depth[l.span.SpanID] = l.depth
			if above, there := depth[l.span.ParentSpanID]; l.depth > 0 && (!there || above != l.depth-1) {
				t.Fatalf("span %s at depth %d is not below its parent %s", l.span.SpanID, l.depth, l.span.ParentSpanID)
			}
		}
		if len(depth) != len(spans) {
			t.Fatalf("%d of %d spans", len(depth), len(spans))
		}
	})
}

// TestDiffLeadsFromOldToNew: without the added lines it is the old text, without the removed
// ones the new.
func TestDiffLeadsFromOldToNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 12)
		x, y := lines.Draw(t, "x"), lines.Draw(t, "y")
		var old, young []string
		same := 0
		for _, l := range diffLines(x, y) {
			if l.Op != "+" {
				old = append(old, l.Line)
			}
			if l.Op != "-" {
				young = append(young, l.Line)
			}
			if l.Op == " " {
				same++
			}
		}
		if !slices.Equal(old, x) || !slices.Equal(young, y) {
			t.Fatalf("%v and %v: got %v and %v", x, y, old, young)
		}
		if slices.Equal(x, y) && same != len(x) {
			t.Fatalf("equal texts differ: %v", diffLines(x, y))
		}
	})
}
