package evidence

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The vectors of the reference, section 2 (e), for the mean of t observations of standard deviation
// 1: there the scale is written as ρ = √(1/λ) and the boundary as a half width. They reproduce what
// GrowthBook's tests expect of the same formulas.
func TestAsymptoticHalfWidthVectors(t *testing.T) {
	for _, v := range []struct{ alpha, t, rho, twoSided, oneSided float64 }{
		{0.05, 1000, 0.039840067, 0.106375470, 0.099688351}, {0.05, 5000, 0.039840067, 0.042924337, 0.039302328},
		{0.01, 1000, 0.048028619, 0.122137424, 0.115835652}, {0.01, 5000, 0.048028619, 0.050510475, 0.047449674},
	} {
		lambda := MixtureScale(5000, v.alpha)
		near(t, "rho", math.Sqrt(1/lambda), v.rho, 6e-10)
		near(t, "two-sided", MixtureBoundary(v.t, lambda, v.alpha)/v.t, v.twoSided, 6e-10)
		near(t, "one-sided", UpperMixtureBoundary(v.t, MixtureScale(5000, 2*v.alpha), v.alpha)/v.t, v.oneSided, 6e-10)
	}
}

// The stratified form, on data A with λ = 10: it rejects at the second interval.
func TestStratifiedScoreVector(t *testing.T) {
	rows := readVectors[map[string][]Counts](t, "rows.json")["A"]
	var s Score
	for i, want := range []struct{ sum, variance, boundary float64 }{{4.2, 1.71, 7.605595}, {11.5, 3.325, 8.209935}, {26.6, 7.735, 9.716082}} {
		s.Add(rows[i])
		near(t, "S", s.Sum, want.sum, 1e-12)
		near(t, "V", s.Variance, want.variance, 1e-12)
		near(t, "boundary", UpperMixtureBoundary(s.Variance, 10, 0.05), want.boundary, 6e-7)
		if rejects := s.LogHarm(10) >= math.Log(20); rejects != (i >= 1) {
			t.Errorf("interval %d: rejects is %v", i+1, rejects)
		}
	}
}

// Property: the closed boundary is never under the one where the mixture itself reaches 1/α, and
// close to it.
func TestClosedBoundaryIsOnTheSafeSide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, lambda := rapid.Float64Range(0, 1e5).Draw(t, "v"), rapid.Float64Range(0.1, 1e3).Draw(t, "lambda")
		alpha := rapid.SampledFrom([]float64{0.001, 0.01, 0.05, 0.2}).Draw(t, "alpha")
		at := lnPositiveMixture(UpperMixtureBoundary(v, lambda, alpha), v, lambda)
		if over := at - math.Log(1/alpha); over < -1e-9 || over > 0.7 {
			t.Fatalf("at the boundary the mixture is %v, wanted a little over %v", at, math.Log(1/alpha))
		}
	})
}

func TestNormalDistributionAgreesWithMath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.OneOf(rapid.Float64Range(-37, 8), rapid.Float64Range(-2.6, 2.6)).Draw(t, "z")
		want := math.Log(0.5 * math.Erfc(-z/math.Sqrt2))
		if got := lnNormal(z); math.Abs(got-want) > 1e-12*max(1, math.Abs(want)) {
			t.Fatalf("ln Φ(%v) = %v, want %v", z, got, want)
		}
	})
	if got := lnNormal(-1e4); math.Abs(got+5e7+math.Log(1e4)+halfLn2Pi) > 1e-6 {
		t.Errorf("ln Φ(-10,000) = %v", got)
	}
}

// Property: the one-sided mixture is the integral that defines it (over λ ≥ 0, folded normal).
func TestPositiveMixtureIsTheIntegral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, v := rapid.Float64Range(-20, 20).Draw(t, "s"), rapid.Float64Range(0, 40).Draw(t, "v")
		l := rapid.Float64Range(1, 50).Draw(t, "l")
		const steps = 4000
		far := max(s, 0)/(v+l) + 9/math.Sqrt(v+l) // beyond the mass
		h, sum := far/steps, 0.0
		f := func(x float64) float64 {
			return 2 * math.Sqrt(l/(2*math.Pi)) * math.Exp(x*s-x*x*(v+l)/2)
		}
		for i := range steps / 2 {
			x := 2 * h * float64(i)
			sum += h / 3 * (f(x) + 4*f(x+h) + f(x+2*h))
		}
		if got := lnPositiveMixture(s, v, l); math.Abs(got-math.Log(sum)) > 1e-6 {
			t.Fatalf("mixture at s=%v v=%v λ=%v is %v, by quadrature %v", s, v, l, got, math.Log(sum))
		}
	})
}
