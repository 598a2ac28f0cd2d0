package eval

import (
	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// trial is a compiled flag.Allocation.
type trial struct {
	ref                *TrialRef
	audience           *condition
	seed               bucket.Seed
	strata             []stratum
	treatment, control int // variants
}

type stratum struct {
	segments           []*segment // none: everybody
	treatment, control uint32
}

func (c *compiler) trials(f *Flag, from []*flag.Allocation) (err error) {
	if len(from) == 0 {
		return nil
	}
	f.trials = make([]trial, len(from))
	for i := range from {
		if f.trials[i], err = c.trial(f, from[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) trial(f *Flag, from *flag.Allocation) (trial, error) {
	audience, err := c.condition(from.Audience)
	t := trial{
		ref:      &TrialRef{Trial: from.Trial, Flag: from.Flag, Version: from.Version, Step: from.Step, Salt: from.Salt},
		audience: audience, seed: bucket.NewSeed(from.Salt),
		treatment: f.index(from.Treatment), control: f.index(from.Control),
		strata: make([]stratum, len(from.Strata)),
	}
	for i := range from.Strata {
		s := &t.strata[i]
		s.treatment, s.control = uint32(from.Strata[i].Treatment), uint32(from.Strata[i].Control)
		for _, key := range from.Strata[i].Segments {
			s.segments = append(s.segments, c.segment(key))
		}
	}
	return t, err
}

// assign gives the unit's role, and the variant that goes with it. A unit without a targeting
// key, or outside the audience, has none.
func (t *trial) assign(u *unit) (variant int, role Role) {
	if u.key == "" || !t.audience.matches(u) {
		return noVariant, RoleNone
	}
	treatment, control := t.shares(u)
	switch place := bucket.Of(t.seed.Sum(u.key), flag.TotalWeight); {
	case place < treatment:
		return t.treatment, RoleTreatment
	case place >= flag.TotalWeight-control:
		return t.control, RoleControl
	}
	return noVariant, RoleNone
}

// shares gives what holds for the unit: the largest treatment and the largest control of its
// strata. Where the two come from different strata and would overlap, control gives way, so that
// a unit never leaves treatment because it belongs to one more stratum.
func (t *trial) shares(u *unit) (treatment, control uint32) {
	for i := range t.strata {
		if s := &t.strata[i]; s.contains(u) {
			treatment, control = max(treatment, s.treatment), max(control, s.control)
		}
	}
	return treatment, min(control, flag.TotalWeight-treatment)
}

func (s *stratum) contains(u *unit) bool {
	for _, group := range s.segments {
		if group.contains(u) {
			return true
		}
	}
	return len(s.segments) == 0
}
