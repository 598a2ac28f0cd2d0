package outcome

import (
	"slices"
	"time"
)

// Merge adds the counts of other, which stays as it is. nil adds nothing.
func (a *Arm) Merge(other *Arm) {
	if other == nil {
		return
	}
	a.Requests = addCapped(a.Requests, other.Requests)
	a.Bad = addCapped(a.Bad, other.Bad)
	a.NewUnits = addCapped(a.NewUnits, other.NewUnits)
	a.AtRiskUnits = addCapped(a.AtRiskUnits, other.AtRiskUnits)
	a.BadUnits = addCapped(a.BadUnits, other.BadUnits)
	a.Injected = addCapped(a.Injected, other.Injected)
	a.Latency.Merge(&other.Latency)
	for _, m := range other.Measures {
		a.AddMeasure(m)
	}
}

// Clone is an independent copy.
func (a *Arm) Clone() Arm {
	c := *a
	c.Latency = a.Latency.Clone()
	c.Measures = slices.Clone(a.Measures)
	return c
}

// Empty reports whether nothing was counted in the arm.
func (a *Arm) Empty() bool {
	return a.Requests == 0 && a.NewUnits == 0 && a.AtRiskUnits == 0 && a.Latency.Count() == 0 && a.Injected == 0
}

// Consistent reports whether no count is larger than what it is a part of: bad requests among
// requests, bad units among units at risk. Counts that are not come from lost telemetry and
// should not be judged.
func (a *Arm) Consistent() bool {
	return a.Bad <= a.Requests && a.BadUnits <= a.AtRiskUnits
}

// Duration is the length of the interval; 0 if its times are reversed.
func (i *Interval) Duration() time.Duration { return max(i.To.Sub(i.From), 0) }

// Compared reports whether both arms have requests or units, so that they can be compared.
func (i *Interval) Compared() bool { return !i.Treatment.Empty() && !i.Control.Empty() }

// Clone is an independent copy.
func (i *Interval) Clone() Interval {
	c := *i
	c.Treatment, c.Control = i.Treatment.Clone(), i.Control.Clone()
	c.Exemplars = append([]Exemplar(nil), i.Exemplars...)
	c.Injections = slices.Clone(i.Injections)
	c.Pull = i.Pull.Clone()
	return c
}

// AddExemplars puts newer exemplars before older ones and keeps the newest [MaxExemplars] in a
// new slice. Of two with the same trace the newer stays.
func AddExemplars(older []Exemplar, newer ...Exemplar) []Exemplar {
	kept := make([]Exemplar, 0, MaxExemplars)
	for _, list := range [][]Exemplar{newer, older} {
		for _, e := range list {
			kept = insertExemplar(kept, e)
		}
	}
	return kept
}

// insertExemplar keeps the list in order: newest first, then by trace id.
func insertExemplar(list []Exemplar, e Exemplar) []Exemplar {
	for k, other := range list {
		if other.TraceID == e.TraceID {
			if !e.Time.After(other.Time) {
				return list
			}
			list = append(list[:k], list[k+1:]...)
			break
		}
	}
	at := len(list)
	for at > 0 && before(e, list[at-1]) {
		at--
	}
	if at == MaxExemplars {
		return list
	}
	if len(list) == MaxExemplars {
		list = list[:MaxExemplars-1]
	}
	list = append(list, Exemplar{})
	copy(list[at+1:], list[at:])
	list[at] = e
	return list
}

func before(a, b Exemplar) bool {
	if !a.Time.Equal(b.Time) {
		return a.Time.After(b.Time)
	}
	return a.TraceID < b.TraceID
}
