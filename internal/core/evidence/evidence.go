package evidence

import "math/bits"

// Counts are the rows of one interval: bad events out of exposures in the treatment (X of Mc)
// and in the control (Y of Mb). X above Mc counts as Mc, Y above Mb as Mb.
type Counts struct{ X, Mc, Y, Mb uint64 }

// clean caps the bad events at the exposures; ok tells whether both arms were exposed.
func (c Counts) clean() (_ Counts, ok bool) {
	c.X = min(c.X, c.Mc)
	c.Y = min(c.Y, c.Mb)
	return c, c.Mc > 0 && c.Mb > 0
}

// Direction says which hypothesis a process gathers evidence against.
type Direction string

// The directions.
const (
	// Harm gathers evidence that the treatment is worse than the margin allows.
	Harm Direction = "harm"
	// NoWorse gathers evidence that the treatment is not as bad as the margin.
	NoWorse Direction = "no_worse"
)

// addCapped adds without wrapping round.
func addCapped(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return ^uint64(0)
	}
	return sum
}
