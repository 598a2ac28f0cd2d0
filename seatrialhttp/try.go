package seatrialhttp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/fault"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// FaultHeader marks an answer that no dependency gave, but an injected fault. Its value is the name
// of the experiment.
const FaultHeader = "Seatrial-Fault"

// send is the call itself: one request over the wire.
func (x *exchange) send(ctx context.Context) error {
	body, err := x.payload.next()
	if err != nil {
		return err
	}
	lasting, cancel := context.WithCancelCause(lasting{x.request.Context(), ctx})
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	r := x.request.WithContext(lasting)
	r.Body, r.GetBody = body, x.payload.others
	if r.Header = x.request.Header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	x.transport.config.travel().Inject(ctx, propagation.HeaderCarrier(r.Header))
	answer, err := x.transport.config.base.RoundTrip(r)
	if err != nil {
		cancel(nil)
		return err
	}
	if !stop() { // given up while the answer came
		cancel(nil)
		drain(answer.Body, func() {}) // its context is over: it ends at once
		return context.Cause(ctx)
	}
	x.keep(answer, lasting, cancel)
	return failure(answer)
}

// keep takes the answer of a try, whose context goes on until the body is closed or its time over.
func (x *exchange) keep(answer *http.Response, ctx context.Context, cancel context.CancelCauseFunc) {
	x.answer, x.ctx, x.cancel = answer, ctx, func() { cancel(nil) }
	if answer.Body == nil || answer.Body == http.NoBody { // nothing goes on
		answer.Body, x.ctx = http.NoBody, context.Background()
		cancel(nil)
		return
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		timer := time.AfterFunc(time.Until(deadline), func() { cancel(context.DeadlineExceeded) })
		x.cancel = func() { timer.Stop(); cancel(nil) }
	}
	answer.Body = held(answer.Body, x.cancel)
}

// lasting is the context of one try's answer, which outlives the try: it has the values and the
// deadline of the try, but ends with the caller's context only.
type lasting struct {
	context.Context
	try context.Context
}

func (l lasting) Value(key any) any           { return l.try.Value(key) }
func (l lasting) Deadline() (time.Time, bool) { return l.try.Deadline() }

// judge turns what came of a try into what the policy is to judge: an answer that the dependency
// should not have given is an error, and an injected error is an answer.
func (x *exchange) judge(err error) error {
	injected, ok := err.(*fault.Error) // as the point gives it; one further inside is another's
	if !ok || injected.Kind != fault.KindError {
		if _, answered := err.(*statusError); err != nil && !answered {
			x.drop() // the answer came, but its try was struck afterwards
		}
		return err
	}
	x.drop()
	x.answer, x.ctx, x.cancel = synthetic(x.request, injected), context.Background(), func() {}
	if err := failure(x.answer); err != nil {
		err.(*statusError).cause = injected
		return err
	}
	return nil
}

// synthetic is the answer of a fault.
func synthetic(r *http.Request, injected *fault.Error) *http.Response {
	text := injected.Message
	if text == "" {
		text = http.StatusText(injected.Status)
	}
	body := io.NopCloser(strings.NewReader(text + "\n"))
	if r.Method == http.MethodHead {
		body = http.NoBody
	}
	return &http.Response{
		Status:     strings.TrimSpace(strconv.Itoa(injected.Status) + " " + http.StatusText(injected.Status)),
		StatusCode: injected.Status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {"text/plain; charset=utf-8"},
			FaultHeader:    {injected.Experiment},
		},
		Body: body, ContentLength: int64(len(text) + 1), Request: r,
	}
}

// statusError is an answer that counts as a failure.
type statusError struct {
	status int
	wait   time.Duration // that the dependency asks for; 0: none
	cause  error         // the injected fault, if one made it
}

// failure gives a *statusError if the answer is one, else nil.
func failure(answer *http.Response) error {
	wait, asked := retryAfter(answer.Header, time.Now())
	if answer.StatusCode < 500 && !(answer.StatusCode == http.StatusTooManyRequests && asked) {
		return nil
	}
	return &statusError{status: answer.StatusCode, wait: wait}
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the dependency answered %d %s", e.status, http.StatusText(e.status))
}

func (e *statusError) Unwrap() error { return e.cause }

// RetryAfter is for the retry of package resilience, and so is Retryable.
func (e *statusError) RetryAfter() time.Duration { return e.wait }

func (e *statusError) Retryable() bool {
	return e.status != http.StatusNotImplemented && e.status != http.StatusHTTPVersionNotSupported
}

// retryAfter reads the header of that name (RFC 9110, section 10.2.3). A date is compared with that
// of the answer if there is one, so that clocks need not agree.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, asked bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	return max(0, at.Sub(now)), true
}

// describe completes the span of a try.
func describe(span trace.Span, answer *http.Response, err error) {
	switch {
	case answer != nil:
		span.SetAttributes(attrStatus.Int(answer.StatusCode))
		if answer.StatusCode >= 400 {
			span.SetAttributes(attrErrorType.String(strconv.Itoa(answer.StatusCode)))
			span.SetStatus(codes.Error, "")
		}
	case err != nil:
		span.SetAttributes(attrErrorType.String(kindOf(err)))
		span.SetStatus(codes.Error, err.Error())
	}
}
