package fault

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// MaxPoints bounds the points of a [Registry]. Names are fixed in the code and few: points beyond
// are usable, but nobody hears of them and nothing is ever injected.
const MaxPoints = 1000

// Registry keeps points by name, and tells them to whoever may arm them. Make one with
// [NewRegistry]; the process has one of its own, see [Default]. All methods are safe for concurrent
// use.
type Registry struct {
	off    Switch
	points sync.Map // string to *Point
	count  atomic.Int64

	mu    sync.Mutex // held while the owner adopts, so that nobody gets a point that waits for it
	owner *ownership
}

// ownership is one owner's time.
type ownership struct{ adopt func(*Point) }

// NewRegistry makes a registry without points.
func NewRegistry() *Registry { return new(Registry) }

var standard = NewRegistry()

// Default gives the registry of [Register] and [Inject].
func Default() *Registry { return standard }

// Switch gives the switch over all points of the registry. [ProcessSwitch] is over them as well.
func (r *Registry) Switch() *Switch { return &r.off }

// Point gives the point with that name, always the same one for a name. The caps are those of the
// first call. A nil Registry gives nil, a point that does nothing.
func (r *Registry) Point(name string, caps Caps) *Point {
	if r == nil {
		return nil
	}
	if found, ok := r.points.Load(name); ok {
		return found.(*Point)
	}
	return r.add(name, caps)
}

func (r *Registry) add(name string, caps Caps) *Point {
	p := NewPoint(name, caps)
	p.off = &r.off
	r.mu.Lock()
	defer r.mu.Unlock()
	if found, ok := r.points.Load(name); ok {
		return found.(*Point)
	}
	if r.count.Load() >= MaxPoints {
		return p
	}
	if r.owner != nil {
		r.owner.adopt(p) // before anybody else can pass it
	}
	r.points.Store(name, p)
	r.count.Add(1)
	return p
}

// Points gives all points, by name.
func (r *Registry) Points() []*Point {
	if r == nil {
		return nil
	}
	var list []*Point
	r.points.Range(func(_, p any) bool { list = append(list, p.(*Point)); return true })
	slices.SortFunc(list, func(a, b *Point) int { return cmp.Compare(a.name, b.name) })
	return list
}

// Own makes adopt hear of every point, those that are there and those to come, each once, one at a
// time, and those to come before any call passes them; it may bound them ([Point.Restrict]) and arm
// them, and must not call the registry. There is one owner at a time: ok is false if somebody else
// is. release gives the registry free again, disarms its points and takes back what bounded them
// since they were made. Releasing twice does nothing.
func (r *Registry) Own(adopt func(*Point)) (release func(), ok bool) {
	mine := &ownership{adopt}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owner != nil || adopt == nil {
		return func() {}, false
	}
	r.owner = mine
	for _, p := range r.Points() {
		adopt(p)
	}
	return func() { r.release(mine) }, true
}

func (r *Registry) release(mine *ownership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owner != mine {
		return
	}
	r.owner = nil
	for _, p := range r.Points() {
		p.Off()
		p.unrestrict()
	}
}

// Register gives the point with that name in the [Default] registry, for a variable of the package
// that makes the calls:
//
//	var paymentsCall = fault.Register("payments.call")
//
// Its caps are the defaults, and those of the registry's owner.
func Register(name string) *Point { return standard.Point(name, Caps{}) }

// Inject is [Point.Inject] at the point with that name in the [Default] registry, which is made if
// there is none. It costs the search for the name each time; [Register] saves that.
func Inject(ctx context.Context, name string) error {
	if found, ok := standard.points.Load(name); ok {
		return found.(*Point).Inject(ctx)
	}
	if standard.count.Load() >= MaxPoints {
		return nil
	}
	return Register(name).Inject(ctx)
}
