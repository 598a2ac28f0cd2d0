package seatrialhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// StatusError is an answer that counts as a failure; see [NewTransport]. It is what a fallback is
// told of ([WithFallback]); the caller of RoundTrip gets the answer itself.
type StatusError struct {
	StatusCode int // 429, or 500 and above

	wait  time.Duration // that the dependency asks for; 0: none
	final bool          // the dependency says that a repetition is in vain
	cause error         // the injected fault, if one made it
}

// failure gives a *StatusError if the answer is one, else nil.
func failure(answer *http.Response) error {
	if answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
		return nil
	}
	wait, asked := retryAfter(answer.Header, time.Now())
	if answer.StatusCode == http.StatusTooManyRequests && !asked {
		return nil
	}
	return &StatusError{StatusCode: answer.StatusCode, wait: wait, final: answer.Header.Get(RetryHeader) == retryNo}
}

// Error gives status and text.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the dependency answered %d %s", e.StatusCode, http.StatusText(e.StatusCode))
}

// Is makes errors.Is(err, [resilience.ErrExhausted]) hold for an answer with a [RetryHeader]: the
// dependency has repeated in vain itself.
func (e *StatusError) Is(target error) bool { return e.final && target == resilience.ErrExhausted }

// Unwrap gives the [fault.Error] if the answer was injected, else nil.
func (e *StatusError) Unwrap() error { return e.cause }

// RetryAfter gives how long the dependency asks to be left alone; 0 if it does not.
func (e *StatusError) RetryAfter() time.Duration { return e.wait }

// Retryable tells whether the failure may pass: not after 501 and 505, nor with a [RetryHeader].
func (e *StatusError) Retryable() bool {
	return !e.final && e.StatusCode != http.StatusNotImplemented && e.StatusCode != http.StatusHTTPVersionNotSupported
}

// Overloaded tells whether the dependency has too much to do: 429 or 503. It makes an adaptive limit
// smaller, see [resilience.AdaptivePolicy].
func (e *StatusError) Overloaded() bool {
	return e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusServiceUnavailable
}

// retryAfter reads the header of that name (RFC 9110, section 10.2.3). A date is compared with that
// of the answer if there is one, so that clocks need not agree.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, asked bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
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

// unsent tells whether err shows that the dependency cannot have seen the request.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// because gives the cause where err only says that ctx was cancelled, as HTTP/2 does; ctx may be nil.
func because(ctx context.Context, err error) error {
	if err != context.Canceled || ctx == nil || ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

// kindOf gives a short name of an error, of which there are few.
func kindOf(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, fault.ErrInjected):
		return "injected"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &dns):
		return "name_resolution"
	case unsent(err):
		return "connection"
	default:
		return fmt.Sprintf("%T", err)
	}
}

// describe completes the span of a try.
func describe(span trace.Span, a *answered, err error) {
	switch {
	case a != nil:
		status := a.response.StatusCode
		span.SetAttributes(attrStatus.Int(status))
		if status >= 400 {
			span.SetAttributes(attrErrorType.String(strconv.Itoa(status)))
			span.SetStatus(codes.Error, "")
		}
	case err != nil:
		span.SetAttributes(attrErrorType.String(kindOf(err)))
		span.SetStatus(codes.Error, err.Error())
	}
}
