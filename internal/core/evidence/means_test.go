package evidence

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// source draws one value of an arm.
type source func(r *rand.Rand) float64

func normalOf(mean, deviation float64) source {
	return func(r *rand.Rand) float64 { return mean + deviation*r.NormFloat64() }
}

func exponentialOf(mean float64) source {
	return func(r *rand.Rand) float64 { return mean * r.ExpFloat64() }
}

// purchases are 0 for most and lognormal for some: a basket value per visit.
func purchases(scale float64) source {
	return func(r *rand.Rand) float64 {
		if r.Float64() > 0.2 {
			return 0
		}
		return scale * math.Exp(0.8*r.NormFloat64())
	}
}

func lognormalOf(scale float64) source {
	return func(r *rand.Rand) float64 { return scale * math.Exp(0.8*r.NormFloat64()) }
}

// rare are values that most pieces of work do not have: they are lognormal for one in a hundred.
func rare(r *rand.Rand) float64 {
	if r.Float64() > 0.01 {
		return 0
	}
	return math.Exp(0.8 * r.NormFloat64())
}

// heavy has a variance, but hardly: a Pareto distribution of index 2.1.
func heavy(r *rand.Rand) float64 { return math.Pow(1-r.Float64(), -1/2.1) }

func negated(s source) source { return func(r *rand.Rand) float64 { return -s(r) } }

func moments(r *rand.Rand, n int, s source, factor float64) (m Moments) {
	for range n {
		x := factor * s(r)
		m.N++
		m.Sum += x
		m.SumSquares += x * x
	}
	return m
}

func twentieth(int) float64 { return 0.05 }

// Simulated false alarms of Means, at the border of each hypothesis and looked at in every
// interval, in the regimes that it promises: light and heavy tails, rare values, arms that vary
// differently, equal arms and a small treatment, ramps with drift.
func TestMeansFalseAlarmsStayBelowAlpha(t *testing.T) {
	const alpha, intervals, per = 0.05, 60, 200
	runs := 300
	if testing.Short() {
		runs = 100
	}
	drifting := func(i int) float64 { return 1 + float64(i)/30 }
	steady := func(int) float64 { return 1 }
	for _, life := range []struct {
		name   string
		source source
		share  func(int) float64
		drift  func(int) float64
		other  source // of the treatment, if it is another one of the same mean
	}{
		{"normal, half", normalOf(10, 3), half, steady, nil},
		{"normal about 0, half", normalOf(0, 1), half, steady, nil},
		{"exponential, half", exponentialOf(5), half, steady, nil},
		{"exponential, 5 %", exponentialOf(5), twentieth, steady, nil},
		{"lognormal, 1 %", lognormalOf(50), func(int) float64 { return 0.01 }, steady, nil},
		{"lognormal, 5 %", lognormalOf(50), twentieth, steady, nil},
		{"lognormal, 5 %, negated", negated(lognormalOf(50)), twentieth, steady, nil},
		{"purchases, half", purchases(30), half, steady, nil},
		{"rare, 5 %", rare, twentieth, steady, nil},
		{"rare, 5 %, negated", negated(rare), twentieth, steady, nil},
		{"heavy, half", heavy, half, steady, nil},
		{"heavy, 5 %, negated", negated(heavy), twentieth, steady, nil},
		{"treatment varies more, 5 %", normalOf(10, 3), twentieth, steady, normalOf(10, 9)},
		{"treatment varies less, half", exponentialOf(5), half, steady, normalOf(5, 1)},
		{"exponential, ramp and drift", exponentialOf(5), func(i int) float64 { return ramp(i * 100 / intervals) }, drifting, nil},
		{"normal, ramp and drift", normalOf(10, 3), func(i int) float64 { return ramp(i * 100 / intervals) }, drifting, nil},
	} {
		t.Run(life.name, func(t *testing.T) {
			t.Parallel()
			other := life.other
			if other == nil {
				other = life.source
			}
			var counts [3]int // any harm, harm beyond 10 %, no worse than 10 %
			for seed := range uint64(runs) {
				r := rand.New(rand.NewPCG(seed, 11))
				a, b := NewMeans(0, 0), NewMeans(0.1, 0)
				var top [3]float64
				for i := range intervals {
					nt := int(per * life.share(i))
					control := moments(r, per-nt, life.source, life.drift(i))
					a.Add(moments(r, nt, other, life.drift(i)), control)
					// 10 % more than the control, or 10 % less where values are negative
					border := 1.1
					if control.Sum < 0 {
						border = 0.9
					}
					b.Add(moments(r, nt, other, border*life.drift(i)), control)
					for k, v := range [3]float64{a.LogAnyHarm(), b.LogHarm(), b.LogNoWorse()} {
						top[k] = max(top[k], v)
					}
				}
				for k, v := range top {
					counts[k] += one(v >= math.Log(1/alpha))
				}
			}
			limit := float64(runs)*alpha + 3*math.Sqrt(float64(runs)*alpha*(1-alpha))
			for k, what := range [3]string{"any harm", "harm at the margin", "no worse at the margin"} {
				if life.name == "normal about 0, half" && k > 0 {
					continue // a relative margin about a mean of 0 says nothing
				}
				t.Logf("%s: %d of %d", what, counts[k], runs)
				if float64(counts[k]) > limit {
					t.Errorf("%s: %d of %d runs, at most %.0f may", what, counts[k], runs, limit)
				}
			}
		})
	}
}

// Property: the state is what the definition gives, computed from the single values of all
// intervals in two passes.
func TestMeansAreTheirDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 12))
		relative := rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "relative")
		absolute := rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "absolute")
		m := NewMeans(relative, absolute)
		var lambda, a, b, w, va, vb float64
		var vas, vbs [2]float64 // of the arm itself, and if both varied alike
		var center [2]float64   // of earlier intervals, decayed
		var weight, sum [2]float64
		learned := [2]int{}
		for range rapid.IntRange(2, 8).Draw(t, "intervals") {
			var values [2][]float64
			var all [2]Moments
			for arm := range values {
				for range rapid.IntRange(1, 60).Draw(t, "n") {
					values[arm] = append(values[arm], 3+2*r.NormFloat64())
				}
				all[arm].N = uint64(len(values[arm]))
				for _, x := range values[arm] {
					all[arm].Sum += x
					all[arm].SumSquares += x * x
				}
				center[arm] = sum[arm] / weight[arm]
			}
			m.Add(all[0], all[1])
			nt, nc := float64(len(values[0])), float64(len(values[1]))
			if lambda > 0 {
				ws := nt * nc / (nt + nc)
				w += ws
				var own [2]float64
				for arm := range values {
					for _, x := range values[arm] {
						own[arm] += (x - center[arm]) * (x - center[arm])
					}
				}
				pooled := (own[0] + own[1]) / (nt + nc)
				a += ws / nt * all[0].Sum
				b += ws / nc * all[1].Sum
				vas[0] += ws / nt * ws / nt * own[0]
				vas[1] += ws / nt * ws / nt * nt * pooled
				vbs[0] += ws / nc * ws / nc * own[1]
				vbs[1] += ws / nc * ws / nc * nc * pooled
				va, vb = max(vas[0], vas[1]), max(vbs[0], vbs[1])
			}
			for arm := range values {
				weight[arm] = 0.875*weight[arm] + float64(all[arm].N)
				sum[arm] = 0.875*sum[arm] + all[arm].Sum
				learned[arm] += len(values[arm])
			}
			if lambda == 0 && min(learned[0], learned[1]) >= MinObservations {
				lambda = m.Lambda
			}
		}
		if lambda == 0 {
			if m.LogHarm() != 0 || m.LogNoWorse() != 0 || m.LogAnyHarm() != 0 {
				t.Fatalf("evidence while learning: %+v", m)
			}
			return
		}
		want := func(side, factor, margin float64) float64 {
			return lnPositiveMixture(side*(a-factor*b-margin*w), va+factor*factor*vb, lambda)
		}
		check := func(what string, got, want float64) {
			if math.Abs(got-want) > 1e-8*max(1, math.Abs(want)) {
				t.Fatalf("%s is %v, by definition %v", what, got, want)
			}
		}
		check("any harm", m.LogAnyHarm(), want(1, 1, 0))
		if relative > 0 && absolute > 0 {
			check("harm", m.LogHarm(), min(want(1, 1.1, 0), want(1, 1, 0.5)))
			check("no worse", m.LogNoWorse(), math.Log((math.Exp(want(-1, 1.1, 0))+math.Exp(want(-1, 1, 0.5)))/2))
		}
		low, high, estimate := m.Interval(0.05)
		if w > 0 {
			check("estimate", estimate, (a-b)/w)
			check("half width", (high-low)/2, math.Sqrt(2*(va+vb+lambda)*(math.Log((va+vb+lambda)/lambda)/2-math.Log(0.05)))/w)
		}
	})
}

// Property: another unit of the value says the same, and the negated values are the opposite.
func TestMeansDoNotDependOnTheUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, unit := rapid.Uint64().Draw(t, "seed"), math.Ldexp(1, rapid.IntRange(-60, 60).Draw(t, "unit"))
		run := func(factor float64) Means {
			r, m := rand.New(rand.NewPCG(seed, 13)), NewMeans(0.1, 0)
			for range 6 {
				m.Add(moments(r, 40, exponentialOf(4), factor*1.3), moments(r, 60, exponentialOf(4), factor))
			}
			return m
		}
		one, other, negative := run(1), run(unit), run(-1)
		if one.LogHarm() != other.LogHarm() || one.LogNoWorse() != other.LogNoWorse() {
			t.Fatalf("in units of %v: harm %v, no worse %v; in units of 1: %v, %v",
				unit, other.LogHarm(), other.LogNoWorse(), one.LogHarm(), one.LogNoWorse())
		}
		low, high, estimate := one.Interval(0.05)
		lowN, highN, estimateN := negative.Interval(0.05)
		if low != -highN || high != -lowN || estimate != -estimateN {
			t.Fatalf("negated: %v to %v, not the opposite of %v to %v", lowN, highN, low, high)
		}
	})
}

// Power: what differs is found, also at a small share and where higher is better.
func TestMeansDecideInTime(t *testing.T) {
	harm := func(m *Means) float64 { return m.LogHarm() }
	noWorse := func(m *Means) float64 { return m.LogNoWorse() }
	for _, test := range []struct {
		name     string
		source   source
		factor   float64
		share    float64
		relative float64
		evidence func(*Means) float64
		by       int // intervals of 1,000 values
	}{
		{"harm, half as much again", exponentialOf(5), 1.5, 0.5, 0.05, harm, 6},
		{"harm, half as much again, 5 %", exponentialOf(5), 1.5, 0.05, 0.05, harm, 14},
		{"harm, a fifth more", purchases(30), 1.2, 0.5, 0.05, harm, 60},
		{"harm, a fifth less where higher is better", negated(purchases(30)), 0.8, 0.5, 0.05, harm, 40},
		{"safe, wide tolerance", exponentialOf(5), 1, 0.5, 0.3, noWorse, 8},
		{"safe where higher is better", negated(exponentialOf(5)), 1, 0.5, 0.3, noWorse, 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			var at []int
			late := 0
			for seed := range uint64(40) {
				r, m, i := rand.New(rand.NewPCG(seed, 14)), NewMeans(test.relative, 0), 0
				for ; i < 100 && test.evidence(&m) < math.Log(100); i++ {
					nt := int(1000 * test.share)
					m.Add(moments(r, nt, test.source, test.factor), moments(r, 1000-nt, test.source, 1))
				}
				at = append(at, i)
				late += one(i > test.by)
			}
			if late > 4 {
				t.Errorf("decided at %v, want by %d", at, test.by)
			}
		})
	}
}

// The confidence sequence covers the true difference at all times.
func TestMeansIntervalCovers(t *testing.T) {
	missed := 0
	const runs, alpha = 300, 0.05
	for seed := range uint64(runs) {
		r, m := rand.New(rand.NewPCG(seed, 15)), NewMeans(0, 0)
		out := false
		for range 50 {
			m.Add(moments(r, 30, exponentialOf(5), 1.2), moments(r, 70, exponentialOf(5), 1))
			low, high, _ := m.Interval(alpha)
			out = out || low > 1 || high < 1
		}
		missed += one(out)
	}
	if limit := runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha)); float64(missed) > limit {
		t.Errorf("%d of %d sequences left the truth, at most %.0f may", missed, runs, limit)
	}
}

// Property: no moments, however extreme or contradictory, break a number.
func TestNoMomentsBreakANumber(t *testing.T) {
	value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-1e3, 1e3), rapid.SampledFrom([]float64{math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, 0}))
	draw := rapid.Custom(func(t *rapid.T) Moments {
		n := rapid.OneOf(rapid.Uint64Range(0, 500), rapid.Uint64()).Draw(t, "n")
		if rapid.Bool().Draw(t, "possible") {
			sum := rapid.Float64Range(-1e3, 1e3).Draw(t, "sum")
			return Moments{n, sum, sum*sum/float64(max(n, 1)) + rapid.Float64Range(0, 1e6).Draw(t, "more")}
		}
		return Moments{n, value.Draw(t, "sum"), value.Draw(t, "squares")}
	})
	rapid.Check(t, func(t *rapid.T) {
		m := NewMeans(value.Draw(t, "relative"), value.Draw(t, "absolute"))
		for range rapid.IntRange(1, 20).Draw(t, "intervals") {
			m.Add(draw.Draw(t, "treatment"), draw.Draw(t, "control"))
		}
		for _, v := range []float64{m.LogHarm(), m.LogNoWorse(), m.LogAnyHarm()} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%v in %+v", v, m)
			}
		}
		if low, high, _ := m.Interval(0.05); !(low <= high) {
			t.Fatalf("interval %v to %v in %+v", low, high, m)
		}
		var back Means
		again(t, m, &back)
		if back != m {
			t.Fatal("JSON lost bits")
		}
	})
}

func ExampleMeans() {
	m := NewMeans(0.1, 0) // at most a tenth slower than the control
	for range 12 {        // intervals; durations in seconds
		m.Add(Moments{N: 100, Sum: 31, SumSquares: 18}, Moments{N: 400, Sum: 80, SumSquares: 32})
	}
	low, high, estimate := m.Interval(0.05)
	fmt.Printf("harm at level 0.01: %v\n", m.LogHarm() >= math.Log(1/0.01))
	fmt.Printf("slower by %.2f s (%.2f to %.2f)\n", estimate, low, high)
	// Output:
	// harm at level 0.01: true
	// slower by 0.11 s (0.08 to 0.14)
}
