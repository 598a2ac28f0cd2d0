package seatrialhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seatrial/seatrial/fault"
	"go.opentelemetry.io/otel/trace"
)

// answered is the answer that one try got, with what lives as long as its body. It is that body:
// reading to the end or closing it finishes the try.
type answered struct {
	response *http.Response
	body     io.ReadCloser // of the network
	strike   *fault.Strike // nil, as nearly always: no fault
	span     trace.Span    // nil unless it ends with the body

	ctx    context.Context // that the body lives by; nil: there is nothing to live
	cancel context.CancelCauseFunc
	timer  *time.Timer // at the deadline; nil if there is none

	giveUp sync.Once
}

// receive takes the answer of a try, whose context goes on until the body is closed or read, or its
// time is over.
func receive(ctx context.Context, answer *http.Response, cancel context.CancelCauseFunc) *answered {
	a := &answered{response: answer, body: answer.Body, ctx: ctx, cancel: cancel}
	if a.body == nil || a.body == http.NoBody { // nothing goes on
		answer.Body, a.body, a.ctx = http.NoBody, http.NoBody, nil
		cancel(nil)
		return a
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		a.timer = time.AfterFunc(time.Until(deadline), func() { cancel(context.DeadlineExceeded) })
	}
	answer.Body = a
	if w, ok := a.body.(io.Writer); ok { // 101: the body is the connection
		answer.Body = struct {
			io.ReadCloser
			io.Writer
		}{a, w}
	}
	return a
}

// spoil makes the body subject to the fault of the try. It gives false if there is none that it
// could strike; otherwise the fault keeps its place until the body is over. A connection (101) is
// left alone.
func (a *answered) spoil(s *fault.Strike) bool {
	own, ok := a.response.Body.(*answered)
	if !ok {
		return false
	}
	a.strike = s
	a.response.Body = struct {
		io.Reader
		io.Closer
	}{s.Reader(a.ctx, own), own}
	return true
}

// holds tells whether the span of the try stays open until the body is over, so that it can tell of
// a fault that strikes there.
func (a *answered) holds(span trace.Span) bool {
	if a == nil || a.strike == nil {
		return false
	}
	a.span = span
	return true
}

func (a *answered) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err != nil {
		err = because(a.ctx, err)
		a.finish()
	}
	return n, err
}

func (a *answered) Close() error {
	err := a.body.Close()
	a.finish()
	return err
}

// finish ends what lived for the body. It may be called again.
func (a *answered) finish() {
	if a.timer != nil {
		a.timer.Stop()
	}
	if a.cancel != nil {
		a.cancel(nil)
	}
	a.strike.End()
	if a.span != nil {
		a.span.End() // ending again does nothing
	}
}

// drop gives the answer up, once, so that its connection can serve again.
func (a *answered) drop() {
	if a == nil {
		return
	}
	a.giveUp.Do(func() {
		drain(a.body, a.finish)
		a.response = nil
	})
}

// counts tells whether the answer is for the caller, given how the call ended.
func (a *answered) counts(err error) bool {
	if a == nil || a.response == nil {
		return false
	}
	alive := a.ctx == nil || a.ctx.Err() == nil
	return err == nil || alive && errors.As(err, new(*StatusError))
}

// synthetic is the answer of a fault.
func synthetic(method string, injected *fault.Error) *answered {
	text := injected.Message
	if text == "" {
		text = http.StatusText(injected.Status)
	}
	body := io.NopCloser(strings.NewReader(text + "\n"))
	if method == http.MethodHead {
		body = http.NoBody
	}
	return detached(&http.Response{
		Status:     strings.TrimSpace(strconv.Itoa(injected.Status) + " " + http.StatusText(injected.Status)),
		StatusCode: injected.Status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {"text/plain; charset=utf-8"},
			FaultHeader:    {injected.Experiment},
		},
		Body: body, ContentLength: int64(len(text) + 1),
	})
}

// detached is an answer that no try got and that nothing is tied to.
func detached(response *http.Response) *answered {
	if response.Body == nil {
		response.Body = http.NoBody
	}
	return &answered{response: response, body: response.Body}
}
