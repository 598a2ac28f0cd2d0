package resilience

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

// Stats gives the counts so far. Each is exact; together they are no snapshot.
func (e *Executor) Stats() Stats {
	return Stats{State: e.State()}
}
