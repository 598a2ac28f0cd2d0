package seatrialgrpc

import (
	"context"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/messages"
	"google.golang.org/grpc"
)

// StreamServerInterceptor puts a server span and a unit of work around every stream that a server
// answers, from its first message to its last, as [UnaryServerInterceptor] does around unary calls.
func StreamServerInterceptor(c *seatrial.Client, options ...Option) grpc.StreamServerInterceptor {
	s := newServer(c, options)
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		r := s.receive(stream.Context(), info.FullMethod)
		defer func() { r.settle(stream.SetTrailer) }()
		r.err = r.strike(fault.Call{Operation: info.FullMethod, Messages: true}, func(ctx context.Context) error {
			served := &serverStream{ServerStream: stream, ctx: ctx}
			served.sent.Strike, served.received.Strike = r.hit, r.hit
			return handler(srv, served)
		})
		r.returned = true
		return r.err
	}
}

// serverStream is a stream whose handler finds the unit of work in its context.
type serverStream struct {
	grpc.ServerStream
	ctx            context.Context
	sent, received messages.Flow
}

// Context gives the context with the span and the unit of work.
func (s *serverStream) Context() context.Context { return s.ctx }

// SendMsg sends a message; see [grpc.ServerStream].
func (s *serverStream) SendMsg(m any) error {
	if s.sent.Strike != nil {
		if err := s.sent.Pass(s.ctx, sizeOf(m)); err != nil {
			return onTheWire(err)
		}
	}
	return s.ServerStream.SendMsg(m)
}

// RecvMsg receives a message; see [grpc.ServerStream].
func (s *serverStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil && s.received.Strike != nil {
		if err = onTheWire(s.received.Pass(s.ctx, sizeOf(m))); err != nil {
			forget(m)
		}
	}
	return err
}
