package httpapi

import (
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/server/fleet"
)

// shownDependency is how a called service does, as the processes of one service see it, under one
// variant of its policy.
type shownDependency struct {
	Name    string      `json:"name"`
	Service string      `json:"service"`
	Policy  string      `json:"policy,omitempty"` // variant; empty: the policy is the code's
	State   fleet.State `json:"state"`
	// InState of Instances processes are in the state; others are gone, but not forgotten.
	InState   int       `json:"inState"`
	Instances int       `json:"instances"`
	Gone      int       `json:"gone"`
	Since     time.Time `json:"since"`
	shownNumbers
	LastSeen time.Time `json:"lastSeen"`
}

// shownNumbers are what is measured and counted of a dependency; what there is not is left out.
type shownNumbers struct {
	Budget    *float64    `json:"budget,omitempty"`
	InFlight  *float64    `json:"inFlight,omitempty"`
	Limit     *float64    `json:"limit,omitempty"`
	PerMinute eventCounts `json:"perMinute"`
	Totals    eventCounts `json:"totals"`
}

// eventCounts has a number for each event.
type eventCounts struct {
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

func showCounts(c *fleet.Counts) eventCounts {
	return eventCounts{
		c[fleet.Opened], c[fleet.HalfOpened], c[fleet.BreakerClosed], c[fleet.RefusedOpen], c[fleet.RefusedFull], c[fleet.RefusedLimited],
		c[fleet.Retry], c[fleet.RetryBudget], c[fleet.Hedge], c[fleet.Fallback], c[fleet.Timeout], c[fleet.Failure],
	}
}

// known gives a number, nil if there is none.
func known(n float64) *float64 {
	if math.IsNaN(n) {
		return nil
	}
	return &n
}

func showDependency(m *fleet.Summary) shownDependency {
	return shownDependency{
		Name: m.Name, Service: m.Service, Policy: m.Variant, State: m.State, InState: m.InState, Instances: m.Instances, Gone: m.Gone, Since: m.Since.UTC(),
		shownNumbers: shownNumbers{known(m.Budget), known(m.InFlight), known(m.Limit), showCounts(&m.LastMinute), showCounts(&m.Totals)},
		LastSeen:     m.LastSeen.UTC(),
	}
}

// shownInstance is a dependency as one process sees it.
type shownInstance struct {
	Service  string      `json:"service"`
	Instance string      `json:"instance"`
	Policy   string      `json:"policy,omitempty"`
	State    fleet.State `json:"state"`
	Since    time.Time   `json:"since"`
	shownNumbers
	LastSeen time.Time `json:"lastSeen"`
	Gone     bool      `json:"gone"` // nothing was heard of it for 3 minutes
}

func showInstance(i *fleet.Instance) shownInstance {
	return shownInstance{
		Service: i.Service, Instance: i.ID, Policy: i.Variant, State: i.State, Since: i.Since.UTC(),
		shownNumbers: shownNumbers{known(i.Budget), known(i.InFlight), known(i.Limit), showCounts(&i.LastMinute), showCounts(&i.Totals)},
		LastSeen:     i.LastSeen.UTC(), Gone: i.Gone,
	}
}

// shownTransition is a change of a breaker.
type shownTransition struct {
	Seq        int64       `json:"seq"`
	At         time.Time   `json:"at"`
	Dependency string      `json:"dependency"`
	Service    string      `json:"service"`
	Instance   string      `json:"instance"`
	Policy     string      `json:"policy,omitempty"`
	From       fleet.State `json:"from"`
	To         fleet.State `json:"to"`
}

func showTransitions(list []fleet.Transition) []shownTransition {
	shown := make([]shownTransition, 0, len(list))
	for _, t := range list {
		shown = append(shown, shownTransition{t.Seq, t.At.UTC(), t.Name, t.Service, t.Instance, t.Variant, t.From, t.To})
	}
	return shown
}

// dependencyDetail is everything about one name.
type dependencyDetail struct {
	Name         string            `json:"name"`
	Dependencies []shownDependency `json:"dependencies"`
	// Instances are at most 1,000.
	Instances []shownInstance `json:"instances"`
	// Transitions are the last ones, oldest first.
	Transitions []shownTransition `json:"transitions"`
}

// placeSeparator joins the parts of a place to a cursor; no name has it.
const placeSeparator = "\x00"

func (c *call) listDependencies() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	var after fleet.Place
	if p.After != "" {
		parts := strings.Split(p.After, placeSeparator)
		if len(parts) != 3 {
			return invalid("the cursor is damaged: use nextCursor as it was given")
		}
		after = fleet.Place{Name: parts[0], Service: parts[1], Variant: parts[2]}
	}
	found, more := c.api.cfg.Fleet.Dependencies(fleet.Selection{Service: c.param("service")}, after, orHundred(p.Limit))
	items := make([]shownDependency, 0, len(found))
	for i := range found {
		items = append(items, showDependency(&found[i]))
	}
	next := ""
	if more {
		last := found[len(found)-1].Place()
		next = strings.Join([]string{last.Name, last.Service, last.Variant}, placeSeparator)
	}
	return answerPage(c, items, next)
}

func (c *call) getDependency() error {
	what := fleet.Selection{Name: c.r.PathValue("key")}
	instances := c.api.cfg.Fleet.Instances(what)
	if len(instances) == 0 {
		return notFound("there is no dependency %s: no process has reported it lately", what.Name)
	}
	d := dependencyDetail{Name: what.Name}
	for group := range fleet.Groups(instances) {
		summary := fleet.Summarize(group)
		d.Dependencies = append(d.Dependencies, showDependency(&summary))
	}
	for i := range instances[:min(len(instances), maxLimit)] {
		d.Instances = append(d.Instances, showInstance(&instances[i]))
	}
	d.Transitions = showTransitions(c.api.cfg.Fleet.Transitions(what, 0))
	return c.answer(http.StatusOK, d)
}

// listTransitions gives the newest changes of breakers, oldest first.
func (c *call) listTransitions() error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	after, err := c.intParam("after", 0, 1<<53)
	if err != nil {
		return err
	}
	found := c.api.cfg.Fleet.Transitions(fleet.Selection{Name: c.param("dependency"), Service: c.param("service")}, after)
	return answerPage(c, showTransitions(found[max(0, len(found)-orHundred(limit)):]), "")
}
