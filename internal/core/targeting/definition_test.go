package targeting

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseDefinition(t *testing.T) {
	for _, c := range []struct {
		raw      string
		kind     string
		variants []Variant
		fallback int
		metadata map[string]any
	}{
		{`{"state": "ENABLED", "variants": {"b": true, "a": false}, "defaultVariant": "a"}`, "boolean", []Variant{{"b", true}, {"a", false}}, 1, nil},
		{`{"state": "DISABLED", "variants": {"a": "x"}, "defaultVariant": null, "targeting": null, "metadata": null}`, "string", []Variant{{"a", "x"}}, -1, nil},
		{`{"state": "ENABLED", "variants": {"a": 1, "b": -9007199254740991}, "targeting": { }}`, "integer", []Variant{{"a", int64(1)}, {"b", int64(-9007199254740991)}}, -1, nil},
		{`{"state": "ENABLED", "variants": {"a": 1, "b": 2.5, "c": 3}}`, "float", []Variant{{"a", 1.0}, {"b", 2.5}, {"c", 3.0}}, -1, nil},
		{`{"state": "ENABLED", "variants": {"a": 0.0, "b": 1}}`, "float", []Variant{{"a", 0.0}, {"b", 1.0}}, -1, nil},
		{`{"state": "ENABLED", "variants": {"a": 9007199254740992}}`, "float", []Variant{{"a", 9007199254740992.0}}, -1, nil},
		{`{"state": "ENABLED", "variants": {"a": {}, "b": {"l": [1]}}, "$schema": 5, "unknown": []}`, "object", []Variant{{"a", map[string]any{}}, {"b", map[string]any{"l": []any{1.0}}}}, -1, nil},
		{`{"state": "ENABLED", "variants": {"a": true}, "defaultVariant": "", "metadata": {"s": "1.0.2", "i": 2, "f": 0.1, "b": true}}`, "boolean", []Variant{{"a", true}}, -1,
			map[string]any{"s": "1.0.2", "i": int64(2), "f": 0.1, "b": true}},
	} {
		d, err := ParseDefinition(json.RawMessage(c.raw), nil)
		if err != nil {
			t.Errorf("%s: %v", c.raw, err)
			continue
		}
		if d.Type != c.kind || !reflect.DeepEqual(d.Variants, c.variants) || d.Default != c.fallback || !reflect.DeepEqual(d.Metadata, c.metadata) || d.Targeting != nil ||
			d.Enabled != strings.Contains(c.raw, "ENABLED") {
			t.Errorf("%s gives %+v", c.raw, d)
		}
	}
}

func TestParseDefinitionRefuses(t *testing.T) {
	for _, c := range []struct{ raw, pointer, detail string }{
		{``, "", "not valid JSON"}, {`[]`, "", "no object"}, {`{}`, "", "no state"}, {`{"state": "ENABLED"}`, "", "no variants"}, {`{"state": "ENABLED", "variants": {}}`, "", "no variants"},
		{`{"state": "on", "variants": {"a": 1}}`, "/state", `"ENABLED" or "DISABLED"`}, {`{"state": null, "variants": {"a": 1}}`, "/state", "is null"},
		{`{"state": "ENABLED", "state": "DISABLED", "variants": {"a": 1}}`, "/state", "twice"}, {`{"state": "ENABLED", "variants": {"a": 1, "a": 2}}`, "/variants/a", "twice"},
		{`{"state": "ENABLED", "variants": []}`, "/variants", "no object"}, {`{"state": "ENABLED", "variants": {"a/b": [1]}}`, "/variants/a~1b", "is no boolean"},
		{`{"state": "ENABLED", "variants": {"a": null}}`, "/variants/a", "is no boolean"}, {`{"state": "ENABLED", "variants": {"a": 1e999}}`, "/variants/a", "is no boolean"},
		{`{"state": "ENABLED", "variants": {"a": 1, "b": "x"}}`, "/variants/b", "of type string where others are of type integer"},
		{`{"state": "ENABLED", "variants": {"a": {"x":` + strings.Repeat("[", MaxValueDepth) + strings.Repeat("]", MaxValueDepth) + `}}}`, "/variants/a", "levels"},
		{`{"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": "b"}`, "/defaultVariant", `names "b"`}, {`{"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": 1}`, "/defaultVariant", "not a string"},
		{`{"state": "ENABLED", "variants": {"a": 1}, "metadata": {"m": null}}`, "/metadata/m", "neither"}, {`{"state": "ENABLED", "variants": {"a": 1}, "metadata": {"m": {}}}`, "/metadata/m", "neither"},
		{`{"state": "ENABLED", "variants": {"a": 1}, "metadata": []}`, "/metadata", "no object"},
		{`{"state": "ENABLED", "variants": {"a": 1}, "targeting": {"if": [{"$ref": "x"}]}}`, "/targeting/if/0/$ref", "no evaluator"},
		{`"` + strings.Repeat("a", MaxDefinitionBytes) + `"`, "", "bytes"},
	} {
		_, err := ParseDefinition(json.RawMessage(c.raw), nil)
		var problem *Error
		if !errors.As(err, &problem) || problem.Pointer != c.pointer || !strings.Contains(problem.Detail, c.detail) {
			t.Errorf("%.100s: error %v; want %q at %q", c.raw, err, c.detail, c.pointer)
		}
	}
}

func TestDecide(t *testing.T) {
	const many = `"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"true":9,"1e+21":10,"0.5":11,"1e-7":12,"-0":13`
	for _, c := range []struct {
		state, variants, fallback, targeting string
		want                                 string // "" is the code default
		reason                               Reason
		fails                                string
	}{
		{"ENABLED", `"on":1,"off":0`, `"on"`, `{}`, "on", Static, ""}, {"ENABLED", `"on":1`, `null`, `{}`, "", Default, ""}, {"DISABLED", `"on":1`, `"on"`, `"on"`, "", Disabled, ""},
		{"ENABLED", `"on":1,"off":0`, `"on"`, `"off"`, "off", Match, ""}, {"ENABLED", `"on":1,"off":0`, `"on"`, `{"var":"none"}`, "on", Default, ""}, {"ENABLED", `"on":1`, `null`, `{"if":[]}`, "", Default, ""},
		{"ENABLED", `"true":1,"false":0`, `null`, `{"!":1}`, "false", Match, ""}, {"ENABLED", `"5":1,"0.5":0`, `null`, `{"+":[2,3]}`, "5", Match, ""}, {"ENABLED", `"5":1,"0.5":0`, `null`, `0.5`, "0.5", Match, ""},
		{"ENABLED", many, `null`, `true`, "true", Match, ""}, {"ENABLED", many, `null`, `1e21`, "1e+21", Match, ""}, {"ENABLED", many, `null`, `"h"`, "h", Match, ""},
		{"ENABLED", many, `null`, `1e-7`, "1e-7", Match, ""}, {"ENABLED", many, `null`, `{"*": [-1, 0]}`, "-0", Match, ""},
		{"ENABLED", many, `"a"`, `"x"`, "", Default, `chose "x", which is no variant`}, {"ENABLED", `"on":1`, `"on"`, `""`, "", Default, `chose "", which`}, {"ENABLED", `"on":1`, `"on"`, `["on"]`, "", Default, "chose a list"},
		{"ENABLED", `"on":1`, `"on"`, `{"a":1,"b":2}`, "", Default, "chose an object"}, {"ENABLED", `"on":1`, `"on"`, `{"+":[[]]}`, "", Default, "/targeting/+: an argument is a list"},
		{"ENABLED", `"on":1`, `"on"`, `{"var":"long"}`, "", Default, "a text of more than"}, {"ENABLED", `"on":1`, `"on"`, `{"/":[1,0]}`, "", Default, `chose "+Inf"`},
	} {
		raw := `{"state":"` + c.state + `","variants":{` + c.variants + `},"defaultVariant":` + c.fallback + `,"targeting":` + c.targeting + `}`
		d, err := ParseDefinition(json.RawMessage(raw), nil)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		i, reason, err := d.Decide(&Input{Attributes: map[string]any{"long": strings.Repeat("a", 101)}})
		got := ""
		if i >= 0 {
			got = d.Variants[i].Name
		}
		failed := err != nil && c.fails != "" && strings.Contains(err.Error(), c.fails)
		if got != c.want || reason != c.reason || (err != nil || c.fails != "") && !failed {
			t.Errorf("%s gives %q %s, %v", raw, got, reason, err)
		}
	}
	if Static.String()+Match.String()+Default.String()+Disabled.String() != "STATICTARGETING_MATCHDEFAULTDISABLED" {
		t.Error("a reason has another name")
	}
}
