package eval

import (
	"encoding/json"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/targeting"
)

// define compiles a flagd definition: its variants, and what decides.
func (c *compiler) define(f *Flag, raw json.RawMessage) error {
	d, err := targeting.ParseDefinition(raw, c.evaluators)
	if err != nil {
		return err
	}
	f.definition, f.metadata = d, d.Metadata
	f.usesTime = d.Targeting != nil && d.Targeting.UsesTime()
	f.variants = make([]Variant, len(d.Variants))
	for i, v := range d.Variants {
		f.variants[i] = Variant{Name: v.Name, Value: v.Value}
	}
	return nil
}

var definitionReasons = map[targeting.Reason]Reason{
	targeting.Static: ReasonStatic, targeting.Match: ReasonTargetingMatch,
	targeting.Default: ReasonDefault, targeting.Disabled: ReasonDisabled,
}

// decideByDefinition evaluates as flagd does. It may allocate.
func (f *Flag) decideByDefinition(u *unit) decision {
	in := u.input()
	variant, reason, err := f.definition.Decide(&in)
	if err != nil {
		return decision{variant: noVariant, reason: ReasonError, err: ErrorGeneral}
	}
	return decision{variant: variant, reason: definitionReasons[reason]}
}

// input gives the unit as targeting wants it.
func (u *unit) input() targeting.Input {
	return targeting.Input{FlagKey: u.flag, TargetingKey: u.key, Attributes: u.attributes, Time: u.time}
}

// compileRule compiles the rule of a segment.
func (c *compiler) compileRule(from *flag.Segment) (*targeting.Program, error) {
	if !from.HasRule() {
		return nil, nil
	}
	return targeting.Compile(from.Rule, nil)
}

// meetsRule reports whether the segment's rule gives the unit something truthy. A rule that fails
// has nobody inside.
func (s *segment) meetsRule(u *unit) bool {
	in := u.input()
	truthy, err := s.rule.Test(&in)
	return err == nil && truthy
}
