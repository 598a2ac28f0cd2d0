package seatrialhttp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/internal/hop"
	"github.com/seatrial/seatrial/resilience"
)

// Headers that [NewTransport] and [NewHandler] send each other besides trace context and baggage. A
// stranger who sets them can only get less: less time, fewer repetitions of his own request.
const (
	// AttemptHeader, of a request, tells that it repeats an earlier one: it is the number of the
	// attempt, from 2. Absent: 1.
	AttemptHeader = "Seatrial-Attempt"
	// TimeoutHeader, of a request, tells how long its sender will wait for the answer: whole
	// milliseconds, from 1 to 600000.
	TimeoutHeader = "Seatrial-Timeout"
	// RetryHeader, of an answer, is "no" where repeating the request would only repeat in vain what
	// the answering service has repeated already.
	RetryHeader = "Seatrial-Retry"
)

const (
	retryNo    = "no"
	maxTimeout = 10 * time.Minute
	maxAttempt = 1000 // beyond that it is no number of an attempt
)

// errCaller is the cause of a context that ends with the time of TimeoutHeader.
var errCaller = errors.New("seatrialhttp: the caller waits no longer (" + TimeoutHeader + ")")

// tell writes into the headers of a request what the service called should know of the attempt. The
// call itself is part of the attempt outer.
func tell(ctx context.Context, outer int, h http.Header) {
	if n := max(resilience.Attempt(ctx), outer); n > 1 {
		h[AttemptHeader] = []string{strconv.Itoa(min(n, maxAttempt))}
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := min(max(time.Until(deadline), time.Millisecond), maxTimeout)
		h[TimeoutHeader] = []string{strconv.FormatInt(left.Milliseconds(), 10)}
	}
}

// heed gives the context of a request with what its headers ask for: no more time than the caller
// has, and no repetitions within a repetition. Values that make no sense are passed over.
func heed(ctx context.Context, h http.Header) (*hop.Hop, context.CancelFunc) {
	done := func() {}
	if left, ok := number(h, TimeoutHeader, 1, maxTimeout.Milliseconds()); ok {
		ctx, done = context.WithTimeoutCause(ctx, time.Duration(left)*time.Millisecond, errCaller)
	}
	attempt, _ := number(h, AttemptHeader, 2, maxAttempt)
	return hop.New(ctx, int(attempt)), done
}

// number reads a header of one whole number from low to high; 0 if it is no such number.
func number(h http.Header, name string, low, high int64) (n int64, ok bool) {
	values := h[name] // as net/http spells it
	if len(values) != 1 {
		return 0, false
	}
	u, err := strconv.ParseUint(values[0], 10, 32)
	if n = int64(u); err != nil || n < low || n > high {
		return 0, false
	}
	return n, true
}
