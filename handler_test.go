package seatrial

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/memnet"
)

// site serves a handler under a client of a plane, to a user in treatment.
type site struct {
	*plane
	client *Client
	http   *http.Client
}

func newSite(t *testing.T, handler http.HandlerFunc) *site {
	s := &site{plane: newPlane(t, trialSet(1, 0))}
	s.client = s.open(WithFlushInterval(5 * time.Minute))
	user := NewContext(userIn(t, s.client, "f", treatment))
	listener := memnet.Listen()
	inner := s.client.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.client.Bool(WithContext(r.Context(), user), "f", false)
		handler(w, r)
	}))
	server := &http.Server{Handler: inner, ErrorLog: log.New(io.Discard, "", 0)} // panics are meant
	go func() { _ = server.Serve(listener) }()
	transport := &http.Transport{DialContext: listener.Dial}
	s.http = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
	})
	return s
}

// seconds gives the longest duration that arrived, to 2 %.
func (s *site) seconds() float64 {
	longest := 0.0
	taken, _ := s.reports()
	for _, r := range taken {
		for _, p := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetExponentialHistogram().GetDataPoints() {
			var h outcome.Histogram
			if err := h.ImportExponential(p.Scale, p.ZeroCount, p.GetPositive().GetOffset(), p.GetPositive().GetBucketCounts(), p.GetSum()); err != nil {
				s.t.Fatal(err)
			}
			longest = max(longest, h.Quantile(1))
		}
	}
	return longest
}

func TestHandlerOutcomes(t *testing.T) {
	tests := map[string]struct {
		handler http.HandlerFunc
		leave   time.Duration // after which the client goes away; 0: never
		bad     uint64
		seconds float64 // about
	}{
		"nothing written": {handler: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }, seconds: 1},
		"ok":              {handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }},
		"not found":       {handler: http.NotFound},
		"500":             {handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, bad: 1},
		"503 with body":   {handler: func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }, bad: 1},
		"500 too late": {handler: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "hello")
			w.WriteHeader(500) // is not sent
		}},
		"early hints, then 200": {handler: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(200)
		}},
		"early hints, then 500": {handler: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(500)
		}, bad: 1},
		"panic":              {handler: func(http.ResponseWriter, *http.Request) { panic("no") }, bad: 1},
		"panic after answer": {handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello"); panic("no") }, bad: 1},
		"abort":              {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, bad: 1},
		"panic with a slice": {handler: func(http.ResponseWriter, *http.Request) { panic([]int{1}) }, bad: 1},
		"client gone":        {handler: waitThen(func(w http.ResponseWriter) { w.WriteHeader(503) }), leave: time.Second, seconds: 1},
		"client gone, abort": {handler: waitThen(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }), leave: time.Second, seconds: 1},
		"client gone, panic": {handler: waitThen(func(http.ResponseWriter) { panic("no") }), leave: time.Second, bad: 1, seconds: 1},
		"own deadline, 503":  {handler: func(w http.ResponseWriter, r *http.Request) { <-time.After(time.Minute); w.WriteHeader(503) }, bad: 1, seconds: 60},
		"stream":             {handler: stream(time.Second, time.Hour, func() {}), seconds: 1},
		"stream, then panic": {handler: stream(time.Second, time.Hour, func() { panic("no") }), bad: 1, seconds: 1},
		"stream from reader": {handler: func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("hello")) }},
		"string":             {handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a"); w.WriteHeader(500) }},
		"reader, 500 too late": {handler: func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, strings.NewReader("hello"))
			w.WriteHeader(500)
		}},
		"controller": {handler: func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			time.Sleep(time.Second)
			err := errors.Join(c.SetWriteDeadline(time.Now().Add(time.Hour)), c.EnableFullDuplex(), c.Flush())
			if time.Sleep(time.Minute); err != nil {
				panic(err)
			}
		}, seconds: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, test.handler)
				ctx := t.Context()
				if test.leave > 0 {
					short, cancel := context.WithTimeout(ctx, test.leave)
					defer cancel()
					ctx = short
				}
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://site/", nil)
				if res, err := s.http.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				synctest.Wait()
				want := arrived{Requests: 1, Bad: test.bad, New: 1, AtRisk: 1, BadUnits: test.bad}
				s.wantArrived(s.client, map[string]arrived{inTreatment: want})
				if got := s.seconds(); got < test.seconds*0.98 || got > test.seconds*1.02+0.001 {
					t.Errorf("duration %v s, want %v s", got, test.seconds)
				}
			})
		})
	}
}

// waitThen waits until the client has gone.
func waitThen(do func(http.ResponseWriter)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		do(w)
	}
}

// stream flushes after a while, and goes on for another.
func stream(first, rest time.Duration, end func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(first)
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		time.Sleep(rest)
		w.(http.Flusher).Flush()
		end()
	}
}

func TestHandlerHijack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			time.Sleep(time.Hour) // a chat, say
			io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		})
		res, err := s.http.Get("http://site/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		s.wantArrived(s.client, map[string]arrived{inTreatment: {Requests: 1, New: 1, AtRisk: 1}})
		if got := s.seconds(); got > 0.001 {
			t.Errorf("duration %v s: what came after the hijack is no request", got)
		}
	})
}

func TestHandlerLetsPanicsThrough(t *testing.T) {
	c := offline(t, trialSet(1, 0))
	for _, cause := range []any{"text", http.ErrAbortHandler, []int{1}} {
		func() {
			defer func() {
				if got := recover(); fmt.Sprint(got) != fmt.Sprint(cause) {
					t.Errorf("panic with %v, want %v", got, cause)
				}
			}()
			c.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(cause) })).
				ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
			t.Error("no panic")
		}()
	}
}

func TestHandlerTellsThePattern(t *testing.T) {
	c := offline(t, trialSet(1, 0))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(http.ResponseWriter, *http.Request) {})
	r := httptest.NewRequest("GET", "/orders/5", nil)
	c.Handler(mux).ServeHTTP(httptest.NewRecorder(), r)
	if r.Pattern != "GET /orders/{id}" {
		t.Errorf("pattern %q", r.Pattern)
	}
	if h := http.Handler(mux); (*Client)(nil).Handler(h) != h {
		t.Error("a nil client changes the handler")
	}
}

// plain is a ResponseWriter without any optional interface; the others add them.
type plain struct{ http.ResponseWriter }

type (
	canFlush  struct{}
	canHijack struct{}
	canRead   struct{}
)

func (canFlush) Flush()                                        {}
func (canHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errors.New("test") }
func (canRead) ReadFrom(io.Reader) (int64, error)              { return 42, nil }

func TestOptionalInterfaces(t *testing.T) {
	p := plain{httptest.NewRecorder()}
	tests := map[string]http.ResponseWriter{
		"": p,
		"f": struct {
			plain
			canFlush
		}{plain: p},
		"h": struct {
			plain
			canHijack
		}{plain: p},
		"r": struct {
			plain
			canRead
		}{plain: p},
		"fh": struct {
			plain
			canFlush
			canHijack
		}{plain: p},
		"fr": struct {
			plain
			canFlush
			canRead
		}{plain: p},
		"hr": struct {
			plain
			canHijack
			canRead
		}{plain: p},
		"fhr": struct {
			plain
			canFlush
			canHijack
			canRead
		}{plain: p},
	}
	for want, w := range tests {
		offered := (&response{ResponseWriter: w, work: &Work{client: &Client{}}}).withOptional()
		got := ""
		if _, ok := offered.(http.Flusher); ok {
			got += "f"
		}
		if _, ok := offered.(http.Hijacker); ok {
			got += "h"
		}
		if r, ok := offered.(io.ReaderFrom); ok {
			got += "r"
			if n, err := r.ReadFrom(nil); n != 42 || err != nil {
				t.Errorf("%q: ReadFrom does not reach the original", want)
			}
		}
		if got != want {
			t.Errorf("offered %q, want %q", got, want)
		}
		if offered.(interface{ Unwrap() http.ResponseWriter }).Unwrap() != w {
			t.Errorf("%q: Unwrap does not give the original", want)
		}
		err := http.NewResponseController(offered).Flush()
		if supported := strings.Contains(want, "f"); (err == nil) != supported || !supported && !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("%q: controller: Flush: %v", want, err)
		}
	}
}
