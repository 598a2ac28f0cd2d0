package definition

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const twoDocuments = `# flags of search
flags:
  - key: search
    kind: release
    variants:
      - {name: "on", value: true}
      - name: text
        value: |
          two
          lines
---
segments:
- key: &beta beta
  members: [*beta, 'u2']
`

func TestPlacesInYAML(t *testing.T) {
	documents, err := Documents("a.yaml", []byte(twoDocuments))
	if err != nil || len(documents) != 2 {
		t.Fatal(len(documents), err)
	}
	for _, test := range []struct {
		document int
		pointer  string
		want     Place
	}{
		{0, "/flags", Place{2, 1}},
		{0, "/flags/0/key", Place{3, 5}},
		{0, "/flags/0/variants/0/value", Place{6, 22}},
		{0, "/flags/0/variants/1/value", Place{8, 9}},
		{0, "/flags/0/absent/deeper", Place{3, 8}},
		{1, "/segments/0/members/1", Place{14, 20}},
	} {
		if got := documents[test.document].At(test.pointer); got != test.want {
			t.Errorf("%s stands at %v, want %v", test.pointer, got, test.want)
		}
	}
	if want := `{"segments":[{"key":"beta","members":["beta","u2"]}]}`; string(documents[1].JSON) != want {
		t.Errorf("%s, want %s", documents[1].JSON, want)
	}
}

func TestPlacesInJSON(t *testing.T) {
	documents, err := Documents("a.json", []byte("{\n  \"flags\": [\n    {\"key\": \"ä\",\n\t\"rules\": [1, {\"x\":\n null}]}]}"))
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]Place{
		"": {1, 1}, "/flags": {2, 12}, "/flags/0": {3, 5}, "/flags/0/key": {3, 13}, "/flags/0/rules/1/x": {5, 2},
	} {
		if got := documents[0].At(pointer); got != want {
			t.Errorf("%q stands at %v, want %v", pointer, got, want)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	for _, test := range []struct{ name, file, data, want string }{
		{"broken JSON", "a.json", "{\n \"a\": }", "a.json:2:7: is not JSON"},
		{"cut JSON", "a.json", "{\n \"a\": 1", "a.json:2:8: is not JSON"},
		{"two JSON documents", "a.json", "{} {}", "a.json:1:4: is not JSON"},
		{"broken YAML", "a.yaml", "a: [1\nb: 2", "a.yaml:"},
		{"twice", "a.yaml", "a: 1\nb: 2\na: 3", "a.yaml:3:1: "},
		{"no anchor", "a.yaml", "a: *b", "a.yaml:1:"},
		{"an anchor in itself", "a.yaml", "a: &x [*x]", "a.yaml:1:"},
		{"a merge", "a.yaml", "a: &x {b: 1}\nc:\n  <<: *x", "a.yaml:3:"},
		{"a tag", "a.yaml", "a: !!binary aGk=", "a.yaml:1:"},
		{"infinity", "a.yaml", "a: .inf", "a.yaml:1:4: /a: "},
		{"nothing", "a.yaml", "# nothing\n", "a.yaml:1:1: is empty"},
		{"not UTF-8", "a.yaml", "a: \xff", "a.yaml:1:1: is not valid UTF-8"},
		{"deep", "a.yaml", strings.Repeat("[", 5_000), "a.yaml:1:1: is nested deeper"},
		{"deep JSON", "a.json", strings.Repeat("[", 5_000), "a.json:1:1002: is not JSON: nested deeper"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Documents(test.file, []byte(test.data))
			var faults Faults
			if !errors.As(err, &faults) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%v, want %s…", err, test.want)
			}
		})
	}
}

// A billion laughs end early.
func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n")
	for i := 1; i < 12; i++ {
		prev := string(rune('a'+i-1)) + "0"
		if i == 1 {
			prev = "a0"
		}
		name := string(rune('a'+i)) + "0"
		b.WriteString(name + ": &" + name + " [" + strings.Repeat("*"+prev+", ", 9) + "x]\n")
	}
	if _, err := Documents("a.yaml", []byte(b.String())); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%.200v", err)
	}
}

// What is read of YAML is what the library itself makes of it.
func FuzzYAML(f *testing.F) {
	f.Add(twoDocuments)
	f.Add("a: 1\nb: [1, 2.5, -0x1f, 1e3, ~, yes, 'x', \"\\u00e4\"]\nc: {d: e}")
	f.Fuzz(func(t *testing.T, data string) {
		documents, err := Documents("a.yaml", []byte(data))
		if err != nil || len(documents) != 1 {
			return
		}
		var ours, theirs any
		if err := json.Unmarshal(documents[0].JSON, &ours); err != nil {
			t.Fatalf("%q gave %s: %v", data, documents[0].JSON, err)
		}
		converted, err := yaml.YAMLToJSON([]byte(data))
		if err != nil || json.Unmarshal(converted, &theirs) != nil || strings.ContainsAny(data, "&*!<?|>0123456789") {
			return
		}
		if !plainKeys(ours) {
			return // the library writes 00 as 0
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Fatalf("%q gave %s, want %s", data, documents[0].JSON, converted)
		}
	})
}

func plainKeys(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			if key == "" || key[0] < 'a' || key[0] > 'z' || !plainKeys(child) {
				return false
			}
		}
	case []any:
		for _, child := range v {
			if !plainKeys(child) {
				return false
			}
		}
	}
	return true
}
