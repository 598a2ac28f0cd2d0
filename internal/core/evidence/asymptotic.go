package evidence

import "math"

// MixtureBoundary is the two-sided boundary of the normal mixture at level alpha: a sum with
// (estimated) variance v stays within ± it, at any time, with a chance of at least 1-alpha,
// asymptotically. lambda > 0 is in units of v and says where the boundary is tightest, see
// [MixtureScale]. alpha in (0, 1). Robbins 1970; Waudby-Smith et al. (2024), eq. 9.
func MixtureBoundary(v, lambda, alpha float64) float64 {
	return math.Sqrt(float64(2 * (v + lambda) * (ln((v+lambda)/lambda)/2 - ln(alpha))))
}

// UpperMixtureBoundary is the one-sided boundary at level alpha in closed form:
//
//	√(2(v+λ)·ln(1 + √((v+λ)/λ)/(2α)))
//
// a little above where the one-sided mixture itself reaches 1/alpha, so on the safe side
// (Howard et al. 2021, prop. 6 and the bound in their section 3.2; eq. 134 in the preprint of
// Waudby-Smith et al., arXiv:2103.06476v7).
func UpperMixtureBoundary(v, lambda, alpha float64) float64 {
	return math.Sqrt(float64(2 * (v + lambda) * ln1p(math.Sqrt((v+lambda)/lambda)/(2*alpha)))) //exact: a quotient
}

// MixtureScale is the lambda for which [MixtureBoundary] at level alpha is about tightest at
// variance v: v/(-2 ln α + ln(1-2 ln α)) (Waudby-Smith et al. 2024, appendix). For the one-sided
// boundary give 2·alpha.
func MixtureScale(v, alpha float64) float64 {
	l := -float64(2 * ln(alpha))
	return v / (l + ln1p(l))
}

// Score is the stratified score test of "the treatment has its part of the events" (the
// sequential log-rank test): in each interval the x events of the treatment among N are compared
// with ρN, and only the differences add up, so ramps and drifts do no harm. ASYMPTOTIC: do not
// trust it before some ten events per arm. [RelativeRate] asks the same question exactly.
//
// The zero value is ready to use. Plain value; its JSON keeps every bit.
type Score struct {
	Sum      float64 `json:"sum"`
	Variance float64 `json:"variance"`
}

// Add weighs one interval. Without exposures in both arms, or without events, it changes nothing.
func (s *Score) Add(c Counts) {
	c, ok := c.clean()
	if !ok || c.X+c.Y == 0 {
		return
	}
	x, n, share := float64(c.X), float64(c.X)+float64(c.Y), weightOf(c.Mc, c.Mb, 1)
	s.Sum += x - float64(share*n)
	s.Variance += float64(float64(share*(1-share)) * n)
}

// LogHarm is the log of the evidence against "no more than its part", by the one-sided normal
// mixture of scale lambda, in units of the variance (see [MixtureScale]); 0 unless lambda > 0.
func (s *Score) LogHarm(lambda float64) float64 {
	if !positive(lambda) {
		return 0
	}
	return lnPositiveMixture(s.Sum, s.Variance, lambda)
}
