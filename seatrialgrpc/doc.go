// Package seatrialgrpc connects gRPC to Seatrial, on both sides of a call and of a stream.
//
//	server := grpc.NewServer(
//		grpc.UnaryInterceptor(seatrialgrpc.UnaryServerInterceptor(client)),
//		grpc.StreamInterceptor(seatrialgrpc.StreamServerInterceptor(client)))
//	conn, err := grpc.NewClient(target,
//		grpc.WithUnaryInterceptor(seatrialgrpc.UnaryClientInterceptor(client, "inventory")),
//		grpc.WithStreamInterceptor(seatrialgrpc.StreamClientInterceptor(client, "inventory")), …)
//
// The server side takes up the trace of the caller, opens a server span, and opens the unit of work
// to which the outcomes of flags are attributed. The client side makes each call to a named
// dependency under its policy (timeouts, retry, circuit breaker, limits, hedging) and subject to its
// faults, with a client span for every try. Both work with a nil client: then they only trace.
//
// # What the sides tell each other
//
// Besides trace context and baggage, a repetition carries its number in grpc-previous-rpc-attempts,
// and a server whose own dependency was given up asks by the trailer grpc-retry-pushback-ms not to
// be called again; both as in gRPC's proposal A6, so that other implementations understand them.
// Policies make one attempt only within a repetition: the attempts of a chain of services add up and
// do not multiply. The trailer seatrial-marks tells what chaos experiments a call has met.
//
// # Faults
//
// An injected fault is a status error for which errors.Is(err, [fault.ErrInjected]) holds; the span
// has the attributes seatrial.fault.*. By kind:
//
//   - error: the code of the fault, UNAVAILABLE if it has none;
//   - latency: the call is held up; in phase instead it ends with DEADLINE_EXCEEDED;
//   - cancel: the call's context is cancelled under it, CANCELLED;
//   - reset: UNAVAILABLE without a call. Interceptors cannot touch the connection, which other
//     calls share;
//   - lost-reply: the call is executed, its reply thrown away, UNAVAILABLE;
//   - bandwidth: every message waits for as long as its size takes;
//   - truncate: a message that goes beyond the fault's bytes is lost, and ends the call with
//     UNAVAILABLE;
//   - corrupt: not done. What a corrupted message means depends on its encoding, and TLS does not
//     let it happen.
//
// A call counts as one under a fault until it ends, a stream until its last message.
//
// Spans follow the OpenTelemetry semantic conventions for RPC and gRPC, 1.43 (release candidate).
package seatrialgrpc
