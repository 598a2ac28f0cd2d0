package evidence

import "math"

// priorGamma is the pseudo-count of good and of bad events with which each arm's plug-in
// estimate starts; 0.18 is the choice of Turner, Ly and Grünwald for balanced arms.
const priorGamma = 0.18

// MaxDelta bounds the absolute margin that a [Difference] can test.
const MaxDelta = 0.5

// Difference is the two-sample e-variable of Turner, Ly and Grünwald ("Generic E-variables for
// exact sequential k-sample tests that allow for optional stopping", J. Stat. Plan. Inf. 230,
// 2024) with the absolute margin of Turner and Grünwald ("Anytime-valid confidence intervals for
// contingency tables and beyond", 2023): it bets on the rates seen in earlier intervals against
// the point of H0 nearest to them in Kullback-Leibler divergence. Exact for common events too.
//
// Every interval in which both arms were exposed counts, also one without events. Within an
// interval the mean rate of each arm is what is tested; drift between intervals costs power
// (the estimates are of the past), not validity.
//
// The zero value ignores everything and stays at LogE 0. Plain value; its JSON keeps every bit.
type Difference struct {
	Delta     float64   `json:"delta"` // margin as a share: 0.001 is 0.1 percentage points
	Direction Direction `json:"direction"`
	Sum       Counts    `json:"sum"` // all earlier intervals, for the plug-in estimates
	Log       float64   `json:"log"` // ln E
}

// NewHarmDifference tests H0: p_treatment - p_control ≤ delta. delta is a share, 0 for any harm;
// it is brought into [0, MaxDelta], NaN into 0.
func NewHarmDifference(delta float64) Difference {
	return Difference{Delta: cleanDelta(delta), Direction: Harm}
}

// NewNoWorseDifference tests H0: p_treatment - p_control ≥ delta.
func NewNoWorseDifference(delta float64) Difference {
	return Difference{Delta: cleanDelta(delta), Direction: NoWorse}
}

func cleanDelta(delta float64) float64 {
	if math.IsNaN(delta) {
		return 0
	}
	return min(max(delta, 0), MaxDelta)
}

// IsZero reports whether e is the zero value, for omitzero.
func (e Difference) IsZero() bool { return e == Difference{} }

// LogE is ln E: 0 at the start, at least ln(1/α) when H0 is rejected at level α.
func (e Difference) LogE() float64 { return e.Log }

// Add weighs one interval. Without exposures in both arms it changes nothing.
func (e *Difference) Add(c Counts) {
	c, ok := c.clean()
	if !ok || e.Direction == "" {
		return
	}
	treatment, control := plugIn(e.Sum.X, e.Sum.Mc), plugIn(e.Sum.Y, e.Sum.Mb)
	e.Log += betDifference(e.Direction, e.Delta, treatment, control, c)
	e.Sum = Counts{
		X: addCapped(e.Sum.X, c.X), Mc: addCapped(e.Sum.Mc, c.Mc),
		Y: addCapped(e.Sum.Y, c.Y), Mb: addCapped(e.Sum.Mb, c.Mb),
	}
}

// betDifference is ln S of one interval for the given estimates, which must come from earlier
// intervals. Whether and how to bet depends on them and on the exposures only, never on the
// outcomes bet on.
func betDifference(direction Direction, delta float64, treatment, control rate, c Counts) float64 {
	gap := treatment.bad - control.bad
	if direction == Harm && gap <= delta || direction == NoWorse && gap >= delta {
		return 0
	}
	q := project(treatment, control, float64(c.Mc), float64(c.Mb), delta)
	nullControl, nullTreatment := rateOf(q), rateOf(q+delta)
	if !nullControl.inside() || !nullTreatment.inside() {
		return 0
	}
	return treatment.logRatio(nullTreatment, c.X, c.Mc) + control.logRatio(nullControl, c.Y, c.Mb)
}

// rate is a probability of a bad event with its complement, kept apart so that neither loses
// digits near 0.
type rate struct{ bad, good float64 }

func rateOf(p float64) rate { return rate{p, 1 - p} }

func (r rate) inside() bool { return r.bad > 1e-15 && r.good > 1e-15 }

func plugIn(bad, n uint64) rate {
	total := float64(n) + 2*priorGamma
	return rate{(float64(bad) + priorGamma) / total, (float64(n-bad) + priorGamma) / total}
}

// logRatio is the log-likelihood ratio of r against null, of x bad events among n.
func (r rate) logRatio(null rate, x, n uint64) float64 {
	bad := 0.0
	if x > 0 {
		bad = float64(float64(x) * ln(r.bad/null.bad))
	}
	return bad + float64(float64(n-x)*ln(r.good/null.good))
}

// projectSteps bounds the search of project; four or five are usual.
const projectSteps = 60

// project finds the control's rate q of the point (q+delta, q) nearest to the estimates: the
// root of the derivative of nc·KL(treatment‖q+delta) + nb·KL(control‖q), which rises in q. Each
// arm's own optimum bounds it. Newton's method, begun at the mean of the two optima weighted by
// their curvature, with a bisection where it would leave the bounds.
func project(treatment, control rate, nc, nb, delta float64) float64 {
	if delta == 0 {
		return (float64(nc*treatment.bad) + float64(nb*control.bad)) / (nc + nb)
	}
	a, b := treatment.bad-delta, control.bad
	low, high := max(min(a, b), 0), min(max(a, b), 1-delta)
	wt, wc := nc/float64(treatment.bad*treatment.good), nb/float64(control.bad*control.good)
	q := (float64(wt*a) + float64(wc*b)) / (wt + wc)
	for range projectSteps {
		if !(q > low && q < high) {
			q = low + (high-low)/2
		}
		slope, curvature := klSlope(treatment, q+delta, nc)
		slopeControl, curvatureControl := klSlope(control, q, nb)
		slope += slopeControl
		if slope > 0 {
			high = q
		} else {
			low = q
		}
		step := slope / (curvature + curvatureControl)
		q -= step
		// The error after a step is about the square of the step, in units of the distance to 0 or 1.
		if math.Abs(step) <= float64(1e-8*min(q, 1-delta-q)) || high-low <= float64(1e-16*high) {
			break
		}
	}
	return min(max(q, low), high)
}

// klSlope gives the first and second derivative of n·KL(r‖p) by p.
func klSlope(r rate, p, n float64) (slope, curvature float64) {
	overP, overQ := 1/p, 1/(1-p)
	bad, good := float64(r.bad*overP), float64(r.good*overQ)
	return float64(n * (good - bad)), float64(n * (float64(bad*overP) + float64(good*overQ)))
}
