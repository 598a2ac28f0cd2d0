package flag

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func good() Set {
	var f Flag
	if err := json.Unmarshal([]byte(goodFlag), &f); err != nil {
		panic(err)
	}
	fault := Flag{Key: "fault", Kind: KindFault, Type: TypeObject, Enabled: true, Variants: []Variant{{Name: "off", Value: []byte("null")}, {Name: "slow", Value: []byte(`{"delay":"1s"}`)}}}
	return Set{
		Environment: "production", History: "h", Hash: "00",
		Flags:    []Flag{f, fault},
		Segments: []Segment{{Key: "s", Members: []string{"u1", "u2"}, When: &Condition{Attribute: "beta", Op: OpExists}}},
		Allocations: []Allocation{{Trial: "t", Flag: "a", Version: "t.1.0", Salt: "t", Treatment: "on", Control: "off",
			Strata: []Stratum{{Segments: []string{"s"}, Treatment: 50_000, Control: 50_000}, {Treatment: 5_000, Control: 5_000}}}},
	}
}

func TestGoodSetIsValid(t *testing.T) {
	if err := good().Validate(); err != nil {
		t.Error(err)
	}
}

func many[T any](n int, one T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = one
	}
	return list
}

func TestValidateNamesEveryProblem(t *testing.T) {
	long := strings.Repeat("x", MaxText+1)
	nest := func(levels int) *Condition {
		c := &Condition{Attribute: "x", Op: OpExists}
		for range levels {
			c = &Condition{Not: c}
		}
		return c
	}
	when := func(c Condition) func(*Set) { return func(s *Set) { s.Flags[0].Rules[0].When = &c } }
	clause := func(op Op, values ...string) func(*Set) {
		c := Condition{Attribute: "x", Op: op}
		for _, v := range values {
			c.Values = append(c.Values, json.RawMessage(v))
		}
		return when(c)
	}
	split := func(change func(*Split)) func(*Set) { return func(s *Set) { change(s.Flags[0].Rules[1].Split) } }
	alloc := func(change func(*Allocation)) func(*Set) { return func(s *Set) { change(&s.Allocations[0]) } }
	first := func(change func(*Flag)) func(*Set) { return func(s *Set) { change(&s.Flags[0]) } }
	segment := func(change func(*Segment)) func(*Set) { return func(s *Set) { change(&s.Segments[0]) } }
	tests := []struct {
		name            string
		change          func(*Set)
		pointer, detail string
	}{
		{"environment", func(s *Set) { s.Environment = "a b" }, "/environment", "only A-Z"},
		{"history", func(s *Set) { s.History = long }, "/history", "at most 256"},
		{"hash", func(s *Set) { s.Hash = "\xff" }, "/hash", "UTF-8"},
		{"too many flags", func(s *Set) { s.Flags = many(MaxFlags+1, Flag{}) }, "/flags", "at most 10000"},
		{"too many segments", func(s *Set) { s.Segments = many(MaxSegments+1, Segment{}) }, "/segments", "at most 10000"},
		{"too many trials", func(s *Set) { s.Allocations = many(MaxAllocations+1, Allocation{}) }, "/allocations", "at most 10000"},
		{"flag twice", func(s *Set) { s.Flags = append(s.Flags, s.Flags[0]) }, "/flags/2/key", "there twice"},
		{"segment twice", func(s *Set) { s.Segments = append(s.Segments, s.Segments[0]) }, "/segments/1/key", "there twice"},
		{"trial twice", func(s *Set) { s.Allocations = append(s.Allocations, s.Allocations[0]) }, "/allocations/1/trial", "there twice"},

		{"no key", first(func(f *Flag) { f.Key = "" }), "/flags/0/key", "is empty"},
		{"long key", first(func(f *Flag) { f.Key = strings.Repeat("k", 129) }), "/flags/0/key", "at most 128"},
		{"colon in key", first(func(f *Flag) { f.Key = "a:b" }), "/flags/0/key", `has ':' at place 2`},
		{"dots as key", first(func(f *Flag) { f.Key = ".." }), "/flags/0/key", `has the part ".."`},
		{"dots within a key", first(func(f *Flag) { f.Key = "team/./search" }), "/flags/0/key", `has the part "."`},
		{"kind", first(func(f *Flag) { f.Kind = "toggle" }), "/flags/0/kind", "use one of [release config fault policy]"},
		{"type", first(func(f *Flag) { f.Type = "bool" }), "/flags/0/type", "use one of [boolean"},
		{"fault of another type", func(s *Set) { s.Flags[1].Type = TypeString }, "/flags/1/type", `make its type "object"`},
		{"description", first(func(f *Flag) { f.Description = long }), "/flags/0/description", "at most 4096"},
		{"owner", first(func(f *Flag) { f.Owner = long }), "/flags/0/owner", "at most 256"},
		{"tags", first(func(f *Flag) { f.Tags = many(51, "x") }), "/flags/0/tags", "at most 50"},
		{"tag", first(func(f *Flag) { f.Tags = []string{"\xff"} }), "/flags/0/tags/0", "UTF-8"},
		{"no variants", first(func(f *Flag) { f.Variants = nil }), "/flags/0/variants", "at least one"},
		{"too many variants", first(func(f *Flag) { f.Variants = many(101, f.Variants[0]) }), "/flags/0/variants", "at most 100"},
		{"variant twice", first(func(f *Flag) { f.Variants[1].Name = "on" }), "/flags/0/variants/1/name", "there twice"},
		{"variant name", first(func(f *Flag) { f.Variants[1].Name = "" }), "/flags/0/variants/1/name", "is empty"},
		{"value", first(func(f *Flag) { f.Variants[1].Value = []byte("7") }), "/flags/0/variants/1/value", "write true or false"},
		{"null value", first(func(f *Flag) { f.Type = TypeObject; f.Variants[1].Value = []byte("null") }), "/flags/0/variants/1/value", "only flags of kind fault"},
		{"default", first(func(f *Flag) { f.DefaultVariant = "offf" }), "/flags/0/defaultVariant", `did you mean "off"?`},
		{"too many rules", first(func(f *Flag) { f.Rules = many(201, f.Rules[0]) }), "/flags/0/rules", "at most 200"},
		{"rule name", first(func(f *Flag) { f.Rules[0].Name = long }), "/flags/0/rules/0/name", "at most 256"},
		{"serve and split", first(func(f *Flag) { f.Rules[1].Serve = "on" }), "/flags/0/rules/1", "exactly one of the two"},
		{"neither", first(func(f *Flag) { f.Rules[0].Serve = "" }), "/flags/0/rules/0", "exactly one of the two"},
		{"serve", first(func(f *Flag) { f.Rules[0].Serve = "onn" }), "/flags/0/rules/0/serve", `did you mean "on"?`},
		{"too long altogether", first(func(f *Flag) {
			f.Variants[0].Value = []byte(`"` + strings.Repeat("x", MaxFlagBytes) + `"`)
			f.Type = TypeString
		}), "/flags/0", "bytes of JSON"},

		{"salt", split(func(s *Split) { s.Salt = "a:" }), "/flags/0/rules/1/split/salt", "only A-Z"},
		{"bucketBy", split(func(s *Split) { s.BucketBy = "\xff" }), "/flags/0/rules/1/split/bucketBy", "UTF-8"},
		{"no weights", split(func(s *Split) { s.Weights = nil }), "/flags/0/rules/1/split/weights", "at least one"},
		{"too many weights", split(func(s *Split) { s.Weights = many(101, s.Weights[0]) }), "/flags/0/rules/1/split/weights", "at most 100 are"},
		{"weight", split(func(s *Split) { s.Weights[0].Weight = -1 }), "/flags/0/rules/1/split/weights/0/weight", "5 % is 5000"},
		{"sum", split(func(s *Split) { s.Weights = many(2, Share{"on", 60_000}) }), "/flags/0/rules/1/split/weights", "sum to 120000"},
		{"weight of no variant", split(func(s *Split) { s.Weights[0].Variant = "x" }), "/flags/0/rules/1/split/weights/0/variant", "no variant"},

		{"empty condition", when(Condition{}), "/flags/0/rules/0/when", "exactly one of these"},
		{"two forms", when(Condition{Segment: "s", Op: OpIn}), "/flags/0/rules/0/when", "exactly one of these"},
		{"no such segment", when(Condition{Any: []Condition{{Segment: "ss"}}}), "/flags/0/rules/0/when/any/0/segment", `did you mean "s"?`},
		{"too deep", when(Condition{Not: nest(MaxDepth)}), "/flags/0/rules/0/when" + strings.Repeat("/not", MaxDepth), "make the condition flatter"},
		{"too many clauses", when(Condition{All: many(51, Condition{Segment: "s"})}), "/flags/0/rules/0/when", "has 51 clauses"},
		{"attribute", when(Condition{Op: OpExists}), "/flags/0/rules/0/when/attribute", "name an attribute"},
		{"operator", clause("=", "1"), "/flags/0/rules/0/when/op", "use one of [< <= > >= contains endsWith exists in startsWith]"},
		{"no values", clause(OpIn), "/flags/0/rules/0/when/values", "give one"},
		{"two bounds", clause(OpLess, "1", "2"), "/flags/0/rules/0/when/values", "at most 1"},
		{"values of exists", clause(OpExists, "1"), "/flags/0/rules/0/when/values", "at most 0"},
		{"number for text", clause(OpContains, "1"), "/flags/0/rules/0/when/values/0", "write a string"},
		{"empty text", clause(OpStartsWith, `""`), "/flags/0/rules/0/when/values/0", "use exists"},
		{"text for number", clause(OpGreater, `"1"`), "/flags/0/rules/0/when/values/0", "write a number"},
		{"list for a value", clause(OpIn, `[1]`), "/flags/0/rules/0/when/values/0", "write one of these"},
		{"huge number", clause(OpIn, `9007199254740993`), "/flags/0/rules/0/when/values/0", "compare smaller"},
		{"missing value", clause(OpIn, ``), "/flags/0/rules/0/when/values/0", "is missing"},

		{"segment key", segment(func(s *Segment) { s.Key = "" }), "/segments/0/key", "is empty"},
		{"segment description", segment(func(s *Segment) { s.Description = long }), "/segments/0/description", "at most 4096"},
		{"too many members", segment(func(s *Segment) { s.Members = many(MaxMembers+1, "x") }), "/segments/0/members", "at most 10000"},
		{"empty member", segment(func(s *Segment) { s.Members[1] = "" }), "/segments/0/members/1", "is a targeting key"},
		{"long member", segment(func(s *Segment) { s.Members[1] = long }), "/segments/0/members/1", "at most 256"},
		{"member twice", segment(func(s *Segment) { s.Members[1] = "u1" }), "/segments/0/members/1", "keep it once"},
		{"segment in segment", segment(func(s *Segment) { s.When = &Condition{Segment: "s"} }), "/segments/0/when/segment", "repeat that segment's clauses"},

		{"trial name", alloc(func(a *Allocation) { a.Trial = ":" }), "/allocations/0/trial", "only A-Z"},
		{"trial salt", alloc(func(a *Allocation) { a.Salt = "" }), "/allocations/0/salt", "is empty"},
		{"version", alloc(func(a *Allocation) { a.Version = long }), "/allocations/0/version", "at most 256"},
		{"audience", alloc(func(a *Allocation) { a.Audience = &Condition{} }), "/allocations/0/audience", "exactly one"},
		{"flag of the trial", alloc(func(a *Allocation) { a.Flag = "x" }), "/allocations/0/flag", "end the trial before"},
		{"treatment", alloc(func(a *Allocation) { a.Treatment = "x" }), "/allocations/0/treatment", "no variant"},
		{"control", alloc(func(a *Allocation) { a.Control = "x" }), "/allocations/0/control", "no variant"},
		{"same", alloc(func(a *Allocation) { a.Control = "on" }), "/allocations/0/control", "compare two"},
		{"too many strata", alloc(func(a *Allocation) { a.Strata = many(101, Stratum{}) }), "/allocations/0/strata", "at most 100"},
		{"stratum weight", alloc(func(a *Allocation) { a.Strata[0].Control = 100_001 }), "/allocations/0/strata/0/control", "between 0 and"},
		{"stratum treatment", alloc(func(a *Allocation) { a.Strata[1].Treatment = -1 }), "/allocations/0/strata/1/treatment", "between 0 and"},
		{"stratum sum", alloc(func(a *Allocation) { a.Strata[0].Control = 50_001 }), "/allocations/0/strata/0", "sum to 100001"},
		{"stratum segments", alloc(func(a *Allocation) { a.Strata[0].Segments = many(101, "s") }), "/allocations/0/strata/0/segments", "at most 100"},
		{"stratum segment", alloc(func(a *Allocation) { a.Strata[0].Segments[0] = "x" }), "/allocations/0/strata/0/segments/0", "create it first"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set := good()
			test.change(&set)
			err := set.Validate()
			expectProblem(t, err, test.pointer, test.detail)
			if !strings.HasPrefix(fmt.Sprint(err), "flag set ") {
				t.Errorf("the error does not name its subject: %v", err)
			}
		})
	}
}

func TestFlagOfARunningTrialKeepsItsVariants(t *testing.T) {
	set := good()
	f := set.Flags[0]
	f.Variants, f.Rules = f.Variants[1:], nil
	expectProblem(t, f.Validate(set), "/variants", `trial "t" is running on variant "on"`)
	if err := set.Flags[1].Validate(set); err != nil {
		t.Errorf("another flag: %v", err)
	}
}

func TestConditionsAndSegmentsAlone(t *testing.T) {
	if err := (*Condition)(nil).Validate("/x", Set{}); err != nil {
		t.Errorf("no condition: %v", err)
	}
	expectProblem(t, (&Condition{Segment: "s"}).Validate("/audience", Set{}), "/audience/segment", "create it first")
	expectProblem(t, Segment{Key: "s", When: &Condition{Segment: "s"}}.Validate(), "/when/segment", "cannot name a segment")
	if err := good().Segments[0].Validate(); err != nil {
		t.Error(err)
	}
}

func TestPercent(t *testing.T) {
	if got := Weight(12_345).Percent(); got != 12.345 {
		t.Errorf("%v", got)
	}
}
