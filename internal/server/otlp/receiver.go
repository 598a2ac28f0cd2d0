// Package otlp receives OTLP over HTTP: traces, which explain, and the outcome metrics of
// Seatrial's SDKs, which judge. Protobuf and JSON are told apart by Content-Type.
//
// It reads with a selective reader of its own, which cuts the wanted fields out of the body and
// skips the rest (DESIGN, decision 12). Bodies, counts, nesting and the memory of concurrent
// requests are bounded; what cannot be taken is answered with the reason, as the OTLP
// specification has it ("Failures", "Partial Success"). Authentication is the caller's.
package otlp

import (
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/server/fleet"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// Outcomes takes the outcome points of one request; *intervals.Accumulator is one. The points
// are not used after AddOutcomes has returned.
type Outcomes interface {
	AddOutcomes(points []intervals.Point)
}

// Traces takes the spans of one request; *traces.Store is one. The spans and their strings are
// parts of the request's memory: what is kept must be copied.
type Traces interface {
	Add(spans []traces.Span)
}

// Usage takes which flags were evaluated; *usage.Store is one. The strings are parts of the
// request's memory: what is kept must be copied.
type Usage interface {
	Seen(flag, variant string)
}

// Fleet takes what processes tell of themselves; *fleet.Store is one. The facts are not used after
// AddFacts has returned, and their strings are parts of the request's memory: what is kept must be
// copied.
type Fleet interface {
	AddFacts(facts []fleet.Fact)
}

var (
	_ Fleet    = (*fleet.Store)(nil)
	_ Outcomes = (*intervals.Accumulator)(nil)
	_ Traces   = (*traces.Store)(nil)
)

// Config is what a [Receiver] needs. Zero numbers mean the default.
type Config struct {
	// Outcomes, Traces, Usage and Fleet get what arrives. With nil, valid requests are answered with
	// success and forgotten.
	Outcomes Outcomes
	Traces   Traces
	Usage    Usage
	Fleet    Fleet
	// Cohorts gets what stock SDKs send about requests; nil: nobody wants it.
	Cohorts Cohorts
	// MaxBody bounds one body in bytes, both as sent and decompressed. Default 16 MiB, at most
	// 64 MiB. Larger bodies are refused with 413.
	MaxBody int64
	// MaxInFlight bounds the bytes of all bodies that are held at once, default 4 × MaxBody, at
	// least 2 × MaxBody. Above it requests are refused with 429 and Retry-After.
	MaxInFlight int64
	// RetryAfter is what an overloaded receiver asks its senders to wait, default 5 s, rounded
	// up to whole seconds.
	RetryAfter time.Duration
}

// The bounds of Config.MaxBody, in bytes.
const (
	DefaultMaxBody = 16 << 20
	LargestMaxBody = 64 << 20 // what the OTLP specification recommends at most
)

func (c Config) withDefaults() Config {
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	c.MaxBody = min(c.MaxBody, LargestMaxBody)
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 4 * c.MaxBody
	}
	c.MaxInFlight = max(c.MaxInFlight, 2*c.MaxBody)
	if c.RetryAfter <= 0 {
		c.RetryAfter = 5 * time.Second
	}
	return c
}

// Receiver serves the two OTLP paths. All methods are safe for concurrent use. Make one with
// [NewReceiver].
type Receiver struct {
	cfg        Config
	retryAfter string
	budget     budget
	// decoding has one slot per processor: decoding only computes, so more at once would not be
	// faster, and the memory of decoded requests stays bounded.
	decoding chan struct{}
	stats    counters
}

// NewReceiver returns a receiver. Numbers out of their bounds are brought into them.
func NewReceiver(cfg Config) *Receiver {
	cfg = cfg.withDefaults()
	seconds := (cfg.RetryAfter + time.Second - 1) / time.Second
	return &Receiver{
		cfg: cfg, retryAfter: strconv.Itoa(int(seconds)), budget: budget{limit: cfg.MaxInFlight},
		decoding: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
}

// ServeTraces handles POST /v1/traces.
func (r *Receiver) ServeTraces(w http.ResponseWriter, req *http.Request) {
	r.serve(w, req, r.takeTraces)
}

// ServeMetrics handles POST /v1/metrics.
func (r *Receiver) ServeMetrics(w http.ResponseWriter, req *http.Request) {
	r.serve(w, req, r.takeMetrics)
}

// taken is what became of a well-formed request.
type taken struct {
	rejected int
	reason   string // "" if nothing was rejected
	field    string // the JSON name of the count of rejected items
}

// serve reads a body, has it taken, and answers in the encoding of the request.
func (r *Receiver) serve(w http.ResponseWriter, req *http.Request, take func([]byte, encoding) (taken, error)) {
	r.stats.requests.Add(1)
	enc, refusal := negotiate(req)
	var result taken
	if refusal == nil {
		result, refusal = r.receive(w, req, func(body []byte) (taken, error) { return take(body, enc) })
	}
	if refusal != nil {
		r.stats.refuse(refusal.status)
		refusal.answer(w, enc, r.retryAfter)
		return
	}
	answer(w, enc, result)
}

// receive reads a body and, as soon as a processor is free, has it taken; the errors of take are
// about the body. What was held is released before anything is answered, so that slow senders
// hold up nobody.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request, take func([]byte) (taken, error)) (taken, *failure) {
	held := lease{budget: &r.budget}
	defer held.release()
	body, refusal := r.read(w, req, &held)
	if refusal != nil {
		return taken{}, refusal
	}
	select {
	case r.decoding <- struct{}{}:
		defer func() { <-r.decoding }()
	case <-req.Context().Done():
		return taken{}, &failure{http.StatusServiceUnavailable, codeUnavailable, "the request was given up while it waited"}
	}
	result, err := take(body)
	if err != nil {
		return taken{}, &failure{http.StatusBadRequest, codeInvalid, err.Error()}
	}
	return result, nil
}

func (r *Receiver) takeTraces(body []byte, enc encoding) (taken, error) {
	b := spanBuilder{builder: newBuilder()}
	b.stock = r.stock(true)
	if err := enc.decode(body, b.protoTraces, b.jsonTraces); err != nil {
		return taken{}, err
	}
	if r.cfg.Traces != nil && len(b.spans) > 0 {
		r.cfg.Traces.Add(b.spans)
	}
	b.stock.give(r.cfg.Cohorts)
	r.stats.spans.Add(uint64(len(b.spans)))
	r.stats.rejectedSpans.Add(uint64(b.rejected))
	return taken{b.rejected, b.reason, "rejectedSpans"}, nil
}

func (r *Receiver) takeMetrics(body []byte, enc encoding) (taken, error) {
	b := pointBuilder{builder: newBuilder()}
	b.stock = r.stock(false)
	if err := enc.decode(body, b.protoMetrics, b.jsonMetrics); err != nil {
		return taken{}, err
	}
	if r.cfg.Outcomes != nil && len(b.points) > 0 {
		r.cfg.Outcomes.AddOutcomes(b.points)
	}
	b.stock.give(r.cfg.Cohorts)
	if r.cfg.Usage != nil {
		for i := range b.sightings {
			r.cfg.Usage.Seen(b.sightings[i].flag, b.sightings[i].variant)
		}
	}
	if r.cfg.Fleet != nil && len(b.facts) > 0 {
		r.cfg.Fleet.AddFacts(b.facts)
	}
	r.stats.facts.Add(uint64(len(b.facts)))
	r.stats.sightings.Add(uint64(len(b.sightings)))
	r.stats.points.Add(uint64(len(b.points)))
	r.stats.rejectedPoints.Add(uint64(b.rejected))
	r.stats.ignoredPoints.Add(uint64(b.ignored))
	return taken{b.rejected, b.reason, "rejectedDataPoints"}, nil
}

// Stats are counts since the start; InFlight is of now.
type Stats struct {
	Requests       uint64 // all, refused ones included
	Spans          uint64 // given to Traces
	RejectedSpans  uint64 // reported to the sender as a partial success
	Points         uint64 // outcome points given to Outcomes
	RejectedPoints uint64 // outcome points reported to the sender as a partial success
	IgnoredPoints  uint64 // points of metrics that are none of ours
	Sightings      uint64 // evaluated flags with their variants, given to Usage
	Facts          uint64 // what processes tell of themselves, given to Fleet
	Malformed      uint64 // requests refused with 400, 405 or 415
	TooLarge       uint64 // requests refused with 413
	Overloaded     uint64 // requests refused with 429 or 503
	InFlight       int64  // bytes of bodies held now
}

// counters are the Stats as they are counted.
type counters struct {
	requests, spans, rejectedSpans, points, rejectedPoints, ignoredPoints, sightings, facts atomic.Uint64
	malformed, tooLarge, overloaded                                                         atomic.Uint64
}

func (c *counters) refuse(status int) {
	switch status {
	case http.StatusRequestEntityTooLarge:
		c.tooLarge.Add(1)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		c.overloaded.Add(1)
	default:
		c.malformed.Add(1)
	}
}

// Stats returns the counts; they are read one after the other, not as one snapshot.
func (r *Receiver) Stats() Stats {
	c := &r.stats
	return Stats{
		Requests: c.requests.Load(), Spans: c.spans.Load(), RejectedSpans: c.rejectedSpans.Load(),
		Points: c.points.Load(), RejectedPoints: c.rejectedPoints.Load(), IgnoredPoints: c.ignoredPoints.Load(),
		Sightings: c.sightings.Load(), Facts: c.facts.Load(),
		Malformed: c.malformed.Load(), TooLarge: c.tooLarge.Load(), Overloaded: c.overloaded.Load(),
		InFlight: r.budget.held.Load(),
	}
}
