package seatrialhttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/trace"
)

// NewTransport gives a RoundTripper for requests to the named dependency; see
// [seatrial.Client.Dependency] for where its policy and its faults come from. It takes the place of
// the client's Transport and makes the requests with that of [WithBase].
//
// # What is a failure
//
// An answer of 500 or above, one of 429 that has a Retry-After, and no answer at all. A failure is
// repeated if the policy has a retry, the request may be sent twice, and the failure may pass: not
// after 501 and 505. A Retry-After, in seconds or as a date, is waited for. After the last try the
// caller gets the last answer, as if there had been no retry; an error only where there is none:
// when the last try got no answer, the breaker was open from the start (errors.Is(err,
// [resilience.ErrOpen])), or the time was over.
//
// # What may be sent twice
//
// See [Repeatable] and [WithRepeatable]; and any request that surely was not sent, because no
// connection could be made. Its body is taken from GetBody; without that, up to 64 KiB are read and
// kept before the first try, and a longer body is sent once.
//
// # Time
//
// The timeouts of the policy bound reading the answer's body as well, as http.Client.Timeout does.
// Close the body, as always: until then the try's context lives.
//
// # Faults
//
// An injected error is an answer with the fault's status and the header [FaultHeader], since real
// dependencies fail by answering. An injected cancellation cancels the request, and is an error:
// errors.Is(err, [fault.ErrInjected]) and errors.Is(err, context.Canceled) hold. The span of the
// try that was hit has the attributes seatrial.fault.*.
//
// # Traces
//
// Every try has a client span, from the wait for an injected latency to the head of the answer,
// and carries its trace context in the headers. Answers of 400 and above make it an error.
func NewTransport(c *seatrial.Client, dependency string, options ...Option) http.RoundTripper {
	cfg := collect(options)
	return &transport{config: cfg, tracer: cfg.tracer(), dependency: c.Dependency(dependency)}
}

// idempotent are the methods that RFC 9110, section 9.2.2, says may be repeated.
var idempotent = []string{
	"", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete,
}

// Repeatable tells whether sending a request twice does no more than sending it once: its method is
// idempotent, or it has a header Idempotency-Key or X-Idempotency-Key.
func Repeatable(r *http.Request) bool {
	return slices.Contains(idempotent, r.Method) ||
		r.Header.Get("Idempotency-Key") != "" || r.Header.Get("X-Idempotency-Key") != ""
}

type transport struct {
	config     config
	tracer     trace.Tracer
	dependency dependency
}

// dependency is what a call goes through.
type dependency interface {
	Name() string
	DoEach(ctx context.Context, each func(context.Context, func(context.Context) error) error, call func(context.Context) error) error
}

var _ dependency = (*seatrial.Dependency)(nil)

// RoundTrip makes the request; see [NewTransport].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x := &exchange{transport: t, request: r, repeatable: t.config.repeatable(r)}
	defer x.payload.close()
	if err := x.payload.take(r, x.repeatable); err != nil {
		return nil, err
	}
	delivered := false
	defer func() {
		if !delivered { // also when the base panics
			x.drop()
		}
	}()
	err := t.dependency.DoEach(r.Context(), x.try, x.send)
	if !x.holds(err) {
		return nil, err
	}
	delivered = true
	x.answer.Request = r
	return x.answer, nil
}

// exchange is one request of the caller with all its tries.
type exchange struct {
	transport  *transport
	request    *http.Request
	repeatable bool
	payload    payload
	tries      int

	answer *http.Response  // of the last try; nil if it got none
	ctx    context.Context // that the answer's body lives by
	cancel func()          // ends ctx
}

// holds tells whether the caller gets the answer at hand, given how the call ended.
func (x *exchange) holds(err error) bool {
	return x.answer != nil && (err == nil || x.ctx.Err() == nil && errors.As(err, new(*statusError)))
}

// drop gives up the answer at hand, so that its connection can serve again.
func (x *exchange) drop() {
	if x.answer != nil {
		drain(x.answer.Body, x.cancel)
		x.answer = nil
	}
}

// try is one try: what the policy sees, around the point of faults.
func (x *exchange) try(ctx context.Context, attempt func(context.Context) error) (err error) {
	x.drop()
	attrs, name := clientAttributes(x.request, x.transport.dependency.Name())
	if x.tries > 0 {
		attrs = append(attrs, attrResend.Int(x.tries))
	}
	x.tries++
	ctx, span := x.transport.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	defer span.End()
	err = x.judge(attempt(ctx))
	describe(span, x.answer, err)
	if err != nil && !x.mayRepeat(err) {
		return resilience.AsPermanent(err)
	}
	return err
}

func (x *exchange) mayRepeat(err error) bool {
	return x.payload.again() && (x.repeatable || unsent(err))
}

// unsent tells whether err shows that the dependency cannot have seen the request.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
