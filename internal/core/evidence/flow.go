package evidence

import "math"

// DefaultFlowTolerance is the share of its traffic that a treatment may lose unless told
// otherwise: 5 %.
const DefaultFlowTolerance = 0.05

// flowPoints is how many alternatives each process of a [Flow] bets on.
const flowPoints = 10

// flowGrid is one side of the alternatives: their distance from the margin in ln φ, 0.01·2^k with
// k = 0..9, and φ/φ0 - 1. That goes from 1 % to a treatment that has all but fallen silent; of two
// neighbours the better one grows at 83 % of the best rate or more.
type flowGrid struct{ logs, steps [flowPoints]float64 }

var flowLess, flowMore = newFlowGrid(-0.01), newFlowGrid(0.01)

func newFlowGrid(first float64) (g flowGrid) {
	for k := range g.logs {
		g.logs[k] = math.Ldexp(first, k)
		g.steps[k] = exp(g.logs[k]) - 1
	}
	return g
}

// Flow judges throughput: does the treatment receive the part of the traffic that it should? Of
// the n = x+y units (or requests) of an interval, with the expected treatment share ρ,
// x is binomial with
//
//	θ(φ) = ρφ / (1-ρ+ρφ)
//
// where φ is what the treatment keeps of its expected part: 1 if nothing is lost. Given n, the
// likelihood ratio against φ0 is an exact martingale at φ0, whatever the traffic does from
// interval to interval (the conditional binomial of Lindon and Malek, "Anytime-Valid Inference
// for Multinomial Count Data", NeurIPS 2022), and Flow is an equally weighted mixture over
// ln φ = ln φ0 ± 0.01·2^k, k = 0..9.
//
//   - Harm, H0 "φ ≥ 1-tolerance": the treatment loses more than is tolerated.
//   - No worse, H0 "φ ≤ 1-tolerance".
//   - Any harm, H0 "φ ≥ 1".
//
// New units are assigned independently of each other, so for them it is exact. Requests are not:
// a busy user brings all of his requests into one arm, and clustered requests alarm too often.
// Feed new units where they are known; otherwise divide both counts by a design effect.
//
// The zero value ignores everything and stays at 0. Plain value; its JSON keeps every bit.
type Flow struct {
	Tolerance float64             `json:"tolerance"`
	Harm      [flowPoints]float64 `json:"harm,omitzero"`
	NoWorse   [flowPoints]float64 `json:"noWorse,omitzero"`
	AnyHarm   [flowPoints]float64 `json:"anyHarm,omitzero"`
	Started   bool                `json:"started"`
}

// NewFlow starts a flow. tolerance is the share that may be lost, 0.05 for 5 %; it is brought
// into [0, 0.95], NaN into [DefaultFlowTolerance].
func NewFlow(tolerance float64) Flow {
	if math.IsNaN(tolerance) {
		tolerance = DefaultFlowTolerance
	}
	return Flow{Tolerance: min(max(tolerance, 0), 0.95), Started: true}
}

// IsZero reports whether f is the zero value, for omitzero.
func (f Flow) IsZero() bool { return f == Flow{} }

// Add weighs one interval: the units (or requests) of both arms. expectedTreatmentShare is
// treatment/(treatment+control), in (0, 1); outside of that, or without any unit, the interval is
// ignored. An arm without units counts: silence is what Flow is there to notice.
func (f *Flow) Add(treatment, control uint64, expectedTreatmentShare float64) {
	share := expectedTreatmentShare
	if !f.Started || !(share > 0 && share < 1) || treatment == 0 && control == 0 {
		return
	}
	x, n := float64(treatment), float64(treatment)+float64(control)
	kept := 1 - f.Tolerance
	flowLess.add(&f.Harm, kept, x, n, share)
	flowMore.add(&f.NoWorse, kept, x, n, share)
	flowLess.add(&f.AnyHarm, 1, x, n, share)
}

// add weighs x of n against the margin φ0 = kept.
func (g *flowGrid) add(sums *[flowPoints]float64, kept, x, n, share float64) {
	weight := float64(share * kept)
	weight /= (1 - share) + weight
	for k, u := range g.logs {
		sums[k] += float64(x*u) - float64(n*ln1p(float64(weight*g.steps[k])))
	}
}

// LogHarm is the log of the evidence that the treatment loses more than is tolerated.
func (f *Flow) LogHarm() float64 { return f.mixture(&f.Harm) }

// LogNoWorse is the log of the evidence that it loses less than is tolerated.
func (f *Flow) LogNoWorse() float64 { return f.mixture(&f.NoWorse) }

// LogAnyHarm is the log of the evidence that it loses anything.
func (f *Flow) LogAnyHarm() float64 { return f.mixture(&f.AnyHarm) }

func (f *Flow) mixture(logs *[flowPoints]float64) float64 {
	if !f.Started {
		return 0
	}
	return logSumExp(logs[:]) - ln(flowPoints)
}
