// Package flagtest makes random flag sets and contexts, for tests that compare two ways to evaluate
// them. Equal seeds give equal sets. Values come from small pools, so that rules match about as
// often as not, and contexts have much that no rule expects: other types, lists, nested objects,
// missing keys.
package flagtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Case is a valid set, and contexts to evaluate its flags for.
type Case struct {
	Set      flag.Set
	Contexts []Context
}

// Context is a targeting key and attributes as JSON decodes them.
type Context struct {
	TargetingKey string
	Attributes   map[string]any
}

// JSON gives the context as flagd takes it: the targeting key beside the attributes, or missing.
func (c Context) JSON() map[string]any {
	all := map[string]any{}
	for name, value := range c.Attributes {
		all[name] = value
	}
	if c.TargetingKey != "" {
		all["targetingKey"] = c.TargetingKey
	}
	return all
}

// Options bound a case.
type Options struct {
	Flags, Contexts int
	// Portable leaves out what flagd cannot express: regular expressions, networks, instants.
	Portable bool
	// ASCII keeps what splits and trials hash to ASCII.
	ASCII bool
	// Raw puts flags and segments in that are as flagd files have them.
	Raw bool
}

// New makes the case of a seed.
func New(seed uint64, o Options) Case {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x5ea)), options: o}
	c := Case{Set: g.set()}
	for range o.Contexts {
		c.Contexts = append(c.Contexts, g.context())
	}
	return c
}

type generator struct {
	*rand.Rand
	options  Options
	segments []string
	depths   map[string]int // of prerequisites
}

// chance is true in percent of all cases.
func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

func (g *generator) set() flag.Set {
	s := flag.Set{Environment: "test", History: "h", Revision: int64(1 + g.IntN(1000))}
	for i := range g.IntN(6) {
		s.Segments = append(s.Segments, g.segment(fmt.Sprintf("segment-%d", i)))
	}
	for _, segment := range s.Segments {
		g.segments = append(g.segments, segment.Key)
	}
	g.depths = map[string]int{}
	for i := range g.options.Flags {
		f := g.flag(fmt.Sprintf("flag/%d", i), s.Flags)
		s.Flags = append(s.Flags, f)
		for range g.IntN(3) {
			if len(f.Variants) > 1 && !f.Archived && g.chance(40) {
				s.Allocations = append(s.Allocations, g.allocation(len(s.Allocations), &f))
			}
		}
	}
	s.Layers = g.layers(s.Flags)
	return s
}

func (g *generator) segment(key string) flag.Segment {
	s := flag.Segment{Key: key}
	if g.options.Raw && g.chance(20) {
		s.Rule = json.RawMessage(pick(g, rules))
		return s
	}
	if g.chance(60) {
		s.Members = g.units(1 + g.IntN(4))
	}
	if g.chance(60) {
		c := g.condition(3, false)
		s.When = &c
	}
	return s
}

// units gives distinct targeting keys.
func (g *generator) units(n int) []string {
	var all []string
	for _, i := range g.Perm(len(keys))[:min(n, len(keys))] {
		if keys[i] != "" {
			all = append(all, keys[i])
		}
	}
	if len(all) == 0 {
		return []string{"user-1"}
	}
	return all
}

func (g *generator) layers(flags []flag.Flag) []flag.Layer {
	var layers []flag.Layer
	if g.chance(30) {
		layers = append(layers, flag.Layer{Key: "everything", Global: true, Holdout: g.weight() / 4})
	}
	if !g.chance(40) {
		return layers
	}
	layer, from := flag.Layer{Key: "layer", Salt: pick(g, []string{"", "l-1"}), Holdout: g.weight() / 4}, flag.Weight(0)
	for i := range flags {
		if len(flags[i].Definition) == 0 && g.chance(60) && from < flag.TotalWeight {
			to := min(from+1+g.weight(), flag.TotalWeight-layer.Holdout)
			if to > from {
				layer.Slots = append(layer.Slots, flag.Slot{Flag: flags[i].Key, From: from, To: to})
				from = to
			}
		}
	}
	if len(layer.Slots) == 0 {
		return layers
	}
	return append(layers, layer)
}

func (g *generator) weight() flag.Weight {
	return pick(g, []flag.Weight{0, 1, 5_000, 33_333, 50_000, 99_999, flag.TotalWeight, flag.Weight(g.IntN(flag.TotalWeight))})
}

var values = map[flag.Type][]string{
	flag.TypeBoolean: {"true", "false"},
	flag.TypeString:  {`"a"`, `""`, `"ü\n<&>"`, `"$& $$"`},
	flag.TypeInteger: {"0", "-1", "9007199254740991"},
	flag.TypeFloat:   {"0.5", "1.0", "-1e-3"},
	flag.TypeObject:  {`{}`, `{"a":[1,{"b":null}]}`, `{ "x" : "$'" }`},
}

var (
	types = []flag.Type{flag.TypeBoolean, flag.TypeString, flag.TypeInteger, flag.TypeFloat, flag.TypeObject}
	names = []string{"on", "off", "c", "0", "true", "x/y.z"}
)

// The definitions and rules that come from flagd files. Engines agree on these for all values.
var (
	definitions = []string{
		`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}`,
		`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":null,"targeting":{}}`,
		`{"state":"DISABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}`,
		`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","metadata":{"owner":"x"},
		  "targeting":{"if":[{"in":[{"var":"plan"},["pro","basic"]]},"on",null]}}`,
		`{"state":"ENABLED","variants":{"on":true,"off":false},"targeting":{"fractional":[["on",30],["off",70]]}}`,
		`{"state":"ENABLED","variants":{"on":true,"off":false},"targeting":{"if":[{"===":[{"var":"country"},null]},"gone","off"]}}`,
	}
	rules = []string{
		`{"in":[{"var":"plan"},["pro","PRO"]]}`, `{"===":[{"var":"country"},true]}`,
		`{"starts_with":[{"var":"version"},"v"]}`, `{"var":"user.plan"}`,
	}
)

func (g *generator) flag(key string, others []flag.Flag) flag.Flag {
	if g.options.Raw && g.chance(15) {
		return flag.Flag{
			Key: key, Kind: flag.KindConfig, Type: flag.TypeBoolean, Enabled: !g.chance(10), Archived: g.chance(5),
			Definition: json.RawMessage(pick(g, definitions)),
		}
	}
	f := flag.Flag{Key: key, Kind: flag.KindConfig, Type: pick(g, types), Enabled: !g.chance(7), Archived: g.chance(4)}
	for i, at := range g.Perm(len(names))[:1+g.IntN(4)] {
		from := values[f.Type]
		f.Variants = append(f.Variants, flag.Variant{Name: names[at], Value: json.RawMessage(from[i%len(from)])})
	}
	if !g.chance(25) {
		f.DefaultVariant = g.variant(&f)
	}
	g.prerequisites(&f, others)
	if g.chance(20) {
		f.Overrides = g.overrides(&f)
	}
	for range g.IntN(4) {
		f.Rules = append(f.Rules, g.rule(&f))
	}
	return f
}

func (g *generator) variant(f *flag.Flag) string { return pick(g, f.Variants).Name }

func (g *generator) prerequisites(f *flag.Flag, others []flag.Flag) {
	for _, i := range g.Perm(len(others)) {
		needed := &others[i]
		if len(f.Prerequisites) == 2 || !g.chance(15) || g.depths[needed.Key] >= 4 || needed.Archived {
			continue
		}
		need := flag.Prerequisite{Flag: needed.Key}
		for _, v := range needed.Variants {
			if g.chance(60) {
				need.Variants = append(need.Variants, v.Name)
			}
		}
		if len(needed.Definition) > 0 {
			need.Variants = []string{"on"}
		}
		if len(need.Variants) > 0 {
			f.Prerequisites = append(f.Prerequisites, need)
			g.depths[f.Key] = max(g.depths[f.Key], g.depths[needed.Key]+1)
		}
	}
}

func (g *generator) overrides(f *flag.Flag) []flag.Override {
	units := g.units(4)
	half := len(units) / 2
	overrides := []flag.Override{{Variant: g.variant(f), Units: units[half:]}}
	if half > 0 {
		overrides = append(overrides, flag.Override{Variant: g.variant(f), Units: units[:half]})
	}
	return overrides
}

func (g *generator) rule(f *flag.Flag) flag.Rule {
	var r flag.Rule
	if !g.chance(20) {
		c := g.condition(3, true)
		r.When = &c
	}
	if g.chance(50) {
		r.Serve = g.variant(f)
		return r
	}
	r.Split = &flag.Split{Salt: pick(g, []string{"", "salt", "s.2"}), BucketBy: pick(g, []string{"", "", "targetingKey", "id", "user.id", "age", "tags"})}
	left := flag.Weight(flag.TotalWeight)
	for range 1 + g.IntN(3) {
		w := min(g.weight(), left)
		left -= w
		r.Split.Weights = append(r.Split.Weights, flag.Share{Variant: g.variant(f), Weight: w})
	}
	return r
}

func (g *generator) allocation(i int, f *flag.Flag) flag.Allocation {
	a := flag.Allocation{
		Trial: fmt.Sprintf("trial-%d", i), Flag: f.Key, Version: fmt.Sprintf("trial-%d.1.%d", i, g.IntN(5)),
		Salt: fmt.Sprintf("t%d", g.IntN(9)), Treatment: f.Variants[0].Name, Control: f.Variants[1].Name,
	}
	if g.chance(40) {
		c := g.condition(2, true)
		a.Audience = &c
	}
	for range 1 + g.IntN(3) {
		s := flag.Stratum{Treatment: g.weight()}
		s.Control = min(g.weight(), flag.TotalWeight-s.Treatment)
		for _, segment := range g.segments {
			if g.chance(30) {
				s.Segments = append(s.Segments, segment)
			}
		}
		a.Strata = append(a.Strata, s)
	}
	for i := range g.IntN(3) {
		a.Events = append(a.Events, flag.Event{Name: fmt.Sprint("event ", i), Count: pick(g, []flag.EventCount{flag.CountUnits, flag.CountRequests, flag.CountValues})})
	}
	return a
}
