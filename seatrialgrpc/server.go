package seatrialgrpc

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/hop"
	"github.com/seatrial/seatrial/resilience"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// UnaryServerInterceptor puts a server span and a unit of work around every unary call that a
// server answers. The span continues the trace of the caller and is the entry span of the unit of
// work; see [seatrial.Client.Begin].
//
// The unit of work, and the span, went wrong if the answer is UNKNOWN, DEADLINE_EXCEEDED,
// UNIMPLEMENTED, INTERNAL, UNAVAILABLE or DATA_LOSS, or if the handler panicked; the panic goes on.
// All other codes are the caller's business.
//
// A call that says that it repeats another makes the policies of the dependencies called for it
// make one attempt only. If the call fails because one of them was given up, the caller is asked
// not to repeat it; if a breaker or a limit refused it for a time that is known, to wait for so long.
func UnaryServerInterceptor(c *seatrial.Client, options ...Option) grpc.UnaryServerInterceptor {
	s := newServer(c, options)
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
		r := s.receive(ctx, info.FullMethod)
		defer func() { r.settle(func(trailer metadata.MD) { _ = grpc.SetTrailer(ctx, trailer) }) }()
		r.err = r.strike(fault.Call{Operation: info.FullMethod}, func(ctx context.Context) error {
			reply, err = handler(ctx, req)
			return err
		})
		r.returned = true
		if r.err != nil && err == nil {
			reply = nil // it is lost
		}
		return reply, r.err
	}
}

// server is what all calls to a server have in common.
type server struct {
	config config
	tracer trace.Tracer
	client *seatrial.Client
	point  *fault.Point
}

func newServer(c *seatrial.Client, options []Option) *server {
	cfg := collect(options)
	s := &server{config: cfg, tracer: cfg.tracer(), client: c}
	if cfg.point != "" {
		s.point = c.Point(cfg.point)
	}
	return s
}

// reception is one call that a server answers.
type reception struct {
	*server
	ctx  context.Context // for the handler
	hop  *hop.Hop
	span trace.Span
	work *seatrial.Work
	hit  *fault.Strike // of a stream, for its messages

	returned bool // no panic
	err      error
}

// receive begins the answer to a call.
func (s *server) receive(ctx context.Context, method string) *reception {
	md, _ := metadata.FromIncomingContext(ctx)
	ctx = s.config.travel().Extract(ctx, carrier(md))
	attrs, name := attributesOf(method, carrier(md).Get(":authority"))
	ctx, span := s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...))
	h := hop.New(ctx, previous(md)+1)
	ctx, work := s.client.Begin(h)
	return &reception{server: s, ctx: ctx, hop: h, span: span, work: work}
}

// strike answers the call by handle, or does to it what a fault asks for.
func (r *reception) strike(call fault.Call, handle func(context.Context) error) error {
	strike := r.point.Begin(r.ctx, call)
	if strike == nil {
		return handle(r.ctx)
	}
	defer strike.End()
	r.hit = strike
	ctx, err := strike.Before(r.ctx)
	if err == nil {
		err = strike.After(ctx, handle(ctx))
	}
	return onTheWire(err)
}

// onTheWire gives an injected error the status that the caller gets: who injects what is not the
// caller's business.
func onTheWire(err error) error {
	injected, ok := err.(*fault.Error)
	if !ok {
		return err
	}
	text := injected.Message
	if text == "" {
		text = "the service failed"
	}
	return &statusError{err, status.New(codeFor(err), text)}
}

// settle ends the unit of work, completes the span, and tells the caller what he should know.
func (r *reception) settle(send func(metadata.MD)) {
	defer r.span.End()
	trailer := metadata.MD{}
	if marks := seatrial.Marks(r.ctx); marks != "" {
		trailer.Set(marksKey, marks)
	}
	if !r.returned {
		r.span.SetAttributes(attrErrorType.String("panic"))
		r.span.SetStatus(otelcodes.Error, "the handler panicked")
		r.work.Fail()
		r.work.End(nil)
	} else {
		r.conclude(sent(r.err))
		if wait, known := r.wait(); known {
			trailer.Set(pushbackKey, strconv.FormatInt(wait.Milliseconds(), 10))
		}
	}
	if len(trailer) > 0 {
		send(trailer)
	}
}

// conclude is settle for a call that was answered.
func (r *reception) conclude(answer *status.Status) {
	code := nameOf(answer.Code())
	r.span.SetAttributes(attrStatus.String(code))
	if !serversFault(answer.Code()) {
		r.work.End(nil)
		return
	}
	r.span.SetAttributes(attrErrorType.String(code))
	r.span.SetStatus(otelcodes.Error, answer.Message())
	r.work.End(r.err)
}

// wait gives how long the caller of a call that failed should wait before he repeats it; negative:
// he should not. It is not known for most failures.
func (r *reception) wait() (wait time.Duration, known bool) {
	if code := sent(r.err).Code(); !serversFault(code) && code != codes.ResourceExhausted {
		return 0, false
	}
	var refused interface{ RetryAfter() time.Duration }
	switch {
	case errors.Is(r.err, resilience.ErrExhausted):
		return -time.Millisecond, true
	case errors.As(r.err, &refused):
		return max(refused.RetryAfter(), time.Millisecond), true
	case r.hop.GaveUp():
		return -time.Millisecond, true
	default:
		return 0, false
	}
}

// sent gives the status that a server sends for the error of a handler.
func sent(err error) *status.Status {
	if answer, ok := status.FromError(err); ok {
		return answer
	}
	return status.FromContextError(err)
}
