package simulation

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// The generator against the probability mass, by chi-square over cells of at least 20 expected
// draws; the bound is at 6 standard deviations of the statistic.
func TestBinomialAgainstItsMass(t *testing.T) {
	const draws = 100_000
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		n uint64
		p float64
	}{
		{1, 0.3}, {10, 0.5}, {300, 0.005}, {300, 0.0333}, {300, 0.034}, {5700, 0.005}, {6000, 0.05}, {6000, 0.5},
		{3000, 0.97}, {40, 0.9}, {100_000, 0.0001}, {1_000_000, 0.4}, {20, 0.5},
	} {
		observed := map[uint64]int{}
		for range draws {
			observed[binomial(r, c.n, c.p)]++
		}
		statistic, cells := chiSquare(observed, c.n, c.p, draws)
		freedom := float64(cells - 1)
		if limit := freedom + 6*math.Sqrt(2*freedom) + 6; statistic > limit || cells < 2 {
			t.Errorf("n %d, p %v: chi-square %.1f over %d cells, want at most %.1f", c.n, c.p, statistic, cells, limit)
		}
	}
}

// chiSquare merges neighbouring values until each cell expects 20 draws.
func chiSquare(observed map[uint64]int, n uint64, p float64, draws int) (statistic float64, cells int) {
	expected, seen := 0.0, 0
	left, leftSeen := float64(draws), draws
	for k := uint64(0); k <= n && left > 20; k++ {
		mass := logGamma(float64(n)+1) - logGamma(float64(k)+1) - logGamma(float64(n-k)+1) +
			float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p)
		expected += float64(draws) * math.Exp(mass)
		seen += observed[k]
		if rest := left - expected; expected >= 20 && rest >= 20 {
			statistic += (float64(seen) - expected) * (float64(seen) - expected) / expected
			left, leftSeen, cells = rest, leftSeen-seen, cells+1
			expected, seen = 0, 0
		} else if rest < 20 {
			break
		}
	}
	return statistic + (float64(leftSeen)-left)*(float64(leftSeen)-left)/left, cells + 1
}

func TestBinomialAtTheEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		for _, got := range []uint64{binomial(r, 0, 0.5), binomial(r, 100, 0), binomial(r, 100, -1), binomial(r, 100, math.NaN()), 100 - binomial(r, 100, 1), 100 - binomial(r, 100, 2)} {
			if got != 0 {
				t.Fatalf("got %d over what it can be", got)
			}
		}
		if got := binomial(r, 5, 1e-300); got != 0 {
			t.Fatalf("drew %d of nothing", got)
		}
	}
}

// Moments and quantiles of the latencies against those of the lognormal distribution, which have
// closed forms, and against the set-up of the reference: mean 68.9 ms, p99 322 ms.
func TestLatenciesAgainstTheDistribution(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const n = 2_000_000
	drawn := healthyLatencies().draw(r, n)
	mean := latencyMedian * math.Exp(latencySigma*latencySigma/2)
	deviation := mean * math.Sqrt(math.Exp(latencySigma*latencySigma)-1)
	if math.Abs(mean-0.0689) > 0.0001 || math.Abs(latencyMedian*math.Exp(latencySigma*normalQuantile(0.99))-0.322) > 0.001 {
		t.Errorf("the set-up has mean %v", mean)
	}
	if got := drawn.sum / n; math.Abs(got-mean) > 4*deviation/math.Sqrt(n)+2e-5 {
		t.Errorf("mean %v, want %v", got, mean)
	}
	if got := math.Sqrt(drawn.squares/n - mean*mean); math.Abs(got/deviation-1) > 0.02 {
		t.Errorf("deviation %v, want %v", got, deviation)
	}
	for k := range buckets - 1 {
		want := normalAbove(logLatency(edge(k)))
		got := float64(drawn.above(k)) / n
		if math.Abs(got-want) > 5*math.Sqrt(want*(1-want)/n)+3e-5 {
			t.Errorf("over %.4f s: %v, want %v", edge(k), got, want)
		}
	}
	for _, q := range watched {
		want := latencyMedian * math.Exp(latencySigma*normalQuantile(q))
		if got := drawn.quantile(q); math.Abs(math.Log(got/want)) > 0.02 {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
}

func TestSumsOfLatencies(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	mean := latencyMedian * math.Exp(latencySigma*latencySigma/2)
	variance := mean * mean * (math.Exp(latencySigma*latencySigma) - 1)
	for _, n := range []uint64{30, 300} {
		const draws = 20_000
		sum, squares := 0.0, 0.0
		for range draws {
			v := sumOf(r, n) - float64(n)*mean
			sum += v
			squares += v * v
		}
		want := float64(n) * variance
		if math.Abs(sum/draws) > 5*math.Sqrt(want/draws) || math.Abs(squares/draws/want-1) > 0.1 {
			t.Errorf("sum of %d: off by %v with variance %v, want 0 and %v", n, sum/draws, squares/draws, want)
		}
	}
}

// A trial sees the same counts above each edge as the rules of the tables do.
func TestHistogramOfTimings(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, n := range []uint64{0, 1, 15, 3000} {
		drawn := slowTail().draw(r, n)
		h := drawn.histogram()
		if h.Count() != n || h.Sum != drawn.sum {
			t.Fatalf("histogram of %d holds %d", n, h.Count())
		}
		if len(h.Counts) > 0 && (h.Counts[0] == 0 || h.Counts[len(h.Counts)-1] == 0) {
			t.Error("the histogram has empty ends")
		}
		for k := range buckets {
			if got := h.Above(outcome.Edge(edge(k))); got != drawn.above(k) {
				t.Errorf("over %v s: %d, want %d", edge(k), got, drawn.above(k))
			}
		}
	}
}

// Counting by user against the definition, kept the plain way.
func TestPopulationCountsEachUserOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	p := newPopulation(r, 0.5)
	rep := &repetition{r: r}
	var first, seen uint64
	for rep.interval = 1; rep.interval <= 20; rep.interval++ {
		spoiltBefore := p.spoilt
		seenBefore := p.seen
		var o observation
		for range requestsMinute {
			p.request(rep, &o)
		}
		if o.counts.Mc+o.counts.Mb != requestsMinute {
			t.Fatalf("%+v are not the requests of a minute", o.counts)
		}
		var want, atRisk [2]uint64
		for u := range users {
			arm := 1
			if p.treated[u] {
				arm = 0
			}
			if p.spoilt[u] && !spoiltBefore[u] {
				want[arm]++
			}
			if int(p.active[u]) == rep.interval {
				atRisk[arm]++
				if spoiltBefore[u] {
					t.Fatal("a user counts as at risk after the first bad event")
				}
			}
			if p.seen[u] && !seenBefore[u] {
				seen++
			}
		}
		first += o.first.X + o.first.Y
		if o.first.X != want[0] || o.first.Y != want[1] || o.first.Mc != atRisk[0] || o.first.Mb != atRisk[1] {
			t.Fatalf("interval %d: %+v, want first events %v of %v", rep.interval, o.first, want, atRisk)
		}
		seen -= o.newUnits[0] + o.newUnits[1]
	}
	if seen != 0 || first < 300 {
		t.Errorf("%d users are missing among the new ones; %d first events", seen, first)
	}
	if share := (heavyErrors*heavyUsers + lightErrors*(users-heavyUsers)) / users; math.Abs(share-baseErrors) > 1e-12 {
		t.Errorf("errors of the population %v, want %v", share, baseErrors)
	}
}
