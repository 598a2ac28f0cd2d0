package trial

import "github.com/seatrial/seatrial/internal/core/evidence"

// Estimate is a point estimate within a confidence sequence: it holds at any time, at the level
// PromoteAlpha. A field that is 0 is not known: the truth may lie beyond what the sequence can
// tell apart ([evidence.MinRatio] to [evidence.MaxRatio]).
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// newEstimate leaves out what lies at the edge of what the sequence can tell.
func newEstimate(low, high, value float64) Estimate {
	const slack = 1.01
	known := func(x float64) float64 {
		if x < evidence.MinRatio*slack || x > evidence.MaxRatio/slack {
			return 0
		}
		return x
	}
	e := Estimate{Low: known(low), High: known(high)}
	if e.Low > 0 || e.High > 0 {
		e.Value = known(value)
	}
	return e
}

// inverse is the estimate of the inverse ratio.
func (e Estimate) inverse() Estimate {
	one := func(x float64) float64 {
		if x == 0 {
			return 0
		}
		return 1 / x
	}
	return Estimate{Value: one(e.Value), Low: one(e.High), High: one(e.Low)}
}

// String gives e for people, such as "3× (1.7× to 5.7×)" or "1.3× or more"; empty if nothing is
// known.
func (e Estimate) String() string { return e.with("") }

// with is String with a remark after the range.
func (e Estimate) with(remark string) string {
	reach := e.reach()
	switch {
	case reach == "":
		return ""
	case e.Value == 0:
		return reach + remark
	}
	return factor(e.Value) + "× (" + reach + remark + ")"
}

func (e Estimate) reach() string {
	switch {
	case e.Value == 0 && e.High == 0 && e.Low < 1:
		return "" // "0.04× or more" is as much as nothing
	case e.Low > 0 && e.High > 0:
		return factor(e.Low) + "× to " + factor(e.High) + "×"
	case e.Low > 0:
		return factor(e.Low) + "× or more"
	case e.High > 0:
		return factor(e.High) + "× or less"
	}
	return ""
}
