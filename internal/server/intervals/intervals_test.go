package intervals

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

func series(n int) (k SeriesKey) {
	copy(k[:], fmt.Sprintf("%016d", n))
	return k
}

// calls is a point of n calls of the treatment of trial t that a fault has hit: a whole by itself.
func calls(key int, start, end int64, n uint64, change ...func(*Point)) Point {
	p := Point{Series: series(key), Metric: outcome.MetricInjections, Trial: "t", Version: "t.1.0", Arm: outcome.ArmTreatment,
		Start: start, End: end, Count: n, Fault: Fault{"p", "error", "before"}}
	for _, c := range change {
		c(&p)
	}
	return p
}

// requestPoints are the points of requests of one process, bad of them failed.
func requestPoints(key int, start, end int64, h outcome.Histogram, bad uint64, change ...func(*Point)) []Point {
	metric := func(name string) func(*Point) {
		return func(p *Point) { p.Metric, p.Fault = name, Fault{} }
	}
	durations := calls(key, start, end, 0, append([]func(*Point){metric(outcome.MetricDuration), func(p *Point) { p.Latency = h }}, change...)...)
	return []Point{durations, calls(key, start, end, bad, append([]func(*Point){metric(outcome.MetricBad)}, change...)...)}
}

// unitPoints are the points of units of one process.
func unitPoints(key int, start, end int64, new, atRisk, bad uint64) []Point {
	state := func(name string, n uint64) Point {
		return calls(key, start, end, n, func(p *Point) { p.Metric, p.UnitState, p.Fault = outcome.MetricUnits, name, Fault{} })
	}
	return []Point{state(outcome.UnitNew, new), state(outcome.UnitAtRisk, atRisk), state(outcome.UnitBad, bad)}
}

// durations are n requests of a second.
func durations(n int) (h outcome.Histogram) {
	for range n {
		h.Record(1)
	}
	return h
}

func expecting(t testing.TB, l Limits) *Accumulator {
	t.Helper()
	a := New(l)
	if err := a.Expect("t", "t.1.0"); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhatIsCounted(t *testing.T) {
	huge := func(p *Point) { p.Count = maxCount }
	for _, c := range []struct {
		name   string
		points []Point
		want   uint64 // calls of the treatment
		stats  Stats
	}{
		{"one point", []Point{calls(1, 0, 10, 3)}, 3, Stats{Accepted: 1}},
		{"one after the other", []Point{calls(1, 0, 10, 3), calls(1, 10, 20, 4)}, 7, Stats{Accepted: 2}},
		{"with a gap", []Point{calls(1, 0, 10, 3), calls(1, 15, 20, 4)}, 7, Stats{Accepted: 2}},
		{"sent twice", []Point{calls(1, 0, 10, 3), calls(1, 0, 10, 3)}, 3, Stats{Accepted: 1, Duplicates: 1}},
		{"overlapping", []Point{calls(1, 0, 10, 3), calls(1, 5, 15, 3)}, 3, Stats{Accepted: 1, Duplicates: 1}},
		{"around", []Point{calls(1, 5, 6, 3), calls(1, 0, 10, 3)}, 3, Stats{Accepted: 1, Duplicates: 1}},
		{"out of order", []Point{calls(1, 10, 20, 3), calls(1, 0, 10, 4)}, 3, Stats{Accepted: 1, Duplicates: 1}},
		{"of no length, twice", []Point{calls(1, 5, 5, 3), calls(1, 5, 5, 3)}, 3, Stats{Accepted: 1, Duplicates: 1}},
		{"two processes", []Point{calls(1, 0, 10, 3), calls(2, 0, 10, 4)}, 7, Stats{Accepted: 2}},
		{"earlier step", []Point{calls(1, 0, 10, 3, func(p *Point) { p.Version = "t.1.7" })}, 0, Stats{Stale: 1}},
		{"other trial", []Point{calls(1, 0, 10, 3, func(p *Point) { p.Trial = "u" })}, 0, Stats{Unknown: 1}},
		{"no arm", []Point{calls(1, 0, 10, 3, func(p *Point) { p.Arm = "rest" })}, 0, Stats{Invalid: 1}},
		{"no metric", []Point{calls(1, 0, 10, 3, func(p *Point) { p.Metric = "x" })}, 0, Stats{Invalid: 1}},
		{"no state of units", []Point{calls(1, 0, 10, 3, func(p *Point) { p.Metric = outcome.MetricUnits })}, 0, Stats{Invalid: 1}},
		{"as much as there can be", []Point{calls(1, 0, 10, 0, huge)}, maxCount, Stats{Accepted: 1}},
		{"more than there can be", []Point{calls(1, 0, 10, 0, huge), calls(2, 0, 10, 1)}, maxCount, Stats{Accepted: 1, Invalid: 1}},
		{"after what was invalid", []Point{calls(1, 0, 10, maxCount+1), calls(1, 0, 10, 2)}, 2, Stats{Accepted: 1, Invalid: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := expecting(t, Limits{})
			a.AddOutcomes(c.points)
			if got := a.Stats(); got != c.stats {
				t.Errorf("stats %+v, want %+v", got, c.stats)
			}
			if got := a.Close("t", "t.1.0"); got.Treatment.Injected != c.want || !got.Control.Empty() {
				t.Errorf("%+v, want %d", got, c.want)
			}
		})
	}
}

func TestEveryPointHasItsField(t *testing.T) {
	h := durations(7)
	for name, c := range map[string]struct {
		points []Point
		want   outcome.Arm
	}{
		"requests": {requestPoints(1, 0, 10, h, 5), outcome.Arm{Requests: 7, Bad: 5, Latency: h}},
		"units":    {unitPoints(1, 0, 10, 2, 7, 5), outcome.Arm{NewUnits: 2, AtRiskUnits: 7, BadUnits: 5}},
		"events":   {eventPoints(1, 0, 10, outcome.Measure{Name: "e", Of: 7, Bad: 5}), outcome.Arm{Measures: []outcome.Measure{{Name: "e", Of: 7, Bad: 5}}}},
		"values": {valuePoints(1, 0, 10, outcome.Measure{Name: "v", Of: 2, Sum: 3, SumSquares: 5}),
			outcome.Arm{Measures: []outcome.Measure{{Name: "v", Of: 2, Sum: 3, SumSquares: 5}}}},
		"calls": {[]Point{calls(1, 0, 10, 5)}, outcome.Arm{Injected: 5}},
	} {
		for _, arm := range []string{outcome.ArmTreatment, outcome.ArmControl} {
			a := expecting(t, Limits{})
			for i := range c.points {
				c.points[i].Arm = arm
			}
			a.AddOutcomes(c.points)
			got := a.Close("t", "t.1.0")
			treatment, control := got.Treatment, got.Control
			if arm == outcome.ArmControl {
				treatment, control = control, treatment
			}
			if !sameArm(treatment, c.want) || !sameArm(control, outcome.Arm{}) {
				t.Errorf("%s %s: %+v and %+v", name, arm, treatment, control)
			}
		}
	}
}

// sameArm compares with the histograms as what they count, not how they store it.
func sameArm(a, b outcome.Arm) bool {
	same := slices.Equal(a.Latency.Counts, b.Latency.Counts) && a.Latency.Zero == b.Latency.Zero &&
		a.Latency.Sum == b.Latency.Sum && (a.Latency.Offset == b.Latency.Offset || len(a.Latency.Counts) == 0)
	a.Latency, b.Latency = outcome.Histogram{}, outcome.Histogram{}
	return same && reflect.DeepEqual(a, b)
}

// An interval is cut by arrival, a duplicate is recognised in whichever interval it comes, and a
// new version starts from nothing.
func TestIntervalsAndVersions(t *testing.T) {
	a := expecting(t, Limits{})
	take := func(version string) uint64 { return a.Close("t", version).Treatment.Injected }
	a.AddOutcomes([]Point{calls(1, 0, 10, 3)})
	if got := take("t.1.1"); got != 0 {
		t.Errorf("another version got %d", got)
	}
	if got := take("t.1.0"); got != 3 {
		t.Errorf("first interval: %d", got)
	}
	a.AddOutcomes([]Point{calls(1, 0, 10, 3), calls(1, 10, 20, 4)}) // the first one late and again
	if err := a.Expect("t", "t.1.0"); err != nil {
		t.Fatal(err)
	}
	if got := take("t.1.0"); got != 4 {
		t.Errorf("second interval: %d", got)
	}
	a.AddOutcomes([]Point{calls(1, 20, 30, 5)})
	if err := a.Expect("t", "t.1.1"); err != nil {
		t.Fatal(err)
	}
	a.AddOutcomes([]Point{calls(1, 30, 40, 6)}) // of the step before
	if got := take("t.1.1"); got != 0 {
		t.Errorf("the new step starts with %d", got)
	}
	a.Forget("t")
	a.Forget("t")
	a.AddOutcomes([]Point{calls(1, 50, 60, 1)})
	if want := (Stats{Accepted: 3, Duplicates: 1, Stale: 1, Unknown: 1, Discarded: 1}); a.Stats() != want {
		t.Errorf("stats %+v, want %+v", a.Stats(), want)
	}
}

func TestLimits(t *testing.T) {
	a := expecting(t, Limits{MaxTrials: 2, MaxSeries: 8})
	if err := a.Expect("u", "u.1.0"); err != nil {
		t.Fatal(err)
	}
	if err := a.Expect("v", "v.1.0"); err == nil || !strings.Contains(err.Error(), "v") {
		t.Errorf("third trial: %v", err)
	}
	if err := a.Expect("u", "u.1.1"); err != nil {
		t.Errorf("the next step of a known trial: %v", err)
	}
	for i := range int64(1000) { // process 0 reports all the time, the others once
		a.AddOutcomes([]Point{calls(0, i, i+1, 1), calls(int(i)+1, i, i+1, 1)})
		if n := len(a.trials["t"].series); n > 8 {
			t.Fatalf("%d series are remembered", n)
		}
	}
	a.AddOutcomes([]Point{calls(0, 999, 1000, 1)})
	if got := a.Stats(); got.Accepted != 2000 || got.Duplicates != 1 {
		t.Errorf("stats %+v: the busy series must not be forgotten", got)
	}
}

// What waits in a series that is forgotten is told as incomplete.
func TestForgottenWholesAreCounted(t *testing.T) {
	a := expecting(t, Limits{MaxSeries: 8})
	for i := range 9 {
		a.AddOutcomes(unitPoints(i, 0, 10, 5, 5, 1)[:2])
	}
	if got := a.Stats(); got.Accepted != 18 || got.Incomplete != 6 || len(a.trials["t"].series) != 6 {
		t.Errorf("stats %+v, %d series", got, len(a.trials["t"].series))
	}
}

func TestExemplars(t *testing.T) {
	a := expecting(t, Limits{})
	exemplar := func(at int) outcome.Exemplar {
		return outcome.Exemplar{TraceID: fmt.Sprintf("%032x", at), SpanID: fmt.Sprintf("%016x", at), Time: time.Unix(int64(at), 0)}
	}
	for _, i := range []int{4, 9, 1, 7, 3, 8, 2} {
		a.AddOutcomes(requestPoints(i, 0, 10, durations(1), 1, func(p *Point) { p.Exemplars = []outcome.Exemplar{exemplar(i)} }))
		a.AddOutcomes(requestPoints(100+i, 0, 10, durations(1), 1, func(p *Point) {
			p.Arm, p.Exemplars = outcome.ArmControl, []outcome.Exemplar{exemplar(100 + i)}
		}))
	}
	got := a.Close("t", "t.1.0").Exemplars
	if want := []outcome.Exemplar{exemplar(9), exemplar(8), exemplar(7), exemplar(4), exemplar(3)}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if again := a.Close("t", "t.1.0").Exemplars; len(again) != 0 {
		t.Errorf("again %v", again)
	}
}

// Points of different series may arrive in any order, in any requests: the sums are the same.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var points []Point
		for key := range rapid.IntRange(1, 6).Draw(t, "series") {
			arm := rapid.SampledFrom([]string{outcome.ArmTreatment, outcome.ArmControl}).Draw(t, "arm")
			n := rapid.Uint64Range(0, 9).Draw(t, "count")
			list := []Point{calls(key, 0, 10, n)}
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				var h outcome.Histogram
				for _, ms := range rapid.SliceOfN(rapid.IntRange(0, 2000), int(n), 12).Draw(t, "ms") {
					h.Record(float64(ms) / 1024) // sums without rounding
				}
				list = requestPoints(key, 0, 10, h, n)
			case 1:
				list = unitPoints(key, 0, 10, n, n+3, n/2)
			}
			for _, p := range list {
				p.Arm = arm
				points = append(points, p)
				if rapid.Bool().Draw(t, "twice") {
					points = append(points, p)
				}
			}
		}
		sum := func(list []Point) (outcome.Arm, outcome.Arm, Stats) {
			a := New(Limits{})
			if err := a.Expect("t", "t.1.0"); err != nil {
				t.Fatal(err)
			}
			for len(list) > 0 {
				n := rapid.IntRange(1, len(list)).Draw(t, "request")
				a.AddOutcomes(list[:n])
				list = list[n:]
			}
			got := a.Close("t", "t.1.0")
			return got.Treatment, got.Control, a.Stats()
		}
		t1, c1, s1 := sum(points)
		t2, c2, s2 := sum(rapid.Permutation(points).Draw(t, "order"))
		if !sameArm(t1, t2) || !sameArm(c1, c2) || s1 != s2 {
			t.Errorf("%+v %+v %+v\n%+v %+v %+v", t1, c1, s1, t2, c2, s2)
		}
	})
}

// Closing while points arrive loses none and doubles none, and a request is never torn.
func TestCloseWhileAdding(t *testing.T) {
	const senders, requests = 4, 500
	a := expecting(t, Limits{})
	var adding, closing sync.WaitGroup
	done := make(chan struct{})
	var treatment, control uint64
	closing.Go(func() {
		for {
			over := false
			select {
			case <-done:
				over = true
			default:
			}
			got := a.Close("t", "t.1.0")
			tr, co := got.Treatment, got.Control
			if tr.Injected != co.Injected {
				t.Errorf("a request was torn: %d and %d", tr.Injected, co.Injected)
			}
			treatment += tr.Injected
			control += co.Injected
			if over {
				return
			}
		}
	})
	for s := range senders {
		adding.Go(func() {
			for i := range int64(requests) {
				a.AddOutcomes([]Point{calls(2*s, i, i+1, 1), calls(2*s+1, i, i+1, 1, func(p *Point) { p.Arm = outcome.ArmControl })})
				a.Stats()
			}
		})
	}
	adding.Wait()
	close(done)
	closing.Wait()
	if treatment != senders*requests || control != senders*requests {
		t.Errorf("%d and %d of %d", treatment, control, senders*requests)
	}
}

// What Close gives away is not touched by what comes later, and the other way round.
func TestCloserOwnsWhatItGets(t *testing.T) {
	a := expecting(t, Limits{})
	h := durations(1)
	one := func(start int64) []Point { return requestPoints(1, start, start+1, h, 0) }
	a.AddOutcomes(one(0))
	first := a.Close("t", "t.1.0").Treatment
	a.AddOutcomes(append(one(1), one(2)...))
	first.Latency.Record(1)
	second := a.Close("t", "t.1.0").Treatment
	if first.Latency.Count() != 2 || second.Latency.Count() != 2 || h.Count() != 1 {
		t.Errorf("%d, %d, %d", first.Latency.Count(), second.Latency.Count(), h.Count())
	}
}
