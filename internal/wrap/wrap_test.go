package wrap

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestText(t *testing.T) {
	for _, test := range []struct {
		name, text    string
		width, indent int
		want          string
	}{
		{"fits", "one two", 20, 0, "one two"},
		{"breaks at a space", "one two three four five", 20, 0, "one two three four\nfive"},
		{"indents", "one two three four five", 22, 2, "one two three four\n  five"},
		{"keeps a percentage together", "the share is now at 5 % of all", 21, 0, "the share is now at\n5 % of all"},
		{"leaves a long word whole", strings.Repeat("x", 30) + " y", 20, 0, strings.Repeat("x", 30) + "\ny"},
		{"no terminal", "one two three four five", 0, 0, "one two three four five"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Text(test.text, test.width, test.indent); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Whatever the text: no word is lost or changed, and no line with more than one word is too long.
func TestTextKeepsEveryWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[a-zä%0-9]{1,30}`)).Draw(t, "words")
		width, indent := rapid.IntRange(0, 100).Draw(t, "width"), rapid.IntRange(0, 10).Draw(t, "indent")
		got := Text(strings.Join(words, " "), width, indent)
		if strings.Join(strings.Fields(got), " ") != strings.Join(words, " ") {
			t.Fatalf("%q became %q", words, got)
		}
		for i, line := range strings.Split(got, "\n") {
			long := len([]rune(line)) > width && (i > 0 || len([]rune(line)) > width-indent)
			if breakable := strings.Contains(strings.ReplaceAll(strings.TrimSpace(line), " %", "%"), " "); long && breakable && width-indent >= 20 {
				t.Fatalf("line %d of %d columns is %q", i, width, line)
			}
		}
	})
}
