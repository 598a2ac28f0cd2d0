package seatrialhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// everything are caps that allow all kinds, also to points of money.
var everything = fault.Caps{AllowAfter: []string{"*"}, Kinds: []fault.Kind{fault.KindError, fault.KindLatency, fault.KindCancel, fault.KindReset,
	fault.KindLostReply, fault.KindPanic, fault.KindBandwidth, fault.KindTruncate, fault.KindCorrupt}}

// rig is a dependency made of the parts that the client's is made of, without a control plane.
type rig struct {
	executor *resilience.Executor
	point    *fault.Point
}

func newRig(p resilience.Policy) *rig {
	return &rig{resilience.New("payment", p), fault.NewPoint("payment", everything)}
}

func (r *rig) Name() string                              { return "payment" }
func (r *rig) Point() *fault.Point                       { return r.point }
func (r *rig) Carry(ctx context.Context) context.Context { return ctx }

func (r *rig) run(ctx context.Context, c resilience.Call[*answered]) (*answered, error) {
	return resilience.Run(ctx, r.executor, c)
}

// inject arms the point: the n-th call of the test is hit by the n-th fault; none and beyond: not hit.
func (r *rig) inject(faults ...*fault.Fault) { arm(r.point, faults...) }

func arm(p *fault.Point, faults ...*fault.Fault) {
	var n atomic.Int64
	p.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		i := int(n.Add(1)) - 1
		if i >= len(faults) || faults[i] == nil {
			return nil, fault.Assignment{}
		}
		return &fault.Program{Rate: 1, Faults: []fault.Fault{*faults[i]}}, fault.Assignment{Experiment: "storm"}
	}), nil)
}

func (r *rig) transport(base http.RoundTripper, options ...Option) *transport {
	t := NewTransport(nil, "payment", append(options, WithBase(base))...).(*transport)
	t.dependency = r
	return t
}

// quick retries without waits worth mentioning.
func quick(attempts int) *resilience.RetryPolicy {
	return &resilience.RetryPolicy{MaxAttempts: attempts, BaseDelay: time.Microsecond, MaxDelay: time.Microsecond}
}

// record gives a tracer provider and a function that gives what it recorded.
func record() (Option, func() []sdk.ReadOnlySpan) {
	spans := tracetest.NewSpanRecorder()
	return WithTracerProvider(sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))), spans.Ended
}

func attr(s sdk.ReadOnlySpan, key string) string {
	for _, kv := range s.Attributes() {
		if kv.Key == attribute.Key(key) {
			return kv.Value.String()
		}
	}
	return ""
}

func statuses(list ...int) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(list[i%len(list)])
		fmt.Fprintf(w, "answer %d to %q", i+1, body)
	}
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestR9_RetriesReuseTheirConnections: 20 requests whose first two tries get 500 each take one
// connection (2 are allowed), leave no goroutine, send their bodies again as they were, and close
// each answer.
func TestR9_RetriesReuseTheirConnections(t *testing.T) {
	policies := map[string]resilience.Policy{
		"retry":       {TryTimeout: 5 * time.Second, Retry: quick(3)},
		"and rivals":  {TryTimeout: 5 * time.Second, Retry: quick(3), Hedge: &resilience.HedgePolicy{Delay: 4 * time.Second}},
		"and breaker": {Retry: quick(3), Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 100}},
	}
	for _, h2 := range []bool{false, true} {
		for name, policy := range policies {
			t.Run(map[bool]string{false: "HTTP1/", true: "HTTP2/"}[h2]+name, func(t *testing.T) {
				before := runtime.NumGoroutine()
				s, tr, connections := server(t, h2, statuses(500, 500, 200))
				base := &bodies{RoundTripper: tr}
				client := &http.Client{Transport: newRig(policy).transport(base)}
				for i := range 20 {
					charge := strings.Repeat("charge", 100*i)
					req, _ := http.NewRequest("POST", s.URL, strings.NewReader(charge))
					req.Header.Set("Idempotency-Key", strconv.Itoa(i))
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					if got, want := text(t, resp), fmt.Sprintf("answer %d to %q", 3*(i+1), charge); got != want {
						t.Fatalf("request %d got %q, want %q", i, got, want)
					}
				}
				if n := connections.Load(); n > 2 { // draining may have taken too long once
					t.Errorf("60 requests took %d connections: dropped answers are not drained", n)
				}
				if opened, closed := base.opened.Load(), base.closed.Load(); opened != 60 || closed != 60 {
					t.Errorf("%d answers, %d closed", opened, closed)
				}
				tr.CloseIdleConnections()
				s.Close()
				settles(t, before)
			})
		}
	}
}

func TestTheLastAnswerIsTheCallers(t *testing.T) {
	cases := []struct {
		name     string
		policy   resilience.Policy
		statuses []int
		want     int
		tries    int
	}{
		{name: "no policy", statuses: []int{503}, want: 503, tries: 1},
		{name: "success", policy: resilience.Policy{Retry: quick(3)}, statuses: []int{204}, want: 204, tries: 1},
		{name: "exhausted", policy: resilience.Policy{Retry: quick(3)}, statuses: []int{500, 502, 503}, want: 503, tries: 3},
		{name: "exhausted, with timeouts", policy: resilience.Policy{Timeout: time.Minute, TryTimeout: time.Minute, Retry: quick(2)}, statuses: []int{503}, want: 503, tries: 2},
		{name: "client's error", policy: resilience.Policy{Retry: quick(3)}, statuses: []int{404}, want: 404, tries: 1},
		{name: "client's error after a failure", policy: resilience.Policy{Retry: quick(3)}, statuses: []int{500, 409}, want: 409, tries: 2},
		{name: "too many, no wish", policy: resilience.Policy{Retry: quick(3)}, statuses: []int{429}, want: 429, tries: 1},
		{name: "not implemented", policy: resilience.Policy{Retry: quick(3)}, statuses: []int{501}, want: 501, tries: 1},
		{name: "breaker opens between tries", policy: resilience.Policy{Retry: quick(9), Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 2}},
			statuses: []int{500, 503, 200}, want: 503, tries: 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(statuses(c.statuses...))
			defer server.Close()
			option, spans := record()
			client := &http.Client{Transport: newRig(c.policy).transport(http.DefaultTransport, option)}
			resp, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			body := text(t, resp)
			if want := fmt.Sprintf("answer %d to %q", c.tries, ""); resp.StatusCode != c.want || body != want && c.want != 204 {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, c.want, want)
			}
			if got := len(spans()); got != c.tries {
				t.Errorf("%d spans for %d tries", got, c.tries)
			}
		})
	}
}

func TestR8_WhatIsSentTwice(t *testing.T) {
	short, long := strings.Repeat("s", maxKept), strings.Repeat("l", maxKept+1)
	stream := func(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) } // without GetBody
	cases := []struct {
		name   string
		method string
		body   io.Reader
		want   string
		header string
		option Option
		tries  int
	}{
		{name: "get", method: "GET", tries: 3},
		{name: "put, body again by GetBody", method: "PUT", body: strings.NewReader(long), want: long, tries: 3},
		{name: "put, short stream", method: "PUT", body: stream(short), want: short, tries: 3},
		{name: "put, long stream", method: "PUT", body: stream(long), want: long, tries: 1},
		{name: "put, empty stream", method: "PUT", body: stream(""), tries: 3},
		{name: "post", method: "POST", body: strings.NewReader("x"), want: "x", tries: 1},
		{name: "post with key", method: "POST", body: strings.NewReader("x"), want: "x", header: "Idempotency-Key", tries: 3},
		{name: "post stream with key", method: "POST", body: stream("x"), want: "x", header: "X-Idempotency-Key", tries: 3},
		{name: "patch", method: "PATCH", tries: 1},
		{name: "post by option", method: "POST", body: stream("x"), want: "x", option: WithRepeatable(func(*http.Request) bool { return true }), tries: 3},
		{name: "get by option", method: "GET", option: WithRepeatable(func(*http.Request) bool { return false }), tries: 1},
		{name: "unknown method", method: "BREW", tries: 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var bodies []string
			base := tripper(func(r *http.Request) (*http.Response, error) {
				got := ""
				if r.Body != nil {
					b, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					got = string(b)
					r.Body.Close()
				}
				bodies = append(bodies, got)
				return respond(r, 503, "later"), nil
			})
			option, _ := record()
			tr := newRig(resilience.Policy{Retry: quick(3)}).transport(base, c.option, option)
			var body io.Reader
			closed := 0
			if c.body != nil {
				body = c.body
			}
			req, _ := http.NewRequest(c.method, "http://payment/charges", body)
			if req.Body != nil {
				req.Body = &closes{req.Body, &closed}
			}
			if c.header != "" {
				req.Header.Set(c.header, "k")
			}
			resp, err := tr.RoundTrip(req)
			if err != nil || resp.StatusCode != 503 {
				t.Fatalf("%v, %v", resp, err)
			}
			if len(bodies) != c.tries {
				t.Errorf("%d tries, want %d", len(bodies), c.tries)
			}
			for i, b := range bodies {
				if b != c.want {
					t.Errorf("try %d sent %d bytes, want %d", i+1, len(b), len(c.want))
				}
			}
			if c.body != nil && closed == 0 {
				t.Error("the request's body was not closed")
			}
			if len(req.Header.Values("Traceparent")) != 0 {
				t.Error("the caller's request was changed")
			}
		})
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type closes struct {
	io.ReadCloser
	n *int
}

func (c *closes) Close() error { *c.n++; return c.ReadCloser.Close() }

func respond(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r, ContentLength: int64(len(body))}
}

func TestR8_APostThatWasNotSentIsSentAgain(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	cut := &net.OpError{Op: "read", Err: errors.New("connection reset")}
	for name, c := range map[string]struct {
		err   error
		tries int
	}{"refused": {refused, 3}, "cut": {cut, 1}} {
		tries := 0
		tr := newRig(resilience.Policy{Retry: quick(3)}).transport(tripper(func(*http.Request) (*http.Response, error) { tries++; return nil, c.err }))
		req, _ := http.NewRequest("POST", "http://payment/charges", strings.NewReader("x"))
		if _, err := tr.RoundTrip(req); !errors.Is(err, c.err) || tries != c.tries {
			t.Errorf("%s: %d tries, want %d; error %v", name, tries, c.tries, err)
		}
	}
}

func TestR8_APostThatTimedOutIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		base := tripper(func(r *http.Request) (*http.Response, error) {
			tries++
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		})
		tr := newRig(resilience.Policy{TryTimeout: time.Second, Retry: quick(3)}).transport(base)
		req, _ := http.NewRequest("POST", "http://payment/charges", strings.NewReader("x"))
		if _, err := tr.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) || tries != 1 {
			t.Errorf("%d tries, error %v", tries, err)
		}
		tries = 0
		req, _ = http.NewRequest("GET", "http://payment/charges", nil)
		if _, err := tr.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) || tries != 3 {
			t.Errorf("get: %d tries, error %v", tries, err)
		}
	})
}

func TestR4_RetryAfterIsHonoured(t *testing.T) {
	cases := []struct {
		name   string
		status int
		header func(now time.Time) (after, date string)
		wait   time.Duration // at least; 0: no second try
	}{
		{"seconds", 503, func(time.Time) (string, string) { return "7", "" }, 7 * time.Second},
		{"seconds with 429", 429, func(time.Time) (string, string) { return " 7 ", "" }, 7 * time.Second},
		{"date", 503, func(now time.Time) (string, string) {
			return now.Add(90 * time.Second).UTC().Format(http.TimeFormat), ""
		}, 90 * time.Second},
		{"date by the server's clock", 503, func(now time.Time) (string, string) {
			return now.Add(time.Hour + 5*time.Second).UTC().Format(http.TimeFormat), now.Add(time.Hour).UTC().Format(http.TimeFormat)
		}, 5 * time.Second},
		{"past", 503, func(time.Time) (string, string) { return "Fri, 31 Dec 1999 23:59:59 GMT", "" }, 1},
		{"nonsense", 503, func(time.Time) (string, string) { return "soon", "" }, 1},
		{"nonsense with 429 is an answer", 429, func(time.Time) (string, string) { return "-3", "" }, 0},
		{"absurd", 503, func(time.Time) (string, string) { return "99999999", "" }, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				base := tripper(func(r *http.Request) (*http.Response, error) {
					at = append(at, time.Now())
					if len(at) > 1 {
						return respond(r, 200, "done"), nil
					}
					resp := respond(r, c.status, "")
					after, date := c.header(time.Now())
					resp.Header.Set("Retry-After", after)
					if date != "" {
						resp.Header.Set("Date", date)
					}
					return resp, nil
				})
				tr := newRig(resilience.Policy{Retry: quick(2)}).transport(base)
				req, _ := http.NewRequest("GET", "http://payment/", nil)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if c.wait == 0 {
					if len(at) != 1 || resp.StatusCode != c.status {
						t.Errorf("%d tries, status %d", len(at), resp.StatusCode)
					}
					return
				}
				if len(at) != 2 || resp.StatusCode != 200 {
					t.Fatalf("%d tries, status %d", len(at), resp.StatusCode)
				}
				if waited := at[1].Sub(at[0]); waited < c.wait-1 || waited > c.wait+time.Millisecond {
					t.Errorf("waited %v, want %v", waited, c.wait)
				}
			})
		})
	}
}

type idler struct {
	http.RoundTripper
	closed int
}

func (i *idler) CloseIdleConnections() { i.closed++ }

func TestIdleConnectionsAreClosed(t *testing.T) {
	base := &idler{}
	(&http.Client{Transport: NewTransport(nil, "payment", WithBase(base))}).CloseIdleConnections()
	(&http.Client{Transport: NewTransport(nil, "payment", WithBase(tripper(nil)))}).CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("closed %d times", base.closed)
	}
}

func TestADroppedAnswerThatHangsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		base := tripper(func(r *http.Request) (*http.Response, error) {
			if tries++; tries > 1 {
				return respond(r, 200, ""), nil
			}
			resp := respond(r, 500, "")
			resp.Body = slow{r.Context()}
			return resp, nil
		})
		began := time.Now()
		req, _ := http.NewRequest("GET", "http://payment/", nil)
		resp, err := newRig(resilience.Policy{Retry: quick(2)}).transport(base).RoundTrip(req)
		if err != nil || resp.StatusCode != 200 || time.Since(began) > drainTime+time.Millisecond {
			t.Errorf("%v, %v after %v", resp, err, time.Since(began))
		}
	})
}

func TestClientSpans(t *testing.T) {
	server := httptest.NewServer(statuses(500, 404))
	defer server.Close()
	option, spans := record()
	provider := sdk.NewTracerProvider()
	ctx, parent := provider.Tracer("test").Start(context.Background(), "parent")
	client := &http.Client{Transport: newRig(resilience.Policy{Retry: quick(3)}).transport(http.DefaultTransport, option)}
	url := strings.Replace(server.URL, "://", "://user:secret@", 1) + "/orders/7?card=4711#top"
	req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = text(t, resp)
	if resp.Request.URL.String() != req.URL.String() {
		t.Errorf("the answer belongs to %v, want the caller's request", resp.Request.URL)
	}
	got := spans()
	if len(got) != 2 {
		t.Fatalf("%d spans, want one per try", len(got))
	}
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for i, s := range got {
		want := map[string]string{
			"http.request.method": "GET", "url.full": server.URL + "/orders/7", "server.address": host, "server.port": port,
			"http.request.resend_count":  []string{"", "1"}[i],
			"http.response.status_code":  []string{"500", "404"}[i],
			"error.type":                 []string{"500", "404"}[i],
			"seatrial.dependency":        "payment",
			"seatrial.fault.experiment":  "",
			"http.request.body.contents": "",
		}
		for key, value := range want {
			if attr(s, key) != value {
				t.Errorf("try %d: %s = %q, want %q", i+1, key, attr(s, key), value)
			}
		}
		if s.Name() != "GET" || s.SpanKind() != trace.SpanKindClient || s.Status().Code != codes.Error || s.Parent().SpanID() != parent.SpanContext().SpanID() {
			t.Errorf("try %d: %q, %v, %v, parent %v", i+1, s.Name(), s.SpanKind(), s.Status(), s.Parent().SpanID())
		}
	}
}

func TestANilClientOnlyTraces(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = r.Header; w.WriteHeader(503) }))
	defer server.Close()
	option, spans := record()
	client := &http.Client{Transport: NewTransport(nil, "payment", option)}
	resp, err := client.Post(server.URL, "text/plain", bytes.NewReader(nil))
	if err != nil || resp.StatusCode != 503 {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	if len(spans()) != 1 || !strings.Contains(seen.Get("Traceparent"), spans()[0].SpanContext().SpanID().String()) {
		t.Errorf("%d spans, the dependency saw %q", len(spans()), seen.Get("Traceparent"))
	}
}

// A dependency that answers nothing but 503 has as few requests at a time as an adaptive limit
// allows; one that answers nothing but 500 says nothing of its load.
func TestOverloadShrinksTheAdaptiveLimit(t *testing.T) {
	for status, want := range map[int]int{503: 5, 500: 40} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(resilience.Policy{Adaptive: &resilience.AdaptivePolicy{Initial: 40, Min: 5}})
			client := &http.Client{Transport: r.transport(tripper(func(r *http.Request) (*http.Response, error) {
				time.Sleep(10 * time.Millisecond)
				return respond(r, status, ""), nil
			}))}
			var callers sync.WaitGroup
			for range 40 {
				callers.Go(func() {
					for range 300 {
						if answer, err := client.Get("http://payment/"); err == nil {
							_ = answer.Body.Close()
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
			callers.Wait()
			if got := r.executor.Stats().Limit; got != want {
				t.Errorf("after nothing but %d the limit is %d, want %d", status, got, want)
			}
		})
	}
}

func TestRetryAfterParsing(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{"0": 0, "120": 2 * time.Minute, "4294967295": 4294967295 * time.Second, "Fri, 02 Jan 2026 03:05:05 GMT": time.Minute} {
		if got, ok := retryAfter(http.Header{"Retry-After": {value}}, now); !ok || got != want {
			t.Errorf("%q is %v (%v), want %v", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "-1", "1.5", "4294967296", "later"} {
		if got, ok := retryAfter(http.Header{"Retry-After": {value}}, now); ok {
			t.Errorf("%q is %v", value, got)
		}
	}
}
