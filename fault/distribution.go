package fault

import (
	"encoding/json"
	"math"
	"time"

	"github.com/seatrial/seatrial/internal/core/strict"
)

// Kinds of [Distribution].
const (
	Normal    = "normal"
	LogNormal = "lognormal"
	Quantiles = "quantiles"
)

// MaxQuantiles bounds the points of a distribution by quantiles.
const MaxQuantiles = 100

// Distribution is how long latencies are, other than evenly between two ends. What is drawn below 0
// counts as 0, and what is beyond [Caps.MaxLatency] as that. The JSON forms are:
//
//	{"kind":"normal","mean":"200ms","stddev":"50ms"}
//	{"kind":"lognormal","p50":"300ms","p99":"2s"}     half are shorter than p50, 99 of 100 than p99
//	{"kind":"quantiles","points":[{"q":0,"value":"10ms"},{"q":0.5,"value":"100ms"},{"q":0.99,"value":"1s"}]}
//
// Quantiles are joined by straight lines; below the first and above the last their values hold.
// There are 2 to 100 of them, q rising from 0 to 1 at most, the values never falling.
type Distribution struct {
	Kind         string
	Mean, StdDev time.Duration // of Normal: 0 to [MaxLatency]
	P50, P99     time.Duration // of LogNormal: 0 < P50 ≤ P99 ≤ [MaxLatency]
	Points       []Quantile    // of Quantiles
}

// Quantile says that the share Q of all latencies is at most Value long.
type Quantile struct {
	Q     float64
	Value time.Duration
}

// at gives the quantile u, strictly between 0 and 1, in ns; it may be anything, NaN too, if the
// distribution makes no sense.
func (d *Distribution) at(u float64) float64 {
	switch d.Kind {
	case Normal:
		return float64(d.Mean) + float64(d.StdDev)*normal(u)
	case LogNormal:
		// The logarithm is normal; its standard deviation is the distance of two of its quantiles
		// over that of the standard normal distribution.
		sigma := math.Log(float64(d.P99)/float64(d.P50)) / normal(0.99)
		return float64(d.P50) * math.Exp(sigma*normal(u))
	case Quantiles:
		return between(d.Points[:min(len(d.Points), MaxQuantiles)], u)
	default:
		return 0
	}
}

// normal gives the quantile u of the standard normal distribution, by the inverse error function.
func normal(u float64) float64 { return math.Sqrt2 * math.Erfinv(2*u-1) }

func between(points []Quantile, u float64) float64 {
	for i, p := range points {
		if u >= p.Q {
			continue
		}
		if i == 0 {
			return float64(p.Value)
		}
		low := points[i-1]
		return float64(low.Value) + float64(p.Value-low.Value)*(u-low.Q)/(p.Q-low.Q)
	}
	if len(points) == 0 {
		return 0
	}
	return float64(points[len(points)-1].Value)
}

// bounded gives a number of ns as a duration from 0 to longest.
func bounded(ns float64, longest time.Duration) time.Duration {
	switch {
	case !(ns > 0): // NaN as well
		return 0
	case ns >= float64(longest):
		return longest
	default:
		return time.Duration(ns)
	}
}

func parseDistribution(doc *strict.Object) *Distribution {
	if doc == nil {
		return nil
	}
	d := &Distribution{Kind: doc.String("kind", maxText)}
	switch d.Kind {
	case Normal:
		d.Mean, d.StdDev = duration(doc, "mean", 0), duration(doc, "stddev", 0)
	case LogNormal:
		d.P50, d.P99 = duration(doc, "p50", 1), duration(doc, "p99", 1)
		if d.P99 < d.P50 && doc.Has("p99") {
			doc.Fail("p99", "is shorter than p50, %s", d.P50)
		}
	case Quantiles:
		d.Points = parseQuantiles(doc)
	default:
		doc.Fail("kind", `is %q: it must be "normal", "lognormal" or "quantiles"`, d.Kind)
		return d
	}
	doc.Done()
	return d
}

func duration(doc *strict.Object, name string, lowest time.Duration) time.Duration {
	if !doc.Has(name) {
		doc.Fail(name, `must be there, a duration such as "300ms"`)
	}
	return doc.Duration(name, lowest, MaxLatency)
}

func parseQuantiles(doc *strict.Object) (points []Quantile) {
	list := doc.Objects("points", MaxQuantiles)
	if len(list) < 2 {
		doc.Fail("points", "must list at least two quantiles")
	}
	for i, one := range list {
		p := Quantile{Q: one.Ratio("q"), Value: duration(one, "value", 0)}
		if !one.Has("q") {
			one.Fail("q", "must be there, a number from 0 to 1")
		}
		if i > 0 && p.Q <= points[i-1].Q {
			one.Fail("q", "is %v: it must be above the one before, %v", p.Q, points[i-1].Q)
		}
		if i > 0 && p.Value < points[i-1].Value {
			one.Fail("value", "is %s: it must not be shorter than the one before, %s", p.Value, points[i-1].Value)
		}
		one.Done()
		points = append(points, p)
	}
	return points
}

type (
	distributionJSON struct {
		Kind   string         `json:"kind"`
		Mean   *string        `json:"mean,omitempty"`
		StdDev *string        `json:"stddev,omitempty"`
		P50    *string        `json:"p50,omitempty"`
		P99    *string        `json:"p99,omitempty"`
		Points []quantileJSON `json:"points,omitempty"`
	}
	quantileJSON struct {
		Q     float64 `json:"q"`
		Value string  `json:"value"`
	}
)

// MarshalJSON writes the form that [ParseProgram] reads.
func (d *Distribution) MarshalJSON() ([]byte, error) {
	if d == nil {
		return []byte("null"), nil
	}
	doc := distributionJSON{Kind: d.Kind}
	needs := func(kind string, v time.Duration) *string {
		if d.Kind != kind && v == 0 {
			return nil
		}
		text := v.String()
		return &text
	}
	doc.Mean, doc.StdDev = needs(Normal, d.Mean), needs(Normal, d.StdDev)
	doc.P50, doc.P99 = needs(LogNormal, d.P50), needs(LogNormal, d.P99)
	for _, p := range d.Points {
		doc.Points = append(doc.Points, quantileJSON{p.Q, p.Value.String()})
	}
	return json.Marshal(doc)
}
