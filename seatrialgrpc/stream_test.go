package seatrialgrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// streaming makes a client and its service, in a bubble of fake time.
func streaming(t *testing.T, p resilience.Policy, s *testService, body func(t *testing.T, c *seatrial.Client, service pb.TestServiceClient), options ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		leakless(t)
		c := subject(t, p)
		body(t, c, link(t, s, wired{client: []grpc.DialOption{grpc.WithStreamInterceptor(StreamClientInterceptor(c, "inventory", options...))}}))
	})
}

// download reads all that a stream gives.
func download(stream interface {
	Recv() (*pb.StreamingOutputCallResponse, error)
}, err error) (n int, _ error) {
	if err != nil {
		return 0, err
	}
	for {
		if _, err := stream.Recv(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}

// upload sends a message of each size.
func upload(stream grpc.ClientStreamingClient[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse], err error, sizes ...int) (int, error) {
	if err != nil {
		return 0, err
	}
	for _, size := range sizes {
		if err := stream.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, size)}}); err != nil {
			break
		}
	}
	got, err := stream.CloseAndRecv()
	return int(got.GetAggregatedPayloadSize()), err
}

// echo sends messages and reads an answer to each.
func echo(stream grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse], err error, n int) (int, error) {
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := stream.Send(request(10)); err != nil && err != io.EOF {
			return i, err
		}
		if _, err := stream.Recv(); err != nil {
			return i, err
		}
	}
	_ = stream.CloseSend()
	_, err = stream.Recv()
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// each runs all three kinds of stream, with three messages, and tells how many came through.
func each(ctx context.Context, service pb.TestServiceClient, tell func(kind string, n int, err error)) {
	n, err := download(service.StreamingOutputCall(ctx, ask(10, 10, 10)))
	tell("download", n, err)
	up, err := service.StreamingInputCall(ctx)
	n, err = upload(up, err, 1, 1, 1)
	tell("upload", n, err)
	both, err := service.FullDuplexCall(ctx)
	n, err = echo(both, err, 3)
	tell("echo", n, err)
}

// A stream that was open for longer than a try may take ends as it ends: here with a proper answer.
func TestTheTimeoutOfATryIsNotThatOfItsStream(t *testing.T) {
	streaming(t, resilience.Policy{TryTimeout: time.Second, Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}}, &testService{
		output: func(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
			time.Sleep(time.Minute)
			return status.Error(codes.NotFound, "no more")
		},
	}, func(t *testing.T, c *seatrial.Client, service pb.TestServiceClient) {
		_, err := download(service.StreamingOutputCall(t.Context(), ask(1)))
		synctest.Wait()
		if state := c.Dependency("inventory").State(); status.Code(err) != codes.NotFound || state != resilience.Closed {
			t.Errorf("%v, the breaker is %v", err, state)
		}
	})
}

func TestStreamsOfAllKinds(t *testing.T) {
	option, spans := record()
	streaming(t, resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}, Bulkhead: &resilience.BulkheadPolicy{MaxConcurrent: 1}}, &testService{},
		func(t *testing.T, c *seatrial.Client, service pb.TestServiceClient) {
			each(t.Context(), service, func(kind string, n int, err error) {
				synctest.Wait()
				if n != 3 || err != nil || c.Dependency("inventory").State() != resilience.Closed {
					t.Errorf("%s: %d messages, %v, the breaker is %v", kind, n, err, c.Dependency("inventory").State())
				}
			})
			if n := len(spans()); n != 3 {
				t.Errorf("%d spans are over, want 3", n)
			}
		}, option)
}

func TestStreamsWithoutAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leakless(t)
		service := link(t, &testService{}, wired{client: []grpc.DialOption{grpc.WithStreamInterceptor(StreamClientInterceptor(nil, "inventory"))}})
		each(t.Context(), service, func(kind string, n int, err error) {
			if n != 3 || err != nil {
				t.Errorf("%s: %d messages, %v", kind, n, err)
			}
		})
	})
}

// TestCancelEndsAStream: the caller cancels and looks at the stream no more. Its span, its place and
// its goroutine must be given back, and the breaker must not blame the service (B6).
func TestB6CancelEndsAStream(t *testing.T) {
	option, spans := record()
	hang := &testService{output: func(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
		_ = s.Send(reply(1))
		<-s.Context().Done()
		return s.Context().Err()
	}}
	streaming(t, resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}, Bulkhead: &resilience.BulkheadPolicy{MaxConcurrent: 1}}, hang,
		func(t *testing.T, c *seatrial.Client, service pb.TestServiceClient) {
			for i := range 5 {
				ctx, cancel := context.WithCancel(t.Context())
				stream, err := service.StreamingOutputCall(ctx, ask(1))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatal(err)
				}
				if _, err := service.StreamingOutputCall(ctx, ask(1)); !errors.Is(err, resilience.ErrFull) || status.Code(err) != codes.ResourceExhausted {
					t.Errorf("a second stream beside the open one: %v", err)
				}
				cancel()
				synctest.Wait()
				if len(spans()) != i+1 || streams() != "" || c.Dependency("inventory").State() != resilience.Closed {
					t.Fatalf("%d spans are over, the breaker is %v, goroutine %q", len(spans()), c.Dependency("inventory").State(), streams())
				}
			}
		}, option)
}

func TestTheEndOfAStreamCounts(t *testing.T) {
	for code, want := range map[codes.Code]resilience.State{codes.Unavailable: resilience.Open, codes.Internal: resilience.Open, codes.NotFound: resilience.Closed, codes.OK: resilience.Closed} {
		failing := &testService{output: func(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
			_ = s.Send(reply(1))
			return status.Error(code, "in the middle")
		}}
		streaming(t, resilience.Policy{Retry: quick(3), Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}}, failing,
			func(t *testing.T, c *seatrial.Client, service pb.TestServiceClient) {
				n, err := download(service.StreamingOutputCall(t.Context(), ask(1)))
				synctest.Wait()
				if n != 1 || status.Code(err) != code || c.Dependency("inventory").State() != want {
					t.Errorf("%v: %d messages, %v, the breaker is %v", code, n, err, c.Dependency("inventory").State())
				}
			})
	}
}

func TestStreamsAreOpenedAgain(t *testing.T) {
	for failures, want := range map[int]codes.Code{2: codes.OK, 3: codes.Unavailable} {
		synctest.Test(t, func(t *testing.T) {
			leakless(t)
			c := subject(t, resilience.Policy{Retry: quick(3)})
			tries := 0
			flaky := func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				if tries++; tries <= failures {
					return nil, status.Error(codes.Unavailable, "no connection")
				}
				return streamer(ctx, desc, conn, method, opts...)
			}
			service := link(t, &testService{}, wired{client: []grpc.DialOption{grpc.WithChainStreamInterceptor(StreamClientInterceptor(c, "inventory"), flaky)}})
			_, err := download(service.StreamingOutputCall(t.Context(), ask(1)))
			if status.Code(err) != want || tries != 3 {
				t.Errorf("%d failures: %v after %d tries", failures, err, tries)
			}
		})
	}
}

func TestTimeoutsOfStreams(t *testing.T) {
	slow := &testService{output: func(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
		for s.Context().Err() == nil {
			if err := s.Send(reply(1)); err != nil {
				return err
			}
			select {
			case <-time.After(time.Second):
			case <-s.Context().Done():
			}
		}
		return s.Context().Err()
	}}
	cases := map[string]struct {
		policy resilience.Policy
		caller time.Duration
		ends   time.Duration
	}{
		"of the call":         {resilience.Policy{Timeout: 10 * time.Second, Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}}, time.Hour, 10 * time.Second},
		"of a try and a call": {resilience.Policy{Timeout: 10 * time.Second, TryTimeout: time.Second, Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}}, time.Hour, 10 * time.Second},
		"of the caller":       {resilience.Policy{TryTimeout: time.Second, Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}}, 5 * time.Second, 5 * time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			streaming(t, c.policy, slow, func(t *testing.T, client *seatrial.Client, service pb.TestServiceClient) {
				ctx, cancel := context.WithTimeout(t.Context(), c.caller)
				defer cancel()
				began := time.Now()
				n, err := download(service.StreamingOutputCall(ctx, ask(1)))
				if status.Code(err) != codes.DeadlineExceeded || time.Since(began) != c.ends || n < 4 {
					t.Errorf("%v after %v and %d messages", err, time.Since(began), n)
				}
				synctest.Wait()
				// At the same moment the caller's time is over on both sides, and nobody can say who was first.
				if ours := c.caller == time.Hour; ours && client.Dependency("inventory").State() != resilience.Open {
					t.Errorf("%v, the breaker is %v", err, client.Dependency("inventory").State())
				}
			})
		})
	}
}

func TestFaultsOnStreams(t *testing.T) {
	const sent = 10 + 4 + 5 // bytes of a message of ten with its prefixes
	cases := []struct {
		name  string
		fault fault.Fault
		code  codes.Code
		reach map[string]int // messages that come through: download, upload, echo
		takes time.Duration  // at least, each
	}{
		{"error", fault.Fault{Kind: fault.KindError, Code: "INTERNAL"}, codes.Internal, nil, 0},
		{"reset", fault.Fault{Kind: fault.KindReset}, codes.Unavailable, nil, 0},
		{"latency", fault.Fault{Kind: fault.KindLatency, Min: time.Second, Max: time.Second}, codes.OK, map[string]int{"download": 3, "upload": 3, "echo": 3}, time.Second},
		{"late end", fault.Fault{Kind: fault.KindLatency, Phase: fault.After, Min: time.Second, Max: time.Second}, codes.OK, map[string]int{"download": 3, "upload": 3, "echo": 3}, time.Second},
		{"never an answer", fault.Fault{Kind: fault.KindLatency, Phase: fault.Instead, Min: time.Second, Max: time.Second}, codes.DeadlineExceeded, nil, time.Second},
		{"cancel", fault.Fault{Kind: fault.KindCancel}, codes.Canceled, nil, 0},
		{"lost reply", fault.Fault{Kind: fault.KindLostReply, Phase: fault.After}, codes.Unavailable, map[string]int{"download": 3, "echo": 3}, 0},
		{"truncate", fault.Fault{Kind: fault.KindTruncate, AfterBytes: 2 * sent}, codes.Unavailable, map[string]int{"download": 2, "echo": 2}, 0},
		{"bandwidth", fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: sent}, codes.OK, map[string]int{"download": 3, "upload": 3, "echo": 3}, time.Second},
		{"corrupt", fault.Fault{Kind: fault.KindCorrupt, Share: 1}, codes.OK, map[string]int{"download": 3, "upload": 3, "echo": 3}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			option, spans := record()
			streaming(t, resilience.Policy{}, &testService{}, func(t *testing.T, client *seatrial.Client, service pb.TestServiceClient) {
				p := inject(client, c.fault, c.fault, c.fault)
				began := time.Now()
				each(t.Context(), service, func(kind string, n int, err error) {
					code := c.code
					if kind == "upload" && c.fault.Kind == fault.KindTruncate {
						code = codes.OK // three bytes are below what passes
						n -= 3
					}
					if status.Code(err) != code || n != c.reach[kind] {
						t.Errorf("%s: %d messages, %v", kind, n, err)
					}
					if errors.Is(err, fault.ErrInjected) != (code != codes.OK) {
						t.Errorf("%s: %v", kind, err)
					}
					if took := time.Since(began); took < c.takes {
						t.Errorf("%s took %v", kind, took)
					}
					began = time.Now()
					synctest.Wait()
					if p.Active() != 0 {
						t.Errorf("%s: %d under a fault", kind, p.Active())
					}
				})
				if c.fault.Kind == fault.KindCorrupt {
					return // not done, and so not marked
				}
				for _, s := range spans() {
					if attr(s, fault.AttrExperiment) != "storm" && c.fault.Kind != fault.KindTruncate {
						t.Errorf("span without a mark: %v", s.Attributes())
					}
					if attr(s, "rpc.response.status_code") != nameOf(c.code) && c.fault.Kind != fault.KindTruncate {
						t.Errorf("span: %v", s.Attributes())
					}
				}
			}, option)
		})
	}
}

func TestUploadsAreCutShort(t *testing.T) {
	var got atomic.Int32
	var complete atomic.Bool
	counting := &testService{input: func(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
		for {
			_, err := s.Recv()
			if err == io.EOF {
				complete.Store(true)
				return s.SendAndClose(&pb.StreamingInputCallResponse{})
			}
			if err != nil {
				return err
			}
			got.Add(1)
		}
	}}
	streaming(t, resilience.Policy{}, counting, func(t *testing.T, client *seatrial.Client, service pb.TestServiceClient) {
		inject(client, fault.Fault{Kind: fault.KindTruncate, AfterBytes: 300})
		stream, err := service.StreamingInputCall(t.Context())
		_, err = upload(stream, err, 100, 100, 100, 100)
		synctest.Wait()
		if status.Code(err) != codes.Unavailable || !errors.Is(err, fault.ErrInjected) || got.Load() > 2 { // fewer, if the end overtakes them
			t.Errorf("%v after %d messages", err, got.Load())
		}
		if complete.Load() {
			t.Error("the service took the beginning for all")
		}
	})
}

// TestA33ActiveUntilTheEnd: a stream counts as one under a fault until it ends, so that a cap holds
// for streams that are open (gRPC A33: active faults).
func TestA33ActiveUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leakless(t)
		c := open(t, seatrial.WithFaults(fault.Caps{MaxActive: 2}))
		service := link(t, &testService{}, wired{client: []grpc.DialOption{grpc.WithStreamInterceptor(StreamClientInterceptor(c, "inventory"))}})
		p := c.Dependency("inventory").Point()
		p.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
			return &fault.Program{Rate: 1, Faults: []fault.Fault{{Kind: fault.KindLatency, Min: time.Second, Max: time.Second}}}, fault.Assignment{}
		}), nil)
		var open []func() error
		var took []time.Duration
		for range 4 {
			began := time.Now()
			stream, err := service.FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(began))
			open = append(open, func() error { _ = stream.CloseSend(); _, err := stream.Recv(); return err })
		}
		if !slices.Equal(took, []time.Duration{time.Second, time.Second, 0, 0}) || p.Active() != 2 {
			t.Errorf("%v, %d under a fault, want two", took, p.Active())
		}
		for i, end := range open {
			if err := end(); err != io.EOF {
				t.Error(err)
			}
			synctest.Wait()
			if want := max(0, 1-i); p.Active() != want {
				t.Errorf("%d ended: %d under a fault, want %d", i+1, p.Active(), want)
			}
		}
	})
}

func TestAPanicReachesTheCallerOfAStream(t *testing.T) {
	leakless(t)
	boom := func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
		panic("boom")
	}
	defer func() {
		if got := fmt.Sprint(recover()); got != "boom" {
			t.Errorf("recovered %s", got)
		}
	}()
	_, _ = StreamClientInterceptor(subject(t, resilience.Policy{}), "inventory")(t.Context(), &grpc.StreamDesc{}, nil, method, boom)
}

// Interceptors further in may not hand on what tells of the end.
func TestCancelEndsAStreamThatTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leakless(t)
		option, spans := record()
		mute := func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
			return streamer(ctx, desc, conn, method)
		}
		service := link(t, &testService{}, wired{client: []grpc.DialOption{
			grpc.WithChainStreamInterceptor(StreamClientInterceptor(subject(t, resilience.Policy{}), "inventory", option), mute)}})
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := service.FullDuplexCall(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if len(spans()) != 1 || attr(spans()[0], "rpc.response.status_code") != "CANCELLED" {
			t.Errorf("%d spans are over", len(spans()))
		}
	})
}
