package trial

// clone copies everything that Next changes, with as few allocations as there are kinds of it:
// one for the guardrails, one for all of their bounds.
func (s *State) clone() State {
	next := *s
	next.Guardrails = append([]GuardrailState(nil), s.Guardrails...)
	next.Baseline = copyOf(s.Baseline)
	n := 0
	for i := range s.Guardrails {
		n += len(s.Guardrails[i].Bounds)
	}
	if n > 0 {
		cloneBounds(next.Guardrails, make([]BoundState, 0, n))
	}
	for i := range next.Guardrails {
		next.Guardrails[i].cloneRest()
	}
	return next
}

// cloneBounds copies all bounds into one slab. Each guardrail's part has no room to grow, so that
// an append cannot run into its neighbour.
func cloneBounds(list []GuardrailState, slab []BoundState) {
	for i := range list {
		if len(list[i].Bounds) == 0 {
			continue
		}
		from := len(slab)
		slab = append(slab, list[i].Bounds...)
		list[i].Bounds = slab[from:len(slab):len(slab)]
	}
}

// cloneRest copies what only some guardrails have.
func (s *GuardrailState) cloneRest() {
	if s.Learning != nil {
		h := s.Learning.Clone()
		s.Learning = &h
	}
	s.Flow, s.Means = copyOf(s.Flow), copyOf(s.Means)
	s.SLO, s.History, s.Dispersion = copyOf(s.SLO), copyOf(s.History), copyOf(s.Dispersion)
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
