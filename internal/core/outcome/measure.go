package outcome

import (
	"math"
	"slices"
	"strings"
)

// MaxMeasures bounds the measures of one arm.
const MaxMeasures = 32

// MaxValue is the largest magnitude of a tracked value, of one unit of work. Above it a value is
// taken for a mistake; below it sums of squares stay far from overflow.
const MaxValue = 1e12

// Possible reports whether the numbers can be those of Of values, or of Bad events among Of: no
// count over 2^53, no value over [MaxValue], no sum larger than the sum of squares allows
// (Cauchy-Schwarz).
func (m *Measure) Possible() bool {
	of := float64(m.Of)
	if m.Of > 1<<53 || m.Bad > m.Of || math.IsNaN(m.Sum) || !(m.SumSquares >= 0) {
		return false
	}
	const rounding = 1 + 1e-9
	return math.Abs(m.Sum) <= float64(of*MaxValue) && m.SumSquares <= float64(of*MaxValue*MaxValue)*rounding &&
		float64(m.Sum*m.Sum) <= float64(of*m.SumSquares)*rounding
}

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
