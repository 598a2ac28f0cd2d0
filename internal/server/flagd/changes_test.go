package flagd

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

func yes(key string, change ...func(*flag.Flag)) flag.Flag {
	f := flag.Flag{Key: key, Enabled: true, DefaultVariant: "off"}
	for _, c := range change {
		c(&f)
	}
	return f
}

func when(c flag.Condition) func(*flag.Flag) {
	return func(f *flag.Flag) { f.Rules = append(f.Rules, flag.Rule{When: &c, Serve: "on"}) }
}

func needs(key string) func(*flag.Flag) {
	return func(f *flag.Flag) { f.Prerequisites = []flag.Prerequisite{{Flag: key, Variants: []string{"on"}}} }
}

func visible(f *flag.Flag) { f.ClientSide = true }

func split(f *flag.Flag) { f.Rules = []flag.Rule{{Split: &flag.Split{}}} }

func described(f *flag.Flag) { f.Description = "x" }

func TestChangesNameWhatMayEvaluateDifferently(t *testing.T) {
	inBeta := flag.Condition{Segment: "beta"}
	beta := func(members ...string) []flag.Segment { return []flag.Segment{{Key: "beta", Members: members}} }
	evaluator := func(rule string) []flag.Segment { return []flag.Segment{{Key: "beta", Rule: json.RawMessage(rule)}} }
	set := func(flags ...flag.Flag) flag.Set { return flag.Set{Flags: flags} }
	with := func(s flag.Set, change func(*flag.Set)) flag.Set { change(&s); return s }
	group := func(list []flag.Segment) func(*flag.Set) { return func(s *flag.Set) { s.Segments = list } }
	trial := func(a flag.Allocation) func(*flag.Set) {
		return func(s *flag.Set) { s.Allocations = []flag.Allocation{a} }
	}
	layer := func(l flag.Layer) func(*flag.Set) { return func(s *flag.Set) { s.Layers = []flag.Layer{l} } }
	for _, test := range []struct {
		name     string
		from, to flag.Set
		client   bool
		want     map[string]change
	}{
		{"nothing", set(yes("a")), set(yes("a")), false, nil},
		{"written, updated, deleted", set(yes("a"), yes("b"), yes("d")), set(yes("b", described), yes("c"), yes("d")), false,
			map[string]change{"a": deleted, "b": updated, "c": written}},
		{"a segment", with(set(yes("a"), yes("b", when(flag.Condition{Any: []flag.Condition{{Not: &inBeta}}}))), group(beta("x"))),
			with(set(yes("a"), yes("b", when(flag.Condition{Any: []flag.Condition{{Not: &inBeta}}}))), group(beta("y"))), false, map[string]change{"b": updated}},
		{"an evaluator", with(set(yes("a"), yes("b", func(f *flag.Flag) { f.Definition = json.RawMessage(`{"targeting":{"$ref":"beta"}}`) })), group(evaluator("1"))),
			with(set(yes("a"), yes("b", func(f *flag.Flag) { f.Definition = json.RawMessage(`{"targeting":{"$ref":"beta"}}`) })), group(evaluator("2"))), false, map[string]change{"b": updated}},
		{"a trial starts", set(yes("a"), yes("b")), with(set(yes("a"), yes("b")), trial(flag.Allocation{Trial: "t", Flag: "b"})), false, map[string]change{"b": updated}},
		{"a trial steps", with(set(yes("b")), trial(flag.Allocation{Trial: "t", Flag: "b"})), with(set(yes("b")), trial(flag.Allocation{Trial: "t", Flag: "b", Step: 1})), false,
			map[string]change{"b": updated}},
		{"a trial ends", with(set(yes("b")), trial(flag.Allocation{Trial: "t", Flag: "b"})), set(yes("b")), false, map[string]change{"b": updated}},
		{"a trial's group", with(with(set(yes("a"), yes("b")), trial(flag.Allocation{Flag: "b", Strata: []flag.Stratum{{Segments: []string{"beta"}}}})), group(beta("x"))),
			with(with(set(yes("a"), yes("b")), trial(flag.Allocation{Flag: "b", Strata: []flag.Stratum{{Segments: []string{"beta"}}}})), group(beta("y"))), false, map[string]change{"b": updated}},
		{"a trial's audience", with(with(set(yes("b")), trial(flag.Allocation{Flag: "b", Audience: &inBeta})), group(beta("x"))),
			with(with(set(yes("b")), trial(flag.Allocation{Flag: "b", Audience: &inBeta})), group(beta("y"))), false, map[string]change{"b": updated}},
		{"a slot that is gone", with(set(yes("a"), yes("b")), layer(flag.Layer{Key: "l", Slots: []flag.Slot{{Flag: "b"}}})),
			with(set(yes("a"), yes("b")), layer(flag.Layer{Key: "l"})), false, map[string]change{"b": updated}},
		{"the holdout of all", set(yes("a"), yes("b", split)), with(set(yes("a"), yes("b", split)), layer(flag.Layer{Key: "l", Global: true})), false,
			map[string]change{"b": updated}},
		{"prerequisites of prerequisites", set(yes("a"), yes("b", needs("a")), yes("c", needs("b")), yes("d")), set(yes("a", described), yes("b", needs("a")), yes("c", needs("b")), yes("d")), false,
			map[string]change{"a": updated, "b": updated, "c": updated}},

		{"a browser does not hear of others", set(yes("a"), yes("b", visible)), set(yes("a", described), yes("b", visible)), true, nil},
		{"but of what depends on them", set(yes("a"), yes("b", visible, needs("a"))), set(yes("a", described), yes("b", visible, needs("a"))), true, map[string]change{"b": updated}},
		{"becoming visible", set(yes("a")), set(yes("a", visible)), true, map[string]change{"a": written}},
		{"becoming invisible", set(yes("a", visible)), set(yes("a")), true, map[string]change{"a": deleted}},
		{"others, gone", set(yes("a")), set(), true, nil},
	} {
		if got := changesOf(&test.from, &test.to, test.client); !maps.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// BenchmarkChanges finds one changed flag among many.
func BenchmarkChanges(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		var from, to flag.Set
		for i := range n {
			from.Flags = append(from.Flags, yes(fmt.Sprintf("flag-%06d", i), when(flag.Condition{Segment: "beta"})))
		}
		to.Flags = append(to.Flags, from.Flags...)
		to.Flags[n/2].Enabled = false
		b.Run(fmt.Sprint(n, " flags"), func(b *testing.B) {
			for b.Loop() {
				if len(changesOf(&from, &to, false)) != 1 {
					b.Fatal("not found")
				}
			}
		})
	}
}
