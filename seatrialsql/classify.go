package seatrialsql

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/seatrial/seatrial/resilience"
)

// Classify is what errors of drivers mean to a policy unless [WithClassifier] says otherwise:
//
//   - [driver.ErrBadConn], a connection that breaks or cannot be made, and a timeout are Transient;
//   - so are, with an SQLSTATE, those of class 08 (connection), 53 (not enough resources) and 57
//     (shut down, cancelled by the server's own timeout); classes 58 and XX, where the server is
//     broken, are Permanent;
//   - an error that knows itself, with a method Retryable() bool, and one of a nested policy, is
//     what [resilience.Classify] says;
//   - every other error is an answer of a healthy database, hence a Success: bad syntax, a
//     constraint that is violated, a serialization failure (class 40), for which not the statement
//     must be repeated but the transaction.
//
// The SQLSTATE is that of a method SQLState() string, which drivers for PostgreSQL have.
func Classify(err error) resilience.Class {
	var known interface{ Retryable() bool }
	switch {
	case err == nil, errors.Is(err, driver.ErrSkip):
		return resilience.Success
	case errors.As(err, &known):
		return resilience.Classify(err)
	case broken(err):
		return resilience.Transient
	case errors.Is(err, context.Canceled):
		return resilience.Permanent
	default:
		return classOf(stateOf(err))
	}
}

// broken tells whether err is that of a connection, or of a wait.
func broken(err error) bool {
	var wire net.Error
	for _, sign := range []error{driver.ErrBadConn, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNREFUSED} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return errors.As(err, &wire)
}

// classOf reads an SQLSTATE (ISO/IEC 9075-2; classes 53, 57, 58 and XX as PostgreSQL has them).
func classOf(state string) resilience.Class {
	if len(state) != 5 {
		return resilience.Success
	}
	switch state[:2] {
	case "08", "53", "57":
		return resilience.Transient
	case "58", "XX":
		return resilience.Permanent
	default:
		return resilience.Success
	}
}

func stateOf(err error) string {
	var known interface{ SQLState() string }
	if errors.As(err, &known) {
		return known.SQLState()
	}
	return ""
}
