package fault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestARegistryGivesOnePointPerName(t *testing.T) {
	r := NewRegistry()
	var all sync.WaitGroup
	var got [100]*Point
	for i := range got {
		all.Go(func() { got[i] = r.Point(fmt.Sprint("p", i%3), Caps{MaxActive: i + 1}) })
	}
	all.Wait()
	for i, p := range got {
		if p != got[i%3] || p.Name() != fmt.Sprint("p", i%3) {
			t.Fatalf("call %d got another point", i)
		}
	}
	if list := r.Points(); len(list) != 3 || list[0] != got[0] || list[2] != got[2] {
		t.Errorf("points %v", list)
	}
	var none *Registry
	if none.Point("p", Caps{}) != nil || none.Points() != nil {
		t.Error("no registry has points")
	}
}

func TestARegistryIsBounded(t *testing.T) {
	r := NewRegistry()
	adopted := 0
	_, _ = r.Own(func(p *Point) { adopted++; p.Arm(always(Fault{Kind: KindError}), nil) })
	for i := range MaxPoints + 5 {
		err := r.Point(fmt.Sprint(i), Caps{}).Do(ctxBG, succeed)
		if injected := err != nil; injected != (i < MaxPoints) {
			t.Fatalf("point %d: %v", i, err)
		}
	}
	if len(r.Points()) != MaxPoints || adopted != MaxPoints {
		t.Errorf("%d points, %d adopted", len(r.Points()), adopted)
	}
}

func TestTheOwnerHearsOfEveryPointOnce(t *testing.T) {
	r := NewRegistry()
	var heard sync.Map
	var doubles atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() { r.Point(fmt.Sprint(i), Caps{}) })
	}
	var release func()
	all.Go(func() {
		release, _ = r.Own(func(p *Point) {
			if _, twice := heard.LoadOrStore(p, true); twice {
				doubles.Add(1)
			}
			p.Arm(always(Fault{Kind: KindError}), nil)
		})
	})
	all.Wait()
	for _, p := range r.Points() {
		if _, ok := heard.Load(p); !ok {
			t.Errorf("%s was not heard of", p.Name())
		}
		if !p.Armed() {
			t.Errorf("%s is not armed", p.Name())
		}
	}
	if doubles.Load() > 0 {
		t.Errorf("%d were heard of twice", doubles.Load())
	}
	if _, ok := r.Own(func(*Point) {}); ok {
		t.Error("two owners")
	}
	if _, ok := NewRegistry().Own(nil); ok {
		t.Error("nobody is an owner")
	}
	release()
	for _, p := range r.Points() {
		if p.Armed() {
			t.Errorf("released, but %s is armed", p.Name())
		}
	}
	next, ok := r.Own(func(p *Point) { p.Arm(always(Fault{Kind: KindError}), nil) })
	release() // again: it is not theirs any more
	if !ok || !r.Points()[0].Armed() {
		t.Error("the next owner lost it")
	}
	next()
}

// Whoever asks for a point first, or at the same time, gets it armed.
func TestNobodyGetsAPointBeforeItsOwner(t *testing.T) {
	r := NewRegistry()
	_, _ = r.Own(func(p *Point) {
		time.Sleep(10 * time.Millisecond)
		p.Arm(always(Fault{Kind: KindError}), nil)
	})
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := r.Point("p", Caps{}).Inject(ctxBG); !errors.Is(err, ErrInjected) {
				t.Errorf("not armed: %v", err)
			}
		})
	}
	all.Wait()
}

// What one owner is bound by does not bind the next.
func TestRestrictionsEndWithTheirOwner(t *testing.T) {
	r := NewRegistry()
	p := r.Point("p", Caps{})
	arm := func(p *Point) { p.Arm(always(Fault{Kind: KindError}), nil) }
	release, _ := r.Own(func(p *Point) { p.Restrict(Caps{Kinds: []Kind{KindLatency}}); arm(p) })
	if err := p.Inject(ctxBG); err != nil {
		t.Errorf("bounded, but %v", err)
	}
	release()
	release, _ = r.Own(arm)
	defer release()
	if err := p.Inject(ctxBG); !errors.Is(err, ErrInjected) {
		t.Errorf("the next owner's: %v", err)
	}
}

func TestInjectFindsOrMakesThePoint(t *testing.T) {
	name := "inject.test"
	if err := Inject(ctxBG, name); err != nil {
		t.Fatal(err)
	}
	p := Register(name)
	if Default().Point(name, Caps{}) != p || !p.Traffic() {
		t.Error("not the same point")
	}
	p.Arm(always(Fault{Kind: KindError}), nil)
	defer p.Off()
	if err := Inject(ctxBG, name); !errors.Is(err, ErrInjected) {
		t.Errorf("armed, but %v", err)
	}
	standard = NewRegistry()
	defer func() { standard = NewRegistry() }()
	for i := range MaxPoints {
		Register(fmt.Sprint(i))
	}
	if err := Inject(ctxBG, "one more"); err != nil || len(Default().Points()) != MaxPoints {
		t.Errorf("beyond the bound: %v, %d points", err, len(Default().Points()))
	}
}

func TestTrafficIsSeen(t *testing.T) {
	p := NewPoint("stock", Caps{})
	look := func(when string, want bool) {
		t.Helper()
		if got := p.Traffic(); got != want {
			t.Errorf("%s: traffic %v", when, got)
		}
	}
	call := func() { _ = p.Do(ctxBG, succeed) }
	look("new", false)
	call()
	call()
	if p.armed.Load() != nil {
		t.Error("the mark is still there: calls pay for it")
	}
	look("called", true)
	look("asked again", false)
	_ = p.Inject(ctxBG)
	look("injected", true)
	p.Begin(ctxBG, Call{})
	look("begun", true)
	p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) { return nil, Assignment{} }), nil)
	look("armed", false)
	call()
	look("armed and called", true)
	look("armed and not called", false)
	if !p.Armed() {
		t.Error("asking disarmed it")
	}
	p.Off()
	look("off", false)
	call()
	look("off and called", true)
	var all sync.WaitGroup
	for range 100 {
		all.Go(call)
		all.Go(func() { p.Traffic() })
	}
	all.Wait()
	p.Traffic()
	call()
	look("after all of that", true)
}
