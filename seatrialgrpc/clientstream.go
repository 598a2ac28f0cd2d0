package seatrialgrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/hop"
	"github.com/seatrial/seatrial/internal/messages"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// StreamClientInterceptor makes streams on a connection calls to the named dependency, as
// [UnaryClientInterceptor] does for unary calls.
//
// # Policy
//
// A stream is one call from when it is opened until it ends: it has its place in a bulkhead for so
// long, and the breaker learns how it ended. A retry opens the stream again while it cannot be
// opened; once it is open nothing is repeated, since messages may have been sent. The timeout of a
// try bounds opening the stream, that of the call all of the stream: leave it out for streams
// without an end. Streams are not hedged.
//
// The timeout of the call is that of [seatrial.Dependency.Policy] once a stream is open for longer
// than the timeout of a try, also for units to which a trial gives another policy.
//
// # End
//
// As with any stream of gRPC, read until an error, or cancel the context: until then the span is
// open and the stream's place is taken. That the caller cancels is no failure of the dependency.
func StreamClientInterceptor(c *seatrial.Client, dependency string, options ...Option) grpc.StreamClientInterceptor {
	s := newService(c, dependency, options)
	return func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		o := &opening{service: s, caller: ctx, began: time.Now(), desc: desc, conn: conn, method: method, streamer: streamer, options: opts,
			result: make(chan opened, 1)}
		go o.run()
		got := <-o.result
		if got.panicked {
			panic(got.reason)
		}
		if got.err != nil {
			return nil, got.err
		}
		return got.stream, nil
	}
}

// opening is a stream of the caller, from when it is asked for until it ends. It has a goroutine, in
// which the policy waits for the end of the stream.
type opening struct {
	*service
	caller   context.Context
	began    time.Time
	desc     *grpc.StreamDesc
	conn     *grpc.ClientConn
	method   string
	streamer grpc.Streamer
	options  []grpc.CallOption
	tries    int
	last     error // of the last try: as it came, and as the policy saw it
	judged   error
	result   chan opened // room for one: the first counts
}

// opened is what the caller gets.
type opened struct {
	stream   *clientStream
	err      error
	panicked bool
	reason   any
}

// run is the goroutine. Where opening panics, so does the caller.
func (o *opening) run() {
	returned := false
	defer func() {
		if returned {
			return
		}
		if reason := recover(); reason != nil {
			o.deliver(opened{panicked: true, reason: reason})
		} else {
			o.deliver(opened{err: withStatus(errGoexit)})
		}
	}()
	_, err := seatrial.Run(o.caller, o.dependency, resilience.Call[struct{}]{Do: func(ctx context.Context) (struct{}, error) {
		return struct{}{}, o.try(ctx)
	}})
	returned = true
	hop.Note(o.caller, err)
	if err != nil && err == o.judged {
		err = o.last
	}
	o.deliver(opened{err: withStatus(err)})
}

var errGoexit = errors.New("seatrialgrpc: what opens the stream ended its goroutine")

func (o *opening) deliver(got opened) {
	select {
	case o.result <- got:
	default: // the caller has his stream
	}
}

// try is one try: it opens the stream, and if that works waits until it ends.
func (o *opening) try(ctx context.Context) error {
	ctx, span := o.start(ctx, o.method, addressOf(o.conn), o.tries)
	defer span.End()
	o.tries++
	s := o.stream(ctx)
	defer s.release()
	open, err := s.open()
	if open {
		o.deliver(opened{stream: s})
		err = s.wait(ctx)
	}
	o.last = withStatus(err)
	describe(span, status.Convert(o.last))
	o.judged = o.config.judge(o.last, !open, 0)
	return o.judged
}

// stream makes what open opens. Its context has the span of the try, and the caller's time.
func (o *opening) stream(try context.Context) *clientStream {
	ctx, cancel := context.WithCancelCause(o.caller)
	s := &clientStream{opening: o, attempt: hop.Attempt(try), cancel: cancel, end: make(chan struct{})}
	s.stop = context.AfterFunc(try, func() {
		if cause := context.Cause(try); !s.isOpen() || !ofTry(cause) {
			cancel(cause)
		}
	})
	if limit := o.dependency.PolicyFor(o.caller).Timeout; limit > 0 {
		var free context.CancelFunc
		ctx, free = context.WithDeadlineCause(ctx, o.began.Add(limit), &resilience.TimeoutError{Name: o.dependency.Name(), Limit: limit})
		s.free = free
	}
	s.ctx = trace.ContextWithSpan(ctx, trace.SpanFromContext(try))
	s.strike = o.point.Begin(s.ctx, fault.Call{Operation: o.method, Messages: true})
	s.sent.Strike, s.received.Strike = s.strike, s.strike
	return s
}

// ofTry tells whether a context ended because of the timeout of a try.
func ofTry(cause error) bool {
	var timeout *resilience.TimeoutError
	return errors.As(cause, &timeout) && timeout.PerTry
}

// clientStream is a stream with what may be done to it.
type clientStream struct {
	grpc.ClientStream
	opening *opening
	attempt int // number of the try

	ctx    context.Context // of the stream; ends with a cause
	inner  context.Context // the same, as the fault has made it
	cancel context.CancelCauseFunc
	free   context.CancelFunc // of the deadline; may be nil
	stop   func() bool        // no longer to end with the try

	strike         *fault.Strike
	sent, received messages.Flow

	mu       sync.Mutex
	openedAt bool
	ended    bool
	err      error         // how it ended
	lost     error         // why the fault cut it short, if it did
	end      chan struct{} // closed then
}

// open opens the stream past the point of faults.
func (s *clientStream) open() (open bool, err error) {
	o := s.opening
	if s.inner, err = s.strike.Before(s.ctx); err != nil {
		return false, s.explain(err)
	}
	// What ends the stream while nobody looks at it is the end of a context or of the connection.
	options := append(o.options[:len(o.options):len(o.options)], grpc.OnFinish(func(err error) {
		if err != nil {
			s.finish(s.explain(err))
		}
	}))
	s.ClientStream, err = o.streamer(o.outgoing(s.inner, s.attempt), o.desc, o.conn, o.method, options...)
	if err != nil {
		return false, s.explain(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.openedAt = true
	return true, nil
}

func (s *clientStream) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openedAt
}

// finish notes the end of the stream, once.
func (s *clientStream) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.err = true, err
		close(s.end)
	}
}

// wait waits for the end of the stream, or of its context.
func (s *clientStream) wait(try context.Context) error {
	select {
	case <-s.end:
	case <-s.inner.Done():
		s.finish(s.explain(status.FromContextError(s.inner.Err()).Err()))
	}
	return s.err
}

// release ends whatever is left of the stream.
func (s *clientStream) release() {
	s.stop()
	s.strike.End()
	s.cancel(nil)
	if s.free != nil {
		s.free()
	}
}

// explain gives the error of a stream that ended with its context the reason for that.
func (s *clientStream) explain(err error) error {
	err = withStatus(err)
	if code := status.Code(err); code != codes.Canceled && code != codes.DeadlineExceeded {
		return err
	}
	switch cause := context.Cause(s.inner).(type) {
	case *fault.Error:
		if cause.Kind == fault.KindCancel {
			return withStatus(s.strike.After(s.inner, err))
		}
		return withStatus(cause)
	case *resilience.TimeoutError:
		return &statusError{fmt.Errorf("%w: %w", cause, err), status.New(codes.DeadlineExceeded, cause.Error())}
	default:
		if errors.Is(cause, context.DeadlineExceeded) { // the context may say that it was cancelled
			return &statusError{err, status.New(codes.DeadlineExceeded, cause.Error())}
		}
		return err
	}
}

// SendMsg sends a message; see [grpc.ClientStream].
func (s *clientStream) SendMsg(m any) error {
	if s.strike != nil {
		if err := s.sent.Pass(s.inner, sizeOf(m)); err != nil {
			s.cut(err)
		}
		if s.isCut() != nil {
			return io.EOF // what happened is to be had by RecvMsg
		}
	}
	return s.ClientStream.SendMsg(m)
}

// CloseSend says that there are no more messages; see [grpc.ClientStream]. The service must not take
// what was cut short for all.
func (s *clientStream) CloseSend() error {
	if s.isCut() != nil {
		return nil
	}
	return s.ClientStream.CloseSend()
}

// RecvMsg receives a message; see [grpc.ClientStream].
func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil && s.strike != nil {
		if lost := s.received.Pass(s.inner, sizeOf(m)); lost != nil {
			s.cut(lost)
		}
	}
	if lost := s.isCut(); lost != nil { // whatever has come
		forget(m)
		return lost
	}
	if err == nil && s.opening.desc.ServerStreams {
		return nil
	}
	return s.last(m, err)
}

// last is the end of the stream as the caller sees it: err is nil after the only message, and
// io.EOF after the last one.
func (s *clientStream) last(m any, err error) error {
	failed := err
	if err == io.EOF {
		failed = nil
	}
	noteMarks(s.opening.caller, s.Trailer(), failed) // s.inner may be cancelled by now because of the end itself
	if err != nil && err != io.EOF {
		err = s.explain(err)
		s.finish(err)
		return err
	}
	if lost := s.strike.After(s.inner, nil); lost != nil {
		forget(m)
		err = withStatus(lost)
		s.finish(err)
		return err
	}
	s.finish(nil)
	return err
}

// cut ends the stream early, with the error of a fault.
func (s *clientStream) cut(err error) {
	lost := withStatus(err)
	s.mu.Lock()
	if s.lost == nil {
		s.lost = lost
	}
	s.mu.Unlock()
	s.finish(lost)
	s.cancel(err)
}

// isCut gives the error that the stream was cut short with, nil if it was not.
func (s *clientStream) isCut() error {
	if s.strike == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}
