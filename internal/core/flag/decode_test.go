package flag

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The shapes by which documents are scanned have the fields that the structs have, no more and
// no less, and of the same kinds.
func TestShapesAreThoseOfTheStructs(t *testing.T) {
	seen := map[reflect.Type]bool{}
	compareShape(t, "flag", flagShape, reflect.TypeFor[Flag](), seen)
	compareShape(t, "segment", segmentShape, reflect.TypeFor[Segment](), seen)
	compareShape(t, "layer", layerShape, reflect.TypeFor[Layer](), seen)
}

func compareShape(t *testing.T, at string, s *shape, typ reflect.Type, seen map[reflect.Type]bool) {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	kind := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Slice: "list", reflect.Struct: "object"}[typ.Kind()]
	if typ == reflect.TypeFor[json.RawMessage]() {
		kind = ""
	}
	if s == nil || s.kind != kind {
		t.Errorf("%s: shape %+v, the struct has %s (%s)", at, s, kind, typ)
		return
	}
	switch {
	case kind == "list":
		compareShape(t, at+"[]", s.item, typ.Elem(), seen)
	case kind == "object" && !seen[typ]:
		seen[typ] = true
		names := map[string]bool{}
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			names[name] = true
			compareShape(t, at+"."+name, s.fields[name], typ.Field(i).Type, seen)
		}
		for name := range s.fields {
			if !names[name] {
				t.Errorf("%s: the shape has %q, the struct does not", at, name)
			}
		}
	}
}

const goodFlag = `{"key":"a","kind":"release","type":"boolean","enabled":true,"owner":"web","tags":["x"],
 "description":"d","expires":"2027-02-28","clientSide":true,
 "variants":[{"name":"on","value":true},{"name":"off","value":false}],"defaultVariant":"off",
 "prerequisites":[{"flag":"needed","variants":["yes"]}],
 "overrides":[{"variant":"on","units":["u1","u2"]},{"variant":"off","units":["u3"]}],
 "rules":[{"name":"r","when":{"any":[{"attribute":"user.plan","op":"in","values":["x",1,true]},{"not":{"segment":"s"}},
   {"all":[{"attribute":"x","op":"exists"}]}]},"serve":"on"},
  {"split":{"salt":"z","bucketBy":"account","weights":[{"variant":"on","weight":5000}]}}]}`

func TestDecodeFlagIsStrict(t *testing.T) {
	deep := strings.Repeat(`{"not":`, 60) + `{}` + strings.Repeat(`}`, 60)
	tests := []struct{ name, data, pointer, detail string }{
		{"unknown field", `{"key":"a","vairants":[]}`, "/vairants", `did you mean "variants"?`},
		{"field of other case", `{"Key":"a"}`, "/Key", `did you mean "key"?`},
		{"unknown inside", `{"rules":[{"when":{"all":[{"atribute":"x"}]}}]}`, "/rules/0/when/all/0/atribute", `did you mean "attribute"?`},
		{"nothing near", `{"zzzzzz":1}`, "/zzzzzz", "remove it"},
		{"twice", `{"key":"a","key":"b"}`, "/key", "is given twice"},
		{"twice inside a value", `{"variants":[{"name":"x","value":{"a":1,"a":2}}]}`, "/variants/0/value/a", "is given twice"},
		{"wrong kind", `{"enabled":"yes"}`, "/enabled", "kind boolean"},
		{"fraction", `{"rules":[{"split":{"weights":[{"variant":"on","weight":1.5}]}}]}`, "/rules/0/split/weights/0/weight", "kind integer"},
		{"object for list", `{"variants":{}}`, "/variants", "kind list"},
		{"unknown in a layer's terms", `{"prerequisites":[{"flg":"a"}]}`, "/prerequisites/0/flg", `did you mean "flag"?`},
		{"twice inside a definition", `{"definition":{"variants":{"a":1,"a":2}}}`, "/definition/variants/a", "is given twice"},
		{"definition too deep", `{"definition":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "/definition" + strings.Repeat("/0", maxLogic-1), "make it flatter"},
		{"schema too deep", `{"schema":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`, "/schema" + strings.Repeat("/0", 39), "make it flatter"},
		{"too deep", `{"rules":[{"when":` + deep + `}]}`, "/rules/0/when" + strings.Repeat("/not", 37), "make it flatter"},
		{"not JSON", "{\n  \"key\": }", "", "line 2, column"},
		{"more behind", `{} {}`, "", "is not JSON"},
		{"nothing", ``, "", "is not JSON"},
		{"not UTF-8", "{\"key\":\"\xff\"}", "", "UTF-8"},
		{"too long", `{"description":"` + strings.Repeat("x", MaxFlagBytes) + `"}`, "", "move long lists into segments"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := DecodeFlag([]byte(test.data))
			if !reflect.ValueOf(f).IsZero() {
				t.Errorf("gave %+v", f)
			}
			expectProblem(t, err, test.pointer, test.detail)
		})
	}
}

// expectProblem wants a problem at pointer whose detail contains the text.
func expectProblem(t *testing.T, err error, pointer, detail string) {
	t.Helper()
	var problems *Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v, want problems", err)
	}
	if !slices.ContainsFunc(problems.List, func(p Problem) bool {
		return p.Pointer == pointer && strings.Contains(p.Detail, detail)
	}) {
		t.Errorf("no problem %q at %q in: %v", detail, pointer, problems)
	}
}

func TestDecodeRoundTrip(t *testing.T) {
	f, err := DecodeFlag([]byte(goodFlag))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Rules) != 2 || f.Rules[1].Split.Weights[0].Weight != 5_000 || len(f.Rules[0].When.Any) != 3 || len(f.Overrides) != 2 || f.Prerequisites[0].Flag != "needed" {
		t.Errorf("decoded %+v", f)
	}
	if err := f.Validate(good()); err != nil {
		t.Error(err)
	}
	data, _ := json.Marshal(f)
	if again, err := DecodeFlag(data); err != nil || !again.equal(&f) {
		t.Errorf("came back as %+v: %v", again, err)
	}
	if l, err := DecodeLayer([]byte(`{"key":"l","salt":"z","slots":[{"flag":"a","from":0,"to":5}],"holdout":7,"global":true}`)); err != nil || l.Slots[0].To != 5 || l.Holdout != 7 {
		t.Errorf("layer: %+v, %v", l, err)
	}
	if _, err := DecodeLayer([]byte(`{"key":"l","slot":[]}`)); err == nil || !strings.Contains(err.Error(), `did you mean "slots"?`) {
		t.Errorf("layer: %v", err)
	}
	if _, err := DecodeSegment([]byte(`{"key":"s","memebrs":["a"]}`)); err == nil || !strings.Contains(err.Error(), `did you mean "members"?`) {
		t.Errorf("segment: %v", err)
	}
}

// FuzzDecodeFlag: nothing panics, what is decoded encodes to something that decodes to the same,
// and validating it ends.
func FuzzDecodeFlag(f *testing.F) {
	f.Add([]byte(goodFlag))
	f.Add([]byte(`{"variants":[{"value":{"a":[[[[1e999]]]]}}]}`))
	f.Add([]byte(`{"rules":[{"when":{"not":{"not":null}}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		one, err := DecodeFlag(data)
		if err != nil {
			return
		}
		_ = one.Validate(Set{})
		text, err := json.Marshal(one)
		if err != nil {
			t.Fatalf("%s decodes to what cannot be encoded: %v", data, err)
		}
		again, err := DecodeFlag(text)
		if len(text) <= MaxFlagBytes && (err != nil || !again.equal(&one)) {
			t.Errorf("%s gave %s, and that: %v", data, text, err)
		}
	})
}

// FuzzDecodeSegment does the same for segments.
func FuzzDecodeSegment(f *testing.F) {
	f.Add([]byte(`{"key":"s","members":["a"],"when":{"attribute":"x","op":"exists"}}`))
	f.Add([]byte(`{"when":{"all":[null]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		one, err := DecodeSegment(data)
		if err != nil {
			return
		}
		_ = one.Validate()
		text, _ := json.Marshal(one)
		if again, err := DecodeSegment(text); err != nil || !again.equal(&one) {
			t.Errorf("%s gave %s, and that: %v", data, text, err)
		}
	})
}

// FuzzDecodeLayer does the same for layers.
func FuzzDecodeLayer(f *testing.F) {
	f.Add([]byte(`{"key":"l","slots":[{"flag":"a","from":0,"to":5},{"flag":"b","from":4,"to":2}],"holdout":-7,"global":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		one, err := DecodeLayer(data)
		if err != nil {
			return
		}
		_ = one.Validate(good())
		text, _ := json.Marshal(one)
		if again, err := DecodeLayer(text); err != nil || !again.equal(&one) {
			t.Errorf("%s gave %s, and that: %v", data, text, err)
		}
	})
}

// What an older version wrote has none of the newer fields, and is read as it was meant.
func TestOlderDocumentsAreRead(t *testing.T) {
	data, err := os.ReadFile("testdata/set-2026-10.json")
	if err != nil {
		t.Fatal(err)
	}
	var s Set
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	var old, now any
	text, _ := json.Marshal(s)
	if json.Unmarshal(data, &old) != nil || json.Unmarshal(text, &now) != nil || !reflect.DeepEqual(old, now) {
		t.Errorf("it came back as %s", text)
	}
}

func TestDecodeValue(t *testing.T) {
	tests := []struct {
		typ  Type
		raw  string
		want any
		err  string
	}{
		{TypeBoolean, "true", true, ""}, {TypeBoolean, " false\n", false, ""}, {TypeBoolean, "1", nil, "not a boolean"},
		{TypeString, `"a\u00e9"`, "aé", ""}, {TypeString, "5", nil, "not a string"}, {TypeString, "\"\xff\"", nil, "UTF-8"},
		{TypeInteger, "5", int64(5), ""}, {TypeInteger, "5.0", int64(5), ""}, {TypeInteger, "5e2", int64(500), ""}, {TypeInteger, "-9007199254740991", int64(-MaxInteger), ""},
		{TypeInteger, "5.5", nil, "not an integer"}, {TypeInteger, "9007199254740992", nil, "beyond"}, {TypeInteger, "1e400", nil, "not an integer"}, {TypeInteger, "true", nil, "not an integer"},
		{TypeFloat, "0.25", 0.25, ""}, {TypeFloat, "1e999", nil, "finite"}, {TypeFloat, `"1"`, nil, "finite"},
		{TypeObject, "null", nil, ""}, {TypeObject, `{"a":[1,"x",null]}`, map[string]any{"a": []any{1.0, "x", nil}}, ""},
		{TypeObject, `[1]`, nil, "not an object"}, {TypeObject, `{"a":1e999}`, nil, "no client can hold"}, {TypeObject, `{"a":{"b":1,"b":2}}`, nil, "/a/b"},
		{TypeObject, strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20), nil, "nested deeper than 16"},
		{TypeFloat, "", nil, "is missing"}, {"", "1", nil, "has no type"},
	}
	for _, test := range tests {
		got, err := DecodeValue(test.typ, []byte(test.raw))
		if !reflect.DeepEqual(got, test.want) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s %s: %#v, %v; want %#v, %q", test.typ, test.raw, got, err, test.want, test.err)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"variants", "rules", "key", "on", "off", ""}
	for name, want := range map[string]string{
		"vairants": `; did you mean "variants"?`, "Rules": `; did you mean "rules"?`, "kye": `; did you mean "key"?`,
		"of": `; did you mean "off"?`, "o": `; did you mean "on"?`,
		"description": "", "": "", strings.Repeat("x", 500): "",
	} {
		if got := Suggest(name, slices.Values(known)); got != want {
			t.Errorf("Suggest(%.20q) = %q, want %q", name, got, want)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var p Problems
	if p.Err() != nil || (*Problems)(nil).Err() != nil {
		t.Error("no problem is an error")
	}
	for i := range 130 {
		p.Add(Pointer("/a", i, "b~/c"), "wrong")
	}
	var q Problems
	q.Merge("/x", p.Err())
	q.Merge("/y", errors.New("plain"))
	q.Merge("/z", nil)
	if len(q.List) != 100 || q.More != 31 || q.List[1].Pointer != "/x/a/1/b~0~1c" {
		t.Errorf("%d kept, %d more, second %+v", len(q.List), q.More, q.List[1])
	}
	if text := fmt.Sprint(&q); !strings.HasSuffix(text, "; and 31 more") {
		t.Errorf("text ends with %q", text[len(text)-40:])
	}
}
