// Package fleet keeps what the processes of an environment tell of themselves: the points where
// faults can be injected, with their last traffic, and how the calls to their dependencies do. It is
// fed by the telemetry of SDKs, lives in memory, and forgets with the process.
package fleet

import (
	"sync"
	"time"
)

// How long things are kept.
const (
	// GoneAfter is how long a process may be silent, which reports at least once a minute.
	GoneAfter = 3 * time.Minute
	// droppedAfter is when a dependency of a process that is gone is forgotten.
	droppedAfter = 15 * time.Minute
	// pointsKept is when a point is forgotten that nobody reports any more.
	pointsKept = 24 * time.Hour
)

// Limits bound a [Store]; zero fields mean the default. With the longest names that are allowed, the
// defaults take some 40 MB.
type Limits struct {
	Points       int // default 10,000
	Services     int // that have the same point, default 100
	Presences    int // of points in services, all together; default 50,000
	Dependencies int // per process and variant of the policy, default 10,000
	Transitions  int // that are remembered, default 100
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field     *int
		otherwise int
	}{{&l.Points, 10_000}, {&l.Services, 100}, {&l.Presences, 50_000}, {&l.Dependencies, 10_000}, {&l.Transitions, 100}} {
		if *f.field <= 0 {
			*f.field = f.otherwise
		}
	}
	return l
}

// Store holds one environment's fleet. All methods are safe for concurrent use. Make one with [New].
type Store struct {
	limits Limits
	born   time.Time

	mu           sync.Mutex
	points       map[string]map[string]*presence // by name and service
	presences    int
	dependencies map[key]*dependency
	history      history
	touched      []*dependency // by the facts that are being added
	swept        time.Time     // last by tidy
	cleared      time.Time     // last by makeRoom
	stats        Stats
}

// Stats count facts since the start; Points and Dependencies are of now. Every fact that was offered
// is in exactly one of Accepted, Duplicates and Refused.
type Stats struct {
	Accepted     uint64
	Duplicates   uint64 // told before, or overtaken by newer ones
	Refused      uint64 // for want of room
	Points       int
	Dependencies int
}

// New gives an empty store.
func New(limits Limits) *Store {
	now := time.Now()
	limits = limits.withDefaults()
	return &Store{
		limits: limits, born: now, swept: now, points: map[string]map[string]*presence{}, dependencies: map[key]*dependency{},
		history: history{limit: limits.Transitions, last: now.UnixMicro()},
	}
}

// Stats gives the present figures.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Points, stats.Dependencies = len(s.points), len(s.dependencies)
	return stats
}

// AddFacts takes what one report tells, all of it at once. The strings are copied where they are
// kept; their length is the caller's to bound.
func (s *Store) AddFacts(facts []Fact) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy(now)
	s.touched = s.touched[:0]
	for i := range facts {
		switch s.add(&facts[i], now) {
		case accepted:
			s.stats.Accepted++
		case duplicate:
			s.stats.Duplicates++
		case refused:
			s.stats.Refused++
		}
	}
	for _, d := range s.touched {
		s.history.add(d.settle(now)...)
		d.isTouched = false
	}
}

// fate is what becomes of a fact.
type fate int

const (
	accepted fate = iota
	duplicate
	refused
)

func (s *Store) add(f *Fact, now time.Time) fate {
	if f.Kind == OfPoint {
		return s.addPoint(f, now)
	}
	d := s.dependency(f, now)
	if d == nil {
		return refused
	}
	if !d.isTouched {
		d.isTouched = true
		s.touched = append(s.touched, d)
	}
	return d.add(f, now.Sub(s.born))
}

// tidy forgets what was silent for too long, once a minute.
func (s *Store) tidy(now time.Time) {
	if now.Sub(s.swept) < time.Minute {
		return
	}
	s.swept = now
	s.sweep(now, pointsKept, droppedAfter)
}

// makeRoom forgets everything that is gone, at most once a second.
func (s *Store) makeRoom(now time.Time) {
	if now.Sub(s.cleared) < time.Second {
		return
	}
	s.cleared = now
	s.sweep(now, GoneAfter, GoneAfter)
}

func (s *Store) sweep(now time.Time, points, dependencies time.Duration) {
	for name, services := range s.points {
		for service, p := range services {
			if now.Sub(p.seen) >= points {
				delete(services, service)
				s.presences--
			}
		}
		if len(services) == 0 {
			delete(s.points, name)
		}
	}
	for k, d := range s.dependencies {
		if now.Sub(d.seen) >= dependencies {
			delete(s.dependencies, k)
		}
	}
}
