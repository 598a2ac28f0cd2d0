// Package evidence holds sequential tests that stay valid however often one looks.
//
// An e-process starts at 1 and, as long as its null hypothesis holds, is a non-negative
// supermartingale: by Ville's inequality the chance that it ever reaches 1/α is at most α. All
// state is kept in natural logarithms and updated interval by interval, never pooled.
//
// The package knows no words of the domain (no trials, no guardrails), does no I/O, and gives
// the same bits for the same rows.
package evidence

// Counts are the rows of one interval: bad events out of exposures in the treatment (X of Mc)
// and in the control (Y of Mb).
type Counts struct{ X, Mc, Y, Mb uint64 }

// Skeleton, to be completed (surface used by package trial):
//
//	// RelativeRate is the conditional relative-rate e-process (a1).
//	type RelativeRate struct { R0 float64 `json:"r0"`; Direction; LogS []float64 ... } JSON-serialisable, exact round trip
//	func NewHarmRate(r0 float64) RelativeRate            // H0: RR ≤ r0, grid r0·exp(0.1k), k=1..32
//	func NewNoWorseRate(r0 float64) RelativeRate         // H0: RR ≥ r0, grid r0·exp(-0.1k), k=1..16
//	func (e *RelativeRate) Add(c Counts); LogE() float64
//	// Difference is the Turner–Ly–Grünwald e-variable with absolute margin (a3).
//	func NewHarmDifference(delta float64) Difference; NewNoWorseDifference(delta float64) Difference
//	func (e *Difference) Add(c Counts); LogE() float64
//	func MeanLogE(logs ...float64) float64; MinLogE; MeanLogEWeighted
//	func Blame(logs []float64, alpha float64) []int      // closed testing after a mean-rule alarm
//	// RatioSequence: anytime-valid confidence sequence for the rate ratio (c); DifferenceSequence optional
//	// SampleRatio: sequential SRM on first exposures, log Bayes factor (g)
