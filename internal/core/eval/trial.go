package eval

import (
	"cmp"
	"slices"

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

func (s *Snapshot) compileTrials(from []flag.Allocation, segments map[string]*segment) error {
	for i := range from {
		f := s.byKey[from[i].Flag]
		t, err := f.compileTrial(&from[i], segments)
		if err != nil {
			return err
		}
		f.trials = append(f.trials, t)
		if f.fallback.Reason == ReasonStatic {
			f.fallback.Reason = ReasonDefault
		}
	}
	for _, f := range s.sorted {
		slices.SortFunc(f.trials, func(a, b trial) int { return cmp.Compare(a.ref.Trial, b.ref.Trial) })
	}
	return nil
}

func (f *Flag) compileTrial(from *flag.Allocation, segments map[string]*segment) (trial, error) {
	audience, err := compileCondition(from.Audience, segments)
	t := trial{
		ref:      &TrialRef{Trial: from.Trial, Flag: from.Flag, Version: from.Version, Step: from.Step, Salt: from.Salt},
		audience: audience, seed: bucket.NewSeed(from.Salt),
		treatment: f.index(from.Treatment), control: f.index(from.Control),
	}
	for i := range from.Strata {
		s := stratum{treatment: uint32(from.Strata[i].Treatment), control: uint32(from.Strata[i].Control)}
		for _, key := range from.Strata[i].Segments {
			s.segments = append(s.segments, segments[key])
		}
		t.strata = append(t.strata, s)
	}
	return t, err
}

// assign gives the unit's role, and the variant that goes with it. A unit without a targeting
// key, or outside the audience, has none.
func (t *trial) assign(c *Context) (variant int, role Role) {
	if c.TargetingKey == "" || !t.audience.matches(c) {
		return noVariant, RoleNone
	}
	treatment, control := t.shares(c)
	switch place := bucket.Of(t.seed.Sum(c.TargetingKey), flag.TotalWeight); {
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
func (t *trial) shares(c *Context) (treatment, control uint32) {
	for i := range t.strata {
		if s := &t.strata[i]; s.contains(c) {
			treatment, control = max(treatment, s.treatment), max(control, s.control)
		}
	}
	return treatment, min(control, flag.TotalWeight-treatment)
}

func (s *stratum) contains(c *Context) bool {
	for _, group := range s.segments {
		if group.contains(c) {
			return true
		}
	}
	return len(s.segments) == 0
}
