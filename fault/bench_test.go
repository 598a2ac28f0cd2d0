package fault

import (
	"context"
	"testing"
)

// guarded are the paths whose cost is promised: none of them allocates.
var guarded = []struct {
	name string
	make func() *Point
}{
	{"nil", func() *Point { return nil }},
	{"off", func() *Point { return NewPoint("stock", Caps{}) }},
	{"armed, lease over", func() *Point {
		p, l := NewPoint("stock", Caps{}), NewLease(0)
		p.Arm(always(Fault{Kind: KindError}), l)
		l.End()
		return p
	}},
	{"armed, no program", func() *Point {
		p := NewPoint("stock", Caps{})
		p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) { return nil, Assignment{} }), nil)
		return p
	}},
	{"armed, not hit", func() *Point {
		p := NewPoint("stock", Caps{})
		program := &Program{Rate: 0, Faults: []Fault{{Kind: KindError}}}
		p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) {
			return program, Assignment{Experiment: "storm", Seed: "1", Unit: "user-4711"}
		}), nil)
		return p
	}},
}

func TestC11NoAlloc(t *testing.T) {
	for _, g := range guarded {
		p := g.make()
		if got := testing.AllocsPerRun(1000, func() { _ = p.Do(ctxBG, succeed) }); got > 0 {
			t.Errorf("%s: %v allocations per call, none are promised", g.name, got)
		}
	}
}

func BenchmarkPoint(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = direct(ctxBG, succeed)
		}
	})
	for _, g := range guarded {
		b.Run(g.name, func(b *testing.B) {
			p := g.make()
			b.ReportAllocs()
			for b.Loop() {
				_ = p.Do(ctxBG, succeed)
			}
		})
	}
	b.Run("hit", func(b *testing.B) {
		p := armed(Fault{Kind: KindError})
		b.ReportAllocs()
		for b.Loop() {
			p.armed.Load().lease.Renew()
			_ = p.Do(ctxBG, succeed)
		}
	})
	b.Run("off parallel", func(b *testing.B) {
		p := NewPoint("stock", Caps{})
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = p.Do(ctxBG, succeed)
			}
		})
	})
}

//go:noinline
func direct(ctx context.Context, call func(context.Context) error) error { return call(ctx) }
