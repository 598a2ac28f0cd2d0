package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"pgregory.net/rapid"
)

func raws(values ...string) []json.RawMessage {
	var list []json.RawMessage
	for _, v := range values {
		list = append(list, json.RawMessage(v))
	}
	return list
}

func TestParseCondition(t *testing.T) {
	for _, test := range []struct {
		text string
		want *flag.Condition
		fail string
	}{
		{text: "", want: nil},
		{text: "everybody", want: nil},
		{text: "country in SE,NO", want: &flag.Condition{Attribute: "country", Op: flag.OpIn, Values: raws(`"SE"`, `"NO"`)}},
		{text: "group = beta", want: &flag.Condition{Attribute: "group", Op: flag.OpIn, Values: raws(`"beta"`)}},
		{text: "age>=18", want: &flag.Condition{Attribute: "age", Op: flag.OpGreaterEq, Values: raws(`18`)}},
		{text: "age < 18", want: &flag.Condition{Attribute: "age", Op: flag.OpLess, Values: raws(`18`)}},
		{text: "plan exists", want: &flag.Condition{Attribute: "plan", Op: flag.OpExists}},
		{text: "vip = true", want: &flag.Condition{Attribute: "vip", Op: flag.OpIn, Values: raws(`true`)}},
		{text: `city in "Los Angeles, CA",Oslo`, want: &flag.Condition{Attribute: "city", Op: flag.OpIn, Values: raws(`"Los Angeles, CA"`, `"Oslo"`)}},
		{text: `band = "Simon and Garfunkel" and not segment old`, want: &flag.Condition{All: []flag.Condition{
			{Attribute: "band", Op: flag.OpIn, Values: raws(`"Simon and Garfunkel"`)}, {Not: &flag.Condition{Segment: "old"}}}}},
		{text: "email endsWith @example.com", want: &flag.Condition{Attribute: "email", Op: flag.OpEndsWith, Values: raws(`"@example.com"`)}},
		{text: "app semver>= 1.10", want: &flag.Condition{Attribute: "app", Op: flag.OpVersionGreaterEq, Values: raws(`"1.10"`)}},
		{text: "app semver^ 2", want: &flag.Condition{Attribute: "app", Op: flag.OpVersionMajor, Values: raws(`"2"`)}},
		{text: "ip inCIDR 10.0.0.0/8,::1/128", want: &flag.Condition{Attribute: "ip", Op: flag.OpInCIDR, Values: raws(`"10.0.0.0/8"`, `"::1/128"`)}},
		{text: "born before 2000-01-01T00:00:00Z", want: &flag.Condition{Attribute: "born", Op: flag.OpBefore, Values: raws(`"2000-01-01T00:00:00Z"`)}},
		{text: `mail matches "^a{1,2}@x\\.com$"`, want: &flag.Condition{Attribute: "mail", Op: flag.OpMatches, Values: raws(`"^a{1,2}@x\\.com$"`)}},
		{text: "seat equals 12", want: &flag.Condition{Attribute: "seat", Op: flag.OpEquals, Values: raws(`12`)}},
		{text: "country SE", fail: `clause "country SE"`},
		{text: "country", fail: `clause "country"`},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := parseCondition(test.text)
			checkParsed(t, got, err, test.want, test.fail)
		})
	}
}

// checkParsed holds what a parser gave against what was wanted: an error with fail, or the value.
func checkParsed[T any](t *testing.T, got T, err error, want T, fail string) {
	t.Helper()
	switch {
	case fail != "":
		if err == nil || !strings.Contains(err.Error(), fail) {
			t.Errorf("error %v, want one with %q", err, fail)
		}
	case err != nil:
		t.Error(err)
	case !reflect.DeepEqual(got, want):
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseRule(t *testing.T) {
	for _, test := range []struct {
		text string
		want flag.Rule
		fail string
	}{
		{text: "segment beta => on", want: flag.Rule{When: &flag.Condition{Segment: "beta"}, Serve: "on"}},
		{text: "nordic: everybody => on", want: flag.Rule{Name: "nordic", Serve: "on"}},
		{text: "everybody => on:20%, off:80%", want: flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 20_000}, {Variant: "off", Weight: 80_000}}}}},
		{text: "segment beta", fail: `CONDITION => VARIANT`},
		{text: "everybody => on:20", fail: `share "20"`},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := parseRule(test.text)
			checkParsed(t, got, err, test.want, test.fail)
		})
	}
}

// TestRulesAreShownAsTheyAreRead: what `flag get` prints can be given to --add-rule, whatever the
// attributes hold.
func TestRulesAreShownAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := anyRule(t)
		again, err := parseRule(showRule(rule))
		if err != nil {
			t.Fatalf("%s: %v", showRule(rule), err)
		}
		if want, got := jsonOf(t, rule), jsonOf(t, again); got != want {
			t.Fatalf("%s\n got %s\nwant %s", showRule(rule), got, want)
		}
	})
}

func jsonOf(t *rapid.T, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func anyRule(t *rapid.T) flag.Rule {
	key := rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`)
	rule := flag.Rule{Serve: key.Draw(t, "serve")}
	if rapid.Bool().Draw(t, "named") {
		rule.Name = key.Draw(t, "name")
	}
	if rapid.Bool().Draw(t, "split") {
		rule.Serve = ""
		rule.Split = &flag.Split{Weights: []flag.Share{{Variant: key.Draw(t, "variant"), Weight: flag.Weight(rapid.IntRange(1, flag.TotalWeight).Draw(t, "weight"))}}}
	}
	clauses := rapid.SliceOfN(rapid.Custom(anyClause), 0, 3).Draw(t, "clauses")
	switch len(clauses) {
	case 0:
	case 1:
		rule.When = &clauses[0]
	default:
		rule.When = &flag.Condition{All: clauses}
	}
	return rule
}

// nasty are values that look like parts of the notation.
var nasty = []string{"Simon and Garfunkel", "a,b", "7", "true", "", " x ", `"quoted"`, "a => b", "x = y", "not segment z", "null", "1.10", "10.0.0.0/8", `^a,b "c" and d$`, "2000-01-01T00:00:00Z", "=1.2"}

func anyClause(t *rapid.T) flag.Condition {
	c := flag.Condition{Segment: rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "segment")}
	if rapid.Bool().Draw(t, "attribute") {
		c = flag.Condition{Attribute: rapid.StringMatching(`[a-zA-Z]{2,8}`).Draw(t, "name"), Op: rapid.SampledFrom(append([]flag.Op{flag.OpIn}, textOperators...)).Draw(t, "op")}
		values := rapid.OneOf(rapid.String().AsAny(), rapid.SampledFrom(nasty).AsAny())
		if c.Op == flag.OpIn {
			values = rapid.OneOf(values, rapid.IntRange(-9, 9).AsAny(), rapid.Bool().AsAny())
		}
		for _, v := range rapid.SliceOfN(values, 1, 3).Draw(t, "values") {
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			c.Values = append(c.Values, raw)
		}
	}
	if rapid.Bool().Draw(t, "not") {
		return flag.Condition{Not: &c}
	}
	return c
}

func FuzzParseRule(f *testing.F) {
	for _, seed := range []string{"segment beta => on", "n: a in 1,\"x\" and not b exists => on:20%,off:80%", "=>", "\"\\ => x", "a <= 3 => on"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := parseRule(text)
		if err != nil {
			return
		}
		_ = showRule(rule)
		set := flag.Flag{Key: "f", Kind: flag.KindRelease, Type: flag.TypeBoolean, Rules: []flag.Rule{rule}}
		if _, err := json.Marshal(set); err != nil {
			t.Errorf("%q gives a rule that is no JSON: %v", text, err)
		}
	})
}
