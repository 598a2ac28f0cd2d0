package resilience

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// adaptive finds how many attempts a dependency can bear at a time from their latencies and from how
// many it refuses, and sets the bulkhead's bound to that. All methods are safe for concurrent use; an
// attempt waits for nobody.
type adaptive struct {
	places *bulkhead

	since   atomic.Int64  // when the window begins, monotonic ns
	samples atomic.Uint64 // of the window: how many (high 20 bits) and the sum of latencies in units of 256 ns
	busiest atomic.Int64  // most attempts at a time in the window
	cut     atomic.Bool   // an attempt of the window was cut short by its timeout
	refused atomic.Uint64 // attempts of the window that the dependency refused for overload

	mu      sync.Mutex // changes what follows, and begins windows
	inForce bool       // else attempts under way, that began when it was, change nothing
	policy  AdaptivePolicy
	course  course
}

const (
	minSamples   = 10                     // of a window, and half as many as there are places
	windowLength = 100 * time.Millisecond // at least
	sampleShift  = 44
	unitShift    = 8

	firstProbe = time.Second // after the start
	probeEvery = 30 * time.Second
)

// course is what has been learned.
type course struct {
	limit   float64
	base    float64 // latency without a queue; 0: not known
	last    float64 // latency of the last window
	halved  int     // how often the limit is halved for now, to see the latency without a queue
	probeAt int64   // monotonic ns
}

// What the gradient makes of noise and of the past.
const (
	tolerance = 1.1  // latencies may be this much above base without meaning a queue
	gain      = 0.5  // how far each window goes to where it points
	tooMany   = 0.1  // share of refusals at which nothing grows
	eased     = 0.75 // half as many calls take at most this share of the time if they queued: it would be half
)

// seen is what a window has shown.
type seen struct {
	latency float64 // mean, ns; 0: none was measured
	busiest int64   // most attempts at a time
	cut     bool    // an attempt was cut short: the latency would be higher
	refused float64 // share of the attempts that the dependency refused for overload
}

// next gives the course after a window.
//
// The rule is the gradient limit of Netflix's concurrency-limits (E. Landau, W. Thurston, T. Bozarth,
// Performance Under Load, 2018): limit ← limit · base/latency + √limit, where the root is the queue
// that is meant to be there so that a place is never idle. It rests where that much queues. Other than
// there, base is the latency under half the limit, twice a minute, as in BBR's probes of the
// round-trip time (N. Cardwell et al., 2016): else a queue that stays would in time look like the
// dependency's own latency. If halving eases the latency much, there was a queue, and may be still:
// then it is halved again.
//
// A dependency that refuses shows no queue, only that it is too much: limit ← limit · (1 - refused/2), as
// DCTCP does with the share of marked packets (M. Alizadeh et al., 2010), and it grows by less. So one
// refusal among a thousand, which may be about something else, costs next to nothing, and a
// dependency without a queue refuses one attempt in ten, about.
func (c course) next(p AdaptivePolicy, s seen, at int64) course {
	c.limit = max(c.limit*(1-s.refused/2), float64(p.Min))
	if s.latency == 0 {
		return c
	}
	last := c.last
	c.last = s.latency
	if c.base == 0 || s.latency < c.base || c.halved > 0 && !s.cut {
		c.base = s.latency
	}
	if c.halved > 0 {
		c.probeAt = at + int64(probeEvery)
		if s.latency < eased*last && c.places(p) > int64(p.Min) {
			c.halved++
		} else {
			c.halved = 0
		}
		return c
	}
	gradient := min(max(tolerance*c.base/s.latency, 0.5), 1)
	step := gain * (c.limit*gradient + math.Sqrt(c.limit) - c.limit)
	if step > 0 {
		step *= max(0, 1-s.refused/tooMany)
	}
	if step < 0 || float64(s.busiest) >= c.limit/2 { // what is not used does not grow
		c.limit = min(max(c.limit+step, float64(p.Min)), float64(p.Max))
	}
	if at >= c.probeAt {
		c.halved = 1
	}
	return c
}

// places gives the bound that the course stands for.
func (c course) places(p AdaptivePolicy) int64 {
	return max(int64(math.Ldexp(c.limit, -c.halved)), int64(p.Min))
}

// start begins with nothing known.
func (a *adaptive) start(p AdaptivePolicy, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inForce, a.policy = true, p
	a.course = course{limit: float64(p.Initial), probeAt: at + int64(firstProbe)}
	a.begin(at)
}

// update changes the policy and keeps what has been learned.
func (a *adaptive) update(p AdaptivePolicy, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.policy = p
	a.course.limit = min(max(a.course.limit, float64(p.Min)), float64(p.Max))
	a.begin(at)
}

// stop leaves the bound to others.
func (a *adaptive) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inForce = false
}

// begin begins a window; the caller holds the lock. What ends within the latency of the last window
// began before it, under another limit, and is not looked at: so each window shows what the last
// decision led to.
func (a *adaptive) begin(at int64) {
	a.places.setLimit(a.course.places(a.policy))
	a.since.Store(at + int64(a.course.last))
	a.samples.Store(0)
	a.busiest.Store(0)
	a.cut.Store(false)
	a.refused.Store(0)
}

// note takes in an attempt that ended now.
func (a *adaptive) note(began, at int64, cut bool) {
	since := a.since.Load()
	if at < since {
		return
	}
	if inside := a.places.inside(); inside > a.busiest.Load() {
		a.busiest.Store(inside) // two at a time may lose one: near enough
	}
	if cut {
		a.cut.Store(true)
	}
	a.samples.Add(1<<sampleShift | uint64(at-began)>>unitShift)
	a.mayClose(at)
}

// refuse takes in an attempt that the dependency refused for overload, now. How long that took says
// nothing.
func (a *adaptive) refuse(at int64) {
	if at < a.since.Load() {
		return
	}
	a.refused.Add(1)
	a.mayClose(at)
}

// mayClose ends the window if it is long enough and nobody else is at it.
func (a *adaptive) mayClose(at int64) {
	if a.ended() >= minSamples && at-a.since.Load() >= int64(windowLength) && a.mu.TryLock() {
		a.close(at)
		a.mu.Unlock()
	}
}

// ended is how many attempts of the window tell something.
func (a *adaptive) ended() uint64 { return a.samples.Load()>>sampleShift + a.refused.Load() }

// close ends the window, unless somebody else just has; the caller holds the lock.
func (a *adaptive) close(at int64) {
	enough := max(minSamples, a.course.places(a.policy)/2)
	if !a.inForce || a.ended() < uint64(enough) || at-a.since.Load() < int64(windowLength) {
		return
	}
	sum, refused := a.samples.Load(), float64(a.refused.Load())
	count := float64(sum >> sampleShift)
	shown := seen{busiest: a.busiest.Load(), cut: a.cut.Load(), refused: refused / (count + refused)}
	if count > 0 {
		shown.latency = float64(sum&(1<<sampleShift-1)) / count * (1 << unitShift)
	}
	a.course = a.course.next(a.policy, shown, at)
	a.begin(at)
}

// isOverload reports whether something in the error's tree says that the dependency has too much to do.
func isOverload(err error) bool {
	var says interface{ Overloaded() bool }
	return errors.As(err, &says) && says.Overloaded()
}
