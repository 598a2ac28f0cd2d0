package intervals

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// valuePoints are the points of what one process saw of a tracked value.
func valuePoints(key int, start, end int64, m outcome.Measure) []Point {
	point := func(part string) Point {
		return calls(key, start, end, 0, func(p *Point) { p.Metric, p.Event, p.Measure = outcome.MetricValues, m.Name, part })
	}
	of, sum, squares := point(outcome.MeasureOf), point(outcome.MeasureSum), point(outcome.MeasureSumSquares)
	of.Count, sum.Value, squares.Value = m.Of, m.Sum, m.SumSquares
	return []Point{of, sum, squares}
}

func eventPoints(key int, start, end int64, m outcome.Measure) []Point {
	of, had := calls(key, start, end, m.Of), calls(key, start, end, m.Bad)
	of.Metric, of.Event, of.Measure = outcome.MetricEvents, m.Name, outcome.MeasureOf
	had.Metric, had.Event, had.Measure = outcome.MetricEvents, m.Name, outcome.MeasureBad
	return []Point{of, had}
}

func TestWholesThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct {
		points []Point
		want   Stats
	}{
		"more events than exposures":  {eventPoints(1, 0, 10, outcome.Measure{Name: "e", Of: 2, Bad: 3}), Stats{Accepted: 1, Invalid: 1}},
		"values without any":          {valuePoints(1, 0, 10, outcome.Measure{Name: "v", Sum: 1, SumSquares: 1}), Stats{Accepted: 2, Invalid: 1}},
		"squares too small":           {valuePoints(1, 0, 10, outcome.Measure{Name: "v", Of: 2, Sum: 10, SumSquares: 40}), Stats{Accepted: 2, Invalid: 1}},
		"squares negative":            {valuePoints(1, 0, 10, outcome.Measure{Name: "v", Of: 2, SumSquares: -1}), Stats{Accepted: 2, Invalid: 1}},
		"a value too large":           {valuePoints(1, 0, 10, outcome.Measure{Name: "v", Of: 1, Sum: 1e13, SumSquares: 1e26}), Stats{Accepted: 2, Invalid: 1}},
		"not a number":                {valuePoints(1, 0, 10, outcome.Measure{Name: "v", Of: 1, Sum: math.NaN(), SumSquares: 1}), Stats{Accepted: 2, Invalid: 1}},
		"no name":                     {eventPoints(1, 0, 10, outcome.Measure{Of: 2, Bad: 1}), Stats{Invalid: 2}},
		"too many":                    {eventPoints(1, 0, 10, outcome.Measure{Name: "e", Of: maxCount + 1, Bad: 1}), Stats{Accepted: 1, Invalid: 1}},
		"the part of another kind":    {[]Point{calls(1, 0, 10, 1, func(p *Point) { p.Metric, p.Event, p.Measure = outcome.MetricEvents, "e", outcome.MeasureSum })}, Stats{Invalid: 1}},
		"more bad than requests":      {requestPoints(1, 0, 10, durations(2), 3), Stats{Accepted: 1, Invalid: 1}},
		"more bad units than at risk": {unitPoints(1, 0, 10, 5, 2, 3), Stats{Accepted: 2, Invalid: 1}},
		"durations alone":             {append(requestPoints(1, 0, 10, durations(2), 1)[:1], requestPoints(1, 10, 20, durations(0), 0)...), Stats{Accepted: 3, Incomplete: 1}},
		"units without bad ones":      {append(unitPoints(1, 0, 10, 9, 9, 1)[:2], unitPoints(1, 10, 20, 0, 0, 0)...), Stats{Accepted: 5, Incomplete: 2}},
		"a part missing, then a next": {append(valuePoints(1, 0, 10, outcome.Measure{Name: "v", Of: 1, Sum: 1, SumSquares: 1})[:2], valuePoints(1, 10, 20, outcome.Measure{Name: "v"})...), Stats{Accepted: 5, Incomplete: 2}},
	} {
		a := expecting(t, Limits{})
		a.AddOutcomes(test.points)
		treatment := a.Close("t", "t.1.0").Treatment
		sum := outcome.FindMeasure(treatment.Measures, "v")
		if a.Stats() != test.want || sum.Of != 0 || len(treatment.Measures) > 1 || !treatment.Empty() || treatment.Bad+treatment.BadUnits > 0 {
			t.Errorf("%s: stats %+v, want %+v; counted %+v", name, a.Stats(), test.want, treatment)
		}
	}
}

// However the points are put into requests, in whatever order, with whatever duplicates and with
// ends of intervals in between: each whole counts once, and whole.
func TestWholesAreNeverTorn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := New(Limits{})
		if err := a.Expect("t", "t.1.0"); err != nil {
			t.Fatal(err)
		}
		var got, want outcome.Arm
		collect := func() {
			treatment := a.Close("t", "t.1.0").Treatment
			for _, m := range treatment.Measures {
				if m.Name[0] == 'v' && (m.Sum != 3*float64(m.Of) || m.SumSquares != 9*float64(m.Of)) || m.Name[0] == 'e' && m.Of != 2*m.Bad {
					t.Fatalf("a measure was torn: %+v", m)
				}
			}
			if r := treatment; r.Requests != 2*r.Bad || r.Latency.Count() != r.Requests || r.NewUnits != 3*r.BadUnits || r.AtRiskUnits != 2*r.BadUnits {
				t.Fatalf("requests or units were torn: %+v", r)
			}
			got.Merge(&treatment)
		}
		for window := range int64(rapid.IntRange(1, 5).Draw(t, "windows")) {
			from, to := window*10, window*10+10
			var points []Point
			for key := range rapid.IntRange(1, 3).Draw(t, "series") {
				n := rapid.Uint64Range(0, 9).Draw(t, "n")
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
					m := outcome.Measure{Name: fmt.Sprint("v", key%2), Of: n, Sum: 3 * float64(n), SumSquares: 9 * float64(n)}
					points = append(points, valuePoints(key, from, to, m)...)
					want.AddMeasure(m)
				case 1:
					m := outcome.Measure{Name: fmt.Sprint("e", key%2), Of: 2 * n, Bad: n}
					points = append(points, eventPoints(100+key, from, to, m)...)
					want.AddMeasure(m)
				case 2:
					h := durations(int(2 * n))
					points = append(points, requestPoints(200+key, from, to, h, n)...)
					want.Merge(&outcome.Arm{Requests: 2 * n, Bad: n, Latency: h})
				case 3:
					points = append(points, unitPoints(300+key, from, to, 3*n, 2*n, n)...)
					want.Merge(&outcome.Arm{NewUnits: 3 * n, AtRiskUnits: 2 * n, BadUnits: n})
				}
			}
			points = append(points, rapid.SliceOfN(rapid.SampledFrom(points), 0, 6).Draw(t, "again")...)
			points = rapid.Permutation(points).Draw(t, "order")
			for len(points) > 0 {
				n := rapid.IntRange(1, len(points)).Draw(t, "request")
				a.AddOutcomes(points[:n])
				points = points[n:]
				if rapid.Bool().Draw(t, "close") {
					collect()
				}
			}
		}
		collect()
		if !sameArm(got, want) || a.Stats().Incomplete+a.Stats().Invalid > 0 {
			t.Fatalf("counted %+v\nwant %+v\n%+v", got, want, a.Stats())
		}
	})
}

// Names beyond what an arm holds are refused, and those that are there go on.
func TestMeasuresAreBounded(t *testing.T) {
	a := expecting(t, Limits{})
	for round := range int64(2) {
		for i := range outcome.MaxMeasures + 5 {
			a.AddOutcomes(eventPoints(i, round*10, round*10+10, outcome.Measure{Name: fmt.Sprintf("e%03d", i), Of: 2, Bad: 1}))
		}
	}
	treatment := a.Close("t", "t.1.0").Treatment
	last := treatment.Measures[len(treatment.Measures)-1]
	if len(treatment.Measures) != outcome.MaxMeasures || last.Of != 4 || a.Stats().Invalid != 10 {
		t.Errorf("%d measures, the last %+v, %+v", len(treatment.Measures), last, a.Stats())
	}
}
