package resilience

import (
	"context"
	"errors"
)

// Class says what the outcome of one attempt means for the retry and for the breaker.
type Class uint8

const (
	// Success: the dependency works. Also for errors that are a proper answer, such as "not found".
	Success Class = iota
	// Transient: a failure; another attempt may succeed.
	Transient
	// Permanent: a failure that another attempt would only repeat.
	Permanent
	// Neutral: says nothing about the dependency, as when the caller went away. Not repeated.
	Neutral
)

// String gives the class in lower case.
func (c Class) String() string {
	switch c {
	case Success:
		return "success"
	case Transient:
		return "transient"
	case Permanent:
		return "permanent"
	default:
		return "neutral"
	}
}

// Classify is the classification used unless [WithClassifier] gives another:
//
//   - nil is a Success, and so is what [Answer] marked;
//   - an error in whose tree something has the method Retryable() bool is Transient if that gives
//     true, else Permanent; so are those marked by [AsPermanent] and [RetryError];
//   - [OpenError], [FullError] and [LimitedError] are Neutral: nothing was called;
//   - context.Canceled is Permanent: somebody gave the attempt up on purpose;
//   - every other error is Transient, context.DeadlineExceeded included: it is a timeout below us.
//
// It is only asked while the caller's context lives; after that every error is Neutral.
func Classify(err error) Class {
	if err == nil {
		return Success
	}
	var self interface{ Retryable() bool }
	if !errors.As(err, &self) {
		if errors.Is(err, context.Canceled) {
			return Permanent
		}
		return Transient
	}
	switch mark := self.(type) {
	case *OpenError, *FullError, *LimitedError:
		return Neutral
	case *marked:
		return mark.class
	}
	if self.Retryable() {
		return Transient
	}
	return Permanent
}

// AsPermanent marks err as a failure that no retry would mend. It gives nil for nil; errors.Is and
// errors.As see through it, and so does its message.
func AsPermanent(err error) error { return mark(err, Permanent) }

// Answer marks err as a proper answer of a healthy dependency (card declined, not found): it is
// not repeated and no failure for the breaker. It gives nil for nil.
func Answer(err error) error { return mark(err, Success) }

type marked struct {
	error
	class Class
}

func mark(err error, class Class) error {
	if err == nil {
		return nil
	}
	return &marked{err, class}
}

func (m *marked) Unwrap() error   { return m.error }
func (m *marked) Retryable() bool { return false }
