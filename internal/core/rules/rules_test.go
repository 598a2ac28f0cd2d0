package rules

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"pgregory.net/rapid"
)

var day0 = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// arm has n requests of which bad failed, each of a duration in seconds.
func arm(n, bad uint64, seconds float64) outcome.Arm {
	a := outcome.Arm{Requests: n, Bad: bad}
	if n > 0 {
		a.Latency = outcome.Histogram{Counts: []uint64{n}, Sum: float64(n) * seconds}
	}
	return a
}

// feed gives a rule equal intervals of a length and says in which it rolled back, counted from 1;
// 0 if in none.
func feed(t *testing.T, name string, each time.Duration, n int, treatment, control outcome.Arm) int {
	t.Helper()
	r, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		iv := outcome.Interval{Seq: i + 1, From: day0.Add(time.Duration(i) * each), To: day0.Add(time.Duration(i+1) * each), Treatment: treatment, Control: control}
		r.Add(iv)
		if d := r.Decision(); d.Action == RollBack {
			if !d.At.Equal(iv.To) || d.Why == "" {
				t.Errorf("%s: decided at %v (%q), want at %v with a reason", name, d.At, d.Why, iv.To)
			}
			return i + 1
		}
	}
	return 0
}

func TestRulesDecideWhenTheirDocumentationSays(t *testing.T) {
	healthy, slow := arm(1000, 5, 0.05), arm(1000, 5, 0.1)
	atLimit, over := arm(1000, 10, 0.05), arm(1000, 11, 0.05)
	for _, c := range []struct {
		name, rule string
		treatment  outcome.Arm
		minutes    int
	}{
		{"founding, healthy", Founding, healthy, 0},
		{"founding wants less than 1 %", Founding, atLimit, 1},
		{"founding wants less than 100 ms", Founding, slow, 1},
		{"founding, hour", FoundingHour, over, 60},
		{"argo allows 1 %", Argo, atLimit, 0},
		{"argo fails with the 4th of its windows", Argo, over, 20},
		{"argo without traffic", Argo, arm(0, 0, 0), 20},
		{"argo does not look at latency", Argo, slow, 0},
		{"flagger allows 1 %", Flagger, atLimit, 0},
		{"flagger fails with the 10th", Flagger, over, 10},
		{"flagger without traffic", Flagger, arm(0, 0, 0), 10},
		{"founding without traffic", Founding, arm(0, 0, 0), 0},
		{"kayenta, the same", Kayenta, healthy, 0},
		{"kayenta, every window higher", Kayenta, over, 10},
		{"z-test, the same", ZTest, healthy, 0},
		{"z-test, twice as many", ZTest, over, 2},
	} {
		if got := feed(t, c.rule, time.Minute, 120, c.treatment, healthy); got != c.minutes {
			t.Errorf("%s: decided in minute %d, want %d (0: never)", c.name, got, c.minutes)
		}
	}
}

// The same traffic cut into other intervals gives the same decision, as long as the cuts fall on
// the windows' edges.
func TestIntervalsAreGatheredIntoWindows(t *testing.T) {
	part := func(n uint64) outcome.Arm { return arm(1000/n, 20/n, 0.05) }
	for _, name := range Names {
		whole := feed(t, name, time.Minute, 120, part(1), arm(1000, 5, 0.05))
		quarters := feed(t, name, 15*time.Second, 480, part(4), arm(250, 1, 0.05))
		if name != ZTest && quarters != 4*whole {
			t.Errorf("%s: decides in minute %d, but in quarter %d of a minute", name, whole, quarters)
		}
		if hours := feed(t, name, 2*time.Hour, 40, part(1), arm(1000, 5, 0.05)); hours == 0 {
			t.Errorf("%s: decides nothing with intervals longer than its windows", name)
		}
	}
}

func TestSkippedTimeClosesTheWindow(t *testing.T) {
	r, _ := New(Founding)
	bad := arm(100, 50, 0.05)
	r.Add(outcome.Interval{From: day0, To: day0.Add(45 * time.Second), Treatment: bad})
	if r.Decision().Action != Continue {
		t.Fatal("decided within the window")
	}
	later := day0.Add(time.Hour + 10*time.Second)
	r.Add(outcome.Interval{From: later, To: later.Add(5 * time.Second), Treatment: arm(100, 0, 0.05)})
	if d := r.Decision(); d.Action != RollBack || !d.At.Equal(day0.Add(time.Minute)) {
		t.Errorf("after a gap: %+v, want a roll-back at the end of the first minute", d)
	}
}

func TestRulesOfAnyCutNeverPanicAndStayDecided(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, err := New(rapid.SampledFrom(Names).Draw(t, "rule"))
		if err != nil {
			t.Fatal(err)
		}
		at, was := day0, Decision{Action: Continue}
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			from := at.Add(time.Duration(rapid.IntRange(-100, 1000).Draw(t, "gap")) * time.Second)
			at = from.Add(time.Duration(rapid.IntRange(-5, 5000).Draw(t, "length")) * time.Second)
			n := rapid.Uint64Range(0, 100).Draw(t, "requests")
			r.Add(outcome.Interval{From: from, To: at, Treatment: arm(n, n/3, 0.01), Control: arm(100-n, n/5, 0.01)})
			d := r.Decision()
			if d.Why == "" || was.Action == RollBack && d != was {
				t.Fatalf("from %+v to %+v", was, d)
			}
			was = d
		}
	})
}

func TestUnknownRule(t *testing.T) {
	if _, err := New("spinnaker"); err == nil || !strings.Contains(err.Error(), "kayenta") {
		t.Errorf("got %v, want an error that names the rules", err)
	}
}

// Published: the permeability of the chorioamnion, Hollander and Wolfe, "Nonparametric
// Statistical Methods" (1973), page 69, as R's wilcox.test shows it: W = 35, shift 0.305.
func TestMannWhitneyAgainstHollanderAndWolfe(t *testing.T) {
	x := []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	y := []float64{1.15, 0.88, 0.90, 0.74, 1.21}
	got := MannWhitney(x, y, 0.95)
	if math.Abs(got.Estimate-0.305) > 1e-9 {
		t.Errorf("estimate %v, published 0.305", got.Estimate)
	}
	// The published exact interval at level 0.95 is [-0.15, 0.76]; the approximation with
	// correction for continuity ends at the same pairs.
	if math.Abs(got.Low+0.15) > 1e-9 || math.Abs(got.High-0.76) > 1e-9 {
		t.Errorf("interval [%v, %v], published [-0.15, 0.76]", got.Low, got.High)
	}
	r := rankSum{x: sorted(x), y: sorted(y)}
	if u, _ := r.count(0); u != 35 {
		t.Errorf("U = %v, published 35", u)
	}
}

// The estimate is the median of all differences (Hodges and Lehmann's definition), and the
// interval ends at two of them.
func TestMannWhitneyAgainstAllPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-3, 3), 3, 12)
		x, y := values.Draw(t, "x"), values.Draw(t, "y")
		var pairs []float64
		for _, a := range x {
			for _, b := range y {
				pairs = append(pairs, a-b)
			}
		}
		pairs = sorted(pairs)
		median := (pairs[(len(pairs)-1)/2] + pairs[len(pairs)/2]) / 2
		got := MannWhitney(x, y, 0.98)
		if math.Abs(got.Estimate-median) > 1e-9 {
			t.Fatalf("estimate %v, median of the differences %v", got.Estimate, median)
		}
		if got.Low > got.Estimate || got.Estimate > got.High {
			t.Fatalf("not in order: %+v", got)
		}
	})
}

// The share of all splits of the ranks into two samples in which the interval misses a shift of 0
// is what the confidence leaves, or less: brute force over every permutation.
func TestMannWhitneyAgainstEverySplit(t *testing.T) {
	for _, size := range [][2]int{{6, 6}, {5, 8}, {7, 7}} {
		n, m := size[0], size[1]
		for _, confidence := range []float64{0.9, 0.98} {
			splits, above, below := 0, 0, 0
			for mask := range 1 << (n + m) {
				x, y := split(mask, n+m)
				if len(x) != n {
					continue
				}
				splits++
				s := MannWhitney(x, y, confidence)
				if s.Low > 0 {
					above++
				}
				if s.High < 0 {
					below++
				}
			}
			share := float64(above) / float64(splits)
			half := (1 - confidence) / 2
			if above != below || share > 1.15*half || share < half/4 {
				t.Errorf("%d and %d at %v: misses %d above and %d below of %d splits, %.4f; want about %.4f", n, m, confidence, above, below, splits, share, half)
			}
		}
	}
}

func split(mask, n int) (x, y []float64) {
	for i := range n {
		v := float64(i) + float64(i*i)/1000 // no two differences are the same
		if mask>>i&1 == 1 {
			x = append(x, v)
		} else {
			y = append(y, v)
		}
	}
	return x, y
}

func sorted(list []float64) []float64 {
	r := append([]float64(nil), list...)
	for i := range r {
		for j := i; j > 0 && r[j] < r[j-1]; j-- {
			r[j], r[j-1] = r[j-1], r[j]
		}
	}
	return r
}

func TestMannWhitneyOfTies(t *testing.T) {
	same := []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if s := MannWhitney(same, same, 0.98); s != (Shift{}) || s.Harmful() {
		t.Errorf("equal samples are shifted by %+v", s)
	}
	higher := []float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
	if s := MannWhitney(higher, same, 0.98); !s.Harmful() {
		t.Errorf("a sample that is higher throughout is not harmful: %+v", s)
	}
}

// U and the sizes of the groups of equal values, against counting pairs.
func TestRankSumAgainstPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 4), 1, 12)
		x, y := values.Draw(t, "x"), values.Draw(t, "y")
		u, groups := 0.0, map[float64]float64{}
		for i := range x {
			x[i] = math.Round(x[i])
			groups[x[i]-1]++
		}
		for j := range y {
			y[j] = math.Round(y[j])
			groups[y[j]]++
			for i := range x {
				switch {
				case x[i]-1 > y[j]:
					u++
				case x[i]-1 == y[j]:
					u += 0.5
				}
			}
		}
		ties := 0.0
		for _, n := range groups {
			ties += n*n*n - n
		}
		r := rankSum{x: sorted(x), y: sorted(y)}
		if gotU, gotTies := r.count(1); gotU != u || gotTies != ties {
			t.Fatalf("count = %v, %v, want %v, %v", gotU, gotTies, u, ties)
		}
	})
}
