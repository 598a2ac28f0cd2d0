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
	trial := ramp(t, 50_000)
	c := &Context{TargetingKey: "user-123456", Attributes: map[string]any{"country": "de", "account": 123456, "plan": "pro"}}
	run := func(key string) func() Result { return func() Result { return s.Evaluate(key, c) } }
	return map[string]func() Result{
		"static": run("static"), "rule": run("rule"), "split": run("split"), "group": run("group"), "unknown": run("nope"),
		"trial": func() Result { return trial.Evaluate(c) },
		"nil":   func() Result { return trial.Evaluate(nil) },
	}
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
