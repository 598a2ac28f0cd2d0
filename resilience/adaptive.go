package resilience

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// adaptive finds how many attempts a dependency can bear at a time from their latencies, and sets the
// bulkhead's bound to that. All methods are safe for concurrent use; an attempt waits for nobody.
type adaptive struct {
	places *bulkhead

	since   atomic.Int64  // when the window began, monotonic ns
	samples atomic.Uint64 // of the window: how many (high 20 bits) and the sum of latencies in units of 256 ns
	busiest atomic.Int64  // most attempts at a time in the window

	mu     sync.Mutex // changes what follows, and begins windows
	policy AdaptivePolicy
	course course
}

const (
	minSamples   = 10                     // of a window
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
	probing bool    // half the limit, to see the latency without a queue
	probeAt int64   // monotonic ns
}

// What the gradient makes of noise and of the past.
const (
	tolerance = 1.1 // latencies may be this much above base without meaning a queue
	gain      = 0.5 // how far each window goes to where it points
)

// next gives the course after a window with this mean latency and this many attempts at a time.
//
// The rule is the gradient limit of Netflix's concurrency-limits (E. Landau, W. Thurston, T. Bozarth,
// Performance Under Load, 2018): limit ← limit · base/latency + √limit, where the root is the queue
// that is meant to be there so that a place is never idle. It rests where that much queues. Other
// than there, base comes from windows under half the limit, twice a minute, as in BBR's probes of
// the round-trip time (N. Cardwell et al., 2016): else a queue that stays would in time look like the
// dependency's own latency.
func (c course) next(p AdaptivePolicy, latency float64, busiest int64, at int64) course {
	switch {
	case c.probing:
		c.probing, c.base, c.probeAt = false, latency, at+int64(probeEvery)
		return c
	case c.base == 0 || latency < c.base:
		c.base = latency
	}
	if float64(busiest) < c.limit/2 { // the limit is not what holds: nothing to learn about it
		return c
	}
	gradient := min(max(tolerance*c.base/latency, 0.5), 1)
	c.limit += gain * (c.limit*gradient + math.Sqrt(c.limit) - c.limit)
	c.limit = min(max(c.limit, float64(p.Min)), float64(p.Max))
	c.probing = at >= c.probeAt
	return c
}

// places gives the bound that the course stands for.
func (c course) places(p AdaptivePolicy) int64 {
	if c.probing {
		return max(int64(c.limit/2), int64(p.Min))
	}
	return int64(c.limit)
}

// start begins with nothing known.
func (a *adaptive) start(p AdaptivePolicy, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.policy = p
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

// begin begins a window; the caller holds the lock.
func (a *adaptive) begin(at int64) {
	a.places.setLimit(a.course.places(a.policy))
	a.since.Store(at)
	a.samples.Store(0)
	a.busiest.Store(0)
}

// note takes in an attempt that ended now. One that began before the window did saw another limit and
// tells nothing: so each window shows what the last decision led to.
func (a *adaptive) note(began, at int64) {
	since := a.since.Load()
	if began < since {
		return
	}
	if inside := a.places.inside(); inside > a.busiest.Load() {
		a.busiest.Store(inside) // two at a time may lose one: near enough
	}
	sum := a.samples.Add(1<<sampleShift | uint64(at-began)>>unitShift)
	if sum>>sampleShift >= minSamples && at-since >= int64(windowLength) && a.mu.TryLock() {
		defer a.mu.Unlock()
		a.close(at)
	}
}

// close ends the window, unless somebody else just has; the caller holds the lock.
func (a *adaptive) close(at int64) {
	sum := a.samples.Load()
	count := sum >> sampleShift
	if count < minSamples || at-a.since.Load() < int64(windowLength) {
		return
	}
	mean := float64(sum&(1<<sampleShift-1)) / float64(count) * (1 << unitShift)
	if mean > 0 {
		a.course = a.course.next(a.policy, mean, a.busiest.Load(), at)
	}
	a.begin(at)
}
