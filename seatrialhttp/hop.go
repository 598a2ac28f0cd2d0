package seatrialhttp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

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

// attemptAround gives the number of the attempt that a call made with ctx is part of: of a call around
// it in this process, or of the request that is being answered. 0: none, or not known.
func attemptAround(ctx context.Context) int {
	n := resilience.Attempt(ctx)
	if served := hopOf(ctx); served != nil {
		n = max(n, served.attempt)
	}
	return n
}

// tell writes into the headers of a request what the service called should know of the attempt.
func tell(ctx context.Context, outer int, h http.Header) {
	n := max(resilience.Attempt(ctx), outer)
	if n > 1 {
		h[AttemptHeader] = []string{strconv.Itoa(min(n, maxAttempt))}
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := min(max(time.Until(deadline), time.Millisecond), maxTimeout)
		h[TimeoutHeader] = []string{strconv.FormatInt(left.Milliseconds(), 10)}
	}
}

// hop is the context of a request that is being answered: what its caller said of it, and what the
// calls made for it say.
type hop struct {
	context.Context
	attempt int         // of the caller; 0: the first, or not said
	inVain  atomic.Bool // a call failed and should not be repeated
}

type hopKey struct{}

func (s *hop) Value(key any) any {
	if key == (hopKey{}) {
		return s
	}
	return s.Context.Value(key)
}

func hopOf(ctx context.Context) *hop {
	s, _ := ctx.Value(hopKey{}).(*hop)
	return s
}

// heed gives the request's context with what its headers ask for: no more time than the caller has,
// and no repetitions within a repetition. Values that make no sense are passed over.
func (s *hop) heed(h http.Header) (context.Context, context.CancelFunc) {
	var ctx context.Context = s
	if n, ok := number(h, AttemptHeader, 2, maxAttempt); ok {
		s.attempt = int(n)
		ctx = resilience.WithRepetition(ctx)
	}
	left, ok := number(h, TimeoutHeader, 1, maxTimeout.Milliseconds())
	if !ok {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, time.Duration(left)*time.Millisecond, errCaller)
}

// number reads a header of one whole number from low to high.
func number(h http.Header, name string, low, high int64) (n int64, ok bool) {
	values := h[name] // as net/http spells it
	if len(values) != 1 {
		return 0, false
	}
	u, err := strconv.ParseUint(values[0], 10, 32)
	n = int64(u)
	return n, err == nil && n >= low && n <= high
}

// answer completes the head of the answer.
func (s *hop) answer(status int, h http.Header) {
	if status >= http.StatusInternalServerError && s.inVain.Load() {
		h[RetryHeader] = []string{retryNo}
	}
}

// noteFailed tells the request for which a call was made how the call failed, if repeating the
// request would be in vain: it was repeated, or refused because those before it had failed, or the
// answer said so.
func noteFailed(ctx context.Context, err error) {
	var status *StatusError
	told := errors.As(err, &status) && status.final
	if !told && !errors.Is(err, resilience.ErrExhausted) && !errors.Is(err, resilience.ErrOpen) {
		return
	}
	if served := hopOf(ctx); served != nil {
		served.inVain.Store(true)
	}
}
