package evidence

import (
	"encoding/json"
	"fmt"
	"math"
)

// differencePoints is how many differences a [DifferenceSequence] tests, from -Widest to Widest.
const differencePoints = 41

// DifferenceSequence is a confidence sequence for the difference of two shares, treatment minus
// control, by the inversion of [Difference] on a grid (Turner and Grünwald, "Anytime-valid
// confidence intervals for contingency tables and beyond", Stat. Probab. Lett. 198, 2023). For
// each of 41 differences it keeps the evidence that the truth is above and that it is below; what
// is reported is widened to the grid, so it holds between the points too. An interval costs about
// as much as twenty guards: it is for display and for reports.
//
// The zero value ignores everything. Plain value; its JSON keeps every bit.
type DifferenceSequence struct {
	Widest float64
	Sum    Counts
	above  [differencePoints]float64
	below  [differencePoints]float64
}

// NewDifferenceSequence covers the differences from -widest to widest, densest about 0:
// widest·(k/20)³. widest is a share, brought into (0, MaxDelta]; not positive or NaN is MaxDelta.
func NewDifferenceSequence(widest float64) DifferenceSequence {
	if !(widest > 0) {
		widest = MaxDelta
	}
	return DifferenceSequence{Widest: min(max(widest, 1e-6), MaxDelta)}
}

// delta is the k-th difference.
func (s *DifferenceSequence) delta(k int) float64 {
	const half = differencePoints / 2
	u := float64(k-half) / half
	return float64(s.Widest * float64(u*float64(u*u)))
}

// Add weighs one interval. Without exposures in both arms it changes nothing.
func (s *DifferenceSequence) Add(c Counts) {
	c, ok := c.clean()
	if !ok || !(s.Widest > 0) {
		return
	}
	treatment, control := plugIn(s.Sum.X, s.Sum.Mc), plugIn(s.Sum.Y, s.Sum.Mb)
	for k := range s.above {
		delta := s.delta(k)
		s.above[k] += betSigned(Harm, delta, treatment, control, c)
		s.below[k] += betSigned(NoWorse, delta, treatment, control, c)
	}
	s.Sum = Counts{
		X: addCapped(s.Sum.X, c.X), Mc: addCapped(s.Sum.Mc, c.Mc),
		Y: addCapped(s.Sum.Y, c.Y), Mb: addCapped(s.Sum.Mb, c.Mb),
	}
}

// betSigned is betDifference also for negative margins: the arms change places there.
func betSigned(direction Direction, delta float64, treatment, control rate, c Counts) float64 {
	if delta >= 0 {
		return betDifference(direction, delta, treatment, control, c)
	}
	other := Harm
	if direction == Harm {
		other = NoWorse
	}
	return betDifference(other, -delta, control, treatment, Counts{X: c.Y, Mc: c.Mb, Y: c.X, Mb: c.Mc})
}

// Interval gives the confidence sequence at level 1-alpha, within [-1, 1], and the estimate: the
// difference of the shares over all intervals, which is for orientation only where the split
// changed. alpha outside (0, 1) counts as 0.05.
func (s *DifferenceSequence) Interval(alpha float64) (low, high, estimate float64) {
	if s.Sum.Mc == 0 || s.Sum.Mb == 0 {
		return -1, 1, 0
	}
	if !(alpha > 0 && alpha < 1) {
		alpha = 0.05
	}
	// The truth is above the k-th difference if it is above it and all smaller ones: so only the
	// first one that is not under the truth has to be wrong for an error.
	level := -ln(alpha / 2)
	low, high = -1, 1
	for k := 0; k < differencePoints && s.above[k] >= level; k++ {
		low = s.delta(k)
	}
	for k := differencePoints - 1; k >= 0 && s.below[k] >= level; k-- {
		high = s.delta(k)
	}
	return low, high, float64(s.Sum.X)/float64(s.Sum.Mc) - float64(s.Sum.Y)/float64(s.Sum.Mb)
}

type differenceJSON struct {
	Widest float64 `json:"widest,omitempty"`
	Sum    Counts  `json:"sum,omitzero"`
	Above  []byte  `json:"above,omitempty"` // packed
	Below  []byte  `json:"below,omitempty"`
}

// MarshalJSON writes the state so that UnmarshalJSON restores the same bits.
func (s DifferenceSequence) MarshalJSON() ([]byte, error) {
	return json.Marshal(differenceJSON{s.Widest, s.Sum, pack(s.above[:]), pack(s.below[:])})
}

// UnmarshalJSON restores a state; it refuses one of another grid.
func (s *DifferenceSequence) UnmarshalJSON(data []byte) error {
	var stored differenceJSON
	if err := json.Unmarshal(data, &stored); err != nil {
		return fmt.Errorf("evidence: difference sequence: %w", err)
	}
	restored := DifferenceSequence{Widest: stored.Widest, Sum: stored.Sum}
	err := unpack(stored.Above, restored.above[:])
	if err == nil {
		err = unpack(stored.Below, restored.below[:])
	}
	if err == nil && !(stored.Widest >= 0 && stored.Widest <= MaxDelta) {
		err = fmt.Errorf("widest difference %v is outside 0 to %v", stored.Widest, MaxDelta)
	}
	if err != nil {
		return fmt.Errorf("evidence: difference sequence: %w", err)
	}
	*s = restored
	return nil
}

// BandHalfWidth is the half width of a band around an empirical distribution function of n
// observations that holds for all n and all values at once with a chance of 1-alpha:
//
//	0.85·√((ln ln(e·n) + 0.8·ln(1612/alpha)) / n)
//
// (Howard and Ramdas, "Sequential estimation of quantiles with applications to A/B testing and
// best-arm identification", Bernoulli 28, 2022, Theorem 2.) For two arms give each alpha/2. It is
// blind in the tail: show it, and decide by guards at bounds. 1 for n = 0 or alpha outside (0, 1).
func BandHalfWidth(n uint64, alpha float64) float64 {
	if n == 0 || !(alpha > 0 && alpha < 1) {
		return 1
	}
	t := float64(n)
	return min(float64(0.85*math.Sqrt((ln(1+ln(t))+float64(0.8*ln(1612/alpha)))/t)), 1)
}
