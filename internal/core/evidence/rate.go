package evidence

import (
	"encoding/json"
	"fmt"
	"math"
)

// Bounds of the rate ratio that a [RelativeRate] can test.
const (
	MinRate = 1e-3
	MaxRate = 1e3
)

const (
	harmPoints    = 32 // alternatives r0·exp(0.1k), k = 1..32
	noWorsePoints = 16 // alternatives r0·exp(-0.1k), k = 1..16
)

// The alternatives: their distance from the margin r0 in ln r, and r/r0 - 1.
var (
	harmLogs, noWorseLogs   = gridLogs()
	harmSteps, noWorseSteps = gridSteps()
)

func gridLogs() (harm [harmPoints]float64, noWorse [noWorsePoints]float64) {
	for i := range harm {
		harm[i] = float64(i+1) / 10
	}
	for i := range noWorse {
		noWorse[i] = -float64(i+1) / 10
	}
	return harm, noWorse
}

func gridSteps() (harm [harmPoints]float64, noWorse [noWorsePoints]float64) {
	for i, u := range harmLogs {
		harm[i] = exp(u) - 1
	}
	for i, u := range noWorseLogs {
		noWorse[i] = exp(u) - 1
	}
	return harm, noWorse
}

// RelativeRate is the conditional relative-rate e-process: given the events of an interval, the
// share of them that falls on the treatment says whether its rate is r0 times the control's or
// more (less). With ρ = Mc/(Mc+Mb), an interval multiplies the evidence for the alternative r by
//
//	S(r) = (r/r0)^X · ((1-ρ+ρ·r0) / (1-ρ+ρ·r))^(X+Y)
//
// and the process is the equally weighted mean over a grid of alternatives. E[S] ≤ 1 for every
// base rate, drift between intervals, changing split and mix of requests; the price is that it
// is conservative for common events (over about 10 %). The martingale is that of Lindon and
// Malek ("Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022) with the split as
// label probability; validity at r0 ≠ 1 needs the bound 1+x ≤ eˣ only.
//
// The zero value ignores everything and stays at LogE 0. It is a plain value, 280 bytes; its
// JSON keeps every bit.
type RelativeRate struct {
	r0        float64
	direction Direction
	logS      [harmPoints]float64 // Σ ln S(r_k); the first 16 when the direction is NoWorse
}

// NewHarmRate tests H0: rate ratio ≤ r0, so its evidence says "more than r0 times as many". r0 is
// a ratio, 1 for any harm; it is brought into [MinRate, MaxRate], NaN into 1.
func NewHarmRate(r0 float64) RelativeRate {
	return RelativeRate{r0: cleanRate(r0), direction: Harm}
}

// NewNoWorseRate tests H0: rate ratio ≥ r0, so its evidence says "less than r0 times as many".
func NewNoWorseRate(r0 float64) RelativeRate {
	return RelativeRate{r0: cleanRate(r0), direction: NoWorse}
}

func cleanRate(r0 float64) float64 {
	if math.IsNaN(r0) {
		return 1
	}
	return min(max(r0, MinRate), MaxRate)
}

// Margin is the rate ratio r0 under test; 0 for the zero value.
func (e RelativeRate) Margin() float64 { return e.r0 }

// Add weighs one interval. Without exposures in both arms, or without events, it changes nothing.
func (e *RelativeRate) Add(c Counts) {
	c, ok := c.clean()
	if !ok || c.X+c.Y == 0 || e.r0 == 0 {
		return
	}
	var normalisers [harmPoints]float64
	steps := e.steps()
	normalise(normalisers[:len(steps)], steps, weightOf(c.Mc, c.Mb, e.r0))
	e.weigh(float64(c.X), float64(c.X)+float64(c.Y), normalisers[:len(steps)])
}

// weightOf is ρ·r0/(1-ρ+ρ·r0): the treatment's part of the events at the margin r0.
func weightOf(mc, mb uint64, r0 float64) float64 {
	treatment := float64(float64(mc) * r0)
	return treatment / (float64(mb) + treatment)
}

// normalise gives ln((1-ρ+ρr)/(1-ρ+ρr0)) for all alternatives r, written so that nothing cancels
// when the split is small.
func normalise(normalisers, steps []float64, weight float64) {
	for k, step := range steps {
		z := float64(weight * step) // over -1, as the weight is at most 1 and steps are over -1
		u := 1 + z
		normalisers[k] = lnCarry(u, z-(u-1))
	}
}

// weigh adds x events of the treatment among n.
func (e *RelativeRate) weigh(x, n float64, normalisers []float64) {
	logs := e.logs()
	for k, normaliser := range normalisers {
		e.logS[k] += float64(x*logs[k]) - float64(n*normaliser)
	}
}

// LogE is ln E: 0 at the start, at least ln(1/α) when H0 is rejected at level α.
func (e *RelativeRate) LogE() float64 {
	points := len(e.steps())
	if points == 0 {
		return 0
	}
	return logSumExp(e.logS[:points]) - ln(float64(points))
}

func (e *RelativeRate) steps() []float64 {
	switch e.direction {
	case Harm:
		return harmSteps[:]
	case NoWorse:
		return noWorseSteps[:]
	}
	return nil
}

func (e *RelativeRate) logs() []float64 {
	if e.direction == NoWorse {
		return noWorseLogs[:]
	}
	return harmLogs[:]
}

type rateJSON struct {
	R0        float64   `json:"r0"`
	Direction Direction `json:"direction"`
	LogS      []byte    `json:"logS,omitempty"` // packed; left out if all are 0
}

// IsZero reports whether e is the zero value, for omitzero.
func (e *RelativeRate) IsZero() bool { return e.direction == "" }

// MarshalJSON writes the state so that UnmarshalJSON restores the same bits.
func (e RelativeRate) MarshalJSON() ([]byte, error) {
	return json.Marshal(rateJSON{e.r0, e.direction, pack(e.logS[:len(e.steps())])})
}

// UnmarshalJSON restores a state; it refuses one of another grid, so that a stored process never
// goes on under other rules than it began with.
func (e *RelativeRate) UnmarshalJSON(data []byte) error {
	var stored rateJSON
	if err := json.Unmarshal(data, &stored); err != nil {
		return fmt.Errorf("evidence: relative rate: %w", err)
	}
	restored := RelativeRate{r0: stored.R0, direction: stored.Direction}
	if err := unpack(stored.LogS, restored.logS[:len(restored.steps())]); err != nil {
		return fmt.Errorf("evidence: relative rate, direction %q: %w", stored.Direction, err)
	}
	if restored.direction != "" && cleanRate(stored.R0) != stored.R0 {
		return fmt.Errorf("evidence: relative rate: r0 %v is outside %v to %v", stored.R0, MinRate, MaxRate)
	}
	*e = restored
	return nil
}
