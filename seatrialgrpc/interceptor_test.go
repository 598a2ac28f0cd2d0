package seatrialgrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

const method = "/grpc.testing.TestService/UnaryCall"

// health answers with what the test gives it.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	check func(context.Context) error
}

func (h *health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if err := h.check(ctx); err != nil {
		return nil, err
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

// serve starts a server in memory and connects to it.
func serve(t *testing.T, check func(context.Context) error, server grpc.UnaryServerInterceptor, client grpc.UnaryClientInterceptor) grpc_health_v1.HealthClient {
	t.Helper()
	wire := bufconn.Listen(1 << 16)
	s := grpc.NewServer(grpc.UnaryInterceptor(server))
	grpc_health_v1.RegisterHealthServer(s, &health{check: check})
	go func() { _ = s.Serve(wire) }()
	conn, err := grpc.NewClient("passthrough:///inventory:8443", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(client),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return wire.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); s.Stop() })
	return grpc_health_v1.NewHealthClient(conn)
}

func check(c grpc_health_v1.HealthClient) error {
	_, err := c.Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
	return err
}

func record() (Option, func() []sdk.ReadOnlySpan) {
	spans := tracetest.NewSpanRecorder()
	return WithTracerProvider(sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))), spans.Ended
}

func attr(s sdk.ReadOnlySpan, key string) string {
	for _, kv := range s.Attributes() {
		if kv.Key == attribute.Key(key) {
			return kv.Value.String()
		}
	}
	return ""
}

func open(t *testing.T, options ...seatrial.Option) *seatrial.Client {
	t.Helper()
	c, err := seatrial.Open(context.Background(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func quick(attempts int) *resilience.RetryPolicy {
	return &resilience.RetryPolicy{MaxAttempts: attempts, BaseDelay: time.Microsecond, MaxDelay: time.Microsecond}
}

// subject is a client with one dependency, "inventory", into which a test may inject faults.
func subject(t *testing.T, p resilience.Policy) *seatrial.Client {
	t.Helper()
	return open(t, seatrial.WithPolicy("inventory", p), seatrial.WithFaults(fault.Caps{}))
}

// inject arms the point of the dependency: the n-th call is hit by the n-th fault; beyond: not hit.
func inject(c *seatrial.Client, faults ...fault.Fault) *fault.Point {
	return arm(c.Dependency("inventory").Point(), faults...)
}

func arm(p *fault.Point, faults ...fault.Fault) *fault.Point {
	var n atomic.Int64
	p.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		i := n.Add(1)
		if i > int64(len(faults)) {
			return nil, fault.Assignment{}
		}
		return &fault.Program{Rate: 1, Faults: faults[i-1 : i]}, fault.Assignment{Experiment: "storm"}
	}), nil)
	return p
}

func TestOverTheWire(t *testing.T) {
	clients := map[string]*seatrial.Client{"nil client": nil, "client": open(t)}
	for name, c := range clients {
		t.Run(name, func(t *testing.T) {
			serverOption, serverSpans := record()
			clientOption, clientSpans := record()
			var tenant string
			var received metadata.MD
			h := serve(t, func(ctx context.Context) error {
				tenant = baggage.FromContext(ctx).Member("tenant").Value()
				received, _ = metadata.FromIncomingContext(ctx)
				return nil
			}, UnaryServerInterceptor(c, serverOption), UnaryClientInterceptor(c, "inventory", clientOption))
			m, _ := baggage.NewMember("tenant", "blue")
			b, _ := baggage.New(m)
			own := metadata.Pairs("x-own", "kept")
			ctx := metadata.NewOutgoingContext(baggage.ContextWithBaggage(context.Background(), b), own)
			if _, err := h.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
				t.Fatal(err)
			}
			if len(serverSpans()) != 1 || len(clientSpans()) != 1 {
				t.Fatalf("%d and %d spans", len(serverSpans()), len(clientSpans()))
			}
			s, cs := serverSpans()[0], clientSpans()[0]
			if s.Parent().SpanID() != cs.SpanContext().SpanID() || tenant != "blue" || len(received.Get("x-own")) != 1 || len(own) != 1 {
				t.Errorf("parent %v of %v, tenant %q, metadata %v, the caller's %v", s.Parent().SpanID(), cs.SpanContext().SpanID(), tenant, received, own)
			}
			if s.SpanKind() != trace.SpanKindServer || cs.SpanKind() != trace.SpanKindClient {
				t.Errorf("kinds %v, %v", s.SpanKind(), cs.SpanKind())
			}
			for _, span := range []sdk.ReadOnlySpan{s, cs} {
				for key, want := range map[string]string{"rpc.system.name": "grpc", "rpc.method": "grpc.health.v1.Health/Check", "rpc.response.status_code": "OK",
					"server.address": "inventory", "server.port": "8443", "error.type": ""} {
					if attr(span, key) != want {
						t.Errorf("%v: %s = %q, want %q", span.SpanKind(), key, attr(span, key), want)
					}
				}
				if span.Name() != "grpc.health.v1.Health/Check" || span.Status().Code != otelcodes.Unset {
					t.Errorf("%q %v", span.Name(), span.Status())
				}
			}
		})
	}
}

// The table of the semantic conventions for gRPC, and what a policy makes of each code.
var codeTable = []struct {
	code   codes.Code
	name   string
	server bool // the server's fault
	tries  int  // with a retry of three
	breaks bool // counts as a failure
}{
	{codes.Canceled, "CANCELLED", false, 1, true},
	{codes.Unknown, "UNKNOWN", true, 1, true},
	{codes.InvalidArgument, "INVALID_ARGUMENT", false, 1, false},
	{codes.DeadlineExceeded, "DEADLINE_EXCEEDED", true, 1, true},
	{codes.NotFound, "NOT_FOUND", false, 1, false},
	{codes.AlreadyExists, "ALREADY_EXISTS", false, 1, false},
	{codes.PermissionDenied, "PERMISSION_DENIED", false, 1, false},
	{codes.ResourceExhausted, "RESOURCE_EXHAUSTED", false, 3, true},
	{codes.FailedPrecondition, "FAILED_PRECONDITION", false, 1, false},
	{codes.Aborted, "ABORTED", false, 1, false},
	{codes.OutOfRange, "OUT_OF_RANGE", false, 1, false},
	{codes.Unimplemented, "UNIMPLEMENTED", true, 1, true},
	{codes.Internal, "INTERNAL", true, 1, true},
	{codes.Unavailable, "UNAVAILABLE", true, 3, true},
	{codes.DataLoss, "DATA_LOSS", true, 1, true},
	{codes.Unauthenticated, "UNAUTHENTICATED", false, 1, false},
}

func TestCodes(t *testing.T) {
	for _, c := range codeTable {
		t.Run(c.name, func(t *testing.T) {
			serverOption, serverSpans := record()
			clientOption, clientSpans := record()
			client := subject(t, resilience.Policy{Retry: quick(3), Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: c.tries}})
			given := status.Error(c.code, "as the handler says")
			h := serve(t, func(context.Context) error { return given }, UnaryServerInterceptor(open(t), serverOption), UnaryClientInterceptor(client, "inventory", clientOption))
			err := check(h)
			if status.Code(err) != c.code || c.tries == 1 && (err.Error() != given.Error() || status.Convert(err).Message() != "as the handler says") {
				t.Errorf("the caller got %v", err)
			}
			if len(clientSpans()) != c.tries || (client.Dependency("inventory").State() == resilience.Open) != c.breaks {
				t.Errorf("%d tries and the breaker is %v, want %d and a failure: %v", len(clientSpans()), client.Dependency("inventory").State(), c.tries, c.breaks)
			}
			for i, s := range clientSpans() {
				resend := ""
				if i > 0 {
					resend = fmt.Sprint(i)
				}
				if attr(s, "rpc.response.status_code") != c.name || attr(s, "error.type") != c.name || s.Status().Code != otelcodes.Error || attr(s, "seatrial.resend_count") != resend {
					t.Errorf("try %d: %v %v", i+1, s.Attributes(), s.Status())
				}
			}
			s := serverSpans()[0]
			if (s.Status().Code == otelcodes.Error) != c.server || (attr(s, "error.type") == c.name) != c.server || attr(s, "rpc.response.status_code") != c.name {
				t.Errorf("server: %v %v", s.Attributes(), s.Status())
			}
			if codeOf(c.name) != c.code {
				t.Errorf("%s is read as %v", c.name, codeOf(c.name))
			}
		})
	}
}

func TestServerErrorsThatAreNoStatus(t *testing.T) {
	for want, err := range map[string]error{"UNKNOWN": errors.New("x"), "DEADLINE_EXCEEDED": context.DeadlineExceeded, "CANCELLED": context.Canceled,
		"NOT_FOUND": fmt.Errorf("item: %w", status.Error(codes.NotFound, "no"))} {
		option, spans := record()
		_, _ = UnaryServerInterceptor(nil, option)(context.Background(), nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return nil, err })
		if got := attr(spans()[0], "rpc.response.status_code"); got != want {
			t.Errorf("%v is recorded as %s, want %s", err, got, want)
		}
	}
}

func TestAPanicGoesOn(t *testing.T) {
	for name, c := range map[string]*seatrial.Client{"nil client": nil, "client": open(t)} {
		option, spans := record()
		func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("%s: recovered %v", name, got)
				}
			}()
			_, _ = UnaryServerInterceptor(c, option)(context.Background(), nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { panic("boom") })
		}()
		if s := spans()[0]; s.Status().Code != otelcodes.Error || attr(s, "error.type") != "panic" {
			t.Errorf("%s: %v %v", name, s.Status(), s.Attributes())
		}
	}
}

// invoke makes a call through an interceptor without a wire.
func invoke(i grpc.UnaryClientInterceptor, call func(context.Context) error) error {
	return i(context.Background(), method, nil, nil, nil, func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		return call(ctx)
	})
}

func TestFaults(t *testing.T) {
	down := fault.Fault{Kind: fault.KindError, Code: "UNAVAILABLE", Status: 404, Message: "no capacity"} // the code decides
	cases := []struct {
		name   string
		faults []fault.Fault
		code   codes.Code
		tries  int
		sent   int
	}{
		{name: "none", tries: 1, sent: 1},
		{name: "once", faults: []fault.Fault{down}, tries: 2, sent: 1},
		{name: "always", faults: []fault.Fault{down, down, down}, code: codes.Unavailable, tries: 3},
		{name: "not to be repeated", faults: []fault.Fault{{Kind: fault.KindError, Code: "INTERNAL"}}, code: codes.Internal, tries: 1},
		{name: "answer", faults: []fault.Fault{{Kind: fault.KindError, Code: "NOT_FOUND"}}, code: codes.NotFound, tries: 1},
		{name: "lost reply", faults: []fault.Fault{{Kind: fault.KindError, Phase: fault.After, Code: "DATA_LOSS"}}, code: codes.DataLoss, tries: 1, sent: 1},
		{name: "cancelled", faults: []fault.Fault{{Kind: fault.KindCancel}}, code: codes.Canceled, tries: 1, sent: 1},
		{name: "too late", faults: []fault.Fault{{Kind: fault.KindLatency, Min: time.Minute, Max: time.Minute}}, code: codes.DeadlineExceeded, tries: 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				option, spans := record()
				client := subject(t, resilience.Policy{TryTimeout: time.Second, Retry: quick(3)})
				inject(client, c.faults...)
				sent := 0
				err := invoke(UnaryClientInterceptor(client, "inventory", option), func(ctx context.Context) error {
					sent++
					return ctx.Err()
				})
				if status.Code(err) != c.code || sent != c.sent || len(spans()) != c.tries {
					t.Errorf("%v, %d sent in %d tries; want %v, %d in %d", err, sent, len(spans()), c.code, c.sent, c.tries)
				}
				if _, ok := status.FromError(err); !ok {
					t.Errorf("%v is no status error", err)
				}
				if errors.Is(err, fault.ErrInjected) != (c.code != codes.OK) {
					t.Errorf("%v: injected is not to be seen", err)
				}
				for i, s := range spans() {
					if (attr(s, fault.AttrExperiment) == "storm") != (i < len(c.faults)) {
						t.Errorf("try %d: %v", i+1, s.Attributes())
					}
				}
			})
		})
	}
}

func TestPolicyErrorsAreStatusErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return status.FromContextError(ctx.Err()).Err() }
		client := subject(t, resilience.Policy{Timeout: 3 * time.Second, TryTimeout: time.Second, Retry: quick(9), Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 4}})
		tries := 0
		counted := func(ctx context.Context) error { tries++; return hang(ctx) }
		if err := invoke(UnaryClientInterceptor(client, "inventory"), counted); status.Code(err) != codes.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) || tries != 1 {
			t.Errorf("a try that times out: %v after %d tries", err, tries)
		}
		tries = 0
		if err := invoke(UnaryClientInterceptor(client, "inventory", WithRetryCodes(codes.DeadlineExceeded)), counted); status.Code(err) != codes.DeadlineExceeded || tries != 3 {
			t.Errorf("repeated by option: %v after %d tries", err, tries)
		}
		err := invoke(UnaryClientInterceptor(client, "inventory"), counted)
		if status.Code(err) != codes.Unavailable || !errors.Is(err, resilience.ErrOpen) || !strings.Contains(status.Convert(err).Message(), "inventory") {
			t.Errorf("refused: %v", err)
		}
	})
}

func TestWithARealClient(t *testing.T) {
	c := open(t, seatrial.WithPolicy("inventory", resilience.Policy{Retry: quick(3)}))
	var calls atomic.Int64
	h := serve(t, func(context.Context) error {
		if calls.Add(1) < 3 {
			return status.Error(codes.Unavailable, "failing over")
		}
		return nil
	}, UnaryServerInterceptor(c), UnaryClientInterceptor(c, "inventory"))
	if err := check(h); err != nil || calls.Load() != 3 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}
