package eval

import (
	"testing"

	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// paths are the ways through an evaluation; none may allocate.
func paths(t testing.TB) map[string]func() Result {
	split := &flag.Split{BucketBy: "account", Weights: []flag.Share{{Variant: "red", Weight: flag.TotalWeight}}}
	target := clause("country", flag.OpIn, `"de"`, `"fr"`)
	s := compile(t, flag.Set{Segments: []flag.Segment{beta}, Flags: []flag.Flag{
		stringFlag("static"), stringFlag("rule", flag.Rule{When: &target, Serve: "on"}), stringFlag("split", flag.Rule{Split: split}),
		stringFlag("group", flag.Rule{When: &flag.Condition{Segment: "beta"}, Serve: "on"})}})
	ops := compile(t, opSet())
	trial := ramp(t, 50_000)
	c := &Context{TargetingKey: "user-123456", Attributes: map[string]any{"country": "de", "account": 123456, "plan": "pro"}}
	run := func(key string) func() Result { return func() Result { return s.Evaluate(key, c) } }
	ways := map[string]func() Result{
		"static": run("static"), "rule": run("rule"), "split": run("split"), "group": run("group"), "unknown": run("nope"),
		"trial": func() Result { return trial.Evaluate(c) },
		"nil":   func() Result { return trial.Evaluate(nil) },
	}
	met := &Context{TargetingKey: "user-123456", Attributes: map[string]any{"t": "10.1.2.3", "n": 1.25, "v": "1.2.3", "d": "2026-05-01T10:00:00+05:37",
		"o": map[string]any{"deep": map[string]any{"er": []any{"x", "y"}}}, "list": []string{"a", "b"}}}
	missed := &Context{TargetingKey: "user-9", Attributes: map[string]any{"t": "no address", "n": "no number", "v": "no version", "d": "no day", "o": 5, "list": []any{1, nil}}}
	for _, f := range ops.Flags() {
		ways[f.Key()+" met"] = func() Result { return f.Evaluate(met) }
		ways[f.Key()+" missed"] = func() Result { return f.Evaluate(missed) }
	}
	return ways
}

// opSet has a flag for each operator, with a prerequisite, overrides and a layer.
func opSet() flag.Set {
	set := flag.Set{Flags: []flag.Flag{stringFlag("base")}}
	for name, when := range map[string]flag.Condition{
		"equals": clause("t", flag.OpEquals, `"10.1.2.3"`), "contains": clause("t", flag.OpContains, `".1."`), "matches": clause("t", flag.OpMatches, `"^1[0-9]\\.(1|2)+\\."`),
		"cidr": clause("t", flag.OpInCIDR, `"10.0.0.0/8"`), "version": clause("v", flag.OpVersionMinor, `"1.2"`), "version-of-number": clause("n", flag.OpVersionMajor, `"1"`),
		"before": clause("d", flag.OpBefore, `"2026-06-01T00:00:00Z"`), "number": clause("n", flag.OpLess, `2`), "path": clause("o.deep.er.1", flag.OpIn, `"y"`),
		"list": clause("list", flag.OpIn, `"b"`), "list-exists": clause("list", flag.OpExists),
	} {
		f := stringFlag(name, flag.Rule{When: &when, Serve: "on"}, flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "red", Weight: 1_000}}}})
		f.Prerequisites = []flag.Prerequisite{{Flag: "base", Variants: []string{"off"}}}
		f.Overrides = []flag.Override{{Variant: "red", Units: []string{"someone"}}}
		from := flag.Weight(len(set.Flags))
		set.Layers = append(set.Layers, flag.Layer{Key: name, Slots: []flag.Slot{{Flag: name, From: from, To: from + 50_000}}})
		set.Flags = append(set.Flags, f)
	}
	return set
}

func TestEvaluateDoesNotAllocate(t *testing.T) {
	for name, evaluate := range paths(t) {
		if n := testing.AllocsPerRun(200, func() { evaluate() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := testing.AllocsPerRun(200, func() { bucket.Hash("checkout-v2", "user-123456") }); n != 0 {
		t.Errorf("Hash: %v allocations", n)
	}
}

func BenchmarkEvaluateNoAlloc(b *testing.B) {
	for name, evaluate := range paths(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				evaluate()
			}
		})
	}
}
