package seatrialgrpc

import (
	"context"
	"slices"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// UnaryClientInterceptor makes unary calls on a connection calls to the named dependency; see
// [seatrial.Client.Dependency] for where its policy and its faults come from.
//
// A policy with a retry calls again after UNAVAILABLE and RESOURCE_EXHAUSTED; see [WithRetryCodes].
// UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, DATA_LOSS and CANCELLED are failures too,
// but are not repeated: the call may have been executed. The other codes are proper answers.
//
// All errors are status errors. A call refused by the breaker is UNAVAILABLE, and errors.Is(err,
// [resilience.ErrOpen]) holds; one that exceeded the policy's timeout is DEADLINE_EXCEEDED. An
// injected error has the code of its fault, a cancellation CANCELLED; errors.Is(err,
// [fault.ErrInjected]) holds, and the span of the try has the attributes seatrial.fault.*.
//
// Every try has a client span and carries its trace context in the metadata. Any code but OK makes
// it an error.
func UnaryClientInterceptor(c *seatrial.Client, dependency string, options ...Option) grpc.UnaryClientInterceptor {
	return intercept(c.Dependency(dependency), options)
}

// dependency is what a call goes through.
type dependency interface {
	Name() string
	DoEach(ctx context.Context, each func(context.Context, func(context.Context) error) error, call func(context.Context) error) error
}

var _ dependency = (*seatrial.Dependency)(nil)

func intercept(d dependency, options []Option) grpc.UnaryClientInterceptor {
	cfg := collect(options)
	tracer := cfg.tracer()
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		x := &exchange{config: &cfg, tracer: tracer, dependency: d.Name(), method: method}
		if conn != nil {
			x.address = endpoint(conn.Target())
		}
		err := d.DoEach(ctx, x.try, func(ctx context.Context) error {
			return invoke(x.outgoing(ctx), method, req, reply, conn, opts...)
		})
		return x.final(err)
	}
}

// exchange is one call of the caller with all its tries.
type exchange struct {
	config     *config
	tracer     trace.Tracer
	dependency string
	method     string
	address    string
	tries      int

	last, judged error // of the last try: as it came, and as the policy saw it
}

// outgoing gives ctx with the trace in its metadata.
func (x *exchange) outgoing(ctx context.Context) context.Context {
	md, ok := metadata.FromOutgoingContext(ctx) // a copy
	if !ok {
		md = metadata.MD{}
	}
	x.config.travel().Inject(ctx, carrier(md))
	return metadata.NewOutgoingContext(ctx, md)
}

// try is one try: what the policy sees, around the point of faults.
func (x *exchange) try(ctx context.Context, attempt func(context.Context) error) error {
	attrs, name := attributesOf(x.method, x.address)
	attrs = append(attrs, attrDependency.String(x.dependency))
	if x.tries > 0 {
		attrs = append(attrs, attrResend.Int(x.tries))
	}
	x.tries++
	ctx, span := x.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	defer span.End()
	x.last = withStatus(attempt(ctx))
	answer := status.Convert(x.last)
	span.SetAttributes(attrStatus.String(nameOf(answer.Code())))
	if answer.Code() != codes.OK {
		span.SetAttributes(attrErrorType.String(nameOf(answer.Code())))
		span.SetStatus(otelcodes.Error, answer.Message())
	}
	x.judged = x.judge(x.last, answer.Code())
	return x.judged
}

// judge marks an error with what it means to the policy.
func (x *exchange) judge(err error, code codes.Code) error {
	switch {
	case err == nil:
		return nil
	case slices.Contains(x.config.retried, code):
		return &passing{err}
	case serversFault(code), code == codes.Canceled, code == codes.ResourceExhausted:
		return resilience.AsPermanent(err)
	default:
		return resilience.Answer(err)
	}
}

// final gives the error for the caller.
func (x *exchange) final(err error) error {
	if err != nil && err == x.judged {
		return x.last
	}
	return withStatus(err)
}

// passing is a failure that may pass.
type passing struct{ error }

func (p *passing) Unwrap() error   { return p.error }
func (p *passing) Retryable() bool { return true }

// statusError is an error that comes from this side of the wire, with a status.
type statusError struct {
	error
	status *status.Status
}

func (e *statusError) Unwrap() error              { return e.error }
func (e *statusError) GRPCStatus() *status.Status { return e.status }

// withStatus gives err as a status error, and as it is if it is one.
func withStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, is := err.(interface{ GRPCStatus() *status.Status }); is {
		return err
	}
	return &statusError{err, status.New(codeFor(err), err.Error())}
}

func codeFor(err error) codes.Code {
	switch e := err.(type) {
	case *fault.Error:
		if e.Kind == fault.KindError {
			return codeOf(e.Code)
		}
		if e.Kind == fault.KindCancel {
			return codes.Canceled
		}
	case *resilience.OpenError:
		return codes.Unavailable
	case *resilience.TimeoutError:
		return codes.DeadlineExceeded
	}
	if answer, ok := status.FromError(err); ok { // further inside
		return answer.Code()
	}
	return status.FromContextError(err).Code()
}
