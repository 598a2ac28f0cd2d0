// Package seatrialgrpc connects gRPC to Seatrial, on both sides of a unary call.
//
//	server := grpc.NewServer(grpc.UnaryInterceptor(seatrialgrpc.UnaryServerInterceptor(client)))
//	conn, err := grpc.NewClient(target, grpc.WithUnaryInterceptor(seatrialgrpc.UnaryClientInterceptor(client, "inventory")), …)
//
// The server side takes up the trace of the caller, opens a server span, and opens the unit of work
// to which the outcomes of flags are attributed. The client side makes each call to a named
// dependency under its policy (timeouts, retry, circuit breaker) and subject to its faults, with a
// client span for every try. Both work with a nil client: then they only trace. Streams pass as
// they are.
//
// Spans follow the OpenTelemetry semantic conventions for RPC and gRPC, 1.43 (release candidate).
package seatrialgrpc
