package evidence

import "math"

const (
	// backstopPoints is how many alternatives a [Backstop] bets on.
	backstopPoints = 6
	// backstopCap bounds the evidence: ln 100,000. What goes beyond it would only delay healing.
	backstopCap = 11.512925464970229
)

// backstopLogs are the alternatives as distances in log odds from the limit: 0.1·2^k, k = 0..5,
// from a tenth above the limit to the 25-fold.
var backstopLogs, backstopOdds = backstopGrid()

func backstopGrid() (logs, odds [backstopPoints]float64) {
	for k := range logs {
		logs[k] = math.Ldexp(0.1, k)
		odds[k] = exp(logs[k])
	}
	return logs, odds
}

// Backstop watches one share against a fixed limit, such as a service level of at most 1 % of
// errors, and heals when the share is back under it. It tests H0 "in every interval the chance
// of a bad event was at most the limit", whatever the chances were below it.
//
// The i-th interval brings a part 1/(i(i+1)) of the stake into play, so the sum over the
// beginnings of a breach is an e-process (a mixture of restarts, in the manner of the e-detectors
// of Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change
// detection", NEJSDS 2024, but with weights of sum 1). Each alternative is the likelihood ratio of
// a binomial. What is in play is capped at 100,000, so it takes few intervals within the limit
// to fall again under an alarm: that is the healing. The cap of a supermartingale is one.
//
// What this controls: while the limit was kept from the beginning, the chance that [Backstop.LogE]
// ever reaches ln(1/α) is at most α. After a true breach it controls nothing more than that the
// expected evidence does not grow while the limit is kept; a share that stays just at the limit
// may take long to heal and may flicker. It does not tell whose fault the breach is.
//
// The zero value ignores everything and stays at LogE 0. Plain value; its JSON keeps every bit.
type Backstop struct {
	Limit     float64                 `json:"limit"`
	InPlay    [backstopPoints]float64 `json:"inPlay"` // per alternative, the sum is the evidence
	Intervals uint64                  `json:"intervals,omitempty"`
}

// NewBackstop starts a backstop. limit is the greatest share that is allowed, brought into
// [1e-9, 1-1e-9]; NaN gives the zero value.
func NewBackstop(limit float64) Backstop {
	if math.IsNaN(limit) {
		return Backstop{}
	}
	return Backstop{Limit: min(max(limit, 1e-9), 1-1e-9)}
}

// IsZero reports whether b is the zero value, for omitzero.
func (b Backstop) IsZero() bool { return b == Backstop{} }

// Add weighs one interval: bad events among of; bad above of counts as of. Without exposures it
// changes nothing.
func (b *Backstop) Add(bad, of uint64) {
	if of == 0 || !(b.Limit > 0 && b.Limit < 1) {
		return
	}
	b.Intervals = min(b.Intervals+1, math.MaxUint32)
	i := float64(b.Intervals)
	fresh := 1 / (float64(i*(i+1)) * backstopPoints)
	x, n := float64(min(bad, of)), float64(of)
	sum := 0.0
	for k := range b.InPlay {
		// p_k/p0 = odds/(1+p0·(odds-1)), (1-p_k)/(1-p0) = 1/(1+p0·(odds-1))
		logS := float64(x*backstopLogs[k]) - float64(n*ln1p(float64(b.Limit*(backstopOdds[k]-1))))
		b.InPlay[k] = min(float64((b.InPlay[k]+fresh)*exp(min(logS, 700))), 1e300)
		sum += b.InPlay[k]
	}
	if limit := exp(backstopCap); sum > limit {
		for k := range b.InPlay {
			b.InPlay[k] = float64(b.InPlay[k] / sum * limit)
		}
	}
}

// LogE is ln E: 0 at the start, at least ln(1/α) when the limit is broken at level α, at most
// a hair above ln 100,000 (the cap and the reserve).
func (b *Backstop) LogE() float64 {
	if b.Intervals == 0 {
		return 0
	}
	sum := 1 / (float64(b.Intervals) + 1) // what is not yet in play
	for _, v := range b.InPlay {
		sum += v
	}
	return ln(sum)
}

// Breached reports whether the limit is broken at level alpha, now. alpha outside (0, 1) counts
// as 0.01, alpha under 1/100,000 as that.
func (b *Backstop) Breached(alpha float64) bool {
	if !(alpha > 0 && alpha < 1) {
		alpha = 0.01
	}
	return b.LogE() >= min(-ln(alpha), backstopCap)
}
