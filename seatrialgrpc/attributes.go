package seatrialgrpc

import (
	"context"
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Names of the semantic conventions.
const (
	attrSystem    = attribute.Key("rpc.system.name")
	attrMethod    = attribute.Key("rpc.method")
	attrStatus    = attribute.Key("rpc.response.status_code")
	attrAddress   = attribute.Key("server.address")
	attrPort      = attribute.Key("server.port")
	attrErrorType = attribute.Key("error.type")

	attrDependency = attribute.Key("seatrial.dependency")   // our own name of what is called
	attrResend     = attribute.Key("seatrial.resend_count") // there is no standard one for RPC
)

// attributesOf gives those of a call of "/package.Service/Method", and the name of its span.
func attributesOf(method, address string) (attrs []attribute.KeyValue, name string) {
	name = strings.TrimPrefix(method, "/")
	attrs = []attribute.KeyValue{attrSystem.String("grpc"), attrMethod.String(name)}
	if address == "" {
		return attrs, name
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return append(attrs, attrAddress.String(address)), name
	}
	attrs = append(attrs, attrAddress.String(host))
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, attrPort.Int(n))
	}
	return attrs, name
}

// endpoint gives the part of a target, "scheme://authority/endpoint", that says who is called.
func endpoint(target string) string { return target[strings.LastIndexByte(target, '/')+1:] }

// start begins the span of a try of a call to the dependency, the n-th from 0.
func (s *service) start(ctx context.Context, method, address string, n int) (context.Context, trace.Span) {
	attrs, name := attributesOf(method, address)
	attrs = append(attrs, attrDependency.String(s.dependency.Name()))
	if n > 0 {
		attrs = append(attrs, attrResend.Int(n))
	}
	return s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
}

// describe completes it: any status but OK is an error.
func describe(span trace.Span, answer *status.Status) {
	span.SetAttributes(attrStatus.String(nameOf(answer.Code())))
	if answer.Code() != codes.OK {
		span.SetAttributes(attrErrorType.String(nameOf(answer.Code())))
		span.SetStatus(otelcodes.Error, answer.Message())
	}
}

// carrier is metadata as a propagator wants it.
type carrier metadata.MD

func (c carrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}

// names of the codes as google/rpc/code.proto writes them, in order.
var names = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
	"OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

func nameOf(code codes.Code) string {
	if int(code) < len(names) {
		return names[code]
	}
	return strconv.Itoa(int(code))
}

// codeOf is the reverse; a name that is not known gives Unknown.
func codeOf(name string) codes.Code {
	for code, known := range names {
		if name == known {
			return codes.Code(code)
		}
	}
	return codes.Unknown
}

// serversFault tells whether a code says that the service went wrong, rather than its caller: the
// rule of the semantic conventions for server spans.
func serversFault(code codes.Code) bool {
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return false
}
