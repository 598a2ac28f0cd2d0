package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
	"pgregory.net/rapid"
)

// listed are the members of the worlds' list, and listKey its key.
var (
	listed  = []string{"u3", "u5", "u8"}
	listKey = strings.Repeat("0a", 16)
)

// loadList gives the worlds' list as an SDK would have loaded it.
func loadList(t testing.TB) func(flag.List) (*members.Set, bool) {
	key, err := members.ParseKey(listKey)
	if err != nil {
		t.Fatal(err)
	}
	collector := members.NewCollector(key)
	for _, member := range listed {
		collector.Add(member)
	}
	set, err := members.Build(key, collector.Edits(), 10)
	if err != nil {
		t.Fatal(err)
	}
	return func(l flag.List) (*members.Set, bool) { return set, l.HashKey == listKey }
}

// operandsOf are values that each operator takes, such that contexts meet them often.
var operandsOf = map[flag.Op][]string{
	flag.OpIn: {`"a"`, `"ab"`, "1", "-2.5", "true", "false", `""`}, flag.OpEquals: {`"a"`, "1", "true", `"1.2.3"`},
	flag.OpContains: {`"b"`, `"é"`}, flag.OpStartsWith: {`"a"`, `"1"`}, flag.OpEndsWith: {`"c"`, `"b"`},
	flag.OpMatches: {`"^a"`, `"[0-9]+\\.[0-9]"`, `"(?i)B|é$"`}, flag.OpInCIDR: {`"10.0.0.0/8"`, `"10.1.2.3"`, `"2001:db8::/32"`, `"0.0.0.0/0"`},
	flag.OpLess: {"1", "-2.5", "9007199254740991"}, flag.OpLessEq: {"1"}, flag.OpGreater: {"0", "1.5"}, flag.OpGreaterEq: {"1", "2"},
	flag.OpBefore: {`"2026-06-01T00:00:00Z"`, `"1970-01-01T00:00:02+00:00"`}, flag.OpAfter: {`"2026-06-01T02:00:00+02:00"`, `"1970-01-01T00:00:00.5Z"`},
	flag.OpExists:        nil,
	flag.OpVersionEquals: {`"1.2.3"`, `"1"`}, flag.OpVersionNotEquals: {`"1.2.3"`}, flag.OpVersionLess: {`"1.2.3"`, `"2.0.0-rc.10"`}, flag.OpVersionLessEq: {`"1.2"`},
	flag.OpVersionGreater: {`"1.2.3-rc.2"`}, flag.OpVersionGreaterEq: {`"v1"`}, flag.OpVersionMinor: {`"1.2"`}, flag.OpVersionMajor: {`"1"`},
}

var opNames = func() (names []flag.Op) {
	for op := range ops {
		names = append(names, op)
	}
	for i := range names { // sorted, so that failures can be repeated
		for j := range i {
			if names[i] < names[j] {
				names[i], names[j] = names[j], names[i]
			}
		}
	}
	return names
}()

var attributeNames = []string{"x", "y", "targetingKey", "o.x", "o.list.1", "o.deep.er", "texts.0"}

// pick draws one of a list.
func pick[T any](t *rapid.T, what string, list ...T) T {
	return rapid.SampledFrom(list).Draw(t, what)
}

// worldCondition draws a valid condition; segments are those it may name.
func worldCondition(t *rapid.T, depth int, segments ...string) *flag.Condition {
	forms := []string{"clause", "clause"}
	if len(segments) > 0 {
		forms = append(forms, "segment")
	}
	if depth > 0 {
		forms = append(forms, "all", "any", "not")
	}
	children := func() (list []flag.Condition) {
		for range rapid.IntRange(1, 3).Draw(t, "children") {
			list = append(list, *worldCondition(t, depth-1, segments...))
		}
		return list
	}
	switch pick(t, "form", forms...) {
	case "segment":
		return &flag.Condition{Segment: pick(t, "segment", segments...)}
	case "all":
		return &flag.Condition{All: children()}
	case "any":
		return &flag.Condition{Any: children()}
	case "not":
		return &flag.Condition{Not: worldCondition(t, depth-1, segments...)}
	}
	op := pick(t, "op", opNames...)
	c := flag.Condition{Attribute: pick(t, "attribute", attributeNames...), Op: op}
	several := map[flag.Op]bool{flag.OpIn: true, flag.OpContains: true, flag.OpStartsWith: true, flag.OpEndsWith: true, flag.OpMatches: true, flag.OpInCIDR: true}
	if all := operandsOf[op]; len(all) > 0 {
		first := rapid.IntRange(0, len(all)-1).Draw(t, "operand")
		for _, raw := range all[first:] {
			c.Values = append(c.Values, json.RawMessage(raw))
			if !several[op] {
				break
			}
		}
	}
	return &c
}

// maybe draws a condition or none.
func maybe(t *rapid.T, segments ...string) *flag.Condition {
	if rapid.Bool().Draw(t, "everybody") {
		return nil
	}
	return worldCondition(t, 2, segments...)
}

// drawWorld draws a set of flags in which everything of the model occurs, and which is valid.
func drawWorld(t *rapid.T) flag.Set {
	set := flag.Set{Segments: []flag.Segment{
		{Key: "plain", Members: []string{"u1", "u2"}, When: maybe(t)},
		{Key: "long", List: &flag.List{HashKey: pick(t, "list", listKey, strings.Repeat("ff", 16)), Count: 3, Parts: []flag.ListPart{{Digest: strings.Repeat("00", 32), Bytes: 24}}}},
		{Key: "logic", Rule: []byte(pick(t, "rule", `{"==":[{"var":"x"},"a"]}`, `{"in":[{"var":"targetingKey"},["u1","u4"]]}`, `{">":[{"var":"$flagd.timestamp"},5]}`, `{"fractional":[["",1],["x",1]]}`, `{"==":[{"var":"$flagd.flagKey"},"f1"]}`))},
	}}
	names := []string{"plain", "long", "logic"}
	if set.Segments[0].When == nil && rapid.Bool().Draw(t, "empty") {
		set.Segments[0].Members = nil
	}
	for i := range 4 {
		set.Flags = append(set.Flags, drawFlag(t, i, names))
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "trials") {
		on := pick(t, "tried", "f0", "f1", "f2")
		w := flag.Weight(rapid.IntRange(0, 50_000).Draw(t, "share"))
		set.Allocations = append(set.Allocations, flag.Allocation{Trial: fmt.Sprint("t", i), Flag: on, Salt: fmt.Sprint("t", i), Treatment: "on", Control: "off", Audience: maybe(t, names...),
			Strata: []flag.Stratum{{Segments: []string{pick(t, "stratum", names...)}, Treatment: 50_000, Control: 50_000}, {Treatment: w, Control: w}}})
	}
	if rapid.Bool().Draw(t, "layer") {
		middle := flag.Weight(rapid.IntRange(1, 79_999).Draw(t, "middle"))
		set.Layers = append(set.Layers, flag.Layer{Key: "layer", Salt: pick(t, "salt", "", "z"), Holdout: 20_000, Slots: []flag.Slot{{Flag: "f1", From: middle, To: 80_000}, {Flag: "f0", To: middle}}})
	}
	if rapid.Bool().Draw(t, "global") {
		set.Layers = append(set.Layers, flag.Layer{Key: "everybody", Global: true, Holdout: pick[flag.Weight](t, "holdout", 0, 10_000, 90_000)})
	}
	return set
}

func drawFlag(t *rapid.T, i int, segments []string) flag.Flag {
	f := stringFlag(fmt.Sprint("f", i))
	f.DefaultVariant = pick(t, "default", "", "off")
	f.Enabled = rapid.IntRange(0, 9).Draw(t, "enabled") > 0
	if i == 3 && rapid.Bool().Draw(t, "raw") {
		f.Variants, f.DefaultVariant = nil, ""
		f.Definition = []byte(pick(t, "definition",
			`{"state":"ENABLED","variants":{"on":"ON","off":"OFF"},"defaultVariant":"off","targeting":{"if":[{"$ref":"logic"},"on",null]}}`,
			`{"state":"ENABLED","variants":{"on":"ON","off":"OFF"},"targeting":{"fractional":[["on",1],["off",1]]}}`,
			`{"state":"ENABLED","variants":{"on":"ON"},"targeting":{"var":"x"}}`,
			`{"state":"ENABLED","variants":{"on":"ON"},"defaultVariant":"on"}`,
			`{"state":"ENABLED","variants":{"on":"ON"}}`,
			`{"state":"DISABLED","variants":{"on":"ON"},"defaultVariant":"on"}`))
		return f
	}
	if rapid.IntRange(0, 3).Draw(t, "needs") == 0 {
		for j := i + 1; j < 4; j++ {
			f.Prerequisites = append(f.Prerequisites, flag.Prerequisite{Flag: fmt.Sprint("f", j), Variants: []string{"on"}})
		}
	}
	if rapid.Bool().Draw(t, "overrides") {
		f.Overrides = []flag.Override{{Variant: "red", Units: []string{"u1"}}, {Variant: "blue", Units: []string{"u6", "u7"}}}
	}
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		rule := flag.Rule{Serve: pick(t, "serve", "on", "red"), When: maybe(t, segments...)}
		if rapid.Bool().Draw(t, "split") {
			rule.Serve, rule.Split = "", &flag.Split{BucketBy: pick(t, "by", append([]string{"", "", ""}, attributeNames...)...), Salt: pick(t, "salt", "", "z"),
				Weights: []flag.Share{{Variant: "red", Weight: flag.Weight(rapid.IntRange(0, 60_000).Draw(t, "w"))}, {Variant: "on", Weight: 0}, {Variant: "blue", Weight: 30_000}}}
		}
		f.Rules = append(f.Rules, rule)
	}
	return f
}

func worldContext(t *rapid.T) Context {
	scalars := []any{nil, "a", "abc", "", "é", "10.1.2.3", "::ffff:10.9.9.9", "2001:db8::1", "fe80::1%eth0", "1.2.3", "v1.2", "2.0.0-rc.1", "1.2.3-rc.10+b", "01.2", "2026-06-01T00:00:00Z", "2026-06-01T00:00:00.5+02:00",
		1, int64(-3), uint8(2), float32(1.5), 2.5, -2.5, 1e18, uint64(math.MaxUint64), int64(math.MinInt64), math.NaN(), math.Inf(1), math.Copysign(0, -1), true, false,
		1_780_000_000, 1.25, strings.Repeat("a", flag.MaxMatched), strings.Repeat("a", flag.MaxMatched+1), struct{}{}, time.Unix(1, 0), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)}
	values := append([]any{[]string{"a", "abc"}, []string{}, []any{1, "ab", []any{"a"}, nil, false}, []any{}, map[string]any{"x": "a"}}, scalars...)
	one := func(what string) any { return pick(t, what, values...) }
	return Context{TargetingKey: pick(t, "key", "", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "a", "abc", "\xff"), Time: pick[int64](t, "time", 0, 10),
		Attributes: map[string]any{"x": one("x"), "y": one("y"), "texts": []string{"a", "b"}, "o.x": "flat", "targetingKey": "other",
			"o": map[string]any{"x": one("o.x"), "list": []any{1, one("o.list.1")}, "deep": map[string]string{"er": "abc"}}}}
}

// Property: the compiled evaluator gives what the reference gives, and Explain gives the same with
// steps that lead there; validation accepts what was drawn, and compiling changes nothing.
func TestEvaluationIsThatOfTheReference(t *testing.T) {
	lists := loadList(t)
	reasons := map[Reason]int{}
	rapid.Check(t, func(t *rapid.T) {
		set := drawWorld(t)
		before, _ := json.Marshal(set)
		s, err := CompileWith(set, lists)
		if err != nil {
			t.Fatalf("%s: %v", before, err)
		}
		if after, _ := json.Marshal(set); string(after) != string(before) {
			t.Fatal("Compile changed the set")
		}
		if missing, want := len(s.MissingLists()) > 0, set.Segments[1].List.HashKey != listKey; missing != want {
			t.Fatalf("missing lists %v", s.MissingLists())
		}
		r := reference{set: set, lists: map[string][]string{listKey: listed}}
		for range 10 {
			c := worldContext(t)
			for _, f := range s.Flags() {
				got, want := f.Evaluate(&c), r.evaluate(f.Key(), c)
				trial := ""
				if got.Trial != nil {
					trial = got.Trial.Trial
				}
				if (outcome{got.Variant, got.Reason, trial, got.Role}) != want {
					t.Fatalf("flag %s of %s\nfor %+v: %+v, want %+v", f.Key(), before, c, got, want)
				}
				reasons[got.Reason]++
				e := f.Explain(&c)
				if !sameResult(e.Result, got) {
					t.Fatalf("explained %+v, evaluated %+v", e.Result, got)
				}
				checkSteps(t, e, got)
			}
		}
	})
	for _, reason := range []Reason{ReasonStatic, ReasonTargetingMatch, ReasonSplit, ReasonDefault, ReasonDisabled, ReasonError} {
		if reasons[reason] == 0 {
			t.Errorf("no evaluation was drawn that gives %s; there were %v", reason, reasons)
		}
	}
}

func sameResult(a, b Result) bool { return reflect.DeepEqual(a, b) }

// UsesTime is true of every flag whose result depends on the time.
func TestWhatUsesTimeSaysSo(t *testing.T) {
	used := 0
	rapid.Check(t, func(t *rapid.T) {
		s, err := Compile(drawWorld(t))
		if err != nil {
			t.Fatal(err)
		}
		c := worldContext(t)
		early, late := c, c
		early.Time, late.Time = 1, 10
		for _, f := range s.Flags() {
			if a, b := f.Evaluate(&early), f.Evaluate(&late); !sameResult(a, b) && !f.UsesTime() {
				t.Fatalf("flag %s gives %+v, later %+v, and says it does not use the time", f.Key(), a, b)
			}
			used += btoi(f.UsesTime())
		}
	})
	if used == 0 {
		t.Error("no flag was drawn that uses the time")
	}
}
