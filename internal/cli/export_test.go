package cli

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/definition"
	"pgregory.net/rapid"
)

// yamlish are texts that YAML takes for something else if they are not quoted.
var yamlish = []string{"1.10", "1e3", "0x1f", "0o7", "0777", "1_000", ".5", "~", "null", "yes", "on", "True", "2026-01-01", "12:30:45", "-", "- a", "a: b", "a #b",
	"#c", "", " x ", "\n", "a\nb\n", "a\n\n b", "\ttab", "'", `"`, `\`, "{", "[]", "&a", "*a", "!t", "%d", "@", "`", "|", ">", "? x", ".inf", ".nan", "\u0085", "\u2028", "\ufeff", "é", "\x00", "<<", "="}

var beyond64 = regexp.MustCompile(`(: -?\d{19,})\.0`)

// TestExportIsReadAsItWas: what export writes as YAML, apply reads as the same definitions. (Of -0 a
// reader of YAML makes 0, as which it counts; whole numbers beyond 64 bits get a ".0".)
func TestExportIsReadAsItWas(t *testing.T) {
	word := rapid.OneOf(rapid.SampledFrom(yamlish), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		value := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			value[word.Draw(t, "field")] = rapid.OneOf(word.AsAny(), rapid.Map(rapid.Float64(), func(f float64) any { return f + 0 }), rapid.Int64().AsAny(), rapid.Bool().AsAny(), rapid.SliceOfN(word, 0, 2).AsAny()).Draw(t, "value")
		}
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		b := bundle{
			Flags:    []flag.Flag{{Key: "f", Description: word.Draw(t, "description"), Variants: []flag.Variant{{Name: "v", Value: raw}}}},
			Segments: []flag.Segment{{Key: "s", Members: rapid.SliceOfN(word, 0, 3).Draw(t, "members")}},
		}
		var out bytes.Buffer
		if err := newApp(nil, &out, &out, func(string) string { return "" }).exportBundle(b); err != nil {
			t.Fatal(err)
		}
		documents, err := definition.Documents("f.yaml", out.Bytes())
		if err != nil || len(documents) != 1 {
			t.Fatalf("%d documents: %v\n%s", len(documents), err, &out)
		}
		want, got := strings.Join(jsonLines(b), "\n"), strings.Join(jsonLines(documents[0].JSON), "\n")
		if got = beyond64.ReplaceAllString(got, "$1"); want != got {
			t.Fatalf("read as\n%s\nwant\n%s\nof\n%s", got, want, &out)
		}
	})
}
