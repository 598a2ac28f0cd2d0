package resilience

import (
	"context"
	"math"
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
	watch  *watch
	policy atomic.Pointer[BreakerPolicy]
	phase  atomic.Pointer[phase]

	changing sync.Mutex // orders changes of phase, and with them their events
}

// phase is a stretch of time in one state. Its address is its identity: whoever holds a pointer to
// it can tell whether it is still the current one.
type phase struct {
	state   State
	since   int64      // monotonic ns
	refusal *OpenError // what is said to those turned away; nil when closed

	failures atomic.Int64           // closed: in a row
	failing  atomic.Pointer[window] // closed, with FailureRatio: the recent past; else nil
	slow     atomic.Pointer[window] // closed, with SlowRatio: likewise

	probes    []atomic.Int64 // half-open: until when each place is held, or free, or spent
	successes atomic.Int64   // half-open: of probes
}

const untimed = math.MinInt64

// What the place of a probe can be besides held until a time.
const (
	free  = math.MinInt64 // nobody's
	spent = math.MaxInt64 // its probe succeeded: it is not given out again in its phase
)

// permit is the right to make one call, given by a phase.
type permit struct {
	phase *phase
	began int64 // monotonic ns; untimed: closed, and nobody asks how long the call takes
	place int   // half-open: index into probes
	until int64 // half-open: until when the place is held
}

// restart begins the call's time anew if it may have waited for a limit: that is not the dependency's
// slowness.
func (p *permit) restart(waited bool) {
	if waited && p.phase != nil && p.began != untimed {
		p.began = now()
	}
}

// NewBreaker makes a closed breaker. The name appears in errors and events. Values of p that are
// out of range are drawn into it.
func NewBreaker(name string, p BreakerPolicy, opts ...Option) *Breaker {
	return newBreaker(newWatch(name, opts), p)
}

func newBreaker(w *watch, p BreakerPolicy) *Breaker {
	b := &Breaker{watch: w}
	p = p.normalized()
	b.policy.Store(&p)
	b.phase.Store(b.newPhase(Closed, now()))
	return b
}

// Do makes the call unless the breaker is open; then the error is an [OpenError]. The outcome is
// recorded also when the call panics or ends its goroutine, as a failure. If ctx is done when the
// call returns an error, that error says nothing about the dependency and is not counted.
func (b *Breaker) Do(ctx context.Context, call func(context.Context) error) (err error) {
	p, err := b.admit(ctx)
	if err != nil {
		return err
	}
	class := Permanent // unless the call returns
	defer func() { b.settle(ctx, p, class) }()
	err = call(ctx)
	class = b.watch.class(ctx, err)
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
	if ph.state != Closed {
		return
	}
	over := p.span()
	if old := ph.failing.Load(); !old.fits(p.FailureRatio, over) {
		ph.failing.Store(newWindow(p.FailureRatio, over, old, now()))
	}
	if old := ph.slow.Load(); !old.fits(p.SlowRatio, over) {
		ph.slow.Store(newWindow(p.SlowRatio, over, old, now()))
	}
}

// Reset closes the breaker and forgets what it has counted.
func (b *Breaker) Reset() {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.enter(Closed, now())
}

// retire closes the breaker until the next [Breaker.Update], whatever calls under way still tell.
func (b *Breaker) retire() {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.policy.Store(new(BreakerPolicy)) // opens for nothing
	b.enter(Closed, now())
}

// span tells how far back the ratios look.
func (b *BreakerPolicy) span() span { return span{b.Window, b.WindowCalls} }

func (b *Breaker) newPhase(s State, at int64) *phase {
	ph := &phase{state: s, since: at}
	p := b.policy.Load()
	switch s {
	case Closed:
		ph.failing.Store(newWindow(p.FailureRatio, p.span(), nil, at))
		ph.slow.Store(newWindow(p.SlowRatio, p.span(), nil, at))
	case HalfOpen:
		ph.probes = make([]atomic.Int64, p.Probes)
		for i := range ph.probes {
			ph.probes[i].Store(free)
		}
		fallthrough
	case Open:
		ph.refusal = &OpenError{Name: b.watch.name, breaker: b, phase: ph}
	}
	return ph
}

// admit gives a permit, or the reason why there is none.
func (b *Breaker) admit(ctx context.Context) (permit, error) {
	ph := b.phase.Load()
	if ph.state == Closed && ph.slow.Load() == nil {
		return permit{phase: ph, began: untimed}, nil
	}
	return b.admitTimed(ctx, ph)
}

// admitTimed is admit where the clock matters.
func (b *Breaker) admitTimed(ctx context.Context, ph *phase) (permit, error) {
	at := now()
	openFor := int64(b.policy.Load().OpenFor)
	if ph.state == Open {
		if at-ph.since < openFor {
			b.watch.refused(countRefusedOpen, at, ph.refusal)
			return permit{}, ph.refusal
		}
		ph = b.change(ctx, ph, HalfOpen, at)
	}
	if ph.state == Closed { // perhaps only while we looked
		return permit{phase: ph, began: at}, nil
	}
	for i := range ph.probes {
		held := ph.probes[i].Load()
		if held <= at && ph.probes[i].CompareAndSwap(held, at+openFor) {
			return permit{phase: ph, began: at, place: i, until: at + openFor}, nil
		}
	}
	b.watch.refused(countRefusedOpen, at, ph.refusal)
	return permit{}, ph.refusal
}

// settle records the outcome of a permitted call. What was admitted by a phase that is over changes
// nothing.
func (b *Breaker) settle(ctx context.Context, p permit, class Class) {
	if class == Success && p.began == untimed && p.phase.counts() == 0 {
		return // as nearly always
	}
	b.record(ctx, p, class)
}

// counts tells what a closed phase has to do with a success, 0 for nothing.
func (ph *phase) counts() int64 {
	if ph.failing.Load() != nil {
		return 1
	}
	return ph.failures.Load()
}

func (b *Breaker) record(ctx context.Context, p permit, class Class) {
	if class == Transient || class == Permanent {
		b.watch.count(countFailures)
	}
	switch {
	case b.phase.Load() != p.phase:
	case p.phase.state == HalfOpen:
		b.settleProbe(ctx, p, class)
	case class == Success:
		if p.phase.failures.Load() != 0 {
			p.phase.failures.Store(0)
		}
		b.countSuccess(ctx, p)
	case class != Neutral:
		b.count(ctx, p, true, now())
	}
}

// countSuccess reads the clock only if somebody asks what time it is.
func (b *Breaker) countSuccess(ctx context.Context, p permit) {
	failing := p.phase.failing.Load()
	switch {
	case p.began != untimed || failing.timed():
		b.count(ctx, p, false, now())
	case failing != nil:
		failing.add(0, false)
	}
}

// count counts a call of a closed phase and opens the breaker if it must.
func (b *Breaker) count(ctx context.Context, p permit, failed bool, at int64) {
	policy, failing, slow := b.policy.Load(), p.phase.failing.Load(), p.phase.slow.Load()
	failing.add(at, failed)
	trip := false
	if failed {
		run := p.phase.failures.Add(1)
		trip = policy.ConsecutiveFailures > 0 && run >= int64(policy.ConsecutiveFailures) ||
			policy.FailureRatio > 0 && failing.reaches(policy.FailureRatio, policy.MinCalls, at)
	}
	if p.began != untimed && slow != nil {
		late := policy.slow(at - p.began)
		slow.add(at, late)
		trip = trip || late && slow.reaches(policy.SlowRatio, policy.MinCalls, at)
	}
	if trip {
		b.change(ctx, p.phase, Open, at)
	}
}

// slow tells whether a call that took so many ns counts as slow.
func (b *BreakerPolicy) slow(took int64) bool { return b.SlowRatio > 0 && took >= int64(b.SlowCall) }

// settleProbe counts every probe of the phase, also one that has lost its place: otherwise a
// dependency slower than OpenFor could never prove that it is back.
func (b *Breaker) settleProbe(ctx context.Context, p permit, class Class) {
	place := &p.phase.probes[p.place]
	at := now()
	switch {
	case class == Neutral:
		place.CompareAndSwap(p.until, free)
	case class != Success || b.policy.Load().slow(at-p.began):
		b.change(ctx, p.phase, Open, at)
	default:
		place.CompareAndSwap(p.until, spent)
		if p.phase.successes.Add(1) >= int64(len(p.phase.probes)) {
			b.change(ctx, p.phase, Closed, at)
		}
	}
}

// change moves from one phase to the next unless somebody else has; it gives the phase that is
// current afterwards.
func (b *Breaker) change(ctx context.Context, from *phase, to State, at int64) *phase {
	b.changing.Lock()
	if current := b.phase.Load(); current != from {
		b.changing.Unlock()
		return current
	}
	next := b.enter(to, at)
	b.changing.Unlock()
	onSpan(ctx, spanState, Event{Kind: StateChanged, Name: b.watch.name, From: from.state, To: to})
	return next
}

// enter starts a phase; the caller holds the lock.
func (b *Breaker) enter(to State, at int64) *phase {
	from := b.phase.Load().state
	next := b.newPhase(to, at)
	b.phase.Store(next)
	if from != to {
		b.watch.count([...]int{Closed: countClosed, Open: countOpened, HalfOpen: countHalfOpened}[to])
		b.watch.feed.send(Event{Kind: StateChanged, Name: b.watch.name, From: from, To: to})
	}
	return next
}

// started is the zero of now. Only differences of now are used.
var started = time.Now()

// now reads the monotonic clock, in ns. Setting the wall clock does not move it. It can be negative
// (in a test's synctest bubble, which has a clock of its own).
func now() int64 { return int64(time.Since(started)) }
