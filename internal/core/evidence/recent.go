package evidence

import "math"

const (
	// recentDecay is what an interval's counts keep of their weight with each later one, so
	// [Recent] remembers about two intervals. A power of two: halving is exact.
	recentDecay = 0.5
	// recentGamma is the pseudo-count of good and of bad events in each of its estimates: more
	// than priorGamma, because a short memory is noisy.
	recentGamma = 1
)

// Recent is [Difference] for base rates that jump, as in an incident of a dependency. Two things
// let it recover within a few intervals where Difference needs as many as went before:
//
//   - Its estimates are of the last intervals only: older counts lose half their weight with
//     each new interval.
//   - It stakes half of its evidence in each interval and keeps the other half aside: an interval
//     multiplies E by ½+½S, so even the worst one costs ln 2. (Half-Kelly betting; any mix of an
//     e-variable with 1 is an e-variable.)
//
// When it gathers evidence for "no worse" it bets on equal rates, estimated from both arms
// together, which is what a harmless treatment looks like and half as noisy.
//
// It is an e-process for the same hypotheses as Difference; at a steady rate it grows more
// slowly. Use the mean of both ([Guard] does).
//
// The zero value ignores everything and stays at LogE 0. Plain value; its JSON keeps every bit.
type Recent struct {
	Delta     float64   `json:"delta"` // margin as a share
	Direction Direction `json:"direction"`
	// Decayed counts of earlier intervals: bad events and exposures, treatment and control.
	X   float64 `json:"x"`
	Mc  float64 `json:"mc"`
	Y   float64 `json:"y"`
	Mb  float64 `json:"mb"`
	Log float64 `json:"log"` // ln E
}

// NewRecentHarm tests H0: p_treatment - p_control ≤ delta, as [NewHarmDifference] does.
func NewRecentHarm(delta float64) Recent {
	return Recent{Delta: cleanDelta(delta), Direction: Harm}
}

// NewRecentNoWorse tests H0: p_treatment - p_control ≥ delta, as [NewNoWorseDifference] does.
func NewRecentNoWorse(delta float64) Recent {
	return Recent{Delta: cleanDelta(delta), Direction: NoWorse}
}

// IsZero reports whether e is the zero value, for omitzero.
func (e Recent) IsZero() bool { return e == Recent{} }

// LogE is ln E: 0 at the start, at least ln(1/α) when H0 is rejected at level α.
func (e Recent) LogE() float64 { return e.Log }

// Add weighs one interval. Without exposures in both arms it changes nothing.
func (e *Recent) Add(c Counts) {
	c, ok := c.clean()
	if !ok || e.Direction == "" {
		return
	}
	treatment, control := e.estimates()
	e.Log += halfStake(betDifference(e.Direction, e.Delta, treatment, control, c))
	e.X = float64(e.X*recentDecay) + float64(c.X)
	e.Mc = float64(e.Mc*recentDecay) + float64(c.Mc)
	e.Y = float64(e.Y*recentDecay) + float64(c.Y)
	e.Mb = float64(e.Mb*recentDecay) + float64(c.Mb)
}

func (e *Recent) estimates() (treatment, control rate) {
	if e.Direction == NoWorse {
		both := smooth(e.X+e.Y, e.Mc+e.Mb, recentGamma)
		return both, both
	}
	return smooth(e.X, e.Mc, recentGamma), smooth(e.Y, e.Mb, recentGamma)
}

// halfStake is ln(½+½S) for ln S.
func halfStake(logS float64) float64 {
	if logS == 0 {
		return 0
	}
	if logS > 0 {
		return logS + ln(0.5+float64(0.5*exp(-logS)))
	}
	return ln(0.5 + float64(0.5*exp(logS)))
}

// smooth estimates a rate with gamma pseudo-counts of good and of bad events.
func smooth(bad, n, gamma float64) rate {
	total := n + float64(2*gamma)
	return rate{(bad + gamma) / total, (math.Max(n-bad, 0) + gamma) / total}
}
