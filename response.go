package seatrial

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// response is a ResponseWriter that notes what the outcome of a request depends on.
type response struct {
	http.ResponseWriter
	work    *Work
	status  int           // of the final answer; 0: none yet
	flushed time.Duration // since the start, at the first flush; 0: none yet
}

// Unwrap is for http.ResponseController.
func (a *response) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *response) WriteHeader(status int) {
	if final := status >= 200 || status == http.StatusSwitchingProtocols; final {
		a.answered(status)
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *response) Write(p []byte) (int, error) {
	a.answered(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

// WriteString spares io.WriteString a copy.
func (a *response) WriteString(s string) (int, error) {
	a.answered(http.StatusOK)
	return io.WriteString(a.ResponseWriter, s)
}

// answered notes the status; only the first is sent, and with it what the caller is to know of
// experiments.
func (a *response) answered(status int) {
	if a.status == 0 {
		a.status = status
		a.mark()
	}
}

// mark puts the marks of the unit of work into the head of the answer.
func (a *response) mark() {
	if marks := a.work.marks(); marks != "" {
		a.Header().Set(MarksHeader, marks)
	}
}

// withOptional gives a with the optional interfaces of the original: handlers ask for them by
// type, and behave otherwise if they are missing, or there in name only.
func (a *response) withOptional() http.ResponseWriter {
	flush, _ := a.ResponseWriter.(http.Flusher)
	hijack, _ := a.ResponseWriter.(http.Hijacker)
	from, _ := a.ResponseWriter.(io.ReaderFrom)
	f, h, r := flusher{a, flush}, hijacker{a, hijack}, readerFrom{a, from}
	switch {
	case flush != nil && hijack != nil && from != nil:
		return struct {
			*response
			flusher
			hijacker
			readerFrom
		}{a, f, h, r}
	case flush != nil && hijack != nil:
		return struct {
			*response
			flusher
			hijacker
		}{a, f, h}
	case flush != nil && from != nil:
		return struct {
			*response
			flusher
			readerFrom
		}{a, f, r}
	case hijack != nil && from != nil:
		return struct {
			*response
			hijacker
			readerFrom
		}{a, h, r}
	case flush != nil:
		return struct {
			*response
			flusher
		}{a, f}
	case hijack != nil:
		return struct {
			*response
			hijacker
		}{a, h}
	case from != nil:
		return struct {
			*response
			readerFrom
		}{a, r}
	}
	return a
}

type flusher struct {
	answer *response
	to     http.Flusher
}

func (f flusher) Flush() { _ = f.FlushError() }

// FlushError is what http.ResponseController prefers.
func (f flusher) FlushError() error {
	f.answer.answered(http.StatusOK)
	if f.answer.flushed == 0 {
		f.answer.flushed = max(time.Since(f.answer.work.began), 1)
	}
	if to, ok := f.to.(interface{ FlushError() error }); ok {
		return to.FlushError()
	}
	f.to.Flush()
	return nil
}

type hijacker struct {
	answer *response
	to     http.Hijacker
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := h.to.Hijack()
	if err == nil {
		h.answer.end(false)
	}
	return conn, buffered, err
}

type readerFrom struct {
	answer *response
	to     io.ReaderFrom
}

func (r readerFrom) ReadFrom(src io.Reader) (int64, error) {
	r.answer.answered(http.StatusOK)
	return r.to.ReadFrom(src)
}
