package flag

func (v *validator) rule(at path, f *Flag, r *Rule) {
	v.check(at.to("name"), checkText(r.Name, MaxMember))
	v.condition(at.to("when"), r.When, true)
	switch {
	case (r.Serve == "") == (r.Split == nil):
		v.add(at, "a rule has either serve or split; give exactly one of the two")
	case r.Split != nil:
		v.split(at.to("split"), f, r.Split)
	default:
		v.variant(at.to("serve"), f, r.Serve)
	}
}

func (v *validator) split(at path, f *Flag, s *Split) {
	if s.Salt != "" {
		v.check(at.to("salt"), CheckKey(s.Salt))
	}
	if s.BucketBy != "" {
		v.check(at.to("bucketBy"), checkAttribute(s.BucketBy))
	}
	if len(s.Weights) == 0 {
		v.add(at.to("weights"), "there are none; give at least one variant a weight")
	}
	v.count(at.to("weights"), len(s.Weights), MaxVariants, "weights")
	sum := int64(0)
	for i, share := range s.Weights {
		at := at.item("weights", i)
		v.variant(at.to("variant"), f, share.Variant)
		v.weight(at.to("weight"), share.Weight)
		sum += int64(share.Weight)
	}
	if sum > TotalWeight {
		v.add(at.to("weights"), "the weights sum to %d; at most %d (100 %%) can be given away", sum, TotalWeight)
	}
}

func (v *validator) weight(at path, w Weight) {
	if w < 0 || w > TotalWeight {
		v.add(at, "weight %d is not between 0 and %d; one unit is 0.001 %%, so 5 %% is 5000", w, TotalWeight)
	}
}

// overrides checks that each unit has at most one override.
func (v *validator) overrides(at path, f *Flag) {
	if len(f.Overrides) == 0 {
		return
	}
	units := 0
	for i := range f.Overrides {
		units += len(f.Overrides[i].Units)
	}
	v.count(at.to("overrides"), max(units, len(f.Overrides)), MaxOverrides, "units with an override")
	seen := make(map[string]bool, min(units, MaxOverrides))
	for i := range f.Overrides {
		o, at := &f.Overrides[i], at.item("overrides", i)
		v.variant(at.to("variant"), f, o.Variant)
		if len(o.Units) == 0 {
			v.add(at.to("units"), "there are none; give the targeting keys that get %q", o.Variant)
		}
		for j, unit := range o.Units {
			v.member(at.item("units", j), unit, seen, "has an override twice; keep one of the two")
		}
	}
}

// member checks one targeting key in a list in which each is written once.
func (v *validator) member(at path, key string, seen map[string]bool, twice string) {
	if key == "" {
		v.add(at, "is empty; write a targeting key")
	} else if err := checkText(key, MaxMember); err != nil {
		v.check(at, err)
	} else if seen[key] {
		v.add(at, "%q %s", key, twice)
	}
	seen[key] = true
}
