package evidence

import "math"

// LateRate is [RelativeRate] for harm that begins late, such as at a share of the traffic that a
// dependency no longer bears. RelativeRate bets all its evidence from the first interval on, so
// what it loses while there is no harm has to be won back first: after hours of health that
// takes most of an hour.
//
// LateRate keeps a reserve and brings a part of it, 1/(n+1) of what is left, into play at the
// n-th interval with events. That is a mixture over the intervals in which the harm may have
// begun, with weights 1/(n(n+1)), so the price of a late beginning is about 2·ln n once and for
// all. The hypothesis is that of RelativeRate, and a mixture of its e-processes is one.
//
// The zero value ignores everything and stays at LogE 0. Plain value; its JSON keeps every bit.
type LateRate struct {
	Rate      RelativeRate `json:"rate"`    // what is in play
	Reserve   float64      `json:"reserve"` // ln of what is not
	Intervals uint64       `json:"intervals"`
}

// NewLateHarmRate tests H0: rate ratio ≤ r0, as [NewHarmRate] does.
func NewLateHarmRate(r0 float64) LateRate { return LateRate{Rate: NewHarmRate(r0)} }

// IsZero reports whether e is the zero value, for omitzero.
func (e LateRate) IsZero() bool { return e == LateRate{} }

// LogE is ln E: 0 at the start, at least ln(1/α) when H0 is rejected at level α.
func (e LateRate) LogE() float64 {
	if e.Intervals == 0 {
		return 0
	}
	return logSumExp([]float64{e.Rate.LogE(), e.Reserve})
}

// Add weighs one interval. Without exposures in both arms, or without events, it changes nothing.
func (e *LateRate) Add(c Counts) {
	c, ok := c.clean()
	if !ok || c.X+c.Y == 0 || e.Rate.IsZero() {
		return
	}
	part := ln(float64(e.Intervals) + 2)
	fresh := e.Reserve - part
	for k := range e.Rate.steps() {
		if e.Intervals == 0 {
			e.Rate.logS[k] = fresh
		} else {
			e.Rate.logS[k] = logSumExp([]float64{e.Rate.logS[k], fresh})
		}
	}
	e.Intervals = min(e.Intervals+1, math.MaxUint32)
	e.Reserve += ln(float64(e.Intervals)) - part
	e.Rate.Add(c)
}
