package flag

import (
	"encoding/json"
	"fmt"
	"slices"
)

// definition checks a flagd definition and that the flag has nothing that would compete with it.
func (v *validator) definition(at path, f *Flag) {
	others := []struct {
		field string
		set   bool
	}{
		{"variants", len(f.Variants) > 0}, {"schema", isGiven(f.Schema)}, {"defaultVariant", f.DefaultVariant != ""},
		{"prerequisites", len(f.Prerequisites) > 0}, {"overrides", len(f.Overrides) > 0}, {"rules", len(f.Rules) > 0},
	}
	for _, other := range others {
		if other.set {
			v.add(at.to(other.field), "a flag with a definition has its %s inside; remove one of the two", other.field)
		}
	}
	if f.holdsNull() {
		v.add(at.to("kind"), "a flag of kind %s has no definition; make its kind %s or %s", f.Kind, KindRelease, KindConfig)
	}
	if len(f.Definition) > MaxFlagBytes {
		return // said of the whole flag
	}
	d, err := v.parsed(f)
	if err != nil {
		v.problem(at.to("definition"), err)
	} else if d.typ != f.Type && slices.Contains(types, f.Type) {
		v.add(at.to("type"), "the definition's variants are of type %s; make the flag's type the same", d.typ)
	}
}

// evaluator checks the rule of a segment.
func (v *validator) evaluator(at path, rule json.RawMessage) {
	if err := checkRule(rule); err != nil {
		v.problem(at, err)
	}
}

// problem records an error of a definition or a rule at its place inside of it.
func (v *validator) problem(at path, err error) { v.check(at, err) }

// variantsOf gives the names of the variants that a flag can give, also one with a definition;
// none if the definition cannot be read.
func (v *validator) variantsOf(f *Flag) []string {
	if !f.HasDefinition() {
		return slices.Collect(f.names())
	}
	d, err := v.parsed(f)
	if err != nil {
		return nil
	}
	return d.variants
}

// parsed is what validation wants to know of a flagd definition.
type parsed struct {
	typ      Type
	variants []string
}

func (v *validator) parsed(f *Flag) (parsed, error) {
	return parseDefinition(f.Definition, v.evaluatorRules())
}

func parseDefinition(raw json.RawMessage, _ map[string]json.RawMessage) (p parsed, err error) {
	var d struct {
		State    string
		Variants map[string]any
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return p, fmt.Errorf("is not a flagd definition: %w", err)
	}
	for name, value := range d.Variants {
		p.variants = append(p.variants, name)
		switch value.(type) {
		case bool:
			p.typ = TypeBoolean
		case string:
			p.typ = TypeString
		case float64:
			p.typ = TypeFloat
		default:
			p.typ = TypeObject
		}
	}
	return p, nil
}

func checkRule(raw json.RawMessage) error {
	if !json.Valid(raw) {
		return fmt.Errorf("is not JSON; write JsonLogic")
	}
	return nil
}
