package seatrialgrpc_test

import (
	"context"
	"fmt"
	"net"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/resilience"
	"github.com/seatrial/seatrial/seatrialgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func Example() {
	ctx := context.Background()
	client, err := seatrial.Open(ctx, seatrial.WithPolicy("inventory", resilience.Policy{
		Retry: &resilience.RetryPolicy{MaxAttempts: 3, Budget: 0.1},
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(seatrialgrpc.UnaryServerInterceptor(client)))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	defer server.Stop()

	conn, err := grpc.NewClient(listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(seatrialgrpc.UnaryClientInterceptor(client, "inventory")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	reply, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	fmt.Println(reply.GetStatus(), err)
	// Output: SERVING <nil>
}
