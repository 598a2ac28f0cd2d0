package eval

// Evaluate decides for one unit, in the order given in the package's documentation. A nil c is a
// unit without targeting key and attributes. A split or a trial that needs a key which the
// context lacks is passed over.
//
// It takes no lock and does no I/O. Structured flags do not allocate.
func (f *Flag) Evaluate(c *Context) Result {
	if f == nil {
		return Result{Reason: ReasonError, Error: ErrorFlagNotFound}
	}
	if f.settled {
		return f.fallback
	}
	u := newUnit(c, f.key)
	return f.result(f.decide(&u))
}

// decision is what an evaluation comes to.
type decision struct {
	variant int // noVariant: the code default
	reason  Reason
	err     ErrorCode
	trial   *TrialRef
	role    Role
}

// result gives the decision in public words.
func (f *Flag) result(d decision) Result {
	if d.variant == noVariant {
		return Result{Reason: d.reason, Error: d.err}
	}
	v := &f.variants[d.variant]
	return Result{Variant: v.Name, Value: v.Value, Reason: d.reason, Trial: d.trial, Role: d.role}
}

// decide is the order of decision.
func (f *Flag) decide(u *unit) decision {
	if f.settled {
		return f.byDefault()
	}
	if f.definition != nil {
		return f.decideByDefinition(u)
	}
	for i := range f.needs {
		if !f.needs[i].met(u) {
			return f.byDefault()
		}
	}
	if len(f.overrides) > 0 && u.key != "" {
		if variant, ok := f.overrides[u.key]; ok {
			return decision{variant: variant, reason: ReasonTargetingMatch}
		}
	}
	tries := f.gate.admits(u)
	for i := range f.rules {
		r := &f.rules[i]
		switch {
		case r.split != nil && !tries || !r.when.matches(u):
		case r.split == nil:
			return decision{variant: r.serve, reason: ReasonTargetingMatch}
		default:
			if variant := r.split.choose(u); variant != noVariant {
				return decision{variant: variant, reason: ReasonSplit}
			}
		}
	}
	if tries {
		for i := range f.trials {
			if variant, role := f.trials[i].assign(u); role != RoleNone {
				return decision{variant: variant, reason: ReasonSplit, trial: f.trials[i].ref, role: role}
			}
		}
	}
	return f.byDefault()
}

// byDefault decides where nothing else applies.
func (f *Flag) byDefault() decision { return decision{variant: f.standard, reason: f.fallback.Reason} }
