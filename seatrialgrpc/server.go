package seatrialgrpc

import (
	"context"

	"github.com/seatrial/seatrial"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
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
func UnaryServerInterceptor(c *seatrial.Client, options ...Option) grpc.UnaryServerInterceptor {
	cfg := collect(options)
	tracer := cfg.tracer()
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
		md, _ := metadata.FromIncomingContext(ctx)
		ctx = cfg.travel().Extract(ctx, carrier(md))
		attrs, name := attributesOf(info.FullMethod, carrier(md).Get(":authority"))
		ctx, span := tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...))
		defer span.End()
		ctx, work := c.Begin(ctx)
		returned := false
		defer func() { settle(span, work, returned, err) }()
		reply, err = handler(ctx, req)
		returned = true
		return reply, err
	}
}

// settle ends the unit of work and completes the span.
func settle(span trace.Span, work *seatrial.Work, returned bool, err error) {
	if !returned {
		span.SetAttributes(attrErrorType.String("panic"))
		span.SetStatus(otelcodes.Error, "the handler panicked")
		work.Fail()
		work.End(nil)
		return
	}
	answer := sent(err)
	code := nameOf(answer.Code())
	span.SetAttributes(attrStatus.String(code))
	if !serversFault(answer.Code()) {
		work.End(nil)
		return
	}
	span.SetAttributes(attrErrorType.String(code))
	span.SetStatus(otelcodes.Error, answer.Message())
	work.End(err)
}

// sent gives the status that a server sends for the error of a handler.
func sent(err error) *status.Status {
	if answer, ok := status.FromError(err); ok {
		return answer
	}
	return status.FromContextError(err)
}
