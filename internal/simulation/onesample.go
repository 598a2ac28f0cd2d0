package simulation

import "math"

// oneSample is the e-process of one arm against a fixed share p0, "at most p0": the Bayes factor
// of a Beta prior with mean p0 that is cut off below p0. Beta mixtures of likelihood ratios are
// Robbins' (Ann. Math. Statist. 41, 1970); the cut makes the test one-sided.
type oneSample struct {
	p0      float64
	bad, of float64
}

func (e *oneSample) add(bad, of uint64) {
	e.bad += float64(bad)
	e.of += float64(of)
}

func (e *oneSample) logE() float64 {
	a, b := 1.0, 1/e.p0-1
	good := e.of - e.bad
	posterior := logBeta(a+e.bad, b+good) + logBetaAbove(a+e.bad, b+good, e.p0)
	prior := logBeta(a, b) + logBetaAbove(a, b, e.p0)
	return posterior - prior - e.bad*math.Log(e.p0) - good*math.Log1p(-e.p0)
}

func logBeta(a, b float64) float64 { return logGamma(a) + logGamma(b) - logGamma(a+b) }

// logBetaAbove is the log of the chance that a Beta(a, b) value is over x, in (0, 1).
func logBetaAbove(a, b, x float64) float64 {
	if x > (a+1)/(a+b+2) {
		return logBetaTail(b, a, 1-x)
	}
	return math.Log1p(-math.Exp(logBetaTail(a, b, x)))
}

// logBetaTail is the log of the regularised incomplete beta function I_x(a, b), for x below about
// the mean: by its continued fraction (DLMF 8.17.22) in Lentz's form.
func logBetaTail(a, b, x float64) float64 {
	const tiny = 1e-300
	front := a*math.Log(x) + b*math.Log1p(-x) - logBeta(a, b) - math.Log(a)
	c, d, f := 1.0, 0.0, 1.0
	for i := range 1000 {
		m := float64(i / 2)
		term := 1.0
		switch {
		case i == 0:
		case i%2 == 0:
			term = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			term = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 / orTiny(1+term*d, tiny)
		c = orTiny(1+term/c, tiny)
		f *= c * d
		if math.Abs(c*d-1) < 1e-14 && i > 0 {
			break
		}
	}
	return front + math.Log(f-1)
}

func orTiny(v, tiny float64) float64 {
	if math.Abs(v) < tiny {
		return tiny
	}
	return v
}
