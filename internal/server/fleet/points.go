package fleet

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// presence is a point in a service.
type presence struct {
	seen, traffic   time.Time // last
	allowed, denied time.Time // when a process last let faults in, and when one did not
}

// addPoint notes that a process has a point. What was delivered late tells of the past: it is dated
// by the process's clock, but never into the future.
func (s *Store) addPoint(f *Fact, now time.Time) fate {
	at := time.Unix(0, f.End)
	if at.After(now) {
		at = now
	}
	if now.Sub(at) >= pointsKept {
		return duplicate
	}
	p := s.presence(f, now)
	if p == nil {
		return refused
	}
	later(&p.seen, at)
	if f.Traffic {
		later(&p.traffic, at)
	}
	if f.Allowed {
		later(&p.allowed, at)
	} else {
		later(&p.denied, at)
	}
	return accepted
}

func later(t *time.Time, at time.Time) {
	if at.After(*t) {
		*t = at
	}
}

// presence gives the point in the service, made if there is room; nil if there is none.
func (s *Store) presence(f *Fact, now time.Time) *presence {
	if p := s.points[f.Name][f.Service]; p != nil {
		return p
	}
	if !s.hasRoomFor(f.Name) {
		if s.makeRoom(now); !s.hasRoomFor(f.Name) {
			return nil
		}
	}
	services := s.points[f.Name]
	if services == nil {
		services = map[string]*presence{}
		s.points[strings.Clone(f.Name)] = services
	}
	p := &presence{}
	services[strings.Clone(f.Service)] = p
	s.presences++
	return p
}

func (s *Store) hasRoomFor(name string) bool {
	services, known := s.points[name]
	return (known || len(s.points) < s.limits.Points) && len(services) < s.limits.Services && s.presences < s.limits.Presences
}

// Permission says whether faults may be injected at a point of a service.
type Permission string

// The permissions.
const (
	Allowed Permission = "allowed" // by every process that was heard of lately
	Partly  Permission = "partly"  // by some
	Denied  Permission = "denied"  // by none
)

// PointService is a service that has a point.
type PointService struct {
	Name        string
	Faults      Permission
	LastSeen    time.Time
	LastTraffic time.Time // zero: no call was seen
}

// Point is a place where faults can be injected.
type Point struct {
	Name     string
	Services []PointService // sorted by name; at least one
}

// LastSeen is when a process last said that the point exists.
func (p *Point) LastSeen() (last time.Time) {
	for i := range p.Services {
		later(&last, p.Services[i].LastSeen)
	}
	return last
}

// LastTraffic is when a call last came through the point; zero if none was seen.
func (p *Point) LastTraffic() (last time.Time) {
	for i := range p.Services {
		later(&last, p.Services[i].LastTraffic)
	}
	return last
}

// Faults is the permission of all services together.
func (p *Point) Faults() Permission {
	all := p.Services[0].Faults
	for i := range p.Services {
		if p.Services[i].Faults != all {
			return Partly
		}
	}
	return all
}

// Points gives the points of a service, or of all if it is empty: those after a name, sorted, at most
// limit of them, and whether there are more. With a service, others are left out of the points too.
func (s *Store) Points(service, after string, limit int) (list []Point, more bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy(now)
	for _, name := range slices.Sorted(maps.Keys(s.points)) {
		if name <= after {
			continue
		}
		p := s.show(name, service, now)
		if len(p.Services) == 0 {
			continue
		}
		if len(list) == limit {
			return list, true
		}
		list = append(list, p)
	}
	return list, false
}

// show gives a point of one service, or of all. The lock is held.
func (s *Store) show(name, service string, now time.Time) Point {
	point := Point{Name: name}
	for one, p := range s.points[name] {
		if (service == "" || one == service) && now.Sub(p.seen) < pointsKept {
			point.Services = append(point.Services, PointService{Name: one, Faults: p.permission(), LastSeen: p.seen, LastTraffic: p.traffic})
		}
	}
	slices.SortFunc(point.Services, func(a, b PointService) int { return cmp.Compare(a.Name, b.Name) })
	return point
}

// permission looks at what was said within [GoneAfter] of the last word.
func (p *presence) permission() Permission {
	lately := func(t time.Time) bool { return p.seen.Sub(t) < GoneAfter }
	switch {
	case lately(p.allowed) && lately(p.denied):
		return Partly
	case lately(p.allowed):
		return Allowed
	}
	return Denied
}

// Point tells when a point was last reported, and when a call last came through it; allowed is
// whether a process lets faults be injected there. It is false at the end if there is no such point.
func (s *Store) Point(name string) (lastSeen, lastTraffic time.Time, allowed, ok bool) {
	s.mu.Lock()
	p := s.show(name, "", time.Now())
	s.mu.Unlock()
	if len(p.Services) == 0 {
		return time.Time{}, time.Time{}, false, false
	}
	return p.LastSeen(), p.LastTraffic(), p.Faults() != Denied, true
}

// Names gives the names of all points, sorted.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy(time.Now())
	return slices.Sorted(maps.Keys(s.points))
}
