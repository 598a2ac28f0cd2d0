package seatrial

import (
	"math"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// This file counts what [Client.Track] records for the trials that a unit of work meets.

// maxTracked bounds the names that one unit of work counts.
const maxTracked = 64

// tracked is what a unit of work has tracked under one name.
type tracked struct {
	name   string
	values int     // that could be counted
	sum    float64 // of them
}

// count notes that a unit of work has tracked something, if a trial is judged by it. What comes
// after the end of the unit of work is not counted.
func (c *Client) count(w *Work, name string, value float64) {
	at := c.current.Load()
	if at == nil {
		return
	}
	if _, counted := at.counted[name]; !counted {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	t := w.tracks(name)
	if t == nil || !(math.Abs(value) <= outcome.MaxValue) {
		c.outcomes.unusable.Add(1)
		return
	}
	t.values++
	t.sum += value
}

// tracks gives the entry of a name, nil if there is no room for one more. w.mu is held.
func (w *Work) tracks(name string) *tracked {
	for i := range w.tracked {
		if w.tracked[i].name == name {
			return &w.tracked[i]
		}
	}
	if len(w.tracked) >= maxTracked {
		return nil
	}
	w.tracked = append(w.tracked, tracked{name: name})
	return &w.tracked[len(w.tracked)-1]
}

// checkTracked takes sums that are too large to be true out of the count of values; w has ended.
func (w *Work) checkTracked() []tracked {
	for i := range w.tracked {
		if t := &w.tracked[i]; !(math.Abs(t.sum) <= outcome.MaxValue) {
			w.client.outcomes.unusable.Add(uint64(t.values))
			t.values = 0
		}
	}
	return w.tracked
}

func (o *observation) find(name string) *tracked {
	for i := range o.tracked {
		if o.tracked[i].name == name {
			return &o.tracked[i]
		}
	}
	return nil
}

// had tells which of the events the unit of work had.
func (o *observation) had(events []flag.Event) (had eventSet) {
	if len(o.tracked) == 0 {
		return 0
	}
	for i := range events {
		if o.find(events[i].Name) != nil {
			had |= 1 << i
		}
	}
	return had
}

// addEvents counts the events of a unit of work. First is what it adds to the counts of units.
func (c *versionCounts) addEvents(a arm, events []flag.Event, seen *observation, had eventSet, first sighting) {
	if len(events) == 0 {
		return
	}
	if c.measures[a] == nil {
		c.measures[a] = make([]outcome.Measure, len(events))
		for i := range events {
			c.measures[a][i].Name = events[i].Name
		}
	}
	for i := range events {
		m := &c.measures[a][i]
		switch events[i].Count {
		case flag.CountUnits:
			addIf(&m.Of, first.mayHave.has(i))
			addIf(&m.Bad, first.has.has(i))
		case flag.CountRequests:
			m.Of++
			addIf(&m.Bad, had.has(i))
		case flag.CountValues:
			if !had.has(i) {
				continue
			}
			if t := seen.find(events[i].Name); t.values > 0 {
				m.Of++
				m.Sum += t.sum
				m.SumSquares += t.sum * t.sum
			}
		}
	}
}

// addMeasures adds two lists that count the same events.
func addMeasures(to, more []outcome.Measure) []outcome.Measure {
	if to == nil {
		return more
	}
	for i := range min(len(to), len(more)) {
		to[i].Of += more[i].Of
		to[i].Bad += more[i].Bad
		to[i].Sum += more[i].Sum
		to[i].SumSquares += more[i].SumSquares
	}
	return to
}
