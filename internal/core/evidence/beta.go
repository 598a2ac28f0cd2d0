package evidence

import "math"

// lnBeta is ln B(a, b) for a, b > 0.
func lnBeta(a, b float64) float64 { return lnGamma(a) + lnGamma(b) - lnGamma(a+b) }

// lnTails gives ln I and ln(1-I) of the regularised incomplete beta function I = I_x(a, b) for
// a, b > 0 and 0 < x < 1. The continued fraction runs on the side of the mean where it converges
// quickly, and the smaller of the two tails is never the difference of larger ones.
func lnTails(a, b, x float64) (lower, upper float64) {
	front := float64(a*ln(x)) + float64(b*ln1p(-x)) - lnBeta(a, b)
	if x < (a+1)/(a+b+2) {
		lower = min(front-ln(a)+ln(betaFraction(a, b, x)), 0)
		return lower, ln1p(-exp(lower))
	}
	upper = min(front-ln(b)+ln(betaFraction(b, a, 1-x)), 0)
	return ln1p(-exp(upper)), upper
}

// betaFractionSteps bounds the continued fraction; it takes about √max(a, b) steps, so this is
// enough for a hundred million observations.
const betaFractionSteps = 20_000

// betaFraction is the continued fraction of I_x(a, b)·a·B(a, b)/(x^a·(1-x)^b), Abramowitz and
// Stegun 26.5.8, by the modified method of Lentz (Thompson and Barnett 1986).
func betaFraction(a, b, x float64) float64 {
	const tiny = 1e-300
	away := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/away(1-float64((a+b)*x)/(a+1))
	h := d
	for i := 1; i < betaFractionSteps; i++ {
		m := float64(i)
		even := float64(m*(b-m)*x) / float64((a+2*m-1)*(a+2*m)) //exact: doubling
		d, c = 1/away(1+float64(even*d)), away(1+even/c)
		h = float64(h * float64(d*c))
		odd := -float64((a+m)*(a+b+m)*x) / float64((a+2*m)*(a+2*m+1)) //exact: doubling
		d, c = 1/away(1+float64(odd*d)), away(1+odd/c)
		step := float64(d * c)
		h = float64(h * step)
		if math.Abs(step-1) < 1e-15 {
			break
		}
	}
	return h
}
