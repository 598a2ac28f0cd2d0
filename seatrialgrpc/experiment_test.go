package seatrialgrpc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/memnet"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// experiment is what a control plane says while a chaos experiment on the point "shelves" runs with
// everybody in the same arm, and beside it a trial of the flag "banner".
func experiment(fault string, everybody flag.Stratum) flag.Set {
	set := flag.Set{
		Environment: "production", History: "h", Epoch: 1, Revision: 1, Hash: "hash",
		Flags: []flag.Flag{
			{Key: "banner", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
				Variants: []flag.Variant{{Name: "off", Value: json.RawMessage("false")}, {Name: "on", Value: json.RawMessage("true")}}},
			{Key: "no-shelves", Kind: flag.KindFault, Type: flag.TypeObject, Enabled: true, DefaultVariant: "none",
				Variants: []flag.Variant{{Name: "none", Value: json.RawMessage("null")},
					{Name: "down", Value: json.RawMessage(`{"point":"shelves","rate":1,"faults":[` + fault + `]}`)}}},
		},
		Allocations: []flag.Allocation{
			{Trial: "banner-trial", Flag: "banner", Version: "banner-trial.1.0", Salt: "a", Treatment: "on", Control: "off", Strata: []flag.Stratum{{Treatment: flag.TotalWeight}}},
			{Trial: "storm", Flag: "no-shelves", Version: "storm.1.0", Salt: "b", Treatment: "down", Control: "none", Strata: []flag.Stratum{everybody},
				Fault: true, Secret: "0123456789abcdef0123456789abcdef"},
		},
	}
	return set.Normalize()
}

var (
	treated = flag.Stratum{Treatment: flag.TotalWeight}
	spared  = flag.Stratum{Control: flag.TotalWeight}
)

// plane is a control plane in memory that always says the same, and takes every report. It gives what
// opens a client of it.
func plane(t *testing.T, set flag.Set) func(options ...seatrial.Option) *seatrial.Client {
	t.Helper()
	state, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: snapshot\ndata: %s\n\n", state)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	network := memnet.Listen()
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(network) }()
	transport := &http.Transport{DialContext: network.Dial}
	t.Cleanup(func() { transport.CloseIdleConnections(); _ = server.Close() })
	return func(options ...seatrial.Option) *seatrial.Client {
		return open(t, append(options, seatrial.WithServer("http://plane"), seatrial.WithKey("key"), seatrial.WithService("test"),
			seatrial.WithHTTPClient(&http.Client{Transport: transport}), seatrial.WithWait(time.Minute))...)
	}
}

// pair is a shop that knows its users and an inventory behind it that does not, whose own dependency,
// the shelves, may be hit.
type pair struct {
	shop, inventory *seatrial.Client
	service         pb.TestServiceClient
	spans           *tracetest.SpanRecorder
}

func newPair(t *testing.T, set flag.Set) *pair {
	dial := plane(t, set)
	p := &pair{shop: dial(), inventory: dial(seatrial.WithFaults(fault.Caps{})), spans: tracetest.NewSpanRecorder()}
	p.service = link(t, p.behind(), wired{
		server: []grpc.ServerOption{grpc.UnaryInterceptor(UnaryServerInterceptor(p.inventory)), grpc.StreamInterceptor(StreamServerInterceptor(p.inventory))},
		client: []grpc.DialOption{grpc.WithUnaryInterceptor(UnaryClientInterceptor(p.shop, "inventory")), grpc.WithStreamInterceptor(StreamClientInterceptor(p.shop, "inventory"))},
	})
	return p
}

// behind looks at the shelves for every call, and does without them if need be. It goes on when the
// caller is gone.
func (p *pair) behind() *testService {
	look := func(ctx context.Context) {
		_ = p.inventory.Dependency("shelves").Do(context.WithoutCancel(ctx), func(context.Context) error { return nil })
	}
	return &testService{
		unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			look(ctx)
			return &pb.SimpleResponse{}, nil
		},
		output: func(_ *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
			if err := s.Send(reply(1)); err != nil { // the head of the answer is gone
				return err
			}
			look(s.Context())
			return nil
		},
		input: func(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
			look(s.Context())
			return s.SendAndClose(&pb.StreamingInputCallResponse{})
		},
		duplex: func(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
			look(s.Context())
			return s.Send(reply(1))
		},
	}
}

// request is a unit of work of the shop for a user, who also gets to see a banner. It tells in which
// variant of the fault the unit of work was, if it has met the experiment.
func (p *pair) request(ctx context.Context, user string, call func(context.Context)) (variant string) {
	ctx, span := sdk.NewTracerProvider(sdk.WithSpanProcessor(p.spans)).Tracer("shop").Start(ctx, "request")
	ctx, work := p.shop.Begin(seatrial.WithContext(ctx, seatrial.NewContext(user)))
	p.shop.Bool(ctx, "banner", false)
	call(ctx)
	work.End(nil)
	span.End()
	ended := p.spans.Ended()
	return attr(ended[len(ended)-1], "seatrial.flag.no-shelves")
}

// calls are calls of each kind; each gives the trailer.
var calls = map[string]func(ctx context.Context, s pb.TestServiceClient) (metadata.MD, error){
	"unary": func(ctx context.Context, s pb.TestServiceClient) (trailer metadata.MD, err error) {
		_, err = s.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.Trailer(&trailer))
		return trailer, err
	},
	"download": func(ctx context.Context, s pb.TestServiceClient) (metadata.MD, error) {
		stream, err := s.StreamingOutputCall(ctx, ask())
		if err == nil {
			_, err = download(stream, nil)
		}
		return stream.Trailer(), err
	},
	"upload": func(ctx context.Context, s pb.TestServiceClient) (metadata.MD, error) {
		stream, err := s.StreamingInputCall(ctx)
		if err == nil {
			_, err = upload(stream, nil)
		}
		return stream.Trailer(), err
	},
	"both ways": func(ctx context.Context, s pb.TestServiceClient) (metadata.MD, error) {
		stream, err := s.FullDuplexCall(ctx)
		if err == nil {
			_ = stream.CloseSend()
			_, err = download(stream, nil)
		}
		return stream.Trailer(), err
	},
}

// TestS10TrailersTellWhatWasMet: the call ends well, with a trailer that tells the caller that his unit
// of work has met the experiment, and whether it was hit; then it counts for no other trial.
func TestS10TrailersTellWhatWasMet(t *testing.T) {
	for kind, call := range calls {
		for _, arm := range []struct {
			name, mark, variant string
			everybody           flag.Stratum
			hit                 bool
		}{{"treatment", "t", "down", treated, true}, {"control", "c", "none", spared, false}} {
			t.Run(kind+" "+arm.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPair(t, experiment(`{"kind":"error"}`, arm.everybody))
					variant := p.request(t.Context(), "user-7", func(ctx context.Context) {
						trailer, err := call(ctx, p.service)
						marks := strings.Join(trailer.Get("seatrial-marks"), " and ")
						if err != nil || !strings.HasPrefix(marks, arm.mark) || strings.HasSuffix(marks, "!") != arm.hit {
							t.Errorf("the trailer tells %q, %v", marks, err)
						}
					})
					if n := p.shop.Status().Excluded; variant != arm.variant || (n == 1) != arm.hit {
						t.Errorf("met %q, %d left out of the other trial", variant, n)
					}
				})
			})
		}
	}
}

// Who has not asked, as nobody is known where the call comes from, is told nothing.
func TestS10TrailersTellStrangersNothing(t *testing.T) {
	for kind, call := range calls {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, experiment(`{"kind":"error"}`, treated))
				met := p.request(t.Context(), "", func(ctx context.Context) {
					trailer, err := call(ctx, p.service)
					if marks := trailer.Get("seatrial-marks"); len(marks) > 0 || err != nil {
						t.Errorf("%q, %v", marks, err)
					}
				})
				if n := p.shop.Status().Excluded; met != "" || n > 0 {
					t.Errorf("met %q, %d left out", met, n)
				}
			})
		})
	}
}

// TestS10CallsWithoutATrailerCount: the fault holds the call up until the caller's time is over. Nobody
// tells what was met, so what the call carried counts, in both arms; but not if the caller gave up.
func TestS10CallsWithoutATrailerCount(t *testing.T) {
	hang := `{"kind":"latency","min":"5s","max":"5s"}`
	for kind, call := range calls {
		for end, within := range map[string]func(context.Context) (context.Context, context.CancelFunc){
			"time over": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			},
			"given up": func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			},
		} {
			t.Run(kind+" "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPair(t, experiment(hang, treated))
					variant := p.request(t.Context(), "user-7", func(ctx context.Context) {
						ctx, cancel := within(ctx)
						defer cancel()
						if _, err := call(ctx, p.service); err == nil {
							t.Error("the call ended well")
						}
					})
					want, excluded := "down", uint64(1)
					if end == "given up" {
						want, excluded = "", 0
					}
					if n := p.shop.Status().Excluded; variant != want || n != excluded {
						t.Errorf("met %q, %d left out; want %q, %d", variant, n, want, excluded)
					}
				})
			})
		}
	}
}

// A service that could tell and fails before anything was met says so: its failure is nobody's fault.
func TestS10AFailureThatMetNothingDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := plane(t, experiment(`{"kind":"error"}`, treated))
		p := &pair{shop: dial(), inventory: dial(), spans: tracetest.NewSpanRecorder()}
		for told, options := range map[bool][]grpc.ServerOption{true: {grpc.UnaryInterceptor(UnaryServerInterceptor(p.inventory))}, false: nil} {
			service := link(t, &testService{unary: func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
				return nil, status.Error(codes.Unavailable, "closed on Sundays")
			}}, wired{server: options, client: []grpc.DialOption{grpc.WithUnaryInterceptor(UnaryClientInterceptor(p.shop, "inventory"))}})
			var trailer metadata.MD
			met := p.request(t.Context(), "user-7", func(ctx context.Context) {
				_, _ = service.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.Trailer(&trailer))
			})
			if (met == "") != told || (strings.Join(trailer.Get("seatrial-marks"), "") == "-") != told {
				t.Errorf("trailer %v, met %q", trailer, met)
			}
		}
	})
}
