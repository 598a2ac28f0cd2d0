package control

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Builders of errors: each names the subject and the remedy.

func notFound(e entity) error {
	return &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no %s", e)}
}

func precondition(format string, args ...any) error {
	return &Error{Code: CodePrecondition, Message: fmt.Sprintf(format, args...)}
}

func internalError(format string, args ...any) error {
	return &Error{Code: CodeInternal, Message: fmt.Sprintf(format, args...)}
}

func invalid(pointer, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return &Error{Code: CodeInvalid, Message: message, Fields: []FieldError{{Pointer: pointer, Detail: message}}}
}

// asInvalid turns what a validation of the core found into an Error with all its places. Nil
// stays nil.
func asInvalid(err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Code: CodeInvalid, Message: err.Error(), Err: err}
	var problems *flag.Problems
	if errors.As(err, &problems) {
		for _, p := range problems.List {
			e.Fields = append(e.Fields, FieldError{Pointer: p.Pointer, Detail: p.Detail})
		}
	}
	return e
}

// match checks the condition on an entity whose newest revision is given (0: there is none).
func (m IfMatch) match(e entity, revision int64) error {
	switch {
	case m == MatchAbsent && revision > 0:
		return &Error{Code: CodeExists, Message: fmt.Sprintf("there is a %s already (revision %d): change that one, or use another key", e, revision)}
	case m == MatchExists && revision == 0:
		return notFound(e)
	case m < MatchAbsent:
		return invalid("", "write: condition %d is none", m)
	case m > 0 && revision == 0:
		return &Error{Code: CodeConflict, Message: fmt.Sprintf("%s was at revision %d and has been deleted since", e, m)}
	case m > 0 && int64(m) != revision:
		return &Error{Code: CodeConflict, Message: fmt.Sprintf("%s is at revision %d, not %d: read it again and decide anew", e, revision, m)}
	}
	return nil
}

// shorten cuts text to at most limit bytes, not inside a character.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}
