package control

import "errors"

// Code classifies an error once, for every surface: HTTP maps it to a status, the CLI to an
// exit code.
type Code string

// The codes.
const (
	CodeInvalid         Code = "invalid"
	CodeNotFound        Code = "not_found"
	CodeExists          Code = "already_exists"
	CodeConflict        Code = "conflict"            // the state moved on; read again
	CodePrecondition    Code = "failed_precondition" // not now: e.g. a trial already runs on the flag
	CodeUnauthenticated Code = "unauthenticated"
	CodePermission      Code = "permission_denied"
	CodeUnavailable     Code = "unavailable"
	CodeTooLarge        Code = "too_large"
	CodeInternal        Code = "internal"
)

// Error is an error with a code, a message that names subject and remedy, and optionally the
// places in the input that it is about.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError
	Err     error
}

// FieldError points at one place of the input by JSON pointer (RFC 6901).
type FieldError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

// CodeOf gives the code of err, CodeInternal for errors that carry none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Errors that stores return.
var (
	ErrConflict            = &Error{Code: CodeConflict, Message: "the log has moved on: read the newest revision and try again"}
	ErrIdempotencyMismatch = &Error{Code: CodeConflict, Message: "this idempotency key was used for a different change: use a new key"}
	ErrNotFound            = &Error{Code: CodeNotFound, Message: "not found"}
	ErrClosed              = &Error{Code: CodeUnavailable, Message: "the store is closed"}
)
