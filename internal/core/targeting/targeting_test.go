package targeting

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func evaluate(t *testing.T, rule string, in *Input) (any, error) {
	t.Helper()
	p, err := Compile(json.RawMessage(rule), nil)
	if err != nil {
		t.Fatalf("%s does not compile: %v", rule, err)
	}
	return p.Evaluate(in)
}

var someInput = Input{FlagKey: "checkout", TargetingKey: "user-1", Time: 1_790_000_000, Attributes: map[string]any{
	"s": "text", "i": 7, "u8": uint8(8), "i32": int32(-5), "f32": float32(0.5), "u": uint64(1 << 53), "b": true, "l": []any{1.0, "a", nil},
	"texts": []string{"x", "y"}, "labels": map[string]string{"tier": "gold"}, "at": time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
	"user": map[string]any{"name": "Jane", "tags": []any{"a", map[string]any{"b": "deep"}}}, "odd": struct{}{}, "targetingKey": "not this", "$flagd": "not this",
}}

// What no public case covers; where the two engines of flagd differ, the package comment says why
// it is so.
func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		rule string
		want any
	}{
		{`{"var": "i"}`, 7.0}, {`{"var": "u8"}`, 8.0}, {`{"var": "i32"}`, -5.0}, {`{"var": "f32"}`, 0.5}, {`{"var": "u"}`, float64(1 << 53)},
		{`{"var": "texts.1"}`, "y"}, {`{"var": "labels.tier"}`, "gold"}, {`{"var": "labels.none"}`, nil}, {`{"var": "at"}`, "2026-11-24T00:00:00Z"},
		{`{"var": "odd"}`, nil}, {`{"var": "user.tags.1.b"}`, "deep"}, {`{"var": "user..name"}`, "Jane"}, {`{"var": "user.tags.2"}`, nil},
		{`{"var": "user.tags.x"}`, nil}, {`{"var": "user.tags.-1"}`, nil}, {`{"var": "s.length"}`, nil}, {`{"var": ["none", {"var": "s"}]}`, "text"},
		{`{"var": {"cat": ["us", "er.name"]}}`, "Jane"}, {`{"var": {"merge": ["none", "d"]}}`, "d"},
		{`{"var": "targetingKey"}`, "user-1"}, {`{"var": "$flagd.flagKey"}`, "checkout"}, {`{"var": "$flagd.timestamp"}`, 1_790_000_000.0},
		{`{"var": "$flagd.other"}`, nil}, {`{"var": "$flagd"}`, map[string]any{"flagKey": "checkout", "timestamp": 1_790_000_000.0}},
		{`{"some": [{"var": "texts"}, {"==": [{"var": "$flagd.flagKey"}, "checkout"]}]}`, false},
		{`{"map": [{"var": "texts"}, {"fractional": ["k", ["on", 1]]}]}`, []any{nil, nil}},

		{`{"==": [null, 0]}`, false}, {`{"==": ["", 0]}`, true}, {`{"==": [" ", 0]}`, true}, {`{"==": ["0x10", 16]}`, false}, {`{"==": [[1], [1]]}`, false},
		{`{"==": [1]}`, false}, {`{"!=": [1]}`, true}, {`{"===": [null, null]}`, true}, {`{"!==": [1]}`, true}, {`{"<": ["b", "a"]}`, false},
		{`{"<": ["x", 1]}`, false}, {`{"<": [1, 2, 3, 0]}`, true}, {`{">": [3, 2, 1]}`, true}, {`{">=": [3, 3, 4]}`, false},
		{`{"!": {"var": "texts"}}`, false}, {`{"!": {"var": "none"}}`, true}, {`{"!!": [{}]}`, false}, {`{"!": []}`, true}, {`{"!!": [[]]}`, false},
		{`{"and": true}`, true}, {`{"or": []}`, nil}, {`{"if": 5}`, 5.0}, {`{"if": [{"var": "labels"}, {"a": 1, "b": 2}]}`, map[string]any{"a": 1.0, "b": 2.0}},

		{`{"+": [null, true, "2", "x"]}`, 3.0}, {`{"-": []}`, 0.0}, {`{"*": []}`, 1.0}, {`{"max": []}`, nil}, {`{"/": [1, 0]}`, math.Inf(1)}, {`{"!": {"%": [1, 0]}}`, false},
		{`{"+": {"var": "l.0"}}`, 1.0}, {`{"max": {"map": [[1, 5, 3], {"var": ""}]}}`, 5.0}, {`{"%": [-7, 3]}`, -1.0},

		{`{"cat": [" a", 1.5, true, null, "b "]}`, "a1.5trueb"}, {`{"cat": " a "}`, " a "}, {`{"cat": []}`, ""}, {`{"cat": [1e21]}`, "1000000000000000000000"},
		{`{"substr": ["héllo", 1, 1]}`, "é"}, {`{"substr": ["abc", 5]}`, "abc"}, {`{"substr": ["abc", -5]}`, "abc"}, {`{"substr": ["abc", 2, -2]}`, ""},
		{`{"substr": [123, 1]}`, "23"}, {`{"substr": ["abc", 1e300]}`, "abc"}, {`{"substr": ["abc", 0, -1e300]}`, ""}, {`{"substr": ["abc", {"%": [1, 0]}]}`, "abc"},

		{`{"in": [null, "abc"]}`, false}, {`{"in": [1, "a1"]}`, true}, {`{"in": ["a"]}`, false}, {`{"in": [5, [[1, 10]]]}`, true}, {`{"in": [11, [[1, 10]]]}`, false},
		{`{"in": [5, ["5"]]}`, true}, {`{"in": ["5", [5]]}`, false}, {`{"in": [0, ["a"]]}`, false}, {`{"in": [null, [1, null]]}`, true}, {`{"in": [true, [1]]}`, false},
		{`{"in": [5, [0, 1, 2, 3, 4, "5", 6, 7, 8, 9]]}`, true}, {`{"in": ["5", [0, 1, 2, 3, 4, "5", 6, 7, 8, [9, 9]]]}`, true}, {`{"in": [5, [0, 1, 2, 3, 4, 6, 7, 8, 9, [5, 5]]]}`, true},
		{`{"in": ["5", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]}`, false}, {`{"in": [false, [0, 1, 2, 3, 4, "5", 6, 7, 8, false]]}`, true}, {`{"in": [{"var": "user"}, [{}, 1]]}`, false},

		{`{"merge": [1, [2, [3]], null]}`, []any{1.0, 2.0, []any{3.0}, nil}}, {`{"filter": [{"var": "none"}, true]}`, []any{}}, {`{"map": [[1]]}`, []any{}},
		{`{"all": [[], true]}`, false}, {`{"none": [[], true]}`, true}, {`{"some": [{"var": "none"}, true]}`, false},
		{`{"reduce": [{"var": "none"}, 1, 7]}`, 0.0}, {`{"reduce": [[1, null, 2], {"+": [{"var": "current"}, {"var": "accumulator"}]}, 1]}`, 4.0},
		{`{"reduce": [["a", "b"], {"cat": [{"var": "accumulator"}, {"var": "current"}]}, ""]}`, "ab"}, {`{"reduce": [[1, 2], {"var": "current"}, false]}`, true},
		{`{"reduce": [[1, 2], {"merge": [{"var": "accumulator"}, {"var": "current"}]}, []]}`, []any{1.0, 2.0}},
		{`{"reduce": [[[1, 2], [3]], {"+": [{"var": "accumulator"}, {"reduce": [{"var": "current"}, {"+": [{"var": "accumulator"}, {"var": "current"}]}, 0]}]}, 10]}`, 16.0},
		{`{"missing_some": [1, ["s", "none"]]}`, []any{}}, {`{"missing": [["s", "none"]]}`, []any{"none"}}, {`[{"var": "s"}, 1]`, []any{"text", 1.0}},

		{`{"sem_ver": [{"var": "i"}, ">=", "6.9"]}`, true}, {`{"sem_ver": [1.2, "=", "v1.2.0"]}`, true}, {`{"sem_ver": [true, "=", "1"]}`, nil},
		{`{"sem_ver": ["1", 1, "1"]}`, nil}, {`{"starts_with": ["abc", "ab", "c"]}`, nil}, {`{"ends_with": {"var": "texts"}}`, false},
	} {
		got, err := evaluate(t, c.rule, &someInput)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s gives %#v, %v; want %#v", c.rule, got, err, c.want)
		}
	}
}

func TestVarGivesTheWholeContext(t *testing.T) {
	for _, rule := range []string{`{"var": ""}`, `{"var": []}`, `{"var": null}`, `{"var": [{"var": "none"}, 3]}`} {
		got, err := evaluate(t, rule, &someInput)
		all, _ := got.(map[string]any)
		flagd, _ := all["$flagd"].(map[string]any)
		if err != nil || len(all) != len(someInput.Attributes) || all["targetingKey"] != "user-1" || all["s"] != "text" || flagd["flagKey"] != "checkout" {
			t.Errorf("%s gives %v, %v", rule, got, err)
		}
	}
	if someInput.Attributes["targetingKey"] != "not this" {
		t.Error("the input has changed")
	}
}

// Constants of the shape of the test kit's, with the variants and buckets of the reference.
func TestFractional(t *testing.T) {
	const suits = `["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]`
	const byName = `{"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "name"}]}, ` + suits + `]}`
	const shared = `{"fractional": [{"cat": ["shared-seed", {"var": "name"}]}, ` + suits + `]}`
	const short = `{"fractional": [["heads"], ["tails", 1]]}`
	const half = `{"fractional": [{"var": "targetingKey"}, ["lower", 50], ["upper", 50]]}`
	for _, c := range []struct {
		rule, flag, unit string
		name, want       any
	}{
		{byName, "fractional-flag", "", "jack", "hearts"}, {byName, "fractional-flag", "", "queen", "spades"}, {byName, "fractional-flag", "", "ten", "clubs"},
		{byName, "fractional-flag", "", "nine", "diamonds"}, {byName, "fractional-flag", "", 3, "clubs"}, {byName, "fractional-flag", "", "jack \t", "hearts"},
		{shared, "", "", "seven", "hearts"}, {shared, "", "", "eight", "diamonds"}, {shared, "", "", "nine", "clubs"}, {shared, "", "", "two", "spades"},
		{shared, "", "", "two \n", "spades"}, {shared, "", "", []any{}, errors.New("has no text")},
		{short, "fractional-flag-shorthand", "jon@company.com", nil, "heads"}, {short, "fractional-flag-shorthand", "jane@company.com", nil, "tails"}, {short, "f", "", nil, nil},
		{half, "", "ejOoVL", nil, "lower"}, {half, "", "bY9fO-", nil, "lower"}, {half, "", "SI7p-", nil, "lower"}, {half, "", "6LvT0", nil, "upper"}, {half, "", "ceQdGm", nil, "upper"},
		{`{"fractional": [{"var": "none"}, ["heads"], ["tails", 1]]}`, "fractional-flag-shorthand", "jane@company.com", nil, "tails"},
		{`{"fractional": [null, ["heads"], ["tails", 1]]}`, "fractional-flag-shorthand", "jane@company.com", nil, "tails"},
		{`{"fractional": {"merge": [[["heads"]], [["tails", 1]]]}}`, "fractional-flag-shorthand", "jane@company.com", nil, "tails"},
		{`{"fractional": [{"merge": ["heads", 1]}, ["tails", {"+": [0, 1]}]]}`, "fractional-flag-shorthand", "jane@company.com", nil, "tails"},
		{`{"fractional": ["x", ["a", 0], ["b", {"-": 5}], ["c", null]]}`, "", "", nil, "c"}, {`{"fractional": ["x", ["a", 0], ["b", -3]]}`, "", "", nil, nil},
		{`{"fractional": ["x", ["a", 2147483647]]}`, "", "", nil, "a"}, {`{"fractional": ["x", ["a", 2147483647], ["b", 1]]}`, "", "", nil, nil},
		{`{"fractional": ["x", ["a", 2147483647], ["b", {"+": 1}]]}`, "", "", nil, nil}, {`{"fractional": ["x", ["a", 1.5]]}`, "", "", nil, nil},
		{`{"fractional": ["x", ["a", {"*": [1, 1e300]}]]}`, "", "", nil, nil}, {`{"fractional": ["x", ["a", {"/": [0, 0]}]]}`, "", "", nil, nil},
		{`{"fractional": ["x", ["a", "1"]]}`, "", "", nil, nil}, {`{"fractional": ["x", []]}`, "", "", nil, nil}, {`{"fractional": ["x", "a"]}`, "", "", nil, nil},
		{`{"fractional": ["x"]}`, "", "", nil, nil}, {`{"fractional": []}`, "", "u", nil, nil}, {`{"fractional": [5, ["a", 1]]}`, "", "u", nil, nil},
		{`{"fractional": ["x", [["a"], 1]]}`, "", "", nil, nil}, {`{"fractional": ["x", [false, 1]]}`, "", "", nil, false}, {`{"fractional": ["x", [3, 1]]}`, "", "", nil, 3.0},
		{`{"fractional": ["x", [{"var": "name"}, 1], ["b", 0]]}`, "", "", "N", "N"},
	} {
		got, err := evaluate(t, c.rule, &Input{FlagKey: c.flag, TargetingKey: c.unit, Attributes: map[string]any{"name": c.name}})
		if want, fails := c.want.(error); fails {
			if err == nil || !strings.Contains(err.Error(), want.Error()) {
				t.Errorf("%s for %v: error %v, want %v", c.rule, c.name, err, want)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s for %q %v gives %v, %v; want %v", c.rule, c.unit, c.name, got, err, c.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	evaluators := map[string]json.RawMessage{"bad/one": []byte(`{"nope": 1}`), "nested": []byte(`{"!": {"$ref": "good"}}`), "good": []byte(`true`), "text": []byte(`tru`)}
	for _, c := range []struct{ rule, pointer, detail string }{
		{`{"nope": 1}`, "/nope", "no operator"}, {`{"if": [true, {"a/b~": []}]}`, "/if/1/a~1b~0", "no operator"}, {``, "", "not valid JSON"}, {`{} {}`, "", "not valid JSON"},
		{`{"!": 1e999}`, "", "not valid JSON"}, {`{"$ref": "absent"}`, "/$ref", `no evaluator "absent"`}, {`{"$ref": 5}`, "/$ref", "no evaluator"},
		{`{"!": {"$ref": "bad/one"}}`, "/$evaluators/bad~1one/nope", "no operator"}, {`{"$ref": "nested"}`, "/$evaluators/nested/!/$ref", "cannot refer"},
		{`{"$ref": "text"}`, "/$evaluators/text", "not valid JSON"}, {`{"in": []}`, "/in", "at least 1"}, {`{"%": 5}`, "/%", "at least 2"}, {`{"all": [[]]}`, "/all", "at least 2"},
		{strings.Repeat(`{"!":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth), strings.Repeat("/!", MaxDepth), "nested deeper"},
		{`[` + strings.Repeat(`0,`, MaxNodes) + `0]`, fmt.Sprint("/", MaxNodes-1), "more than"}, {`"` + strings.Repeat("a", MaxRuleBytes) + `"`, "", "bytes"},
	} {
		_, err := Compile(json.RawMessage(c.rule), evaluators)
		var problem *Error
		if !errors.As(err, &problem) || problem.Pointer != c.pointer || !strings.Contains(problem.Detail, c.detail) {
			t.Errorf("%.60s: error %.200v; want %.60q at %.60q", c.rule, err, c.detail, c.pointer)
		}
	}
	deepest := strings.Repeat(`{"!":`, MaxDepth-1) + "1" + strings.Repeat("}", MaxDepth-1)
	if got, err := evaluate(t, deepest, &Input{}); err != nil || got != (MaxDepth%2 != 0) {
		t.Errorf("the deepest rule gives %v, %v", got, err)
	}
}

// Whatever is too much work ends in an error, and soon.
func TestEvaluationIsBounded(t *testing.T) {
	long := make([]any, 1000)
	for i := range long {
		long[i] = float64(i)
	}
	in := &Input{TargetingKey: strings.Repeat("k", 1<<20), Attributes: map[string]any{"l": long, "t": strings.Repeat("a", 1<<16), "texts": slices.Repeat([]string{"a"}, 1<<20)}}
	for _, c := range []struct{ rule, at, detail string }{
		{`{"all": [{"var": "l"}, {"all": [{"var": "l"}, true]}]}`, "", ""}, // the inner list is null
		{`{"map": [{"var": "texts"}, {"!": {"var": ""}}]}`, "/map/1/!", "more than 100000 steps"},
		{`{"reduce": [{"var": "l"}, {"merge": [{"var": "accumulator"}, {"var": "accumulator"}]}, [1]]}`, "/reduce/1/merge", "more than 100000 steps"},
		{`{"reduce": [{"var": "l"}, {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, "ab"]}`, "/reduce/1/cat", "more than 65536 bytes"},
		{`{"cat": [{"var": "t"}, "a"]}`, "/cat", "more than 65536 bytes"}, {`{"substr": [{"var": "targetingKey"}, 1]}`, "", ""},
		{`{"merge": [{"var": "texts"}]}`, "/merge", "steps"}, {`{"+": {"var": "texts"}}`, "/+", "steps"}, {`{"missing": {"var": "texts"}}`, "/missing", "steps"},
		{`{"in": ["b", {"var": "texts"}]}`, "/in", "steps"}, {`{"+": [{"var": "l"}]}`, "/+", "is a list"}, {`{"filter": ["abc", true]}`, "/filter", "goes through a string"},
		{`{"var": {"!": 1}}`, "/var", "must be a string"}, {`{"missing": [{"!": 1}]}`, "/missing", "must be a string"}, {`{"%": {"merge": [1]}}`, "/%", "at least 2"},
	} {
		_, err := evaluate(t, c.rule, in)
		var problem *Error
		if c.detail == "" {
			if err != nil {
				t.Errorf("%s: %v", c.rule, err)
			}
		} else if !errors.As(err, &problem) || problem.Pointer != c.at || !strings.Contains(problem.Detail, c.detail) {
			t.Errorf("%s: error %v; want %q at %q", c.rule, err, c.detail, c.at)
		}
	}
}

func TestUsesTimeAndRefs(t *testing.T) {
	evaluators := map[string]json.RawMessage{"late": []byte(`{">": [{"var": "$flagd.timestamp"}, 5]}`), "one": []byte(`{"some": [{"var": "l"}, {"var": ""}]}`)}
	for _, c := range []struct {
		rule string
		time bool
		refs []string
	}{
		{`{"if": [{"$ref": "late"}, "a", {"!": {"$ref": "one"}}]}`, true, []string{"late", "one"}}, {`{"some": [{"var": "l"}, {"$ref": "one"}]}`, false, []string{"one"}},
		{`{"or": [{"$ref": "one"}, {"some": [[1], {"$ref": "one"}]}]}`, false, []string{"one"}}, {`{"var": "$flagd"}`, true, nil}, {`{"var": ""}`, true, nil},
		{`{"var": {"var": "x"}}`, true, nil}, {`{"var": "$flagd.flagKey"}`, false, nil}, {`{"$ref": "x", "b": 1}`, false, nil},
	} {
		p, err := Compile(json.RawMessage(c.rule), evaluators)
		if err != nil || p.UsesTime() != c.time || !slices.Equal(p.Refs(), c.refs) {
			t.Errorf("%s: %v, uses the time: %t, refs %v", c.rule, err, p.UsesTime(), p.Refs())
		}
	}
	p, err := Compile(json.RawMessage(`{"$ref": "late"}`), evaluators)
	if err != nil {
		t.Fatal(err)
	}
	for now, want := range map[int64]bool{5: false, 6: true} {
		if got, err := p.Test(&Input{Time: now}); err != nil || got != want {
			t.Errorf("at %d: %t, %v", now, got, err)
		}
	}
}

func TestTruthy(t *testing.T) {
	for _, v := range []any{nil, false, 0, 0.0, "", []any{}, []string{}, map[string]any{}, map[string]string{}, struct{}{}} {
		if Truthy(v) {
			t.Errorf("%#v is true", v)
		}
	}
	for _, v := range []any{true, -1, 0.1, "0", []any{nil}, []string{""}, map[string]any{"a": nil}, map[string]string{"": ""}, time.Time{}} {
		if !Truthy(v) {
			t.Errorf("%#v is false", v)
		}
	}
}

// Whatever compiles evaluates to a value that JSON can be made of, or to an error.
func FuzzEvaluate(f *testing.F) {
	for _, rule := range benchmarks {
		f.Add([]byte(rule), []byte(`{"group": "x", "groups": ["a"], "user": {"age": 3}}`), "u")
	}
	for _, rule := range []string{
		`{"reduce":[{"var":"l"},{"merge":[{"var":"accumulator"},{"var":"current"}]},[]]}`, `{"fractional":[{"var":"l"},["a",{"var":"n"}]]}`,
		`{"substr":[{"var":"t"},{"var":"n"},-1]}`, `{"map":[{"var":"l"},{"cat":[{"var":"a"},{"var":"0.b"}]}]}`, `{"fractional":{"var":"l"}}`, `{"missing_some":{"var":"l"}}`,
	} {
		f.Add([]byte(rule), []byte(`{"l": [["a", 2], ["b", null]], "n": -1.5, "t": "é", "targetingKey": 4}`), "")
	}
	f.Fuzz(func(t *testing.T, rule, context []byte, key string) {
		in := &Input{FlagKey: "f", TargetingKey: key}
		if json.Unmarshal(context, &in.Attributes) != nil {
			return
		}
		p, err := Compile(rule, map[string]json.RawMessage{"r": rule})
		if err != nil {
			return
		}
		v, err := p.Evaluate(in)
		truth, errTest := p.Test(in)
		if (err == nil) != (errTest == nil) || err == nil && truth != Truthy(v) {
			t.Errorf("Evaluate gives %v, %v; Test gives %v, %v", v, err, truth, errTest)
		}
		d, err := ParseDefinition(slices.Concat([]byte(`{"state":"ENABLED","variants":{"on":1},"targeting":`), rule, []byte(`}`)), nil)
		if err != nil {
			return
		}
		if i, _, err := d.Decide(in); i < -1 || i > 0 || err != nil && i != -1 {
			t.Errorf("variant %d, %v", i, err)
		}
	})
}
