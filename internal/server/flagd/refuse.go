package flagd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"connectrpc.com/connect"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
)

// statuses are the status codes of the use cases' errors.
var statuses = map[control.Code]connect.Code{
	control.CodeInvalid: connect.CodeInvalidArgument, control.CodeNotFound: connect.CodeNotFound,
	control.CodeExists: connect.CodeAlreadyExists, control.CodeConflict: connect.CodeAborted,
	control.CodePrecondition: connect.CodeFailedPrecondition, control.CodeUnauthenticated: connect.CodeUnauthenticated,
	control.CodePermission: connect.CodePermissionDenied, control.CodeUnavailable: connect.CodeUnavailable,
	control.CodeTooLarge: connect.CodeResourceExhausted,
}

// refusal gives the status of an error. Of errors without a code the client is told nothing: they
// are logged.
func (s *Server) refusal(err error) *connect.Error {
	var done *connect.Error
	if errors.As(err, &done) {
		return done
	}
	var many *auth.TooMany
	if errors.As(err, &many) {
		refused := connect.NewError(connect.CodeResourceExhausted, err)
		refused.Meta().Set("Retry-After", strconv.Itoa(int(math.Ceil(many.RetryAfter.Seconds()))))
		return refused
	}
	if code, known := statuses[control.CodeOf(err)]; known {
		return connect.NewError(code, err)
	}
	s.cfg.Logger.Error("flagd: a request failed", "error", err)
	return connect.NewError(connect.CodeInternal, errors.New("internal error: the server's log says more"))
}

// failures are the status codes of evaluations that fail, as flagd gives them and stock clients
// turn them back. Everything else is UNKNOWN, which they turn into GENERAL.
var failures = map[eval.ErrorCode]connect.Code{
	eval.ErrorFlagNotFound:     connect.CodeNotFound,
	eval.ErrorTypeMismatch:     connect.CodeInvalidArgument,
	eval.ErrorParse:            connect.CodeDataLoss,
	eval.ErrorProviderNotReady: connect.CodeUnavailable,
}

func failed(key string, code eval.ErrorCode) *connect.Error {
	status, known := failures[code]
	if !known {
		status = connect.CodeUnknown
	}
	return connect.NewError(status, fmt.Errorf("flag %q: the evaluation failed with %s: look at the flag's definition", key, code))
}

func notFound(key, environment string) *connect.Error {
	return connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no flag %q in environment %q: check the key and the environment", key, environment))
}

// Why a stream ends.
var (
	errStopping = connect.NewError(connect.CodeUnavailable, errors.New("the server is stopping: connect again"))
	errReplaced = connect.NewError(connect.CodeUnavailable, errors.New("the environment was replaced: connect again"))
	errDue      = errors.New("flagd: time to look after the stream")
)

// gone gives the status of a stream whose context has ended.
func gone(ctx context.Context) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, cause)
	case errors.Is(cause, context.Canceled):
		return connect.NewError(connect.CodeCanceled, cause)
	}
	return cause
}
