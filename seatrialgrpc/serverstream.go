package seatrialgrpc

import (
	"context"
	"sync/atomic"

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
			err := handler(srv, served)
			if lost := served.lost.Load(); lost != nil {
				return *lost
			}
			return err
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
	lost           atomic.Pointer[error] // why the fault cut it short, if it did: the call ends with that
}

// Context gives the context with the span and the unit of work.
func (s *serverStream) Context() context.Context { return s.ctx }

// SendMsg sends a message; see [grpc.ServerStream].
func (s *serverStream) SendMsg(m any) error {
	if err := s.pass(&s.sent, m); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

// RecvMsg receives a message; see [grpc.ServerStream].
func (s *serverStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		if err = s.pass(&s.received, m); err != nil {
			forget(m)
		}
	}
	return err
}

// pass lets a message pass as far as the fault does, if there is one.
func (s *serverStream) pass(flow *messages.Flow, m any) error {
	if flow.Strike == nil {
		return nil
	}
	if err := onTheWire(flow.Pass(s.ctx, sizeOf(m))); err != nil {
		s.lost.CompareAndSwap(nil, &err)
	}
	if lost := s.lost.Load(); lost != nil {
		return *lost
	}
	return nil
}
