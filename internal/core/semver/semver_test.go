package semver

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	valid := map[string]Version{
		"0.0.0": {}, "1": {Major: 1}, "1.2": {Major: 1, Minor: 2}, "v1.2.3": {1, 2, 3, ""}, "V1.2.3": {1, 2, 3, ""},
		"1.2.3-rc.1": {1, 2, 3, "rc.1"}, "1.2.3+build.01": {1, 2, 3, ""}, "1.2.3-a-b.0+x-y": {1, 2, 3, "a-b.0"},
		"18446744073709551615.0.0": {Major: 1<<64 - 1}, "1.0.0-0A": {1, 0, 0, "0A"}, "1.0.0+a-b": {1, 0, 0, ""},
	}
	for text, want := range valid {
		if got, ok := Parse(text); !ok || got != want {
			t.Errorf("Parse(%q) = %v, %t; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "v", "vv1.0.0", "1.", ".1", "1.2.", "1.2.3.4", "01.2.3", "1.02.3", "1.2.03", "-1.2.3", "+1.2.3", "1.2.3-", "1.2.3+",
		"1.2.3-01", "1.2.3-a..b", "1.2.3-a.", "1.2.3+a+b", "1-rc", "1.2+build", "1.2.3-é", " 1.2.3", "1.2.3 ", "not-a-version",
		"18446744073709551616.0.0", "1.2.3-" + strings.Repeat("a", MaxLength),
	} {
		if got, ok := Parse(text); ok || got != (Version{}) {
			t.Errorf("Parse(%q) = %v, %t; want nothing", text, got, ok)
		}
	}
}

// The order is the example of semver.org, clause 11, with some more places in it.
func TestOrder(t *testing.T) {
	order := []string{
		"0.9.9", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-99999999999999999999", "1.0.0--", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.1.0",
		"1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2", "2", "2.1", "10.0.0",
	}
	for i, a := range order {
		for j, b := range order {
			v, okV := Parse(a)
			w, okW := Parse(b)
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := v.Compare(w); got != want || !okV || !okW {
				t.Errorf("%s against %s gives %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		a, ops, b string // ops are those that match
	}{
		{"2.0.0", "= <= >= ~ ^", "2.0.0"}, {"2.1.0", "!= > >= ^", "2.0.0"}, {"1.9.0", "!= < <=", "2.0.0"},
		{"2.0.0-alpha", "!= < <= ~ ^", "2.0.0"}, {"3.0.1", "!= > >= ~ ^", "3.0.0"}, {"1.0.0+other", "= <= >= ~ ^", "1.0.0+build"},
		{"1.2", "!= > >= ^", "1.1"},
	} {
		a, okA := Parse(c.a)
		b, okB := Parse(c.b)
		if !okA || !okB {
			t.Fatalf("%s or %s is no version", c.a, c.b)
		}
		for _, op := range operators {
			want := strings.Contains(" "+c.ops+" ", " "+op+" ")
			if got := Matches(op, a, b); got != want {
				t.Errorf("%s %s %s is %t", c.a, op, c.b, got)
			}
		}
		if Matches("===", a, b) || IsOperator("===") || IsOperator("") {
			t.Error("=== is taken for an operator")
		}
	}
}

// Property: what is written is read back, and a version equals itself with build metadata.
func TestParseReadsWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Version{rapid.Uint64().Draw(t, "major"), rapid.Uint64().Draw(t, "minor"), rapid.Uint64().Draw(t, "patch"),
			rapid.StringMatching(`([a-z-][0-9a-z-]{0,3}(\.[a-z-]{1,3}){0,2})?`).Draw(t, "pre")}
		text := fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
		if v.Pre != "" {
			text += "-" + v.Pre
		}
		text += rapid.SampledFrom([]string{"", "+1", "+a.b-c"}).Draw(t, "build")
		if got, ok := Parse(text); !ok || got != v || got.Compare(v) != 0 {
			t.Fatalf("%q gives %v, %t", text, got, ok)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1.2.3-rc.1+b", "v1", "1.2", "1..2", "01.0.0-0"} {
		f.Add(seed, "1.0.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, ok := Parse(a)
		w, okW := Parse(b)
		if !ok && v != (Version{}) {
			t.Errorf("%q is no version, yet gives %v", a, v)
		}
		if ok && okW && v.Compare(w) != -w.Compare(v) {
			t.Errorf("%q and %q are not ordered", a, b)
		}
	})
}
