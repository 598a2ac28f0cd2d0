package targeting

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
)

// The limits of a definition.
const (
	MaxDefinitionBytes = 256 << 10 // JSON of a definition
	MaxValueDepth      = 32        // objects and lists inside of each other in a variant's value
	maxInteger         = 1<<53 - 1 // largest magnitude of an integer that every client can hold
)

// Variant is one named value of a definition.
type Variant struct {
	Name  string
	Value any // bool, string, int64, float64 or map[string]any; shared: do not modify
}

// Definition is a flag as flagd defines it (flagd.dev/schema/v0/flags.json), ready to be decided.
// It never changes and is safe for concurrent use.
type Definition struct {
	Enabled  bool
	Variants []Variant // in the order of the document
	Default  int       // index into Variants; -1: none, the code default is served
	// Targeting is nil if there is no rule.
	Targeting *Program
	// Metadata are the flag's own: strings, booleans, int64 and float64. Nil if there are none.
	Metadata map[string]any
	// Type of all variants: boolean, string, integer, float (if a number has a fraction or an
	// exponent, or is beyond ±(2^53-1)) or object.
	Type string

	index map[string]int // of many variants by name
}

// Reason says why a variant was chosen, as flagd does; SPLIT is not among them.
type Reason uint8

// The reasons of a decision.
const (
	Static   Reason = iota // there is no rule
	Match                  // the rule chose the variant
	Default                // the rule chose none, or there is neither a rule nor a default
	Disabled               // the definition's state
)

// String gives the reason as OpenFeature writes it.
func (r Reason) String() string {
	return [...]string{"STATIC", "TARGETING_MATCH", "DEFAULT", "DISABLED"}[r]
}

// ParseDefinition reads a flagd flag definition. Fields that flagd does not know are passed over,
// as flagd does. Errors are of type *[Error].
func ParseDefinition(raw json.RawMessage, evaluators map[string]json.RawMessage) (*Definition, error) {
	if len(raw) > MaxDefinitionBytes {
		return nil, problem("", "the definition has %d bytes; at most %d are allowed", len(raw), MaxDefinitionBytes)
	}
	fields, err := members("", raw)
	if err != nil {
		return nil, err
	}
	p := parser{evaluators: evaluators}
	p.d.Default = -1
	for _, f := range fields {
		p.field(f)
	}
	p.complete()
	if p.err != nil {
		return nil, p.err
	}
	return &p.d, nil
}

// parser reads the fields of a definition in any order; the first error stays.
type parser struct {
	evaluators map[string]json.RawMessage
	d          Definition
	fallback   string // name of the default variant
	stateSeen  bool
	err        *Error
}

func (p *parser) fail(pointer, format string, args ...any) {
	if p.err == nil {
		p.err = problem(pointer, format, args...)
	}
}

func (p *parser) field(f member) {
	switch f.name {
	case "state":
		p.state(f.value)
	case "variants":
		p.variants(f.value)
	case "defaultVariant":
		if json.Unmarshal(f.value, &p.fallback) != nil { // null leaves it empty
			p.fail("/defaultVariant", "is not a string; name a variant, or give null for the code default")
		}
	case "targeting":
		p.targeting(f.value)
	case "metadata":
		p.metadata(f.value)
	}
}

func (p *parser) state(raw json.RawMessage) {
	var state string
	p.stateSeen = true
	if json.Unmarshal(raw, &state) != nil || state != "ENABLED" && state != "DISABLED" {
		p.fail("/state", "is %s; write \"ENABLED\" or \"DISABLED\"", shorten(raw))
	}
	p.d.Enabled = state == "ENABLED"
}

func shorten(raw []byte) string {
	if len(raw) > 40 {
		return "something else"
	}
	return string(raw)
}

func (p *parser) targeting(raw json.RawMessage) {
	if empty, err := members("", raw); string(raw) == "null" || err == nil && len(empty) == 0 {
		return
	}
	program, err := compileAt("/targeting", raw, p.evaluators)
	if err != nil && p.err == nil {
		p.err, _ = err.(*Error)
	}
	p.d.Targeting = program
}

func (p *parser) metadata(raw json.RawMessage) {
	if string(raw) == "null" {
		return
	}
	fields, err := members("/metadata", raw)
	if err != nil {
		p.fail(err.Pointer, "%s", err.Detail)
	}
	for _, f := range fields {
		pointer := "/metadata/" + escaper.Replace(f.name)
		kind, value := scalar(f.value)
		if kind == "" || kind == "object" {
			p.fail(pointer, "is neither a string nor a number nor a boolean; write one of these")
			continue
		}
		if p.d.Metadata == nil {
			p.d.Metadata = map[string]any{}
		}
		p.d.Metadata[f.name] = value
	}
}

func (p *parser) variants(raw json.RawMessage) {
	fields, err := members("/variants", raw)
	if err != nil {
		p.fail(err.Pointer, "%s", err.Detail)
		return
	}
	for _, f := range fields {
		pointer := "/variants/" + escaper.Replace(f.name)
		kind, value := scalar(f.value)
		switch {
		case kind == "":
			p.fail(pointer, "is no boolean, string, number or object of at most %d levels; write one of these", MaxValueDepth)
		case !p.joinType(kind):
			p.fail(pointer, "is of type %s where others are of type %s; give all variants one type", kind, p.d.Type)
		}
		p.d.Variants = append(p.d.Variants, Variant{Name: f.name, Value: value})
	}
	if p.d.Type == "float" {
		for i, v := range p.d.Variants {
			if n, ok := v.Value.(int64); ok {
				p.d.Variants[i].Value = float64(n)
			}
		}
	}
}

// joinType makes the type of the definition one that holds the kind, too.
func (p *parser) joinType(kind string) bool {
	numbers := []string{"integer", "float"}
	switch {
	case p.d.Type == "" || p.d.Type == kind:
		p.d.Type = kind
	case slices.Contains(numbers, kind) && slices.Contains(numbers, p.d.Type):
		p.d.Type = "float"
	default:
		return false
	}
	return true
}

// complete checks what depends on several fields.
func (p *parser) complete() {
	if !p.stateSeen {
		p.fail("", "has no state; write \"state\": \"ENABLED\"")
	}
	if len(p.d.Variants) == 0 {
		p.fail("", "has no variants; give at least one under \"variants\"")
	}
	if p.fallback != "" {
		p.d.Default = p.d.find(p.fallback)
		if p.d.Default < 0 {
			p.fail("/defaultVariant", "names %q, which is no variant; name one of variants", p.fallback)
		}
	}
	if len(p.d.Variants) > 8 {
		p.d.index = make(map[string]int, len(p.d.Variants))
		for i, v := range p.d.Variants {
			p.d.index[v.Name] = i
		}
	}
}

// scalar decodes the value of a variant or of metadata and names its type; "" if it has none.
func scalar(raw json.RawMessage) (kind string, decoded any) {
	switch c := raw[0]; {
	case c == 't' || c == 'f':
		return "boolean", c == 't'
	case c == '"':
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return "string", s
		}
	case c == '{':
		var object map[string]any
		if json.Unmarshal(raw, &object) == nil && shallow(object, MaxValueDepth) {
			return "object", object
		}
	case c == '-' || c >= '0' && c <= '9':
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil && n >= -maxInteger && n <= maxInteger {
			return "integer", n
		}
		if f, err := strconv.ParseFloat(string(raw), 64); err == nil && !math.IsInf(f, 0) {
			return "float", f
		}
	}
	return "", nil
}

func shallow(v any, levels int) bool {
	switch v := v.(type) {
	case []any:
		return levels > 0 && !slices.ContainsFunc(v, func(e any) bool { return !shallow(e, levels-1) })
	case map[string]any:
		for _, e := range v {
			if !shallow(e, levels-1) {
				return false
			}
		}
		return levels > 0
	}
	return true
}

type member struct {
	name  string
	value json.RawMessage
}

// members reads a JSON object in its order and refuses names that are there twice.
func members(pointer string, raw json.RawMessage) (list []member, problems *Error) {
	if !json.Valid(raw) {
		return nil, problem(pointer, "is not valid JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, _ := dec.Token(); start != json.Delim('{') {
		return nil, problem(pointer, "is no object; write one in braces")
	}
	seen := map[string]bool{}
	for dec.More() {
		var m member
		token, _ := dec.Token()
		m.name, _ = token.(string)
		if err := dec.Decode(&m.value); err != nil {
			return nil, problem(pointer, "is not valid JSON: %v", err)
		}
		if seen[m.name] {
			return nil, problem(pointer+"/"+escaper.Replace(m.name), "is there twice; keep one")
		}
		seen[m.name] = true
		list = append(list, m)
	}
	return list, nil
}
