package flag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"
)

func (v *validator) flag(at path, f *Flag) {
	v.check(at.to("key"), CheckKey(f.Key))
	v.kindAndType(at, f)
	v.check(at.to("description"), checkText(f.Description, MaxText))
	v.check(at.to("owner"), checkText(f.Owner, MaxMember))
	v.count(at.to("tags"), len(f.Tags), MaxTags, "tags")
	for i, tag := range f.Tags {
		v.check(at.item("tags", i), checkText(tag, MaxMember))
	}
	v.check(at.to("expires"), checkDay(f.Expires))
	if f.HasDefinition() {
		v.definition(at, f)
	} else {
		v.structured(at, f)
	}
	v.flagSize(at, f)
}

// structured checks what only a flag without a definition has.
func (v *validator) structured(at path, f *Flag) {
	v.variants(at, f)
	v.schema(at.to("schema"), f)
	if f.DefaultVariant != "" {
		v.variant(at.to("defaultVariant"), f, f.DefaultVariant)
	}
	v.prerequisites(at, f)
	v.overrides(at, f)
	v.count(at.to("rules"), len(f.Rules), MaxRules, "rules")
	for i := range f.Rules {
		v.rule(at.item("rules", i), f, &f.Rules[i])
	}
}

var (
	kinds = []Kind{KindRelease, KindConfig, KindFault, KindPolicy}
	types = []Type{TypeBoolean, TypeString, TypeInteger, TypeFloat, TypeObject}
)

func (v *validator) kindAndType(at path, f *Flag) {
	if !slices.Contains(kinds, f.Kind) {
		v.add(at.to("kind"), "%q is not a kind of flag; use one of %v", f.Kind, kinds)
	}
	if !slices.Contains(types, f.Type) {
		v.add(at.to("type"), "%q is not a type of flag; use one of %v", f.Type, types)
	} else if f.holdsNull() && f.Type != TypeObject {
		v.add(at.to("type"), "a flag of kind %s has objects for variants; make its type %q", f.Kind, TypeObject)
	}
}

// holdsNull reports whether a variant may be null: no fault, no policy.
func (f *Flag) holdsNull() bool { return f.Kind == KindFault || f.Kind == KindPolicy }

// checkDay says what is wrong with a day; none is right.
func checkDay(day string) error {
	if day == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return fmt.Errorf("%.20q is not a day; write it as 2026-12-31", day)
	}
	return nil
}

func (v *validator) variants(at path, f *Flag) {
	if len(f.Variants) == 0 {
		v.add(at.to("variants"), "there are none; give the flag at least one variant")
	}
	v.count(at.to("variants"), len(f.Variants), MaxVariants, "variants")
	for i := range f.Variants {
		variant, at := &f.Variants[i], at.item("variants", i)
		v.check(at.to("name"), CheckKey(variant.Name))
		if i < MaxVariants && slices.ContainsFunc(f.Variants[:i], func(other Variant) bool { return other.Name == variant.Name }) {
			v.add(at.to("name"), "variant %q is there twice; keep one of the two", variant.Name)
		}
		if !slices.Contains(types, f.Type) {
			continue // already said
		}
		value, err := DecodeValue(f.Type, variant.Value)
		if err == nil && value == nil && !f.holdsNull() {
			err = fmt.Errorf("is null; only flags of kind %s and %s may have null for a variant", KindFault, KindPolicy)
		}
		v.check(at.to("value"), err)
	}
}

// names yields the flag's own variants.
func (f *Flag) names() iter.Seq[string] {
	return keys(f.Variants, func(v *Variant) string { return v.Name })
}

func (f *Flag) has(variant string) bool {
	for i := range f.Variants {
		if f.Variants[i].Name == variant {
			return true
		}
	}
	return false
}

// variant records a reference to a variant that does not exist.
func (v *validator) variant(at path, f *Flag, name string) {
	if !f.has(name) {
		v.unknown(at, name, f.names(), "flag %q has no variant %q; name one of its variants", f.Key, name)
	}
}

// schema checks that a JSON Schema is an object within bounds, not that it is a good one: what
// reads schemas is no part of the core.
func (v *validator) schema(at path, f *Flag) {
	if !isGiven(f.Schema) {
		return
	}
	raw := bytes.TrimSpace(f.Schema)
	switch {
	case f.Type != TypeObject:
		v.add(at, "only flags of type %s have a schema; remove it", TypeObject)
	case len(raw) > MaxSchemaBytes:
		v.add(at, "has %d bytes; at most %d are allowed", len(raw), MaxSchemaBytes)
	case len(raw) == 0 || raw[0] != '{':
		v.add(at, "is not an object; write a JSON Schema in braces")
	default:
		problems := &Problems{}
		scan(raw, anyShape, maxNesting, problems)
		v.Merge(at.String(), problems.Err())
	}
}

// flagSize measures the flag's JSON, but only where it could be too long: JSON escapes make a
// byte at most six, and a document without texts stays small.
func (v *validator) flagSize(at path, f *Flag) {
	if 6*f.textBytes() < MaxFlagBytes/2 {
		return
	}
	data, err := json.Marshal(f)
	if err != nil {
		return // a broken value, already said
	}
	if len(data) > MaxFlagBytes {
		v.add(at, "flag %q has %d bytes of JSON; at most %d are allowed, move long lists into segments", f.Key, len(data), MaxFlagBytes)
	}
}

// textBytes counts what the flag's JSON grows with: its texts, and 64 bytes for each part.
func (f *Flag) textBytes() int {
	n := len(f.Key) + len(f.Description) + len(f.Owner) + len(f.Expires) + len(f.Schema) + len(f.Definition)
	for _, tag := range f.Tags {
		n += 64 + len(tag)
	}
	for i := range f.Variants {
		n += 64 + len(f.Variants[i].Name) + len(f.Variants[i].Value)
	}
	for i := range f.Prerequisites {
		n += 64 + len(f.Prerequisites[i].Flag) + listBytes(f.Prerequisites[i].Variants)
	}
	for i := range f.Overrides {
		n += 64 + len(f.Overrides[i].Variant) + listBytes(f.Overrides[i].Units)
	}
	for i := range f.Rules {
		r := &f.Rules[i]
		n += 64 + len(r.Name) + r.When.textBytes(MaxDepth)
		if r.Split != nil {
			n += 64 * len(r.Split.Weights)
		}
	}
	return n
}

func listBytes(texts []string) (n int) {
	for _, text := range texts {
		n += 4 + len(text)
	}
	return n
}
