package seatrialhttp

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/codes"
)

// service is a server whose handler has the point "orders".
type service struct {
	*httptest.Server
	client *seatrial.Client
	point  *fault.Point
	worked atomic.Int64 // requests that reached the handler inside
	under  atomic.Int64 // requests under way
}

func serve(t *testing.T, h2 bool, next http.HandlerFunc, options ...Option) *service {
	t.Helper()
	s := &service{client: open(t, seatrial.WithFaults(everything))}
	s.point = s.client.Point("orders")
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.worked.Add(1); next(w, r) })
	handler := NewHandler(s.client, inner, append(options, WithPoint("orders"))...)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.under.Add(1)
		defer s.under.Add(-1)
		handler.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of injected panics
	if s.EnableHTTP2 = h2; h2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// settle waits for what handlers do last. On a connection that was reset nobody else waits for that.
func (s *service) settle() {
	for s.under.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
}

func (s *service) get(path string) (status int, body string, h http.Header, err error) {
	resp, err := s.Client().Get(s.URL + path)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(read), resp.Header, err
}

func TestFaultsInAHandler(t *testing.T) {
	const wait = 30 * time.Millisecond
	whole := strings.Repeat("answer ", 1000)
	cases := []struct {
		name   string
		fault  fault.Fault
		status int // 0: an error
		body   string
		broken bool // while the body is read
		worked int64
		late   bool
	}{
		{name: "error", fault: fault.Fault{Kind: fault.KindError, Status: 418, Message: "short and stout"}, status: 418, body: "short and stout\n"},
		{name: "error after", fault: fault.Fault{Kind: fault.KindError, Phase: fault.After}, status: 503, body: "Service Unavailable\n", worked: 1},
		{name: "latency", fault: fault.Fault{Kind: fault.KindLatency, Min: wait, Max: wait}, status: 201, body: whole, worked: 1, late: true},
		{name: "late answer", fault: fault.Fault{Kind: fault.KindLatency, Phase: fault.After, Min: wait, Max: wait}, status: 201, body: whole, worked: 1, late: true},
		{name: "no answer", fault: fault.Fault{Kind: fault.KindLatency, Phase: fault.Instead, Min: wait, Max: wait}, late: true},
		{name: "cancel", fault: fault.Fault{Kind: fault.KindCancel}, status: 499, body: "injected", worked: 1},
		{name: "reset", fault: fault.Fault{Kind: fault.KindReset}},
		{name: "reset after", fault: fault.Fault{Kind: fault.KindReset, Phase: fault.After}, worked: 1},
		{name: "lost reply", fault: fault.Fault{Kind: fault.KindLostReply}, worked: 1},
		{name: "panic", fault: fault.Fault{Kind: fault.KindPanic}},
		{name: "truncate", fault: fault.Fault{Kind: fault.KindTruncate, AfterBytes: 5000}, status: 201, body: whole[:5000], broken: true, worked: 1},
		{name: "truncate all", fault: fault.Fault{Kind: fault.KindTruncate}, status: 201, broken: true, worked: 1},
		{name: "bandwidth", fault: fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 100_000}, status: 201, body: whole, worked: 1, late: true},
	}
	for _, h2 := range []bool{false, true} {
		for _, c := range cases {
			t.Run(map[bool]string{false: "HTTP1/", true: "HTTP2/"}[h2]+c.name, func(t *testing.T) {
				option, spans := record()
				s := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
					if errors.Is(context.Cause(r.Context()), fault.ErrInjected) {
						w.WriteHeader(499)
						_, _ = io.WriteString(w, "injected")
						return
					}
					w.Header().Set("Own", "header")
					w.WriteHeader(201)
					for i := 0; i < len(whole); i += 700 {
						_, _ = io.WriteString(w, whole[i:i+700])
						w.(http.Flusher).Flush()
					}
				}, option)
				arm(s.point, &c.fault)
				began := time.Now()
				status, body, h, err := s.get("/orders")
				s.settle()
				if status != c.status || body != c.body || (err != nil) != (c.broken || c.status == 0) {
					t.Errorf("status %d, %d bytes, error %v; want %d, %d", status, len(body), err, c.status, len(c.body))
				}
				if reset := c.fault.Kind == fault.KindReset && !h2; errors.Is(err, syscall.ECONNRESET) != reset {
					t.Errorf("%v: want a reset of TCP: %v", err, reset)
				}
				if took := time.Since(began); c.late && took < wait {
					t.Errorf("took %v, want %v at least", took, wait)
				}
				if n := s.worked.Load(); n != c.worked {
					t.Errorf("the handler worked %d times, want %d", n, c.worked)
				}
				if injected := c.fault.Kind == fault.KindError; (h.Get(FaultHeader) == "storm") != injected || injected && h.Get("Own") != "" {
					t.Errorf("headers %v", h)
				}
				if status, _, _, err := s.get("/orders"); status != 201 || err != nil {
					t.Errorf("the next request, which nothing hits: %d, %v", status, err)
				}
				s.Close() // waits for what the handler does last
				if first := spans()[0]; attr(first, fault.AttrKind) != string(c.fault.Kind) || attr(first, fault.AttrExperiment) != "storm" {
					t.Errorf("span says %q of %q", attr(first, fault.AttrKind), attr(first, fault.AttrExperiment))
				} else if failed := first.Status().Code == codes.Error; failed != (c.status == 0 || c.broken || c.status >= 500) {
					t.Errorf("span's status %v", first.Status())
				}
				if n := s.point.Active(); n != 0 {
					t.Errorf("%d requests still count as under a fault", n)
				}
			})
		}
	}
}

// TLS would say goodbye before it goes, which a process that dies does not.
func TestAResetOverTLS(t *testing.T) {
	client := open(t, seatrial.WithFaults(everything))
	arm(client.Point("orders"), &fault.Fault{Kind: fault.KindReset})
	server := httptest.NewTLSServer(NewHandler(client, http.NotFoundHandler(), WithPoint("orders")))
	defer server.Close()
	if resp, err := server.Client().Get(server.URL); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestACorruptedAnswerHasItsLength(t *testing.T) {
	whole := strings.Repeat("answer ", 2000)
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		_, _ = io.Copy(w, strings.NewReader(whole)) // which would use ReadFrom if there was one
	})
	arm(s.point, &fault.Fault{Kind: fault.KindCorrupt, Share: 0.05})
	status, body, _, err := s.get("/orders")
	if status != 200 || err != nil || len(body) != len(whole) || body == whole {
		t.Errorf("status %d, %d bytes, as they were: %v, error %v", status, len(body), body == whole, err)
	}
}

func TestS9HealthChecksAndLoginsAreLeftAlone(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {})
	down := &fault.Fault{Kind: fault.KindError}
	arm(s.point, down, down, down, down, down, down)
	for _, path := range []string{"/healthz", "/livez", "/readyz", "/login", "/v1/traces", "/oauth/token"} {
		if status, _, _, err := s.get(path); status != 200 || err != nil {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	if status, _, _, _ := s.get("/orders"); status != 503 {
		t.Errorf("/orders: %d", status)
	}
}

func TestS9CallsThatAreLeftAlone(t *testing.T) {
	rig := newRig(resilience.Policy{})
	down := &fault.Fault{Kind: fault.KindError}
	rig.inject(down, down, down)
	tr := rig.transport(tripper(func(r *http.Request) (*http.Response, error) { return respond(r, 200, ""), nil }))
	for path, want := range map[string]int{"/healthz": 200, "/v1/metrics": 200, "/charges": 503} {
		req, _ := http.NewRequest("GET", "http://payment"+path, nil)
		if resp, err := tr.RoundTrip(req); err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v, %v; want %d", path, resp, err, want)
		}
	}
}

// A short answer that nobody flushes arrives up to where it is cut.
func TestWhatIsWrittenBeforeTheCutArrives(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "0123456789") })
	arm(s.point, &fault.Fault{Kind: fault.KindTruncate, AfterBytes: 4})
	if status, body, _, err := s.get("/orders"); status != 200 || body != "0123" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d %q, %v", status, body, err)
	}
}

// The head of a late answer is late, whatever makes it due.
func TestTheHeadOfALateAnswerIsLate(t *testing.T) {
	for name, due := range map[string]func(http.ResponseWriter){
		"head":  func(w http.ResponseWriter) { w.WriteHeader(201) },
		"body":  func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"flush": func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
	} {
		synctest.Test(t, func(t *testing.T) {
			client, err := seatrial.Open(context.Background(), seatrial.WithFaults(everything))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(context.Background())
			arm(client.Point("orders"), &fault.Fault{Kind: fault.KindLatency, Phase: fault.After, Min: time.Second, Max: time.Second})
			began := time.Now()
			NewHandler(client, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for range 2 { // held once
					if due(w); time.Since(began) != time.Second {
						t.Errorf("%s: sent after %v", name, time.Since(began))
					}
				}
			}), WithPoint("orders")).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/orders", nil))
		})
	}
}

// A fault that does not concern the bytes of an answer leaves the handler its connection: an upgrade
// must be late, not fail.
func TestAHandlerUnderAFaultCanHijack(t *testing.T) {
	for _, c := range []struct {
		fault fault.Fault
		from  bool // an io.ReaderFrom as well
	}{
		{fault.Fault{Kind: fault.KindLatency, Min: 1, Max: 1}, true},
		{fault.Fault{Kind: fault.KindCancel, Min: time.Hour, Max: time.Hour}, true},
		{fault.Fault{Kind: fault.KindLatency, Phase: fault.After, Min: 30 * time.Millisecond, Max: 30 * time.Millisecond}, false},
		{fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 1}, false},
	} {
		s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
			if _, reads := w.(io.ReaderFrom); reads != c.from {
				t.Errorf("%s %s: an io.ReaderFrom: %v", c.fault.Kind, c.fault.Phase, reads)
			}
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nown")
			_ = conn.Close()
		})
		arm(s.point, &c.fault)
		began := time.Now()
		status, body, _, err := s.get("/orders")
		if status != 201 || body != "own" || err != nil || c.fault.Phase == fault.After && time.Since(began) < c.fault.Min {
			t.Errorf("%s %s: %d %q, %v", c.fault.Kind, c.fault.Phase, status, body, err)
		}
	}
}

func TestARouteInsideAPoint(t *testing.T) {
	client := open(t, seatrial.WithFaults(everything))
	arm(client.Point("orders"), &fault.Fault{Kind: fault.KindLatency, Min: time.Millisecond, Max: time.Millisecond})
	option, spans := record()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(http.ResponseWriter, *http.Request) {})
	h := NewHandler(client, mux, WithPoint("orders"), option)
	for range 2 { // one that is hit, one that is not
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/orders/7", nil))
	}
	for _, s := range spans() {
		if s.Name() != "GET /orders/{id}" {
			t.Errorf("span %q", s.Name())
		}
	}
	if attr(spans()[0], fault.AttrKind) != "latency" {
		t.Error("the first request was not hit")
	}
}

func TestAPointNeedsNoClientAndNoFaults(t *testing.T) {
	for name, client := range map[string]*seatrial.Client{"nil": nil, "faults not allowed": open(t)} {
		w := httptest.NewRecorder()
		NewHandler(client, http.NotFoundHandler(), WithPoint("orders")).ServeHTTP(w, httptest.NewRequest("GET", "/orders", nil))
		if w.Code != 404 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// A fault that is called off while the handler works leaves it its answer.
func TestTheAnswerIsNotLostWhenTheFaultIsCalledOff(t *testing.T) {
	for _, size := range []int{10, maxAside, maxAside + 1} {
		var s *service
		s = serve(t, false, func(w http.ResponseWriter, r *http.Request) {
			s.point.Off()
			w.Header().Set("Own", "header")
			w.WriteHeader(201)
			_, _ = io.WriteString(w, strings.Repeat("x", size/2))
			_, _ = io.WriteString(w, strings.Repeat("x", size-size/2))
		})
		arm(s.point, &fault.Fault{Kind: fault.KindLostReply})
		status, body, h, err := s.get("/orders")
		if kept := size <= maxAside; status != 201 || h.Get("Own") != "header" || kept != (err == nil && len(body) == size) {
			t.Errorf("%d bytes: status %d, %v, %d bytes, error %v", size, status, h, len(body), err)
		}
	}
}

func TestAnAnswerThatWasNotLostHasTheStatusThatItBeganWith(t *testing.T) {
	var s *service
	s = serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		s.point.Off()
		_, _ = io.WriteString(w, "done")
		w.WriteHeader(500) // too late
	})
	arm(s.point, &fault.Fault{Kind: fault.KindLostReply})
	if status, body, _, err := s.get("/orders"); status != 200 || body != "done" || err != nil {
		t.Errorf("%d %q, %v", status, body, err)
	}
}

func TestARequestThatIsHeldUpGoesOnWhenFaultsEnd(t *testing.T) {
	for _, phase := range []fault.Phase{fault.Before, fault.After} {
		synctest.Test(t, func(t *testing.T) {
			client, err := seatrial.Open(context.Background(), seatrial.WithFaults(everything))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(context.Background())
			point := client.Point("orders")
			arm(point, &fault.Fault{Kind: fault.KindLatency, Phase: phase, Min: 5 * time.Second, Max: 5 * time.Second})
			time.AfterFunc(time.Second, point.Off)
			w, began := httptest.NewRecorder(), time.Now()
			h := NewHandler(client, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201) }), WithPoint("orders"))
			h.ServeHTTP(w, httptest.NewRequest("GET", "/orders", nil))
			if took := time.Since(began); w.Code != 201 || took != time.Second {
				t.Errorf("%s: %d after %v", phase, w.Code, took)
			}
		})
	}
}

// TestC10LostReplyFindsADoubleCharge: a payment service that minds no idempotency key charges twice
// when its reply gets lost and the caller repeats; one that minds it does not. The same with a fault
// before the call finds nothing.
func TestC10LostReplyFindsADoubleCharge(t *testing.T) {
	cases := []struct {
		name    string
		kind    fault.Kind
		careful bool
		charges int64
	}{
		{"lost reply, careless", fault.KindLostReply, false, 2},
		{"lost reply, careful", fault.KindLostReply, true, 1},
		{"reset before, careless", fault.KindReset, false, 1},
	}
	for _, side := range []string{"client", "server"} {
		for _, c := range cases {
			t.Run(side+"/"+c.name, func(t *testing.T) {
				var charges atomic.Int64
				seen := map[string]bool{}
				pay := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
					if key := r.Header.Get("Idempotency-Key"); c.careful && seen[key] {
						return
					} else {
						seen[key] = true
					}
					charges.Add(1)
				})
				rig := newRig(resilience.Policy{Retry: quick(3)})
				if hit := (&fault.Fault{Kind: c.kind}); side == "client" {
					rig.inject(hit)
				} else {
					arm(pay.point, hit)
				}
				// Keep-alives off: net/http itself repeats a request whose connection was closed
				// before an answer, if it has used the connection before.
				tr := rig.transport(&http.Transport{DisableKeepAlives: true})
				req, _ := http.NewRequest("POST", pay.URL+"/charges", strings.NewReader("10"))
				req.Header.Set("Idempotency-Key", "order-7")
				resp, err := (&http.Client{Transport: tr}).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = text(t, resp)
				if n := charges.Load(); resp.StatusCode != 200 || n != c.charges {
					t.Errorf("status %d after %d charges, want %d", resp.StatusCode, n, c.charges)
				}
			})
		}
	}
}
