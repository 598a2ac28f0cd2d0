package evidence

import "math"

// lnNormal is ln Φ(z), the log of the chance that a standard normal variable is at most z.
func lnNormal(z float64) float64 {
	if z >= 0 {
		return ln1p(-float64(normalDensity(z) * mills(z)))
	}
	return ln(mills(-z)) - float64(z*z)/2 - halfLn2Pi
}

func normalDensity(z float64) float64 { return exp(-float64(z*z)/2 - halfLn2Pi) }

// mills is Mills' ratio (1-Φ(z))/φ(z) for z ≥ 0: by the series of Φ in odd powers near 0, by
// Laplace's continued fraction z + 1/(z + 2/(z + 3/(…))) beyond (Abramowitz and Stegun 26.2.11 and
// 26.2.14).
func mills(z float64) float64 {
	const border = 2.5
	if z < border {
		term, sum := z, z
		for i := 3; i < 90; i += 2 {
			term = float64(term*z) * z / float64(i) //exact: rounded by the division
			sum += term
		}
		return 0.5/normalDensity(z) - sum
	}
	fraction := z
	for i := 120; i > 0; i-- {
		fraction = z + float64(i)/fraction
	}
	return 1 / fraction
}

// lnPositiveMixture is the log of the one-sided normal mixture
//
//	∫ exp(λs - λ²v/2) dF(λ) = 2·√(l/(v+l)) · exp(s²/(2(v+l))) · Φ(s/√(v+l))
//
// with F the normal distribution of variance 1/l, folded to the positive side (Robbins 1970;
// Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
// sequences", Ann. Statist. 49, 2021, prop. 6). l > 0, v ≥ 0.
func lnPositiveMixture(s, v, l float64) float64 {
	z := s / math.Sqrt(v+l)
	if z < 0 {
		// exp(z²/2)·Φ(z) = mills(-z)·φ(0): nothing cancels
		return math.Ln2 + ln(l/(v+l))/2 + ln(mills(-z)) - halfLn2Pi
	}
	return math.Ln2 + ln(l/(v+l))/2 + float64(z*z)/2 + lnNormal(z)
}
