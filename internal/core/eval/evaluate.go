package eval

// Evaluate decides for one unit, in the order given in the package's documentation. A nil c is a
// unit without targeting key and attributes. A split or a trial that needs a key which the
// context lacks is passed over.
//
// It takes no lock and does no I/O. Structured flags do not allocate.
func (f *Flag) Evaluate(c *Context) (r Result) {
	f.EvaluateInto(c, &r)
	return r
}

// EvaluateInto is [Flag.Evaluate] with a place for the result, which saves copying it.
func (f *Flag) EvaluateInto(c *Context, r *Result) {
	if f == nil {
		*r = Result{Reason: ReasonError, Error: ErrorFlagNotFound}
		return
	}
	if f.settled {
		*r = f.fallback
		return
	}
	var u unit
	u.enter(c, f.key)
	f.decide(&u).tell(f, r)
}

// decision is what an evaluation comes to.
type decision struct {
	variant int // noVariant: the code default
	reason  Reason
	err     ErrorCode
	trial   *TrialRef
	role    Role
}

// tell gives the decision in public words. It sets one field after another: a struct that is put
// together first and copied then makes the processor wait for its own stores.
func (d decision) tell(f *Flag, r *Result) {
	r.Variant, r.Value = "", nil
	if d.variant != noVariant {
		v := &f.variants[d.variant]
		r.Variant, r.Value = v.Name, v.Value
	}
	r.Reason, r.Error, r.Trial, r.Role = d.reason, d.err, d.trial, d.role
	r.Slot = uint32(int(f.slot) + 1 + d.variant) // noVariant is -1
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
