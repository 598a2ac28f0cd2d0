package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors to look for with [errors.Is].
var (
	// ErrOpen is in every refusal by an open breaker; the call was not made. See [OpenError].
	ErrOpen = errors.New("circuit breaker is open")
	// ErrFull is in every refusal by a bulkhead or an adaptive limit. See [FullError].
	ErrFull = errors.New("too many calls at a time")
	// ErrLimited is in every refusal by a rate limit. See [LimitedError].
	ErrLimited = errors.New("rate limit reached")
	// ErrExhausted is in the error of a call that was retried and still failed. No outer retry
	// repeats it: otherwise nested layers would multiply the load on a failing dependency.
	ErrExhausted = errors.New("retries exhausted")
)

// OpenError is the refusal by an open breaker. errors.Is(err, ErrOpen) holds. One value is shared
// by all refusals of one open period, so that refusing costs no allocation.
type OpenError struct {
	Name    string // of the breaker
	breaker *Breaker
	phase   *phase
}

// Error names the breaker.
func (e *OpenError) Error() string {
	return fmt.Sprintf("resilience: %s: %v: the call was not made; retry in %s", e.Name, ErrOpen, e.RetryAfter().Round(time.Millisecond))
}

// Is makes errors.Is(err, ErrOpen) true.
func (e *OpenError) Is(target error) bool { return target == ErrOpen }

// Retryable is false: waiting is what the breaker is for.
func (e *OpenError) Retryable() bool { return false }

// RetryAfter gives how long from now the breaker will refuse calls at most, never negative.
func (e *OpenError) RetryAfter() time.Duration {
	since := max(0, now()-e.phase.since)
	return max(0, e.breaker.policy.Load().OpenFor-time.Duration(since))
}

// FullError is the refusal by a bulkhead or an adaptive limit: the attempt was not made, because
// too many were under way and the queue was full, or no place came free in time.
// errors.Is(err, ErrFull) holds. When a place will be free is not known, so there is no RetryAfter.
type FullError struct {
	Name string // of the dependency
}

// Error names the dependency.
func (e *FullError) Error() string {
	return fmt.Sprintf("resilience: %s: %v: the call was not made", e.Name, ErrFull)
}

// Is makes errors.Is(err, ErrFull) true.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// Retryable is false: another attempt would only lengthen the queue.
func (e *FullError) Retryable() bool { return false }

// LimitedError is the refusal by a rate limit: the attempt was not made. errors.Is(err, ErrLimited)
// holds.
type LimitedError struct {
	Name  string // of the dependency
	after time.Duration
}

// Error names the dependency.
func (e *LimitedError) Error() string {
	return fmt.Sprintf("resilience: %s: %v: the call was not made; retry in %s", e.Name, ErrLimited, e.RetryAfter().Round(time.Millisecond))
}

// Is makes errors.Is(err, ErrLimited) true.
func (e *LimitedError) Is(target error) bool { return target == ErrLimited }

// Retryable is false: more attempts are what the limit is against.
func (e *LimitedError) Retryable() bool { return false }

// RetryAfter gives how long it was until the limit would have let another attempt start.
func (e *LimitedError) RetryAfter() time.Duration { return e.after }

// refusal tells whether an attempt with this error was not made.
func refusal(err error) bool {
	return errors.Is(err, ErrOpen) || errors.Is(err, ErrFull) || errors.Is(err, ErrLimited)
}

// TimeoutError says that a timeout of the policy, not of the caller, ended an attempt or the
// whole call. errors.Is(err, context.DeadlineExceeded) holds.
type TimeoutError struct {
	Name   string        // of the dependency
	Limit  time.Duration // the timeout that was exceeded
	PerTry bool          // an attempt (TryTimeout) rather than the whole call (Timeout)
	Err    error         // what the last attempt returned, if anything
}

// Error names the dependency and the limit.
func (e *TimeoutError) Error() string {
	what := "the call took"
	if e.PerTry {
		what = "the attempt took"
	}
	text := fmt.Sprintf("resilience: %s: %s longer than its timeout of %s", e.Name, what, e.Limit)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Is makes errors.Is(err, context.DeadlineExceeded) true.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Unwrap gives what the last attempt returned.
func (e *TimeoutError) Unwrap() error { return e.Err }

// Timeout is true, as for every timeout error of the standard library.
func (e *TimeoutError) Timeout() bool { return true }

// Retryable tells that an attempt that was cut short may be repeated, unless the call marked its
// own error by [AsPermanent]: what is not safe to repeat is not so after a timeout either. A whole
// call is over.
func (e *TimeoutError) Retryable() bool {
	var own *marked
	return e.PerTry && !errors.As(e.Err, &own)
}

// RetryError is the error of a call that failed for good after more than one attempt, or after one
// when the budget allowed no other.
type RetryError struct {
	Name     string // of the dependency
	Attempts int    // that were made
	// Stopped tells why no further attempt was made: the end of the context, a refusal such as
	// [OpenError], the budget, a wait that would be too long. It is nil when MaxAttempts was reached, and when Err
	// is not worth repeating.
	Stopped error
	Err     error // of the last attempt
}

// Error tells how many attempts there were and how the last one failed.
func (e *RetryError) Error() string {
	if e.Stopped != nil {
		return fmt.Sprintf("resilience: %s: gave up after %s (%v): %v", e.Name, attempts(e.Attempts), e.Stopped, e.Err)
	}
	return fmt.Sprintf("resilience: %s: gave up after %s: %v", e.Name, attempts(e.Attempts), e.Err)
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// Is makes errors.Is(err, ErrExhausted) true.
func (e *RetryError) Is(target error) bool { return target == ErrExhausted }

// Unwrap gives the last attempt's error and, where there is one, the reason for stopping: the
// cause of the context's end, for instance.
func (e *RetryError) Unwrap() []error {
	if e.Stopped != nil {
		return []error{e.Err, e.Stopped}
	}
	return []error{e.Err}
}

// Retryable is false, so that an outer retry does not multiply the attempts.
func (e *RetryError) Retryable() bool { return false }
