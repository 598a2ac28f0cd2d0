package evidence

import (
	"encoding/json"
	"fmt"
	"math"
)

const (
	bettingPoints = 99   // means 0.01, 0.02, …, 0.99
	bettingTrunc  = 0.5  // at most this part of the capital is lost at an observation
	bettingDesign = 0.05 // the level for which bets are sized
)

// BoundedMean is a confidence sequence for the mean of observations in [0, 1] that need not be 0
// or 1, such as the share of hits in each of many caches: the hedged capital process of
// Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (J. R. Stat.
// Soc. B 86, 2024), section 4 with the predictable plug-in of their eq. 15 (c = 1/2), on a grid of
// 99 means. It is exact for every number of observations, as long as each has the same mean given
// the past. It weighs single observations, so it costs about 1 µs for each.
//
// The zero value is ready to use. Plain value; its JSON keeps every bit.
type BoundedMean struct {
	N       uint64
	Sum     float64
	Squares float64 // squared distances of the observations from the mean before them
	above   [bettingPoints]float64
	below   [bettingPoints]float64
}

func bettingMean(k int) float64 { return float64(k+1) / (bettingPoints + 1) }

// Add weighs one observation, brought into [0, 1]; NaN is ignored.
func (m *BoundedMean) Add(x float64) {
	if math.IsNaN(x) {
		return
	}
	x = min(max(x, 0), 1)
	stake := m.stake()
	for k := range m.above {
		mean := bettingMean(k)
		up, down := min(stake, bettingTrunc/mean), min(stake, bettingTrunc/(1-mean))
		m.above[k] += ln1p(float64(up * (x - mean)))
		m.below[k] += ln1p(-float64(down * (x - mean)))
	}
	m.N = addCapped(m.N, 1)
	m.Sum += x
	centre := (0.5 + m.Sum) / (float64(m.N) + 1)
	m.Squares += float64((x - centre) * (x - centre))
}

// stake is λ of the next observation: it depends on earlier ones only.
func (m *BoundedMean) stake() float64 {
	t := float64(m.N) + 1
	variance := (0.25 + m.Squares) / t
	return math.Sqrt(2 * ln(2/bettingDesign) / float64(variance*float64(t*ln(1+t))))
}

// Interval gives the confidence sequence of the mean at level 1-alpha, widened to the grid, and
// the mean of the observations (½ without any). alpha outside (0, 1) counts as 0.05.
func (m *BoundedMean) Interval(alpha float64) (low, high, estimate float64) {
	if m.N == 0 {
		return 0, 1, 0.5
	}
	if !(alpha > 0 && alpha < 1) {
		alpha = 0.05
	}
	level := -ln(alpha / 2)
	high = 1
	for k := 0; k < bettingPoints && m.above[k] >= level; k++ {
		low = bettingMean(k)
	}
	for k := bettingPoints - 1; k >= 0 && m.below[k] >= level; k-- {
		high = bettingMean(k)
	}
	return low, high, m.Sum / float64(m.N)
}

type bettingJSON struct {
	N       uint64  `json:"n,omitempty"`
	Sum     float64 `json:"sum,omitempty"`
	Squares float64 `json:"squares,omitempty"`
	Above   []byte  `json:"above,omitempty"` // packed
	Below   []byte  `json:"below,omitempty"`
}

// MarshalJSON writes the state so that UnmarshalJSON restores the same bits.
func (m BoundedMean) MarshalJSON() ([]byte, error) {
	return json.Marshal(bettingJSON{m.N, m.Sum, m.Squares, pack(m.above[:]), pack(m.below[:])})
}

// UnmarshalJSON restores a state; it refuses one of another grid.
func (m *BoundedMean) UnmarshalJSON(data []byte) error {
	var stored bettingJSON
	if err := json.Unmarshal(data, &stored); err != nil {
		return fmt.Errorf("evidence: bounded mean: %w", err)
	}
	restored := BoundedMean{N: stored.N, Sum: stored.Sum, Squares: stored.Squares}
	err := unpack(stored.Above, restored.above[:])
	if err == nil {
		err = unpack(stored.Below, restored.below[:])
	}
	if err == nil && !(stored.Squares >= 0 && stored.Sum >= 0) {
		err = fmt.Errorf("sums %v and %v of a negative kind", stored.Sum, stored.Squares)
	}
	if err != nil {
		return fmt.Errorf("evidence: bounded mean: %w", err)
	}
	*m = restored
	return nil
}
