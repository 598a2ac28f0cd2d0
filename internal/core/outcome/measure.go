package outcome

import (
	"slices"
	"strings"
)

// MaxMeasures bounds the measures of one arm.
const MaxMeasures = 32

// FindMeasure gives the measure of a name among measures sorted by name; zero if there is none.
func FindMeasure(list []Measure, name string) Measure {
	if i, ok := slices.BinarySearchFunc(list, name, compareMeasure); ok {
		return list[i]
	}
	return Measure{}
}

// AddMeasure adds to the measure of that name, and reports whether there was room for it.
func (a *Arm) AddMeasure(m Measure) bool {
	i, ok := slices.BinarySearchFunc(a.Measures, m.Name, compareMeasure)
	switch {
	case ok:
		to := &a.Measures[i]
		to.Of = addCapped(to.Of, m.Of)
		to.Bad = addCapped(to.Bad, m.Bad)
		to.Sum += m.Sum
		to.SumSquares += m.SumSquares
	case len(a.Measures) >= MaxMeasures:
		return false
	default:
		a.Measures = slices.Insert(a.Measures, i, m)
	}
	return true
}

func compareMeasure(m Measure, name string) int { return strings.Compare(m.Name, name) }

// Clone is an independent copy; nil stays nil.
func (p *Pull) Clone() *Pull {
	if p == nil {
		return nil
	}
	c := *p
	c.Treatment, c.Control = slices.Clone(p.Treatment), slices.Clone(p.Control)
	return &c
}
