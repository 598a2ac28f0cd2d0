package evidence

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// The beta-binomial mixture as the reference prints it, section 2 (d3).
func printedMixture(q, optimum, s, v float64) float64 {
	g, h := q, 1-q
	rho := optimum * q * (1 - q) / (2*math.Log(1/0.05) + math.Log(1+2*math.Log(1/0.05)))
	r := max(rho-g*h, 1e-3*g*h)
	beta := func(a, b float64) float64 {
		la, _ := math.Lgamma(a)
		lb, _ := math.Lgamma(b)
		lab, _ := math.Lgamma(a + b)
		return la + lb - lab
	}
	return v/(g*h)*math.Log(g+h) - (v+h*s)/(h*(g+h))*math.Log(g) - (v-g*s)/(g*(g+h))*math.Log(h) +
		beta((r+v-g*s)/(g*(g+h)), (r+v+h*s)/(h*(g+h))) - beta(r/(g*(g+h)), r/(h*(g+h)))
}

// Property: the evidence is the least sum over all values, and all counts within their buckets, of
// the printed mixture.
func TestQuantileIsTheLeastPrintedMixture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.SampledFrom([]float64{0.1, 0.5, 0.95}).Draw(t, "q")
		buckets := rapid.IntRange(1, 6).Draw(t, "buckets")
		var arms [2][]uint64
		for a := range arms {
			arms[a] = rapid.SliceOfN(rapid.Uint64Range(0, 40), buckets, buckets).Draw(t, "arm")
		}
		least := func(arm []uint64, bucket int) float64 {
			n, below := 0.0, 0.0
			for i, c := range arm {
				n += float64(c)
				if i < bucket {
					below += float64(c)
				}
			}
			best := math.Inf(1)
			for k := below; k <= below+float64(arm[bucket]); k++ {
				best = min(best, printedMixture(q, 500, k-q*n, q*(1-q)*n))
			}
			return best
		}
		want, empty := math.Inf(1), [2]bool{true, true}
		for i := range buckets {
			want = min(want, least(arms[0], i)+least(arms[1], i))
			for a := range arms {
				empty[a] = empty[a] && arms[a][i] == 0
			}
		}
		want = max(want, 0)
		if empty[0] || empty[1] {
			want = 0
		}
		if got := QuantileLogE(q, 500, arms[0], arms[1]); math.Abs(got-want) > 1e-9 {
			t.Fatalf("ln E = %v, by definition %v", got, want)
		}
	})
}

// Equal distributions are rarely called different, a longer tail is found.
func TestQuantileDecides(t *testing.T) {
	const runs, alpha = 100, 0.05
	histogram := func(r *rand.Rand, h []uint64, n int, slower float64) {
		for range n {
			x := math.Exp(0.8*r.NormFloat64()) * slower
			h[int(min(max(4*math.Log2(x)+float64(len(h))/2, 0), float64(len(h)-1)))]++
		}
	}
	alarms, late := 0, 0
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 51))
		same, slow, control := make([]uint64, 32), make([]uint64, 32), make([]uint64, 32)
		alarmed, found := false, false
		for range 30 {
			histogram(r, control, 200, 1)
			histogram(r, same, 50, 1)
			histogram(r, slow, 50, 1.5)
			alarmed = alarmed || QuantileLogE(0.9, 1000, same, control) >= math.Log(1/alpha)
			found = found || QuantileLogE(0.9, 1000, slow, control) >= math.Log(1/alpha)
		}
		alarms += one(alarmed)
		late += one(!found)
	}
	if limit := runs*alpha + 3*math.Sqrt(runs*alpha*(1-alpha)); float64(alarms) > limit || late > runs/20 {
		t.Errorf("of %d runs %d alarmed without a reason (at most %.0f may), %d missed the longer tail", runs, alarms, limit, late)
	}
}

func TestQuantileOfNothing(t *testing.T) {
	full := []uint64{math.MaxUint64, math.MaxUint64, 5}
	for name, got := range map[string]float64{
		"q 0": QuantileLogE(0, 0, full, full), "q NaN": QuantileLogE(math.NaN(), 0, full, full), "lengths": QuantileLogE(0.5, 0, full, full[:1]),
		"no buckets": QuantileLogE(0.5, 0, nil, nil), "empty arm": QuantileLogE(0.5, 0, full, []uint64{0, 0, 0}),
	} {
		if got != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if v := QuantileLogE(0.999, math.MaxUint64, full, full); math.IsNaN(v) || math.IsInf(v, 0) {
		t.Errorf("huge counts give %v", v)
	}
}
