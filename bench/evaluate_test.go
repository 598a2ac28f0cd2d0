package bench

import (
	"sync/atomic"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Every candidate does the same work: it gives true to the share of units that the flag asks for.
func TestSameWork(t *testing.T) {
	want := map[string][2]float64{ // per cent
		caseStatic: {100, 100}, caseRollout: {5.7, 6.2}, caseTen: {100, 100}, caseVariants: {24.5, 25.5},
	}
	for _, c := range candidates() {
		t.Run(c.name, func(t *testing.T) {
			ask := c.open(t, 10)
			for _, key := range append([]string{copyKey(3)}, cases...) {
				one := ask(key)
				if one == nil {
					continue
				}
				bounds, ok := want[key]
				if !ok {
					bounds = want[caseRollout]
				}
				hits := 0
				for n := range units {
					if one(n) {
						hits++
					}
				}
				if share := float64(hits) * 100 / units; share < bounds[0] || share > bounds[1] {
					t.Errorf("%s: %.2f %%, want %v", key, share, bounds)
				}
			}
		})
	}
}

// BenchmarkEvaluate evaluates for one unit after the other.
func BenchmarkEvaluate(b *testing.B) {
	for _, c := range candidates() {
		b.Run(c.name, func(b *testing.B) {
			ask := c.open(b, 0)
			for _, key := range cases {
				if one := ask(key); one != nil {
					b.Run(key, func(b *testing.B) { serial(b, one, units, 1) })
				}
			}
		})
	}
}

// BenchmarkWarm evaluates for as many units as a busy process serves at a time, whose contexts were
// made a moment ago.
func BenchmarkWarm(b *testing.B) { rollouts(b, 256, 1) }

// BenchmarkCold evaluates for units whose contexts are in no cache of the processor: it measures
// the memory more than anything else.
func BenchmarkCold(b *testing.B) { rollouts(b, units, stride) }

func rollouts(b *testing.B, of, step int) {
	for _, c := range candidates() {
		b.Run(c.name, func(b *testing.B) { serial(b, c.open(b, 0)(caseRollout), of, step) })
	}
}

// serial evaluates for units below of, step by step.
func serial(b *testing.B, one asked, of, step int) {
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		one(n)
		if n += step; n >= of {
			n -= of
		}
	}
}

// BenchmarkParallel shows how a decision scales over the cores of -cpu.
func BenchmarkParallel(b *testing.B) {
	for _, c := range candidates() {
		b.Run(c.name, func(b *testing.B) {
			one := c.open(b, 0)(caseRollout)
			var start atomic.Int64
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				n := int(start.Add(units/7)) % units
				for pb.Next() {
					one(n)
					if n++; n == units {
						n = 0
					}
				}
			})
		})
	}
}

// BenchmarkManyFlags walks over all flags that are loaded, so that each evaluation meets another
// one.
func BenchmarkManyFlags(b *testing.B) {
	for _, size := range []struct {
		name   string
		copies int
	}{{"1k", 1_000}, {"100k", flag.MaxFlags - len(cases)}} {
		for _, c := range candidates() {
			if c.name == "seatrial-context-built" {
				continue
			}
			b.Run(size.name+"/"+c.name, func(b *testing.B) { manyFlags(b, c.open(b, size.copies), size.copies) })
		}
	}
}

func manyFlags(b *testing.B, ask func(string) asked, copies int) {
	all := make([]asked, copies)
	for i := range all {
		all[i] = ask(copyKey(i))
	}
	n, f := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		all[f](n)
		if n++; n == units {
			n = 0
		}
		f = (f + stride) % copies
	}
}
