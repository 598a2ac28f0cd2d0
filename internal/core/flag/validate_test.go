package flag

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func good() Set {
	var f Flag
	if err := json.Unmarshal([]byte(goodFlag), &f); err != nil {
		panic(err)
	}
	yes := []Variant{{Name: "yes", Value: []byte("true")}, {Name: "no", Value: []byte("false")}}
	return Set{
		Environment: "production", History: "h", Hash: "00",
		Flags: []Flag{f,
			{Key: "fault", Kind: KindFault, Type: TypeObject, Enabled: true, Variants: []Variant{{Name: "off", Value: []byte("null")}, {Name: "slow", Value: []byte(`{"delay":"1s"}`)}}},
			{Key: "needed", Kind: KindRelease, Type: TypeBoolean, Enabled: true, Variants: yes},
			{Key: "settings", Kind: KindConfig, Type: TypeObject, Enabled: true, Schema: []byte(`{"type":"object"}`), Variants: []Variant{{Name: "some", Value: []byte("{}")}}},
			{Key: "raw", Kind: KindRelease, Type: TypeBoolean, Enabled: true, Definition: []byte(`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":{"if":[{"$ref":"logic"},"on",null]}}`)},
		},
		Segments: []Segment{
			{Key: "s", Members: []string{"u1", "u2"}, When: &Condition{Attribute: "beta", Op: OpExists},
				List: &List{HashKey: strings.Repeat("0f", 16), Count: 5, Parts: []ListPart{{Digest: strings.Repeat("a0", 32), Bytes: 40}, {Digest: strings.Repeat("b1", 32), Bytes: 8, Removes: true}}}},
			{Key: "logic", Rule: []byte(`{"==":[{"var":"plan"},"gold"]}`)},
		},
		Layers: []Layer{
			{Key: "everybody", Salt: "e1", Holdout: 5_000, Global: true},
			{Key: "pricing", Slots: []Slot{{Flag: "settings", From: 50_000, To: 90_000}, {Flag: "a", From: 0, To: 50_000}}, Holdout: 10_000},
		},
		Allocations: []Allocation{{Trial: "t", Flag: "a", Version: "t.1.0", Salt: "t", Treatment: "on", Control: "off",
			Audience: &Condition{Segment: "s"},
			Strata:   []Stratum{{Segments: []string{"s"}, Treatment: 50_000, Control: 50_000}, {Treatment: 5_000, Control: 5_000}},
			Events:   []Event{{Name: "purchase", Count: CountUnits}, {Name: "basket value", Count: CountValues}}}},
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
	list := func(change func(*List)) func(*Set) { return func(s *Set) { change(s.Segments[0].List) } }
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
		{"too many layers", func(s *Set) { s.Layers = many(MaxLayers+1, Layer{}) }, "/layers", "at most 1000"},
		{"flag twice", func(s *Set) { s.Flags = append(s.Flags, s.Flags[0]) }, "/flags/5/key", "there twice"},
		{"segment twice", func(s *Set) { s.Segments = append(s.Segments, s.Segments[0]) }, "/segments/2/key", "there twice"},
		{"layer twice", func(s *Set) { s.Layers = append(s.Layers, Layer{Key: "pricing"}) }, "/layers/2/key", "there twice"},
		{"trial twice", func(s *Set) { s.Allocations = append(s.Allocations, s.Allocations[0]) }, "/allocations/1/trial", "there twice"},

		{"too many events", func(s *Set) { s.Allocations[0].Events = many(MaxEvents+1, Event{}) }, "/allocations/0/events", "at most 16"},
		{"event without name", func(s *Set) { s.Allocations[0].Events[1].Name = "" }, "/allocations/0/events/1/name", "Track"},
		{"long event", func(s *Set) { s.Allocations[0].Events[1].Name = long }, "/allocations/0/events/1/name", "at most 256"},
		{"event twice", func(s *Set) { s.Allocations[0].Events[1].Name = "purchase" }, "/allocations/0/events/1", "as units and as values"},
		{"count of event", func(s *Set) { s.Allocations[0].Events[1].Count = "all" }, "/allocations/0/events/1/count", "none of units"},

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
		{"operator", clause("=", "1"), "/flags/0/rules/0/when/op", "use one of [< <= > >= after before contains"},
		{"no values", clause(OpIn), "/flags/0/rules/0/when/values", "give one"},
		{"two bounds", clause(OpLess, "1", "2"), "/flags/0/rules/0/when/values", "at most 1"},
		{"values of exists", clause(OpExists, "1"), "/flags/0/rules/0/when/values", "at most 0"},
		{"number for text", clause(OpContains, "1"), "/flags/0/rules/0/when/values/0", "write a string"},
		{"empty text", clause(OpStartsWith, `""`), "/flags/0/rules/0/when/values/0", "use exists"},
		{"text for number", clause(OpGreater, `"1"`), "/flags/0/rules/0/when/values/0", "write a number"},
		{"list for a value", clause(OpIn, `[1]`), "/flags/0/rules/0/when/values/0", "write one of these"},
		{"huge number", clause(OpIn, `9007199254740993`), "/flags/0/rules/0/when/values/0", "compare smaller"},
		{"missing value", clause(OpIn, ``), "/flags/0/rules/0/when/values/0", "is missing"},

		{"empty part", func(s *Set) { s.Flags[0].Rules[0].When.Any[0].Attribute = "user..plan" }, "/flags/0/rules/0/when/any/0/attribute", "empty part"},
		{"many parts", func(s *Set) { s.Flags[0].Rules[0].When.Any[0].Attribute = "a.b.c.d.e.f.g.h.i" }, "/flags/0/rules/0/when/any/0/attribute", "has 9 parts"},
		{"flagd's own", func(s *Set) { s.Flags[0].Rules[0].When.Any[0].Attribute = "$flagd.timestamp" }, "/flags/0/rules/0/when/any/0/attribute", "keeps for itself"},
		{"dots in bucketBy", split(func(s *Split) { s.BucketBy = "a." }), "/flags/0/rules/1/split/bucketBy", "empty part"},
		{"equal to two", clause(OpEquals, "1", "2"), "/flags/0/rules/0/when/values", "at most 1"},
		{"broken pattern", clause(OpMatches, `"a("`), "/flags/0/rules/0/when/values/0", "RE2 syntax"},
		{"look-ahead", clause(OpMatches, `"(?=a)"`), "/flags/0/rules/0/when/values/0", "RE2 syntax"},
		{"long pattern", clause(OpMatches, `"`+strings.Repeat("a", 513)+`"`), "/flags/0/rules/0/when/values/0", "at most 512"},
		{"large pattern", clause(OpMatches, `"`+strings.Repeat("a{999}", 9)+`"`), "/flags/0/rules/0/when/values/0", "repeat fewer times"},
		{"too many patterns", clause(OpMatches, many(21, `"a"`)...), "/flags/0/rules/0/when/values", "at most 20"},
		{"number for a pattern", clause(OpMatches, `1`), "/flags/0/rules/0/when/values/0", "write a string"},
		{"day for an instant", clause(OpBefore, `"2026-12-31"`), "/flags/0/rules/0/when/values/0", "write it as 2026-12-31T23:59:59Z"},
		{"number for an instant", clause(OpAfter, `7`), "/flags/0/rules/0/when/values/0", "write a string"},
		{"network", clause(OpInCIDR, `"10.0.0.0/33"`), "/flags/0/rules/0/when/values/0", "10.0.0.0/8"},
		{"zone", clause(OpInCIDR, `"fe80::1%eth0"`), "/flags/0/rules/0/when/values/0", "10.0.0.0/8"},
		{"IPv4 in IPv6", clause(OpInCIDR, `"::ffff:10.0.0.0/104"`), "/flags/0/rules/0/when/values/0", "10.0.0.0/8"},
		{"truth for a text", clause(OpContains, `true`), "/flags/0/rules/0/when/values/0", "does not compare booleans"},

		{"expires", first(func(f *Flag) { f.Expires = "2027-02-29" }), "/flags/0/expires", "write it as 2026-12-31"},
		{"schema of a boolean", first(func(f *Flag) { f.Schema = []byte("{}") }), "/flags/0/schema", "only flags of type object"},
		{"schema", func(s *Set) { s.Flags[3].Schema = []byte("[]") }, "/flags/3/schema", "write a JSON Schema in braces"},
		{"broken schema", func(s *Set) { s.Flags[3].Schema = []byte(`{"a":1,"a":2}`) }, "/flags/3/schema/a", "given twice"},
		{"long schema", func(s *Set) { s.Flags[3].Schema = []byte(`{"a":"` + strings.Repeat("x", MaxSchemaBytes) + `"}`) }, "/flags/3/schema", "at most 65536"},
		{"too many prerequisites", first(func(f *Flag) { f.Prerequisites = many(21, f.Prerequisites[0]) }), "/flags/0/prerequisites", "at most 20"},
		{"prerequisite twice", first(func(f *Flag) { f.Prerequisites = many(2, f.Prerequisites[0]) }), "/flags/0/prerequisites/1/flag", "name it once"},
		{"unknown prerequisite", first(func(f *Flag) { f.Prerequisites[0].Flag = "neded" }), "/flags/0/prerequisites/0/flag", `did you mean "needed"?`},
		{"own prerequisite", first(func(f *Flag) { f.Prerequisites[0].Flag = "a" }), "/flags/0/prerequisites/0/flag", "its own prerequisite"},
		{"prerequisite's variant", first(func(f *Flag) { f.Prerequisites[0].Variants[0] = "yess" }), "/flags/0/prerequisites/0/variants/0", `did you mean "yes"?`},
		{"definition's variant", first(func(f *Flag) { f.Prerequisites[0] = Prerequisite{"raw", []string{"onn"}} }), "/flags/0/prerequisites/0/variants/0", `did you mean "on"?`},
		{"prerequisite of no variants", first(func(f *Flag) { f.Prerequisites[0].Variants = nil }), "/flags/0/prerequisites/0/variants", "at least one"},
		{"archived prerequisite", func(s *Set) { s.Flags[2].Archived = true }, "/flags/0/prerequisites/0/flag", "restore it"},
		{"circle", func(s *Set) { s.Flags[2].Prerequisites = []Prerequisite{{"a", []string{"on"}}} }, "/flags/0/prerequisites", "a → needed → a"},
		{"override's variant", first(func(f *Flag) { f.Overrides[0].Variant = "onn" }), "/flags/0/overrides/0/variant", `did you mean "on"?`},
		{"override of nobody", first(func(f *Flag) { f.Overrides[0].Units = nil }), "/flags/0/overrides/0/units", "give the targeting keys"},
		{"override of an empty key", first(func(f *Flag) { f.Overrides[0].Units[0] = "" }), "/flags/0/overrides/0/units/0", "is empty"},
		{"two overrides", first(func(f *Flag) { f.Overrides[1].Units[0] = "u2" }), "/flags/0/overrides/1/units/0", "has an override twice"},
		{"too many overrides", first(func(f *Flag) { f.Overrides[1].Units = many(999, "x") }), "/flags/0/overrides", "at most 1000"},
		{"long unit", first(func(f *Flag) { f.Overrides[1].Units[0] = long }), "/flags/0/overrides/1/units/0", "at most 256"},

		{"definition and variants", func(s *Set) { s.Flags[4].Variants = s.Flags[0].Variants }, "/flags/4/variants", "remove one of the two"},
		{"definition and default", func(s *Set) { s.Flags[4].DefaultVariant = "on" }, "/flags/4/defaultVariant", "remove one of the two"},
		{"definition and rules", func(s *Set) { s.Flags[4].Rules = s.Flags[0].Rules }, "/flags/4/rules", "remove one of the two"},
		{"definition and overrides", func(s *Set) { s.Flags[4].Overrides = s.Flags[0].Overrides }, "/flags/4/overrides", "remove one of the two"},
		{"definition and prerequisites", func(s *Set) { s.Flags[4].Prerequisites = s.Flags[0].Prerequisites }, "/flags/4/prerequisites", "remove one of the two"},
		{"definition and schema", func(s *Set) { s.Flags[4].Schema = []byte("{}") }, "/flags/4/schema", "remove one of the two"},
		{"definition of a fault", func(s *Set) { s.Flags[4].Kind, s.Flags[4].Type = KindFault, TypeObject }, "/flags/4/kind", "has no definition"},
		{"definition's type", func(s *Set) { s.Flags[4].Type = TypeString }, "/flags/4/type", "are of type boolean"},
		{"definition's state", func(s *Set) { s.Flags[4].Definition = []byte(`{"state":"ON","variants":{"on":true}}`) }, "/flags/4/definition/state", "ENABLED"},
		{"definition's operator", func(s *Set) {
			s.Flags[4].Definition = []byte(`{"state":"ENABLED","variants":{"on":true},"targeting":{"iff":[1]}}`)
		}, "/flags/4/definition/targeting/iff", "is no operator"},
		{"definition's evaluator", func(s *Set) { s.Segments[1].Key = "other" }, "/flags/4/definition/targeting/if/0/$ref", `no evaluator "logic"`},
		{"evaluator with a condition", func(s *Set) {
			s.Segments[1].Rule, s.Segments[1].When = nil, &Condition{Attribute: "x", Op: OpExists}
		}, "/flags/4/definition/targeting/if/0/$ref", `no evaluator "logic"`},
		{"broken evaluator", func(s *Set) { s.Segments[1].Rule = []byte(`{"iff":[1]}`) }, "/segments/1/rule/iff", "is no operator"},
		{"evaluator with a reference", func(s *Set) { s.Segments[1].Rule = []byte(`{"$ref":"logic"}`) }, "/segments/1/rule/$ref", `no evaluator "logic"`},
		{"version", clause(OpVersionMajor, `"1.x"`), "/flags/0/rules/0/when/values/0", "write it as 1.2.3"},
		{"trial on a definition", alloc(func(a *Allocation) { a.Flag = "raw" }), "/allocations/0/flag", "is a flagd definition"},
		{"trial on an archived flag", first(func(f *Flag) { f.Archived = true }), "/allocations/0/flag", "before archiving"},

		{"layer's key", func(s *Set) { s.Layers[0].Key = ":" }, "/layers/0/key", "only A-Z"},
		{"layer's salt", func(s *Set) { s.Layers[0].Salt = ":" }, "/layers/0/salt", "only A-Z"},
		{"layer's description", func(s *Set) { s.Layers[0].Description = long }, "/layers/0/description", "at most 4096"},
		{"holdout", func(s *Set) { s.Layers[0].Holdout = 100_001 }, "/layers/0/holdout", "between 0 and"},
		{"two global layers", func(s *Set) { s.Layers[1].Global, s.Layers[1].Slots = true, nil }, "/layers/1/global", `"everybody" is global already`},
		{"global layer with slots", func(s *Set) { s.Layers[0].Global, s.Layers[1].Global = false, true }, "/layers/1/slots", "has no slots"},
		{"too many slots", func(s *Set) { s.Layers[1].Slots = many(1001, Slot{}) }, "/layers/1/slots", "at most 1000"},
		{"slot of no flag", func(s *Set) { s.Layers[1].Slots[0].Flag = "setting" }, "/layers/1/slots/0/flag", `did you mean "settings"?`},
		{"slot of a definition", func(s *Set) { s.Layers[1].Slots[0].Flag = "raw" }, "/layers/1/slots/0/flag", "layers cannot hold back"},
		{"two slots", func(s *Set) { s.Layers[1].Slots[0].Flag = "a" }, "/layers/1/slots/1/flag", `in layer "pricing" already`},
		{"two layers", func(s *Set) {
			s.Layers = append(s.Layers, Layer{Key: "z", Slots: []Slot{{Flag: "a", From: 0, To: 1}}})
		}, "/layers/2/slots/0/flag", `in layer "pricing" already`},
		{"empty slot", func(s *Set) { s.Layers[1].Slots[1].To = 0 }, "/layers/1/slots/1/to", "is not above from"},
		{"slot's weight", func(s *Set) { s.Layers[1].Slots[1].From = -1 }, "/layers/1/slots/1/from", "between 0 and"},
		{"slot in the holdout", func(s *Set) { s.Layers[1].Slots[0].To = 90_001 }, "/layers/1/slots/0/to", "reaches into the holdout"},
		{"overlap", func(s *Set) { s.Layers[1].Slots[1].To = 50_001 }, "/layers/1/slots/0", `"a" and "settings" share units from 50000 on`},

		{"rule and members", func(s *Set) { s.Segments[1].Members = []string{"u"} }, "/segments/1/rule", "has nothing else"},
		{"rule and condition", func(s *Set) { s.Segments[1].When = &Condition{Attribute: "x", Op: OpExists} }, "/segments/1/rule", "has nothing else"},
		{"rule and list", func(s *Set) { s.Segments[1].List = s.Segments[0].List }, "/segments/1/rule", "has nothing else"},
		{"long rule", func(s *Set) { s.Segments[1].Rule = []byte(`"` + strings.Repeat("x", MaxFlagBytes) + `"`) }, "/segments/1/rule", "at most 65536"},
		{"hash key", list(func(l *List) { l.HashKey = strings.Repeat("F", 32) }), "/segments/0/list/hashKey", "32 hex digits"},
		{"count", list(func(l *List) { l.Count = 10_000_001 }), "/segments/0/list/count", "between 0 and 10000000"},
		{"negative count", list(func(l *List) { l.Count = -1 }), "/segments/0/list/count", "between 0 and 10000000"},
		{"parts", list(func(l *List) { l.Parts = many(65, l.Parts[0]) }), "/segments/0/list/parts", "at most 64"},
		{"no parts", list(func(l *List) { l.Parts = nil }), "/segments/0/list/parts", "there are none"},
		{"digest", list(func(l *List) { l.Parts[1].Digest = "00" }), "/segments/0/list/parts/1/digest", "64 hex digits"},
		{"bytes", list(func(l *List) { l.Parts[1].Bytes = 0 }), "/segments/0/list/parts/1/bytes", "between 1 and"},
		{"many bytes", list(func(l *List) { l.Parts[1].Bytes = 1 << 40 }), "/segments/0/list/parts/1/bytes", "between 1 and"},

		{"segment key", segment(func(s *Segment) { s.Key = "" }), "/segments/0/key", "is empty"},
		{"segment description", segment(func(s *Segment) { s.Description = long }), "/segments/0/description", "at most 4096"},
		{"too many members", segment(func(s *Segment) { s.Members = many(MaxMembers+1, "x") }), "/segments/0/members", "at most 10000"},
		{"empty member", segment(func(s *Segment) { s.Members[1] = "" }), "/segments/0/members/1", "write a targeting key"},
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

// A flag that is written alone is checked against what the set has on it, and against its place in
// the chains of prerequisites.
func TestFlagAmongOthers(t *testing.T) {
	needs := func(f *Flag, key, variant string) { f.Prerequisites = []Prerequisite{{key, []string{variant}}} }
	yes := good().Flags[2].Variants
	chain := func(n int) Set { // c0 needs c1 needs … cn
		s := Set{}
		for i := range n + 1 {
			f := Flag{Key: fmt.Sprint("c", i), Kind: KindRelease, Type: TypeBoolean, Variants: yes}
			if i < n {
				needs(&f, fmt.Sprint("c", i+1), "yes")
			}
			s.Flags = append(s.Flags, f)
		}
		return s
	}
	wide := func(depth, width int) Set { // every flag of a level needs every one of the next
		s := Set{}
		for level := range depth {
			for i := range width {
				f := Flag{Key: fmt.Sprint("w", level, ".", i), Kind: KindRelease, Type: TypeBoolean, Variants: yes}
				for j := range width {
					if level+1 < depth {
						f.Prerequisites = append(f.Prerequisites, Prerequisite{fmt.Sprint("w", level+1, ".", j), []string{"yes"}})
					}
				}
				s.Flags = append(s.Flags, f)
			}
		}
		return s
	}
	if err := chain(MaxChain).Validate(); err != nil {
		t.Errorf("the longest chain: %v", err)
	}
	if err := wide(3, 13).Validate(); err != nil { // 1 + 13 + 169 lookups
		t.Errorf("many lookups: %v", err)
	}
	expectProblem(t, chain(MaxChain+1).Validate(), "/flags/0/prerequisites", "deeper than 8 flags")
	expectProblem(t, wide(3, 14).Validate(), "/flags/0/prerequisites", "more than 200 evaluations")
	expectProblem(t, wide(8, 20).Validate(), "/flags/0/prerequisites", "more than 200 evaluations")

	tests := []struct {
		name            string
		set             Set
		flag            int
		change          func(*Flag)
		pointer, detail string
	}{
		{"archived under a trial", good(), 0, func(f *Flag) { f.Archived = true }, "/archived", `trial "t" is running`},
		{"definition under a trial", good(), 0, func(f *Flag) { f.Definition = good().Flags[4].Definition }, "/definition", `trial "t" is running`},
		{"definition in a slot", good(), 3, func(f *Flag) { f.Definition = good().Flags[4].Definition }, "/definition", `slot in layer "pricing"`},
		{"archived while needed", good(), 2, func(f *Flag) { f.Archived = true }, "/archived", `flag "a" has this one as a prerequisite`},
		{"variant removed while needed", good(), 2, func(f *Flag) { f.Variants = f.Variants[1:] }, "/variants", `flag "a" has variant "yes" as a prerequisite`},
		{"closes a circle", good(), 2, func(f *Flag) { needs(f, "a", "on") }, "/prerequisites", "needed → a → needed"},
		{"lengthens a chain", chain(MaxChain), MaxChain, func(f *Flag) { needs(f, "c", "yes") }, "/prerequisites/0/flag", "there is no flag"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := test.set.Flags[test.flag]
			test.change(&f)
			expectProblem(t, f.Validate(test.set), test.pointer, test.detail)
		})
	}
	longer := chain(MaxChain)
	longer.Flags = append(longer.Flags, Flag{Key: "end", Kind: KindRelease, Type: TypeBoolean, Variants: yes})
	last := longer.Flags[MaxChain]
	needs(&last, "end", "yes")
	expectProblem(t, last.Validate(longer), "/prerequisites", `"c0" needs this one`)
	for i, f := range good().Flags {
		if err := f.Validate(good()); err != nil {
			t.Errorf("flag %d: %v", i, err)
		}
	}
}

func TestLayerAmongOthers(t *testing.T) {
	set := good()
	for i, l := range set.Layers {
		if err := l.Validate(set); err != nil {
			t.Errorf("layer %d: %v", i, err)
		}
	}
	expectProblem(t, Layer{Key: "z", Global: true}.Validate(set), "/global", `"everybody" is global already`)
	expectProblem(t, Layer{Key: "z", Slots: []Slot{{Flag: "a", To: 5}}}.Validate(set), "/slots/0/flag", `in layer "pricing" already`)
	expectProblem(t, Layer{Key: "z", Slots: []Slot{{Flag: "x", To: 5}}}.Validate(set), "/slots/0/flag", "create it first")
}

// The oracle is the standard library's parser.
func TestParseInstant(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, text string) {
		want, err := time.Parse(time.RFC3339Nano, text)
		got, ok := ParseInstant(text)
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v, %v", text, got, ok, want, err)
		}
	}
	for _, text := range []string{"2026-12-31T23:59:59Z", "2026-12-31T23:59:59.5Z", "2026-12-31T23:59:59.123456789123+05:30", "0000-01-01T00:00:00-23:59",
		"2024-02-29T00:00:00Z", "2026-02-29T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
		"2026-12-31T23:59:60Z", "2026-12-31T23:59:59", "2026-12-31T23:59:59z", "2026-12-31 23:59:59Z", "2026-12-31T23:59:59.Z", "2026-12-31T23:59:59+1:00",
		"2026-12-31T23:59:59+24:00", "2026-12-31T23:59:59+25:00", "2026-12-31T23:59:59+00:60", "", "2026", "2026-12-31T23:59:59Zx"} {
		check(t, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-62e9, 250e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
		at = at.In(time.FixedZone("", 60*rapid.IntRange(-23*60, 23*60).Draw(t, "offset")))
		text := []byte(at.Format(rapid.SampledFrom([]string{time.RFC3339, time.RFC3339Nano}).Draw(t, "layout")))
		if rapid.Bool().Draw(t, "broken") {
			text[rapid.IntRange(0, len(text)-1).Draw(t, "where")] = rapid.SampledFrom([]byte("0123459:-+.TZz ")).Draw(t, "by")
		}
		check(t, string(text))
	})
	if n := testing.AllocsPerRun(100, func() { ParseInstant("2026-12-31T23:59:59.25+05:37") }); n != 0 {
		t.Errorf("%v allocations", n)
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
