package flag

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/targeting"
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
	} else if Type(d.Type) != f.Type && slices.Contains(types, f.Type) {
		v.add(at.to("type"), "the definition's variants are of type %s; make the flag's type the same", d.Type)
	}
}

// evaluator checks the rule of a segment. It cannot name other segments.
func (v *validator) evaluator(at path, rule json.RawMessage) {
	if _, err := targeting.Compile(rule, nil); err != nil {
		v.problem(at, err)
	}
}

// problem records an error of a definition or a rule at its place inside of it. What is wrong with
// the rule of a segment that a definition names is said there, too.
func (v *validator) problem(at path, err error) {
	inside, ok := err.(*targeting.Error)
	switch {
	case !ok:
		v.check(at, err)
	case strings.HasPrefix(inside.Pointer, "/$evaluators/"):
		v.check(at, err)
	default:
		v.Add(at.String()+inside.Pointer, "%s", inside.Detail)
	}
}

// variantsOf gives the names of the variants that a flag can give, also one with a definition;
// none if the definition cannot be read.
func (v *validator) variantsOf(f *Flag) (names []string) {
	if !f.HasDefinition() {
		return slices.Collect(f.names())
	}
	d, err := v.parsed(f)
	if err != nil {
		return nil
	}
	for i := range d.Variants {
		names = append(names, d.Variants[i].Name)
	}
	return names
}

// parsed reads the definition, whose $refs are segments with a rule.
func (v *validator) parsed(f *Flag) (*targeting.Definition, error) {
	return targeting.ParseDefinition(f.Definition, v.evaluatorRules())
}
