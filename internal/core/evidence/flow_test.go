package evidence

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// Property: given how many units came, the expected factor of an interval is 1 at the margin and
// at most 1 within the hypothesis, over every outcome and for any history.
func TestFlowIsAMartingale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewFlow(rapid.SampledFrom([]float64{0, 0.05, 0.3}).Draw(t, "tolerance"))
		for range rapid.IntRange(0, 5).Draw(t, "history") {
			f.Add(rapid.Uint64Range(0, 60).Draw(t, "t"), rapid.Uint64Range(0, 60).Draw(t, "c"), rapid.Float64Range(0.01, 0.99).Draw(t, "then"))
		}
		share, kept := rapid.Float64Range(0.01, 0.99).Draw(t, "share"), 1-f.Tolerance
		more := rapid.Float64Range(1, 1.5).Draw(t, "more") // how far within the hypothesis
		n := rapid.Uint64Range(1, 30).Draw(t, "n")
		expect := func(phi float64, log func(*Flow) float64) (mean float64) {
			label := share * phi / (1 - share + share*phi)
			for x := range n + 1 {
				next := f
				next.Add(x, n-x, share)
				mean += binomial(x, n, label) * math.Exp(log(&next)-log(&f))
			}
			return mean
		}
		for _, test := range []struct {
			name       string
			at, within float64
			log        func(*Flow) float64
		}{
			{"harm", kept, kept * more, (*Flow).LogHarm}, {"no worse", kept, kept / more, (*Flow).LogNoWorse}, {"any harm", 1, more, (*Flow).LogAnyHarm},
		} {
			if at := expect(test.at, test.log); math.Abs(at-1) > 1e-9 {
				t.Fatalf("%s: the expected factor at the margin is %v", test.name, at)
			}
			if within := expect(test.within, test.log); within > 1+1e-9 {
				t.Fatalf("%s: the expected factor within the hypothesis is %v", test.name, within)
			}
		}
	})
}

// Simulated false alarms at the margin, and how soon a loss is found.
func TestFlowDecides(t *testing.T) {
	const runs, intervals = 200, 100
	harm, noWorse, any := (*Flow).LogHarm, (*Flow).LogNoWorse, (*Flow).LogAnyHarm
	for _, test := range []struct {
		name  string
		keeps float64
		share func(int) float64
		log   func(*Flow) float64
		most  float64 // part of the runs that may decide at level 0.05, with 3 standard errors
		by    int     // or: the interval by which nine tenths decide at level 0.01
	}{
		{"nothing lost", 1, half, any, 0.05, 0},
		{"nothing lost on a ramp", 1, ramp, any, 0.05, 0},
		{"as much lost as tolerated", 0.95, half, harm, 0.05, 0},
		{"as much lost as tolerated on a ramp", 0.95, ramp, harm, 0.05, 0},
		{"as much lost as tolerated, safe", 0.95, ramp, noWorse, 0.05, 0},
		{"a fifth lost", 0.8, half, harm, 0, 60},
		{"half lost", 0.5, half, harm, 0, 8},
		{"half lost, at a twentieth", 0.5, func(int) float64 { return 0.05 }, harm, 0, 28},
		{"silent", 0, func(int) float64 { return 0.05 }, harm, 0, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			decided, late := 0, 0
			for seed := range uint64(runs) {
				r, f, top, at := rand.New(rand.NewPCG(seed, 21)), NewFlow(0.05), 0.0, intervals+1
				for i := range intervals {
					share := test.share(i)
					label := share * test.keeps / (1 - share + share*test.keeps)
					n := uint64(160 + 80*r.Float64()) // traffic comes and goes
					x := uint64(0)
					if label > 0 {
						x = draws(r, n, label)
					}
					f.Add(x, n-x, share)
					top = max(top, test.log(&f))
					if top >= math.Log(100) {
						at = min(at, i+1)
					}
				}
				decided += one(top >= math.Log(1/0.05))
				late += one(at > test.by)
			}
			if limit := runs*test.most + 3*math.Sqrt(runs*test.most*(1-test.most)); test.by == 0 && float64(decided) > limit {
				t.Errorf("%d of %d runs decided, at most %.0f may", decided, runs, limit)
			}
			if test.by > 0 && late > runs/10 {
				t.Errorf("%d of %d runs had not decided by interval %d", late, runs, test.by)
			}
		})
	}
}

// That nothing is lost is proven in the end: with tens of thousands of units at a tolerance of 5 %.
func TestFlowProvesThatNothingIsLost(t *testing.T) {
	late := 0
	for seed := range uint64(20) {
		r, f, at := rand.New(rand.NewPCG(seed, 22)), NewFlow(0.05), 0
		for ; at < 100 && f.LogNoWorse() < math.Log(20); at++ {
			x := draws(r, 1000, 0.5)
			f.Add(x, 1000-x, 0.5)
		}
		late += one(at > 70)
	}
	if late > 2 {
		t.Errorf("%d of 20 runs had not decided by interval 70", late)
	}
}

func TestFlowIgnoresWhatSaysNothing(t *testing.T) {
	var zero Flow
	zero.Add(5, 100, 0.5)
	if zero != (Flow{}) || zero.LogHarm() != 0 {
		t.Errorf("the zero flow weighed an interval: %+v", zero)
	}
	f := NewFlow(math.NaN())
	for _, share := range []float64{0, 1, -3, math.NaN(), math.Inf(1)} {
		f.Add(5, 100, share)
	}
	f.Add(0, 0, 0.5)
	if f != NewFlow(DefaultFlowTolerance) {
		t.Errorf("weighed an impossible share or an empty interval: %+v", f)
	}
	f.Add(math.MaxUint64, math.MaxUint64, 0.01)
	f.Add(0, math.MaxUint64, 0.99)
	for _, v := range []float64{f.LogHarm(), f.LogNoWorse(), f.LogAnyHarm()} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%v in %+v", v, f)
		}
	}
}
