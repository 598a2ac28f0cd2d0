package flag

// Apply gives the set that delta leads to; s stays as it is.
func (s Set) Apply(d Delta) (Set, error) { return s, nil }

// Diff gives the delta that leads from s to next.
func (s Set) Diff(next Set) Delta { return Delta{} }

// Normalize gives the set in its one canonical form.
func (s Set) Normalize() Set { return s }
