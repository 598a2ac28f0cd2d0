package trial

import (
	"math"
	"slices"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// calibrate runs an A/A trial: both arms get the same variant, so every alarm is false. Nothing
// is rolled back; what it finds is told at the end.
func (s State) calibrate(spec *Spec, iv *outcome.Interval) (State, []Action) {
	for i := range s.Guardrails {
		if name := spec.Guardrails[i].Name; s.Guardrails[i].Alarm && !slices.Contains(s.Blamed, name) {
			s.Blamed = append(slices.Clip(s.Blamed), name)
		}
	}
	switch {
	case s.pastDeadline(spec):
		return s.calibrated(spec)
	case s.Phase == PhasePaused:
		return s, nil
	}
	if why, ok := s.unheard(spec, iv); ok {
		return s.hold(why)
	}
	return s.goOn(spec)
}

func (s State) calibrated(spec *Spec) (State, []Action) {
	if len(s.Blamed) > 0 || s.Sample.Invalid {
		return s.end(ResultNoisy, s.noisySentence(spec))
	}
	for i := range s.Guardrails {
		if spec.Guardrails[i].Mode != ModeShadow && s.Guardrails[i].empty() {
			return s.end(ResultInconclusive, capital(spec.Guardrails[i].Name)+" counted nothing in "+spec.Deadline.String()+": an A/A trial without outcomes shows nothing.")
		}
	}
	return s.end(ResultQuiet, s.quietSentence(spec))
}

// Dispersion compares how much the arms of an A/A trial differ with how much independent events
// would: the mean of squared z-scores is the design effect. It sees the clustering within its
// blocks (an interval, or a few if events are rare), not that of one user over many of them.
type Dispersion struct {
	N     uint64  `json:"n"`     // blocks
	SumZ2 float64 `json:"sumZ2"` // of their z-scores
	// Deviation and Variance belong to the block that is not complete.
	Deviation float64 `json:"deviation,omitempty"`
	Variance  float64 `json:"variance,omitempty"`
}

// dispersionBlocks are needed for an estimate that is worth telling.
const dispersionBlocks = 10

// DesignEffect estimates by what factor the counts of requests have to be divided, with an
// interval that holds the truth in about 95 of 100 A/A trials (not at any time: look at the end).
// ok is false before 10 blocks. The interval is that of a variance, with chi-square quantiles by
// Wilson and Hilferty (PNAS 17, 1931).
func (d *Dispersion) DesignEffect() (value, low, high float64, ok bool) {
	if d == nil || d.N < dispersionBlocks {
		return 0, 0, 0, false
	}
	n := float64(d.N)
	quantile := func(z float64) float64 {
		root := 1 - 2/(9*n) + float64(z*math.Sqrt(2/(9*n)))
		return float64(n * float64(root*float64(root*root)))
	}
	return d.SumZ2 / n, d.SumZ2 / quantile(1.96), d.SumZ2 / quantile(-1.96), true
}

// add puts a deviation from what was expected, and its variance under independence, into the
// block, which is complete at a variance of 1: sooner the z-score is far from normal.
func (d *Dispersion) add(deviation, variance float64) {
	if !(variance > 0) || math.IsInf(variance, 1) || math.IsNaN(deviation) || math.IsInf(deviation, 0) {
		return
	}
	d.Deviation += deviation
	d.Variance += variance
	if d.Variance < 1 {
		return
	}
	d.N++
	d.SumZ2 += float64(d.Deviation*d.Deviation) / d.Variance
	d.Deviation, d.Variance = 0, 0
}

// addDispersion measures an interval of an A/A trial; of latency the middle bound.
func (s *GuardrailState) addDispersion(g *Guardrail, r *reading) {
	d := s.Dispersion
	switch {
	case d == nil:
	case s.Means != nil:
		if v := meanVariance(&r.t) + meanVariance(&r.c); v > 0 {
			d.add((r.t.Sum/float64(r.t.Of)-r.c.Sum/float64(r.c.Of))/math.Sqrt(v), 1)
		}
	case s.Flow != nil:
		t, c := r.counts(g, 0)
		n := float64(t.Of) + float64(c.Of)
		d.add(float64(t.Of)-float64(n*r.share), float64(n*float64(r.share*(1-r.share))))
	case len(s.Bounds) > 0:
		d.addShares(r.counts(g, s.Bounds[len(s.Bounds)/2].Seconds))
	}
}

// addShares compares two shares: given all events and exposures, those of the treatment are
// hypergeometric.
func (d *Dispersion) addShares(t, c Count) {
	m, n := float64(t.Of)+float64(c.Of), float64(t.Bad)+float64(c.Bad)
	if m < 2 {
		return
	}
	part := float64(t.Of) / m
	d.add(float64(t.Bad)-float64(n*part), float64(n*float64(part*(1-part)))*(m-n)/(m-1))
}

// meanVariance is the variance of a mean of observations; 0 for fewer than two.
func meanVariance(m *outcome.Measure) float64 {
	if m.Of < 2 {
		return 0
	}
	n := float64(m.Of)
	mean := m.Sum / n
	return max(m.SumSquares/n-float64(mean*mean), 0) / (n - 1)
}
