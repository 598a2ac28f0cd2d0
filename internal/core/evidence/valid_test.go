package evidence

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// kinds are the e-processes with the rates at the border of their null hypothesis.
var kinds = []struct {
	name string
	// start gives the process; treatment the rate that belongs to the control's rate p.
	start     func(margin float64) process
	margin    func(t *rapid.T) float64
	treatment func(p, margin float64) float64
}{
	{"harm rate", func(m float64) process { e := NewHarmRate(m); return &e }, drawRatio, func(p, m float64) float64 { return p * m }},
	{"any harm", func(float64) process { e := NewAnyHarm(); return &e }, func(*rapid.T) float64 { return 1 }, func(p, _ float64) float64 { return p }},
	{"late harm rate", func(m float64) process { e := NewLateHarmRate(m); return &e }, drawRatio, func(p, m float64) float64 { return p * m }},
	{"no-worse rate", func(m float64) process { e := NewNoWorseRate(m); return &e }, drawRatio, func(p, m float64) float64 { return p * m }},
	{"harm difference", func(m float64) process { e := NewHarmDifference(m); return &e }, drawDelta, func(p, m float64) float64 { return p + m }},
	{"no-worse difference", func(m float64) process { e := NewNoWorseDifference(m); return &e }, drawDelta, func(p, m float64) float64 { return p + m }},
	{"recent harm", func(m float64) process { e := NewRecentHarm(m); return &e }, drawDelta, func(p, m float64) float64 { return p + m }},
	{"recent no worse", func(m float64) process { e := NewRecentNoWorse(m); return &e }, drawDelta, func(p, m float64) float64 { return p + m }},
}

func drawRatio(t *rapid.T) float64 {
	return rapid.SampledFrom([]float64{1, 1.2, 1.5, 3}).Draw(t, "ratio")
}
func drawDelta(t *rapid.T) float64 {
	return rapid.SampledFrom([]float64{0, 0.001, 0.02, 0.2}).Draw(t, "delta")
}

func drawCounts(t *rapid.T) Counts {
	mc, mb := rapid.Uint64Range(1, 40).Draw(t, "mc"), rapid.Uint64Range(1, 40).Draw(t, "mb")
	return Counts{X: rapid.Uint64Range(0, mc).Draw(t, "x"), Mc: mc, Y: rapid.Uint64Range(0, mb).Draw(t, "y"), Mb: mb}
}

// Property, and the heart of the package: whatever happened before, and whatever the base rate,
// the expected factor of the next interval is at most 1 at the border of the null hypothesis.
// It is computed in full, over every outcome of the interval.
func TestEveryProcessIsASupermartingale(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				margin := kind.margin(t)
				control := rapid.Float64Range(0.0001, 0.6).Draw(t, "rate")
				treatment := kind.treatment(control, margin)
				if treatment >= 1 {
					t.Skip("no such rate")
				}
				history := rapid.SliceOfN(rapid.Custom(drawCounts), 0, 6).Draw(t, "history")
				mc, mb := rapid.Uint64Range(1, 8).Draw(t, "next mc"), rapid.Uint64Range(1, 8).Draw(t, "next mb")
				after := func(last Counts) float64 {
					e := kind.start(margin)
					for _, c := range history {
						e.Add(c)
					}
					before := e.LogE()
					e.Add(last)
					return math.Exp(e.LogE() - before)
				}
				mean := 0.0
				for x := range mc + 1 {
					for y := range mb + 1 {
						mean += binomial(x, mc, treatment) * binomial(y, mb, control) * after(Counts{x, mc, y, mb})
					}
				}
				if mean > 1+1e-9 {
					t.Fatalf("rates %v and %v: the expected factor is %v", treatment, control, mean)
				}
			})
		})
	}
}

func binomial(k, n uint64, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// Property: the same for the sample ratio, where the factor's mean is 1 exactly.
func TestSampleRatioIsAMartingale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Float64Range(0.01, 0.99).Draw(t, "share")
		var s SampleRatio
		for range rapid.IntRange(0, 5).Draw(t, "history") {
			s.Add(rapid.Uint64Range(0, 50).Draw(t, "a"), rapid.Uint64Range(0, 50).Draw(t, "b"), rapid.Float64Range(0.01, 0.99).Draw(t, "then"))
		}
		n, mean := rapid.Uint64Range(1, 30).Draw(t, "n"), 0.0
		for x := range n + 1 {
			next := s
			next.Add(x, n-x, share)
			mean += binomial(x, n, share) * math.Exp(next.LogE()-s.LogE())
		}
		if math.Abs(mean-1) > 1e-9 {
			t.Fatalf("the expected factor is %v", mean)
		}
	})
}

// rates are a life of the two arms: the failing share of both in interval i.
type rates func(i int) (treatment, control float64)

// draw gives counts under the rates, with a share of n exposures in the treatment.
func (p rates) draw(r *rand.Rand, i int, n uint64, share float64) Counts {
	t, c := p(i)
	mc := uint64(share * float64(n))
	return Counts{X: draws(r, mc, t), Mc: mc, Y: draws(r, n-mc, c), Mb: n - mc}
}

func draws(r *rand.Rand, n uint64, p float64) (k uint64) {
	for i := -1.0; ; k++ { // skip from event to event
		if i += 1 + math.Floor(math.Log(1-r.Float64())/math.Log1p(-p)); i >= float64(n) {
			return k
		}
	}
}

func same(p float64) rates { return func(int) (float64, float64) { return p, p } }

// hit is an incident of both arms in intervals 20 to 29.
func hit(i int) (float64, float64) {
	if i >= 20 && i < 30 {
		return 0.3, 0.3
	}
	return 0.005, 0.005
}

func drift(i int) (float64, float64) { p := 0.003 + 0.0002*float64(i); return p, p }

func ramp(i int) float64 { return []float64{0.05, 0.1, 0.25, 0.5}[i*4/100] }

func half(int) float64 { return 0.5 }

// Simulated A/A: a harmless treatment is alarmed at most alpha of the time, looked at in every
// interval, through ramps, drifts and incidents.
func TestFalseAlarmsStayBelowAlpha(t *testing.T) {
	const runs, alpha = 150, 0.05
	for _, life := range []struct {
		name  string
		rates rates
		share func(int) float64
	}{
		{"half", same(0.005), half}, {"ramp", same(0.005), ramp}, {"common events", same(0.3), half},
		{"drift on a ramp", drift, ramp}, {"incident", hit, half}, {"incident on a ramp", hit, ramp},
	} {
		t.Run(life.name, func(t *testing.T) {
			t.Parallel()
			var harm, any, sample int
			for seed := range uint64(runs) {
				r := rand.New(rand.NewPCG(seed, 3))
				g := NewGuard(0.2, 0.001)
				var s SampleRatio
				var top, topHarm, topAny float64
				for i := range 100 {
					g.Add(life.rates.draw(r, i, 1_000, life.share(i)))
					topHarm, topAny = max(topHarm, g.LogHarm()), max(topAny, g.LogAnyHarm())
					x := draws(r, 200, life.share(i))
					s.Add(x, 200-x, life.share(i))
					top = max(top, s.LogE())
				}
				harm += one(topHarm >= math.Log(1/alpha))
				any += one(topAny >= math.Log(1/alpha))
				sample += one(top >= math.Log(1/alpha))
			}
			limit := runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha))
			for what, n := range map[string]int{"harm": harm, "any harm": any, "sample ratio": sample} {
				if float64(n) > limit {
					t.Errorf("%s: %d of %d runs alarmed, at most %.0f may", what, n, runs, limit)
				}
			}
		})
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Harm beyond tolerance is called safe at most alpha of the time.
func TestFalseProofsStayBelowAlpha(t *testing.T) {
	const runs, alpha = 150, 0.05
	wrong := 0
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 4))
		g, top := NewGuard(0.2, 0.001), 0.0
		for i := range 100 {
			p := rates(func(i int) (float64, float64) { _, c := hit(i); return max(1.2*c, c+0.001) + 1e-4, c })
			g.Add(p.draw(r, i, 1_000, 0.5))
			top = max(top, g.LogNoWorse())
		}
		wrong += one(top >= math.Log(1/alpha))
	}
	if limit := runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha)); float64(wrong) > limit {
		t.Errorf("%d of %d runs were called safe, at most %.0f may", wrong, runs, limit)
	}
}

// Power: what is there to be found is found, within the intervals that an operator waits. Each
// row has 1,000 exposures an interval and half of them in the treatment.
func TestGuardDecidesInTime(t *testing.T) {
	after := func(i int) (float64, float64) { // an incident first, a real harm when it is over
		if i >= 30 {
			return 0.05, 0.005
		}
		return hit(i)
	}
	noWorse := func(g *Guard) float64 { return g.LogNoWorse() }
	harm := func(g *Guard) float64 { return g.LogHarm() }
	for _, test := range []struct {
		name     string
		rates    rates
		relative float64
		absolute float64
		evidence func(*Guard) float64
		from, by int // decided in most runs not before, and by, this interval
	}{
		{"harm, tenfold", func(int) (float64, float64) { return 0.05, 0.005 }, 0.2, 0.001, harm, 1, 3},
		{"harm, double", func(int) (float64, float64) { return 0.01, 0.005 }, 0.2, 0.001, harm, 5, 60},
		{"safe, wide tolerance", same(0.005), 0.5, 0.02, noWorse, 1, 8},
		{"safe, in spite of an incident", hit, 0.5, 0.02, noWorse, 1, 8},
		{"harm after an incident", after, 0.5, 0.01, harm, 31, 36},
		{"harm after long health", func(i int) (float64, float64) { return map[bool]float64{true: 0.02, false: 0.005}[i >= 80], 0.005 }, 0.5, 0.001, harm, 81, 105},
	} {
		t.Run(test.name, func(t *testing.T) {
			var at []int
			for seed := range uint64(40) {
				r := rand.New(rand.NewPCG(seed, 5))
				g := NewGuard(test.relative, test.absolute)
				i := 0
				for ; i < 140 && test.evidence(&g) < math.Log(100); i++ {
					g.Add(test.rates.draw(r, i, 1_000, 0.5))
				}
				at = append(at, i)
			}
			late, early := 0, 0
			for _, i := range at {
				late += one(i > test.by)
				early += one(i < test.from)
			}
			if late > 4 || early > 4 {
				t.Errorf("decided at %v, want from %d to %d", at, test.from, test.by)
			}
		})
	}
}

// The finer prior of AnyHarm finds a ratio of 1.4 sooner than RelativeRate does on the same draws
// (by a tenth: reference, section 2 (a1)), and greater ones no later, unless they are beyond its
// grid and events are few. Compared are the intervals that all runs together need.
func TestAnyHarmFindsSmallHarmSooner(t *testing.T) {
	const runs, most = 150, 240
	for _, c := range []struct {
		n                    uint64 // exposures of an interval
		share, ratio, atMost float64
	}{
		{6_000, 0.05, 1.4, 0.94}, {6_000, 0.05, 2, 0.94}, {6_000, 0.05, 4, 1}, {6_000, 0.05, 10, 1},
		{6_000, 0.5, 1.4, 0.94}, {6_000, 0.5, 2, 0.94}, {6_000, 0.5, 4, 1}, {6_000, 0.5, 10, 1},
		{600, 0.05, 10, 1.12},
	} {
		var fine, coarse int
		for seed := range uint64(runs) {
			a, r := NewAnyHarm(), NewHarmRate(1)
			fine += needed(seed, c.n, c.share, c.ratio, most, &a)
			coarse += needed(seed, c.n, c.share, c.ratio, most, &r)
		}
		part := float64(fine) / float64(coarse)
		t.Logf("%d at a share of %v, ratio %v: %.2f intervals instead of %.2f (%.3f)", c.n, c.share, c.ratio, float64(fine)/runs, float64(coarse)/runs, part)
		if part > c.atMost {
			t.Errorf("%d at a share of %v, ratio %v: %.3f of the intervals of RelativeRate, at most %v is meant", c.n, c.share, c.ratio, part, c.atMost)
		}
	}
}

// needed is the interval in which e alarms at level 0.05 under draws that the seed fixes.
func needed(seed, n uint64, share, ratio float64, most int, e process) int {
	r := rand.New(rand.NewPCG(seed, 7))
	life := rates(func(int) (float64, float64) { return 0.005 * ratio, 0.005 })
	for i := range most {
		if e.Add(life.draw(r, i, n, share)); e.LogE() >= math.Log(1/0.05) {
			return i + 1
		}
	}
	return most
}

// After an incident the evidence for a harmless treatment is back soon, not only when the
// estimates of all earlier intervals have been diluted: that is what Recent is for.
func TestRecentRecoversFromAnIncident(t *testing.T) {
	grown := func(log func(*Guard) float64) (sum float64) {
		for seed := range uint64(40) {
			r := rand.New(rand.NewPCG(seed, 6))
			g := NewGuard(0, 0.02)
			for i := range 32 {
				g.Add(rates(hit).draw(r, i, 1_000, 0.5))
			}
			before := log(&g)
			for range 10 {
				g.Add(same(0.005).draw(r, 0, 1_000, 0.5))
			}
			sum += log(&g) - before
		}
		return sum / 40
	}
	all := grown(func(g *Guard) float64 { return g.NoWorseDifference.LogE() })
	recent := grown(func(g *Guard) float64 { return g.NoWorseRecent.LogE() })
	if recent < 20 || recent < 3*all {
		t.Errorf("in ten intervals after the incident Recent gained %.1f, Difference %.1f", recent, all)
	}
}

func ExampleGuard() {
	g := NewGuard(0.2, 0.001) // at most 1.2 times the control's errors, or 0.1 points more
	g.Add(Counts{X: 6, Mc: 300, Y: 30, Mb: 5700})
	g.Add(Counts{X: 9, Mc: 300, Y: 25, Mb: 5700})
	fmt.Printf("harm at level 0.01: %v\n", g.LogHarm() >= math.Log(1/0.01))
	g.Add(Counts{X: 20, Mc: 600, Y: 29, Mb: 5400})
	fmt.Printf("harm at level 0.01: %v\n", g.LogHarm() >= math.Log(1/0.01))
	// Output:
	// harm at level 0.01: true
	// harm at level 0.01: true
}

func ExampleSplit() {
	// Latency above three bounds: the exposures are the same, so their part of the work is done once.
	bounds := []Guard{NewGuard(0.2, 0.005), NewGuard(0.2, 0.005), NewGuard(0.2, 0.005)}
	slow := [][2]uint64{{300, 2400}, {90, 320}, {40, 90}} // treatment, control
	logs := make([]float64, len(bounds))
	for range 3 { // intervals
		split := NewSplit(0.2, 500, 4500)
		for i := range bounds {
			bounds[i].AddSplit(&split, slow[i][0], slow[i][1])
			logs[i] = bounds[i].LogHarm()
		}
	}
	fmt.Printf("harm at some bound, at level 0.01: %v\n", MeanLogE(logs...) >= math.Log(1/0.01))
	fmt.Println("blamed:", Blame(logs, 0.01))
	// Output:
	// harm at some bound, at level 0.01: true
	// blamed: [1 2]
}

// A share of errors against a limit of 1 %, with an incident that ends.
func ExampleBackstop() {
	b := NewBackstop(0.01)
	for _, bad := range []uint64{4, 7, 60, 55, 3, 5, 2} { // of 1,000 each
		b.Add(bad, 1000)
		fmt.Print(b.Breached(0.01), " ")
	}
	// Output: false false true true false false false
}
