package eval

import (
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/targeting"
)

// Flag is one compiled flag. It never changes. A nil *Flag is an unknown one: it evaluates to
// FLAG_NOT_FOUND and has empty properties.
type Flag struct {
	// What most evaluations read comes first, so that it is in few cache lines.
	settled  bool   // fallback is all there is to say
	enabled  bool   // neither switched off nor archived
	fallback Result // where nothing else applies
	standard int    // the fallback's variant
	slot     uint32 // of the code default, see Result.Slot
	rules    []rule
	trials   []trial
	gate     *gate
	variants []Variant

	overrides map[string]int // unit → variant
	needs     []prerequisite

	definition *targeting.Definition // nil: a structured flag
	metadata   map[string]any        // of a definition
	key        string
	kind       flag.Kind
	typ        flag.Type
	archived   bool
	clientSide bool
	usesTime   bool
}

// Variant is a name and the decoded value: bool, string, int64, float64 or map[string]any; nil
// for the null of a fault or policy flag. The value is shared: do not modify it.
type Variant struct {
	Name  string
	Value any
}

// noVariant is the index of no variant: the code default.
const noVariant = -1

// values compiles what other flags may ask for.
func (c *compiler) values(f *Flag, from *flag.Flag) error {
	f.key, f.kind, f.typ = from.Key, from.Kind, from.Type
	f.enabled, f.archived, f.clientSide = from.Enabled && !from.Archived, from.Archived, from.ClientSide
	if from.HasDefinition() {
		return c.define(f, from.Definition)
	}
	f.variants = make([]Variant, len(from.Variants))
	for i := range from.Variants {
		value, err := flag.DecodeValue(from.Type, from.Variants[i].Value)
		if err != nil {
			return err
		}
		f.variants[i] = Variant{Name: from.Variants[i].Name, Value: value}
	}
	return nil
}

// logic compiles what decides.
func (c *compiler) logic(f *Flag, from *flag.Flag, allocations []*flag.Allocation) error {
	c.usesTime = f.usesTime
	c.prerequisites(f, from.Prerequisites)
	for i := range from.Overrides {
		o := &from.Overrides[i]
		if f.overrides == nil {
			f.overrides = make(map[string]int, len(o.Units))
		}
		for _, unit := range o.Units {
			f.overrides[unit] = f.index(o.Variant)
		}
	}
	f.gate = c.gateOf(f.key)
	if err := c.rules(f, from.Rules); err != nil {
		return err
	}
	if err := c.trials(f, allocations); err != nil {
		return err
	}
	f.usesTime = c.usesTime
	f.settle(from)
	return nil
}

// settle sets what holds where nothing else applies, once all that could apply is known.
func (f *Flag) settle(from *flag.Flag) {
	f.settled = len(f.needs)+len(f.overrides)+len(f.rules)+len(f.trials) == 0
	otherwise := decision{variant: f.index(from.DefaultVariant), reason: ReasonDefault}
	switch {
	case !f.enabled:
		f.settled, otherwise = true, decision{variant: noVariant, reason: ReasonDisabled}
	case f.definition != nil:
		f.settled = f.definition.Targeting == nil || !f.definition.Enabled
		if f.settled {
			otherwise = f.decideByDefinition(&unit{})
		}
	case f.settled && otherwise.variant != noVariant:
		otherwise.reason = ReasonStatic
	}
	f.standard = otherwise.variant
	otherwise.tell(f, &f.fallback)
}

func (f *Flag) index(variant string) int {
	for i := range f.variants {
		if f.variants[i].Name == variant {
			return i
		}
	}
	return noVariant
}

// Key is the flag's key.
func (f *Flag) Key() string { return f.orEmpty().key }

// Kind says what the flag is for.
func (f *Flag) Kind() flag.Kind { return f.orEmpty().kind }

// Type is the type of all its variants.
func (f *Flag) Type() flag.Type { return f.orEmpty().typ }

// Enabled is false while the kill switch is on, and for an archived flag.
func (f *Flag) Enabled() bool { return f.orEmpty().enabled }

// ClientSide reports whether the flag may be shown to who has a browser's key.
func (f *Flag) ClientSide() bool { return f.orEmpty().clientSide }

// UsesTime reports whether an evaluation may depend on Context.Time: a definition's targeting, or a
// segment with a rule, asks for it.
func (f *Flag) UsesTime() bool { return f != nil && f.usesTime }

// Metadata gives a flagd definition's own metadata: strings, booleans, int64 and float64. It is nil
// for other flags. Do not modify it.
func (f *Flag) Metadata() map[string]any { return f.orEmpty().metadata }

// Slot is the [Result.Slot] of the flag's code default; that of its i-th variant is i + 1 more. 0 for
// an unknown flag.
func (f *Flag) Slot() uint32 { return f.orEmpty().slot }

// Variants gives the variants in the flag's order, in a slice of the caller's own.
func (f *Flag) Variants() []Variant { return slices.Clone(f.orEmpty().variants) }

// Trials gives the trials that run on the flag, in the order in which they are tried. The
// references are those that [Result] carries; do not modify them.
func (f *Flag) Trials() []*TrialRef {
	var refs []*TrialRef
	for i := range f.orEmpty().trials {
		refs = append(refs, f.trials[i].ref)
	}
	return refs
}

func (f *Flag) orEmpty() *Flag {
	if f == nil {
		return &Flag{}
	}
	return f
}
