package otlp

import (
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/server/cohorts"
)

// Cohorts takes what stock SDKs send about requests, for trials that compare deployments;
// *cohorts.Tracker is one. What it is given holds parts of the request's memory: what is kept must
// be copied.
type Cohorts interface {
	// Active reports whether any trial wants metrics or spans now; every request asks.
	Active() (metrics, spans bool)
	Wants(r *cohorts.Resource, spans bool) bool
	AddPoints(points []cohorts.Point, now time.Time)
	AddSpans(spans []cohorts.Span)
}

var _ Cohorts = (*cohorts.Tracker)(nil)

// maxStockCounts bounds the bucket counts that one request may hold for cohorts.
const maxStockCounts = 1 << 20

const (
	reasonStock      = "request durations must be histograms of delta or cumulative temporality with a start time, whose buckets add up to their count"
	reasonStockRoom  = "the request holds more than 1048576 histogram buckets: send smaller batches"
	cumulativeOfOTLP = 2
)

// stock collects, for cohorts, what one request holds of stock SDKs. A nil stock wants nothing.
type stock struct {
	wants func(r *cohorts.Resource) bool

	scope  int // position of the scope at hand in the body
	scoped *cohorts.Resource
	room   int // bucket counts that still fit

	points []cohorts.Point
	spans  []cohorts.Span
}

func (r *Receiver) stock(spans bool) *stock {
	if r.cfg.Cohorts == nil {
		return nil
	}
	metrics, traces := r.cfg.Cohorts.Active()
	if spans && !traces || !spans && !metrics {
		return nil
	}
	return &stock{
		wants: func(from *cohorts.Resource) bool { return r.cfg.Cohorts.Wants(from, spans) },
		scope: -1, room: maxStockCounts,
	}
}

// give hands over what was collected.
func (s *stock) give(to Cohorts) {
	if s == nil {
		return
	}
	if len(s.points) > 0 {
		to.AddPoints(s.points, time.Now())
	}
	if len(s.spans) > 0 {
		to.AddSpans(s.spans)
	}
}

// origin gives the resource in b.attrs if some trial wants to know it.
func (b *builder) origin(service string) *cohorts.Resource {
	if b.stock == nil || len(b.attrs) == 0 {
		return nil
	}
	from := &cohorts.Resource{Service: service, Attributes: b.attrs}
	if !b.stock.wants(from) {
		return nil
	}
	from.Attributes = b.keep(b.attrs)
	return from
}

// within gives the resource with its scope, which stands at a position of the body.
func (b *builder) within(r resource, at int, read func() string) resource {
	if r.from == nil {
		return r
	}
	if s := b.stock; s.scope != at {
		scoped := *r.from
		scoped.Scope = read()
		s.scope, s.scoped = at, &scoped
	}
	r.from = b.stock.scoped
	return r
}

// ofStock reports whether the metric counts requests of a cohort.
func (m *metric) ofStock() bool { return m.from != nil && cohorts.Counts(m.name) }

// admitStock reports whether the points of such a metric are to be read.
func (b *pointBuilder) admitStock(m *metric, points int) bool {
	temporal := m.temporality == deltaTemporality || m.temporality == cumulativeOfOTLP
	if !temporal || !m.explicit && !m.histogram {
		b.reject(points, reasonStock)
		return false
	}
	return true
}

// finishStock adds the point for cohorts, or counts it as rejected.
func (b *pointBuilder) finishStock(m *metric, raw *rawPoint) {
	p := cohorts.Point{
		Resource: m.from, Metric: m.name, Unit: m.unit, Cumulative: m.temporality == cumulativeOfOTLP,
		Start: int64(raw.start), End: int64(raw.end), Exemplars: raw.exemplars,
	}
	reason := b.window(raw)
	if reason == "" {
		reason = b.stockBuckets(m, raw, &p.Buckets)
	}
	if reason != "" {
		b.reject(1, reason)
		return
	}
	p.Attributes = b.keep(b.attrs)
	b.stock.points = append(b.stock.points, p)
}

// stockBuckets copies the buckets out of the scratch.
func (b *pointBuilder) stockBuckets(m *metric, raw *rawPoint, to *cohorts.Buckets) string {
	if b.stock.room -= len(raw.positive.counts); b.stock.room < 0 {
		return reasonStockRoom
	}
	*to = cohorts.Buckets{Exponential: m.histogram, Counts: slices.Clone(raw.positive.counts), Sum: raw.sum}
	below := uint64(0)
	if m.histogram {
		to.Scale, to.Offset, to.Zero = int32(raw.scale), int32(raw.positive.offset), raw.zero
		below = raw.zero + raw.negative
	} else {
		to.Bounds = slices.Clone(raw.bounds)
		if len(to.Counts) == 0 && len(to.Bounds) == 0 { // a histogram without buckets has one
			to.Counts = []uint64{raw.count}
		}
	}
	sum := rawBuckets{counts: to.Counts}
	outside := raw.scale != int64(int32(raw.scale)) || raw.positive.offset != int64(int32(raw.positive.offset))
	if outside || raw.zero > maxCount || raw.negative > 0 || !to.Valid() || below+sum.total() != raw.count {
		return reasonStock
	}
	return ""
}

// offer adds the span that was kept last, for cohorts.
func (b *spanBuilder) offer(r resource) {
	if r.from != nil {
		b.stock.spans = append(b.stock.spans, cohorts.Span{Resource: r.from, Span: &b.spans[len(b.spans)-1]})
	}
}
