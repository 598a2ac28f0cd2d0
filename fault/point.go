package fault

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Source decides which program applies to a call, by what it finds in the context: usually the
// value of a fault flag for the user of the request. It gives nil where none does. It is asked for
// every call of an armed point, by many goroutines at a time.
type Source interface {
	Program(ctx context.Context) (*Program, Assignment)
}

// SourceFunc is a function as a [Source].
type SourceFunc func(ctx context.Context) (*Program, Assignment)

// Program calls f.
func (f SourceFunc) Program(ctx context.Context) (*Program, Assignment) { return f(ctx) }

// Point is a named place where faults may be injected. It starts with nothing armed. A nil Point
// makes every call as it is. All methods are safe for concurrent use.
type Point struct {
	armed atomic.Pointer[charge] // nil: off

	name     string
	caps     Caps
	active   atomic.Int64
	calls    atomic.Uint64 // numbers calls for which the source has no number
	injected atomic.Uint64
}

// charge is what a point is armed with.
type charge struct {
	source Source
	lease  *Lease
	off    chan struct{} // closed when the point is disarmed
}

// NewPoint makes a point. The name is what programs call it by; caps bound every program.
func NewPoint(name string, caps Caps) *Point {
	return &Point{name: name, caps: caps.normalized()}
}

// Name gives the point's name.
func (p *Point) Name() string { return p.name }

// Arm makes calls subject to the programs of source for as long as lease lives. A nil lease means
// one of [MaxLease] that nobody can renew. Arming again replaces source and lease, and cuts short
// what the former ones are injecting; a nil source is the same as [Point.Off].
func (p *Point) Arm(source Source, lease *Lease) {
	if source == nil {
		p.Off()
		return
	}
	if lease == nil {
		lease = NewLease(MaxLease)
	}
	p.swap(&charge{source: source, lease: lease, off: make(chan struct{})})
}

// Off disarms the point: calls that come now pass untouched, and latencies that are being injected
// are cut short, after which their calls are made. It waits for nobody.
func (p *Point) Off() { p.swap(nil) }

func (p *Point) swap(c *charge) {
	if old := p.armed.Swap(c); old != nil {
		close(old.off)
	}
}

// Armed tells whether calls may be hit now: there is a source and its lease lives.
func (p *Point) Armed() bool {
	c := p.armed.Load()
	return c != nil && c.lease.Live()
}

// Active gives the number of calls under a fault now.
func (p *Point) Active() int { return int(p.active.Load()) }

// Injected gives the number of calls that were hit since the point was made.
func (p *Point) Injected() uint64 { return p.injected.Load() }

// Do makes the call, or does to it what the program for ctx asks for. Whatever fails because of
// that returns an [Error]; see [ErrInjected]. A latency is held in front of the call (phase after:
// behind it) and ends early with ctx, then with an error and without making the call.
//
// For [KindCancel] the call gets a context that is cancelled with an *Error as its cause. A call
// that does not mind and succeeds anyway has succeeded.
func (p *Point) Do(ctx context.Context, call func(context.Context) error) error {
	if p == nil {
		return call(ctx)
	}
	c := p.armed.Load()
	if c == nil {
		return call(ctx)
	}
	return p.try(ctx, c, call)
}

func (p *Point) try(ctx context.Context, c *charge, call func(context.Context) error) error {
	h := p.decide(ctx, c)
	if h == nil {
		return call(ctx)
	}
	defer func() { p.active.Add(-1) }()
	p.injected.Add(1)
	h.record(ctx)
	switch {
	case h.Kind == KindCancel:
		return h.cancel(ctx, call)
	case h.Phase == After:
		if err := call(ctx); err != nil {
			return err
		}
		return h.strike(ctx)
	}
	if err := h.strike(ctx); err != nil {
		return err
	}
	return call(ctx)
}

// hit is a fault about to happen to one call.
type hit struct {
	Injection
	delay  time.Duration
	charge *charge
}

// decide gives the fault for a call, counted as active, or nil. A source that panics injects
// nothing.
func (p *Point) decide(ctx context.Context, c *charge) (h *hit) {
	defer func() {
		if recover() != nil {
			h = nil
		}
	}()
	if !c.lease.Live() {
		return nil
	}
	program, who := c.source.Program(ctx)
	if program == nil {
		return nil
	}
	if who.Call == 0 {
		who.Call = p.calls.Add(1)
	}
	f, delay := program.decide(p.name, who, p.caps)
	if f == nil {
		return nil
	}
	if f.Kind != KindError && f.Kind != KindLatency && f.Kind != KindCancel {
		return nil
	}
	h = &hit{charge: c, delay: delay, Injection: Injection{Experiment: who.Experiment, Variant: who.Variant,
		Point: p.name, Kind: f.Kind, Phase: Before, Message: f.Message}}
	if f.Phase == After {
		h.Phase = After
	}
	if f.Kind == KindError {
		h.Status, h.Code = reply(f.Status, f.Code)
	}
	if !p.occupy(program.MaxActive) {
		return nil
	}
	return h
}

// occupy takes one of the places for calls under a fault.
func (p *Point) occupy(wanted int) bool {
	limit := int64(p.caps.MaxActive)
	if wanted > 0 {
		limit = min(limit, int64(wanted))
	}
	if p.active.Add(1) > limit {
		p.active.Add(-1)
		return false
	}
	return true
}

// strike does an error or a latency; the call goes on if it gives nil.
func (h *hit) strike(ctx context.Context) error {
	if h.Kind == KindError {
		return &Error{Injection: h.Injection}
	}
	if h.charge.hold(ctx, h.delay); ctx.Err() != nil {
		return &Error{Injection: h.Injection, Err: ctx.Err()}
	}
	return nil
}

// cancel makes the call with a context that is cancelled under it.
func (h *hit) cancel(ctx context.Context, call func(context.Context) error) error {
	cause := &Error{Injection: h.Injection}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if h.delay == 0 {
		cancel(cause)
	} else {
		defer time.AfterFunc(h.delay, func() {
			if h.charge.live() {
				cancel(cause)
			}
		}).Stop()
	}
	err := call(ctx)
	if err != nil && context.Cause(ctx) == error(cause) {
		return &Error{Injection: h.Injection, Err: err}
	}
	return err
}

func (c *charge) live() bool {
	select {
	case <-c.off:
		return false
	default:
		return c.lease.Live()
	}
}

// hold waits for d, but no longer than ctx, the charge and its lease last.
func (c *charge) hold(ctx context.Context, d time.Duration) {
	for d > 0 && c.live() {
		// One wait reaches to the end of the lease; by then it may have been renewed.
		step := min(d, max(c.lease.left(), 1))
		timer := time.NewTimer(step)
		select {
		case <-timer.C:
			d -= step
			continue
		case <-ctx.Done():
		case <-c.off:
		case <-c.lease.ended:
		}
		timer.Stop()
		return
	}
}

// Attributes of a span that a fault was injected into; the event has the name "seatrial.fault".
const (
	AttrExperiment = "seatrial.fault.experiment"
	AttrVariant    = "seatrial.fault.variant"
	AttrPoint      = "seatrial.fault.point"
	AttrKind       = "seatrial.fault.kind"
	AttrPhase      = "seatrial.fault.phase"
	AttrDelay      = "seatrial.fault.delay" // seconds, float
)

const eventName = "seatrial.fault"

// record marks the current span, if there is one. A span that panics is not the call's problem.
func (h *hit) record(ctx context.Context) {
	defer func() { _ = recover() }()
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{
		attribute.String(AttrExperiment, h.Experiment),
		attribute.String(AttrVariant, h.Variant),
		attribute.String(AttrPoint, h.Point),
		attribute.String(AttrKind, string(h.Kind)),
		attribute.String(AttrPhase, string(h.Phase)),
	}
	span.SetAttributes(attrs...)
	if h.Kind != KindError {
		attrs = append(attrs, attribute.Float64(AttrDelay, h.delay.Seconds()))
	}
	span.AddEvent(eventName, trace.WithAttributes(attrs...))
}
