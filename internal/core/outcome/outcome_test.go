package outcome

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawSeconds(t *rapid.T) float64 {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) float64 { return math.Exp(rapid.Float64Range(-14, 11.4).Draw(t, "ln s")) }),
		rapid.Custom(func(t *rapid.T) float64 { return lowerEdge(rapid.Int32Range(MinIndex, MaxIndex+1).Draw(t, "edge")) }),
		rapid.Float64(),
		rapid.SampledFrom([]float64{0, math.SmallestNonzeroFloat64, math.Inf(1), -1}),
	).Draw(t, "seconds")
}

func recorded(values []float64) (h Histogram) {
	for _, v := range values {
		h.Record(v)
	}
	return h
}

func drawValues(t *rapid.T, name string) []float64 {
	return rapid.SliceOfN(rapid.Custom(drawSeconds), 0, 30).Draw(t, name)
}

func sameCounts(a, b Histogram) bool {
	return a.Zero == b.Zero && slices.Equal(a.Counts, b.Counts) && (len(a.Counts) == 0 || a.Offset == b.Offset)
}

// Property: merging is commutative and associative, equals recording everything in one, and
// leaves what was merged alone.
func TestMergeIsRecordingTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawValues(t, "a"), drawValues(t, "b"), drawValues(t, "c")
		all := recorded(slices.Concat(a, b, c))
		merge := func(parts ...[]float64) (h Histogram) {
			for _, part := range parts {
				one := recorded(part)
				before := one.Clone()
				h.Merge(&one)
				if !reflect.DeepEqual(one, before) {
					t.Fatal("Merge changed what was merged")
				}
			}
			return h
		}
		bc := merge(b, c)
		nested := recorded(a)
		nested.Merge(&bc)
		for _, h := range []Histogram{merge(a, b, c), merge(c, a, b), nested} {
			if !sameCounts(h, all) || math.Abs(h.Sum-all.Sum) > 1e-9*all.Sum {
				t.Fatalf("merged %+v, recorded %+v", h, all)
			}
		}
		if n := all.Counts; len(n) > 0 && (n[0] == 0 || n[len(n)-1] == 0 || len(n) > MaxIndex-MinIndex+1) {
			t.Fatalf("counts begin or end with 0: %v", n)
		}
	})
}

// Property: a quantile is within 1.1 % of the value of its rank, and Above counts what is above
// an edge, exactly.
func TestQuantilesAndCountsAreAsExactAsTheySay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 {
			return math.Exp(rapid.Float64Range(math.Log(1e-6), math.Log(86_000)).Draw(t, "ln s"))
		}), 1, 60).Draw(t, "values")
		h := recorded(values)
		slices.Sort(values)
		q := rapid.Float64Range(-0.1, 1.1).Draw(t, "q")
		rank := min(max(int(math.Ceil(q*float64(len(values)))), 1), len(values))
		if got, want := h.Quantile(q), values[rank-1]; got < want*0.989 || got > want*1.0111 {
			t.Fatalf("quantile %v is %v, the value of its rank %v", q, got, want)
		}
		bound := rapid.OneOf(rapid.SampledFrom(values), rapid.Float64Range(0, 100)).Draw(t, "bound")
		edge := Edge(bound)
		want := uint64(0)
		for _, v := range values {
			if v > edge {
				want++
			}
		}
		if got := h.Above(bound); got != want {
			t.Fatalf("Above(%v) = %d, values over the edge %v: %d", bound, got, edge, want)
		}
		if h.Above(-1) != h.Count() || Edge(edge) != edge || edge > max(bound, lowerEdge(MinIndex)) {
			t.Fatalf("edge of %v is %v, and of that %v", bound, edge, Edge(edge))
		}
	})
}

func TestEdges(t *testing.T) {
	for _, test := range []struct{ seconds, want float64 }{
		{1, 1}, {math.Nextafter(1, 0), lowerEdge(-1)}, {math.Nextafter(1, 2), 1}, {2, 2}, {0.25, 0.25},
		{0, lowerEdge(MinIndex)}, {-3, lowerEdge(MinIndex)}, {math.NaN(), lowerEdge(MinIndex)}, {math.Inf(1), lowerEdge(MaxIndex + 1)},
	} {
		if got := Edge(test.seconds); got != test.want {
			t.Errorf("Edge(%v) = %v, want %v", test.seconds, got, test.want)
		}
	}
	h := recorded([]float64{1, math.Nextafter(1, 2), 0, math.NaN()})
	if h.Count() != 3 || h.Above(1) != 1 || h.Above(0) != 2 {
		t.Errorf("count %d, above 1 s %d, above 0 %d", h.Count(), h.Above(1), h.Above(0))
	}
	if MinIndex != index(1e-6) || MaxIndex != index(86_400) {
		t.Errorf("1 µs is in bucket %d, 1 day in %d", index(1e-6), index(86_400))
	}
}

// Property: the bucket of a value is the one that the data model of OpenTelemetry gives, by
// logarithm, wherever rounding does not decide.
func TestIndexAgreesWithTheDataModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := math.Exp(rapid.Float64Range(-14, 12).Draw(t, "ln"))
		exact := math.Log2(v) * (1 << Scale)
		if math.Abs(exact-math.Round(exact)) < 1e-9 {
			t.Skip("on an edge")
		}
		if got, want := index(v), int32(math.Ceil(exact))-1; got != want {
			t.Fatalf("index(%v) = %d, want %d", v, got, want)
		}
	})
}

// Property: a histogram of a finer scale, imported, has the counts of recording the values.
func TestImportIsRecording(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.Int32Range(Scale, 10).Draw(t, "scale")
		offset := rapid.Int32Range(-600<<(scale-Scale), 500<<(scale-Scale)).Draw(t, "offset")
		counts := rapid.SliceOfN(rapid.Uint64Range(0, 3), 0, 40).Draw(t, "counts")
		var want Histogram
		for k, n := range counts {
			for range n { // the middle of the fine bucket
				want.Record(math.Exp2((float64(offset) + float64(k) + 0.5) / float64(int(1)<<scale)))
			}
		}
		var got Histogram
		if err := got.ImportExponential(scale, 2, offset, counts, 1.5); err != nil {
			t.Fatal(err)
		}
		want.Zero = 2
		if !sameCounts(got, want) || got.Sum != 1.5 {
			t.Fatalf("imported %+v, recorded %+v", got, want)
		}
	})
}

func TestImportRefuses(t *testing.T) {
	for name, err := range map[string]error{
		"coarse":   new(Histogram).ImportExponential(Scale-1, 1, 0, []uint64{1}, 1),
		"too fine": new(Histogram).ImportExponential(21, 1, 0, []uint64{1}, 1),
		"sum":      new(Histogram).ImportExponential(Scale, 1, 0, []uint64{1}, math.NaN()),
		"negative": new(Histogram).ImportExponential(Scale, 1, 0, []uint64{1}, -1),
	} {
		if err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%s: %v, want an error with the remedy", name, err)
		}
	}
}

// FuzzHistogramJSON: whatever JSON gives, the methods stay within bounds and keep the count.
func FuzzHistogramJSON(f *testing.F) {
	data, _ := json.Marshal(recorded([]float64{0, 0.001, 3, 1e9}))
	f.Add(data)
	f.Add([]byte(`{"offset":2147483647,"counts":[1,18446744073709551615],"sum":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var h Histogram
		if json.Unmarshal(data, &h) != nil {
			return
		}
		before := h.Count()
		if q := h.Quantile(0.5); q < 0 || math.IsNaN(q) {
			t.Errorf("median %v", q)
		}
		if above := h.Above(0.1); above > before {
			t.Errorf("%d of %d above", above, before)
		}
		var sum Histogram
		sum.Merge(&h)
		sum.Record(1)
		if want := addCapped(before, 1); sum.Count() != want || len(sum.Counts) > MaxIndex-MinIndex+1 {
			t.Errorf("count %d in %d buckets, want %d", sum.Count(), len(sum.Counts), want)
		}
	})
}

func TestIntervalJSONRoundTrip(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 123, time.UTC)
	iv := Interval{Seq: 3, Step: 1, From: at, To: at.Add(time.Second), Treatment: Arm{Requests: 5, Bad: 1, NewUnits: 2, AtRiskUnits: 4, BadUnits: 1, Latency: recorded([]float64{0, 0.1, 2})},
		Exemplars: []Exemplar{{TraceID: "a", SpanID: "b", Time: at, Seconds: 0.1}}}
	data, err := json.Marshal(iv)
	var back Interval
	if err == nil {
		err = json.Unmarshal(data, &back)
	}
	if err != nil || !reflect.DeepEqual(back, iv) {
		t.Errorf("%+v came back as %+v: %v", iv, back, err)
	}
}

// Property: arms merge as their parts do, without overflow.
func TestArmsMerge(t *testing.T) {
	arm := func(t *rapid.T, name string) Arm {
		n := rapid.SliceOfN(rapid.OneOf(rapid.Uint64Range(0, 9), rapid.Just(uint64(math.MaxUint64))), 5, 5).Draw(t, name)
		measures := []Measure{{Name: name, Of: n[2]}, {Name: "errors", Of: n[0], Bad: n[1], Sum: 1, SumSquares: 2}}
		return Arm{Requests: n[0], Bad: n[1], NewUnits: n[2], AtRiskUnits: n[3], BadUnits: n[4],
			Latency: recorded(drawValues(t, name+" latency")), Measures: measures}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := arm(t, "a"), arm(t, "b")
		ab, ba, before := a.Clone(), b.Clone(), b.Clone()
		ab.Merge(&b)
		ba.Merge(&a)
		if !reflect.DeepEqual(b, before) {
			t.Fatal("Merge changed its argument")
		}
		if ab.Requests != addCapped(a.Requests, b.Requests) || ab.Requests < a.Requests || !sameCounts(ab.Latency, ba.Latency) {
			t.Fatalf("%+v and %+v", ab, ba)
		}
		ab.Latency, ba.Latency = Histogram{}, Histogram{}
		if !reflect.DeepEqual(ab, ba) {
			t.Fatalf("%+v, in the other order %+v", ab, ba)
		}
	})
	var none Arm
	none.Merge(nil)
	if !none.Empty() || !none.Consistent() {
		t.Error("an arm with nothing merged is not empty")
	}
}

func TestConsistent(t *testing.T) {
	for _, test := range []struct {
		arm  Arm
		want bool
	}{{Arm{Requests: 2, Bad: 2, AtRiskUnits: 1, BadUnits: 1}, true}, {Arm{Bad: 1}, false}, {Arm{Requests: 9, BadUnits: 1}, false}} {
		if got := test.arm.Consistent(); got != test.want {
			t.Errorf("%+v: %v", test.arm, got)
		}
	}
	iv := Interval{Treatment: Arm{Requests: 1}}
	if iv.Compared() || iv.Duration() != 0 {
		t.Error("an interval with one arm is compared")
	}
	if iv.Control.NewUnits = 1; !iv.Compared() {
		t.Error("an interval with both arms is not compared")
	}
}

// Property: the newest exemplars stay, one for each trace, in order, and the lists given stay as
// they are.
func TestExemplarsKeepTheNewest(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Exemplar {
		return Exemplar{TraceID: rapid.SampledFrom(strings.Split("abcdefghi", "")).Draw(t, "trace"), Time: at.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "second")) * time.Second)}
	}), 0, 12)
	rapid.Check(t, func(t *rapid.T) {
		older, newer := list.Draw(t, "older"), list.Draw(t, "newer")
		copies := fmt.Sprint(older, newer)
		got := AddExemplars(older, newer...)
		newest := map[string]time.Time{}
		for _, e := range append(slices.Clone(older), newer...) {
			if e.Time.After(newest[e.TraceID]) {
				newest[e.TraceID] = e.Time
			}
		}
		if fmt.Sprint(older, newer) != copies {
			t.Fatal("a list was changed")
		}
		if !slices.IsSortedFunc(got, func(a, b Exemplar) int {
			if before(a, b) {
				return -1
			}
			return 1
		}) {
			t.Fatalf("not in order: %v", got)
		}
		for _, e := range got {
			if !e.Time.Equal(newest[e.TraceID]) {
				t.Fatalf("%v is not the newest of its trace (%v)", e, newest[e.TraceID])
			}
		}
		if len(older) == 0 && len(got) != min(len(newest), MaxExemplars) {
			t.Fatalf("%d kept of %d traces", len(got), len(newest))
		}
	})
}

func BenchmarkRecordNoAlloc(b *testing.B) {
	h := recorded([]float64{1e-6, 86_400})
	if n := testing.AllocsPerRun(100, func() { h.Record(0.0123) }); n != 0 {
		b.Fatalf("%v allocations", n)
	}
	for b.Loop() {
		h.Record(0.0123)
	}
}
