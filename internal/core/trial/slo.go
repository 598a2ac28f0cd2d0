package trial

import (
	"math"

	"github.com/seatrial/seatrial/internal/core/evidence"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// SLOState watches a service level. Alone it cannot tell whose fault a breach is, so it holds;
// only with the comparison pointing at the treatment it rolls back.
type SLOState struct {
	// Seconds is from when on a request is bad: the bucket edge at or below SLO.Seconds.
	Seconds   float64           `json:"seconds,omitempty"`
	Treatment evidence.Backstop `json:"treatment"`
	// Together watches both arms, and everybody after a promotion.
	Together evidence.Backstop `json:"together"`
	// What they have counted.
	TreatmentCount Count `json:"treatmentCount"`
	TogetherCount  Count `json:"togetherCount"`
}

// sloAnyHarm is the e-value for any harm from which on a breach is the treatment's own.
const sloAnyHarm = 3

func newSLO(g *Guardrail) *SLOState {
	if g.SLO == nil {
		return nil
	}
	s := &SLOState{Treatment: evidence.NewBackstop(g.SLO.Share), Together: evidence.NewBackstop(g.SLO.Share)}
	if g.SLO.Seconds > 0 {
		s.Seconds = outcome.Edge(g.SLO.Seconds)
	}
	return s
}

// addSLOBound makes the service level's bound one of the guardrail's.
func (s *GuardrailState) addSLOBound(g *Guardrail) {
	if s.SLO != nil && s.SLO.Seconds > 0 {
		s.addBound(g, s.SLO.Seconds)
	}
}

// add weighs an interval; nil does nothing.
func (s *SLOState) add(g *Guardrail, r *reading) {
	if s == nil {
		return
	}
	t, c := r.counts(g, s.Seconds)
	g.watchShare(&s.Treatment, &s.TreatmentCount, t)
	t.add(c)
	g.watchShare(&s.Together, &s.TogetherCount, t)
}

// watchShare adds an interval's count, divided by the design effect, to a backstop.
func (g *Guardrail) watchShare(b *evidence.Backstop, all *Count, add Count) {
	b.Add(g.effective(all.Bad, add.Bad), g.effective(all.Of, add.Of))
	all.add(add)
}

// sloHarm gives a guardrail that may roll back, whose service level the treatment breaks while
// the comparison points at it. A comparison that cannot be trusted points at nobody.
func (s *State) sloHarm(spec *Spec) (int, bool) {
	if s.Sample.Invalid {
		return 0, false
	}
	for i := range s.Guardrails {
		st := &s.Guardrails[i]
		if spec.Guardrails[i].Mode == ModeEnforce && st.breaks(spec, i) && st.LogAnyHarm >= math.Log(sloAnyHarm) {
			return i, true
		}
	}
	return 0, false
}

// sloBroken gives a guardrail that counts, whose service level the treatment breaks.
func (s *State) sloBroken(spec *Spec) (int, bool) {
	for i := range s.Guardrails {
		if spec.Guardrails[i].Mode != ModeShadow && s.Guardrails[i].breaks(spec, i) {
			return i, true
		}
	}
	return 0, false
}

// breaks reports whether the treatment breaks the service level, as far as is known now.
func (s *GuardrailState) breaks(spec *Spec, i int) bool {
	return s.SLO != nil && s.SLO.Treatment.Breached(spec.HoldAlpha) && !s.silent(spec, &spec.Guardrails[i])
}
