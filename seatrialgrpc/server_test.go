package seatrialgrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/baggage"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// serving are the options of a server with a point of faults.
func serving(c *seatrial.Client, options ...Option) wired {
	options = append(options, WithPoint("orders.serve"))
	return wired{server: []grpc.ServerOption{grpc.UnaryInterceptor(UnaryServerInterceptor(c, options...)), grpc.StreamInterceptor(StreamServerInterceptor(c, options...))}}
}

func TestFaultsOfAServer(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   fault.Fault
		code    codes.Code
		message string
		handled int // calls of the handler: one of a unary call, one of a download
	}{
		{"error", fault.Fault{Kind: fault.KindError, Code: "INTERNAL", Message: "no capacity"}, codes.Internal, "no capacity", 0},
		{"error without text", fault.Fault{Kind: fault.KindError}, codes.Unavailable, "the service failed", 0},
		{"reset", fault.Fault{Kind: fault.KindReset}, codes.Unavailable, "the service failed", 0},
		{"lost reply", fault.Fault{Kind: fault.KindLostReply, Phase: fault.After}, codes.Unavailable, "the service failed", 2},
		{"latency", fault.Fault{Kind: fault.KindLatency, Min: time.Second, Max: time.Second}, codes.OK, "", 2},
		{"cancel", fault.Fault{Kind: fault.KindCancel}, codes.Canceled, "the service failed", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				option, spans := record()
				client := open(t, seatrial.WithFaults(fault.Caps{}))
				handled := 0
				service := link(t, &testService{
					unary: func(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
						handled++
						return &pb.SimpleResponse{}, ctx.Err()
					},
					output: func(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
						handled++
						return s.Context().Err()
					},
				}, serving(client, option))
				p := arm(client.Point("orders.serve"), c.fault, c.fault)
				began := time.Now()
				_, err := service.UnaryCall(t.Context(), &pb.SimpleRequest{})
				_, streamed := download(service.StreamingOutputCall(t.Context(), ask(1)))
				for _, err := range []error{err, streamed} {
					if status.Code(err) != c.code || status.Convert(err).Message() != c.message || strings.Contains(fmt.Sprint(err), "storm") {
						t.Errorf("%v", err)
					}
				}
				if c.fault.Kind == fault.KindLatency && time.Since(began) != 2*time.Second {
					t.Errorf("after %v", time.Since(began))
				}
				synctest.Wait()
				if handled != c.handled || p.Active() != 0 || len(spans()) != 2 {
					t.Errorf("handled %d times, %d under a fault, %d spans", handled, p.Active(), len(spans()))
				}
				for _, s := range spans() {
					if attr(s, fault.AttrExperiment) != "storm" || attr(s, "rpc.response.status_code") != nameOf(c.code) {
						t.Errorf("%v", s.Attributes())
					}
				}
			})
		})
	}
}

func TestMessagesOfAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := open(t, seatrial.WithFaults(fault.Caps{}))
		service := link(t, &testService{}, serving(client))
		cut := fault.Fault{Kind: fault.KindTruncate, AfterBytes: 40} // a message of ten takes 19
		p := arm(client.Point("orders.serve"), cut, cut, fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 19})
		if n, err := download(service.StreamingOutputCall(t.Context(), ask(10, 10, 10))); n != 2 || status.Code(err) != codes.Unavailable {
			t.Errorf("%d messages, %v", n, err)
		}
		up, err := service.StreamingInputCall(t.Context())
		if _, err := upload(up, err, 10, 10, 10); status.Code(err) != codes.Unavailable {
			t.Errorf("%v", err)
		}
		began := time.Now()
		both, err := service.FullDuplexCall(t.Context())
		if n, err := echo(both, err, 2); n != 2 || err != nil || time.Since(began).Round(time.Second) != 4*time.Second {
			t.Errorf("%d messages, %v, after %v", n, err, time.Since(began))
		}
		synctest.Wait()
		if p.Active() != 0 || p.Injected() != 3 {
			t.Errorf("%d under a fault, %d hit", p.Active(), p.Injected())
		}
	})
}

// TestA33MalformedControlIsNoFault: what a stranger writes into the baggage injects nothing.
// A stream that was cut short does not end well because its handler does not mind.
func TestACutStreamFailsWhateverItsHandlerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := open(t, seatrial.WithFaults(fault.Caps{}))
		service := link(t, &testService{
			output: func(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
				for range 3 {
					_ = s.Send(reply(10))
				}
				return nil
			},
			input: func(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
				for {
					if _, err := s.Recv(); err != nil { // taken for the end
						return s.SendAndClose(&pb.StreamingInputCallResponse{})
					}
				}
			},
		}, serving(client))
		cut := fault.Fault{Kind: fault.KindTruncate, AfterBytes: 40}
		arm(client.Point("orders.serve"), cut, cut)
		if n, err := download(service.StreamingOutputCall(t.Context(), ask(1))); n != 2 || status.Code(err) != codes.Unavailable {
			t.Errorf("download: %d messages, %v", n, err)
		}
		up, err := service.StreamingInputCall(t.Context())
		if _, err = upload(up, err, 10, 10, 10); status.Code(err) != codes.Unavailable {
			t.Errorf("upload: %v", err)
		}
	})
}

func TestA33MalformedControlIsNoFault(t *testing.T) {
	client := open(t, seatrial.WithFaults(fault.Caps{}))
	service := link(t, &testService{}, serving(client))
	for _, value := range []string{"", "1", "treatment", strings.Repeat("x", 4000), "%00%ff", "storm.treatment.0.0"} {
		ctx := t.Context()
		if m, err := baggage.NewMemberRaw("seatrial.fault", value); err == nil {
			b, _ := baggage.New(m)
			ctx = metadata.AppendToOutgoingContext(ctx, "baggage", b.String())
		}
		if _, err := service.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
			t.Errorf("%.20q: %v", value, err)
		}
		if _, err := download(service.StreamingOutputCall(ctx, ask(1))); err != nil {
			t.Errorf("%.20q: %v", value, err)
		}
	}
	if n := client.Point("orders.serve").Injected(); n != 0 {
		t.Errorf("%d hit", n)
	}
}

// TestStreamsOfAServer: a stream has a span that continues the caller's, and a unit of work.
func TestStreamsOfAServer(t *testing.T) {
	for name, c := range map[string]*seatrial.Client{"nil client": nil, "client": open(t)} {
		t.Run(name, func(t *testing.T) {
			serverOption, serverSpans := record()
			clientOption, clientSpans := record()
			var inside trace.SpanContext
			service := link(t, &testService{output: func(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
				inside = trace.SpanContextFromContext(s.Context())
				return status.Error(codes.Internal, "broken")
			}}, wired{
				server: []grpc.ServerOption{grpc.StreamInterceptor(StreamServerInterceptor(c, serverOption))},
				client: []grpc.DialOption{grpc.WithStreamInterceptor(StreamClientInterceptor(c, "inventory", clientOption))},
			})
			_, err := download(service.StreamingOutputCall(t.Context(), ask(1)))
			for deadline := time.Now().Add(5 * time.Second); len(clientSpans()) == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond) // the goroutine of the stream ends it
			}
			if status.Code(err) != codes.Internal || len(serverSpans()) != 1 || len(clientSpans()) != 1 {
				t.Fatalf("%v, %d and %d spans", err, len(serverSpans()), len(clientSpans()))
			}
			s, cs := serverSpans()[0], clientSpans()[0]
			if s.Parent().SpanID() != cs.SpanContext().SpanID() || inside.SpanID() != s.SpanContext().SpanID() {
				t.Errorf("parent %v of %v; inside %v", s.Parent().SpanID(), cs.SpanContext().SpanID(), inside.SpanID())
			}
			if s.SpanKind() != trace.SpanKindServer || s.Status().Code != otelcodes.Error || attr(s, "rpc.response.status_code") != "INTERNAL" ||
				attr(s, "rpc.method") != "grpc.testing.TestService/StreamingOutputCall" || attr(cs, "rpc.response.status_code") != "INTERNAL" {
				t.Errorf("%v %v; %v", s.Status(), s.Attributes(), cs.Attributes())
			}
		})
	}
}

// chain is three services, one behind the other: each calls the next under a policy with a retry of
// three, the last one is down. The first is called with a retry of so many attempts.
func chain(t *testing.T, calls *[3]int, attempts int) pb.TestServiceClient {
	down := &testService{unary: func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		calls[2]++
		return nil, status.Error(codes.Unavailable, "down")
	}}
	next := down
	var service pb.TestServiceClient
	for i := 2; i >= 0; i-- {
		retry := 3
		if i == 0 {
			retry = attempts
		}
		c := subject(t, resilience.Policy{Retry: quick(retry)})
		behind := link(t, next, wired{
			server: []grpc.ServerOption{grpc.UnaryInterceptor(UnaryServerInterceptor(c))},
			client: []grpc.DialOption{grpc.WithUnaryInterceptor(UnaryClientInterceptor(c, "inventory", WithRetryCodes(codes.Unavailable)))},
		})
		service = behind
		if i > 0 {
			next = &testService{unary: func(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				calls[i-1]++
				_, err := behind.UnaryCall(ctx, r)
				if err != nil {
					return nil, status.Error(codes.Unavailable, "what I need is down") // as programs do: the reason is lost
				}
				return &pb.SimpleResponse{}, nil
			}}
		}
	}
	return service
}

// TestR6LayersDoNotMultiply: three layers with a retry of three make 27 calls of one without
// pushback and repetition marks. Here the layer next to the trouble repeats, and tells the others.
func TestR6LayersDoNotMultiply(t *testing.T) {
	var calls [3]int
	_, err := chain(t, &calls, 3).UnaryCall(t.Context(), &pb.SimpleRequest{})
	if status.Code(err) != codes.Unavailable || calls != [3]int{1, 1, 3} {
		t.Errorf("%v; calls by layer %v, want 1 1 3", err, calls)
	}
}

// TestR6ARepetitionMakesOneAttempt, across the wire.
func TestR6ARepetitionMakesOneAttempt(t *testing.T) {
	for value, want := range map[string]int{"": 3, "0": 3, "1": 1, "2": 1, "-1": 3, "x": 3, "99999999999": 3} {
		var calls [3]int
		ctx := t.Context()
		if value != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, previousKey, value)
		}
		_, _ = chain(t, &calls, 1).UnaryCall(ctx, &pb.SimpleRequest{})
		if calls[2] != want {
			t.Errorf("%q: %d calls of the last, want %d", value, calls[2], want)
		}
	}
}

func TestPushbackOfAServer(t *testing.T) {
	exhausted := &resilience.RetryError{Name: "db", Attempts: 3, Err: errors.New("down")}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"success", nil, ""},
		{"own failure", status.Error(codes.Unavailable, "starting"), ""},
		{"given up", exhausted, "-1"},
		{"given up, and it is the caller's fault", &statusError{exhausted, status.New(codes.NotFound, "no")}, ""},
		{"refused for a while", &statusError{&passing{errors.New("limit"), 1500 * time.Millisecond}, status.New(codes.Unavailable, "limit")}, "1500"},
	} {
		service := link(t, &testService{unary: func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			return &pb.SimpleResponse{}, c.err
		}},
			wired{server: []grpc.ServerOption{grpc.UnaryInterceptor(UnaryServerInterceptor(open(t)))}})
		var trailer metadata.MD
		_, _ = service.UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.Trailer(&trailer))
		if got := strings.Join(trailer.Get(pushbackKey), " "); got != c.want {
			t.Errorf("%s: pushback %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAPanicInAStreamGoesOn(t *testing.T) {
	option, spans := record()
	func() {
		defer func() {
			if got := recover(); got != "boom" {
				t.Errorf("recovered %v", got)
			}
		}()
		_ = StreamServerInterceptor(open(t), option)(nil, unserved{}, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error { panic("boom") })
	}()
	if s := spans()[0]; s.Status().Code != otelcodes.Error || attr(s, "error.type") != "panic" {
		t.Errorf("%v %v", s.Status(), s.Attributes())
	}
}

// unserved is a stream to nobody.
type unserved struct{ grpc.ServerStream }

func (unserved) Context() context.Context { return context.Background() }
func (unserved) SetTrailer(metadata.MD)   {}
func (unserved) RecvMsg(any) error        { return io.EOF }

func FuzzMetadata(f *testing.F) {
	for _, value := range []string{"", "1", "-1", "99999999999", "x", "1.5", "\x00"} {
		f.Add(value, value)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if n := previous(metadata.Pairs(previousKey, a, previousKey, b)); n < 0 || n > maxPrevious {
			t.Errorf("%q, %q: %d previous attempts", a, b, n)
		}
		if wait, again := pushback(metadata.Pairs(pushbackKey, a)); wait < 0 || wait > 0 && !again {
			t.Errorf("%q: wait %v, again %v", a, wait, again)
		}
	})
}
