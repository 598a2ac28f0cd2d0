package simulation

import (
	"math"
	"math/rand/v2"
)

// binomial draws how many of n independent events of chance p happen, exactly: by inversion where
// few are expected, else by transformed rejection (Hörmann, "The Generation of Binomial Random
// Variates", J. Stat. Comput. Simul. 46, 1993, algorithm BTRS). p outside [0, 1] counts as the
// nearer end.
func binomial(r *rand.Rand, n uint64, p float64) uint64 {
	const few = 10 // BTRS wants n·p of at least this
	switch {
	case n == 0 || !(p > 0):
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - binomial(r, n, 1-p)
	case float64(n)*p < few:
		return binomialInversion(r, n, p)
	}
	return binomialRejection(r, float64(n), p)
}

// binomialInversion walks up the distribution until it passes a uniform number.
func binomialInversion(r *rand.Rand, n uint64, p float64) uint64 {
	odds := p / (1 - p)
	first := math.Exp(float64(n) * math.Log1p(-p))
	for {
		u, mass := r.Float64(), first
		for k := range min(n, 200) + 1 { // over 200 when under 10 are expected: less than 1e-150
			if u < mass {
				return k
			}
			u -= mass
			mass *= odds * float64(n-k) / float64(k+1)
		}
	}
}

// binomialRejection is BTRS, for p ≤ 0.5 and n·p ≥ 10.
func binomialRejection(r *rand.Rand, n, p float64) uint64 {
	deviation := math.Sqrt(n * p * (1 - p))
	b := 1.15 + 2.53*deviation
	a := -0.0873 + 0.0248*b + 0.01*p
	centre := n*p + 0.5
	alpha := (2.83 + 5.1/b) * deviation
	inside := 0.92 - 4.2/b
	logOdds := math.Log(p / (1 - p))
	mode := math.Floor((n + 1) * p)
	logMode := logGamma(mode+1) + logGamma(n-mode+1)
	for {
		u, v := r.Float64()-0.5, r.Float64()
		distance := 0.5 - math.Abs(u)
		k := math.Floor((2*a/distance+b)*u + centre)
		if k < 0 || k > n {
			continue
		}
		if distance >= 0.07 && v <= inside {
			return uint64(k)
		}
		v = math.Log(v * alpha / (a/(distance*distance) + b))
		if v <= logMode-logGamma(k+1)-logGamma(n-k+1)+(k-mode)*logOdds {
			return uint64(k)
		}
	}
}

func logGamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
