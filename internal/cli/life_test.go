package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

func TestParseWhen(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 500, time.FixedZone("", 3600))
	for _, test := range []struct {
		text string
		want string
		fail string
	}{
		{text: "36h", want: "2026-11-25T23:00:00Z"},
		{text: "90s", want: "2026-11-24T11:01:30Z"},
		{text: "2026-12-01T09:00:00+01:00", want: "2026-12-01T08:00:00Z"},
		{text: "2020-01-01T00:00:00Z", want: "2020-01-01T00:00:00Z"}, // the server says that it is over
		{text: "", fail: "when?"},
		{text: "0s", fail: "write it as"},
		{text: "-1h", fail: "write it as"},
		{text: "tomorrow", fail: "write it as"},
		{text: "2026-12-01", fail: "write it as"},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := parseWhen(test.text, now)
			checkParsed(t, got.UTC().Format(time.RFC3339Nano), err, test.want, test.fail)
		})
	}
}

func TestSchedulePatch(t *testing.T) {
	for _, test := range []struct {
		name            string
		enable, disable bool
		fallback, patch string
		want, fail      string
	}{
		{name: "on", enable: true, want: `{"enabled":true}`},
		{name: "off and another default", disable: true, fallback: "old", want: `{"defaultVariant":"old","enabled":false}`},
		{name: "what no variant is called stays JSON", fallback: "\x01\"", want: `{"defaultVariant":"\u0001\""}`},
		{name: "a patch", patch: `{"rules":[]}`, want: `{"rules":[]}`},
		{name: "on and off", enable: true, disable: true, fail: "choose one"},
		{name: "a patch and more", patch: `{}`, fallback: "on", fail: "--patch says everything"},
		{name: "no JSON", patch: `{`, fail: "write a JSON object"},
		{name: "nothing", fail: "what is to change?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := schedulePatch(test.enable, test.disable, test.fallback, test.patch)
			checkParsed(t, string(got), err, test.want, test.fail)
		})
	}
}

func TestSetSlot(t *testing.T) {
	old := []flag.Slot{{Flag: "a", From: 0, To: 30_000}, {Flag: "b", From: 30_000, To: 60_000}}
	for _, test := range []struct {
		slot string
		want []flag.Slot
		fail string
	}{
		{slot: "c=60%-100%", want: append(slices.Clone(old), flag.Slot{Flag: "c", From: 60_000, To: 100_000})},
		{slot: "a=0%-0.5%", want: []flag.Slot{old[1], {Flag: "a", From: 0, To: 500}}},
		{slot: "a=", want: old[1:]},
		{slot: "a", fail: "write it as FLAG=0%-50%"},
		{slot: "=0%-5%", fail: "write it as FLAG=0%-50%"},
		{slot: "a=5%", fail: "write it as FLAG=0%-50%"},
		{slot: "a=0-5", fail: `share "0"`},
		{slot: "a=0%-101%", fail: `share "101%"`},
		{slot: "a=0%-0.0001%", fail: "finest share"},
	} {
		t.Run(test.slot, func(t *testing.T) {
			l := &flag.Layer{Slots: slices.Clone(old)}
			err := setSlot(l, test.slot)
			checkParsed(t, l.Slots, err, test.want, test.fail)
		})
	}
}

func TestOverride(t *testing.T) {
	old := []flag.Override{{Variant: "on", Units: []string{"ana", "bo"}}, {Variant: "off", Units: []string{"cy"}}}
	for _, test := range []struct {
		name    string
		variant string
		users   []string
		want    []flag.Override
	}{
		{"replaces", "on", []string{"di"}, []flag.Override{old[1], {Variant: "on", Units: []string{"di"}}}},
		{"takes a user away", "off", []string{"bo"}, []flag.Override{{Variant: "on", Units: []string{"ana"}}, {Variant: "off", Units: []string{"bo"}}}},
		{"takes the last user away", "new", []string{"cy"}, []flag.Override{old[0], {Variant: "new", Units: []string{"cy"}}}},
		{"removes", "on", nil, old[1:]},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := jsonLines(old)
			checkParsed(t, override(old, test.variant, test.users), nil, test.want, "")
			if !slices.Equal(before, jsonLines(old)) {
				t.Error("the list that was given has changed")
			}
		})
	}
}

func TestDiffShowsWhatIsAround(t *testing.T) {
	line := func(op string, n int) (list []lineDiff) {
		for range n {
			list = append(list, lineDiff{op, "x"})
		}
		return list
	}
	same := strings.Repeat("  x\n", diffContext)
	for _, test := range []struct {
		name  string
		lines []lineDiff
		want  string
	}{
		{"all of a new one", line("+", 12), strings.Repeat("+ x\n", 12)},
		{"in the middle", slices.Concat(line(" ", 9), line("-", 1), line(" ", 9)), "  ...\n" + same + "- x\n" + same + "  ...\n"},
		{"near the ends", slices.Concat(line(" ", 2), line("-", 1), line(" ", 4)), "  x\n  x\n- x\n" + same},
		{"two places", slices.Concat(line("+", 1), line(" ", 12), line("-", 1)), "+ x\n" + same + "  ...\n" + same + "- x\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := newApp(nil, &out, &out, func(string) string { return "" }).writeDiff(test.lines); err != nil || out.String() != test.want {
				t.Errorf("%v\ngot\n%s\nwant\n%s", err, &out, test.want)
			}
		})
	}
}

func TestLongTextsAreBrokenIntoLines(t *testing.T) {
	rows := [][]cell{{text("a"), text("%s", strings.Repeat("word ", 20))}, {text("b"), text("short")}}
	got := style{terminal: true}.wrapped([]string{"KEY", "DETAIL"}, rows)
	lines := strings.Split(strings.TrimRight(got, "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[2], "     word") || strings.TrimSpace(lines[3]) != "b    short" || strings.Count(got, "word") != 20 {
		t.Errorf("%s", got)
	}
	if got := (style{}).wrapped([]string{"KEY", "DETAIL"}, rows); strings.Count(got, "\n") != 3 {
		t.Errorf("broken though there is no terminal:\n%s", got)
	}
}
