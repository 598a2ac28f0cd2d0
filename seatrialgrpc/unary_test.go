package seatrialgrpc

import (
	"context"
	"errors"
	"slices"
	"sync"
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
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

func unary(c *seatrial.Client, options ...Option) wired {
	return wired{client: []grpc.DialOption{grpc.WithUnaryInterceptor(UnaryClientInterceptor(c, "inventory", options...))}}
}

func body(text string) *pb.Payload { return &pb.Payload{Body: []byte(text)} }

func TestKindsOfFaultOnUnaryCalls(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault.Fault
		code  codes.Code
		made  int
		takes time.Duration
	}{
		{"reset", fault.Fault{Kind: fault.KindReset}, codes.Unavailable, 0, 0},
		{"reset after", fault.Fault{Kind: fault.KindReset, Phase: fault.After}, codes.Unavailable, 1, 0},
		{"lost reply", fault.Fault{Kind: fault.KindLostReply, Phase: fault.After}, codes.Unavailable, 1, 0},
		{"never an answer", fault.Fault{Kind: fault.KindLatency, Phase: fault.Instead, Min: time.Second, Max: time.Second}, codes.DeadlineExceeded, 0, time.Second},
		{"reply too long", fault.Fault{Kind: fault.KindTruncate, AfterBytes: 20}, codes.Unavailable, 1, 0},
		{"request too long", fault.Fault{Kind: fault.KindTruncate, AfterBytes: 5}, codes.Unavailable, 0, 0},
		{"short enough", fault.Fault{Kind: fault.KindTruncate, AfterBytes: 1000}, codes.OK, 1, 0},
		{"bandwidth", fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 14}, codes.OK, 1, 2 * time.Second}, // 5 + 9 both ways
		{"corrupt", fault.Fault{Kind: fault.KindCorrupt, Share: 1}, codes.OK, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := subject(t, resilience.Policy{})
				var made atomic.Int32
				service := link(t, &testService{unary: func(_ context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					made.Add(1)
					return &pb.SimpleResponse{Payload: r.GetPayload()}, nil
				}}, unary(client))
				p := inject(client, c.fault)
				began := time.Now()
				reply, err := service.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: body("hello")})
				if status.Code(err) != c.code || int(made.Load()) != c.made || time.Since(began) != c.takes || p.Active() != 0 {
					t.Errorf("%v, made %d times, after %v, %d under a fault", err, made.Load(), time.Since(began), p.Active())
				}
				if (err != nil) != errors.Is(err, fault.ErrInjected) || (err == nil) != (string(reply.GetPayload().GetBody()) == "hello") {
					t.Errorf("%v, %v", err, reply)
				}
			})
		})
	}
}

func TestALostReplyIsNotSeen(t *testing.T) {
	client := subject(t, resilience.Policy{})
	inject(client, fault.Fault{Kind: fault.KindLostReply, Phase: fault.After})
	reply := &pb.SimpleResponse{}
	_ = UnaryClientInterceptor(client, "inventory")(t.Context(), method, &pb.SimpleRequest{}, reply, nil,
		func(_ context.Context, _ string, _, reply any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			reply.(*pb.SimpleResponse).Username = "ada"
			return nil
		})
	if reply.GetUsername() != "" {
		t.Errorf("the caller sees the reply that is lost: %v", reply)
	}
}

// TestR8OnceMethods: what must not be called twice is not, though its code would allow it.
func TestR8OnceMethods(t *testing.T) {
	for _, c := range []struct {
		option Option
		want   int
	}{
		{nil, 3},
		{WithOnce("/grpc.testing.TestService/UnaryCall"), 1},
		{WithOnce("/grpc.testing.TestService/*"), 1},
		{WithOnce("/grpc.testing.TestServ*", "/grpc.testing.TestService/Unary", "*"), 3},
	} {
		calls := 0
		client := subject(t, resilience.Policy{Retry: quick(3)})
		_ = invoke(UnaryClientInterceptor(client, "inventory", c.option), func(context.Context) error {
			calls++
			return status.Error(codes.Unavailable, "down")
		})
		if calls != c.want {
			t.Errorf("%d calls, want %d", calls, c.want)
		}
	}
}

// TestA6PreviousAttempts: repetitions carry their number.
func TestA6PreviousAttempts(t *testing.T) {
	client := subject(t, resilience.Policy{Retry: quick(3)})
	var seen []string
	service := link(t, &testService{unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen = append(seen, append(md.Get(previousKey), "none")[0])
		return nil, status.Error(codes.Unavailable, "down")
	}}, unary(client))
	_, _ = service.UnaryCall(t.Context(), &pb.SimpleRequest{})
	if !slices.Equal(seen, []string{"none", "1", "2"}) {
		t.Errorf("the server saw %v", seen)
	}
}

// TestA6Pushback: the server says when, and whether, to call again.
func TestA6Pushback(t *testing.T) {
	for value, want := range map[string]struct {
		calls int
		takes time.Duration
	}{"none": {3, 0}, "250": {3, 500 * time.Millisecond}, "0": {3, 0}, "-1": {1, 0}, "-9999999999": {1, 0}, "soon": {1, 0}, "99999999999": {1, 0}, "": {1, 0}} {
		t.Run(value, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := subject(t, resilience.Policy{Retry: quick(3)})
				var calls atomic.Int32
				service := link(t, &testService{unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					calls.Add(1)
					if value != "none" {
						_ = grpc.SetTrailer(ctx, metadata.Pairs(pushbackKey, value))
					}
					return nil, status.Error(codes.Unavailable, "down")
				}}, unary(client))
				began := time.Now()
				var trailer metadata.MD // the caller wants it as well
				_, err := service.UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.Trailer(&trailer))
				if took := time.Since(began).Round(time.Millisecond); status.Code(err) != codes.Unavailable || int(calls.Load()) != want.calls || took != want.takes {
					t.Errorf("%v: %d calls in %v, want %d in %v", err, calls.Load(), took, want.calls, want.takes)
				}
				if (len(trailer.Get(pushbackKey)) == 1) != (value != "none") {
					t.Errorf("the caller's trailer: %v", trailer)
				}
			})
		})
	}
}

func TestHedging(t *testing.T) {
	hedge := resilience.Policy{Hedge: &resilience.HedgePolicy{Delay: 100 * time.Millisecond, Max: 1, Budget: 1}}
	for _, c := range []struct {
		name   string
		option Option
		calls  int
		takes  time.Duration
		from   string
	}{
		{"safe", WithSafe("/grpc.testing.TestService/UnaryCall"), 2, 150 * time.Millisecond, "second"},
		{"not known to be safe", nil, 1, time.Second, "first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := subject(t, hedge)
				var calls atomic.Int32
				var mu sync.Mutex
				var previous []string
				service := link(t, &testService{unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					n, wait := calls.Add(1), time.Second
					md, _ := metadata.FromIncomingContext(ctx)
					mu.Lock()
					previous = append(previous, md.Get(previousKey)...)
					mu.Unlock()
					name := "first"
					if n == 2 {
						name, wait = "second", 50*time.Millisecond
					}
					_ = grpc.SetHeader(ctx, metadata.Pairs("from", name))
					_ = grpc.SetTrailer(ctx, metadata.Pairs("from", name))
					select {
					case <-time.After(wait):
						return &pb.SimpleResponse{Username: name}, nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}}, unary(client, c.option))
				began := time.Now()
				var header, trailer metadata.MD
				var from peer.Peer
				reply, err := service.UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&from))
				if err != nil || int(calls.Load()) != c.calls || time.Since(began) != c.takes || reply.GetUsername() != c.from {
					t.Errorf("%v, %v after %v and %d calls", reply, err, time.Since(began), calls.Load())
				}
				if header.Get("from")[0] != c.from || trailer.Get("from")[0] != c.from || from.Addr == nil {
					t.Errorf("header %v, trailer %v, peer %v", header, trailer, from)
				}
				if c.calls == 2 && !slices.Equal(previous, []string{"1"}) {
					t.Errorf("previous attempts: %v", previous)
				}
				synctest.Wait()
			})
		})
	}
}

func TestSafeByDefinition(t *testing.T) {
	if harmless(method) || harmless("/no.such.Service/Method") || harmless("") {
		t.Error("harmless without saying so")
	}
}

func TestRefusalsByLimitsAreStatusErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := subject(t, resilience.Policy{RateLimit: &resilience.RateLimitPolicy{PerSecond: 1, Burst: 1}, Retry: quick(3)})
		i := UnaryClientInterceptor(client, "inventory")
		fine := func(context.Context) error { return nil }
		if err := invoke(i, fine); err != nil {
			t.Fatal(err)
		}
		if err := invoke(i, fine); status.Code(err) != codes.ResourceExhausted || !errors.Is(err, resilience.ErrLimited) {
			t.Errorf("%v", err)
		}
	})
}

// What an adaptive limit is told by the code, whether the policy repeats it or not.
func TestOverloadedAnswers(t *testing.T) {
	for code := range codes.Code(17) {
		for _, again := range []bool{true, false} {
			c := config{retried: []codes.Code{codes.Unavailable, codes.ResourceExhausted}}
			err := c.judge(status.Error(code, "so"), again, 0)
			var says interface{ Overloaded() bool }
			if got := errors.As(err, &says) && says.Overloaded(); got != (code == codes.ResourceExhausted) || err != nil && status.Code(err) != code {
				t.Errorf("%v (again %v): overloaded %v, %v", code, again, got, err)
			}
		}
	}
}
