package evidence

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The vector of the reference, section 2 (a2), and its quadrature.
func TestConstantSplitVector(t *testing.T) {
	p := Proportion{A: 1, B: 19, Bad: 15, Of: 70}
	near(t, "ln E", p.LogAbove(0.05), 9.191409119, 1e-9)
	s := ConstantSplit{Share: 0.1, Labels: Proportion{A: 1, B: 9}}
	s.Add(35, 119-35)
	low, high, _ := s.Labels.Interval(0.05)
	near(t, "low label", low, 0.1679971, 6e-8)
	near(t, "high label", high, 0.4461727, 6e-8)
	low, high, estimate := s.Interval(0.05)
	near(t, "low", low, 1.817270, 6e-7)
	near(t, "high", high, 7.250554, 6e-7)
	near(t, "estimate", estimate, 3.75, 1e-12)
}

// The vectors of section 2 (b): a limit of 1 %, prior Beta(1, 99).
func TestLimitVectors(t *testing.T) {
	for _, v := range []struct {
		bad, of      uint64
		breach, kept float64
	}{
		{5, 300, 0.233384469, -1.609829603}, {12, 600, 1.689328551, -2.464126515}, {30, 1500, 4.778443721, -3.309660004},
		{45, 3000, 2.188007710, -3.354230181}, {60, 3000, 10.301947563, -3.975374569}, {2, 1000, -2.225753687, 3.985536505},
		{5, 1500, -2.439875541, 3.640569594}, {10, 3000, -3.073826652, 7.853919761},
	} {
		p := NewProportion(0.01)
		p.Add(v.bad, v.of)
		near(t, "breach", p.LogAbove(0.01), v.breach, 1e-9)
		near(t, "kept", p.LogBelow(0.01), v.kept, 1e-9)
	}
}

// The vectors of section 2 (c): one share, and the difference of two.
func TestProportionVectors(t *testing.T) {
	for _, v := range []struct {
		bad, of             uint64
		low, high           float64
		lowHalfs, highHalfs float64 // with the prior Beta(½, ½)
	}{
		{5, 1000, 0.0009807, 0.0143661, 0.0005393, 0.0180039}, {15, 3000, 0.0020249, 0.0100040, 0.0015512, 0.0115914},
		{30, 6000, 0.0026461, 0.0084459, 0.0022372, 0.0094184}, {0, 500, 0, 0.0095459, 0, 0.0132626},
	} {
		one, half := Proportion{A: 1, B: 99, Bad: v.bad, Of: v.of}, Proportion{A: 0.5, B: 0.5, Bad: v.bad, Of: v.of}
		low, high, estimate := one.Interval(0.05)
		near(t, "low", low, v.low, 6e-8)
		near(t, "high", high, v.high, 6e-8)
		near(t, "estimate", estimate, float64(v.bad)/float64(v.of), 1e-15)
		low, high, _ = half.Interval(0.05)
		near(t, "low, Jeffreys", low, v.lowHalfs, 6e-8)
		near(t, "high, Jeffreys", high, v.highHalfs, 6e-8)
	}
	treatment, control := Proportion{A: 1, B: 99, Bad: 30, Of: 3000}, Proportion{A: 1, B: 99, Bad: 15, Of: 3000}
	low, high, estimate := DifferenceOf(&treatment, &control, 0.05)
	near(t, "low difference", low, -0.0053334, 6e-8)
	near(t, "high difference", high, 0.0153811, 6e-8)
	near(t, "difference", estimate, 0.005, 1e-15)
}

// Property: the tails are the integrals that they stand for, by Simpson's rule.
func TestTailsAreTheIntegrals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64Range(4, 400).Draw(t, "a"), rapid.Float64Range(4, 400).Draw(t, "b")
		x := rapid.Float64Range(0.02, 0.98).Draw(t, "x")
		la, _ := math.Lgamma(a)
		lb, _ := math.Lgamma(b)
		lab, _ := math.Lgamma(a + b)
		density := func(p float64) float64 {
			if p <= 0 || p >= 1 {
				return 0
			}
			return math.Exp(lab - la - lb + (a-1)*math.Log(p) + (b-1)*math.Log1p(-p))
		}
		const steps = 4000
		area := func(from, to float64) (sum float64) {
			h := (to - from) / steps
			for i := range steps / 2 {
				p := from + 2*h*float64(i)
				sum += h / 3 * (density(p) + 4*density(p+h) + density(p+2*h))
			}
			return sum
		}
		one, _ := lnTails(1, b, x)
		if want := -math.Expm1(b * math.Log1p(-x)); math.Abs(math.Exp(one)-want) > 1e-12 {
			t.Fatalf("I_%v(1, %v) = %v, want %v", x, b, math.Exp(one), want)
		}
		lower, upper := lnTails(a, b, x)
		for side, pair := range [2][2]float64{{lower, area(0, x)}, {upper, area(x, 1)}} {
			if math.Abs(math.Exp(pair[0])-pair[1]) > 1e-6 {
				t.Fatalf("side %d of I_%v(%v, %v): %v, by quadrature %v", side, x, a, b, math.Exp(pair[0]), pair[1])
			}
		}
	})
}

// Property: at the limit, and on its kept side, the expected factor of the next observations is at
// most 1, over all outcomes; for the two-sided form it is 1.
func TestProportionIsASupermartingale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Float64Range(0.001, 0.9).Draw(t, "limit")
		p := NewProportion(rapid.SampledFrom([]float64{limit, 0.01, 0.3}).Draw(t, "mean"))
		of := rapid.Uint64Range(0, 300).Draw(t, "of")
		p.Add(rapid.Uint64Range(0, of).Draw(t, "bad"), of)
		n := rapid.Uint64Range(1, 25).Draw(t, "n")
		inside := rapid.Float64Range(0.2, 1).Draw(t, "inside") // how far within the limit
		var above, below, differs float64
		for k := range n + 1 {
			next := p
			next.Add(k, n)
			above += binomial(k, n, limit*inside) * math.Exp(next.LogAbove(limit)-p.LogAbove(limit))
			below += binomial(k, n, 1-(1-limit)*inside) * math.Exp(next.LogBelow(limit)-p.LogBelow(limit))
			differs += binomial(k, n, limit) * math.Exp(next.LogDiffers(limit)-p.LogDiffers(limit))
		}
		if above > 1+1e-8 || below > 1+1e-8 || math.Abs(differs-1) > 1e-8 {
			t.Fatalf("limit %v: expected factors %v above, %v below, %v two-sided", limit, above, below, differs)
		}
	})
}

// Property: the constant split is the conditional likelihood of RelativeRate with another prior, so
// both say the same about strong evidence.
func TestConstantSplitAgreesWithRelativeRate(t *testing.T) {
	s, e := NewConstantSplit(0.25), NewHarmRate(1.2)
	for range 40 {
		s.Add(20, 30)
		e.Add(Counts{X: 20, Mc: 1000, Y: 30, Mb: 3000})
	}
	near(t, "ln E", s.LogHarm(1.2), e.LogE(), 3)
	if s.LogHarm(1.2) < 20 || s.LogNoWorse(1.2) > 0 {
		t.Errorf("harm %v, no worse %v", s.LogHarm(1.2), s.LogNoWorse(1.2))
	}
	low, high, estimate := s.Interval(0.05)
	if !(low > 1.2 && low < 2 && high > 2 && math.Abs(estimate-2) < 1e-9) {
		t.Errorf("ratio %v (%v to %v), want 2", estimate, low, high)
	}
}

func TestUnusableProportions(t *testing.T) {
	var zero Proportion
	zero.Add(3, 5)
	low, high, estimate := zero.Interval(0.05)
	if zero != (Proportion{}) || low != 0 || high != 1 || estimate != 0 || zero.LogAbove(0.1) != 0 {
		t.Errorf("the zero value is %+v with %v to %v", zero, low, high)
	}
	p := NewProportion(math.NaN())
	p.Add(math.MaxUint64, 10)
	p.Add(5, math.MaxUint64)
	for _, v := range []float64{p.LogAbove(0), p.LogAbove(1), p.LogAbove(0.3), p.LogBelow(0.3), p.LogBelow(math.NaN())} {
		if math.IsNaN(v) {
			t.Errorf("NaN in %+v", p)
		}
	}
}
