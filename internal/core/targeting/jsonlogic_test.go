package targeting

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// conformance reads public test data; without it the test is skipped.
func conformance(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../../shared/conformance", name))
	if err != nil {
		if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip("needs the public test data in ../shared/conformance: ", err)
	}
	return data
}

// plain is a value as it comes back from JSON.
func plain(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	var back any
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil {
		t.Fatalf("%v: %v", v, err)
	}
	return back
}

// The classic cases of JsonLogic. Data that is no object stands in the attribute "it", from where
// the rule's variables are resolved as if they were inside an element of a list.
func TestJSONLogicCases(t *testing.T) {
	var cases []json.RawMessage
	if err := json.Unmarshal(conformance(t, "jsonlogic/compatible.json"), &cases); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, raw := range cases {
		var c struct {
			Rule         json.RawMessage
			Data, Result any
		}
		if raw[0] == '"' { // a comment
			continue
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		count++
		got, err := evaluateOver(c.Rule, c.Data)
		if err != nil || !reflect.DeepEqual(plain(t, got), c.Result) {
			t.Errorf("%s over %v gives %v, %v; want %v", c.Rule, c.Data, got, err, c.Result)
		}
	}
	if count != 278 {
		t.Errorf("there are %d cases, want 278", count)
	}
}

func evaluateOver(rule json.RawMessage, data any) (any, error) {
	object, isObject := data.(map[string]any)
	if data == nil || isObject {
		p, err := Compile(rule, nil)
		if err != nil {
			return nil, err
		}
		return p.Evaluate(&Input{Attributes: object})
	}
	wrapped, err := json.Marshal(map[string]any{"map": []any{map[string]any{"var": "it"}, rule}})
	if err != nil {
		return nil, err
	}
	p, err := Compile(wrapped, nil)
	if err != nil {
		return nil, err
	}
	list, err := p.Evaluate(&Input{Attributes: map[string]any{"it": []any{data}}})
	if err != nil {
		return nil, err
	}
	return list.([]any)[0], nil
}
