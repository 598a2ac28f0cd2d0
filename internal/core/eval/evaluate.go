package eval

import (
	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// nobody is the context of an evaluation without one. It is only read.
var nobody Context

// Evaluate decides for one unit, in the order given in the package's documentation. A nil c is a
// unit without targeting key and attributes. A split or a trial that needs a key which the
// context lacks is passed over.
//
// It takes no lock, does no I/O and does not allocate.
func (f *Flag) Evaluate(c *Context) Result {
	if f == nil {
		return Result{Reason: ReasonError, Error: ErrorFlagNotFound}
	}
	if c == nil {
		c = &nobody
	}
	if !f.enabled {
		return Result{Reason: ReasonDisabled}
	}
	for i := range f.rules {
		if variant, reason := f.rules[i].decide(c); variant != noVariant {
			return f.serve(variant, reason)
		}
	}
	for i := range f.trials {
		if variant, role := f.trials[i].assign(c); role != RoleNone {
			result := f.serve(variant, ReasonSplit)
			result.Trial, result.Role = f.trials[i].ref, role
			return result
		}
	}
	return f.fallback
}

func (f *Flag) serve(variant int, reason Reason) Result {
	v := &f.variants[variant]
	return Result{Variant: v.Name, Value: v.Value, Reason: reason}
}

// decide gives the variant that the rule serves to the unit, or noVariant.
func (r *rule) decide(c *Context) (variant int, reason Reason) {
	if !r.when.matches(c) {
		return noVariant, ""
	}
	if r.split == nil {
		return r.serve, ReasonTargetingMatch
	}
	return r.split.choose(c), ReasonSplit
}

// choose gives the variant whose half-open share holds the unit's bucket, or noVariant if the
// bucket was left free or the unit cannot be hashed.
func (s *split) choose(c *Context) int {
	hash, ok := hashUnit(s.seed, c, s.by)
	if !ok {
		return noVariant
	}
	place := bucket.Of(hash, flag.TotalWeight)
	for i := range s.shares {
		if place < s.shares[i].end {
			return s.shares[i].variant
		}
	}
	return noVariant
}
