package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
	"pgregory.net/rapid"
)

func clause(attribute string, op flag.Op, values ...string) flag.Condition {
	c := flag.Condition{Attribute: attribute, Op: op}
	for _, v := range values {
		c.Values = append(c.Values, json.RawMessage(v))
	}
	return c
}

func stringFlag(key string, rules ...flag.Rule) flag.Flag {
	f := flag.Flag{Key: key, Kind: flag.KindRelease, Type: flag.TypeString, Enabled: true, DefaultVariant: "off", Rules: rules}
	for _, name := range []string{"on", "off", "red", "blue"} {
		f.Variants = append(f.Variants, flag.Variant{Name: name, Value: json.RawMessage(`"` + strings.ToUpper(name) + `"`)})
	}
	return f
}

func compile(t testing.TB, set flag.Set) *Snapshot {
	t.Helper()
	s, err := Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var beta = flag.Segment{Key: "beta", Members: []string{"u1", "u2"}, When: &flag.Condition{Attribute: "plan", Op: flag.OpIn, Values: []json.RawMessage{[]byte(`"pro"`)}}}

func TestConditions(t *testing.T) {
	many := []string{`"a"`, `"b"`, `"c"`, `"d"`, `"e"`, `"f"`, `"g"`, `"h"`, `"i"`, `1`, `true`}
	tests := []struct {
		name    string
		when    flag.Condition
		value   any // of attribute x; "absent" for none
		matches bool
	}{
		{"in text", clause("x", flag.OpIn, `"a"`, `"b"`), "b", true},
		{"not in text", clause("x", flag.OpIn, `"a"`), "A", false},
		{"in many", clause("x", flag.OpIn, many...), "i", true},
		{"not in many", clause("x", flag.OpIn, many...), "z", false},
		{"number among many", clause("x", flag.OpIn, many...), 1, true},
		{"truth among many", clause("x", flag.OpIn, many...), true, true},
		{"number is no text", clause("x", flag.OpIn, `"1"`), 1, false},
		{"in numbers", clause("x", flag.OpIn, "1", "2.5"), 2.5, true},
		{"int8", clause("x", flag.OpIn, "7"), int8(7), true}, {"int16", clause("x", flag.OpIn, "7"), int16(7), true},
		{"int32", clause("x", flag.OpIn, "7"), int32(7), true}, {"int64", clause("x", flag.OpIn, "7"), int64(7), true},
		{"uint", clause("x", flag.OpIn, "7"), uint(7), true}, {"uint8", clause("x", flag.OpIn, "7"), uint8(7), true},
		{"uint16", clause("x", flag.OpIn, "7"), uint16(7), true}, {"uint32", clause("x", flag.OpIn, "7"), uint32(7), true},
		{"uint64", clause("x", flag.OpIn, "7"), uint64(7), true}, {"float32", clause("x", flag.OpIn, "7.5"), float32(7.5), true},
		{"false is not true", clause("x", flag.OpIn, "true"), false, false},
		{"false", clause("x", flag.OpIn, "false"), false, true},
		{"contains", clause("x", flag.OpContains, `"ell"`), "hello", true},
		{"contains not", clause("x", flag.OpContains, `"z"`), "hello", false},
		{"starts", clause("x", flag.OpStartsWith, `"z"`, `"he"`), "hello", true},
		{"ends", clause("x", flag.OpEndsWith, `"lo"`), "hello", true},
		{"ends not", clause("x", flag.OpEndsWith, `"he"`), "hello", false},
		{"text operator on a number", clause("x", flag.OpContains, `"1"`), 12, false},
		{"less", clause("x", flag.OpLess, "5"), 4.9, true}, {"less, equal", clause("x", flag.OpLess, "5"), 5, false},
		{"at most", clause("x", flag.OpLessEq, "5"), 5, true}, {"more", clause("x", flag.OpGreater, "5"), 5, false},
		{"at least", clause("x", flag.OpGreaterEq, "5"), uint64(math.MaxUint64), true},
		{"number operator on text", clause("x", flag.OpGreater, "5"), "6", false},
		{"not a number", clause("x", flag.OpGreaterEq, "5"), math.NaN(), false},
		{"truth is no number", clause("x", flag.OpLess, "5"), true, false},
		{"exists", clause("x", flag.OpExists), "", true}, {"false exists", clause("x", flag.OpExists), false, true},
		{"absent", clause("x", flag.OpExists), "absent", false}, {"nil", clause("x", flag.OpExists), nil, false},
		{"any kind exists", clause("x", flag.OpExists), struct{}{}, true},
		{"equals", clause("x", flag.OpEquals, `"a"`), "a", true}, {"equals not", clause("x", flag.OpEquals, `1`), "1", false}, {"equals in a list", clause("x", flag.OpEquals, `"a"`), []any{1, "a"}, true},
		{"matches", clause("x", flag.OpMatches, `"^b"`, `"[0-9]{2}"`), "a42", true}, {"matches not", clause("x", flag.OpMatches, `"^a$"`), "ab", false},
		{"long text", clause("x", flag.OpMatches, `"^a+$"`), strings.Repeat("a", flag.MaxMatched), true}, {"too long a text", clause("x", flag.OpMatches, `"^a+$"`), strings.Repeat("a", flag.MaxMatched+1), false},
		{"pattern on a number", clause("x", flag.OpMatches, `"1"`), 1, false},
		{"in network", clause("x", flag.OpInCIDR, `"192.168.0.0/16"`, `"10.1.2.99/8"`), "10.255.0.1", true}, {"outside of network", clause("x", flag.OpInCIDR, `"10.0.0.0/8"`), "11.0.0.0", false},
		{"IPv4 in IPv6", clause("x", flag.OpInCIDR, `"10.0.0.0/8"`), "::ffff:10.0.0.1", true}, {"IPv6", clause("x", flag.OpInCIDR, `"2001:db8::/32"`), "2001:DB8::1", true},
		{"plain address", clause("x", flag.OpInCIDR, `"10.0.0.1"`), "10.0.0.1", true}, {"another address", clause("x", flag.OpInCIDR, `"10.0.0.1"`), "10.0.0.2", false},
		{"zone", clause("x", flag.OpInCIDR, `"fe80::/10"`), "fe80::1%eth0", false}, {"no address", clause("x", flag.OpInCIDR, `"0.0.0.0/0"`), "1.2.3", false}, {"address with more", clause("x", flag.OpInCIDR, `"0.0.0.0/0"`), "1.2.3.4 ", false},
		{"before", clause("x", flag.OpBefore, `"2026-06-01T00:00:00Z"`), "2026-06-01T01:59:59.999+02:00", true}, {"not before itself", clause("x", flag.OpBefore, `"2026-06-01T00:00:00Z"`), "2026-06-01T00:00:00Z", false},
		{"before in seconds", clause("x", flag.OpBefore, `"1970-01-01T00:00:10Z"`), 9, true}, {"not before in seconds", clause("x", flag.OpBefore, `"1970-01-01T00:00:10Z"`), 10, false},
		{"after", clause("x", flag.OpAfter, `"2026-06-01T00:00:00Z"`), "2026-06-01T00:00:00.000000001Z", true}, {"not after itself", clause("x", flag.OpAfter, `"2026-06-01T00:00:00Z"`), "2026-06-01T00:00:00Z", false},
		{"after in seconds", clause("x", flag.OpAfter, `"1970-01-01T00:00:10.5Z"`), 10.75, true}, {"not after in seconds", clause("x", flag.OpAfter, `"1970-01-01T00:00:10.5Z"`), 10.5, false},
		{"time", clause("x", flag.OpAfter, `"2026-06-01T00:00:00Z"`), time.Date(2026, 6, 1, 0, 0, 0, 1, time.UTC), true}, {"not after the time", clause("x", flag.OpAfter, `"2026-06-01T00:00:00Z"`), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), false},
		{"day only", clause("x", flag.OpAfter, `"2026-06-01T00:00:00Z"`), "2027-01-01", false},
		{"version", clause("x", flag.OpVersionGreater, `"1.9.9"`), "v1.10.0", true}, {"prerelease", clause("x", flag.OpVersionLess, `"1.0.0"`), "1.0.0-rc.1", true}, {"no version", clause("x", flag.OpVersionNotEquals, `"1.0.0"`), "x", false},
		{"minor", clause("x", flag.OpVersionMinor, `"1.2"`), "1.2.7", true}, {"other minor", clause("x", flag.OpVersionMinor, `"1.2"`), "1.3.0", false}, {"major", clause("x", flag.OpVersionMajor, `"1"`), "1.9", true},
		{"number as version", clause("x", flag.OpVersionEquals, `"1.25.0"`), 1.25, true}, {"-0 has no version", clause("x", flag.OpVersionNotEquals, `"1"`), math.Copysign(0, -1), false}, {"list has no version", clause("x", flag.OpVersionEquals, `"1.0.0"`), []string{"1.0.0"}, false},
		{"into an object", clause("x.plan", flag.OpIn, `"pro"`), map[string]any{"plan": "pro"}, true}, {"into texts", clause("x.plan", flag.OpIn, `"pro"`), map[string]string{"plan": "pro"}, true},
		{"into a list", clause("x.1.a", flag.OpIn, `"pro"`), []any{0, map[string]any{"a": "pro"}}, true}, {"into a list of text", clause("x.1", flag.OpIn, `"b"`), []string{"a", "b"}, true},
		{"behind a list", clause("x.2", flag.OpExists), []any{0, 1}, false}, {"no place in a list", clause("x.01", flag.OpExists), []any{0, 1}, false}, {"into a text", clause("x.0", flag.OpExists), "abc", false},
		{"member that is not there", clause("x.plan", flag.OpExists), map[string]any{"plan": nil}, false},
		{"list of text", clause("x", flag.OpIn, `"b"`), []string{"a", "b"}, true},
		{"list without", clause("x", flag.OpIn, `"c"`), []string{"a", "b"}, false},
		{"mixed list", clause("x", flag.OpGreater, "5"), []any{"a", 6}, true},
		{"nested list", clause("x", flag.OpIn, `"a"`), []any{[]any{"a"}}, false},
		{"empty list exists", clause("x", flag.OpExists), []string{}, true},
		{"empty list", clause("x", flag.OpIn, `"a"`), []any{}, false},
		{"absent in", clause("x", flag.OpIn, `"a"`), "absent", false},
		{"not absent", flag.Condition{Not: &flag.Condition{Attribute: "x", Op: flag.OpExists}}, "absent", true},
		{"all", flag.Condition{All: []flag.Condition{clause("x", flag.OpExists), clause("x", flag.OpIn, `"a"`)}}, "a", true},
		{"all but one", flag.Condition{All: []flag.Condition{clause("x", flag.OpExists), clause("x", flag.OpIn, `"b"`)}}, "a", false},
		{"any", flag.Condition{Any: []flag.Condition{clause("y", flag.OpExists), clause("x", flag.OpIn, `"a"`)}}, "a", true},
		{"none of any", flag.Condition{Any: []flag.Condition{clause("y", flag.OpExists), clause("x", flag.OpIn, `"b"`)}}, "a", false},
		{"the key", clause("targetingKey", flag.OpEndsWith, `"9"`), "absent", true},
		{"segment by rule", flag.Condition{Segment: "plans"}, "pro", true},
		{"not in segment", flag.Condition{Segment: "plans"}, "free", false},
		{"member", flag.Condition{Segment: "members"}, "absent", true},
	}
	segments := []flag.Segment{
		{Key: "plans", When: &flag.Condition{Attribute: "x", Op: flag.OpIn, Values: []json.RawMessage{[]byte(`"pro"`)}}},
		{Key: "members", Members: []string{"u9"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := compile(t, flag.Set{Segments: segments, Flags: []flag.Flag{stringFlag("f", flag.Rule{When: &test.when, Serve: "on"})}})
			c := Context{TargetingKey: "u9", Attributes: map[string]any{"x": test.value}}
			if test.value == "absent" {
				c.Attributes = nil
			}
			want := Result{Variant: "off", Value: "OFF", Reason: ReasonDefault, Slot: 3}
			if test.matches {
				want = Result{Variant: "on", Value: "ON", Reason: ReasonTargetingMatch, Slot: 2}
			}
			if got := s.Evaluate("f", &c); got.Variant != want.Variant || got.Value != want.Value || got.Reason != want.Reason || got.Error != "" {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

func TestOrderOfEvaluation(t *testing.T) {
	half := func(salt, by string) *flag.Split {
		return &flag.Split{Salt: salt, BucketBy: by, Weights: []flag.Share{{Variant: "red", Weight: 50_000}, {Variant: "blue", Weight: 50_000}}}
	}
	off := stringFlag("off", flag.Rule{Serve: "on"})
	off.Enabled = false
	code := stringFlag("code")
	code.DefaultVariant = ""
	set := flag.Set{
		Segments: []flag.Segment{beta},
		Flags: []flag.Flag{off, code, stringFlag("static"), stringFlag("tried", flag.Rule{When: &flag.Condition{Segment: "beta"}, Serve: "red"}),
			stringFlag("split", flag.Rule{Split: half("", "")}), stringFlag("account", flag.Rule{Split: half("s", "account")}),
			stringFlag("nobody", flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on"}}}}),
			stringFlag("everybody", flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight}}}})},
		Allocations: []flag.Allocation{{Trial: "t", Flag: "tried", Version: "t.1.0", Salt: "t", Treatment: "on", Control: "off",
			Strata: []flag.Stratum{{Treatment: flag.TotalWeight}}}},
	}
	s := compile(t, set)
	tests := []struct {
		name, flag string
		c          *Context
		variant    string
		reason     Reason
		err        ErrorCode
		role       Role
	}{
		{"kill switch beats rules", "off", &Context{TargetingKey: "u"}, "", ReasonDisabled, "", RoleNone},
		{"no default", "code", nil, "", ReasonDefault, "", RoleNone},
		{"static", "static", nil, "off", ReasonStatic, "", RoleNone},
		{"unknown", "nope", nil, "", ReasonError, ErrorFlagNotFound, RoleNone},
		{"rule beats trial", "tried", &Context{TargetingKey: "u1"}, "red", ReasonTargetingMatch, "", RoleNone},
		{"trial beats default", "tried", &Context{TargetingKey: "u9"}, "on", ReasonSplit, "", RoleTreatment},
		{"no key, no trial", "tried", nil, "off", ReasonDefault, "", RoleNone},
		{"no key, no split", "split", &Context{}, "off", ReasonDefault, "", RoleNone},
		{"split by attribute", "account", &Context{Attributes: map[string]any{"account": "a"}}, []string{"red", "blue"}[bucket.Of(bucket.Hash("s", "a"), 2)], ReasonSplit, "", RoleNone},
		{"split by number", "account", &Context{Attributes: map[string]any{"account": 17.0}}, []string{"red", "blue"}[bucket.Of(bucket.Hash("s", "17"), 2)], ReasonSplit, "", RoleNone},
		{"split by a fraction", "account", &Context{Attributes: map[string]any{"account": 1.5}}, "off", ReasonDefault, "", RoleNone},
		{"the salt is the key", "split", &Context{TargetingKey: "u5"}, []string{"red", "blue"}[bucket.Of(bucket.Hash("split", "u5"), 2)], ReasonSplit, "", RoleNone},
		{"0 %", "nobody", &Context{TargetingKey: "ejOoVL"}, "off", ReasonDefault, "", RoleNone},
		{"100 %", "everybody", &Context{TargetingKey: "x"}, "on", ReasonSplit, "", RoleNone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := s.Evaluate(test.flag, test.c)
			if r.Variant != test.variant || r.Reason != test.reason || r.Error != test.err || r.Role != test.role || (r.Trial != nil) != (test.role != RoleNone) {
				t.Errorf("%+v", r)
			}
		})
	}
	if r := (*Snapshot)(nil).Evaluate("x", nil); r.Error != ErrorProviderNotReady {
		t.Errorf("nil snapshot: %+v", r)
	}
	if refs := s.Flag("tried").Trials(); len(refs) != 1 || refs[0] != s.Evaluate("tried", &Context{TargetingKey: "u9"}).Trial {
		t.Errorf("trials %v", refs)
	}
}

func TestSnapshotProperties(t *testing.T) {
	s := compile(t, flag.Set{Environment: "e", History: "h", Hash: "0a", Epoch: 2, Revision: 3, Flags: []flag.Flag{stringFlag("b"), stringFlag("a")}})
	if s.Environment() != "e" || s.History() != "h" || s.Hash() != "0a" || s.Epoch() != 2 || s.Revision() != 3 {
		t.Errorf("%+v", s)
	}
	if list := s.Flags(); len(list) != 2 || list[0].Key() != "a" || !list[1].Enabled() || list[1].Type() != flag.TypeString || list[1].Kind() != flag.KindRelease || len(list[1].Variants()) != 4 {
		t.Errorf("flags %v", list)
	}
	var none *Snapshot
	if none.Flag("x") != nil || none.Flags() != nil || none.Revision() != 0 || none.Flag("x").Key() != "" || none.Flag("x").Trials() != nil {
		t.Error("a nil snapshot has something")
	}
}

// ramp compiles a trial with a group at 50 % and everybody at w.
func ramp(t testing.TB, w flag.Weight) *Flag {
	strata := []flag.Stratum{{Segments: []string{"beta"}, Treatment: 50_000, Control: 50_000}}
	if w > 0 {
		strata = append(strata, flag.Stratum{Treatment: w, Control: min(w, flag.TotalWeight-w)})
	}
	return compile(t, flag.Set{Segments: []flag.Segment{beta}, Flags: []flag.Flag{stringFlag("f")},
		Allocations: []flag.Allocation{{Trial: "t", Flag: "f", Salt: "t", Treatment: "on", Control: "off", Strata: strata}}}).Flag("f")
}

func drawCondition(t *rapid.T, depth int) flag.Condition {
	forms := []string{"clause", "segment"}
	if depth > 0 {
		forms = append(forms, "all", "any", "not")
	}
	children := func() (list []flag.Condition) {
		for range rapid.IntRange(1, 3).Draw(t, "children") {
			list = append(list, drawCondition(t, depth-1))
		}
		return list
	}
	switch rapid.SampledFrom(forms).Draw(t, "form") {
	case "segment":
		return flag.Condition{Segment: rapid.SampledFrom([]string{"beta", "nope"}).Draw(t, "segment")}
	case "all":
		return flag.Condition{All: children()}
	case "any":
		return flag.Condition{Any: children()}
	case "not":
		c := drawCondition(t, depth-1)
		return flag.Condition{Not: &c}
	}
	op := rapid.SampledFrom([]flag.Op{flag.OpIn, flag.OpContains, flag.OpStartsWith, flag.OpEndsWith, flag.OpLess, flag.OpLessEq, flag.OpGreater, flag.OpGreaterEq, flag.OpExists}).Draw(t, "op")
	values := rapid.SliceOfN(rapid.SampledFrom([]string{`"a"`, `"ab"`, "1", "-2.5", "true", "false", "null"}), 0, 3).Draw(t, "values")
	return clause(rapid.SampledFrom([]string{"x", "y", "targetingKey"}).Draw(t, "attribute"), op, values...)
}

func drawSet(t *rapid.T) flag.Set {
	set := flag.Set{Segments: []flag.Segment{beta}}
	var rules []flag.Rule
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		r := flag.Rule{Serve: rapid.SampledFrom([]string{"on", "red", "nope"}).Draw(t, "serve")}
		if rapid.Bool().Draw(t, "split") {
			r.Serve, r.Split = "", &flag.Split{BucketBy: rapid.SampledFrom([]string{"", "x", "targetingKey"}).Draw(t, "by"),
				Weights: []flag.Share{{Variant: "red", Weight: flag.Weight(rapid.IntRange(0, 70_000).Draw(t, "w"))}, {Variant: "blue", Weight: 40_000}}}
		}
		if rapid.Bool().Draw(t, "when") {
			c := drawCondition(t, 3)
			r.When = &c
		}
		rules = append(rules, r)
	}
	f := stringFlag("f", rules...)
	f.Enabled = rapid.IntRange(0, 9).Draw(t, "enabled") > 0
	f.DefaultVariant = rapid.SampledFrom([]string{"", "off"}).Draw(t, "default")
	set.Flags = []flag.Flag{f}
	for i := range rapid.IntRange(0, 2).Draw(t, "trials") {
		w := flag.Weight(rapid.IntRange(0, 60_000).Draw(t, "share"))
		a := flag.Allocation{Trial: fmt.Sprint("t", i), Flag: "f", Salt: fmt.Sprint("t", i), Treatment: "on", Control: "off",
			Strata: []flag.Stratum{{Segments: []string{"beta"}, Treatment: 50_000, Control: 50_000}, {Treatment: w, Control: w}}}
		if rapid.Bool().Draw(t, "audience") {
			c := drawCondition(t, 2)
			a.Audience = &c
		}
		set.Allocations = append(set.Allocations, a)
	}
	return set
}

func drawContext(t *rapid.T) *Context {
	if rapid.IntRange(0, 9).Draw(t, "nil") == 0 {
		return nil
	}
	value := rapid.SampledFrom([]any{nil, "a", "abc", "", 1, int64(-3), 2.5, math.NaN(), true, []string{"a"}, []any{1, "ab", []any{}}, struct{}{}, map[string]any{}, strings.Repeat("é", 99)})
	return &Context{TargetingKey: rapid.SampledFrom([]string{"", "u1", "u7", "a", "\xff"}).Draw(t, "key"),
		Attributes: map[string]any{"x": value.Draw(t, "x"), "y": value.Draw(t, "y")}}
}

// Property: what Validate accepts Compile accepts, and the other way round, with the same words;
// what was compiled evaluates, and Explain agrees with it.
func TestWhateverIsValidCanBeEvaluatedAndExplained(t *testing.T) {
	valid := 0
	rapid.Check(t, func(t *rapid.T) {
		set := drawSet(t)
		before, _ := json.Marshal(set)
		s, err := Compile(set)
		if want := set.Validate(); fmt.Sprint(err) != fmt.Sprint(want) {
			t.Fatalf("Compile: %v, Validate: %v", err, want)
		}
		if after, _ := json.Marshal(set); string(after) != string(before) {
			t.Fatal("Compile changed the set")
		}
		if err != nil {
			return
		}
		valid++
		c := drawContext(t)
		r := s.Evaluate("f", c)
		e := s.Flag("f").Explain(c)
		if !reflect.DeepEqual(e.Result, r) {
			t.Fatalf("explained %+v, evaluated %+v", e.Result, r)
		}
		checkSteps(t, e, r)
	})
	if valid == 0 {
		t.Error("no valid set was drawn")
	}
}

// checkSteps holds that the last step, and only it, decided, and that it names what was served.
func checkSteps(t *rapid.T, e Explanation, r Result) {
	if len(e.Steps) == 0 {
		t.Fatal("nothing is explained")
	}
	for i, step := range e.Steps {
		if last := i == len(e.Steps)-1; step.Matched != last || step.Detail == "" || strings.Contains(step.Detail, "%!") {
			t.Fatalf("step %d of %d: %+v", i, len(e.Steps), step)
		}
	}
	last := e.Steps[len(e.Steps)-1]
	want := map[Reason][]string{ReasonDisabled: {"flag"}, ReasonDefault: {"default", "prerequisite"}, ReasonStatic: {"default"},
		ReasonTargetingMatch: {"rule", "override", "targeting"}, ReasonSplit: {"rule", "trial"}, ReasonError: {"targeting"}}[r.Reason]
	if !strings.Contains(strings.Join(want, " "), last.Part) || r.Variant != "" && !strings.Contains(last.Detail+last.Name, r.Variant) {
		t.Fatalf("served %q for %s, the last step is %+v", r.Variant, r.Reason, last)
	}
	if (last.Part == "trial") != (r.Role != RoleNone) {
		t.Fatalf("role %s, the last step is %+v", r.Role, last)
	}
}

// A unit keeps a few attributes that it has read; one that takes the place of another is read anew.
func TestMoreAttributesThanAUnitKeeps(t *testing.T) {
	var all, none []flag.Condition
	attributes := map[string]any{}
	for range 2 {
		for i := range 9 {
			name := fmt.Sprint("a", i)
			attributes[name] = name
			all = append(all, clause(name, flag.OpIn, `"`+name+`"`))
			none = append(none, clause(name, flag.OpIn, `"a`+fmt.Sprint((i+4)%9)+`"`))
		}
	}
	f := stringFlag("f", flag.Rule{When: &flag.Condition{Any: none}, Serve: "red"}, flag.Rule{When: &flag.Condition{All: all}, Serve: "on"})
	if r := compile(t, flag.Set{Flags: []flag.Flag{f}}).Evaluate("f", &Context{Attributes: attributes}); r.Variant != "on" {
		t.Errorf("%+v", r)
	}
}

// FuzzCompile: documents from outside, strict or not, validate, compile and evaluate without a
// panic, and the two agree.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"flags":[{"key":"f","kind":"release","type":"object","enabled":true,"variants":[{"name":"a","value":{"x":1}}],"rules":[{"serve":"a"}]}]}`), "u1")
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		var set flag.Set
		if json.Unmarshal(data, &set) != nil {
			return
		}
		s, err := Compile(set)
		if (err == nil) != (set.Validate() == nil) {
			t.Fatalf("Compile: %v, Validate: %v", err, set.Validate())
		}
		for _, one := range s.Flags() {
			c := Context{TargetingKey: key, Attributes: map[string]any{"x": key}}
			if e := one.Explain(&c); !reflect.DeepEqual(e.Result, one.Evaluate(&c)) {
				t.Errorf("explained %+v", e.Result)
			}
		}
	})
}

// FuzzWhatIsDecoded: a flag, a segment and a layer that come from outside and validate compile and
// evaluate without a panic, for any context.
func FuzzWhatIsDecoded(f *testing.F) {
	f.Add([]byte(`{"key":"f","kind":"release","type":"boolean","enabled":true,"variants":[{"name":"on","value":true}],"prerequisites":[{"flag":"base","variants":["on"]}],
		"overrides":[{"variant":"on","units":["u1"]}],"rules":[{"when":{"all":[{"segment":"s"},{"attribute":"o.x.0","op":"matches","values":["^a|b$"]}]},"serve":"on"},
		{"when":{"any":[{"attribute":"ip","op":"inCIDR","values":["10.0.0.0/8"]},{"attribute":"at","op":"before","values":["2026-01-01T00:00:00Z"]}]},"split":{"bucketBy":"o.x","weights":[{"variant":"on","weight":7}]}}]}`),
		[]byte(`{"key":"s","members":["u1"],"when":{"attribute":"v","op":"semver^","values":["1.2"]}}`), []byte(`{"key":"l","slots":[{"flag":"f","from":0,"to":50000}],"holdout":1000}`),
		[]byte(`{"targetingKey":"u1","ip":"10.1.1.1","at":5,"v":1.2,"o":{"x":["a"]}}`))
	f.Add([]byte(`{"key":"f","kind":"config","type":"string","enabled":true,"definition":{"state":"ENABLED","variants":{"a":"A"},"targeting":{"if":[{"$ref":"s"},"a",{"fractional":[["a",1]]}]}}}`),
		[]byte(`{"key":"s","rule":{"in":["a",{"var":"x"}]}}`), []byte(`{"key":"l","global":true,"holdout":9}`), []byte(`{"x":"abc"}`))
	f.Fuzz(func(t *testing.T, flagData, segmentData, layerData, contextData []byte) {
		set := flag.Set{Flags: []flag.Flag{booleanFlag("base")}}
		if one, err := flag.DecodeSegment(segmentData); err == nil && one.Validate() == nil {
			set.Segments = append(set.Segments, one)
		}
		if one, err := flag.DecodeFlag(flagData); err == nil && one.Key != "base" && one.Validate(set) == nil {
			set.Flags = append(set.Flags, one)
		}
		if one, err := flag.DecodeLayer(layerData); err == nil && one.Validate(set) == nil {
			set.Layers = append(set.Layers, one)
		}
		s, err := Compile(set)
		if err != nil {
			t.Fatalf("each part is valid, but not the set: %v", err)
		}
		c := Context{Time: 7}
		if json.Unmarshal(contextData, &c.Attributes) != nil {
			c.Attributes = nil
		}
		c.TargetingKey, _ = c.Attributes["targetingKey"].(string)
		for _, one := range s.Flags() {
			r := one.Evaluate(&c)
			if e := one.Explain(&c); !reflect.DeepEqual(e.Result, r) || len(e.Steps) == 0 {
				t.Errorf("explained %+v, evaluated %+v", e, r)
			}
		}
	})
}
