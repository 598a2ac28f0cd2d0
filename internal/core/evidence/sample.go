package evidence

import "math"

// sharePoints is how many deviations [SampleRatio] bets on, in each direction.
const sharePoints = 12

// shareSteps are the deviations as ratios of the odds: exp(±0.0025·2^k), k = 0..11, so that the
// nearest one grows at 95 % of the best rate or more for true deviations from 0.2 % to 100-fold.
var shareLogs, shareSteps = sampleGrid()

func sampleGrid() (logs, steps [2 * sharePoints]float64) {
	for k := range sharePoints {
		u := math.Ldexp(0.0025, k)
		logs[k], logs[sharePoints+k] = u, -u
	}
	for k, u := range logs {
		steps[k] = exp(u)
	}
	return logs, steps
}

// SampleRatio tests, sequentially, whether new units fall on the arms as they should: H0 "each
// new unit is assigned to the treatment with the expected probability". A mismatch invalidates
// every comparison (assignment broken, one arm losing telemetry or crashing before exposure is
// recorded). The e-process is a mixture over odds ratios r of the exact martingale
//
//	Π r^x / (1-ρ+ρ·r)^(x+y)
//
// over intervals with their own expected share ρ, so a changing split is no problem; sequential
// sample-ratio tests are due to Lindon and Malek (NeurIPS 2022). Count each unit once, at its
// first exposure, with the share valid then.
//
// Alarm at LogE ≥ ln(1/0.001): it must be strict, as it invalidates everything. The zero value is
// ready to use. Plain value; its JSON keeps every bit.
type SampleRatio struct {
	LogS [2 * sharePoints]float64 `json:"logS,omitzero"`
	// Units seen, and the number of them expected in the treatment.
	Treatment uint64  `json:"treatment"`
	Control   uint64  `json:"control"`
	Expected  float64 `json:"expected"`
}

// Add weighs the units first seen in one interval. expectedTreatmentShare is
// treatment/(treatment+control), in (0, 1); outside of that the interval is ignored.
func (s *SampleRatio) Add(newTreatment, newControl uint64, expectedTreatmentShare float64) {
	share := expectedTreatmentShare
	if !(share > 0 && share < 1) || newTreatment == 0 && newControl == 0 {
		return
	}
	x, n := float64(newTreatment), float64(newTreatment)+float64(newControl)
	for k := range s.LogS {
		normaliser := ln1p(float64(share * (shareSteps[k] - 1)))
		s.LogS[k] += float64(x*shareLogs[k]) - float64(n*normaliser)
	}
	s.Treatment = addCapped(s.Treatment, newTreatment)
	s.Control = addCapped(s.Control, newControl)
	s.Expected += float64(n * share)
}

// LogE is ln E: 0 at the start, at least ln(1/α) when the split is wrong at level α.
func (s *SampleRatio) LogE() float64 { return logSumExp(s.LogS[:]) - ln(2*sharePoints) }

// DirichletLogBF is the log of the Bayes factor of "any other split" (a Dirichlet prior of
// concentration kappa around rho) against the split rho, for counts of units in any number of
// arms: an e-value at any time while rho stays the same (Lindon and Malek, NeurIPS 2022). counts
// are ≥ 0, rho > 0 with sum 1, kappa > 0 (100 is a good choice); anything else gives 0.
func DirichletLogBF(counts, rho []float64, kappa float64) float64 {
	if len(counts) != len(rho) || !positive(kappa) {
		return 0
	}
	n, sum := 0.0, 0.0
	for i, count := range counts {
		if !(count >= 0) || math.IsInf(count, 1) || !positive(rho[i]) {
			return 0
		}
		a := float64(kappa * rho[i])
		n += count
		sum += lnGamma(a+count) - lnGamma(a) - float64(count*ln(rho[i]))
	}
	return lnGamma(kappa) - lnGamma(kappa+n) + sum
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 1) }
