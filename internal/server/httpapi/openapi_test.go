package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// document is api/openapi.yaml as generic JSON.
type document map[string]any

func openDocument(t *testing.T) document {
	t.Helper()
	text, err := os.ReadFile("../../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows names down; nil if there is nothing.
func (d document) at(names ...string) any {
	var v any = map[string]any(d)
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

// resolve follows a $ref.
func (d document) resolve(v any) map[string]any {
	m := object(v)
	if ref, ok := m["$ref"].(string); ok {
		return d.resolve(d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...))
	}
	return m
}

// operation is one method of one path.
type operation struct {
	method, path string
	spec         map[string]any
}

func (d document) operations() []operation {
	var list []operation
	for path, item := range object(d["paths"]) {
		for method, spec := range object(item) {
			if method != "parameters" {
				list = append(list, operation{strings.ToUpper(method), path, object(spec)})
			}
		}
	}
	return list
}

// documented writes a route's path as OpenAPI does.
func documented(path string) string { return strings.TrimSuffix(path, "{$}") }

func (d document) operation(rt route) map[string]any {
	return object(d.at("paths", documented(rt.path), strings.ToLower(rt.method)))
}

func TestTheDocumentHasExactlyTheRoutes(t *testing.T) {
	var have, want []string
	for _, op := range openDocument(t).operations() {
		have = append(have, op.method+" "+op.path)
	}
	for _, rt := range routes() {
		want = append(want, rt.method+" "+documented(rt.path))
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Fatalf("the document has\n%s\nthe table has\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheDocumentTellsParametersAndRoles(t *testing.T) {
	d := openDocument(t)
	for _, rt := range routes() {
		name, spec := rt.method+" "+rt.path, d.operation(rt)
		var query, header []string
		list, _ := spec["parameters"].([]any)
		for _, p := range list {
			switch p := d.resolve(p); p["in"] {
			case "query":
				query = append(query, p["name"].(string))
			case "header":
				header = append(header, p["name"].(string))
			}
		}
		want := slices.Clone(rt.query)
		if rt.path == "/login" {
			want = []string{"code"} // of the page, which is not strict
		}
		slices.Sort(query)
		slices.Sort(want)
		if !slices.Equal(query, want) {
			t.Errorf("%s: query parameters %v, the table has %v", name, query, want)
		}
		want = nil
		if rt.conditional {
			want = append(want, "If-Match", "If-None-Match")
		}
		if rt.keyed {
			want = append(want, "Idempotency-Key")
		}
		if !slices.Equal(header, want) {
			t.Errorf("%s: headers %v, the table has %v", name, header, want)
		}
		if role, _ := spec["x-role"].(string); role != string(rt.need.Role()) {
			t.Errorf("%s: role %q, the table has %q", name, role, rt.need.Role())
		}
		if _, open := spec["security"]; open != rt.need.Open() {
			t.Errorf("%s: open %v, the table has %v", name, open, rt.need.Open())
		}
	}
}

// refusals are the statuses of errors that a route can answer with, by what it takes.
func refusals(rt route, hasBody bool) []string {
	set := map[int]bool{421: true, 500: true, 503: true}
	add := func(when bool, statuses ...int) {
		for _, s := range statuses {
			set[s] = set[s] || when
		}
	}
	write := rt.method != "GET" && rt.keyed
	add(rt.class != classProbe && rt.class != classPage, 400)
	add(!rt.need.Open(), 401, 403, 429)
	add(strings.Contains(rt.path, "{") && rt.class != classPage || (rt.path == v1+"/trials" || rt.path == v1+"/schedules") && write, 404)
	add(write || rt.path == v1+"/tokens", 409) // a list of tokens may lose its place
	add(rt.method != "GET" && strings.HasPrefix(rt.path, v1+"/environments"), 409)
	add(rt.method != "GET" && strings.HasPrefix(rt.path, v1+"/segments/{key}/list"), 409)
	add(rt.conditional, 412)
	add(rt.conditional && (rt.method == "PUT" || rt.method == "DELETE"), 428)
	verdict := strings.Contains(rt.path, "/verdict")
	add(verdict, 409) // of another verdict than the expected one
	add(hasBody, 413)
	add(hasBody && !(verdict && rt.need == viewer), 415) // where the body is ignored, so is its type
	add(rt.path == v1+"/login", 401, 403, 429)
	add(rt.path == "/login", 401, 429)
	var list []string
	for status, can := range set {
		if can {
			list = append(list, fmt.Sprint(status))
		}
	}
	slices.Sort(list)
	return list
}

func TestTheDocumentTellsErrors(t *testing.T) {
	d := openDocument(t)
	for _, rt := range routes() {
		spec := d.operation(rt)
		var have []string
		for status, response := range object(spec["responses"]) {
			if status >= "400" {
				have = append(have, status)
			}
			if d.resolve(response)["description"] == nil {
				t.Errorf("%s %s: %s has no description, or its reference leads nowhere", rt.method, rt.path, status)
			}
		}
		slices.Sort(have)
		if want := refusals(rt, spec["requestBody"] != nil); !slices.Equal(have, want) {
			t.Errorf("%s %s: errors %v, want %v", rt.method, rt.path, have, want)
		}
	}
}

func TestEveryCodeIsDocumented(t *testing.T) {
	d := openDocument(t)
	text, err := os.ReadFile("../../../api/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	var enum, sections []string
	for _, code := range d.at("components", "schemas", "Problem", "properties", "code", "enum").([]any) {
		enum = append(enum, code.(string))
	}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)\n(\d+)\. `).FindAllStringSubmatch(string(text), -1) {
		sections = append(sections, m[1])
		for code, k := range kinds {
			if string(code) == m[1] && fmt.Sprint(k.status) != m[2] {
				t.Errorf("problems.md says that %s is %s, it is %d", code, m[2], k.status)
			}
		}
	}
	var codes []string
	for code := range maps.Keys(kinds) {
		codes = append(codes, string(code))
	}
	for name, list := range map[string][]string{"the document": enum, "problems.md": sections} {
		slices.Sort(list)
		slices.Sort(codes)
		if !slices.Equal(list, codes) {
			t.Errorf("%s has %v, the mapping has %v", name, list, codes)
		}
	}
	for name, response := range object(d.at("components", "responses")) {
		words, _ := d.resolve(response)["description"].(string)
		for _, m := range regexp.MustCompile(`codes? ([\w, ]+)\)`).FindAllStringSubmatch(words, -1) {
			for _, code := range strings.Split(m[1], ", ") {
				if !slices.Contains(codes, code) {
					t.Errorf("response %s names code %q, which does not exist", name, code)
				}
			}
		}
	}
}

func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	d := openDocument(t)
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				if d.resolve(v) == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(map[string]any(d))
	for kind, all := range object(d["components"]) {
		for name := range object(all) {
			// A delta travels inside the stream, which OpenAPI cannot describe.
			if kind != "securitySchemes" && !used["#/components/"+kind+"/"+name] && name != "FlagDelta" {
				t.Errorf("component %s/%s is used by nothing", kind, name)
			}
		}
	}
}

// readers say how the server reads a body of a schema.
var readers = map[string]func([]byte) error{
	"Flag":      func(data []byte) error { _, err := flag.DecodeFlag(data); return err },
	"Layer":     func(data []byte) error { _, err := flag.DecodeLayer(data); return err },
	"Batch":     func(data []byte) error { _, _, err := decodeBatch(data); return err },
	"Segment":   func(data []byte) error { _, err := flag.DecodeSegment(data); return err },
	"TrialSpec": func(data []byte) error { return decodeStrict("trial", data, &trial.Spec{}) },
}

func TestExamplesAreAccepted(t *testing.T) {
	d := openDocument(t)
	count := 0
	for _, op := range d.operations() {
		content := object(object(object(op.spec["requestBody"])["content"])["application/json"])
		if len(content) == 0 {
			continue
		}
		count++
		example := content["example"]
		if err := d.validate("", content["schema"], example); err != nil {
			t.Errorf("%s %s: the example does not follow its schema: %v", op.method, op.path, err)
		}
		data, _ := json.Marshal(example)
		ref, _ := object(content["schema"])["$ref"].(string)
		if read := readers[ref[strings.LastIndex(ref, "/")+1:]]; read != nil {
			if err := read(data); err != nil {
				t.Errorf("%s %s: the example is not read: %v", op.method, op.path, err)
			}
		}
	}
	if count < 10 {
		t.Fatalf("only %d examples were found", count)
	}
}

// validate checks a value against a schema: the part of JSON Schema 2020-12 that the document
// uses. Keywords that it does not know are errors, so that none is passed over.
func (d document) validate(at string, schema, value any) error {
	s := d.resolve(schema)
	for keyword := range s {
		if !slices.Contains([]string{"type", "properties", "required", "additionalProperties", "items", "enum", "minimum", "maximum", "default", "description", "readOnly"}, keyword) {
			return fmt.Errorf("%s: schema keyword %q is not understood", at, keyword)
		}
	}
	if want := s["type"]; want != nil && !slices.Contains(asList(want), typeOf(value)) && !(typeOf(value) == "integer" && slices.Contains(asList(want), "number")) {
		return fmt.Errorf("%s is of type %s, want %v", at, typeOf(value), want)
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Errorf("%s is %v, want one of %v", at, value, enum)
	}
	if n, ok := value.(float64); ok {
		low, hasLow := s["minimum"].(float64)
		high, hasHigh := s["maximum"].(float64)
		if hasLow && n < low || hasHigh && n > high {
			return fmt.Errorf("%s is %v, out of its bounds", at, n)
		}
	}
	if list, ok := value.([]any); ok && s["items"] != nil {
		for i, item := range list {
			if err := d.validate(fmt.Sprintf("%s/%d", at, i), s["items"], item); err != nil {
				return err
			}
		}
	}
	if fields, ok := value.(map[string]any); ok {
		return d.validateFields(at, s, fields)
	}
	return nil
}

func (d document) validateFields(at string, s, fields map[string]any) error {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := fields[name.(string)]; !ok {
			return fmt.Errorf("%s/%s is missing", at, name)
		}
	}
	properties := object(s["properties"])
	for name, value := range fields {
		property, known := properties[name]
		if !known && s["additionalProperties"] == false {
			return fmt.Errorf("%s/%s is not in the schema", at, name)
		}
		if known {
			if err := d.validate(at+"/"+name, property, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func typeOf(v any) any {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
	}
	return "number"
}
