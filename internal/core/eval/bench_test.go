package eval

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// The workloads are those of the comparison with other products: 100,000 users, 1 in 100 of them a
// beta tester, contexts with group, plan and country.

var groups = flag.Segment{Key: "testers", When: &flag.Condition{Attribute: "group", Op: flag.OpIn, Values: []json.RawMessage{[]byte(`"beta-testers"`), []byte(`"internal-users"`)}}}

func booleanFlag(key string, rules ...flag.Rule) flag.Flag {
	return flag.Flag{Key: key, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off", Rules: rules,
		Variants: []flag.Variant{{Name: "on", Value: []byte("true")}, {Name: "off", Value: []byte("false")}}}
}

func rollout(key string) flag.Flag {
	return booleanFlag(key,
		flag.Rule{When: &flag.Condition{Segment: "testers"}, Serve: "on"},
		flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight / 20}}}})
}

// tenRules has rules on the attributes in turn, of which only the last matches.
func tenRules(key string, attributes ...string) flag.Flag {
	f := booleanFlag(key)
	for i := range 9 {
		when := clause(attributes[i%len(attributes)], flag.OpIn, fmt.Sprintf(`"none-%d"`, i))
		f.Rules = append(f.Rules, flag.Rule{When: &when, Serve: "off"})
	}
	last := clause("country", flag.OpIn, `"de"`)
	f.Rules = append(f.Rules, flag.Rule{When: &last, Serve: "on"})
	return f
}

func fourVariants(key string) flag.Flag {
	quarter := flag.Weight(flag.TotalWeight / 4)
	return stringFlag(key, flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: quarter}, {Variant: "off", Weight: quarter},
		{Variant: "red", Weight: quarter}, {Variant: "blue", Weight: quarter}}}})
}

func benchSet() flag.Set {
	needs := booleanFlag("prerequisite")
	needs.Prerequisites = []flag.Prerequisite{{Flag: "rollout", Variants: []string{"off", "on"}}}
	override := booleanFlag("override")
	override.Overrides = []flag.Override{{Variant: "on", Units: []string{"nobody"}}}
	raw := booleanFlag("raw")
	raw.Variants, raw.DefaultVariant = nil, ""
	raw.Definition = []byte(`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":
		{"if":[{"in":[{"var":"group"},["beta-testers","internal-users"]]},"on",{"fractional":[{"cat":["raw:",{"var":"targetingKey"}]},["on",5000],["off",95000]]}]}}`)
	set := flag.Set{Segments: []flag.Segment{groups}, Flags: []flag.Flag{booleanFlag("static"), rollout("rollout"), rollout("layered"),
		tenRules("ten-rules", "plan", "country", "group"), tenRules("ten-rules-on-one", "country"), fourVariants("four-variants"), needs, override, raw, booleanFlag("trial")}}
	set.Layers = []flag.Layer{{Key: "layer", Slots: []flag.Slot{{Flag: "layered", From: 0, To: flag.TotalWeight}}}}
	set.Allocations = []flag.Allocation{{Trial: "trial", Flag: "trial", Version: "1", Salt: "trial", Treatment: "on", Control: "off",
		Strata: []flag.Stratum{{Treatment: 50_000, Control: 50_000}}}}
	return set
}

func users(n int) []Context {
	list := make([]Context, n)
	plans, countries := []any{"free", "gold", "team"}, []any{"fr", "de", "us"}
	for i := range list {
		group := any("customers")
		if i%100 == 0 {
			group = "beta-testers"
		}
		list[i] = Context{TargetingKey: ids["uuid"](i), Attributes: map[string]any{"group": group, "plan": plans[i%3], "country": countries[i%3]}}
	}
	return list
}

// BenchmarkFlag evaluates by handle, each time for another user.
func BenchmarkFlag(b *testing.B) {
	s := compile(b, benchSet())
	many := users(100_000)
	for _, key := range []string{"static", "rollout", "ten-rules", "ten-rules-on-one", "four-variants", "trial", "layered", "prerequisite", "override", "raw"} {
		for _, n := range []int{1, len(many)} {
			b.Run(fmt.Sprintf("%s/%d-users", key, n), func(b *testing.B) {
				f, i := s.Flag(key), 0
				b.ReportAllocs()
				for b.Loop() {
					f.Evaluate(&many[i])
					if i++; i == n {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkByKey walks over all flags of a set, so that caches of the processor do not help; the
// floor is a plain map of pointers to what a hand-written flag would need.
func BenchmarkByKey(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		s, many := compile(b, manyFlags(n)), users(1)
		keys := make([]string, n)
		for i := range keys {
			keys[i] = flagKey(i * 7919 % n)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				s.Evaluate(keys[i], &many[0])
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

func flagKey(i int) string { return fmt.Sprintf("flag-%06d", i) }

// manyFlags are rollouts, and every tenth flag has ten rules.
func manyFlags(n int) flag.Set {
	set := flag.Set{Segments: []flag.Segment{groups}}
	for i := range n {
		f := rollout(flagKey(i))
		if i%10 == 9 {
			f = tenRules(flagKey(i), "plan", "country")
		}
		set.Flags = append(set.Flags, f)
	}
	return set
}

// BenchmarkCompile is what a change costs whoever evaluates; it includes the validation.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		set := manyFlags(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				compile(b, set)
			}
		})
		b.Run(fmt.Sprintf("validate-%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := set.Validate(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
