package flagd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// The bounds of what is put into a definition.
const (
	maxInlined      = 2_000    // members of a segment
	maxInlinedBytes = 64 << 10 // JSON of a segment
	maxTargeting    = flag.MaxFlagBytes
)

// exporter writes the flags of one set.
type exporter struct {
	set         *flag.Set
	flags       map[string]*flag.Flag
	segments    map[string]*flag.Segment
	allocations map[string][]*flag.Allocation // by flag, in the order in which they are tried
	slots       map[string]slotted
	holdout     *flag.Layer // the global one, if it holds anybody out

	decided map[string]*decision
	groups  map[string]group
}

type slotted struct {
	layer *flag.Layer
	slot  flag.Slot
}

// decision is what a flag decides by: an outcome, or why no stock client can decide it.
type decision struct {
	targeting expr
	err       error
}

// group is a segment as a condition, or why it cannot be one.
type group struct {
	condition expr
	evaluator expr // what condition refers to, if it does
	err       error
}

func newExporter(set *flag.Set) *exporter {
	e := &exporter{
		set: set, flags: map[string]*flag.Flag{}, segments: map[string]*flag.Segment{},
		allocations: map[string][]*flag.Allocation{}, slots: map[string]slotted{},
		decided: map[string]*decision{}, groups: map[string]group{},
	}
	for i := range set.Flags {
		e.flags[set.Flags[i].Key] = &set.Flags[i]
	}
	for i := range set.Segments {
		e.segments[set.Segments[i].Key] = &set.Segments[i]
	}
	for i := range set.Allocations {
		a := &set.Allocations[i]
		e.allocations[a.Flag] = append(e.allocations[a.Flag], a)
	}
	for _, trials := range e.allocations {
		slices.SortFunc(trials, func(a, b *flag.Allocation) int { return cmp.Compare(a.Trial, b.Trial) })
	}
	for i := range set.Layers {
		e.addLayer(&set.Layers[i])
	}
	return e
}

func (e *exporter) addLayer(layer *flag.Layer) {
	if layer.Global && layer.Holdout > 0 {
		e.holdout = layer
	}
	for _, slot := range layer.Slots {
		e.slots[slot.Flag] = slotted{layer, slot}
	}
}

// decide gives what the flag decides by while it is enabled. It is worked out once a flag.
func (e *exporter) decide(f *flag.Flag) *decision {
	if d := e.decided[f.Key]; d != nil {
		return d
	}
	d := &decision{err: errors.New("its prerequisites lead back to itself")}
	e.decided[f.Key] = d // while it is being worked out
	d.targeting, d.err = e.outcome(f)
	if d.err == nil && len(d.targeting) > maxTargeting {
		d.err = fmt.Errorf("its rule would have %d bytes; at most %d are exported", len(d.targeting), maxTargeting)
	}
	return d
}

func (e *exporter) outcome(f *flag.Flag) (expr, error) {
	needs, err := e.prerequisites(f)
	if err != nil {
		return none, err
	}
	var outcomes []expr
	for _, o := range f.Overrides {
		outcomes = append(outcomes, when(call("in", key, texts(o.Units)), text(o.Variant)))
	}
	for i := range f.Rules {
		outcome, err := e.rule(f, &f.Rules[i])
		if err != nil {
			return none, fmt.Errorf("rule %d: %w", i+1, err)
		}
		outcomes = append(outcomes, outcome)
	}
	for _, a := range e.allocations[f.Key] {
		outcome, err := e.trial(f, a)
		if err != nil {
			return none, fmt.Errorf("trial %q: %w", a.Trial, err)
		}
		outcomes = append(outcomes, outcome)
	}
	return when(needs, firstOf(outcomes...)), nil
}

func (e *exporter) prerequisites(f *flag.Flag) (expr, error) {
	needs := make([]expr, len(f.Prerequisites))
	size := 0
	for i, need := range f.Prerequisites {
		served, err := e.served(need.Flag)
		if err != nil {
			return no, fmt.Errorf("prerequisite %q: %w", need.Flag, err)
		}
		needs[i] = isOneOf(served, need.Variants)
		if size += len(needs[i]); size > maxTargeting {
			return no, fmt.Errorf("with its prerequisites it would have over %d bytes", maxTargeting)
		}
	}
	return allOf(needs...), nil
}

func isOneOf(served expr, variants []string) expr {
	switch {
	case served == none:
		return no
	case isName(served):
		if slices.ContainsFunc(variants, func(v string) bool { return text(v) == served }) {
			return yes
		}
		return no
	}
	return call("in", served, texts(variants))
}

// served gives the name of the variant that the flag serves, as an outcome: none is the code
// default.
func (e *exporter) served(of string) (expr, error) {
	f := e.flags[of]
	switch {
	case f == nil:
		return none, errors.New("there is no such flag")
	case !f.Enabled || f.Archived:
		return none, nil
	case f.HasDefinition():
		return rawServed(f)
	}
	d := e.decide(f)
	if d.err != nil || f.DefaultVariant == "" {
		return d.targeting, d.err
	}
	return firstOf(d.targeting, text(f.DefaultVariant)), nil
}

// rawServed gives what a definition without targeting serves. One with targeting is not inlined:
// its errors, and what flagd adds to its context, belong to its own key.
func rawServed(f *flag.Flag) (expr, error) {
	var d struct {
		State          string
		DefaultVariant *string
		Targeting      json.RawMessage
	}
	if err := json.Unmarshal(f.Definition, &d); err != nil {
		return none, fmt.Errorf("its definition cannot be read: %w", err)
	}
	if t := string(bytes.TrimSpace(d.Targeting)); t != "" && t != "null" && t != "{}" {
		return none, errors.New("it is a flagd definition with targeting, which cannot be a part of another flag")
	}
	if d.State == "DISABLED" || d.DefaultVariant == nil || *d.DefaultVariant == "" {
		return none, nil
	}
	return text(*d.DefaultVariant), nil
}

func (e *exporter) rule(f *flag.Flag, r *flag.Rule) (expr, error) {
	condition, err := e.condition(r.When, 1)
	if err != nil {
		return none, err
	}
	if r.Split == nil {
		return when(condition, text(r.Serve)), nil
	}
	unit, hashable, err := bucketBy(r.Split.BucketBy)
	if err != nil {
		return none, err
	}
	met := append([]expr{condition, hashable}, e.layers(f.Key)...)
	return when(allOf(distinct(met)...), split(cmp.Or(r.Split.Salt, f.Key), unit, r.Split.Weights)), nil
}

// bucketBy gives what is hashed, and the condition that it can be: a string that is not empty, or
// a whole number within ±(2^53-1), which is hashed as its digits.
func bucketBy(name string) (unit, hashable expr, err error) {
	if name == "" || name == "targetingKey" {
		return key, call("!!", key), nil
	}
	attribute, readable, err := variable(name)
	if err != nil {
		return none, no, err
	}
	const largest = "9007199254740991"
	isString := call("and", call("starts_with", attribute, `""`), call("!==", attribute, `""`))
	isWhole := call("and", append(isNumber(attribute), call("===", call("%", attribute, "1"), "0"),
		call(">=", attribute, "-"+largest), call("<=", attribute, largest))...)
	return attribute, allOf(readable, call("or", isString, isWhole)), nil
}

// share is a part of the total and what it gets.
type share struct {
	outcome expr
	weight  flag.Weight
}

// split writes flagd's fractional over the bytes salt + ":" + unit. What the weights leave free
// gives none. It is none if they give nothing away.
func split(salt string, unit expr, weights []flag.Share) expr {
	shares, given := make([]share, 0, len(weights)+1), flag.Weight(0)
	for _, w := range weights {
		shares = append(shares, share{text(w.Variant), w.Weight})
		given += w.Weight
	}
	return fractional(salt, unit, append(shares, share{none, flag.TotalWeight - given})...)
}

func fractional(salt string, unit expr, shares ...share) expr {
	args := []expr{call("cat", text(salt+":"), unit)}
	given := false
	for _, s := range shares {
		if s.weight > 0 {
			args = append(args, list(s.outcome, number(int(s.weight))))
			given = given || s.outcome != none
		}
	}
	if !given {
		return none
	}
	return call("fractional", args...)
}

// layers are the conditions that a unit has a targeting key, is inside the flag's slot, and is held
// out of nothing. There are none for a flag that no layer concerns.
func (e *exporter) layers(of string) []expr {
	var met []expr
	if s, ok := e.slots[of]; ok {
		top := flag.TotalWeight - s.layer.Holdout
		met = append(met, call("!!", key), within(s.layer, s.slot.From, min(s.slot.To, top)))
	}
	if e.holdout != nil {
		met = append(met, call("!!", key), within(e.holdout, 0, flag.TotalWeight-e.holdout.Holdout))
	}
	return met
}

// within is the condition that the unit's place in the layer is in [from, to).
func within(layer *flag.Layer, from, to flag.Weight) expr {
	switch {
	case from >= to:
		return no
	case from <= 0 && to >= flag.TotalWeight:
		return yes
	}
	return fractional(cmp.Or(layer.Salt, layer.Key), key,
		share{none, from}, share{`"in"`, to - from}, share{none, flag.TotalWeight - to})
}

func distinct(conditions []expr) []expr {
	var kept []expr
	for _, c := range conditions {
		if !slices.Contains(kept, c) {
			kept = append(kept, c)
		}
	}
	return kept
}

// trial writes what a running trial makes of the flag: treatment from the bottom, control from the
// top, as flag.Allocation says.
func (e *exporter) trial(f *flag.Flag, a *flag.Allocation) (expr, error) {
	audience, err := e.condition(a.Audience, 1)
	if err != nil {
		return none, err
	}
	parts, err := e.strata(a)
	if err != nil {
		return none, err
	}
	met := append([]expr{call("!!", key)}, e.layers(f.Key)...)
	return when(allOf(distinct(append(met, audience))...), firstOf(parts...)), nil
}

// strata are the shares, each for its segments. The largest treatment of a unit's strata holds: so
// it is treated if it is in the treatment of one of them, and only then looked for in control,
// which gives way where the two overlap.
func (e *exporter) strata(a *flag.Allocation) ([]expr, error) {
	treatment, control := text(a.Treatment), text(a.Control)
	if len(a.Strata) == 1 && len(a.Strata[0].Segments) == 0 {
		s := a.Strata[0]
		rest := flag.TotalWeight - s.Treatment - s.Control
		return []expr{fractional(a.Salt, key, share{treatment, s.Treatment}, share{none, rest}, share{control, s.Control})}, nil
	}
	var treated, controls []expr
	for _, s := range a.Strata {
		group, err := e.anySegment(s.Segments)
		if err != nil {
			return nil, err
		}
		treated = append(treated, when(group, fractional(a.Salt, key,
			share{treatment, s.Treatment}, share{none, flag.TotalWeight - s.Treatment})))
		controls = append(controls, when(group, fractional(a.Salt, key,
			share{none, flag.TotalWeight - s.Control}, share{control, s.Control})))
	}
	return append(treated, controls...), nil
}

func (e *exporter) anySegment(keys []string) (expr, error) {
	if len(keys) == 0 {
		return yes, nil
	}
	groups := make([]expr, len(keys))
	for i, key := range keys {
		group, err := e.segment(key)
		if err != nil {
			return no, err
		}
		groups[i] = group
	}
	return anyOf(groups...), nil
}

// segment is the condition that the unit belongs to the segment: a reference, as a rule.
func (e *exporter) segment(key string) (expr, error) {
	g, known := e.groups[key]
	if !known {
		g = e.group(key)
		e.groups[key] = g
	}
	if g.err != nil {
		return no, fmt.Errorf("segment %q: %w", key, g.err)
	}
	return g.condition, nil
}

func (e *exporter) group(name string) group {
	s := e.segments[name]
	reference := expr(`{"$ref":` + text(name) + `}`)
	switch {
	case s == nil:
		return group{err: errors.New("there is no such segment")}
	case s.HasRule():
		return group{condition: reference, evaluator: expr(s.Rule)}
	case s.List != nil && s.List.Count > 0:
		return group{err: fmt.Errorf("its list has %d members, too many for a definition", s.List.Count)}
	case len(s.Members) > maxInlined:
		return group{err: fmt.Errorf("has %d members; at most %d fit into a definition", len(s.Members), maxInlined)}
	}
	members := no
	if len(s.Members) > 0 {
		members = call("in", key, texts(s.Members))
	}
	rule := no
	if s.When != nil {
		var err error
		if rule, err = e.condition(s.When, 1); err != nil {
			return group{err: err}
		}
	}
	return newGroup(reference, anyOf(members, rule))
}

// newGroup refers to the rule, unless that is nothing or holds a dollar sign: clients put evaluators
// into definitions by replacing text, and the dollar means something to some that do.
func newGroup(reference, rule expr) group {
	switch {
	case len(rule) > maxInlinedBytes:
		return group{err: fmt.Errorf("would have %d bytes; at most %d fit into a definition", len(rule), maxInlinedBytes)}
	case rule == yes || rule == no || strings.Contains(string(rule), "$"):
		return group{condition: rule}
	}
	return group{condition: reference, evaluator: rule}
}
