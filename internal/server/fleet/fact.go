package fleet

import (
	"fmt"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// Kind says what a [Fact] tells.
type Kind uint8

// The kinds of facts.
const (
	OfPoint    Kind = iota // there is a point: Traffic, Allowed
	OfState                // of a breaker: State
	OfBudget               // of retries: Value, from 0 (spent) to 1
	OfInFlight             // calls under way: Value
	OfLimit                // of calls under way at a time: Value
	OfEvents               // Event came Count times
)

// Fact is one thing that a process tells of itself.
type Fact struct {
	Kind Kind
	// Service and Instance are the process.
	Service, Instance string
	// Name is that of the point or the dependency.
	Name string
	// Variant is that of the dependency's policy; empty if it is the code's.
	Variant string
	// Start and End bound the time that the fact is about, by the process's clock, in Unix
	// nanoseconds; of a measurement both may be the same.
	Start, End int64

	Traffic bool // calls came through the point in that time
	Allowed bool // the process lets faults be injected at the point
	State   State
	Value   float64
	Event   Event
	Count   uint64
}

// State is that of a breaker. The higher, the worse.
type State uint8

// The states, numbered as in the metric.
const (
	Closed   State = outcome.StateClosed   // calls are made
	HalfOpen State = outcome.StateHalfOpen // some calls are made, to find out
	Open     State = outcome.StateOpen     // none is made
)

var stateNames = [...]string{"closed", "half-open", "open"}

// String gives "closed", "half-open" or "open".
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", s)
}

// MarshalText writes the state as [State.String] does.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Event is what may happen to calls to a dependency, or to its breaker.
type Event uint8

// The events.
const (
	Opened Event = iota
	HalfOpened
	BreakerClosed
	RefusedOpen    // a call, by the breaker
	RefusedFull    // a call, by the bulkhead or the adaptive limit
	RefusedLimited // a call, by the rate limit
	Retry
	RetryBudget // a retry was not made, as the budget was spent
	Hedge
	Fallback
	Timeout
	Failure

	Events = int(Failure) + 1 // how many there are
)

var eventNames = [Events]string{
	outcome.EventOpened, outcome.EventHalfOpened, outcome.EventClosed,
	outcome.EventRefusedOpen, outcome.EventRefusedFull, outcome.EventRefusedLimited,
	outcome.EventRetry, outcome.EventRetryBudget, outcome.EventHedge, outcome.EventFallback, outcome.EventTimeout, outcome.EventFailure,
}

// EventOf gives the event of a name; false if there is none.
func EventOf(name string) (Event, bool) {
	for e, known := range eventNames {
		if known == name {
			return Event(e), true
		}
	}
	return 0, false
}

// String gives the name, as the metric has it.
func (e Event) String() string {
	if int(e) < Events {
		return eventNames[e]
	}
	return fmt.Sprintf("Event(%d)", e)
}

// Counts are numbers by [Event].
type Counts [Events]float64

// Refused is how many calls were refused, for whatever reason.
func (c *Counts) Refused() float64 { return c[RefusedOpen] + c[RefusedFull] + c[RefusedLimited] }
