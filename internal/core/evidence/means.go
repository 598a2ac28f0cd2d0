package evidence

import "math"

const (
	// MinObservations per arm are only learned from: until both arms have that many, [Means] has
	// no evidence, because its normal approximation would not hold.
	MinObservations = 50
	// meansScale is λ in units of the variance of an observation: the mixture is sharpest when the
	// arms' m_t·m_c/(m_t+m_c) add up to 1,250, as with 5,000 observations in equal arms, for
	// decisions at level 0.01 (λ = V/(-2 ln 2α + ln(1-2 ln 2α)) with V = 1250).
	meansScale = 125
	// meansDecay is what an interval keeps of its weight in the running means with each later one.
	meansDecay = 0.875
)

// Moments are the observations of one arm in one interval: their number, sum and sum of squares,
// in the unit of the value. Observations are independent: one per unit of randomisation, or at
// most one per piece of work.
type Moments struct {
	N               uint64
	Sum, SumSquares float64
}

// usable reports whether the moments can be those of N numbers.
func (m Moments) usable() bool {
	n := float64(m.N)
	finite := !math.IsNaN(m.Sum) && !math.IsInf(m.Sum, 0) && m.SumSquares >= 0 && !math.IsInf(m.SumSquares, 1)
	return finite && m.N > 0 && float64(m.Sum*m.Sum) <= float64(n*m.SumSquares)*(1+1e-9) //exact: compared, not added
}

// around is Σ(x-centre)².
func (m Moments) around(centre float64) float64 {
	return max(m.SumSquares-float64(2*centre*m.Sum)+float64(float64(m.N)*float64(centre*centre)), 0)
}

// Means compares the means of a value that need not be bounded (a basket, a duration, a count),
// under a tolerance that is the larger of a relative and an absolute margin. It is ASYMPTOTIC:
// false alarms are at most α in the limit of many observations, not for every number of them as
// with the other processes of this package. Until both arms have [MinObservations] it has no
// evidence at all. The tests simulate false alarms at the border of each hypothesis for normal,
// exponential, lognormal and Pareto (index 2.1) values, values that one observation in a hundred
// has, arms that vary differently, shares from 1 % to a half, ramps and drifts; a few observations
// that make up most of all sums are not covered.
//
// Each interval gives the difference of the two means, weighted by m_t·m_c/(m_t+m_c), so the
// comparison is never pooled over intervals with different splits: a ramp and a drift do no
// harm. Evidence is the one-sided normal mixture of that sum, as in Waudby-Smith, Arbour, Sinha,
// Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences"
// (Ann. Statist. 52, 2024), section 2, and Howard et al. (2021), prop. 6. The variance is that of
// the observations around what their arm's mean was in the intervals before. It contains the
// interval that it scales, which takes the force out of single extreme observations, and is for
// each arm the larger of its own and of what it would be if both arms varied alike, so that a
// small arm that has not yet seen its rare large values does not look as if it had none.
//
//   - Harm, H0 "mean_t - mean_c ≤ max(relative·|mean_c|, absolute)": the smaller of both e-values.
//   - No worse, H0 "≥": the mean of both.
//   - Any harm, H0 "mean_t ≤ mean_c".
//
// A margin of 0 tolerates nothing, as in [Guard]. The sign of the control's mean is read from the
// observations that are only learned from. Where higher is better, give Means the negated values
// (the Sum negated, the SumSquares as it is).
//
// The zero value ignores everything and stays at 0. Plain value; its JSON keeps every bit.
type Means struct {
	Relative float64 `json:"relative"` // 0.05 tolerates 5 % of the control's mean
	Absolute float64 `json:"absolute"` // in the unit of the value
	Started  bool    `json:"started"`

	// Lambda is the scale of the mixture, Sign that of the control's mean; 0 while learning.
	Lambda float64 `json:"lambda,omitempty"`
	Sign   float64 `json:"sign,omitempty"`

	Treatment ArmMeans `json:"treatment,omitzero"`
	Control   ArmMeans `json:"control,omitzero"`
	// Weight is the sum of the intervals' weights.
	Weight float64 `json:"weight,omitempty"`
}

// ArmMeans is what [Means] knows of one arm.
type ArmMeans struct {
	// Decayed number, sum and sum of squares of earlier intervals.
	N          float64 `json:"n,omitempty"`
	Sum        float64 `json:"sum,omitempty"`
	SumSquares float64 `json:"sumSquares,omitempty"`
	// Learned counts the observations that were only learned from.
	Learned uint64 `json:"learned,omitempty"`
	// Weighted sums the weighted means, Variance the weighted squared deviations of the arm, Pooled
	// those it would have if its observations varied like those of both arms together.
	Weighted float64 `json:"weighted,omitempty"`
	Variance float64 `json:"variance,omitempty"`
	Pooled   float64 `json:"pooled,omitempty"`
}

// NewMeans starts a comparison. relative is a share of the control's mean, brought into [0, 10];
// absolute is in the unit of the value, brought into [0, 1e100]; NaN counts as 0. Harm is a
// higher mean of the treatment.
func NewMeans(relative, absolute float64) Means {
	return Means{Relative: cleanMargin(relative, 10), Absolute: cleanMargin(absolute, 1e100), Started: true}
}

func cleanMargin(margin, most float64) float64 {
	if math.IsNaN(margin) {
		return 0
	}
	return min(max(margin, 0), most)
}

// IsZero reports whether m is the zero value, for omitzero.
func (m Means) IsZero() bool { return m == Means{} }

// Add weighs one interval. Without observations in both arms, and for moments that cannot be
// (not finite, a sum of squares under that of equal values), it changes nothing.
func (m *Means) Add(treatment, control Moments) {
	if !m.Started || !treatment.usable() || !control.usable() {
		return
	}
	next := *m
	if next.Lambda > 0 {
		next.weigh(treatment, control)
	} else {
		next.Treatment.Learned = addCapped(m.Treatment.Learned, treatment.N)
		next.Control.Learned = addCapped(m.Control.Learned, control.N)
	}
	next.Treatment.remember(treatment)
	next.Control.remember(control)
	if next.Lambda == 0 && min(next.Treatment.Learned, next.Control.Learned) >= MinObservations {
		next.settle()
	}
	if next.finite() {
		*m = next
	}
}

// weigh adds the interval's evidence.
func (m *Means) weigh(treatment, control Moments) {
	nt, nc := float64(treatment.N), float64(control.N)
	weight := float64(nt / (nt + nc) * nc)
	m.Weight += weight
	ownT, ownC := treatment.around(m.Treatment.mean()), control.around(m.Control.mean())
	pooled := (ownT + ownC) / (nt + nc)
	m.Treatment.weigh(treatment.Sum, weight/nt, ownT, float64(nt*pooled))
	m.Control.weigh(control.Sum, weight/nc, ownC, float64(nc*pooled))
}

// weigh adds a sum of values that count each, with its squared deviations: those of the arm itself
// and what they would be if both arms varied alike.
func (a *ArmMeans) weigh(sum, each, own, pooled float64) {
	a.Weighted += float64(each * sum)
	a.Variance += float64(float64(each*each) * own)
	a.Pooled += float64(float64(each*each) * pooled)
}

func (a *ArmMeans) mean() float64 { return a.Sum / a.N }

// variance is that of Weighted, the larger of both estimates: a small arm that has not yet seen
// its share of rare large values must not look as if it had none.
func (a *ArmMeans) variance() float64 { return max(a.Variance, a.Pooled) }

func (a *ArmMeans) remember(m Moments) {
	a.N = float64(a.N*meansDecay) + float64(m.N)
	a.Sum = float64(a.Sum*meansDecay) + m.Sum
	a.SumSquares = float64(a.SumSquares*meansDecay) + m.SumSquares
}

// settle ends the learning, once the observations vary.
func (m *Means) settle() {
	both := ArmMeans{
		N: m.Treatment.N + m.Control.N, Sum: m.Treatment.Sum + m.Control.Sum,
		SumSquares: m.Treatment.SumSquares + m.Control.SumSquares,
	}
	mean := both.Sum / both.N
	variance := both.SumSquares/both.N - float64(mean*mean)
	if !(variance > float64(1e-12*mean*mean)) {
		return
	}
	m.Lambda = float64(meansScale * variance)
	m.Sign = 1
	if m.Control.Sum < 0 {
		m.Sign = -1
	}
}

func (m *Means) finite() bool {
	sum := m.Lambda + m.Weight
	for _, a := range []ArmMeans{m.Treatment, m.Control} {
		sum += a.SumSquares + math.Abs(a.Weighted) + a.Variance + a.Pooled + float64(a.Weighted*a.Weighted)
	}
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}

// logE is the evidence for side·(mean_t - factor·mean_c - margin) > 0.
func (m *Means) logE(side, factor, margin float64) float64 {
	if m.Lambda == 0 {
		return 0
	}
	sum := m.Treatment.Weighted - float64(factor*m.Control.Weighted) - float64(margin*m.Weight)
	variance := m.Treatment.variance() + float64(float64(factor*factor)*m.Control.variance())
	return lnPositiveMixture(float64(side*sum), variance, m.Lambda)
}

// factor is what the control's mean is multiplied with under the relative margin.
func (m *Means) factor() float64 { return 1 + float64(m.Sign*m.Relative) }

// LogHarm is the log of the evidence that the treatment's mean is higher than both margins allow.
func (m *Means) LogHarm() float64 {
	switch {
	case m.Relative == 0 && m.Absolute == 0:
		return m.LogAnyHarm()
	case m.Absolute == 0:
		return m.logE(1, m.factor(), 0)
	case m.Relative == 0:
		return m.logE(1, 1, m.Absolute)
	}
	return min(m.logE(1, m.factor(), 0), m.logE(1, 1, m.Absolute))
}

// LogNoWorse is the log of the evidence that the treatment keeps the tolerance.
func (m *Means) LogNoWorse() float64 {
	switch {
	case m.Absolute == 0:
		return m.logE(-1, m.factor(), 0)
	case m.Relative == 0:
		return m.logE(-1, 1, m.Absolute)
	}
	return meanOfTwo(m.logE(-1, m.factor(), 0), m.logE(-1, 1, m.Absolute))
}

// LogAnyHarm is the log of the evidence that the treatment's mean is higher at all.
func (m *Means) LogAnyHarm() float64 { return m.logE(1, 1, 0) }

// Interval gives the asymptotic confidence sequence at level 1-alpha of mean_t - mean_c, averaged
// over the intervals with their weights, in the unit of the value, and the estimate (the two-sided
// normal mixture, eq. 9 of Waudby-Smith et al.). While learning it is (-Inf, Inf, 0). alpha
// outside (0, 1) counts as 0.05.
func (m *Means) Interval(alpha float64) (low, high, estimate float64) {
	if m.Weight == 0 {
		return math.Inf(-1), math.Inf(1), 0
	}
	if !(alpha > 0 && alpha < 1) {
		alpha = 0.05
	}
	estimate = (m.Treatment.Weighted - m.Control.Weighted) / m.Weight
	variance := m.Treatment.variance() + m.Control.variance()
	half := MixtureBoundary(variance, m.Lambda, alpha) / m.Weight
	return estimate - half, estimate + half, estimate
}
