package rules

import (
	"fmt"
	"math"
)

// zOneSided5 is the 95 % quantile of the normal distribution.
const zOneSided5 = 1.6448536269514722

// zTest is the two-proportion z-test with a pooled variance, on everything since the start, at
// one-sided 5 %. It would be valid for one look; it is repeated at each window.
type zTest struct {
	sum window
	z   float64
}

func (t *zTest) window(w window) (string, bool) {
	t.sum.treatment.requests += w.treatment.requests
	t.sum.treatment.bad += w.treatment.bad
	t.sum.control.requests += w.control.requests
	t.sum.control.bad += w.control.bad
	t.z = t.sum.z()
	return t.idle(), t.z < zOneSided5
}

// z is the test statistic; 0 where it is not defined.
func (w *window) z() float64 {
	a, b := w.treatment, w.control
	n, m := float64(a.requests), float64(b.requests)
	if n == 0 || m == 0 {
		return 0
	}
	pooled := float64(a.bad+b.bad) / (n + m)
	deviation := math.Sqrt(pooled * (1 - pooled) * (1/n + 1/m))
	if deviation == 0 {
		return 0
	}
	return (a.errors() - b.errors()) / deviation
}

func (t *zTest) idle() string {
	return fmt.Sprintf("z = %.2f for %d of %d requests failed against %d of %d; the rule fails at %.3f", t.z,
		t.sum.treatment.bad, t.sum.treatment.requests, t.sum.control.bad, t.sum.control.requests, zOneSided5)
}
