package simulation

import (
	"math"
	"testing"

	"github.com/seatrial/seatrial/internal/core/evidence"
)

// The vectors of the reference, computed by its programs.
func TestOneSampleVectors(t *testing.T) {
	for _, v := range []struct {
		bad, of uint64
		want    float64
	}{
		{5, 300, 0.233384469}, {12, 600, 1.689328551}, {30, 1500, 4.778443721}, {45, 3000, 2.188007710},
		{60, 3000, 10.301947563}, {2, 1000, -2.225753687}, {5, 1500, -2.439875541}, {10, 3000, -3.073826652},
	} {
		e := oneSample{p0: 0.01}
		e.add(v.bad, v.of)
		if got := e.logE(); math.Abs(got-v.want) > 1e-8 {
			t.Errorf("%d of %d: %.9f, want %.9f", v.bad, v.of, got, v.want)
		}
	}
}

// The widths that GrowthBook's unit tests have too, by way of the reference.
func TestAsymptoticVectors(t *testing.T) {
	for _, v := range []struct{ t, alpha, want float64 }{
		{1000, 0.05, 0.099688351}, {5000, 0.05, 0.039302328}, {1000, 0.01, 0.115835652}, {5000, 0.01, 0.047449674},
	} {
		if got := asymptoticWidth(v.t, 5000, v.alpha); math.Abs(got-v.want) > 1e-9 {
			t.Errorf("after %v at %v: %.9f, want %.9f", v.t, v.alpha, got, v.want)
		}
	}
}

func TestScoreVectors(t *testing.T) {
	s := score{lambda: 10}
	for i, v := range []struct {
		counts        evidence.Counts
		sum, variance float64
		fires         bool
	}{
		{evidence.Counts{X: 6, Mc: 300, Y: 30, Mb: 5700}, 4.2, 1.71, false},
		{evidence.Counts{X: 9, Mc: 300, Y: 25, Mb: 5700}, 11.5, 3.325, true},
		{evidence.Counts{X: 20, Mc: 600, Y: 29, Mb: 5400}, 26.6, 7.735, true},
	} {
		s.add(&observation{counts: v.counts})
		if math.Abs(s.sum-v.sum) > 1e-12 || math.Abs(s.variance-v.variance) > 1e-12 || s.fires(0.05) != v.fires {
			t.Errorf("interval %d: %+v, fires %t; want %+v", i+1, s, s.fires(0.05), v)
		}
	}
}

func TestBandVectors(t *testing.T) {
	for n, want := range map[float64]float64{1e3: 0.0865691, 1e4: 0.0277107, 1e5: 0.0088463} {
		if got := bandWidth(n, 0.05); math.Abs(got-want) > 5e-8 {
			t.Errorf("after %v: %.7f, want %.7f", n, got, want)
		}
	}
}
