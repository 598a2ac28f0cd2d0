package fault

import (
	"context"
	"sync/atomic"
)

// Source decides which program applies to a call, by what it finds in the context: usually the
// value of a fault flag for the user of the request. It gives nil where none does. It is asked for
// every call of an armed point, by many goroutines at a time. See also [Observer].
type Source interface {
	Program(ctx context.Context) (*Program, Assignment)
}

// SourceFunc is a function as a [Source].
type SourceFunc func(ctx context.Context) (*Program, Assignment)

// Program calls f.
func (f SourceFunc) Program(ctx context.Context) (*Program, Assignment) { return f(ctx) }

// Observer is a [Source] that hears of every fault when it takes effect, once a call, in the
// goroutine of the call or of its timer. ctx is that of [Point.Begin].
type Observer interface {
	Injected(ctx context.Context, i Injection)
}

// Point is a named place where faults may be injected. It starts with nothing armed. A nil Point
// makes every call as it is. All methods are safe for concurrent use.
type Point struct {
	armed atomic.Pointer[charge] // nil: off, and nobody waits for traffic

	name     string
	made     Caps
	off      *Switch // of the registry; nil without one
	unfit    bool    // the name is on the deny list
	caps     atomic.Pointer[limits]
	calls    atomic.Uint64 // numbers calls for which the source has no number
	injected atomic.Uint64
	traffic  atomic.Bool
	armings  atomic.Uint64
}

// limits are the caps of a point, as they were asked for and as they hold.
type limits struct{ asked, hold Caps }

// charge is what a point is armed with.
type charge struct {
	source Source
	lease  *Lease
	off    chan struct{} // closed when the point is disarmed
	point  *Point
	nth    uint64        // arming of the point, from 1
	active atomic.Int64  // calls under a fault
	total  atomic.Int64  // calls hit
	turns  atomic.Uint64 // numbers calls in sequences for which the source has no number
}

// watch is in the place of a charge while the first call is waited for; see [Point.Traffic].
var watch = new(charge)

// NewPoint makes a point outside of any [Registry]. The name is what programs call it by; caps
// bound every program.
func NewPoint(name string, caps Caps) *Point {
	p := &Point{name: name, made: caps, unfit: denied(name, caps.Deny)}
	p.unrestrict()
	p.armed.Store(watch)
	return p
}

// Name gives the point's name.
func (p *Point) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// Restrict makes the point keep to these caps as well as to those it has: where both say
// something, the stricter holds, and what neither says is the default.
func (p *Point) Restrict(caps Caps) {
	if p == nil {
		return
	}
	for {
		old := p.caps.Load()
		asked := old.asked.within(caps)
		if p.caps.CompareAndSwap(old, &limits{asked, asked.normalized()}) {
			return
		}
	}
}

// unrestrict takes back all of Restrict.
func (p *Point) unrestrict() { p.caps.Store(&limits{p.made, p.made.normalized()}) }

// Arm makes calls subject to the programs of source for as long as lease lives. A nil lease means
// one of [MaxLease] that nobody can renew. Arming again replaces source and lease, counts
// [Caps.MaxTotal] anew, and cuts short what the former ones are injecting; a nil source is the same
// as [Point.Off].
func (p *Point) Arm(source Source, lease *Lease) {
	if p == nil {
		return
	}
	if source == nil {
		p.Off()
		return
	}
	if lease == nil {
		lease = NewLease(MaxLease)
	}
	p.swap(&charge{source: source, lease: lease, off: make(chan struct{}), point: p, nth: p.armings.Add(1)})
}

// Off disarms the point: calls that come now pass untouched, and what holds calls up is cut short,
// after which they are made. It waits for nobody.
func (p *Point) Off() {
	if p != nil {
		p.swap(watch)
	}
}

func (p *Point) swap(c *charge) {
	if old := p.armed.Swap(c); old != nil && old != watch {
		close(old.off)
	}
}

// Armed tells whether calls may be hit now: there is a source, its lease lives, and no switch is off.
func (p *Point) Armed() bool {
	if p == nil {
		return false
	}
	c := p.armed.Load()
	return c != nil && c != watch && c.live()
}

// Arming gives the number of the [Point.Arm] in force, from 1; 0 if the point is off. It lets what is
// longer than a call, such as a connection, ask again when there is something new.
func (p *Point) Arming() uint64 {
	if p == nil {
		return 0
	}
	if c := p.armed.Load(); c != nil {
		return c.nth // 0 of watch
	}
	return 0
}

// Active gives the number of calls under a fault of the [Point.Arm] in force; none if the point is off.
func (p *Point) Active() int {
	if p == nil {
		return 0
	}
	if c := p.armed.Load(); c != nil {
		return int(c.active.Load())
	}
	return 0
}

// Injected gives the number of calls on which a fault took effect since the point was made.
func (p *Point) Injected() uint64 {
	if p == nil {
		return 0
	}
	return p.injected.Load()
}

// Traffic tells whether a call came since the last time it was asked, or since the point was made.
// Of calls that come while it is being asked, it may not know. It costs calls nothing but the first
// after it was asked, which takes a mark off.
func (p *Point) Traffic() bool {
	if p == nil {
		return false
	}
	came := p.traffic.Swap(false)
	p.armed.CompareAndSwap(nil, watch)
	return came
}

// Call is what an adapter knows of a call.
type Call struct {
	// Operation is what is called: URL path, full gRPC method, SQL verb. It is for the deny list and
	// may be empty.
	Operation string
	// Bytes says that the adapter passes the bytes through [Strike.Body], [Strike.Write] or the
	// like, and so can carry out bandwidth, truncate and corrupt.
	Bytes bool
	// Messages says that the adapter carries out bandwidth and truncate itself, by messages or rows.
	Messages bool
	// Connection says that it is a connection that begins: [Caps.MaxLatency] then bounds each wait,
	// not their sum.
	Connection bool

	bare bool // there is only a place, no call: nothing to cancel
}

// carries tells whether the adapter can carry out faults of that kind.
func (c *Call) carries(k Kind) bool {
	switch k {
	case KindBandwidth, KindTruncate:
		return c.Bytes || c.Messages
	case KindCorrupt:
		return c.Bytes
	case KindCancel:
		return !c.bare
	default:
		return true
	}
}

// Begin decides what happens to a call. It gives nil, as nearly always, if nothing does. Otherwise
// the adapter makes the call like this, with [Strike.End] when the call and its bytes are over:
//
//	s := point.Begin(ctx, fault.Call{Operation: path})
//	defer s.End()
//	ctx, err := s.Before(ctx)
//	if err == nil {
//		err = s.After(ctx, call(ctx))
//	}
//
// With nothing armed, Begin is one atomic load and is inlined.
func (p *Point) Begin(ctx context.Context, c Call) *Strike {
	if p == nil || p.armed.Load() == nil {
		return nil
	}
	return p.begin(ctx, c)
}

// Do makes the call, or does to it what the program for ctx asks for: see [Kind]. Whatever fails
// because of that returns an [Error]; see [ErrInjected]. A latency ends early with ctx, then with an
// error and without making the call.
//
// For [KindCancel] the call gets a context that is cancelled with an *Error as its cause. A call
// that does not mind and succeeds anyway has succeeded.
func (p *Point) Do(ctx context.Context, call func(context.Context) error) error {
	if p == nil || p.armed.Load() == nil {
		return call(ctx)
	}
	return p.do(ctx, call)
}

func (p *Point) do(ctx context.Context, call func(context.Context) error) error {
	s := p.begin(ctx, Call{})
	if s == nil {
		return call(ctx)
	}
	defer s.End()
	inner, err := s.Before(ctx)
	if err != nil {
		return err
	}
	return s.After(inner, call(inner))
}

// Inject is a point in code that has no call of its own: it holds up, panics, or gives the error
// that the caller should fail with. All phases are the same here, and a lost reply is a reset. There
// is nothing to cancel, slow down or spoil, so faults of those kinds do nothing.
func (p *Point) Inject(ctx context.Context) error {
	if p == nil || p.armed.Load() == nil {
		return nil
	}
	return p.inject(ctx)
}

func (p *Point) inject(ctx context.Context) error {
	s := p.begin(ctx, Call{bare: true})
	if s == nil {
		return nil
	}
	defer s.End()
	ctx, err := s.Before(ctx)
	if err == nil {
		err = s.After(ctx, nil)
	}
	return err
}

// begin is Begin when there is something in the place of a charge.
func (p *Point) begin(ctx context.Context, call Call) *Strike {
	if !p.traffic.Load() {
		p.traffic.Store(true)
	}
	c := p.armed.Load()
	if c == nil || c == watch {
		p.armed.CompareAndSwap(watch, nil)
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return c.strike(ctx, call)
}

// strike gives the fault for a call, with a place taken for it, or nil. A source that panics
// injects nothing.
func (c *charge) strike(ctx context.Context, call Call) (s *Strike) {
	defer func() {
		if recover() != nil {
			s = nil
		}
	}()
	p, caps := c.point, &c.point.caps.Load().hold
	if !c.live() || p.unfit || denied(call.Operation, caps.Deny) || matchesAny(caps.Deny, p.name) {
		return nil
	}
	program, who := c.source.Program(ctx)
	if program == nil {
		return nil
	}
	c.number(&who, program)
	d := program.decide(p.name, who, caps)
	if d.fault == nil || !caps.permits(d.fault, p.name, call) || !c.occupy(program, caps) {
		return nil
	}
	return &Strike{ctx: ctx, charge: c, longest: caps.MaxLatency, each: call.Connection, draw: d.draw, injection: d.injection(p.name, who)}
}

// number counts the call where the source did not.
func (c *charge) number(who *Assignment, program *Program) {
	if who.Call == 0 {
		who.Call = c.point.calls.Add(1)
	}
	if who.Nth == 0 && len(program.Sequence) > 0 {
		who.Nth = c.turns.Add(1)
	}
}

// occupy takes one of the places for calls under a fault, and one of those that are left at all.
func (c *charge) occupy(program *Program, caps *Caps) bool {
	if !take(&c.active, stricter(caps.MaxActive, program.MaxActive)) {
		return false
	}
	if !take(&c.total, stricter(caps.MaxTotal, program.MaxTotal)) {
		c.active.Add(-1)
		return false
	}
	return true
}

// take adds one, but never beyond limit.
func take(n *atomic.Int64, limit int) bool {
	for {
		v := n.Load()
		if v >= int64(limit) {
			return false
		}
		if n.CompareAndSwap(v, v+1) {
			return true
		}
	}
}
