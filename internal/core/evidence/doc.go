// Package evidence holds sequential tests and estimates that stay valid however often one looks.
//
// An e-process starts at 1 and, as long as its null hypothesis holds, is a non-negative
// supermartingale: by Ville's inequality (1939) the chance that it ever reaches 1/α is at most α.
// So one may look after every interval, stop when one likes, and go on later. All evidence is
// given as natural logarithms (0: none; [Guard.LogHarm] ≥ ln(1/α): decided at level α) and is
// gathered interval by interval, never pooled over intervals with different splits.
//
// # What to use when
//
// Two arms, a treatment and a control:
//
//   - [Guard]: is a share of bad events (errors, slow requests) worse than a tolerance allows, is
//     it proven to keep it, is it worse at all? This is what decides a rollout. It combines
//     [RelativeRate] (rare events; indifferent to drift and to a changing split), its finer
//     [AnyHarm], [Difference] (an absolute margin; sharper for common events), and for sudden
//     change [LateRate] (harm that begins late) and [Recent] (base rates that jump).
//   - [Split]: several guards over the same exposures (latency above several bounds) for little more
//     than the cost of one.
//   - [Means]: the same questions about the mean of a value. Asymptotic.
//   - [Flow]: does the treatment get its part of the traffic?
//   - [SampleRatio], [DirichletLogBF]: do the units split as they were assigned?
//   - [ConstantSplit], [Score]: RelativeRate in closed form for a split that never changes, and its
//     asymptotic cousin; for checks and reports.
//
// One arm and a limit:
//
//   - [Backstop]: is the limit broken now? Forgets, so that it heals.
//   - [Proportion]: was it broken, or is it proven to be kept, over all time?
//
// Several hypotheses:
//
//   - [MeanLogE], [WeightedMeanLogE]: is any of them false? One level for all, under any dependence.
//   - [Blame], [BlameWeighted]: which, after such an alarm, with no error at level α.
//   - [EBH]: which of a long list, with a share of errors of at most α.
//
// Estimates with intervals that hold at all times together, for display: [RatioSequence] for a
// rate ratio, [DifferenceSequence] and [DifferenceOf] for a difference of shares,
// [Proportion.Interval] for one share, [Means.Interval] for a difference of means (asymptotic),
// [BoundedMean] for the mean of values in [0, 1], [BandHalfWidth] for a distribution function. [QuantileLogE]
// compares a quantile of two histograms.
// Decide by the e-processes, show the intervals: an interval that excludes the tolerance and a
// guard that has decided say the same, but not in the same minute.
//
// # What the guarantees are
//
// Exact for every number of observations: everything but [Means], [Score] and the two boundaries
// ([MixtureBoundary], [UpperMixtureBoundary]), which are asymptotic and say so. "Exact" means that
// the chance of a false decision is at most α, not that it is α: for common events (over about
// 10 %) RelativeRate is far on the safe side.
//
// The tests do not take this on trust. For each exact process they compute the expected factor of
// the next interval over every outcome, at the border of the hypothesis and after any history, and
// find none above 1; for the asymptotic ones they simulate false alarms in the regimes that
// [Means] names.
//
// # What they rest on
//
// Outcomes are independent given the past, within an arm and between arms; feed counts of
// randomisation units (first bad event of each) where requests cluster by user, or divide the counts
// by a design effect. Feed every interval, once: leaving out intervals because of their outcomes
// breaks the guarantee, leaving them out because of their exposures does not. Levels, margins and
// weights are fixed before the first interval. What is not covered: interference between the arms
// (a shared database that both slow down), exposure that depends on outcomes (retries counted as
// new requests), telemetry that one arm loses ([SampleRatio] and [Flow] are there to notice).
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
// # Values
//
// The package knows no words of the domain (no trials, no users), does no I/O and imports no
// other package of the product. Values are plain structs without pointers: copying one forks
// its history, and their JSON restores every bit (JSON of another grid or format is refused, so
// that a stored process never goes on under other rules). No input panics; counts that cannot be
// are capped or ignored as each Add says. None is safe for concurrent use. An interval of a Guard
// costs one to two microseconds, and its cost does not grow with the number of intervals.
package evidence
