package seatrialgrpc

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"
)

// service for tests, of gRPC's own: each method does what the test says, or what is natural.
type testService struct {
	pb.UnimplementedTestServiceServer
	unary  func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error)
	output func(*pb.StreamingOutputCallRequest, grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error
	input  func(grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error
	duplex func(grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error
}

func (s *testService) UnaryCall(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if s.unary != nil {
		return s.unary(ctx, r)
	}
	return &pb.SimpleResponse{Payload: r.GetPayload()}, nil
}

// StreamingOutputCall sends a message of each size that is asked for.
func (s *testService) StreamingOutputCall(r *pb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	if s.output != nil {
		return s.output(r, stream)
	}
	for _, p := range r.GetResponseParameters() {
		if err := stream.Send(reply(int(p.GetSize()))); err != nil {
			return err
		}
	}
	return nil
}

// StreamingInputCall counts the bytes.
func (s *testService) StreamingInputCall(stream grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	if s.input != nil {
		return s.input(stream)
	}
	n := 0
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(n)})
		}
		if err != nil {
			return err
		}
		n += len(r.GetPayload().GetBody())
	}
}

// FullDuplexCall answers each message with one.
func (s *testService) FullDuplexCall(stream grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	if s.duplex != nil {
		return s.duplex(stream)
	}
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(reply(len(r.GetPayload().GetBody()))); err != nil {
			return err
		}
	}
}

func reply(size int) *pb.StreamingOutputCallResponse {
	return &pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, size)}}
}

func request(size int) *pb.StreamingOutputCallRequest {
	return &pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: make([]byte, size)}}
}

func ask(sizes ...int32) *pb.StreamingOutputCallRequest {
	r := &pb.StreamingOutputCallRequest{}
	for _, size := range sizes {
		r.ResponseParameters = append(r.ResponseParameters, &pb.ResponseParameters{Size: size})
	}
	return r
}

// wired are the options of both ends.
type wired struct {
	server []grpc.ServerOption
	client []grpc.DialOption
}

// link starts a server in memory and connects to it. Both are gone, with all their goroutines, when
// the test is over.
func link(t *testing.T, s *testService, w wired) pb.TestServiceClient {
	t.Helper()
	wire := bufconn.Listen(1 << 20)
	server := grpc.NewServer(w.server...)
	pb.RegisterTestServiceServer(server, s)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(wire) }()
	conn, err := grpc.NewClient("passthrough:///inventory:8443", append(w.client, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return wire.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); server.Stop(); <-served })
	return pb.NewTestServiceClient(conn)
}

// leakless fails the test if goroutines of streams are left when it is over.
func leakless(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			left := streams()
			if left == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("a goroutine is left:\n%s", left)
				return
			}
		}
	})
}

// streams gives the stack of a goroutine that waits for the end of a stream.
func streams() string {
	stacks := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "seatrialgrpc.(*opening).run") {
			return stack
		}
	}
	return ""
}
