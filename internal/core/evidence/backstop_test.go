package evidence

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// Property: whatever happened before, the expected factor of the next interval is at most 1 while
// the limit is kept, over every outcome.
func TestBackstopIsASupermartingale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBackstop(rapid.SampledFrom([]float64{0.001, 0.01, 0.3, 0.9}).Draw(t, "limit"))
		for range rapid.IntRange(0, 6).Draw(t, "history") {
			of := rapid.Uint64Range(0, 200).Draw(t, "of")
			b.Add(rapid.Uint64Range(0, of).Draw(t, "bad"), of)
		}
		p := b.Limit * rapid.SampledFrom([]float64{1, 0.9, 0.1}).Draw(t, "part")
		n, mean := rapid.Uint64Range(1, 40).Draw(t, "n"), 0.0
		for k := range n + 1 {
			next := b
			next.Add(k, n)
			mean += binomial(k, n, p) * math.Exp(next.LogE()-b.LogE())
		}
		if mean > 1+1e-9 {
			t.Fatalf("limit %v, chance %v: the expected factor is %v", b.Limit, p, mean)
		}
	})
}

// A life of the watched share: false alarms are rare, a breach is found soon, also after long
// health, and it heals when it is over.
func TestBackstopFindsABreachAndHeals(t *testing.T) {
	const runs, limit, alpha = 300, 0.01, 0.01
	for _, test := range []struct {
		name             string
		chance           func(i int) float64
		from, by, healed int // breached in most runs by this interval and not before from; 0: never
	}{
		{"at the limit", func(int) float64 { return limit }, 0, 0, 0},
		{"well kept", func(int) float64 { return 0.002 }, 0, 0, 0},
		{"broken from the start", func(int) float64 { return 0.02 }, 1, 5, 0},
		{"an incident and its end", func(i int) float64 { return map[bool]float64{true: 0.1, false: 0.002}[i >= 30 && i < 60] }, 31, 32, 64},
		{"after long health", func(i int) float64 { return map[bool]float64{true: 0.03, false: 0.002}[i >= 300] }, 301, 310, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			alarms, early, late, ill := 0, 0, 0, 0
			for seed := range uint64(runs) {
				r, b, first := rand.New(rand.NewPCG(seed, 31)), NewBackstop(limit), 0
				for i := range 330 {
					b.Add(draws(r, 1000, test.chance(i)), 1000)
					if b.Breached(alpha) && first == 0 {
						first = i + 1
					}
					if i+1 == test.healed && b.Breached(alpha) {
						ill++
					}
				}
				alarms += one(first > 0)
				early += one(first > 0 && first < test.from)
				late += one(first == 0 || first > test.by)
			}
			most := runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha))
			if test.by == 0 && float64(alarms) > most {
				t.Errorf("%d of %d runs alarmed, at most %.0f may", alarms, runs, most)
			}
			if test.by > 0 && (float64(early) > most || late > runs/20 || ill > runs/20) {
				t.Errorf("of %d runs %d alarmed before %d, %d not by %d, %d had not healed", runs, early, test.from, late, test.by, ill)
			}
		})
	}
}

func TestBackstopAtTheEdges(t *testing.T) {
	var zero Backstop
	zero.Add(5, 5)
	if zero != (Backstop{}) || zero.Breached(0.5) || NewBackstop(math.NaN()) != zero {
		t.Errorf("the zero backstop is %+v", zero)
	}
	b := NewBackstop(0.01)
	if b.Add(3, 0); b != NewBackstop(0.01) {
		t.Error("weighed an interval without exposures")
	}
	b.Add(math.MaxUint64, 1000) // more bad ones than there were
	if !b.Breached(0.01) || !b.Breached(1e-9) || b.LogE() > backstopCap+1e-4 {
		t.Errorf("all bad, and ln E is %v", b.LogE())
	}
	b.Add(0, math.MaxUint64)
	if b.Breached(0.5) || math.IsNaN(b.LogE()) || math.IsInf(b.LogE(), 0) {
		t.Errorf("all good, and ln E is %v", b.LogE())
	}
	for _, limit := range []float64{0, 1, -1, 3} {
		b := NewBackstop(limit)
		b.Add(1, 2)
		if v := b.LogE(); math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("limit %v: ln E is %v", limit, v)
		}
	}
}
