package cli

import (
	"context"
	"errors"
	"net/http"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// The exit codes, a contract.
const (
	exitDone        = 0   // done, promoted, survived
	exitError       = 1   // anything else
	exitUsage       = 2   // the command line is wrong
	exitStopped     = 3   // rolled back, aborted, weakness found, harmful
	exitAuth        = 4   // no token, a wrong one, or one that may not
	exitTimeout     = 5   // still running, or undecided
	exitConflict    = 6   // somebody else was faster, or it exists already
	exitInterrupted = 130 // by a signal
)

// exit is an error with an exit code. Without err nothing more is said.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usage is an error about the command line itself.
func usage(err error) error { return &exit{code: exitUsage, err: err} }

// exitCode maps err to the code of the process.
func exitCode(err error) int {
	var (
		e       *exit
		problem *api.Problem
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &problem):
		return exitCodeOf(problem.Status)
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	default:
		return exitError
	}
}

func exitCodeOf(status int) int {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitAuth
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired:
		return exitConflict
	default:
		return exitError
	}
}

// exitOfResult is the exit of a command that waited for a trial: nil if it ended as hoped.
func exitOfResult(r trial.Result) error {
	switch r {
	case trial.ResultPromoted, trial.ResultSurvived, trial.ResultQuiet, "":
		return nil
	case trial.ResultInconclusive:
		return &exit{code: exitError}
	default:
		return &exit{code: exitStopped}
	}
}
