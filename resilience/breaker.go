package resilience

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// State is the state of a breaker.
type State uint8

const (
	Closed   State = iota // calls are made and watched
	Open                  // calls are refused
	HalfOpen              // a few calls may try whether the dependency is back
)

// String gives "closed", "open" or "half-open".
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	default:
		return "half-open"
	}
}

// Breaker stops calling what keeps failing, and finds out with few calls when it is back.
//
// Every call is admitted by one phase of the breaker (a stretch of time in one state), and its
// outcome counts for that phase only: a call that was admitted before the breaker opened says
// nothing about the dependency afterwards, however late it returns. In the half-open phase each of
// the admitted calls ("probes") holds a place on loan; one that hangs loses it after OpenFor, so it
// cannot keep the breaker half-open for ever.
//
// A Breaker takes no lock on the path of a call; the lock below is taken only to change the phase.
// It reads the monotonic clock only. All methods are safe for concurrent use.
type Breaker struct {
	name    string
	options options
	policy  atomic.Pointer[BreakerPolicy]
	phase   atomic.Pointer[phase]

	changing sync.Mutex // orders changes of phase, and with them their events
}

// phase is a stretch of time in one state. Its address is its identity: whoever holds a pointer to
// it can tell whether it is still the current one.
type phase struct {
	state   State
	since   int64      // monotonic ns
	refusal *OpenError // what is said to those turned away; nil when closed

	failures atomic.Int64           // closed: in a row
	window   atomic.Pointer[window] // closed, with FailureRatio: the recent past; else nil

	probes    []atomic.Int64 // half-open: when each place falls free again; 0 free, spent for good
	successes atomic.Int64   // half-open: of probes
}

// spent marks the place of a probe that has succeeded: it is not given out again in its phase.
const spent = -1

// permit is the right to make one call, given by a phase.
type permit struct {
	phase *phase
	place int   // half-open: index into probes
	until int64 // half-open: until when the place is held
}

// NewBreaker makes a closed breaker. The name appears in errors and events. Values of p that are
// out of range are drawn into it.
func NewBreaker(name string, p BreakerPolicy, opts ...Option) *Breaker {
	b := &Breaker{name: name, options: collect(opts)}
	p = p.normalized()
	b.policy.Store(&p)
	b.phase.Store(b.newPhase(Closed, now()))
	return b
}

// Do makes the call unless the breaker is open; then the error is an [OpenError]. The outcome is
// recorded also when the call panics or ends its goroutine, as a failure. If ctx is done when the
// call returns an error, that error says nothing about the dependency and is not counted.
func (b *Breaker) Do(ctx context.Context, call func(context.Context) error) (err error) {
	p, err := b.admit()
	if err != nil {
		return err
	}
	class := Permanent // unless the call returns
	defer func() { b.settle(p, class) }()
	err = call(ctx)
	class = b.options.class(ctx, err)
	return err
}

// State tells the state. A breaker whose open time is over reports HalfOpen, though it changes only
// with the next call.
func (b *Breaker) State() State {
	ph := b.phase.Load()
	if ph.state == Open && now()-ph.since >= int64(b.policy.Load().OpenFor) {
		return HalfOpen
	}
	return ph.state
}

// Update changes the policy at once and keeps the state: an open breaker stays open (for the new
// OpenFor, counted from when it opened), counts of failures stay. Probes counts from the next
// half-open phase on.
func (b *Breaker) Update(p BreakerPolicy) {
	p = p.normalized()
	b.changing.Lock()
	defer b.changing.Unlock()
	b.policy.Store(&p)
	ph := b.phase.Load()
	if old := ph.window.Load(); ph.state == Closed && !old.fits(p) {
		ph.window.Store(newWindow(p, old, now()))
	}
}

// Reset closes the breaker and forgets what it has counted.
func (b *Breaker) Reset() {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.enter(Closed, now())
}

func (b *Breaker) newPhase(s State, at int64) *phase {
	ph := &phase{state: s, since: at}
	p := b.policy.Load()
	switch s {
	case Closed:
		ph.window.Store(newWindow(*p, nil, at))
	case HalfOpen:
		ph.probes = make([]atomic.Int64, p.Probes)
		fallthrough
	case Open:
		ph.refusal = &OpenError{Name: b.name, breaker: b, phase: ph}
	}
	return ph
}

// admit gives a permit, or the reason why there is none.
func (b *Breaker) admit() (permit, error) {
	ph := b.phase.Load()
	if ph.state == Closed {
		return permit{phase: ph}, nil
	}
	return b.admitTrial(ph)
}

func (b *Breaker) admitTrial(ph *phase) (permit, error) {
	at := now()
	openFor := int64(b.policy.Load().OpenFor)
	if ph.state == Open {
		if at-ph.since < openFor {
			return permit{}, ph.refusal
		}
		ph = b.change(ph, HalfOpen, at)
	}
	if ph.state == Closed { // it closed while we looked
		return permit{phase: ph}, nil
	}
	for i := range ph.probes {
		held := ph.probes[i].Load()
		if held != spent && held <= at && ph.probes[i].CompareAndSwap(held, at+openFor) {
			return permit{phase: ph, place: i, until: at + openFor}, nil
		}
	}
	return permit{}, ph.refusal
}

// settle records the outcome of a permitted call. What was admitted by a phase that is over changes
// nothing.
func (b *Breaker) settle(p permit, class Class) {
	if b.phase.Load() != p.phase {
		return
	}
	if p.phase.state == HalfOpen {
		b.settleProbe(p, class)
		return
	}
	switch class {
	case Success:
		if p.phase.failures.Load() != 0 {
			p.phase.failures.Store(0)
		}
		if w := p.phase.window.Load(); w != nil {
			w.add(now(), false)
		}
	case Transient, Permanent:
		b.settleFailure(p.phase)
	}
}

func (b *Breaker) settleFailure(ph *phase) {
	policy := b.policy.Load()
	run := ph.failures.Add(1)
	trip := policy.ConsecutiveFailures > 0 && run >= int64(policy.ConsecutiveFailures)
	at := now()
	if w := ph.window.Load(); w != nil {
		w.add(at, true)
		calls, failed := w.sum(at)
		trip = trip || calls >= policy.MinCalls && float64(failed) >= policy.FailureRatio*float64(calls)
	}
	if trip {
		b.change(ph, Open, at)
	}
}

// settleProbe counts every probe of the phase, also one that has lost its place: otherwise a
// dependency slower than OpenFor could never prove that it is back.
func (b *Breaker) settleProbe(p permit, class Class) {
	place := &p.phase.probes[p.place]
	switch class {
	case Success:
		place.CompareAndSwap(p.until, spent)
		if p.phase.successes.Add(1) >= int64(len(p.phase.probes)) {
			b.change(p.phase, Closed, now())
		}
	case Neutral:
		place.CompareAndSwap(p.until, 0)
	default:
		b.change(p.phase, Open, now())
	}
}

// change moves from one phase to the next unless somebody else has; it gives the phase that is
// current afterwards.
func (b *Breaker) change(from *phase, to State, at int64) *phase {
	b.changing.Lock()
	defer b.changing.Unlock()
	if current := b.phase.Load(); current != from {
		return current
	}
	return b.enter(to, at)
}

// enter starts a phase; the caller holds the lock.
func (b *Breaker) enter(to State, at int64) *phase {
	from := b.phase.Load().state
	next := b.newPhase(to, at)
	b.phase.Store(next)
	if from != to {
		b.options.feed.send(Event{Kind: StateChanged, Name: b.name, From: from, To: to})
	}
	return next
}

// started is the zero of now. Only differences of now are used.
var started = time.Now()

// now reads the monotonic clock, in ns. Setting the wall clock does not move it.
func now() int64 { return int64(time.Since(started)) }
