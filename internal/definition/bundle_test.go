package definition

import (
	"errors"
	"strings"
	"testing"
)

// everything uses each part of the model once.
const everything = `{
  "flags": [
    {"key": "parent", "kind": "release", "type": "boolean", "enabled": true,
     "variants": [{"name": "on", "value": true}, {"name": "off", "value": false}], "defaultVariant": "on"},
    {"key": "shop/checkout", "kind": "config", "type": "object", "description": "d", "owner": "team", "tags": ["a"],
     "expires": "2027-01-31", "clientSide": true, "enabled": true,
     "variants": [{"name": "new", "value": {"steps": 2}}, {"name": "old", "value": {"steps": 4}}],
     "schema": {"type": "object", "required": ["steps"], "properties": {"steps": {"type": "integer"}}},
     "defaultVariant": "old",
     "prerequisites": [{"flag": "parent", "variants": ["on"]}],
     "overrides": [{"variant": "new", "units": ["ana"]}],
     "rules": [
       {"name": "beta", "when": {"all": [{"segment": "beta"}, {"not": {"any": [{"attribute": "user.plan", "op": "equals", "values": ["free"]}]}}]}, "serve": "new"},
       {"split": {"salt": "s", "bucketBy": "account", "weights": [{"variant": "new", "weight": 5000}]}}
     ]},
    {"key": "raw", "kind": "release", "type": "boolean", "enabled": true,
     "definition": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}
  ],
  "segments": [{"key": "beta", "description": "d", "members": ["bo"], "when": {"attribute": "version", "op": "semver>=", "values": ["1.2"]}}],
  "layers": [{"key": "search", "slots": [{"flag": "shop/checkout", "from": 0, "to": 50000}], "holdout": 1000}, {"key": "all", "global": true, "holdout": 500}]
}`

func bundleOf(t *testing.T, files ...string) (*Bundle, error) {
	t.Helper()
	b := &Bundle{}
	for i := 0; i < len(files); i += 2 {
		if err := b.Add(files[i], []byte(files[i+1])); err != nil {
			return b, err
		}
	}
	return b, b.Validate()
}

func TestBundle(t *testing.T) {
	b, err := bundleOf(t, "all.json", everything)
	if err != nil || len(b.Flags) != 3 || len(b.Segments) != 1 || len(b.Layers) != 2 {
		t.Fatalf("%d flags, %d segments, %d layers: %v", len(b.Flags), len(b.Segments), len(b.Layers), err)
	}
}

func TestFlagdFiles(t *testing.T) {
	const file = `{"flags": {"f": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
		"targeting": {"if": [{"$ref": "beta"}, "on"]}}},
		"$evaluators": {"beta": {"==": [{"var": "plan"}, "beta"]}}, "metadata": {"flagSetId": "set", "version": "7"}}`
	b, err := bundleOf(t, "flagd.json", file)
	if err != nil || len(b.Flags) != 1 || len(b.Segments) != 1 || b.Metadata["flagSetId"] != "set" {
		t.Fatalf("%+v: %v", b, err)
	}
}

func TestFaultsHavePlaces(t *testing.T) {
	const flags = "flags:\n- key: a\n  kind: release\n  type: boolean\n  enabled: true\n  variants: [{name: \"on\", value: true}]\n"
	for _, test := range []struct {
		name  string
		files []string
		want  []string
	}{
		{"a field misspelt", []string{"a.yaml", flags + "  defaultVarient: on\n"}, []string{"a.yaml:7:3: /flags/0/defaultVarient: is not a known field", "defaultVariant"}},
		{"a variant that is not there", []string{"a.yaml", flags + "  defaultVariant: off\n"}, []string{"a.yaml:7:3: ", "/flags/0/defaultVariant: ", "no variant"}},
		{"a list misspelt", []string{"a.yaml", "flag: []"}, []string{"a.yaml:1:1: /flag: is not a known field", `"flags"`}},
		{"no list", []string{"a.yaml", "flags:\n  x"}, []string{"/flags: is not a list"}},
		{"the same flag in two files", []string{"a.yaml", flags, "b.yaml", "# second\n" + flags}, []string{"b.yaml:3:", "is there twice"}},
		{"a segment that is not there", []string{"a.yaml", flags + "  rules:\n  - serve: \"on\"\n    when:\n      segment: beta\n"}, []string{"a.yaml:10:", "there is no segment"}},
		{"a value against the schema", []string{"a.yaml", "flags:\n- {key: o, kind: config, type: object, enabled: true, schema: {required: [x]},\n   variants: [{name: v, value: {}}]}"}, []string{"a.yaml:3:", "/flags/0/variants/0/value"}},
		{"a flagd file", []string{"a.json", "{\"flags\": {\"f\": {\"state\": \"ENABLED\",\n \"variants\": {\"on\": true},\n \"targeting\": {\"nonsense\": [1]}}}}"}, []string{"a.json:3:", "/flags/f/targeting"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := bundleOf(t, test.files...)
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("%v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %s", err, want)
				}
			}
		})
	}
}

// Of a flagd file the flags that can be evaluated are, as flagd does.
func TestBrokenDefinitionsAreSetAside(t *testing.T) {
	const file = `{"flags": {"good": {"state": "ENABLED", "variants": {"on": true}},
 "bad": {"state": "ENABLED", "variants": {"on": true}, "targeting": {"$ref": "nobody"}}}, "metadata": {"team": "a"}}`
	b := &Bundle{Evaluate: true}
	if err := b.Add("flagd.json", []byte(file)); err != nil {
		t.Fatal(err)
	}
	broken := b.TakeBroken()
	if err := b.Validate(); err != nil || len(b.Flags) != 1 || b.Flags[0].Key != "good" || b.Metadata["team"] != "a" {
		t.Errorf("%+v: %v", b.Flags, err)
	}
	if len(broken) != 1 || broken["bad"] == nil || !strings.HasPrefix(broken["bad"].Error(), "flagd.json:2:") {
		t.Errorf("%v", broken)
	}
	if _, err := bundleOf(t, "flagd.json", file); err == nil || !strings.Contains(err.Error(), "/metadata/team") {
		t.Errorf("a control plane would lose it: %v", err)
	}
}
