package evidence

import (
	"encoding/json"
	"hash/fnv"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The vector of the reference, section 2 (f).
func TestMeanRuleVector(t *testing.T) {
	logs := []float64{math.Log(30), math.Log(3), math.Log(1.2), math.Log(0.5)}
	near(t, "mean", math.Exp(MeanLogE(logs...)), 8.675, 1e-12)
	if named := Blame(logs, 0.05); named != nil {
		t.Errorf("blamed %v without an alarm", named)
	}
}

// The vector of section 2 (f) and what e-BH says of it; and one that e-BH answers.
func TestEBHVector(t *testing.T) {
	for _, v := range []struct {
		es   []float64
		want []int
	}{
		{[]float64{30, 3, 1.2, 0.5}, nil}, {[]float64{3, 81, 45, 1}, []int{1, 2}}, {[]float64{79, 41}, []int{0, 1}}, {nil, nil},
	} {
		var logs []float64
		for _, e := range v.es {
			logs = append(logs, math.Log(e))
		}
		if got := EBH(logs, 0.05); !slices.Equal(got, v.want) {
			t.Errorf("%v: named %v, want %v", v.es, got, v.want)
		}
	}
	if EBH([]float64{100}, 0) != nil || EBH([]float64{100}, math.NaN()) != nil {
		t.Error("named at no level")
	}
}

// Property: BlameWeighted is closed testing by weighted means, computed over all subsets; equal
// weights are Blame, and what it names is named only after an alarm of the weighted mean.
func TestBlameWeightedIsClosedTesting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-8, 10), rapid.Float64Range(0, 4)), 1, 7).Draw(t, "logs")
		weights := rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0.1, 1, 2, 7, -1, math.NaN(), math.Inf(1)}), 0, 8).Draw(t, "weights")
		alpha := rapid.SampledFrom([]float64{0.01, 0.05, 0.3}).Draw(t, "alpha")
		named := BlameWeighted(logs, weights, alpha)
		var want []int
		for j := range logs {
			if usableWeight(weights, j) > 0 && everyWeightedSet(logs, weights, j, 1/alpha) {
				want = append(want, j)
			}
		}
		if sorted := slices.Sorted(slices.Values(named)); !slices.Equal(sorted, want) {
			t.Fatalf("named %v, closed testing names %v", sorted, want)
		}
		if len(named) > 0 && WeightedMeanLogE(logs, weights) < math.Log(1/alpha)-1e-12 {
			t.Fatalf("named %v without an alarm", named)
		}
		equal := slices.Repeat([]float64{0.25}, len(logs))
		if got := BlameWeighted(logs, equal, alpha); !slices.Equal(got, Blame(logs, alpha)) {
			t.Fatalf("equal weights name %v, Blame %v", got, Blame(logs, alpha))
		}
	})
}

// A small weight cannot be blamed in the place of a large one.
func TestBlameWeighsTheWeights(t *testing.T) {
	logs := []float64{math.Log(30), math.Log(1.5)}
	for _, v := range []struct {
		weights []float64
		want    []int
	}{{[]float64{1, 1}, nil}, {[]float64{3, 1}, []int{0}}, {[]float64{0.1, 9}, nil}, {[]float64{1, 0}, []int{0}}, {[]float64{0, 1}, nil}, {nil, nil}} {
		if got := BlameWeighted(logs, v.weights, 0.05); !slices.Equal(got, v.want) {
			t.Errorf("weights %v: named %v, want %v", v.weights, got, v.want)
		}
	}
}

// everyWeightedSet reports whether the weighted mean of every set with j reaches the threshold.
func everyWeightedSet(logs, weights []float64, j int, threshold float64) bool {
	for set := range 1 << len(logs) {
		sum, total := 0.0, 0.0
		for i := range logs {
			if set>>i&1 == 1 && usableWeight(weights, i) > 0 {
				sum, total = sum+weights[i]*math.Exp(logs[i]), total+weights[i]
			}
		}
		if set>>j&1 == 1 && sum/total < threshold*(1-1e-12) {
			return false
		}
	}
	return true
}

func TestMeanOfNothing(t *testing.T) {
	for name, got := range map[string]float64{
		"no values":    MeanLogE(),
		"no weights":   WeightedMeanLogE([]float64{3}, nil),
		"bad weights":  WeightedMeanLogE([]float64{3, 4}, []float64{-1, math.NaN()}),
		"equal":        MeanLogE(2, 2) - 2,
		"one weight":   WeightedMeanLogE([]float64{3, 4}, []float64{0, 2}) - 4,
		"minus Inf":    MeanLogE(math.Inf(-1), math.Log(2)),
		"huge numbers": MeanLogE(1e300, 1e300) - 1e300,
	} {
		if math.Abs(got) > 1e-15 {
			t.Errorf("%s: %v, want 0", name, got)
		}
	}
}

// Property: Blame is closed testing, computed by its definition over all subsets; what it names
// is named only after an alarm of the mean, and the mean rule fires whenever Bonferroni does.
func TestBlameIsClosedTesting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := rapid.SliceOfN(rapid.Float64Range(-8, 10), 1, 7).Draw(t, "logs")
		alpha := rapid.SampledFrom([]float64{0.01, 0.05, 0.3}).Draw(t, "alpha")
		named := Blame(logs, alpha)
		var want []int
		for j := range logs {
			if everySet(logs, j, 1/alpha) {
				want = append(want, j)
			}
		}
		if sorted := slices.Sorted(slices.Values(named)); !slices.Equal(sorted, want) {
			t.Fatalf("named %v, closed testing names %v", sorted, want)
		}
		if !slices.IsSortedFunc(named, func(a, b int) int { return -compareFloat(logs[a], logs[b]) }) {
			t.Fatalf("named %v is not by strength in %v", named, logs)
		}
		mean := MeanLogE(logs...)
		if len(named) > 0 && mean < math.Log(1/alpha)-1e-12 {
			t.Fatalf("named %v at mean %v", named, mean)
		}
		if slices.Max(logs) >= math.Log(float64(len(logs))/alpha)+1e-12 && mean < math.Log(1/alpha) {
			t.Fatal("Bonferroni alarms and the mean does not")
		}
		near := WeightedMeanLogE(logs, slices.Repeat([]float64{0.3}, len(logs)))
		if math.Abs(near-mean) > 1e-12 {
			t.Fatalf("with equal weights %v, want %v", near, mean)
		}
	})
}

// everySet reports whether the mean of every subset with j reaches the threshold.
func everySet(logs []float64, j int, threshold float64) bool {
	for set := range 1 << len(logs) {
		if set>>j&1 == 0 {
			continue
		}
		sum, n := 0.0, 0.0
		for i := range logs {
			if set>>i&1 == 1 {
				sum, n = sum+math.Exp(logs[i]), n+1
			}
		}
		if sum/n < threshold*(1-1e-12) {
			return false
		}
	}
	return true
}

func drawAny(t *rapid.T) Counts {
	n := rapid.OneOf(rapid.Uint64Range(0, 3_000), rapid.Uint64(), rapid.Just(uint64(math.MaxUint64)))
	return Counts{X: n.Draw(t, "x"), Mc: n.Draw(t, "mc"), Y: n.Draw(t, "y"), Mb: n.Draw(t, "mb")}
}

// Property: no counts, however extreme or contradictory, break a number, and everything comes
// back from JSON with the same bits.
func TestNoCountsBreakANumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewGuard(rapid.Float64Range(0, 12).Draw(t, "relative"), rapid.Float64Range(0, 0.6).Draw(t, "absolute"))
		var ratio RatioSequence
		var sample SampleRatio
		for range rapid.IntRange(1, 20).Draw(t, "intervals") {
			c := drawAny(t)
			g.Add(c)
			ratio.Add(c)
			sample.Add(c.Mc, c.Mb, rapid.Float64Range(-0.1, 1.1).Draw(t, "share"))
		}
		low, high, value := ratio.Interval(0.05)
		for _, v := range []float64{g.LogHarm(), g.LogNoWorse(), g.LogAnyHarm(), sample.LogE(), low, high, value} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%v in %+v", v, g)
			}
		}
		if !(low <= high && low >= MinRatio && high <= MaxRatio) {
			t.Fatalf("interval %v to %v", low, high)
		}
		var g2 Guard
		var ratio2 RatioSequence
		var sample2 SampleRatio
		again(t, g, &g2)
		again(t, ratio, &ratio2)
		again(t, sample, &sample2)
		if g != g2 || ratio != ratio2 || sample != sample2 {
			t.Fatal("JSON lost bits")
		}
	})
}

func again(t *rapid.T, from, into any) {
	data, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Property: a shared split, one of another margin and none at all give the same bits.
func TestSplitChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		relative := rapid.SampledFrom([]float64{0, 0.2, 3, math.NaN(), 1e9}).Draw(t, "relative")
		absolute := rapid.SampledFrom([]float64{0, 0.001}).Draw(t, "absolute")
		alone := NewGuard(relative, absolute)
		shared, other := alone, alone
		var ratio, ratioShared RatioSequence
		for range rapid.IntRange(1, 5).Draw(t, "intervals") {
			c := drawAny(t)
			alone.Add(c)
			ratio.Add(c)
			s, o := NewSplit(relative, c.Mc, c.Mb), NewSplit(0.7, c.Mc, c.Mb)
			shared.AddSplit(&s, c.X, c.Y)
			other.AddSplit(&o, c.X, c.Y)
			ratioShared.AddSplit(&o, c.X, c.Y)
		}
		if alone != shared || alone != other || ratio != ratioShared {
			t.Fatal("the split changed a bit")
		}
		// Each part is the process by itself.
		e, l, a := NewHarmRate(1+relative), NewLateHarmRate(1+relative), NewAnyHarm()
		c := drawCounts(t)
		e.Add(c)
		l.Add(c)
		a.Add(c)
		g := NewGuard(relative, absolute)
		if g.Add(c); !g.HarmRate.IsZero() && relative < 900 && (g.HarmRate != e || g.HarmLate != l) {
			t.Fatal("a part of the guard is not the process by itself")
		}
		if g.AnyHarm != a {
			t.Fatal("any harm of the guard is not the process by itself")
		}
	})
}

// The bits themselves are fixed: a change of them breaks the replay of stored logs, so it needs
// a decision, not only a new number here.
func TestBitsAreFixed(t *testing.T) {
	g := NewGuard(0.2, 0.001)
	var ratio RatioSequence
	var sample SampleRatio
	var score Score
	var bounded BoundedMean
	means, flow, backstop := NewMeans(0.1, 0.5), NewFlow(0.05), NewBackstop(0.004)
	share, split, difference := NewProportion(0.01), NewConstantSplit(0.25), NewDifferenceSequence(0.05)
	for i := range uint64(200) {
		c := Counts{X: i * i % 7, Mc: 300 + i, Y: i * i % 11, Mb: 900 + 3*i}
		g.Add(c)
		ratio.Add(c)
		sample.Add(c.Mc, c.Mb, 0.25)
		score.Add(c)
		bounded.Add(float64(c.Y) / 10)
		means.Add(Moments{40, float64(100 + c.X), float64(400 + 20*c.X)}, Moments{90, float64(220 + c.Y), float64(800 + 20*c.Y)})
		flow.Add(c.Mc, c.Mb, 0.25)
		backstop.Add(c.X, c.Mc)
		share.Add(c.X, c.Mc)
		split.Add(c.X, c.Y)
		difference.Add(c)
	}
	low, high, estimate := ratio.Interval(0.05)
	data, err := json.Marshal([]any{
		g, ratio, sample, score, bounded, means, flow, backstop, share, split, difference,
		g.LogHarm(), g.LogNoWorse(), g.LogAnyHarm(), low, high, estimate, means.LogHarm(), means.LogNoWorse(), flow.LogHarm(),
		backstop.LogE(), share.LogAbove(0.01), split.LogNoWorse(1.2), QuantileLogE(0.9, 0, []uint64{5, 60, 3}, []uint64{50, 60, 9}),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := fnv.New64a()
	h.Write(data)
	if got := h.Sum64(); got != wantBits {
		t.Errorf("hash of the state is %#x, want %#x", got, uint64(wantBits))
	}
}

const wantBits = 0xe3f93413035e215

// Property: the interval of a RatioSequence is the set of ratios that the definition gives, and
// its estimate the ratio of greatest likelihood.
func TestRatioIntervalIsTheSetOfItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawCounts), 1, 6).Draw(t, "rows")
		var s RatioSequence
		for _, c := range rows {
			s.Add(c)
		}
		logL := func(u float64) (sum float64) {
			for _, c := range rows {
				share := float64(c.Mc) / float64(c.Mc+c.Mb)
				sum += float64(c.X)*u - float64(c.X+c.Y)*math.Log1p(share*math.Expm1(u))
			}
			return sum
		}
		mixture := 0.0
		for k := -40; k <= 40; k++ {
			mixture += math.Exp(logL(float64(k)/10)) / 81
		}
		inside := func(u float64) bool { return math.Log(mixture)-logL(u) < math.Log(1/0.05) }
		low, high, value := s.Interval(0.05)
		for u := -3.99; u < 4; u += 0.03 {
			r := math.Exp(u)
			nearEdge := math.Abs(u-math.Log(low)) < 1e-6 || math.Abs(u-math.Log(high)) < 1e-6
			if in := r > low && r < high; in != inside(u) && !nearEdge {
				t.Fatalf("ratio %v: in the interval %v to %v is %v, by definition %v", r, low, high, in, !in)
			}
			if logL(u) > logL(math.Log(value))+1e-7 {
				t.Fatalf("ratio %v is likelier than the estimate %v", r, value)
			}
		}
	})
}

// Property: the same to six digits for counts of any size, against the definition with all 81
// ratios, bisected.
func TestRatioIntervalToSixDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.SampledFrom([]uint64{1, 30, 1_000, 30_000, 1_000_000}).Draw(t, "scale")
		var s RatioSequence
		var rows []Counts
		truth := rapid.Float64Range(0.05, 20).Draw(t, "truth")
		for range rapid.IntRange(1, 5).Draw(t, "rows") {
			mc, mb := rapid.Uint64Range(1, 1000).Draw(t, "mc"), rapid.Uint64Range(1, 1000).Draw(t, "mb")
			y := rapid.Uint64Range(0, 20).Draw(t, "y") * scale
			x := uint64(truth * float64(y) * float64(mc) / float64(mb))
			rows = append(rows, Counts{X: x, Mc: mc * scale * 100_000, Y: y, Mb: mb * scale * 100_000})
			s.Add(rows[len(rows)-1])
		}
		logL := func(u float64) (sum float64) {
			for _, c := range rows {
				share := float64(c.Mc) / float64(c.Mc+c.Mb)
				sum += float64(c.X)*u - float64(c.X+c.Y)*math.Log1p(share*math.Expm1(u))
			}
			return sum
		}
		var logs []float64
		for k := -40; k <= 40; k++ {
			logs = append(logs, logL(float64(k)/10))
		}
		level := MeanLogE(logs...) + math.Log(0.05)
		a, b := -4.0, 4.0
		for range 100 {
			if l, r := a+(b-a)/3, b-(b-a)/3; logL(l) < logL(r) {
				a = l
			} else {
				b = r
			}
		}
		edge := func(inside, outside float64) float64 {
			if logL(outside) > level {
				return outside
			}
			for range 100 {
				if m := (inside + outside) / 2; logL(m) > level {
					inside = m
				} else {
					outside = m
				}
			}
			return inside
		}
		low, high, _ := s.Interval(0.05)
		for _, end := range [2][2]float64{{low, edge(a, -4)}, {high, edge(a, 4)}} {
			if want := math.Exp(end[1]); math.Abs(end[0]/want-1) > 1e-6 {
				t.Fatalf("an end is %v, by definition %v", end[0], want)
			}
		}
	})
}

// Property: LateRate is the mixture over all beginnings, summed up naively in logs, also where the
// evidence goes up and down by thousands.
func TestLateRateIsTheMixtureOverBeginnings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const r0 = 1.2
		e := NewLateHarmRate(r0)
		var logS [][latePoints]float64 // of each interval
		for range rapid.IntRange(1, 12).Draw(t, "intervals") {
			scale := rapid.SampledFrom([]uint64{1, 100, 10_000}).Draw(t, "scale")
			c := drawCounts(t)
			c.X, c.Y = c.X*scale, c.Y*scale
			c.Mc, c.Mb = c.Mc*scale, c.Mb*scale
			e.Add(c)
			if v := e.LogE(); math.IsNaN(v) || e.scale < 0 {
				t.Fatalf("ln E is %v in %+v", v, e)
			}
			if c.X+c.Y == 0 {
				continue
			}
			var row [latePoints]float64
			share := float64(c.Mc) / float64(c.Mc+c.Mb)
			for k := range row {
				u := 0.2 * float64(k+1)
				row[k] = float64(c.X)*u - float64(c.X+c.Y)*math.Log((1-share+share*r0*math.Exp(u))/(1-share+share*r0))
			}
			logS = append(logS, row)
		}
		terms := []float64{-math.Log(float64(len(logS) + 1))}
		for begin := range logS {
			n := float64(begin + 1)
			for k := range latePoints {
				sum := -math.Log(n * (n + 1) * latePoints)
				for _, row := range logS[begin:] {
					sum += row[k]
				}
				terms = append(terms, sum)
			}
		}
		// What once was less than e^-700 of the rest may be missing.
		swing := 0.0
		for _, row := range logS {
			swing += max(slices.Max(row[:]), -slices.Min(row[:]))
		}
		got, want := e.LogE(), logSumExp(terms)
		if off := got - want; off > 1e-9*max(1, math.Abs(want)) || swing < 600 && off < -1e-9*max(1, math.Abs(want)) {
			t.Fatalf("ln E = %v, the mixture is %v", got, want)
		}
	})
}

// Evidence of thousands is not lost in an interval that speaks against it.
func TestLateRateKeepsGreatEvidence(t *testing.T) {
	e := NewLateHarmRate(1.2)
	e.Add(Counts{X: 10_000, Mc: 1_000_000, Y: 1_000, Mb: 1_000_000})
	before := e.LogE()
	e.Add(Counts{X: 0, Mc: 1_000_000, Y: 400, Mb: 1_000_000})
	if after := e.LogE(); before < 3000 || after < before-1500 || after > before-300 {
		t.Errorf("ln E went from %v to %v", before, after)
	}
	for range 10_000 {
		e.Add(Counts{X: 3, Mc: 1_000, Y: 2, Mb: 500})
	}
	if after := e.LogE(); after > 0 || after < -20 {
		t.Errorf("ln E in the end is %v, want the reserve", after)
	}
}

func TestStoredProcessesOfOtherRulesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"another grid":   `{"r0":1.2,"direction":"harm","logS":"AAAAAAAA8D8="}`,
		"no direction":   `{"r0":1.2,"logS":"AAAAAAAA8D8="}`,
		"ratio too high": `{"r0":1e9,"direction":"no_worse"}`,
		"not an object":  `[]`,
	} {
		e := NewHarmRate(2)
		if err := json.Unmarshal([]byte(text), &e); err == nil || !reflect.DeepEqual(e, NewHarmRate(2)) {
			t.Errorf("%s: error %v, and the process is %+v", name, err, e)
		}
	}
}

func TestStoredGuardsOfOtherRulesAreRefused(t *testing.T) {
	for name, v := range map[string]struct{ text, says string }{
		"the coarser grid of any harm": {`{"format":2,"relative":0.2,"absolute":0.001}`, "in format 2, want 3; start the guard anew"},
		"fewer numbers":                {`{"format":3,"relative":0.2,"state":"AAAAAAAA8D8="}`, "stored state has 8 bytes, want 840; start the process anew"},
		"margins out of range":         {`{"format":3,"relative":-1}`, "start the guard anew"},
	} {
		g := NewGuard(0.5, 0)
		if err := json.Unmarshal([]byte(v.text), &g); err == nil || !strings.Contains(err.Error(), v.says) || g != NewGuard(0.5, 0) {
			t.Errorf("%s: error %v, want one that says %q, and the guard is %+v", name, err, v.says, g)
		}
	}
}

func TestStoredAnyHarmOfOtherRulesIsRefused(t *testing.T) {
	coarse := NewHarmRate(1)
	coarse.Add(Counts{6, 300, 30, 5700})
	rate, err := json.Marshal(coarse)
	if err != nil {
		t.Fatal(err)
	}
	e := NewAnyHarm()
	e.Add(Counts{6, 300, 30, 5700})
	for _, text := range []string{string(rate), `{"points":32}`, `{"points":40,"logS":"AAAAAAAA8D8="}`, `[]`} {
		was := e
		if err := json.Unmarshal([]byte(text), &e); err == nil || e != was {
			t.Errorf("%s: error %v, and the process is %+v", text, err, e)
		}
	}
	for _, from := range []AnyHarm{e, NewAnyHarm(), {}} {
		var back AnyHarm
		data, err := json.Marshal(from)
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if err != nil || back != from {
			t.Errorf("%s gave %+v: %v", data, back, err)
		}
	}
}

func FuzzRelativeRateJSON(f *testing.F) {
	e := NewNoWorseRate(1.5)
	e.Add(Counts{1, 100, 3, 100})
	data, _ := json.Marshal(e)
	f.Add(data)
	f.Add([]byte(`{"r0":1e999}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e, back RelativeRate
		if json.Unmarshal(data, &e) != nil {
			return
		}
		text, err := json.Marshal(e)
		if err != nil || json.Unmarshal(text, &back) != nil || e != back {
			t.Errorf("%s gave %+v, which came back as %+v: %v", data, e, back, err)
		}
	})
}

func TestAddIgnoresWhatSaysNothing(t *testing.T) {
	for _, kind := range []process{new(RelativeRate), new(AnyHarm), new(Difference), new(Recent), new(LateRate)} {
		kind.Add(Counts{5, 10, 1, 10})
		if kind.LogE() != 0 || !reflect.ValueOf(kind).Elem().IsZero() {
			t.Errorf("the zero %T weighed an interval", kind)
		}
	}
	g := NewGuard(0.2, 0.001)
	for _, c := range []Counts{{}, {X: 3, Mc: 10}, {Y: 3, Mb: 10}} {
		if g.Add(c); g != NewGuard(0.2, 0.001) {
			t.Errorf("%+v, with one arm only, changed the evidence", c)
		}
	}
	near(t, "p", AnytimeP(math.Log(20)), 0.05, 1e-15)
	near(t, "p", AnytimeP(-3), 1, 0)
}
