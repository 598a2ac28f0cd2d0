package seatrialhttp

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/hop"
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
// after 501 and 505, nor after an answer with the header [RetryHeader], which a [NewHandler] gives
// that has repeated in vain itself. A Retry-After, in seconds or as a date, is waited for. After the
// last try the caller gets the last answer, as if there had been no retry; an error only where there
// is none: when the last try got no answer, the call was refused from the start
// ([resilience.ErrOpen], [resilience.ErrFull], [resilience.ErrLimited]), or the time was over. With
// [WithFallback] something else may answer.
//
// # What may be sent twice
//
// See [Repeatable] and [WithRepeatable]; and any request that surely was not sent, because no
// connection could be made. Its body is taken from GetBody; without that, up to 64 KiB are read and
// kept before the first try, and a longer body is sent once. What may be sent twice may also be
// sent to two at once, if the policy has rivals of slow tries (its part "hedge"): the first good
// answer counts, the others are given up. Before another try begins, what is left of the answer to
// the one before is read, 64 KiB and 100 ms at most, so that its connection can serve again; one
// with more to come is closed.
//
// # Time
//
// The timeouts of the policy bound reading the answer's body as well, as http.Client.Timeout does.
// Close the body, as always: until then the try's context lives. How much time is left goes along
// in the header [TimeoutHeader], and the number of a repetition in [AttemptHeader]; [NewHandler]
// heeds both.
//
// # Faults
//
// Each try passes the point of the dependency ([seatrial.Dependency.Point]); the path is the
// operation. An injected error is an answer with the fault's status and the header [FaultHeader],
// since real dependencies fail by answering. All else that makes a request fail is an error for
// which errors.Is(err, [fault.ErrInjected]) holds: a cancellation, of the request or later of the
// body, is context.Canceled as well, and a reset is syscall.ECONNRESET. For a lost reply the request
// is sent, and its answer read and thrown away. Truncation, corruption and bandwidth strike the body
// of the answer, whose head is as it was, Content-Length included; the body of an upgraded connection
// (101) is left alone. The span of the try that was hit has the attributes seatrial.fault.*.
//
// # Traces
//
// Every try has a client span, from the wait for an injected latency to the head of the answer (to
// the end of its body if a fault may strike there), and carries its trace context and baggage in the
// headers, with the decisions on faults of the unit of work ([seatrial.Dependency.Carry]). Answers of
// 400 and above make it an error.
func NewTransport(c *seatrial.Client, dependency string, options ...Option) http.RoundTripper {
	cfg := collect(options)
	return &transport{config: cfg, tracer: cfg.tracer(), dependency: called{c.Dependency(dependency), c == nil}}
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
	Point() *fault.Point
	Carry(ctx context.Context) context.Context
	run(ctx context.Context, c resilience.Call[*answered]) (*answered, error)
}

// called is a dependency of the client.
type called struct {
	*seatrial.Dependency
	bare bool // there is no client: no policy either
}

var _ dependency = called{}

func (d called) run(ctx context.Context, c resilience.Call[*answered]) (*answered, error) {
	if d.bare {
		return resilience.Run(ctx, nil, c) // one try, and the fallback
	}
	return seatrial.Run(ctx, d.Dependency, c)
}

// RoundTrip makes the request; see [NewTransport].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x := &exchange{transport: t, caller: r.Context(), request: r, method: r.Method, path: r.URL.Path, repeatable: t.config.repeatable(r)}
	defer x.finish() // also when the base panics
	if err := x.payload.take(r, x.repeatable); err != nil {
		return nil, err
	}
	x.attributes, x.name = clientAttributes(r, t.dependency.Name())
	x.outer = hop.Attempt(x.caller)
	x.hedged = x.repeatable && x.payload.copies()
	a, err := t.dependency.run(x.caller, resilience.Call[*answered]{
		Do: x.try, Discard: x.discard, Hedge: x.hedged, Fallback: x.fallback(),
	})
	if err != nil {
		hop.Note(x.caller, err)
	}
	if !a.counts(err) {
		a.drop()
		return nil, err
	}
	a.response.Request = r
	return a.response, nil
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (t *transport) CloseIdleConnections() {
	if base, ok := t.config.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// fallback gives what answers instead of the dependency; nil if nothing does.
func (x *exchange) fallback() func(context.Context, error) (*answered, error) {
	instead := x.transport.config.fallback
	if instead == nil {
		return nil
	}
	r := x.request
	return func(_ context.Context, failed error) (*answered, error) {
		response, err := instead(r, failed)
		switch {
		case err != nil:
			return nil, err
		case response == nil:
			return nil, fmt.Errorf("seatrialhttp: the fallback gave neither an answer nor an error: %w", failed)
		}
		return detached(response), nil
	}
}
