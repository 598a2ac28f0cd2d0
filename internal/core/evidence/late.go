package evidence

import (
	"encoding/json"
	"fmt"
	"math"
)

const (
	// latePoints are every second alternative of a [RelativeRate]: r0·exp(0.2k), k = 1..16. That is
	// dense enough next to the price of the late beginning.
	latePoints = harmPoints / 2
	// What is in play is kept within these powers of two, so that products neither overflow nor
	// lose digits.
	lateMostBits  = 400
	lateLeastBits = -200
	// A factor beyond e^±lateExtreme in one interval is multiplied in logs.
	lateExtreme = 300
)

// LateRate is [RelativeRate] for harm that begins late, such as at a share of the traffic that a
// dependency no longer bears. RelativeRate bets all its evidence from the first interval on, so
// what it loses while there is no harm has to be won back first: after hours of health that
// takes most of an hour.
//
// LateRate keeps a reserve and brings a part of it into play at each interval with events:
// 1/(n(n+1)) of the whole at the n-th. That is a mixture over the intervals in which the harm may
// have begun, so the price of a late beginning is about 2·ln n once and for all. The hypothesis
// is that of RelativeRate, and a mixture of its e-processes is one.
//
// The zero value ignores everything and stays at LogE 0. Plain value; its JSON keeps every bit.
type LateRate struct {
	r0        float64
	intervals uint64              // with events
	scale     float64             // ≥ 0; E is (mean of inPlay)·exp(scale) + reserve
	inPlay    [latePoints]float64 // ≥ 0, per alternative
}

// NewLateHarmRate tests H0: rate ratio ≤ r0, as [NewHarmRate] does.
func NewLateHarmRate(r0 float64) LateRate { return LateRate{r0: cleanRate(r0)} }

// IsZero reports whether e is the zero value, for omitzero.
func (e *LateRate) IsZero() bool { return e.r0 == 0 }

// LogE is ln E: 0 at the start, at least ln(1/α) when H0 is rejected at level α.
func (e *LateRate) LogE() float64 {
	if e.intervals == 0 {
		return 0
	}
	mean := 0.0
	for _, v := range e.inPlay {
		mean += v / latePoints
	}
	reserve := exp(-e.scale) / (float64(e.intervals) + 1)
	return ln(mean+reserve) + e.scale
}

// Add weighs one interval. Without exposures in both arms, or without events, it changes nothing.
func (e *LateRate) Add(c Counts) {
	c, ok := c.clean()
	if !ok || c.X+c.Y == 0 || e.r0 == 0 {
		return
	}
	var normalisers [harmPoints]float64
	normalise(normalisers[:], harmSteps[:], weightOf(c.Mc, c.Mb, e.r0))
	e.weigh(float64(c.X), float64(c.X)+float64(c.Y), &normalisers)
}

// weigh brings a part of the reserve into play and multiplies by S(r).
func (e *LateRate) weigh(x, n float64, normalisers *[harmPoints]float64) {
	var logS [latePoints]float64
	extreme := false
	for k := range logS {
		at := 2*k + 1
		logS[k] = float64(x*harmLogs[at]) - float64(n*normalisers[at])
		extreme = extreme || logS[k] > lateExtreme || logS[k] < -lateExtreme
	}
	fresh := e.fresh()
	if extreme {
		e.multiplyInLogs(&logS, fresh)
		return
	}
	most := 0.0
	for k, v := range e.inPlay {
		e.inPlay[k] = float64((v + fresh) * expNormal(logS[k]))
		most = max(most, e.inPlay[k])
	}
	e.rescale(most)
}

// multiplyInLogs is for factors that would overflow. What is then less than e^-708 of the greatest
// value is lost, which is on the safe side.
func (e *LateRate) multiplyInLogs(logS *[latePoints]float64, fresh float64) {
	top := -e.scale // the scale is never below 0
	for k, v := range e.inPlay {
		logS[k] += ln(v + fresh)
		top = max(top, logS[k])
	}
	for k, v := range logS {
		e.inPlay[k] = exp(v - top)
	}
	e.scale += top
}

// fresh is what comes into play at the next interval, counted from now on.
func (e *LateRate) fresh() float64 {
	if e.intervals >= math.MaxUint32 {
		return 0
	}
	e.intervals++
	n := float64(e.intervals)
	return exp(-e.scale) / float64(n*(n+1))
}

// rescale moves powers of two between scale and inPlay, whose greatest value is most.
func (e *LateRate) rescale(most float64) {
	if most == 0 {
		e.scale = 0
		return
	}
	_, exponent := math.Frexp(most)
	if exponent <= lateMostBits && (exponent >= lateLeastBits || e.scale == 0) {
		return
	}
	// not below scale 0: the stake is counted in units of it
	exponent = max(exponent, -int(min(e.scale/math.Ln2, 2000)))
	for k, v := range e.inPlay {
		e.inPlay[k] = math.Ldexp(v, -exponent)
	}
	e.scale = max(e.scale+float64(float64(exponent)*math.Ln2), 0)
}

type lateJSON struct {
	R0        float64 `json:"r0"`
	Intervals uint64  `json:"intervals,omitempty"`
	State     []byte  `json:"state,omitempty"` // packed: scale, inPlay
}

// numbers are the floats that change, for storage.
func (e *LateRate) numbers() (n [latePoints + 1]float64) {
	n[0] = e.scale
	copy(n[1:], e.inPlay[:])
	return n
}

func (e *LateRate) restore(n []float64) error {
	for _, v := range n[:latePoints+1] {
		if v < 0 {
			return fmt.Errorf("stored stake %v is negative; start the process anew", v)
		}
	}
	e.scale = n[0]
	copy(e.inPlay[:], n[1:])
	return nil
}

// MarshalJSON writes the state so that UnmarshalJSON restores the same bits.
func (e LateRate) MarshalJSON() ([]byte, error) {
	n := e.numbers()
	return json.Marshal(lateJSON{e.r0, e.intervals, pack(n[:])})
}

// UnmarshalJSON restores a state; it refuses what [LateRate] cannot have written.
func (e *LateRate) UnmarshalJSON(data []byte) error {
	var stored lateJSON
	if err := json.Unmarshal(data, &stored); err != nil {
		return fmt.Errorf("evidence: late rate: %w", err)
	}
	restored := LateRate{r0: stored.R0, intervals: stored.Intervals}
	var n [latePoints + 1]float64
	err := unpack(stored.State, n[:])
	if err == nil {
		err = restored.restore(n[:])
	}
	if err == nil && restored.r0 != 0 && cleanRate(restored.r0) != restored.r0 {
		err = fmt.Errorf("r0 %v is outside %v to %v", stored.R0, MinRate, MaxRate)
	}
	if err != nil {
		return fmt.Errorf("evidence: late rate: %w", err)
	}
	*e = restored
	return nil
}
