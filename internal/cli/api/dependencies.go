package api

import (
	"context"
	"strconv"
	"time"
)

// Dependency is how a called service does, as the processes of one service see it, under one variant
// of its policy.
type Dependency struct {
	Name      string    `json:"name"`
	Service   string    `json:"service"`
	Policy    string    `json:"policy,omitempty"` // variant; empty: the code's
	State     string    `json:"state"`            // closed, half-open or open: the worst of the processes
	InState   int       `json:"inState"`          // processes in that state
	Instances int       `json:"instances"`        // processes that are there
	Gone      int       `json:"gone"`             // processes that were not heard of for 3 minutes
	Since     time.Time `json:"since"`
	DependencyNumbers
	LastSeen time.Time `json:"lastSeen"`
}

// DependencyNumbers are what is measured and counted; nil: there is none.
type DependencyNumbers struct {
	Budget    *float64    `json:"budget,omitempty"`
	InFlight  *float64    `json:"inFlight,omitempty"`
	Limit     *float64    `json:"limit,omitempty"`
	PerMinute EventCounts `json:"perMinute"`
	Totals    EventCounts `json:"totals"`
}

// EventCounts has a number for each event.
type EventCounts struct {
	Opened         float64 `json:"opened"`
	HalfOpened     float64 `json:"halfOpened"`
	Closed         float64 `json:"closed"`
	RefusedOpen    float64 `json:"refusedOpen"`
	RefusedFull    float64 `json:"refusedFull"`
	RefusedLimited float64 `json:"refusedLimited"`
	Retry          float64 `json:"retry"`
	RetryBudget    float64 `json:"retryBudget"`
	Hedge          float64 `json:"hedge"`
	Fallback       float64 `json:"fallback"`
	Timeout        float64 `json:"timeout"`
	Failure        float64 `json:"failure"`
}

// Refused is how many calls were refused, for whatever reason.
func (e EventCounts) Refused() float64 { return e.RefusedOpen + e.RefusedFull + e.RefusedLimited }

// DependencyInstance is a dependency as one process sees it.
type DependencyInstance struct {
	Service  string    `json:"service"`
	Instance string    `json:"instance"`
	Policy   string    `json:"policy,omitempty"`
	State    string    `json:"state"`
	Since    time.Time `json:"since"`
	DependencyNumbers
	LastSeen time.Time `json:"lastSeen"`
	Gone     bool      `json:"gone"`
}

// Transition is a change of a circuit breaker.
type Transition struct {
	Seq        int64     `json:"seq"`
	At         time.Time `json:"at"`
	Dependency string    `json:"dependency"`
	Service    string    `json:"service"`
	Instance   string    `json:"instance"`
	Policy     string    `json:"policy,omitempty"`
	From       string    `json:"from"`
	To         string    `json:"to"`
}

// DependencyDetail is everything about one name.
type DependencyDetail struct {
	Name         string               `json:"name"`
	Dependencies []Dependency         `json:"dependencies"`
	Instances    []DependencyInstance `json:"instances"`   // at most 1000
	Transitions  []Transition         `json:"transitions"` // oldest first
}

const dependenciesPath = "/api/v1/dependencies"

// Dependencies gives all dependencies, sorted by name, service and policy; with a service only those
// that it calls.
func (c *Client) Dependencies(ctx context.Context, service string) ([]Dependency, error) {
	return allOf[Dependency](ctx, c, dependenciesPath, ofService(service))
}

// Dependency gives everything about one name.
func (c *Client) Dependency(ctx context.Context, name string) (DependencyDetail, error) {
	d, _, err := one[DependencyDetail](ctx, c, at(dependenciesPath, name))
	return d, err
}

// Transitions gives the last changes of breakers after a Seq, oldest first; with a service only those
// of what it calls.
func (c *Client) Transitions(ctx context.Context, service string, after int64) ([]Transition, error) {
	query := ofService(service)
	query.Set("limit", "1000")
	query.Set("after", strconv.FormatInt(after, 10))
	p := page[Transition]{Items: []Transition{}}
	_, err := c.do(ctx, request{method: "GET", path: "/api/v1/transitions", query: query}, &p)
	return p.Items, err
}
