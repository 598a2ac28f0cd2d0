package evidence

import "math"

// QuantileLogE is the log of the evidence against "the q-quantile of both arms is the same value",
// from histograms with common bounds: counts per bucket, in ascending order. For a value x each
// arm is a [Proportion] of observations below it, tested against q; the hypothesis is the union
// over x, so the evidence is the smallest sum of both. This is the two-sample test of Howard and
// Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
// identification" (Bernoulli 28, 2022), section 4. Inside a bucket each arm's share below x is
// taken at its least favourable value, so the test is exact for histograms, only less sharp.
//
// The counts are those since the beginning, and the level holds at all times, as long as the
// quantile stays where it is: a drift of both arms together is not covered, and neither is a
// changing split with it. For a rollout use a [Guard] at each bound.
//
// optimum is the number of observations of an arm at which the test is sharpest; 0 counts as
// 1,000. Other inputs that make no sense (q outside (0, 1), histograms of different length, an
// empty arm) give 0.
func QuantileLogE(q float64, optimum uint64, treatment, control []uint64) float64 {
	if !(q > 0 && q < 1) || len(treatment) != len(control) {
		return 0
	}
	t, c := newQuantileArm(q, optimum, treatment), newQuantileArm(q, optimum, control)
	if t.share.Of == 0 || c.share.Of == 0 {
		return 0
	}
	least := math.Inf(1)
	for i := range treatment {
		least = min(least, t.next(q, treatment[i])+c.next(q, control[i]))
	}
	return max(least, 0)
}

// quantileArm walks through the buckets of one arm.
type quantileArm struct {
	share Proportion
	below uint64 // observations in the buckets passed
}

// newQuantileArm takes the prior of Howard and Ramdas: of mean q, and as strong as is best for
// decisions at level 0.05 after the optimal number of observations.
func newQuantileArm(q float64, optimum uint64, counts []uint64) quantileArm {
	if optimum == 0 {
		optimum = 1000
	}
	spread := float64(q * (1 - q))
	l := 2 * ln(1/bettingDesign) //exact: doubling
	r := max(float64(float64(optimum)*spread)/(l+ln1p(l))-spread, float64(1e-3*spread))
	a := quantileArm{share: Proportion{A: r / (1 - q), B: r / q}}
	for _, n := range counts {
		a.share.Of = addCapped(a.share.Of, n)
	}
	return a
}

// next is the least evidence against q for a value in the next bucket, which has n observations.
func (a *quantileArm) next(q float64, n uint64) float64 {
	from, to := a.below, min(addCapped(a.below, n), a.share.Of)
	a.below = to
	// The evidence is convex in the count and least within one of q of all.
	middle := uint64(float64(q * float64(a.share.Of)))
	inside := func(k uint64) uint64 { return min(max(k, from), to) }
	first, last := inside(max(middle, 1)-1), inside(addCapped(middle, 2))
	least := math.Inf(1)
	for k := range last - first + 1 { // at most four, mostly one
		p := a.share
		p.Bad = first + k
		least = min(least, p.LogDiffers(q))
	}
	return least
}
