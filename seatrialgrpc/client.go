package seatrialgrpc

import (
	"context"
	"sync/atomic"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/hop"
	"github.com/seatrial/seatrial/internal/messages"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// UnaryClientInterceptor makes unary calls on a connection calls to the named dependency; see
// [seatrial.Client.Dependency] for where its policy and its faults come from.
//
// A policy with a retry calls again after UNAVAILABLE and RESOURCE_EXHAUSTED, see [WithRetryCodes],
// but not the methods of [WithOnce]. It waits for as long as the server asks for in the trailer
// grpc-retry-pushback-ms, and does not call again if that is negative. UNKNOWN, DEADLINE_EXCEEDED,
// UNIMPLEMENTED, INTERNAL, DATA_LOSS and CANCELLED are failures too, but are not repeated: the call
// may have been executed. The other codes are proper answers. A policy with hedging sends a second
// call along with a slow one, for the methods of [WithSafe] only.
//
// All errors are status errors. A call refused by the breaker is UNAVAILABLE, and errors.Is(err,
// [resilience.ErrOpen]) holds; one refused by a limit is RESOURCE_EXHAUSTED, one that exceeded the
// policy's timeout DEADLINE_EXCEEDED.
//
// Every try has a client span and carries its trace context in the metadata. Any code but OK makes
// it an error. Options of the call that are told of its end, as [grpc.OnFinish], are told of each
// try.
func UnaryClientInterceptor(c *seatrial.Client, dependency string, options ...Option) grpc.UnaryClientInterceptor {
	s := newService(c, dependency, options)
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		x := &exchange{service: s, method: method, request: req, reply: reply, conn: conn, invoke: invoke, options: opts}
		return x.make(ctx)
	}
}

// service is a dependency with what all calls to it have in common.
type service struct {
	config     config
	tracer     trace.Tracer
	dependency *seatrial.Dependency
	point      *fault.Point
}

func newService(c *seatrial.Client, dependency string, options []Option) *service {
	d := c.Dependency(dependency)
	cfg := collect(options)
	return &service{config: cfg, tracer: cfg.tracer(), dependency: d, point: d.Point()}
}

// exchange is one unary call of the caller with all its tries.
type exchange struct {
	*service
	method         string
	request, reply any
	conn           *grpc.ClientConn
	invoke         grpc.UnaryInvoker
	options        []grpc.CallOption
	tries          atomic.Int32
	rivals         bool // tries may overlap: each has a reply of its own
}

// make makes the call under the policy.
func (x *exchange) make(ctx context.Context) error {
	message, ok := x.reply.(proto.Message)
	x.rivals = ok && x.config.safe(x.method)
	got, err := seatrial.Run(ctx, x.dependency, resilience.Call[*answer]{Do: x.try, Hedge: x.rivals})
	hop.Note(ctx, err)
	if got == nil {
		return withStatus(err)
	}
	if _, again := pushback(got.trailer); !again && err != nil {
		hop.GiveUp(ctx) // further inside
	}
	if x.rivals {
		got.deliver(message)
	}
	if err != nil && err == got.judged {
		return got.last
	}
	return withStatus(err)
}

// answer is what came of one try.
type answer struct {
	reply        any
	options      []grpc.CallOption
	handover     func() // gives the caller what his options wanted
	trailer      metadata.MD
	last, judged error // as it came, and as the policy saw it
}

// answer gives room for what comes of a try: that of the caller, unless tries may overlap.
func (x *exchange) answer() *answer {
	a := &answer{reply: x.reply, options: x.options, handover: func() {}}
	if x.rivals {
		a.reply = x.reply.(proto.Message).ProtoReflect().New().Interface()
		a.options, a.handover = apart(x.options)
	}
	a.options = append(a.options[:len(a.options):len(a.options)], grpc.Trailer(&a.trailer))
	return a
}

// deliver gives the caller the reply of a try that had one of its own.
func (a *answer) deliver(reply proto.Message) {
	a.handover()
	if a.last == nil {
		proto.Reset(reply)
		proto.Merge(reply, a.reply.(proto.Message))
	}
}

// try is one try: what the policy sees, past the point of faults.
func (x *exchange) try(ctx context.Context) (*answer, error) {
	a := x.answer()
	ctx, span := x.start(ctx, x.method, addressOf(x.conn), int(x.tries.Add(1))-1)
	defer span.End()
	a.last = withStatus(x.strike(ctx, a))
	describe(span, status.Convert(a.last))
	wait, again := pushback(a.trailer)
	a.judged = x.config.judge(a.last, again && !x.config.once(x.method), wait)
	return a, a.judged
}

// strike makes the call, or does to it what a fault asks for.
func (x *exchange) strike(ctx context.Context, a *answer) error {
	strike := x.point.Begin(ctx, fault.Call{Operation: x.method, Messages: true})
	if strike == nil {
		return x.send(ctx, a)
	}
	defer strike.End()
	flow := messages.Flow{Strike: strike}
	inner, err := strike.Before(ctx)
	if err == nil {
		err = flow.Pass(ctx, sizeOf(x.request))
	}
	if err != nil {
		return err
	}
	if err = x.send(inner, a); err == nil {
		err = flow.Pass(ctx, sizeOf(a.reply))
	}
	if err = strike.After(inner, err); err != nil {
		forget(a.reply)
	}
	return err
}

// send is the call itself.
func (x *exchange) send(ctx context.Context, a *answer) error {
	err := x.invoke(x.outgoing(ctx, hop.Attempt(ctx)), x.method, x.request, a.reply, x.conn, a.options...)
	noteMarks(ctx, a.trailer, err)
	return err
}

// forget makes a message what it was before a reply that is lost came.
func forget(message any) {
	if m, ok := message.(proto.Message); ok {
		proto.Reset(m)
	}
}

// sizeOf gives what a message takes on the wire, with its prefix of five bytes.
func sizeOf(message any) int {
	if m, ok := message.(proto.Message); ok {
		return proto.Size(m) + 5
	}
	return 5
}

func addressOf(conn *grpc.ClientConn) string {
	if conn == nil {
		return ""
	}
	return endpoint(conn.Target())
}

// apart gives options that write into places of their own, and what copies these to where the
// caller wanted them: tries that overlap must not write to the same place.
func apart(options []grpc.CallOption) (own []grpc.CallOption, handover func()) {
	var copies []func()
	for _, o := range options {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			header := new(metadata.MD)
			own = append(own, grpc.Header(header))
			copies = append(copies, func() { *o.HeaderAddr = *header })
		case grpc.TrailerCallOption:
			trailer := new(metadata.MD)
			own = append(own, grpc.Trailer(trailer))
			copies = append(copies, func() { *o.TrailerAddr = *trailer })
		case grpc.PeerCallOption:
			other := *o.PeerAddr
			own = append(own, grpc.Peer(&other))
			copies = append(copies, func() { *o.PeerAddr = other })
		default:
			own = append(own, o)
		}
	}
	return own, func() {
		for _, f := range copies {
			f()
		}
	}
}
