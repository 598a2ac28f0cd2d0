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
func NewHandler(c *seatrial.Client, next http.Handler, options ...Option) http.Handler {
	cfg := collect(options)
	return &handler{config: cfg, tracer: cfg.tracer(), next: c.Handler(next)}
}

type handler struct {
	config config
	tracer trace.Tracer
	next   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := h.config.travel().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	attrs, method := serverAttributes(r)
	ctx, span := h.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...))
	answer := &answer{ResponseWriter: w}
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
