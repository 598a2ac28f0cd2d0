package fault

import (
	"slices"
	"time"
)

// Caps are the local bounds of a [Point]. No program can exceed them. Zero fields mean their
// defaults. Caps must not be changed once they were given to a point.
type Caps struct {
	MaxLatency time.Duration // longest time that one call is held up: default 10 s, at most [MaxLatency]
	MaxActive  int           // calls under a fault of one [Point.Arm] at a time: default 100
	MaxRate    float64       // share of the eligible calls, above 0 up to 1: default 1
	MaxTotal   int           // calls hit from one [Point.Arm] to the next: default 10 000
	// Kinds lists what may be injected. Nil means every kind but [KindPanic]; an empty list that is
	// not nil means nothing.
	Kinds []Kind
	// Deny names operations and points that no fault ever hits, besides those that are always
	// denied: health checks, logins and tokens, telemetry, and the traffic of Seatrial itself. In a
	// pattern, * stands for any run of characters; case does not matter. "/admin/*" is an example.
	Deny []string
	// AllowAfter lists points, by patterns like those of Deny, where the reply of a call that took
	// effect may be lost, late or spoilt although the name of the point or of the operation tells of
	// money (words that begin with pay, charg, bill, refund or transfer).
	AllowAfter []string
}

// Defaults of [Caps].
const (
	defaultLatency = 10 * time.Second
	defaultActive  = 100
	defaultTotal   = 10_000
)

// harmless are the kinds that are allowed unless Caps.Kinds says otherwise.
var harmless = []Kind{KindError, KindLatency, KindCancel, KindReset, KindLostReply, KindBandwidth, KindTruncate, KindCorrupt}

func (c Caps) normalized() Caps {
	if c.MaxLatency <= 0 {
		c.MaxLatency = defaultLatency
	}
	if c.MaxActive <= 0 {
		c.MaxActive = defaultActive
	}
	if !(c.MaxRate > 0) {
		c.MaxRate = 1
	}
	if c.MaxTotal <= 0 {
		c.MaxTotal = defaultTotal
	}
	if c.Kinds == nil {
		c.Kinds = harmless
	}
	c.MaxLatency, c.MaxRate = min(c.MaxLatency, MaxLatency), min(c.MaxRate, 1)
	return c
}

// within gives the caps that keep to both c and bounds: where one of them says nothing, what the
// other says; where both do, the stricter.
func (c Caps) within(bounds Caps) Caps {
	return Caps{
		MaxLatency: stricter(c.MaxLatency, bounds.MaxLatency),
		MaxActive:  stricter(c.MaxActive, bounds.MaxActive),
		MaxRate:    stricter(c.MaxRate, bounds.MaxRate),
		MaxTotal:   stricter(c.MaxTotal, bounds.MaxTotal),
		Kinds:      both(c.Kinds, bounds.Kinds),
		Deny:       slices.Concat(c.Deny, bounds.Deny),
		AllowAfter: both(c.AllowAfter, bounds.AllowAfter),
	}
}

func stricter[N int | float64 | time.Duration](a, b N) N {
	switch {
	case !(a > 0):
		return b
	case !(b > 0):
		return a
	default:
		return min(a, b)
	}
}

// both gives what is in both lists; nil lists say nothing.
func both[E comparable](a, b []E) []E {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	list := []E{}
	for _, e := range a {
		if slices.Contains(b, e) {
			list = append(list, e)
		}
	}
	return list
}

// permits tells whether a fault may hit a call at a point that is not denied.
func (c *Caps) permits(f *Fault, point string, call Call) bool {
	return slices.Contains(c.Kinds, f.Kind) && call.carries(f.Kind) &&
		!(f.spoilsReply() && (ofMoney(point) || ofMoney(call.Operation)) && !matchesAny(c.AllowAfter, point))
}

// spoilsReply tells whether the fault strikes after the call took effect.
func (f *Fault) spoilsReply() bool {
	switch f.Kind {
	case KindLostReply, KindTruncate, KindCorrupt:
		return true
	default:
		return f.Phase == After
	}
}
