// Package intervals adds up the outcomes that SDKs report, per trial and arm, until the
// controller closes the interval.
//
// An interval is cut by arrival: what came before [Accumulator.Close] is in it, what comes
// later is in the next one, whatever times the points carry. A closed interval is never
// rewritten, because the sequential tests that read it allow for no second look at the past.
package intervals

import (
	"fmt"
	"sync"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// Limits bound an [Accumulator]; zero fields mean the default.
type Limits struct {
	MaxTrials int // trials expected at once, default [flag.MaxAllocations]: as many as can run
	// MaxSeries is the number of series remembered per trial in order to recognise duplicates,
	// default 65 536: sixteen thousand processes, or 1,800 if the trial counts 16 events.
	// Above it, the quarter that was silent longest is forgotten; no point is lost by that, but a
	// very late duplicate would count.
	MaxSeries int
}

// Accumulator holds one open interval per expected trial. All methods are safe for concurrent
// use. Make one with [New].
type Accumulator struct {
	limits Limits

	mu     sync.Mutex
	trials map[string]*open
	stats  Stats
}

// open is the open interval of one trial.
type open struct {
	version string
	counts  outcome.Interval // arms, exemplars and injections only
	series  map[SeriesKey]window
	touched uint64 // counts accepted points, the clock of "silent longest"
	closed  uint64 // touched at the last Close
}

// window is what is remembered of one series: the last time of which it told.
type window struct {
	start, end int64 // Unix nanoseconds
	touched    uint64
	have       parts
	waiting    *waiting // for the other parts; nil when it has been counted
}

// Stats count points since the start. Every point that was offered is in exactly one of them.
type Stats struct {
	Accepted   uint64
	Duplicates uint64 // overlap in time with an accepted point of their series
	Stale      uint64 // of another version than the expected one: an earlier step, mostly
	Unknown    uint64 // of a trial that is not expected
	Invalid    uint64 // neither arm, or counts that cannot be
	// Discarded is how many accepted points were in an open interval that was given up by
	// Expect or Forget before anybody closed it.
	Discarded uint64
	// Incomplete is how many accepted points belong to wholes whose other points never came, so
	// that they do not count.
	Incomplete uint64
}

// New returns an accumulator that expects no trial yet. Negative limits mean the default.
func New(limits Limits) *Accumulator {
	if limits.MaxTrials <= 0 {
		limits.MaxTrials = flag.MaxAllocations
	}
	if limits.MaxSeries <= 0 {
		limits.MaxSeries = 65536
	}
	return &Accumulator{limits: limits, trials: make(map[string]*open)}
}

// Expect announces the version of a trial whose points count from now on. Points of any other
// version are stale. If the trial was expected with another version, what is open of that one
// is discarded: close it first. Expecting the same version again changes nothing. It fails when
// too many trials are expected; [Accumulator.Forget] those that ended.
func (a *Accumulator) Expect(trial, version string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.trials[trial]
	if o != nil && o.version == version {
		return nil
	}
	if o == nil && len(a.trials) >= a.limits.MaxTrials {
		return fmt.Errorf("trial %s: %d trials are running already: end one of them first", trial, len(a.trials))
	}
	a.discard(o)
	a.trials[trial] = &open{version: version, series: make(map[SeriesKey]window)}
	return nil
}

// Forget stops expecting a trial and discards what is open of it. Unknown trials are ignored.
func (a *Accumulator) Forget(trial string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.discard(a.trials[trial])
	delete(a.trials, trial)
}

// discard counts the points that are lost with an open interval.
func (a *Accumulator) discard(o *open) {
	if o != nil {
		a.stats.Discarded += o.touched - o.closed
	}
}

// Stats returns the counts of now.
func (a *Accumulator) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stats
}
