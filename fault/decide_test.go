package fault

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// within checks that a count is within 4 standard deviations of what its probability says.
func within(t *testing.T, what string, hits, draws int, p float64) {
	t.Helper()
	mean, sd := float64(draws)*p, math.Sqrt(float64(draws)*p*(1-p))
	if off := math.Abs(float64(hits) - mean); off > 4*sd {
		t.Errorf("%s: %d of %d, expected %.0f ± %.0f (4 sd)", what, hits, draws, mean, 4*sd)
	}
}

func anyDuration(t *rapid.T, name string) time.Duration {
	return time.Duration(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-5, int64(2*time.Hour)), rapid.Just(int64(math.MaxInt64)), rapid.Just(int64(math.MinInt64))).Draw(t, name))
}

func TestC1EveryRangeOfLatencyWorks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Fault{Kind: KindLatency, Min: anyDuration(t, "min"), Max: anyDuration(t, "max")}
		caps := Caps{MaxLatency: anyDuration(t, "cap")}.normalized()
		got := f.delay(rapid.Uint64().Draw(t, "draw"), caps.MaxLatency)
		if got < 0 || got > caps.MaxLatency || got > MaxLatency {
			t.Fatalf("%v..%v capped at %v gives %v", f.Min, f.Max, caps.MaxLatency, got)
		}
		if f.Min >= 0 && f.Max >= f.Min && f.Max <= caps.MaxLatency && (got < f.Min || got > f.Max) {
			t.Fatalf("%v..%v gives %v", f.Min, f.Max, got)
		}
	})
	same := Fault{Min: time.Second, Max: time.Second}
	for _, draw := range []uint64{0, 1, math.MaxUint64} {
		if got := same.delay(draw, time.Minute); got != time.Second {
			t.Errorf("1s..1s gives %v", got)
		}
	}
	ends := Fault{Min: 1, Max: 3}
	if low, high := ends.delay(0, time.Minute), ends.delay(math.MaxUint64, time.Minute); low != 1 || high != 3 {
		t.Errorf("1..3 ns gives %d to %d: both ends belong to it", low, high)
	}
}

func TestLatencyIsEven(t *testing.T) {
	f := Fault{Min: 100 * time.Millisecond, Max: 300 * time.Millisecond}
	const draws, bins = 100_000, 20
	var count [bins]int
	for i := range draws {
		d := f.delay(mix(uint64(i)), time.Minute) - f.Min
		count[min(int(d*bins/(200*time.Millisecond)), bins-1)]++
	}
	for i, n := range count {
		within(t, fmt.Sprintf("bin %d", i), n, draws, 1.0/bins)
	}
}

// Users of every usual form, each with calls of its own: the share of calls that are hit, and of
// each fault among them, is as the program says.
func TestRateAndWeights(t *testing.T) {
	forms := map[string]string{"sequential": "user-%d", "padded": "%08d", "decimal": "%d", "mail": "u%d@example.com", "one user": "me"}
	program := &Program{Faults: []Fault{{Kind: KindError, Weight: 2}, {Kind: KindLatency, Weight: 1, Max: 1}, {Kind: KindCancel, Weight: 3}, {Kind: KindError, Weight: 0, Phase: After}}}
	weights := []float64{2, 1, 3, 1}
	caps := Caps{}.normalized()
	for form, format := range forms {
		units := make([]string, 10_000)
		for i := range units {
			if units[i] = format; strings.Contains(format, "%") {
				units[i] = fmt.Sprintf(format, i)
			}
		}
		for _, rate := range []float64{0, 0.001, 0.05, 0.5, 0.6, 1} {
			program.Rate = rate
			const draws = 40_000
			hits, byFault := 0, map[*Fault]int{}
			for i := range draws {
				f := program.decide("payment", Assignment{Experiment: "storm", Seed: "1", Unit: units[i%len(units)], Call: uint64(i)}, &caps).fault
				if f != nil {
					hits++
					byFault[f]++
				}
			}
			within(t, fmt.Sprintf("%s at %v", form, rate), hits, draws, rate)
			for i := range program.Faults {
				within(t, fmt.Sprintf("%s at %v: fault %d", form, rate, i), byFault[&program.Faults[i]], hits, weights[i]/7)
			}
		}
	}
}

// Another machine makes the same decisions; see also TestS11SameSeedSameFaults. And a decision must not tell anything about another one: of another experiment, run, point, unit, or call.
func TestC8DecisionsAreTheSameEverywhereAndIndependent(t *testing.T) {
	program := &Program{Rate: 0.1, Faults: []Fault{{Kind: KindError}}}
	caps := Caps{}.normalized()
	hit := func(point string, a Assignment) bool { return program.decide(point, a, &caps).fault != nil }
	base := Assignment{Experiment: "storm", Seed: "1", Unit: "u", Call: 1}
	others := map[string]func(string, *Assignment) string{
		"experiment": func(p string, a *Assignment) string { a.Experiment = "calm"; return p },
		"run":        func(p string, a *Assignment) string { a.Seed = "2"; return p },
		"point":      func(p string, a *Assignment) string { return "stock" },
		"next call":  func(p string, a *Assignment) string { a.Call++; return p },
	}
	for name, change := range others {
		both, first := 0, 0
		for i := range 100_000 {
			a := base
			a.Unit = fmt.Sprintf("user-%d", i)
			b := a
			point := change("payment", &b)
			if hit("payment", a) {
				first++
				if hit(point, b) {
					both++
				}
			}
		}
		within(t, "hit in both, given the one; other "+name, both, first, program.Rate)
	}
	if a, b := (Assignment{Experiment: "beta", Unit: "1user"}), (Assignment{Experiment: "beta1", Unit: "user"}); a.hash("p") == b.hash("p") {
		t.Error("two assignments read the same")
	}
}

func TestS11SameSeedSameFaults(t *testing.T) {
	program := &Program{Rate: 0.5, Faults: []Fault{{Kind: KindError, Weight: 2}, {Kind: KindLatency, Min: 1, Max: time.Second}, {Kind: KindCancel}}}
	run := func(seed string, first int) string {
		var log strings.Builder
		p := NewPoint("payment", Caps{})
		for call := first; call <= 200; call++ {
			d := program.decide(p.Name(), Assignment{Experiment: "storm", Seed: seed, Unit: "user-7", Call: uint64(call)}, &p.caps.Load().hold)
			if d.fault == nil {
				log.WriteString("- ")
			} else {
				fmt.Fprintf(&log, "%s:%d ", d.fault.Kind, d.delay)
			}
		}
		return log.String()
	}
	if first, second := run("1", 1), run("1", 1); first != second {
		t.Error("two runs of one seed differ")
	}
	if run("1", 1) == run("2", 1) {
		t.Error("another seed gives the same faults")
	}
	if !strings.HasSuffix(run("1", 1), run("1", 150)) {
		t.Error("a decision depends on those before it: it cannot be replayed")
	}
	// Frozen: other machines, and other versions of this code, must decide alike. Computed by a
	// program in another language, from RFC 9923 and the paper on SplitMix64.
	for a, want := range map[Assignment]uint64{
		{}: 0x205cb2fcbfc11fcd,
		{Experiment: "storm", Seed: "1", Unit: "user-7", Call: 1}:             0x33a8391445263cd4,
		{Experiment: "storm", Seed: "1", Unit: "user-7", Call: math.MaxInt64}: 0xab983032853d026,
		{Experiment: "stürm", Seed: "v.1.2", Unit: "日本", Call: 258}:           0xc5700a32aebe3242,
	} {
		if got := a.hash("payment"); got != want {
			t.Errorf("%+v: hash %#x, want %#x", a, got, want)
		}
	}
}

func TestAPointNumbersCallsThatTheSourceDoesNot(t *testing.T) {
	program := &Program{Rate: 0.3, Faults: []Fault{{Kind: KindError}}}
	p := NewPoint("payment", Caps{})
	p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) { return program, Assignment{Unit: "me"} }), nil)
	for range 10_000 {
		_ = p.Do(ctxBG, succeed)
	}
	within(t, "share", int(p.Injected()), 10_000, 0.3)
}
