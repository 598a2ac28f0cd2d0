package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrInjected is in the tree of every error that a fault caused.
var ErrInjected = errors.New("injected fault")

// Injection tells what was done to a call, and on whose behalf.
type Injection struct {
	Experiment string // as given by the Source
	Variant    string // as given by the Source
	Point      string
	Kind       Kind
	Phase      Phase
	// Status and Code are what an adapter should answer with: 400 to 599, and the name of a gRPC
	// code. Set for KindError only.
	Status int
	Code   string
	// Message is the program's own text; may be empty.
	Message string
	// Delay is the length of a KindLatency, or the time until a KindCancel.
	Delay          time.Duration
	BytesPerSecond int     // of KindBandwidth
	AfterBytes     int     // of KindTruncate
	Share          float64 // of KindCorrupt: 0 to 1
}

// Error is the error of a call that a fault made fail, and the value of an injected panic.
// errors.Is(err, [ErrInjected]) holds, for a cancellation errors.Is(err, context.Canceled) as well,
// and for a reset or a lost reply errors.Is(err, syscall.ECONNRESET). It is a net.Error, as what it
// stands for would be.
type Error struct {
	Injection
	// Err is what the call itself returned, why a latency was cut short, or the error of the
	// standard library that a real failure of that kind gives; nil where there is none.
	Err error
}

// Error names the kind, the point and the experiment.
func (e *Error) Error() string {
	text := fmt.Sprintf("fault: injected %s at point %q by experiment %q", e.Kind, e.Point, e.Experiment)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Is makes errors.Is hold for ErrInjected, and for context.Canceled if the fault was a cancellation.
func (e *Error) Is(target error) bool {
	return target == ErrInjected || target == context.Canceled && e.Kind == KindCancel
}

// Unwrap gives Err.
func (e *Error) Unwrap() error { return e.Err }

// Timeout tells whether the call ran out of time.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary is always true: faults pass. It keeps servers from giving up a listener.
func (e *Error) Temporary() bool { return true }

// Retryable tells a retry whether the same call would be worth repeating had this been real: not
// after an answer in the 400s other than 429 or 499. A cancellation came from below the caller, as
// when a proxy gives up: it is worth repeating. Whether repeating it is safe after a lost reply is
// for who knows the call.
func (e *Error) Retryable() bool {
	return e.Kind != KindError || e.Status >= 499 || e.Status == 429
}

// From tells whether err, or anything it wraps, was caused by a fault, and by which.
func From(err error) (Injection, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Injection, true
	}
	return Injection{}, false
}
