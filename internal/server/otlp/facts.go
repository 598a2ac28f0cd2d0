package otlp

import (
	"math"
	"strings"
	"unicode"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/fleet"
)

// factKinds are the metrics in which processes tell of themselves.
var factKinds = map[string]fleet.Kind{
	outcome.MetricTraffic: fleet.OfPoint, outcome.MetricState: fleet.OfState, outcome.MetricBudget: fleet.OfBudget,
	outcome.MetricInFlight: fleet.OfInFlight, outcome.MetricLimit: fleet.OfLimit, outcome.MetricDependency: fleet.OfEvents,
}

// maxFleetName bounds the names of points, dependencies and services, in bytes.
const maxFleetName = 200

const (
	reasonFactShape = "seatrial.point.traffic and seatrial.dependency.events must be monotonic sums of delta temporality, the other metrics of dependencies gauges"
	reasonPointName = "seatrial.point.traffic needs the attributes seatrial.fault.point, of 1 to 200 bytes, and seatrial.fault.allowed, true or false"
	reasonDependent = "metrics of dependencies need the attribute seatrial.dependency, of 1 to 200 bytes, and a seatrial.policy.variant of at most 200"
	reasonMeasured  = "states of dependencies are 0, 1 or 2, budgets 0 to 1, other numbers from 0 to 2^53, counts whole; their time is not 0"
)

// factFault says why no fact of the metric can be taken, "" if they can.
func (m *metric) factFault(kind fleet.Kind) string {
	counts := kind == fleet.OfPoint || kind == fleet.OfEvents
	switch {
	case counts && !(m.sum && m.monotonic && m.temporality == deltaTemporality), !counts && !m.gauge:
		return reasonFactShape
	case m.instance == "":
		return reasonInstance
	}
	return ""
}

// fact adds what a process tells of itself, or counts it as rejected. Its attributes are in b.attrs.
func (b *pointBuilder) fact(kind fleet.Kind, m *metric, raw *rawPoint) {
	f := fleet.Fact{
		Kind: kind, Service: clip(m.service, maxFleetName), Instance: clip(m.instance, maxFleetName),
		Start: int64(raw.start), End: int64(raw.end), Value: raw.value,
	}
	reason, known := b.factWindow(kind, raw), true
	if reason == "" {
		reason, known = b.factNames(&f)
	}
	if reason == "" {
		reason = raw.measure(&f)
	}
	switch {
	case reason != "":
		b.reject(1, reason)
	case !known:
		b.ignored++
	default:
		b.facts = append(b.facts, f)
	}
}

// factWindow is window, but for measurements, whose start says nothing.
func (b *pointBuilder) factWindow(kind fleet.Kind, raw *rawPoint) string {
	if kind == fleet.OfPoint || kind == fleet.OfEvents || b.exhausted || b.dropped > 0 {
		return b.window(raw)
	}
	if raw.end == 0 || raw.end > maxTime {
		return reasonMeasured
	}
	return ""
}

// factNames reads what the fact is about. Events that this server does not know come from a newer
// SDK.
func (b *pointBuilder) factNames(f *fleet.Fact) (reason string, known bool) {
	known = f.Kind != fleet.OfEvents
	allowed := ""
	for i := range b.attrs {
		value := &b.attrs[i].Value
		switch b.attrs[i].Key {
		case outcome.AttrPoint, outcome.AttrDependency:
			f.Name = value.Str()
		case outcome.AttrAllowed:
			allowed = value.String()
		case outcome.AttrPolicyVariant:
			f.Variant = value.Str()
		case outcome.AttrDependencyEvent:
			f.Event, known = fleet.EventOf(value.Str())
		}
	}
	f.Allowed = allowed == "true"
	switch {
	case f.Kind == fleet.OfPoint && (!isNamed(f.Name) || !f.Allowed && allowed != "false"):
		return reasonPointName, known
	case f.Kind != fleet.OfPoint && (!isNamed(f.Name) || f.Variant != "" && !isNamed(f.Variant)):
		return reasonDependent, known
	}
	return "", known
}

// isNamed reports whether texts can be names: 1 to 200 bytes that can be shown.
func isNamed(names ...string) bool {
	for _, name := range names {
		if name == "" || len(name) > maxFleetName || strings.ContainsFunc(name, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
			return false
		}
	}
	return true
}

// measure reads the number of a fact.
func (r *rawPoint) measure(f *fleet.Fact) string {
	if !(r.value >= 0 && r.value <= maxCount) {
		return reasonMeasured
	}
	whole := r.value == math.Trunc(r.value)
	switch f.Kind {
	case fleet.OfPoint:
		f.Traffic = r.value > 0
	case fleet.OfState:
		if !whole || r.value > float64(fleet.Open) {
			return reasonMeasured
		}
		f.State = fleet.State(r.value)
	case fleet.OfBudget:
		if r.value > 1 {
			return reasonMeasured
		}
	case fleet.OfEvents:
		if !whole {
			return reasonMeasured
		}
		f.Count = uint64(r.value)
	}
	return ""
}
