package evidence

import (
	"math"
	"testing"
)

func TestMixtureVectors(t *testing.T) {
	s, v := 26.6, 7.735
	near(t, "boundary", UpperMixtureBoundary(1.71, 10, 0.05), 7.605595, 6e-7)
	near(t, "boundary", UpperMixtureBoundary(v, 10, 0.05), 9.716082, 6e-7)
	t.Log(s, lnPositiveMixture(9.716082, v, 10), math.Log(20))
	for _, z := range []float64{-40, -8, -3, -2.6, -2.4, -1, 0, 0.1, 1, 2.4, 2.6, 5, 9} {
		want := math.Log(0.5 * math.Erfc(-z/math.Sqrt2))
		if got := lnNormal(z); math.Abs(got-want) > 1e-12*max(1, math.Abs(want)) && z > -38 {
			t.Errorf("lnNormal(%v) = %v want %v", z, got, want)
		}
	}
}
