package resilience

import "sync/atomic"

// Stats is what an [Executor] has counted since it was made, and how it stands now.
type Stats struct {
	State    State   // of the breaker; Closed without one
	Budget   float64 // level of the retry budget: 0, spent, to 1, full
	InFlight int     // attempts under way, as the bulkhead or the adaptive limit counts them; 0 without either
	Waiting  int     // attempts that wait for a place there
	Limit    int     // how many places there are; 0 without either

	Opened, HalfOpened, Closed               uint64 // changes of state
	RefusedOpen, RefusedFull, RefusedLimited uint64 // attempts that were not made, by what refused them
	Retries                                  uint64 // attempts that followed a failed one
	RetriesRefused                           uint64 // those that the retry budget did not allow
	Hedges                                   uint64 // rivals that were started
	Fallbacks                                uint64 // calls that a fallback answered for
	Timeouts                                 uint64 // attempts and calls that a timeout of the policy ended
	Failures                                 uint64 // attempts that failed
}

// Stats gives the counts so far, and the state. Each is exact; together they are no snapshot. Nothing
// is counted for an attempt that succeeds.
func (e *Executor) Stats() Stats {
	n := &e.watch.counts
	s := Stats{
		State: e.State(), Budget: e.retry.budget.level(), InFlight: int(e.places.inside()), Waiting: int(e.places.waiting()),
		Opened: n.of(countOpened), HalfOpened: n.of(countHalfOpened), Closed: n.of(countClosed),
		RefusedOpen: n.of(countRefusedOpen), RefusedFull: n.of(countRefusedFull), RefusedLimited: n.of(countRefusedLimited),
		Retries: n.of(countRetries), RetriesRefused: n.of(countRetriesRefused), Hedges: n.of(countHedges), Fallbacks: n.of(countFallbacks),
		Timeouts: n.of(countTimeouts), Failures: n.of(countFailures),
	}
	if limit := e.places.limit.Load(); limit != unlimited {
		s.Limit = int(limit)
	}
	return s
}

// What is counted.
const (
	countOpened = iota
	countHalfOpened
	countClosed
	countRefusedOpen
	countRefusedFull
	countRefusedLimited
	countRetries
	countRetriesRefused
	countHedges
	countFallbacks
	countTimeouts
	countFailures
	countKinds
)

// counts are the counters of an executor.
type counts [countKinds]atomic.Uint64

func (c *counts) of(kind int) uint64 { return c[kind].Load() }
