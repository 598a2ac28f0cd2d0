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
		for name, call := range map[string]func(){
			"Do":     func() { _ = p.Do(ctxBG, succeed) },
			"Inject": func() { _ = p.Inject(ctxBG) },
			"Begin":  func() { p.Begin(ctxBG, Call{Operation: "/shop.Orders/Get", Bytes: true}).End() },
		} {
			if got := testing.AllocsPerRun(1000, call); got > 0 {
				t.Errorf("%s, %s: %v allocations per call, none are promised", g.name, name, got)
			}
		}
	}
	if got := testing.AllocsPerRun(1000, func() { _ = Inject(ctxBG, "orders.get") }); got > 0 {
		t.Errorf("Inject by name: %v allocations per call, none are promised", got)
	}
}

// The promise for a point that is off is 3 ns for each of the three.
func BenchmarkPoint(b *testing.B) {
	run := func(name string, p *Point, call func(*Point)) {
		b.Run(name, func(b *testing.B) {
			call(p) // takes the mark off
			b.ReportAllocs()
			for b.Loop() {
				call(p)
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = direct(ctxBG, succeed)
		}
	})
	b.Run("off Do, called as the floor is", func(b *testing.B) {
		p := NewPoint("stock", Caps{})
		_ = p.Do(ctxBG, succeed)
		b.ReportAllocs()
		for b.Loop() {
			_ = p.Do(ctxBG, succeed)
		}
	})
	b.Run("off Begin", func(b *testing.B) {
		p := NewPoint("stock", Caps{})
		p.Begin(ctxBG, Call{})
		b.ReportAllocs()
		for b.Loop() {
			if s := p.Begin(ctxBG, Call{Operation: "/shop.Orders/Get", Bytes: true}); s != nil {
				b.Fatal("hit")
			}
		}
	})
	b.Run("off Inject", func(b *testing.B) {
		p := NewPoint("stock", Caps{})
		_ = p.Inject(ctxBG)
		b.ReportAllocs()
		for b.Loop() {
			if p.Inject(ctxBG) != nil {
				b.Fatal("hit")
			}
		}
	})
	run("off Inject by name", nil, func(*Point) { _ = Inject(ctxBG, "orders.get") })
	for _, g := range guarded {
		run(g.name+" Do", g.make(), func(p *Point) { _ = p.Do(ctxBG, succeed) })
	}
	program := &Program{Rate: 0.5, Faults: []Fault{{Kind: KindError}}}
	p := NewPoint("stock", Caps{MaxTotal: 1 << 60})
	p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) {
		return program, Assignment{Experiment: "storm", Unit: "user-4711"}
	}), nil)
	run("armed, hit or not", p, func(p *Point) {
		p.armed.Load().lease.Renew()
		s := p.Begin(ctxBG, Call{Operation: "/shop.Orders/Get"})
		_, _ = s.Before(ctxBG)
		s.End()
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
