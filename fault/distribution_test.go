package fault

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestC1EveryDistributionKeepsToItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Fault{Kind: KindLatency, Distribution: anyDistribution(t)}
		longest := Caps{MaxLatency: anyDuration(t, "cap")}.normalized().MaxLatency
		for _, draw := range []uint64{0, 1, math.MaxUint64, rapid.Uint64().Draw(t, "draw")} {
			if got := f.delay(draw, longest); got < 0 || got > longest {
				t.Fatalf("%+v gives %v", f.Distribution, got)
			}
		}
	})
}

// The oracle are the quantiles that the distributions are named by, and for the normal one those of
// tables: 0.8413 at one standard deviation, 0.97725 at two.
func TestDistributionsHaveTheirQuantiles(t *testing.T) {
	const ms = time.Millisecond
	cases := []struct {
		name string
		d    Distribution
		want map[float64]time.Duration
	}{
		{"normal", Distribution{Kind: Normal, Mean: 200 * ms, StdDev: 50 * ms}, map[float64]time.Duration{0.15866: 150 * ms, 0.5: 200 * ms, 0.84134: 250 * ms, 0.97725: 300 * ms}},
		{"normal below 0", Distribution{Kind: Normal, Mean: 10 * ms, StdDev: 100 * ms}, map[float64]time.Duration{0.2: 0, 0.84134: 110 * ms}},
		{"lognormal", Distribution{Kind: LogNormal, P50: 300 * ms, P99: 2 * time.Second}, map[float64]time.Duration{0.5: 300 * ms, 0.99: 2 * time.Second, 0.01: 45 * ms}},
		{"quantiles", Distribution{Kind: Quantiles, Points: []Quantile{{0.1, 10 * ms}, {0.5, 100 * ms}, {0.9, 1000 * ms}}},
			map[float64]time.Duration{0.05: 10 * ms, 0.1: 10 * ms, 0.3: 55 * ms, 0.5: 100 * ms, 0.7: 550 * ms, 0.95: 1000 * ms}},
		{"constant", Distribution{Kind: LogNormal, P50: 300 * ms, P99: 300 * ms}, map[float64]time.Duration{0.001: 300 * ms, 0.999: 300 * ms}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			const draws = 100_000
			f := Fault{Kind: KindLatency, Distribution: &c.d}
			got := make([]time.Duration, draws)
			for i := range got {
				got[i] = f.delay(mix(uint64(i)), MaxLatency)
			}
			slices.Sort(got)
			for q, want := range c.want {
				// 4 standard deviations of the rank, and 1 µs for rounding.
				off := 4 * math.Sqrt(draws*q*(1-q))
				low, high := got[max(0, int(draws*q-off))], got[min(draws-1, int(draws*q+off)+1)]
				if want < low-time.Microsecond || want > high+time.Microsecond {
					t.Errorf("quantile %v is in %v … %v, want %v", q, low, high, want)
				}
			}
		})
	}
	cut := Fault{Distribution: &Distribution{Kind: Normal, Mean: time.Second, StdDev: time.Second}}
	for i := range uint64(1000) {
		if got := cut.delay(mix(i), 900*ms); got > 900*ms {
			t.Fatalf("%v, longer than the cap", got)
		}
	}
}

// Pearson's test of goodness of fit; the bound is its 99.99 % quantile for 8 degrees of freedom, 31.83.
func TestC4WeightsByChiSquare(t *testing.T) {
	weights := []int{1, 2, 3, 5, 8, 13, 21, 34, 55}
	program := &Program{Rate: 1}
	total := 0
	for i, w := range weights {
		program.Faults = append(program.Faults, Fault{Kind: kinds[i], Weight: w})
		total += w
	}
	caps, counts := open().normalized(), map[Kind]int{}
	const draws = 100_000
	for i := range uint64(draws) {
		counts[program.decide("stock", Assignment{Experiment: "storm", Unit: "u", Call: i}, &caps).fault.Kind]++
	}
	chi := 0.0
	for i, w := range weights {
		want := draws * float64(w) / float64(total)
		chi += math.Pow(float64(counts[kinds[i]])-want, 2) / want
	}
	if chi > 31.83 {
		t.Errorf("chi-square %.1f: %v", chi, counts)
	}
}

func TestC5RatesAreCheckedAndClamped(t *testing.T) {
	caps := Caps{}.normalized()
	for _, c := range []struct {
		rate, want float64
		valid      bool
	}{{math.NaN(), 0, false}, {5, 1, false}, {-1, 0, false}, {math.Inf(1), 1, false}, {math.Inf(-1), 0, false}, {0, 0, true}, {1, 1, true}} {
		p := &Program{Point: "stock", Rate: c.rate, Faults: []Fault{{Kind: KindError}}}
		if err := p.Validate(); (err == nil) != c.valid {
			t.Errorf("rate %v: %v", c.rate, err)
		}
		hit := 0
		for i := range uint64(1000) {
			if p.decide("stock", Assignment{Call: i}, &caps).fault != nil {
				hit++
			}
		}
		if float64(hit) != 1000*c.want {
			t.Errorf("rate %v hits %d of 1000", c.rate, hit)
		}
	}
	for _, rate := range []float64{math.NaN(), -1, 0, 5} {
		if got := (Caps{MaxRate: rate}).normalized().MaxRate; got != 1 {
			t.Errorf("a cap of %v counts as %v", rate, got)
		}
	}
}
