package seatrial

import (
	"net/http"
	"time"
)

// Handler opens a unit of work around each request to next; see [Client.Begin]. The span in the
// request's context is the entry span, so a handler that traces goes outside.
//
// A request went wrong if it was answered with a status of 500 or above, or if next panicked; the
// panic goes on. When the client has gone away (the request's context is cancelled), neither an
// answer nor [http.ErrAbortHandler] counts as wrong: nobody saw it.
//
// The duration is that of next; but for an answer that is flushed before next returns, a stream,
// it is the time until the first flush. A connection that is hijacked is no request any more: its
// unit of work ends there, and not as wrong.
//
// The answer tells a caller that sent decisions on faults what experiments the unit of work has met,
// in the header [MarksHeader]; see [Marks].
//
// The ResponseWriter that next gets is an [http.Flusher], an [http.Hijacker] and an
// [io.ReaderFrom] if the original is, and [http.ResponseController] reaches the original through
// it. A nil client gives next itself.
func (c *Client) Handler(next http.Handler) http.Handler {
	if c == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(next, w, r) })
}

func (c *Client) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx, work := c.Begin(r.Context())
	inner := r.WithContext(ctx)
	answer := &response{ResponseWriter: w, work: work}
	returned := false
	defer func() {
		cause := recover()
		r.Pattern = inner.Pattern // what a ServeMux found is for those outside too
		gone := callerGone(r.Context())
		if wrong := cause != nil || !returned; wrong { // neither: runtime.Goexit
			answer.end(!(gone && cause == any(http.ErrAbortHandler)))
		} else {
			answer.end(answer.status >= http.StatusInternalServerError && !gone)
		}
		if cause != nil {
			panic(cause) // the frames of the first panic are still on the stack
		}
	}()
	next.ServeHTTP(answer.withOptional(), inner)
	if returned = true; answer.status == 0 { // the server will write the head
		answer.mark()
	}
}

// end counts the request.
func (a *response) end(bad bool) {
	took := a.flushed
	if took == 0 {
		took = time.Since(a.work.began)
	}
	a.work.end(took, bad || a.work.failed.Load())
}
