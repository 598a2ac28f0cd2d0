package seatrialhttp

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/seatrial/seatrial/internal/hop"
)

// answer is a ResponseWriter that remembers the status.
type answer struct {
	http.ResponseWriter
	hop      *hop.Hop // the request's context
	status   int      // of the final answer; 0: none yet
	hijacked bool
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.status = status
		if status >= http.StatusInternalServerError && a.hop.GaveUp() {
			a.Header()[RetryHeader] = []string{retryNo}
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.started()
	return a.ResponseWriter.Write(p)
}

// WriteString spares io.WriteString a copy.
func (a *answer) WriteString(s string) (int, error) {
	a.started()
	return io.WriteString(a.ResponseWriter, s)
}

func (a *answer) started() {
	if a.status == 0 {
		a.status = http.StatusOK
	}
}

// withOptional gives the optional interfaces that the original has: those of HTTP/1, of HTTP/2, or
// none.
func (a *answer) withOptional() http.ResponseWriter {
	flush, flushes := a.ResponseWriter.(http.Flusher)
	if !flushes {
		return a
	}
	f := flusher{a, flush}
	hijack, hijacks := a.ResponseWriter.(http.Hijacker)
	from, reads := a.ResponseWriter.(io.ReaderFrom)
	if hijacks && reads {
		return &full{f, hijack, from}
	}
	return &f
}

type flusher struct {
	*answer
	to http.Flusher
}

func (f *flusher) Flush() { _ = f.FlushError() }

// FlushError is what http.ResponseController prefers.
func (f *flusher) FlushError() error {
	f.started()
	if to, ok := f.to.(interface{ FlushError() error }); ok {
		return to.FlushError()
	}
	f.to.Flush()
	return nil
}

type full struct {
	flusher
	hijacker http.Hijacker
	from     io.ReaderFrom
}

func (f *full) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := f.hijacker.Hijack()
	f.hijacked = f.hijacked || err == nil
	return conn, buffered, err
}

func (f *full) ReadFrom(src io.Reader) (int64, error) {
	f.started()
	return f.from.ReadFrom(src)
}
