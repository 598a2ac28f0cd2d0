package fleet

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"
)

// Instance is how a dependency does in one process.
type Instance struct {
	Name, Service, ID, Variant string
	State                      State
	Since                      time.Time // of the state, as far as known
	// Budget is the level of the retry budget from 0 to 1, Limit how many calls may be under way at a
	// time; NaN: there is none. InFlight is NaN as long as it is not known.
	Budget, InFlight, Limit float64
	LastMinute, Totals      Counts // totals since the process was first heard of
	LastSeen                time.Time
	Gone                    bool // silent for [GoneAfter]
}

// Summary is how a dependency does in all processes of a service, for one variant of its policy.
type Summary struct {
	Name, Service, Variant string
	// State is the worst of those that are there, or of all if none is.
	State     State
	InState   int       // processes that are in that state
	Instances int       // processes that are there
	Gone      int       // processes that are gone, but not forgotten
	Since     time.Time // when the first of those in State came into it
	// Budget is the lowest, InFlight and Limit are sums; NaN as in [Instance].
	Budget, InFlight, Limit float64
	LastMinute, Totals      Counts
	LastSeen                time.Time
}

// Place is where a page of summaries ends.
type Place struct{ Name, Service, Variant string }

func (p Place) compare(o Place) int {
	return cmp.Or(cmp.Compare(p.Name, o.Name), cmp.Compare(p.Service, o.Service), cmp.Compare(p.Variant, o.Variant))
}

// Place gives the place behind the summary.
func (m *Summary) Place() Place { return Place{m.Name, m.Service, m.Variant} }

// Instances gives how the selected dependencies do in each process, by name, service and variant, the
// processes that are there before those that are gone, then by ID.
func (s *Store) Instances(what Selection) []Instance {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy(now)
	var list []Instance
	for _, d := range s.dependencies {
		if d.known && what.has(d.name, d.service) {
			list = append(list, d.show(now, now.Sub(s.born)))
		}
	}
	slices.SortFunc(list, func(a, b Instance) int {
		return cmp.Or(a.place().compare(b.place()), cmp.Compare(asNumber(a.Gone), asNumber(b.Gone)), cmp.Compare(a.ID, b.ID))
	})
	return list
}

func asNumber(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (i *Instance) place() Place { return Place{i.Name, i.Service, i.Variant} }

func (d *dependency) show(now time.Time, at time.Duration) Instance {
	i := Instance{
		Name: d.name, Service: d.service, ID: d.instance, Variant: d.variant, State: d.state, Since: d.since,
		Budget: d.numbers[OfBudget], InFlight: d.numbers[OfInFlight], Limit: d.numbers[OfLimit],
		LastMinute: d.recent.lastMinute(at), LastSeen: d.seen, Gone: now.Sub(d.seen) >= GoneAfter,
	}
	for e, n := range d.totals {
		i.Totals[e] = float64(n)
	}
	if i.Limit == 0 {
		i.Limit = math.NaN()
	}
	return i
}

// Dependencies gives the summaries of the selected dependencies: those after a place, sorted by name,
// service and variant, at most limit of them, and whether there are more.
func (s *Store) Dependencies(what Selection, after Place, limit int) (list []Summary, more bool) {
	for group := range Groups(s.Instances(what)) {
		if group[0].place().compare(after) <= 0 {
			continue
		}
		if len(list) == limit {
			return list, true
		}
		list = append(list, Summarize(group))
	}
	return list, false
}

// Groups cuts a list of [Store.Instances] where name, service or variant change.
func Groups(list []Instance) iter.Seq[[]Instance] {
	return func(yield func([]Instance) bool) {
		for len(list) > 0 {
			n := 1
			for n < len(list) && list[n].place() == list[0].place() {
				n++
			}
			if !yield(list[:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// Summarize puts the processes of one service, with one variant, together: one at least. Those that
// are gone count as gone only, unless all are.
func Summarize(group []Instance) Summary {
	first := &group[0]
	m := Summary{Name: first.Name, Service: first.Service, Variant: first.Variant, Budget: math.NaN(), InFlight: math.NaN(), Limit: math.NaN()}
	for i := range group {
		if group[i].Gone {
			m.Gone++
		}
	}
	m.Instances = len(group) - m.Gone
	for i := range group {
		if one := &group[i]; !one.Gone || m.Instances == 0 {
			m.add(one)
		}
	}
	return m
}

func (m *Summary) add(i *Instance) {
	switch {
	case m.InState == 0, i.State > m.State:
		m.State, m.InState, m.Since = i.State, 1, i.Since
	case i.State == m.State:
		m.InState++
		if i.Since.Before(m.Since) {
			m.Since = i.Since
		}
	}
	m.Budget = either(m.Budget, i.Budget, math.Min)
	m.InFlight = either(m.InFlight, i.InFlight, plus)
	m.Limit = either(m.Limit, i.Limit, plus)
	for e := range m.Totals {
		m.Totals[e] += i.Totals[e]
		m.LastMinute[e] += i.LastMinute[e]
	}
	later(&m.LastSeen, i.LastSeen)
}

func plus(a, b float64) float64 { return a + b }

// either joins what is there of two numbers.
func either(a, b float64, join func(a, b float64) float64) float64 {
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	}
	return join(a, b)
}
