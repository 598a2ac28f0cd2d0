package evidence

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// Property: for every difference of the grid, at that difference, both the evidence that the truth
// is above and that it is below are supermartingales, over every outcome of the next interval.
func TestDifferenceSequenceIsMadeOfSupermartingales(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewDifferenceSequence(rapid.SampledFrom([]float64{0.02, 0.5}).Draw(t, "widest"))
		for _, c := range rapid.SliceOfN(rapid.Custom(drawCounts), 0, 4).Draw(t, "history") {
			s.Add(c)
		}
		k := rapid.IntRange(0, differencePoints-1).Draw(t, "k")
		control := rapid.Float64Range(0.001, 0.999).Draw(t, "control")
		treatment := control + s.delta(k)
		if treatment <= 0 || treatment >= 1 {
			t.Skip("no such rate")
		}
		mc, mb := rapid.Uint64Range(1, 6).Draw(t, "mc"), rapid.Uint64Range(1, 6).Draw(t, "mb")
		above, below := 0.0, 0.0
		for x := range mc + 1 {
			for y := range mb + 1 {
				next := s
				next.Add(Counts{x, mc, y, mb})
				chance := binomial(x, mc, treatment) * binomial(y, mb, control)
				above += chance * math.Exp(next.above[k]-s.above[k])
				below += chance * math.Exp(next.below[k]-s.below[k])
			}
		}
		if above > 1+1e-9 || below > 1+1e-9 {
			t.Fatalf("difference %v: expected factors %v above, %v below", s.delta(k), above, below)
		}
	})
}

// Property: with the arms exchanged everything is the opposite.
func TestDifferenceSequenceIsSymmetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, swapped := NewDifferenceSequence(0.2), NewDifferenceSequence(0.2)
		for _, c := range rapid.SliceOfN(rapid.Custom(drawCounts), 1, 6).Draw(t, "rows") {
			s.Add(c)
			swapped.Add(Counts{X: c.Y, Mc: c.Mb, Y: c.X, Mb: c.Mc})
		}
		for k := range s.above {
			if other := swapped.below[differencePoints-1-k]; math.Abs(s.above[k]-other) > 1e-9*max(1, math.Abs(other)) {
				t.Fatalf("difference %v: above %v, with the arms exchanged below %v", s.delta(k), s.above[k], other)
			}
		}
		low, high, estimate := s.Interval(0.05)
		if !(low <= high && low >= -1 && high <= 1 && math.Abs(estimate) <= 1) {
			t.Fatalf("interval %v to %v, estimate %v", low, high, estimate)
		}
	})
}

// The sequence covers the true difference at all times, through a ramp, and closes in on it.
func TestDifferenceSequenceCovers(t *testing.T) {
	const runs, alpha = 120, 0.05
	missed, width := 0, 0.0
	for seed := range uint64(runs) {
		r, s := rand.New(rand.NewPCG(seed, 41)), NewDifferenceSequence(0.1)
		out := false
		for i := range 60 {
			p := 0.02 + 0.0005*float64(i)
			s.Add(rates(func(int) (float64, float64) { return p + 0.01, p }).draw(r, i, 1000, ramp(i*100/60)))
			low, high, _ := s.Interval(alpha)
			out = out || low > 0.01 || high < 0.01
		}
		missed += one(out)
		low, high, _ := s.Interval(alpha)
		width += (high - low) / runs
	}
	if limit := runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha)); float64(missed) > limit {
		t.Errorf("%d of %d sequences left the truth, at most %.0f may", missed, runs, limit)
	}
	if width > 0.045 {
		t.Errorf("the sequence is %v wide on average", width)
	}
}

// Property: at its mean, each grid point's capital is a martingale of the next observation, for a
// mixture of values with exactly that mean.
func TestBoundedMeanIsAMartingale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m BoundedMean
		for _, x := range rapid.SliceOfN(rapid.Float64Range(-0.1, 1.1), 0, 30).Draw(t, "history") {
			m.Add(x)
		}
		k := rapid.IntRange(0, bettingPoints-1).Draw(t, "k")
		mean := bettingMean(k)
		low, high := rapid.Float64Range(0, mean).Draw(t, "low"), rapid.Float64Range(mean, 1).Draw(t, "high")
		if low == high {
			t.Skip("one value")
		}
		chance := (mean - low) / (high - low)
		above, below := 0.0, 0.0
		for x, p := range map[float64]float64{low: 1 - chance, high: chance} {
			next := m
			next.Add(x)
			above += p * math.Exp(next.above[k]-m.above[k])
			below += p * math.Exp(next.below[k]-m.below[k])
		}
		if math.Abs(above-1) > 1e-9 || math.Abs(below-1) > 1e-9 {
			t.Fatalf("mean %v: expected factors %v above, %v below", mean, above, below)
		}
	})
}

// The capital of one mean is what the formulas of the paper give, written down once more.
func TestBoundedMeanIsTheHedgedCapital(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 42))
	var m BoundedMean
	const k = 29 // mean 0.3
	plus, minus, sum, squares := 1.0, 1.0, 0.0, 0.0
	for i := 1; i <= 200; i++ {
		x := math.Pow(r.Float64(), 2)
		variance := (0.25 + squares) / float64(i)
		lambda := math.Sqrt(2 * math.Log(2/0.05) / (variance * float64(i) * math.Log(float64(i)+1)))
		plus *= 1 + min(lambda, 0.5/0.3)*(x-0.3)
		minus *= 1 - min(lambda, 0.5/0.7)*(x-0.3)
		sum += x
		centre := (0.5 + sum) / float64(i+1)
		squares += (x - centre) * (x - centre)
		m.Add(x)
	}
	near(t, "above", m.above[k], math.Log(plus), 1e-9)
	near(t, "below", m.below[k], math.Log(minus), 1e-9)
}

func TestBoundedMeanCovers(t *testing.T) {
	const runs, alpha = 300, 0.05
	missed, width := 0, 0.0
	for seed := range uint64(runs) {
		r, m, out := rand.New(rand.NewPCG(seed, 43)), BoundedMean{}, false
		for range 300 {
			m.Add(math.Pow(r.Float64(), 3)) // mean ¼
			low, high, _ := m.Interval(alpha)
			out = out || low > 0.25 || high < 0.25
		}
		missed += one(out)
		low, high, _ := m.Interval(alpha)
		width += (high - low) / runs
	}
	if limit := runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha)); float64(missed) > limit {
		t.Errorf("%d of %d sequences left the truth, at most %.0f may", missed, runs, limit)
	}
	if width > 0.15 {
		t.Errorf("the sequence is %v wide on average", width)
	}
}

// The vectors of section 2 (d2).
func TestBandVectors(t *testing.T) {
	for n, want := range map[uint64]float64{1_000: 0.0865691, 10_000: 0.0277107, 100_000: 0.0088463, 0: 1} {
		near(t, "half width", BandHalfWidth(n, 0.05), want, 6e-8)
	}
}

func TestSequencesReturnFromJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, m, f, b := NewDifferenceSequence(0.2), BoundedMean{}, NewFlow(0.05), NewBackstop(0.01)
		p, e, l := NewProportion(0.01), NewConstantSplit(0.05), NewLateHarmRate(1.5)
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			c := drawAny(t)
			d.Add(c)
			f.Add(c.Mc, c.Mb, 0.3)
			b.Add(c.X, c.Mc)
			p.Add(c.X, c.Mc)
			e.Add(c.X, c.Y)
			l.Add(c)
			m.Add(rapid.Float64().Draw(t, "x"))
		}
		var d2 DifferenceSequence
		var m2 BoundedMean
		var f2 Flow
		var b2 Backstop
		var p2 Proportion
		var e2 ConstantSplit
		var l2 LateRate
		again(t, d, &d2)
		again(t, m, &m2)
		again(t, f, &f2)
		again(t, b, &b2)
		again(t, p, &p2)
		again(t, e, &e2)
		again(t, l, &l2)
		if d != d2 || m != m2 || f != f2 || b != b2 || p != p2 || e != e2 || l != l2 {
			t.Fatal("JSON lost bits")
		}
	})
}
