package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
)

// Codes that only HTTP has.
const (
	codeMethod       control.Code = "method_not_allowed"
	codePrecondition control.Code = "precondition_required" // no If-Match
	codeStale        control.Code = "stale"                 // If-Match does not match
	codeMediaType    control.Code = "unsupported_media_type"
	codeRateLimited  control.Code = "rate_limited"
	codeHost         control.Code = "misdirected_request"
)

// problemTypes is where the types of problems are explained; the code follows.
const problemTypes = "https://github.com/seatrial/seatrial/blob/main/api/problems.md#"

// kind is what all problems with one code share.
type kind struct {
	status int
	title  string
}

// kinds is the one place where a code becomes a status.
var kinds = map[control.Code]kind{
	control.CodeInvalid:         {http.StatusBadRequest, "The request is not valid"},
	control.CodeNotFound:        {http.StatusNotFound, "Not found"},
	control.CodeExists:          {http.StatusConflict, "It exists already"},
	control.CodeConflict:        {http.StatusConflict, "Somebody else was faster"},
	control.CodePrecondition:    {http.StatusConflict, "Not possible in the present state"},
	control.CodeUnauthenticated: {http.StatusUnauthorized, "Not signed in"},
	control.CodePermission:      {http.StatusForbidden, "Not allowed"},
	control.CodeUnavailable:     {http.StatusServiceUnavailable, "Not available now"},
	control.CodeTooLarge:        {http.StatusRequestEntityTooLarge, "Too large"},
	control.CodeInternal:        {http.StatusInternalServerError, "The server made a mistake"},
	codeMethod:                  {http.StatusMethodNotAllowed, "The path has no such method"},
	codePrecondition:            {http.StatusPreconditionRequired, "A condition is required"},
	codeStale:                   {http.StatusPreconditionFailed, "It was changed meanwhile"},
	codeMediaType:               {http.StatusUnsupportedMediaType, "The media type is not understood"},
	codeRateLimited:             {http.StatusTooManyRequests, "Too many attempts"},
	codeHost:                    {http.StatusMisdirectedRequest, "The server does not answer to this name"},
}

// Problem is an RFC 9457 document.
type Problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail"`
	Code   control.Code `json:"code"`
	// Errors are the places of the request's body that are wrong.
	Errors    []control.FieldError `json:"errors,omitempty"`
	RequestID string               `json:"requestId"`
}

// problemOf is the one function that turns an error into an answer.
func problemOf(err error, r *http.Request, id string) Problem {
	code := codeOf(err, r)
	k := kinds[code]
	p := Problem{Type: problemTypes + string(code), Title: k.title, Status: k.status, Detail: err.Error(), Code: code, RequestID: id}
	var coded *control.Error
	if errors.As(err, &coded) {
		p.Errors = coded.Fields
	}
	if code == control.CodeInternal {
		p.Detail, p.Errors = "nothing is wrong with the request; the server's log tells more under this request id", nil
	}
	return p
}

func codeOf(err error, r *http.Request) control.Code {
	var many *auth.TooMany
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &many):
		return codeRateLimited
	case errors.As(err, &long):
		return control.CodeTooLarge
	case errors.Is(err, auth.ErrHost):
		return codeHost
	case errors.Is(err, context.DeadlineExceeded) && control.CodeOf(err) == control.CodeInternal:
		return control.CodeUnavailable
	}
	code := control.CodeOf(err)
	// A condition of the client that does not hold is told apart from other conflicts
	// (RFC 9110, section 13.1).
	lost := code == control.CodeConflict && !errors.Is(err, control.ErrIdempotencyMismatch)
	if isWrite(r) && (lost && r.Header.Get("If-Match") != "" || code == control.CodeExists && r.Header.Get("If-None-Match") != "") {
		return codeStale
	}
	if _, known := kinds[code]; !known {
		return control.CodeInternal
	}
	return code
}

func isWrite(r *http.Request) bool {
	return r.Method == http.MethodPut || r.Method == http.MethodDelete || r.Method == http.MethodPost
}

func (p Problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers only: cannot happen
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client is gone if that fails
}

func notFound(format string, args ...any) error {
	return &control.Error{Code: control.CodeNotFound, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &control.Error{Code: control.CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

// invalidAt is about one place of the body.
func invalidAt(pointer, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return &control.Error{Code: control.CodeInvalid, Message: pointer + ": " + detail,
		Fields: []control.FieldError{{Pointer: pointer, Detail: detail}}}
}

// invalidBody turns the problems of a document into an error with their places.
func invalidBody(err error) error {
	var problems *flag.Problems
	if !errors.As(err, &problems) {
		return &control.Error{Code: control.CodeInvalid, Message: err.Error(), Err: err}
	}
	e := &control.Error{Code: control.CodeInvalid, Message: err.Error(), Err: err}
	for _, one := range problems.List {
		e.Fields = append(e.Fields, control.FieldError{Pointer: one.Pointer, Detail: one.Detail})
	}
	return e
}

func unavailable(format string, args ...any) error {
	return &control.Error{Code: control.CodeUnavailable, Message: fmt.Sprintf(format, args...)}
}
