package seatrialhttp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// FaultHeader marks an answer that no dependency gave, but an injected fault. Its value is the name
// of the experiment.
const FaultHeader = "Seatrial-Fault"

// exchange is one request of the caller with all its tries, of which several may be under way.
type exchange struct {
	transport  *transport
	caller     context.Context      // of the request: answers outlive tries, but not this
	attributes []attribute.KeyValue // of every try's span
	name       string               // likewise
	method     string
	path       string
	repeatable bool
	hedged     bool // tries may overlap, and outlive the call
	outer      int  // number of the attempt that the request itself belongs to; 0: none, or not known

	mu      sync.Mutex
	request *http.Request // not to be touched once over
	payload payload
	flying  int  // tries under way
	rivals  bool // there were several at once
	over    bool // the caller has what he gets, and his request back
}

// errOver ends a rival that starts too late.
var errOver = errors.New("seatrialhttp: the request is over")

// try makes the request once, in a span of its own.
func (x *exchange) try(ctx context.Context) (a *answered, err error) {
	x.enter()
	defer x.leave()
	attrs := x.attributes
	if n := resilience.Attempt(ctx); n > 1 {
		attrs = append(slices.Clip(attrs), attrResend.Int(n-1))
	}
	ctx, span := x.transport.tracer.Start(ctx, x.name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	defer func() {
		if !a.holds(span) {
			span.End()
		}
	}()
	a, err = x.struck(ctx)
	describe(span, a, err)
	if err != nil && !x.mayRepeat(err) {
		err = resilience.AsPermanent(err)
	}
	return a, err
}

func (x *exchange) enter() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.flying++
	x.rivals = x.rivals || x.flying > 1
}

func (x *exchange) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.flying--
}

// discard drops an answer that the caller does not get: that of a rival in the background, as its
// winner need not wait; else at once, so that the next try can have its connection.
func (x *exchange) discard(a *answered) {
	x.mu.Lock()
	rivals := x.rivals
	x.mu.Unlock()
	if a != nil && rivals {
		go a.drop()
		return
	}
	a.drop()
}

// struck makes the request subject to the faults of the dependency.
func (x *exchange) struck(ctx context.Context) (a *answered, err error) {
	strike := x.transport.dependency.Point().Begin(ctx, fault.Call{Operation: x.path, Bytes: true})
	if strike == nil {
		return x.send(ctx, nil)
	}
	kept := false
	defer func() {
		if !kept { // also when the base panics
			strike.End()
		}
	}()
	if strike.Injection().Kind != fault.KindCancel { // which is for the context of the answer
		if _, err := strike.Before(ctx); err != nil {
			return x.injected(err)
		}
	}
	a, err = x.send(ctx, strike)
	if err = strike.After(ctx, err); isInjected(err) {
		a.drop()
		return x.injected(err)
	}
	if a != nil {
		kept = a.spoil(strike)
	}
	return a, err
}

// isInjected tells whether a point made err; one that is further inside is another's.
func isInjected(err error) bool {
	_, made := err.(*fault.Error)
	return made
}

// injected turns an injected error into an answer of the dependency, as real ones fail by answering;
// other faults are errors.
func (x *exchange) injected(err error) (*answered, error) {
	by, made := err.(*fault.Error)
	if !made || by.Kind != fault.KindError {
		return nil, err
	}
	a := synthetic(x.method, by)
	if err := failure(a.response); err != nil {
		err.(*StatusError).cause = by
		return a, err
	}
	return a, nil
}

// send is the call itself: one request over the wire. A strike is one that may cancel it.
func (x *exchange) send(ctx context.Context, strike *fault.Strike) (a *answered, err error) {
	lasting, cancel := context.WithCancelCause(lasting{x.caller, ctx})
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer func() {
		if a == nil { // also when the base panics
			stop()
			cancel(nil)
		}
	}()
	if strike.Injection().Kind == fault.KindCancel {
		lasting, _ = strike.Before(lasting) // only arms it
	}
	r, err := x.prepare(lasting)
	if err != nil {
		return nil, err
	}
	x.transport.config.travel().Inject(x.transport.dependency.Carry(ctx), propagation.HeaderCarrier(r.Header))
	tell(ctx, x.outer, r.Header)
	answer, err := x.transport.config.base.RoundTrip(r)
	noteMarks(ctx, answer, err)
	if err != nil {
		return nil, because(lasting, err)
	}
	got := receive(lasting, answer, cancel)
	if !stop() { // given up while the answer came
		cancel(nil)
		got.drop() // its context is over: it ends at once
		return nil, context.Cause(ctx)
	}
	return got, failure(answer)
}

// noteMarks hands on what the answer tells of experiments, or that nobody knows.
func noteMarks(ctx context.Context, answer *http.Response, err error) {
	switch {
	case err != nil:
		if !unsent(err) {
			seatrial.NoteUnanswered(ctx)
		}
	case answer.Header.Get(seatrial.MarksHeader) != "":
		seatrial.NoteMarks(ctx, answer.Header.Get(seatrial.MarksHeader))
	case answer.StatusCode >= http.StatusInternalServerError:
		seatrial.NoteUnanswered(ctx)
	}
}

// prepare gives the request of a try. It is the only reader of the caller's.
func (x *exchange) prepare(ctx context.Context) (r *http.Request, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return nil, errOver
	}
	body, err := x.payload.next()
	if err != nil {
		return nil, err
	}
	if x.hedged {
		r = x.request.Clone(ctx) // all of it: the try may outlive the call
	} else {
		r = x.request.WithContext(ctx)
		r.Header = x.request.Header.Clone()
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Body, r.GetBody = body, x.payload.others
	return r, nil
}

// lasting is the context of one try's answer, which outlives the try: it has the values and the
// deadline of the try, but ends with the caller's context only.
type lasting struct {
	context.Context
	try context.Context
}

func (l lasting) Value(key any) any           { return l.try.Value(key) }
func (l lasting) Deadline() (time.Time, bool) { return l.try.Deadline() }

func (x *exchange) mayRepeat(err error) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.payload.again() && (x.repeatable || unsent(err))
}

// finish ends the exchange.
func (x *exchange) finish() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	x.payload.close()
}
