package rules

import (
	"fmt"
	"math"
	"slices"
)

// How the rank test judges: after every 10 windows, at confidence 98 %, and harm must exceed a
// quarter of the estimated shift.
const (
	rankEvery      = 10
	rankConfidence = 0.98
	rankTolerance  = 0.25
	// rankWindows bounds the series to a week of minutes; later windows displace the earliest.
	rankWindows = 7 * 24 * 60
)

// rankTest is the classifier of Netflix's canary judge as Kayenta carries it
// (MannWhitneyClassifier: confLevel 0.98, tolerance 0.25): the error rates of the treatment's
// windows against those of the control's, as two series.
type rankTest struct {
	treatment, control []float64
	windows            int
	last               Shift
}

func (t *rankTest) window(w window) (string, bool) {
	t.windows++
	if w.treatment.requests > 0 {
		t.treatment = appendBounded(t.treatment, w.treatment.errors())
	}
	if w.control.requests > 0 {
		t.control = appendBounded(t.control, w.control.errors())
	}
	if t.windows%rankEvery != 0 || len(t.treatment) == 0 || len(t.control) == 0 {
		return "", true
	}
	t.last = MannWhitney(t.treatment, t.control, rankConfidence)
	return t.idle(), !t.last.Harmful()
}

func appendBounded(list []float64, v float64) []float64 {
	if len(list) >= rankWindows {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, v)
}

func (t *rankTest) idle() string {
	if t.windows < rankEvery {
		return fmt.Sprintf("%d windows; the rule judges every %d", t.windows, rankEvery)
	}
	const pp = 100
	return fmt.Sprintf("errors are shifted by %.2g points (98 %% confidence: %.2g to %.2g); the rule fails when the lower end is over a quarter of the shift",
		pp*t.last.Estimate, pp*t.last.Low, pp*t.last.High)
}

// Shift is by how much one sample lies above another, in the samples' unit: the Hodges-Lehmann
// estimate with its confidence interval.
type Shift struct{ Estimate, Low, High float64 }

// Harmful reports whether Kayenta's classifier calls the shift an increase beyond tolerance.
func (s Shift) Harmful() bool { return s.Low > rankTolerance*math.Abs(s.Estimate) }

// MannWhitney estimates the shift of x over y at a confidence in (0, 1), from the rank-sum test
// in its normal approximation, corrected for ties and continuity (Mann and Whitney 1947; Hodges
// and Lehmann 1963; the interval inverts the test as R's wilcox.test(exact = FALSE) does). Both
// samples must have values and no NaN. The samples stay as they are.
func MannWhitney(x, y []float64, confidence float64) Shift {
	r := rankSum{x: slices.Clone(x), y: slices.Clone(y)}
	slices.Sort(r.x)
	slices.Sort(r.y)
	z := math.Sqrt2 * math.Erfinv(confidence)
	// The statistic may be 0 over a whole stretch; the middle of it is the median of all differences.
	estimate := (r.root(math.SmallestNonzeroFloat64, false) + r.root(-math.SmallestNonzeroFloat64, false)) / 2
	return Shift{Estimate: estimate, Low: r.root(z, true), High: r.root(-z, true)}
}

// rankSum holds two sorted samples.
type rankSum struct{ x, y []float64 }

// root is the shift at which the standardised statistic falls to z. It falls with the shift.
func (r *rankSum) root(z float64, correct bool) float64 {
	low, high := r.x[0]-r.y[len(r.y)-1], r.x[len(r.x)-1]-r.y[0]
	if r.statistic(low, correct) <= z {
		return low
	}
	if r.statistic(high, correct) >= z {
		return high
	}
	for {
		middle := low + (high-low)/2
		if middle <= low || middle >= high {
			return middle
		}
		if s := r.statistic(middle, correct); s > z {
			low = middle
		} else {
			high = middle
		}
	}
}

// statistic is U of (x - shift, y), standardised.
func (r *rankSum) statistic(shift float64, correct bool) float64 {
	n, m := float64(len(r.x)), float64(len(r.y))
	u, ties := r.count(shift)
	u -= n * m / 2
	if correct {
		u -= math.Copysign(min(0.5, math.Abs(u)), u)
	}
	variance := n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1)))
	if variance <= 0 {
		return 0 // all values are the same
	}
	return u / math.Sqrt(variance)
}

// count walks through both samples in order. u is how many pairs have x - shift over y, a tie as
// a half; ties is Σ(t³ - t) over groups of equal values.
func (r *rankSum) count(shift float64) (u, ties float64) {
	i, j := 0, 0
	for i < len(r.x) || j < len(r.y) {
		var v float64
		switch {
		case i == len(r.x):
			v = r.y[j]
		case j == len(r.y):
			v = r.x[i] - shift
		default:
			v = min(r.x[i]-shift, r.y[j])
		}
		below, firstX, firstY := float64(j), i, j
		for i < len(r.x) && r.x[i]-shift == v {
			i++
		}
		for j < len(r.y) && r.y[j] == v {
			j++
		}
		equalX, equalY := float64(i-firstX), float64(j-firstY)
		u += equalX*below + equalX*equalY/2
		t := equalX + equalY
		ties += t*t*t - t
	}
	return u, ties
}
