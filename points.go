package seatrial

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seatrial/seatrial/fault"
)

// Point gives the point of faults with that name, always the same one for a name, to be used in
// code that is no call to a [Dependency]: around a handler, a query, a message. It is subject to the
// chaos experiments that name it. Names are fixed in the code and few: at most [fault.MaxPoints],
// those of dependencies included. Without [WithFaults] it is nil, which is a point that changes
// nothing, and the control plane is told of it as one where faults are not allowed.
func (c *Client) Point(name string) *fault.Point {
	if c == nil {
		return nil
	}
	return c.faultPoints.point(name)
}

// Point gives the point where faults are injected into calls to the dependency, for adapters that
// carry faults out themselves; nil, which is a point that changes nothing, if faults are not
// allowed. [Dependency.Do] passes it already, [Run] does not.
func (d *Dependency) Point() *fault.Point {
	if d == nil {
		return nil
	}
	return d.point
}

// points are the places where a client may inject faults: those of its own, and if it is the first
// of the process that may, those of [fault.Register].
type points struct {
	client *Client
	caps   *fault.Caps // nil: nothing is injected
	own    *fault.Registry

	mu     sync.Mutex
	places []*place

	release func() // gives the registry of the process free
}

// place is one point with what it is armed with.
type place struct {
	point *fault.Point

	mu     sync.Mutex    // serialises arm
	faults []*experiment // that it is armed with; none: it is off
}

func newPoints(c *Client) *points {
	p := &points{client: c, caps: c.config.faults, own: fault.NewRegistry(), release: func() {}}
	p.own.Own(p.adopt)
	if p.caps == nil {
		return p
	}
	release, first := fault.Default().Own(func(point *fault.Point) { point.Restrict(*p.caps); p.adopt(point) })
	if first {
		armedByClient.Add(1)
		p.release = sync.OnceFunc(func() { armedByClient.Add(-1); release() })
	}
	return p
}

// armedByClient counts the clients that the points of the process belong to: one at most.
var armedByClient atomic.Int32

// point gives the point with that name, nil if nothing may be injected.
func (p *points) point(name string) *fault.Point {
	if p.caps == nil {
		p.own.Point(name, fault.Caps{})
		return nil
	}
	return p.own.Point(name, *p.caps)
}

// adopt takes on a point that is new.
func (p *points) adopt(point *fault.Point) {
	added := &place{point: point}
	p.mu.Lock()
	p.places = append(p.places, added)
	p.mu.Unlock()
	p.client.arm(added)
}

func (p *points) all() []*place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.places)
}

// refreshPoints brings all points to the current snapshot, and to whether faults are put off.
func (c *Client) refreshPoints() {
	for _, p := range c.faultPoints.all() {
		c.arm(p)
	}
}

// arm makes the point subject to the experiments that name it, or switches it off. What is being
// injected goes on if nothing changed for the point, and is cut short otherwise. Whoever comes last
// finds the newest.
func (c *Client) arm(p *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.closed.Load() { // the point may be another client's by now
		return
	}
	var next []*experiment
	if at := c.current.Load(); at != nil && c.renewed.Load() && c.faultsOff() == "" {
		next = at.points[p.point.Name()]
	}
	switch {
	case sameFaults(p.faults, next):
	case len(next) == 0:
		p.point.Off()
	default:
		p.point.Arm(&source{c, p.point.Name()}, c.lease)
	}
	p.faults = next
}

// close switches all points off, and then gives those of the process free. The client is closed:
// whoever was arming one is done before that, and whoever comes later does nothing.
func (p *points) close() {
	for _, at := range p.all() {
		at.off()
	}
	p.release()
}

func (p *place) off() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.point.Off()
	p.faults = nil
}

// source gives a point what the current snapshot says.
type source struct {
	client *Client
	point  string
}

var (
	_ fault.Source   = (*source)(nil)
	_ fault.Observer = (*source)(nil)
)

// Program is asked for each call that comes to the point.
func (s *source) Program(ctx context.Context) (*fault.Program, fault.Assignment) {
	return s.client.program(ctx, s.point)
}

// Injected counts what was injected, and marks the unit of work that it was injected into.
func (s *source) Injected(ctx context.Context, i fault.Injection) {
	x := s.client.current.Load().experimentOf(i.Experiment)
	if w := scopeOf(ctx).workOf(s.client); w != nil {
		w.hit(x)
	}
	if x.ref.Version != "" {
		s.client.outcomes.injections.count(x, i)
	}
}

// experimentOf gives the experiment of a trial; one that is over is known by its name only.
func (s *snapshot) experimentOf(trial string) *experiment {
	if s != nil {
		for _, x := range s.experiments {
			if x.ref.Trial == trial {
				return x
			}
		}
	}
	return &experiment{attempt: trial}
}

// pointSeen is what the control plane is told of a point.
type pointSeen struct {
	name    string
	traffic bool // since it was told last
	allowed bool
}

// take gives all points with their traffic since the last time; of those with one name, one.
func (p *points) take() []pointSeen {
	allowed := p.caps != nil
	var list []pointSeen
	for _, at := range p.all() {
		list = append(list, pointSeen{at.point.Name(), at.point.Traffic(), allowed})
	}
	if !allowed && armedByClient.Load() == 0 {
		for _, point := range fault.Default().Points() {
			list = append(list, pointSeen{name: point.Name()})
		}
	}
	return mergePoints(list)
}

func mergePoints(list []pointSeen) []pointSeen {
	slices.SortStableFunc(list, func(a, b pointSeen) int { return strings.Compare(a.name, b.name) })
	merged := list[:0]
	for _, next := range list {
		if n := len(merged); n > 0 && merged[n-1].name == next.name {
			merged[n-1].traffic = merged[n-1].traffic || next.traffic
		} else {
			merged = append(merged, next)
		}
	}
	return merged
}
