package cohorts

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// Point is one data point of a metric that counts requests by their duration. What it holds may be
// parts of the request's memory; nothing of it is kept.
type Point struct {
	Resource   *Resource
	Metric     string // one for which Counts is true
	Unit       string
	Attributes []traces.Attribute // may be reordered
	Cumulative bool               // else delta
	// Start and End bound the time that is counted, Unix nanoseconds, 0 < Start ≤ End.
	Start, End int64
	Buckets    Buckets
	Exemplars  []outcome.Exemplar // their Seconds in the metric's unit
}

// convention is how one metric of the semantic conventions counts requests.
type convention struct {
	perSecond  float64 // how many of its units make a second, if a point names no unit
	protocol   uint8
	superseded bool // by the other one of its protocol
}

const (
	protocolHTTP uint8 = 1 << iota
	protocolRPC
)

// conventions are the metrics of servers in the semantic conventions of OpenTelemetry: the stable
// ones (HTTP 1.23, RPC 1.38), and those that instrumentations sent before.
var conventions = map[string]convention{
	"http.server.request.duration": {perSecond: 1, protocol: protocolHTTP},
	"http.server.duration":         {perSecond: 1000, protocol: protocolHTTP, superseded: true},
	"rpc.server.call.duration":     {perSecond: 1, protocol: protocolRPC},
	"rpc.server.duration":          {perSecond: 1000, protocol: protocolRPC, superseded: true},
}

// Counts reports whether a metric of that name counts requests.
func Counts(metric string) bool {
	_, ok := conventions[metric]
	return ok
}

// unitOf gives how many units of a metric make a second; false for a unit that is no time.
func (c convention) unitOf(unit string) (perSecond float64, ok bool) {
	switch unit {
	case "":
		return c.perSecond, true
	case "s":
		return 1, true
	case "ms":
		return 1000, true
	case "us":
		return 1e6, true
	}
	return 0, false
}

// identity is a hash of what tells senders apart.
type identity [16]byte

// hasher collects the parts of an identity; every part has its length in front, so that no two
// identities run together.
type hasher []byte

func (h *hasher) text(text string) {
	*h = binary.AppendUvarint(*h, uint64(len(text)))
	*h = append(*h, text...)
}

func (h *hasher) attributes(list []traces.Attribute) {
	slices.SortStableFunc(list, compareAttributes)
	*h = binary.AppendUvarint(*h, uint64(len(list)))
	for i := range list {
		h.text(list[i].Key)
		*h = append(*h, byte(list[i].Value.Kind()))
		h.text(list[i].Value.String())
	}
}

func (h hasher) sum() identity {
	sum := sha256.Sum256(h)
	return identity(sum[:16])
}

// streamKey is a cumulative stream: all series of one metric of one process since it started.
type streamKey struct {
	identity
	start int64
}

// stream remembers the last values of a cumulative stream. In every report of it all its series
// appear, so a series that is new in a later report was 0 in the report before.
type stream struct {
	first, before, last int64 // ends of the first report, of the last one and of the one before
	series              map[identity]*series
	counts              int
	touched             uint64
}

type series struct {
	end    int64
	counts Buckets
}

// increment is what one point adds, and the time in which that was caused.
type increment struct {
	start, end int64
	counts     Buckets
}

// AddPoints counts the points of one request for the trials that want them. now is when it
// arrived.
func (t *Tracker) AddPoints(points []Point, now time.Time) {
	tb := t.table.Load()
	if tb == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := make([]identity, len(points))
	for i := range points { // a request may hold both conventions, in either order
		ids[i] = t.know(&points[i])
	}
	var out []intervals.Point
	for i := range points {
		out = t.addPoint(tb, &points[i], ids[i], now, out)
	}
	if len(out) > 0 {
		t.outcomes.AddOutcomes(out)
	}
}

// maxKnown bounds the resources of which it is remembered that they follow a newer convention.
const maxKnown = 1 << 16

// know gives the identity of a point's resource, and remembers which conventions it follows.
func (t *Tracker) know(p *Point) identity {
	h := make(hasher, 0, 512)
	h.attributes(p.Resource.Attributes)
	id := h.sum()
	c := conventions[p.Metric]
	if !c.superseded && t.better[id]&c.protocol == 0 {
		if len(t.better) >= maxKnown {
			clear(t.better)
		}
		t.better[id] |= c.protocol
	}
	return id
}

func (t *Tracker) addPoint(tb *table, p *Point, resource identity, now time.Time, out []intervals.Point) []intervals.Point {
	c := conventions[p.Metric]
	perSecond, ok := c.unitOf(p.Unit)
	targets := tb.targets(p.Resource, false)
	if !ok || len(targets) == 0 {
		return out
	}
	if c.superseded && t.better[resource]&c.protocol != 0 {
		t.stats.Superseded++
		return out
	}
	h := make(hasher, 0, 512)
	h = append(h, resource[:]...)
	h.text(p.Resource.Scope)
	h.text(p.Metric)
	source := h.sum()
	h = h[:0]
	h.attributes(p.Attributes)
	labels := h.sum()
	p.Buckets.coarsen(outcome.Scale)
	inc := increment{start: p.Start, end: p.End, counts: p.Buckets}
	if p.Cumulative {
		if inc, ok = t.increase(streamKey{source, p.Start}, labels, p); !ok {
			return out
		}
	}
	counted := false
	for i := range targets {
		if more, ok := t.count(&targets[i], p, &inc, perSecond, source, labels, now); ok {
			out, counted = append(out, more...), true
		}
	}
	if counted {
		t.stats.Counted++
	} else {
		t.stats.Early++
	}
	return out
}

// increase gives what a cumulative point adds to what was known of its series; false if nothing
// can be told.
func (t *Tracker) increase(key streamKey, labels identity, p *Point) (inc increment, ok bool) {
	st := t.streams[key]
	if st == nil {
		st = &stream{first: p.End, before: p.Start, last: p.End, series: map[identity]*series{}}
		t.streams[key] = st
	}
	t.touched++
	st.touched = t.touched
	if p.End > st.last {
		st.before, st.last = st.last, p.End
	}
	s := st.series[labels]
	if s == nil {
		// All since the stream began, if it is new; else since the report before this one.
		inc = increment{start: p.Start, end: p.End, counts: p.Buckets}
		if p.End > st.first {
			inc.start = st.before
		}
		t.remember(st, labels, p)
		return inc, true
	}
	if p.End <= s.end {
		t.stats.Duplicates++
		return inc, false
	}
	d, ok := p.Buckets.since(&s.counts)
	inc = increment{start: s.end, end: p.End, counts: d}
	st.counts, t.counts = st.counts-len(s.counts.Counts), t.counts-len(s.counts.Counts)
	t.keep(st, s, p)
	if !ok {
		t.stats.Resets++
	}
	return inc, ok
}

// remember adds a series to a stream, and makes room for it.
func (t *Tracker) remember(st *stream, labels identity, p *Point) {
	s := &series{}
	st.series[labels] = s
	t.series++
	t.keep(st, s, p)
	if t.series > t.limits.MaxSeries || t.counts > t.limits.MaxCounts {
		t.forget()
	}
}

func (t *Tracker) keep(st *stream, s *series, p *Point) {
	s.end, s.counts = p.End, p.Buckets
	s.counts.Counts, s.counts.Bounds = slices.Clone(p.Buckets.Counts), slices.Clone(p.Buckets.Bounds)
	st.counts, t.counts = st.counts+len(s.counts.Counts), t.counts+len(s.counts.Counts)
}

// forget drops the streams that were silent longest, until a quarter is free. They are dropped as a
// whole: of half a stream, new series could not be told from forgotten ones.
func (t *Tracker) forget() {
	type aged struct {
		key     streamKey
		touched uint64
	}
	list := make([]aged, 0, len(t.streams))
	for key, st := range t.streams {
		list = append(list, aged{key, st.touched})
	}
	slices.SortFunc(list, func(a, b aged) int { return int(int64(a.touched) - int64(b.touched)) })
	for _, one := range list {
		if t.series <= t.limits.MaxSeries/4*3 && t.counts <= t.limits.MaxCounts/4*3 {
			return
		}
		st := t.streams[one.key]
		t.series, t.counts = t.series-len(st.series), t.counts-st.counts
		delete(t.streams, one.key)
		t.stats.Forgotten++
	}
}

// count makes the points of one arm; false if the counts are from before its trial.
func (t *Tracker) count(to *target, p *Point, inc *increment, perSecond float64, source, labels identity, now time.Time) ([]intervals.Point, bool) {
	// The length of the time is told by the sender's clock, its end by ours: clocks may differ.
	if now.Add(-time.Duration(inc.end - inc.start)).Before(to.started) {
		return nil, false
	}
	n := inc.counts.total()
	if n == 0 {
		return nil, true
	}
	common := t.commonBounds(to, &inc.counts, perSecond)
	one := intervals.Point{
		Trial: to.trial, Version: to.version, Arm: to.arm, Start: inc.start, End: inc.end, Series: pointSeries(source, labels, p),
	}
	var bad uint64
	var exemplars []outcome.Exemplar
	if isBad(p.Attributes) {
		bad, exemplars = n, slices.Clone(p.Exemplars)
	}
	for i := range exemplars {
		exemplars[i].Seconds /= perSecond
	}
	return requests(one, inc.counts.place(perSecond, common, to.asked), bad, exemplars), true
}

// requests gives the two points of requests, which count together. What else they say is in one.
func requests(one intervals.Point, latency outcome.Histogram, bad uint64, exemplars []outcome.Exemplar) []intervals.Point {
	durations, bads := one, one
	durations.Metric, durations.Latency = outcome.MetricDuration, latency
	bads.Metric, bads.Count, bads.Exemplars = outcome.MetricBad, bad, exemplars
	return []intervals.Point{durations, bads}
}

// commonBounds gives the bounds that all histograms of the trial have had, those of b included.
func (t *Tracker) commonBounds(to *target, b *Buckets, perSecond float64) *boundSet {
	common := t.common[to.version]
	if common == nil {
		common = new(boundSet)
		common.fill()
		t.common[to.version] = common
	}
	own := b.bounds(perSecond)
	common.intersect(&own)
	return common
}

func pointSeries(source, labels identity, p *Point) intervals.SeriesKey {
	h := make(hasher, 0, 64)
	h = append(h, source[:]...)
	h = append(h, labels[:]...)
	if p.Cumulative || !p.Resource.identified() {
		h = binary.AppendVarint(h, p.Start)
	}
	return intervals.SeriesKey(h.sum())
}

// identified reports whether the resource tells its process from others. Where it does not, the
// reports of two processes overlap in time and are no duplicates; only equal ones are.
func (r *Resource) identified() bool {
	return slices.ContainsFunc(r.Attributes, func(a traces.Attribute) bool { return a.Key == "service.instance.id" })
}

// isBad reports whether the requests of a series failed, as the conventions tell it: they have an
// error.type, an HTTP status of 500 or more, or a status of gRPC that a server is to blame for.
func isBad(attributes []traces.Attribute) bool {
	for i := range attributes {
		value := attributes[i].Value
		switch attributes[i].Key {
		case "error.type":
			return true
		case "http.response.status_code", "http.status_code":
			if status := value.String(); len(status) == 3 && status[0] == '5' {
				return true
			}
		case "rpc.response.status_code", "rpc.grpc.status_code", "rpc.connect_rpc.error_code":
			if serverErrors[value.String()] {
				return true
			}
		}
	}
	return false
}

// serverErrors are the statuses that a gRPC server is to blame for, in the notations of the
// conventions (semantic conventions for gRPC, "server spans": error status).
var serverErrors = map[string]bool{
	"UNKNOWN": true, "DEADLINE_EXCEEDED": true, "UNIMPLEMENTED": true, "INTERNAL": true, "UNAVAILABLE": true, "DATA_LOSS": true,
	"2": true, "4": true, "12": true, "13": true, "14": true, "15": true,
	"unknown": true, "deadline_exceeded": true, "unimplemented": true, "internal": true, "unavailable": true, "data_loss": true,
}
