package seatrial

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	"go.opentelemetry.io/otel/trace"
)

// maxExposures bounds the trials that one unit of work is counted for.
const maxExposures = 1024

// Work is a unit of work: the span of time whose outcome is attributed to the trials that it met,
// usually one request. All methods are safe for concurrent use; a nil Work does nothing.
type Work struct {
	scope  scope // what Begin gives, so that both are one allocation
	client *Client
	began  time.Time
	entry  trace.Span // nil unless it records
	origin trace.SpanContext
	calls  atomic.Uint64 // that reached a point of faults
	failed atomic.Bool

	mu        sync.Mutex
	ended     bool
	chaos     *chaosWork // nil: nothing to do with experiments
	tracked   []tracked  // under names that trials count
	exposures []exposure
	room      [2]exposure // where exposures begins: most units of work meet no more
}

// exposure says that a unit of work met an arm of a trial.
type exposure struct {
	ref    *eval.TrialRef
	series *series
	arm    arm
	mixed  bool // the other arm was met as well
	key    string
}

// Begin opens a unit of work: what is evaluated with the context that it gives counts as
// exposure, until [Work.End], which must be called. It is for what is not an HTTP request; see
// [Client.Handler]. A unit of work within another is one of its own: its exposures do not count
// for the outer one. The span in ctx is the entry span: each exposure adds the attribute
// "seatrial.flag.<key>" with the variant to it.
//
// A nil client gives ctx as it is, and a nil Work.
func (c *Client) Begin(ctx context.Context) (context.Context, *Work) {
	if ctx == nil {
		ctx = context.Background()
	}
	if c == nil {
		return ctx, nil
	}
	w := &Work{client: c, began: time.Now()}
	w.scope = scope{Context: ctx, work: w}
	if outer := scopeOf(ctx); outer != nil {
		w.scope.evaluation, w.scope.hasEvaluation = outer.evaluation, outer.hasEvaluation
	}
	span := trace.SpanFromContext(ctx)
	w.origin = span.SpanContext()
	if span.IsRecording() {
		w.entry = span
	}
	w.exposures = w.room[:0]
	return &w.scope, w
}

// Fail marks the unit of work as gone wrong, whatever End is told.
func (w *Work) Fail() {
	if w != nil {
		w.failed.Store(true)
	}
}

// End closes the unit of work and counts its outcome, once: ending again does nothing. It went
// wrong if err is not nil or Fail was called. An error because the context that Begin was given
// is cancelled says that the caller went away, which is not held against anybody.
func (w *Work) End(err error) {
	if w == nil {
		return
	}
	bad := err != nil && !(errors.Is(err, context.Canceled) && callerGone(w.scope.Context))
	w.end(time.Since(w.began), bad || w.failed.Load())
}

// callerGone reports whether ctx was cancelled, rather than that its time ran out.
func callerGone(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

func (w *Work) end(took time.Duration, bad bool) {
	exposures, hits, first := w.close()
	if !first || len(exposures) == 0 || w.client.reports == nil || w.client.closed.Load() {
		return
	}
	seen := observation{seconds: took.Seconds(), bad: bad, at: w.began.Add(took), tracked: w.checkTracked()}
	if bad && w.origin.IsSampled() {
		seen.traceID, seen.spanID = w.origin.TraceID(), w.origin.SpanID()
	}
	mixed, excluded := false, false
	for i := range exposures {
		e := &exposures[i]
		switch mixed = mixed || e.mixed; {
		case e.mixed:
		case hits.spoil(e.series.attempt):
			excluded = true
		default:
			e.series.record(e.arm, e.key, &seen)
		}
	}
	if mixed {
		w.client.outcomes.mixed.Add(1)
	}
	if excluded {
		w.client.outcomes.excluded.Add(1)
	}
}

// close ends the collection of exposures; first is false if it had ended before.
func (w *Work) close() (exposures []exposure, by hits, first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, w.ended = !w.ended, true
	if w.chaos != nil {
		by = w.chaos.hits
	}
	return w.exposures, by, first
}

// note adds an exposure. News is false if the unit of work has met the same arm under the same
// version before; there is no series if it cannot be counted.
func (w *Work) note(at *snapshot, ref *eval.TrialRef, into arm, key string) (s *series, news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.exposures {
		if e := &w.exposures[i]; e.ref == ref && e.arm == into {
			return e.series, false
		}
	}
	s = w.client.outcomes.seriesOf(at, ref)
	if w.ended || len(w.exposures) >= maxExposures {
		return s, true
	}
	next := exposure{ref: ref, series: s, arm: into, key: key}
	for i := range w.exposures {
		e := &w.exposures[i]
		if e.series == s && e.arm == into { // the same version in a newer snapshot
			e.ref = ref
			return s, false
		}
		if e.series.tally == s.tally && e.arm != into {
			e.mixed, next.mixed = true, true
		}
	}
	w.exposures = append(w.exposures, next)
	return s, true
}

// exposeBy is expose for what an evaluation gave; a role is part of it.
func (c *Client) exposeBy(ctx context.Context, where *scope, at *snapshot, r *eval.Result) {
	c.expose(ctx, where, at, r.Trial, armOf(r.Role), where.evaluation.TargetingKey)
}

// expose records that the unit with that key was put into an arm of a trial: for the open unit of
// work, if there is one of this client, and in the current span.
func (c *Client) expose(ctx context.Context, where *scope, at *snapshot, ref *eval.TrialRef, into arm, key string) {
	var s *series
	news := true
	var entry trace.Span
	if w := where.workOf(c); w != nil {
		if s, news = w.note(at, ref, into, key); !news {
			return
		}
		entry = w.entry
	}
	current := trace.SpanFromContext(ctx)
	if entry == nil && !current.IsRecording() {
		return
	}
	if s == nil {
		s = c.outcomes.seriesOf(at, ref)
	}
	s.tell(into, entry, current)
}
