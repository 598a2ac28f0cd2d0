package fleet

import (
	"math"
	"strings"
	"time"
)

// key is a dependency of one process under one variant of its policy.
type key struct{ name, service, instance, variant string }

// dependency is what a process told of it.
type dependency struct {
	key
	isTouched bool
	seen      time.Time

	known    bool // state has a meaning
	state    State
	since    time.Time // of the state, as far as known
	reported State
	isNew    bool // reported is to be looked at
	moves    [BreakerClosed + 1]uint64

	numbers [OfEvents]float64 // by kind; NaN: never told
	ends    [OfEvents]int64   // of the newest measurement, by kind
	totals  [Events]uint64
	counted [Events]int64 // the end of the newest count, by event
	recent  window
}

// dependency finds the one a fact is about, or makes it; nil if there is no room.
func (s *Store) dependency(f *Fact, now time.Time) *dependency {
	k := key{f.Name, f.Service, f.Instance, f.Variant}
	d := s.dependencies[k]
	if d == nil {
		if len(s.dependencies) >= s.limits.Dependencies {
			if s.makeRoom(now); len(s.dependencies) >= s.limits.Dependencies {
				return nil
			}
		}
		k = key{strings.Clone(f.Name), strings.Clone(f.Service), strings.Clone(f.Instance), strings.Clone(f.Variant)}
		d = &dependency{key: k}
		for i := range d.numbers {
			d.numbers[i] = math.NaN()
		}
		s.dependencies[k] = d
	}
	d.seen = now
	return d
}

// add takes a fact that arrived at a time since the birth of the store. A count whose time overlaps
// with that of one before, and a measurement that is not newer, are repetitions: OTLP delivers at
// least once.
func (d *dependency) add(f *Fact, at time.Duration) fate {
	if f.Kind == OfEvents {
		return d.count(f, at)
	}
	if f.End <= d.ends[f.Kind] {
		return duplicate
	}
	d.ends[f.Kind] = f.End
	if f.Kind == OfState {
		d.reported, d.isNew = f.State, true
	} else {
		d.numbers[f.Kind] = f.Value
	}
	return accepted
}

func (d *dependency) count(f *Fact, at time.Duration) fate {
	if last := d.counted[f.Event]; last != 0 && (f.Start < last || f.End <= last) {
		return duplicate
	}
	d.counted[f.Event] = f.End
	d.totals[f.Event] += f.Count
	if f.Event <= BreakerClosed {
		d.moves[f.Event] += f.Count
	}
	d.recent.add(f.Event, f.Count, at, time.Duration(f.End-f.Start))
	return accepted
}

// leaving is what happens when a state is left for another one.
var leaving = map[State][]struct {
	event Event
	to    State
}{
	Closed:   {{Opened, Open}},
	HalfOpen: {{Opened, Open}, {BreakerClosed, Closed}},
	Open:     {{HalfOpened, HalfOpen}, {BreakerClosed, Closed}},
}

// settle compares the state that was reported with the one before. A breaker that is back in its
// state by then has left it in between: that is told once, however often it was.
func (d *dependency) settle(now time.Time) (list []Transition) {
	if !d.isNew {
		return nil // what happened meanwhile waits for the state it led to
	}
	from, to, moves := d.state, d.reported, d.moves
	first := !d.known
	d.known, d.isNew, d.state, d.moves = true, false, to, [BreakerClosed + 1]uint64{}
	move := func(a, b State) {
		d.since = now
		list = append(list, Transition{At: now, Name: d.name, Service: d.service, Instance: d.instance, Variant: d.variant, From: a, To: b})
	}
	if first {
		d.since = now
	}
	switch {
	case first && moves[Opened] == 0:
		// It began closed, or was so before anybody asked.
	case from != to:
		move(from, to)
	default:
		for _, way := range leaving[from] {
			if moves[way.event] > 0 {
				move(from, way.to)
				move(way.to, from)
				break
			}
		}
	}
	return list
}
