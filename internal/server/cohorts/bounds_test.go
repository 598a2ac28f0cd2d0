package cohorts_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/cohorts"
)

func above(values []float64, bound float64) (n uint64) {
	for _, v := range values {
		if v > bound {
			n++
		}
	}
	return n
}

func drawSeconds(t *rapid.T, name string) []float64 {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 {
		return math.Exp(rapid.Float64Range(math.Log(1e-4), math.Log(100)).Draw(t, "ln s"))
	}), 1, 40).Draw(t, name)
}

// apart are bounds that lie in different cells of our histogram.
func drawBounds(t *rapid.T, name string, most int) []float64 {
	cells := rapid.SliceOfNDistinct(rapid.IntRange(-300, 200), 1, most, rapid.ID[int]).Draw(t, name)
	slices.Sort(cells)
	list := make([]float64, len(cells))
	for i, c := range cells {
		list[i] = math.Exp2((float64(c) + 0.5) / 32) // in the middle of a cell
	}
	return list
}

func explicitOf(values, bounds []float64) cohorts.Buckets {
	counts := map[float64]uint64{}
	for _, v := range values {
		counts[v]++
	}
	return explicit(counts, bounds...)
}

// exponentialOf records values, in seconds, as an SDK does.
func exponentialOf(values []float64, scale int32, perSecond float64) cohorts.Buckets {
	b := cohorts.Buckets{Exponential: true, Scale: scale}
	index := func(v float64) int32 {
		return int32(math.Ceil(math.Log2(v*perSecond)*math.Exp2(float64(scale)))) - 1
	}
	first, last := int32(math.MaxInt32), int32(math.MinInt32)
	for _, v := range values {
		first, last = min(first, index(v)), max(last, index(v))
	}
	b.Offset, b.Counts = first, make([]uint64, last-first+1)
	for _, v := range values {
		b.Counts[index(v)-first]++
		b.Sum += v * perSecond
	}
	return b
}

// Property: above a bound that the telemetry has, exactly as many are counted as there were; above
// one that the plan asks for and the telemetry lacks, never fewer.
func TestBoundsAreExactOrStricter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values, bounds := drawSeconds(t, "values"), drawBounds(t, "bounds", 10)
		asked := drawBounds(t, "asked", 3)
		e := versions(func(s *trial.Spec) {
			s.Guardrails = []trial.Guardrail{{Metric: trial.MetricLatency, Bounds: asked[:1]}}
			if len(asked) > 1 {
				s.Guardrails[0].SLO = &trial.SLO{Seconds: asked[1]}
			}
		})
		r := newRig(t, cohorts.Limits{}, e)
		r.send(at(60), point(resource("v2", "a"), 1, 60, explicitOf(values, bounds)))
		arm, _ := r.close(e)
		if arm.Requests != uint64(len(values)) {
			t.Fatalf("%d requests, want %d", arm.Requests, len(values))
		}
		for _, bound := range bounds {
			if slices.ContainsFunc(asked, func(x float64) bool { return outcome.Edge(x) == outcome.Edge(bound) }) {
				continue
			}
			if got, want := arm.Latency.Above(bound), above(values, bound); got != want {
				t.Fatalf("over %v s: %d, were %d", bound, got, want)
			}
		}
		for _, bound := range asked[:min(len(asked), 2)] {
			// What lies within the cell of the bound cannot be told apart.
			if got, least := arm.Latency.Above(bound), above(values, bound*math.Exp2(1.0/32)); got < least {
				t.Fatalf("over %v s, which was asked for: %d, were %d", bound, got, least)
			}
		}
	})
}

// Property: exponential histograms, of any scale and in either unit, count like explicit ones with
// the bounds that they have.
func TestExponentialBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values, scale := drawSeconds(t, "values"), rapid.Int32Range(-2, 8).Draw(t, "scale")
		e := versions()
		r := newRig(t, cohorts.Limits{}, e)
		perSecond := rapid.SampledFrom([]float64{1, 1000}).Draw(t, "units a second")
		r.send(at(60), point(resource("v2", "a"), 1, 60, exponentialOf(values, scale, perSecond), func(p *cohorts.Point) {
			if perSecond == 1000 {
				p.Unit = "ms"
			}
		}))
		arm, _ := r.close(e)
		if arm.Requests != uint64(len(values)) {
			t.Fatalf("%d requests, want %d", arm.Requests, len(values))
		}
		width := math.Exp2(math.Exp2(float64(-scale))) // of a bucket, as a factor
		for k := range 12 {
			bound := math.Exp2(float64(k-6)*math.Exp2(float64(-scale))) / perSecond // one that it has
			least, most := above(values, bound*1.03), above(values, bound/1.03)
			if scale > outcome.Scale { // finer than ours
				most = above(values, bound/1.03/width)
			}
			if bound < 2e-6 || bound > 80_000 {
				continue
			}
			if got := arm.Latency.Above(bound); got < least || got > most {
				t.Fatalf("over %v s: %d, were %d to %d", bound, got, least, most)
			}
		}
	})
}

// Property: arms that record with different bounds are read at the common ones only, and so alike:
// equal values give equal counts above every bound.
func TestArmsAreRoundedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := versions(func(s *trial.Spec) {
			s.Guardrails = []trial.Guardrail{{Metric: trial.MetricLatency, Bounds: drawBounds(t, "asked", 2)}}
		})
		r := newRig(t, cohorts.Limits{}, e)
		common := drawBounds(t, "common", 4)
		own := [2][]float64{drawBounds(t, "own", 5), drawBounds(t, "own", 5)}
		// Bounds within one cell of ours are taken for equal, so values between them are left out.
		values := slices.DeleteFunc(drawSeconds(t, "values"), func(v float64) bool {
			return slices.ContainsFunc(slices.Concat(common, own[0], own[1]), func(b float64) bool { return v > b/1.03 && v < b*1.03 })
		})
		draw := func(arm int) cohorts.Buckets {
			if len(values) > 0 && rapid.Bool().Draw(t, "exponential") {
				return exponentialOf(values, rapid.Int32Range(0, 7).Draw(t, "scale"), 1)
			}
			bounds := slices.Concat(own[arm], common)
			slices.Sort(bounds)
			return explicitOf(values, slices.Compact(bounds))
		}
		treatment, ctl := draw(0), draw(1)
		report := func(second float64, times uint64) {
			scaled := func(b cohorts.Buckets) cohorts.Buckets {
				b.Counts = slices.Clone(b.Counts)
				for k := range b.Counts {
					b.Counts[k] *= times
				}
				return b
			}
			r.send(at(second), point(resource("v2", "a"), 1, second, scaled(treatment)), point(resource("v1", "b"), 1, second, scaled(ctl)))
		}
		report(60, 1) // the bounds of both are known from here on
		r.close(e)
		report(120, 2)
		one, two := r.close(e)
		for cell := -320; cell < 220; cell++ {
			bound := math.Exp2((float64(cell) + 0.5) / 32)
			near := func(v float64) bool { return v > bound/1.05 && v < bound*1.05 }
			if slices.ContainsFunc(values, near) { // one cell of rounding is allowed
				continue
			}
			if a, b := one.Latency.Above(bound), two.Latency.Above(bound); a != b {
				t.Fatalf("over %v s: %d and %d of the same requests", bound, a, b)
			}
		}
	})
}
