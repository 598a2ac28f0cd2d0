package evidence

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// process is what the e-processes of this package have in common.
type process interface {
	Add(Counts)
	LogE() float64
}

var (
	_ process = (*RelativeRate)(nil)
	_ process = (*Difference)(nil)
)

func readVectors[T any](t *testing.T, file string) (vectors T) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return vectors
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.12g, want %.12g ± %g", what, got, want, tolerance)
	}
}

// checkPath feeds the rows one by one and compares ln E wherever a value is given.
func checkPath(t *testing.T, e process, rows []Counts, want []*float64) {
	t.Helper()
	for i, row := range rows {
		e.Add(row)
		if i < len(want) && want[i] != nil {
			near(t, "ln E", e.LogE(), *want[i], 1e-9)
		}
	}
}

func TestRelativeRateVectors(t *testing.T) {
	rows := readVectors[map[string][]Counts](t, "rows.json")
	for _, v := range readVectors[[]struct {
		Name, Rows string
		Direction  Direction
		R0         float64
		LogE       []*float64
	}](t, "relative_rate.json") {
		t.Run(v.Name, func(t *testing.T) {
			e := NewHarmRate(v.R0)
			if v.Direction == NoWorse {
				e = NewNoWorseRate(v.R0)
			}
			checkPath(t, &e, rows[v.Rows], v.LogE)
		})
	}
}

// Computed with 50 decimal digits (Python's decimal) from the formula in section 2 (a1) of the
// reference with r = exp(0.05k), k = 1..40.
func TestAnyHarmVector(t *testing.T) {
	rows := readVectors[map[string][]Counts](t, "rows.json")
	e, logE := NewAnyHarm(), []float64{2.678585559979, 10.300801011865, 25.831036643802}
	checkPath(t, &e, rows["A"], []*float64{&logE[0], &logE[1], &logE[2]})
}

func TestDifferenceVectors(t *testing.T) {
	rows := readVectors[map[string][]Counts](t, "rows.json")
	for _, v := range readVectors[[]struct {
		Name, Rows string
		Direction  Direction
		Delta      float64
		LogE       []*float64
	}](t, "difference.json") {
		t.Run(v.Name, func(t *testing.T) {
			e := NewHarmDifference(v.Delta)
			if v.Direction == NoWorse {
				e = NewNoWorseDifference(v.Delta)
			}
			checkPath(t, &e, rows[v.Rows], v.LogE)
		})
	}
}

func TestProjectionVectors(t *testing.T) {
	for _, v := range []struct {
		name       string
		delta      float64
		treatment  float64
		control    float64
		tolerances float64
	}{
		{name: "no margin", delta: 0, treatment: 0.00625, control: 0.00625, tolerances: 1e-15},
		{name: "half a point", delta: 0.005, treatment: 0.010541083, control: 0.005541083, tolerances: 1e-9},
	} {
		t.Run(v.name, func(t *testing.T) {
			q := project(rateOf(0.03), rateOf(0.005), 300, 5700, v.delta)
			near(t, "control", q, v.control, v.tolerances)
			near(t, "treatment", q+v.delta, v.treatment, v.tolerances)
		})
	}
}

func TestRatioSequenceVectors(t *testing.T) {
	rows := readVectors[map[string][]Counts](t, "rows.json")
	for _, v := range readVectors[[]struct {
		Name, Rows          string
		Intervals           int
		Low, High, Estimate float64
	}](t, "ratio.json") {
		t.Run(v.Name, func(t *testing.T) {
			var s RatioSequence
			for _, row := range rows[v.Rows][:v.Intervals] {
				s.Add(row)
			}
			low, high, estimate := s.Interval(0.05)
			// the reference gives six digits
			near(t, "low", low, v.Low, 6e-7)
			near(t, "high", high, v.High, 6e-7)
			near(t, "estimate", estimate, v.Estimate, 6e-7)
		})
	}
}

func TestDirichletVectors(t *testing.T) {
	for _, v := range readVectors[[]struct {
		Name        string
		Counts, Rho []float64
		Kappa       float64
		LogBF       float64
	}](t, "dirichlet.json") {
		t.Run(v.Name, func(t *testing.T) {
			near(t, "ln BF", DirichletLogBF(v.Counts, v.Rho, v.Kappa), v.LogBF, 1e-9)
		})
	}
}
