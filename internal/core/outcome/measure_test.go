package outcome

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Property: whatever values there are, what they add up to is possible; and no numbers are that
// no values can have.
func TestPossible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Measure
		for _, v := range rapid.SliceOf(rapid.Float64Range(-MaxValue, MaxValue)).Draw(t, "values") {
			m.Of++
			m.Sum += v
			m.SumSquares += v * v
		}
		if !m.Possible() {
			t.Fatalf("%+v is taken for impossible", m)
		}
	})
	for name, m := range map[string]Measure{
		"more bad": {Of: 1, Bad: 2}, "too many": {Of: 1<<53 + 1}, "a sum of nothing": {Sum: 1, SumSquares: 1}, "NaN": {Of: 1, Sum: math.NaN()},
		"infinite": {Of: 1, Sum: math.Inf(1), SumSquares: math.Inf(1)}, "squares NaN": {Of: 1, SumSquares: math.NaN()},
		"squares negative": {Of: 1, SumSquares: -1}, "squares too small": {Of: 2, Sum: 4, SumSquares: 7}, "squares too large": {Of: 1, SumSquares: 2 * MaxValue * MaxValue},
	} {
		if m.Possible() {
			t.Errorf("%s: %+v is taken for possible", name, m)
		}
	}
}
