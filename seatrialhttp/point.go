package seatrialhttp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"

	"github.com/seatrial/seatrial/fault"
)

// withPoint makes next subject to the faults of a point; a nil point gives next itself.
func withPoint(p *fault.Point, next http.Handler) http.Handler {
	if p == nil {
		return next
	}
	return &pointed{point: p, next: next}
}

type pointed struct {
	point *fault.Point
	next  http.Handler
}

func (p *pointed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	strike := p.point.Begin(r.Context(), fault.Call{Operation: r.URL.Path, Bytes: true})
	if strike == nil {
		p.next.ServeHTTP(w, r)
		return
	}
	defer strike.End()
	ctx, err := strike.Before(r.Context())
	if err != nil {
		answerWith(w, err)
		return
	}
	inner := r.WithContext(ctx)
	defer func() { r.Pattern = inner.Pattern }() // for those outside
	switch by := strike.Injection(); {
	case by.Kind == fault.KindLatency && by.Phase == fault.After:
		p.late(w, inner, strike)
	case by.Kind == fault.KindLostReply || by.Phase == fault.After:
		p.lost(w, inner, strike)
	case by.Kind == fault.KindBandwidth || by.Kind == fault.KindTruncate || by.Kind == fault.KindCorrupt:
		p.spoilt(w, inner, strike)
	default:
		p.next.ServeHTTP(w, inner)
	}
}

// answerWith answers as the fault wants it, which is not at all unless it is an error's status.
func answerWith(w http.ResponseWriter, err error) {
	var by *fault.Error
	if !errors.As(err, &by) || by.Kind != fault.KindError {
		if by != nil && by.Kind == fault.KindReset {
			reset(w)
		}
		panic(http.ErrAbortHandler)
	}
	text := by.Message
	if text == "" {
		text = http.StatusText(by.Status)
	}
	w.Header().Set(FaultHeader, by.Experiment)
	http.Error(w, text, by.Status)
}

// reset closes the connection as a process that dies does: TCP with RST, whatever else is under way on
// it. Where that cannot be had, as of HTTP/2, nothing is done.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	for {
		if tcp, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
			_ = tcp.SetLinger(0)
			break
		}
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = outer.NetConn() // TLS would say goodbye
	}
	_ = conn.Close()
}

// lost lets next do its work and then answers otherwise; with next's own answer if the fault was
// called off in the meantime.
func (p *pointed) lost(w http.ResponseWriter, r *http.Request, strike *fault.Strike) {
	aside := &aside{header: http.Header{}}
	p.next.ServeHTTP(aside, r)
	if err := strike.After(r.Context(), nil); err != nil {
		answerWith(w, err)
		return
	}
	aside.deliver(w)
}

// late lets next work and holds back the head of its answer.
func (p *pointed) late(w http.ResponseWriter, r *http.Request, strike *fault.Strike) {
	held := false
	hold := func() {
		if !held {
			held = true
			_ = strike.After(r.Context(), nil) // an error: the caller has gone
		}
	}
	s := &struck{ResponseWriter: w, before: hold, body: w}
	p.next.ServeHTTP(s.withOptional(), r)
	hold()
}

// spoilt lets next work with a body of its answer that the fault strikes.
func (p *pointed) spoilt(w http.ResponseWriter, r *http.Request, strike *fault.Strike) {
	s := &struck{ResponseWriter: w, before: func() {}, body: strike.Write(w)}
	p.next.ServeHTTP(s.withOptional(), r)
	if s.cut {
		_ = http.NewResponseController(w).Flush() // what was written before counts
		panic(http.ErrAbortHandler)
	}
}

// struck is a ResponseWriter whose answer a fault strikes.
type struck struct {
	http.ResponseWriter
	before func()    // runs before the head of the answer
	body   io.Writer // to ResponseWriter
	cut    bool      // the body ended early
}

// Unwrap is for http.ResponseController.
func (s *struck) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *struck) WriteHeader(status int) {
	s.before()
	s.ResponseWriter.WriteHeader(status)
}

func (s *struck) Write(p []byte) (int, error) {
	s.before()
	n, err := s.body.Write(p)
	if errors.Is(err, fault.ErrInjected) {
		s.cut = true
	}
	return n, err
}

// withOptional gives an http.Flusher if the original is one, and an http.Hijacker if it is both. It is
// never an io.ReaderFrom, which would go round the fault.
func (s *struck) withOptional() http.ResponseWriter {
	flush, flushes := s.ResponseWriter.(http.Flusher)
	hijack, hijacks := s.ResponseWriter.(http.Hijacker)
	switch {
	case flushes && hijacks:
		return struct {
			*struck
			http.Flusher
			http.Hijacker
		}{s, flushing{s, flush}, hijacking{s, hijack}}
	case flushes:
		return struct {
			*struck
			http.Flusher
		}{s, flushing{s, flush}}
	default:
		return s
	}
}

type flushing struct {
	s  *struck
	to http.Flusher
}

func (f flushing) Flush() { f.s.before(); f.to.Flush() }

// hijacking hands over a connection with which nothing more is done.
type hijacking struct {
	s  *struck
	to http.Hijacker
}

func (h hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.s.before()
	return h.to.Hijack()
}

// aside is a ResponseWriter that puts the answer aside.
type aside struct {
	header http.Header
	status int
	body   bytes.Buffer
	over   bool // there is more than can be kept
}

const maxAside = 1 << 20 // bytes of an answer that may be lost

func (a *aside) Header() http.Header { return a.header }
func (a *aside) Flush()              {}

func (a *aside) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

func (a *aside) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK) // unless there was one
	if a.over = a.over || a.body.Len()+len(p) > maxAside; !a.over {
		return a.body.Write(p)
	}
	return len(p), nil
}

// deliver sends the answer after all, as far as it was kept.
func (a *aside) deliver(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = w.Write(a.body.Bytes()) // as next would have learned, and mostly not minded
	if a.over {
		panic(http.ErrAbortHandler)
	}
}
