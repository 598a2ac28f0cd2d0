package trial

import (
	"fmt"
	"math"
)

// An experiment whose fault hits nobody survives everything. So before it is called survived, so
// many calls must have been hit that each guardrail that may stop it could have failed.

// minInjected calls at least have to be hit in the treatment.
const minInjected = 10

// untried says why nothing can be concluded from the guardrails yet: too few calls were hit.
// Enough are those that would take every enforced guardrail beyond its tolerance if each of them
// made one more exposure bad; with fewer, the verdict was certain before the experiment.
func (s *State) untried(spec *Spec) (why string, ok bool) {
	hits := s.Treatment.Injected
	if hits == 0 {
		return fmt.Sprintf("Nothing was injected in %s. Check that the point is reached, that its services allow faults, and what their own caps are.",
			counted(s.Treatment.Requests, "request")), true
	}
	if hits < minInjected {
		return fmt.Sprintf("Only %s hit, at least %d are needed.", calls(hits), minInjected), true
	}
	for i := range spec.Guardrails {
		g, st := &spec.Guardrails[i], &s.Guardrails[i]
		if g.Mode == ModeEnforce && float64(hits) <= st.absorbs(g) {
			return fmt.Sprintf("Only %s hit: even if each did harm, %s would be within its tolerance. Raise the fault's rate, or try it on an audience that reaches the point more often.",
				calls(hits), g.Name), true
		}
	}
	return "", false
}

// absorbs is how many more bad exposures the guardrail tolerates, at the bound that tolerates
// least. Of values nobody can tell.
func (s *GuardrailState) absorbs(g *Guardrail) float64 {
	switch {
	case s.Means != nil:
		return 0
	case s.Flow != nil:
		return g.Relative * float64(s.Control.Of)
	}
	least := math.Inf(1)
	for i := range s.Bounds {
		b := &s.Bounds[i]
		least = min(least, max(float64(g.Relative*b.Control.Share()), g.Absolute)*float64(b.Treatment.Of))
	}
	return least
}

func calls(n uint64) string {
	if n == 1 {
		return "1 call was"
	}
	return fmt.Sprintf("%d calls were", n)
}

func (s *State) controlHitSentence() string {
	return fmt.Sprintf("Stopped undecided: %s hit in the control, which must have no fault, so the arms cannot be compared. Check that all services run the same version of the client.", calls(s.Control.Injected))
}
