package seatrial

import (
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/resilience"
)

// This file decides when the control plane is told of points and dependencies: of each once a minute,
// and with the next flush when there is news, or when the control plane, which may have been started
// anew, was connected to. It goes along with what is reported anyway, never in
// the way of outcomes.

const (
	tellEvery = time.Minute
	maxTold   = 1000 // points, and dependencies, in one report; the rest goes with the next
)

// tellings is what the control plane was told last. It is guarded by reporter.mu.
type tellings struct {
	points    map[string]*pointTold
	executors map[*resilience.Executor]*executorTold
	times     int // that the client had connected
}

// connected reports whether the client has connected since the last call.
func (t *tellings) connected(times int) bool {
	anew := times != t.times
	t.times = times
	return anew
}

type pointTold struct {
	at      time.Time // zero: never
	traffic bool      // not told yet
	ever    bool      // there was traffic
	news    bool
}

type executorTold struct {
	at    time.Time
	stats resilience.Stats
}

// takePoints gives the points to tell of. Due ones that do not fit stay due.
func (t *tellings) takePoints(list []pointSeen, now time.Time, all bool) []pointSeen {
	if t.points == nil {
		t.points = map[string]*pointTold{}
	}
	var due []pointSeen
	for _, p := range list {
		told := t.points[p.name]
		if told == nil {
			told = &pointTold{}
			t.points[p.name] = told
		}
		told.traffic = told.traffic || p.traffic
		told.news = told.news || p.traffic && !told.ever
		told.ever = told.ever || p.traffic
		if len(due) < maxTold && (all || told.news || told.at.IsZero() || now.Sub(told.at) >= tellEvery) {
			due = append(due, pointSeen{p.name, told.traffic, p.allowed})
			told.at, told.traffic, told.news = now, false, false
		}
	}
	return due
}

// guarded is an executor of a dependency: that of one variant of its policy.
type guarded struct {
	dependency, variant string
	executor            *resilience.Executor
}

// dependencyTold is what is told of one: how it stands, and what happened since it was told last.
type dependencyTold struct {
	guarded
	stats, since resilience.Stats
}

// takeDependencies gives the dependencies to tell of. Due ones that do not fit stay due.
func (t *tellings) takeDependencies(list []guarded, now time.Time, all bool) []dependencyTold {
	known := make(map[*resilience.Executor]*executorTold, len(list))
	var due []dependencyTold
	for _, g := range list {
		told := t.executors[g.executor]
		if told == nil {
			told = &executorTold{}
		}
		known[g.executor] = told
		stats := g.executor.Stats()
		news := stats != told.stats || told.at.IsZero() || now.Sub(told.at) >= tellEvery
		if len(due) < maxTold && (all || news) {
			due = append(due, dependencyTold{g, stats, since(stats, told.stats)})
			told.at, told.stats = now, stats
		}
	}
	t.executors = known
	return due
}

// executors gives the executors of all dependencies, in order.
func (c *Client) executors() (list []guarded) {
	c.dependencies.Range(func(_, d any) bool {
		list = append(list, d.(*Dependency).executors()...)
		return true
	})
	slices.SortFunc(list, func(a, b guarded) int {
		if by := strings.Compare(a.dependency, b.dependency); by != 0 {
			return by
		}
		return strings.Compare(a.variant, b.variant)
	})
	return list
}

func (d *Dependency) executors() []guarded {
	s := d.shield.Load()
	list := []guarded{{d.name, s.base, s.main}}
	for variant, e := range s.executors {
		list = append(list, guarded{d.name, variant, e})
	}
	return list
}

// since gives the counts that were added between two states.
func since(now, before resilience.Stats) resilience.Stats {
	for i := range dependencyEvents {
		e := &dependencyEvents[i]
		*e.of(&now) -= *e.of(&before)
	}
	return now
}

// dependencyEvents names the counts of resilience.Stats.
var dependencyEvents = []struct {
	name string
	of   func(*resilience.Stats) *uint64
}{
	{outcome.EventOpened, func(s *resilience.Stats) *uint64 { return &s.Opened }},
	{outcome.EventHalfOpened, func(s *resilience.Stats) *uint64 { return &s.HalfOpened }},
	{outcome.EventClosed, func(s *resilience.Stats) *uint64 { return &s.Closed }},
	{outcome.EventRefusedOpen, func(s *resilience.Stats) *uint64 { return &s.RefusedOpen }},
	{outcome.EventRefusedFull, func(s *resilience.Stats) *uint64 { return &s.RefusedFull }},
	{outcome.EventRefusedLimited, func(s *resilience.Stats) *uint64 { return &s.RefusedLimited }},
	{outcome.EventRetry, func(s *resilience.Stats) *uint64 { return &s.Retries }},
	{outcome.EventRetryBudget, func(s *resilience.Stats) *uint64 { return &s.RetriesRefused }},
	{outcome.EventHedge, func(s *resilience.Stats) *uint64 { return &s.Hedges }},
	{outcome.EventFallback, func(s *resilience.Stats) *uint64 { return &s.Fallbacks }},
	{outcome.EventTimeout, func(s *resilience.Stats) *uint64 { return &s.Timeouts }},
	{outcome.EventFailure, func(s *resilience.Stats) *uint64 { return &s.Failures }},
}

// stateNumber gives the state of a breaker as it is reported.
func stateNumber(s resilience.State) uint64 {
	switch s {
	case resilience.Open:
		return outcome.StateOpen
	case resilience.HalfOpen:
		return outcome.StateHalfOpen
	}
	return outcome.StateClosed
}
