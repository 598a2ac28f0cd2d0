// Package evidence holds sequential tests that stay valid however often one looks.
//
// An e-process starts at 1 and, as long as its null hypothesis holds, is a non-negative
// supermartingale: by Ville's inequality the chance that it ever reaches 1/α is at most α. All
// state is kept in natural logarithms and updated interval by interval, never pooled over
// intervals with different splits.
//
// # What is where
//
//   - [RelativeRate]: is the bad share of the treatment more (or less) than r0 times the control's?
//     For rare events; indifferent to drift and to a changing split.
//   - [Difference]: is it more (or less) than δ above the control's? Sharper for common events.
//   - [LateRate], [Recent]: the same two questions, for harm that begins late and for base rates
//     that jump.
//   - [Guard]: all of them together under one tolerance, with the alarm for any harm.
//   - [MeanLogE], [WeightedMeanLogE], [Blame]: several guards at one level.
//   - [RatioSequence]: estimate with interval valid at any time, for display.
//   - [SampleRatio], [DirichletLogBF]: does the split of units match the expected one?
//
// # What the guarantees rest on
//
// Outcomes are independent given the past, within an arm and between arms; feed counts of
// randomisation units (first bad event of each) where requests cluster by user. Feed every
// interval, once: leaving out intervals because of their outcomes breaks the guarantee. What
// is not covered: interference between the arms (a shared database that both slow down), and
// exposure that depends on outcomes (retries counted as new requests).
//
// # Same bits everywhere
//
// The same rows give the same bits on every architecture, so a log of counts can be replayed
// and compared exactly. Two things would break that, and the package avoids both: the
// elementary functions of package math have assembly versions that differ by architecture (so
// exact.go has its own), and a compiler may fuse x*y+z into one rounding (so every product of
// floats stands in an explicit float64 conversion, which the language defines as a rounding).
// A test checks the source for both.
//
// The package knows no words of the domain (no trials, no users), does no I/O and imports no
// other package of the product. Values are plain structs without pointers: copying one forks
// its history. None is safe for concurrent use.
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
