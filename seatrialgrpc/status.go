package seatrialgrpc

import (
	"errors"
	"os"
	"slices"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// statusError is an error that comes from this side of the wire, with a status.
type statusError struct {
	error
	status *status.Status
}

func (e *statusError) Unwrap() error              { return e.error }
func (e *statusError) GRPCStatus() *status.Status { return e.status }

// withStatus gives err as a status error, and as it is if it is one.
func withStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, is := err.(interface{ GRPCStatus() *status.Status }); is {
		return err
	}
	return &statusError{err, status.New(codeFor(err), err.Error())}
}

func codeFor(err error) codes.Code {
	switch e := err.(type) {
	case *fault.Error:
		return codeOfFault(e)
	case *resilience.OpenError:
		return codes.Unavailable
	case *resilience.FullError, *resilience.LimitedError:
		return codes.ResourceExhausted
	case *resilience.TimeoutError:
		return codes.DeadlineExceeded
	}
	if answer, ok := status.FromError(err); ok { // further inside
		return answer.Code()
	}
	return status.FromContextError(err).Code()
}

// codeOfFault gives the code that a real failure of the fault's kind has.
func codeOfFault(e *fault.Error) codes.Code {
	switch e.Kind {
	case fault.KindError:
		return codeOf(e.Code)
	case fault.KindCancel:
		return codes.Canceled
	case fault.KindReset, fault.KindLostReply, fault.KindTruncate:
		return codes.Unavailable
	}
	if errors.Is(e.Err, os.ErrDeadlineExceeded) {
		return codes.DeadlineExceeded
	}
	return status.FromContextError(e.Err).Code()
}

// judge marks the error of a try with what it means to the policy. Again is false if it must not
// be repeated, whatever its code.
func (c *config) judge(err error, again bool, wait time.Duration) error {
	if err == nil {
		return nil
	}
	code := status.Code(err)
	if code == codes.ResourceExhausted {
		err = &overload{err}
	}
	switch {
	case slices.Contains(c.retried, code) && again:
		return &passing{err, wait}
	case slices.Contains(c.retried, code), serversFault(code), code == codes.Canceled, code == codes.ResourceExhausted:
		return resilience.AsPermanent(err)
	default:
		return resilience.Answer(err)
	}
}

// overload is the answer of a server that has too much to do, or of a quota that is used up.
type overload struct{ error }

func (o *overload) Unwrap() error    { return o.error }
func (o *overload) Overloaded() bool { return true }

// passing is a failure that may pass.
type passing struct {
	error
	wait time.Duration // that the server asks for; 0: none
}

func (p *passing) Unwrap() error             { return p.error }
func (p *passing) Retryable() bool           { return true }
func (p *passing) RetryAfter() time.Duration { return p.wait }
