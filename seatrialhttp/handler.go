package seatrialhttp

import (
	"net/http"
	"strconv"

	"github.com/seatrial/seatrial"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// NewHandler puts a server span and a unit of work around every request to next. The span continues
// the trace of the caller, is named after method and route ("GET /orders/{id}"; the route is the
// pattern of the [http.ServeMux] that next is or that serves this handler), and is the entry span of
// the unit of work; see [seatrial.Client.Handler], also for what counts as gone wrong.
//
// The span's status is an error for answers of 500 and above only, and for a panic, which goes on.
// The handler trusts the trace context and the baggage that come in: at the edge of a system, strip
// them from strangers' requests.
//
// The ResponseWriter that next gets reaches the original through [http.ResponseController]. It is
// an http.Flusher if the original is, and an http.Hijacker and io.ReaderFrom if it is all three.
//
// # The caller's time and attempts
//
// The request's context ends when the time is over that [TimeoutHeader] says the caller has left;
// calls made with it, by [NewTransport] or gRPC, pass the rest on. A request that is itself a
// repetition, by [AttemptHeader], is not repeated further inside: the attempts of layers add up
// instead of multiplying. An answer of 500 or above has the header [RetryHeader] if a call that was
// made for it by an adapter failed in spite of repetitions, was refused by an open breaker, or
// got such an answer itself: the caller's own repetitions would be in vain as well.
//
// # Faults
//
// With [WithPoint] the handler is subject to the faults of the point of that name; see
// [seatrial.Client.Point]. Whom they hit must be known by then: the decision came with the caller's
// baggage, or something outside put the unit in ([seatrial.WithContext]). The request's path is
// the operation, so health checks, logins and the like are left alone; see [fault.Caps].
//
//   - An error is an answer with the fault's status and [FaultHeader]; next is not called.
//   - A latency is held before next is called; phase after: when the head of its answer is due.
//   - A cancellation cancels the context of next's request.
//   - A reset resets the connection (HTTP/2: the stream) and next is not called; a latency that never
//     ends closes it. A panic panics in the place of next.
//   - A lost reply, as well as an error of phase after, lets next do its work and throws its answer
//     away; then the connection is aborted, or the error answered. If the fault is called off in
//     the meantime, the answer is sent after all, up to 1 MiB of it.
//   - Bandwidth and corruption strike what next writes, and so does truncation, after which the
//     connection is aborted.
func NewHandler(c *seatrial.Client, next http.Handler, options ...Option) http.Handler {
	cfg := collect(options)
	if cfg.point != "" {
		next = withPoint(c.Point(cfg.point), next)
	}
	return &handler{config: cfg, tracer: cfg.tracer(), next: c.Handler(next)}
}

type handler struct {
	config config
	tracer trace.Tracer
	next   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	served, done := heed(h.config.travel().Extract(r.Context(), propagation.HeaderCarrier(r.Header)), r.Header)
	defer done()
	attrs, method := serverAttributes(r)
	ctx, span := h.tracer.Start(served, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...))
	answer := &answer{ResponseWriter: w, hop: served}
	inner := r.WithContext(ctx)
	returned := false
	defer func() {
		r.Pattern = inner.Pattern // for those outside
		answer.describe(span, method, routeOf(inner.Pattern), returned)
		span.End()
	}()
	h.next.ServeHTTP(answer.withOptional(), inner)
	returned = true
}

// describe completes the span when the request is over. If next has not returned it has panicked.
func (a *answer) describe(span trace.Span, method, route string, returned bool) {
	if route != "" {
		span.SetName(method + " " + route)
		span.SetAttributes(attrRoute.String(route))
	}
	status := a.status
	if status == 0 && returned && !a.hijacked {
		status = http.StatusOK
	}
	if status != 0 {
		span.SetAttributes(attrStatus.Int(status))
	}
	switch {
	case !returned:
		span.SetAttributes(attrErrorType.String("panic"))
		span.SetStatus(codes.Error, "the handler panicked")
	case status >= http.StatusInternalServerError:
		span.SetAttributes(attrErrorType.String(strconv.Itoa(status)))
		span.SetStatus(codes.Error, "")
	}
}
