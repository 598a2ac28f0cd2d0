package seatrialhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

func open(t *testing.T, options ...seatrial.Option) *seatrial.Client {
	t.Helper()
	c, err := seatrial.Open(context.Background(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func TestServerSpans(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.PathValue("id")) })
	mux.HandleFunc("POST example.com/orders", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "gone", http.StatusGone) })
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusBadGateway)
		w.WriteHeader(http.StatusOK) // too late
	})
	mux.HandleFunc("/silent", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("boom") })
	cases := []struct {
		name, method, url, span, route, status, errorType string
		code                                              codes.Code
	}{
		{name: "success", method: "GET", url: "/orders/7?card=4711", span: "GET /orders/{id}", route: "/orders/{id}", status: "200"},
		{name: "failure, host in the pattern", method: "POST", url: "/orders", span: "POST /orders", route: "/orders", status: "503", errorType: "503", code: codes.Error},
		{name: "client's error", method: "GET", url: "/gone", span: "GET /gone", route: "/gone", status: "410"},
		{name: "final status", method: "GET", url: "/early", span: "GET /early", route: "/early", status: "502", errorType: "502", code: codes.Error},
		{name: "nothing written", method: "GET", url: "/silent", span: "GET /silent", route: "/silent", status: "200"},
		{name: "no route", method: "GET", url: "/nowhere", span: "GET", status: "404"},
		{name: "panic", method: "GET", url: "/panic", span: "GET /panic", route: "/panic", errorType: "panic", code: codes.Error},
		{name: "odd method", method: "BREW", url: "/gone", span: "HTTP /gone", route: "/gone", status: "410"},
	}
	clients := map[string]*seatrial.Client{"nil client": nil, "client": open(t)}
	for which, client := range clients {
		for _, c := range cases {
			t.Run(which+"/"+c.name, func(t *testing.T) {
				option, spans := record()
				h := NewHandler(client, mux, option)
				w, r := httptest.NewRecorder(), httptest.NewRequest(c.method, "http://example.com"+c.url, nil)
				func() {
					defer func() {
						if got := recover(); (got != nil) != (c.errorType == "panic") {
							t.Errorf("recovered %v: a panic must go on", got)
						}
					}()
					h.ServeHTTP(w, r)
				}()
				s := spans()[0]
				if s.Name() != c.span || s.SpanKind() != trace.SpanKindServer || s.Status().Code != c.code {
					t.Errorf("span %q %v %v", s.Name(), s.SpanKind(), s.Status())
				}
				method := c.method
				if method == "BREW" {
					method = "_OTHER"
				}
				path, _, _ := strings.Cut(c.url, "?")
				for key, value := range map[string]string{"http.request.method": method, "url.path": path, "url.scheme": "http", "server.address": "example.com",
					"server.port": "80", "http.route": c.route, "http.response.status_code": c.status, "error.type": c.errorType, "url.query": "", "network.protocol.version": "1.1"} {
					if attr(s, key) != value {
						t.Errorf("%s = %q, want %q", key, attr(s, key), value)
					}
				}
				if routeOf(r.Pattern) != c.route {
					t.Errorf("outside the pattern reads %q", r.Pattern)
				}
			})
		}
	}
}

func TestARouteFoundOutside(t *testing.T) {
	option, spans := record()
	mux := http.NewServeMux()
	mux.Handle("GET /users/{id}", NewHandler(nil, http.NotFoundHandler(), option))
	mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/users/7", nil))
	if s := spans()[0]; s.Name() != "GET /users/{id}" {
		t.Errorf("span %q", s.Name())
	}
}

func TestTracesTravel(t *testing.T) {
	cases := []struct {
		name    string
		global  propagation.TextMapPropagator
		options []Option
		travels bool
		baggage bool
	}{
		{name: "none set: W3C", travels: true, baggage: true},
		{name: "the global one", global: propagation.TraceContext{}, travels: true},
		{name: "a given one", options: []Option{WithPropagator(propagation.Baggage{})}, baggage: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.global != nil {
				otel.SetTextMapPropagator(c.global)
				defer otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator()) // none, as at the start
			}
			server, serverSpans := record()
			client, clientSpans := record()
			var member string
			s := httptest.NewServer(NewHandler(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				member = baggage.FromContext(r.Context()).Member("tenant").Value()
			}), append(c.options, server)...))
			defer s.Close()
			m, _ := baggage.NewMember("tenant", "blue")
			b, _ := baggage.New(m)
			req, _ := http.NewRequestWithContext(baggage.ContextWithBaggage(context.Background(), b), "GET", s.URL, nil)
			resp, err := (&http.Client{Transport: NewTransport(nil, "x", append(c.options, client)...)}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			for len(serverSpans()) == 0 { // the answer is there before the span has ended
				time.Sleep(time.Millisecond)
			}
			if got := serverSpans()[0].Parent().SpanID() == clientSpans()[0].SpanContext().SpanID(); got != c.travels {
				t.Errorf("trace travels: %v", got)
			}
			if got := member == "blue"; got != c.baggage {
				t.Errorf("baggage travels: %v", got)
			}
		})
	}
}

func TestOptionalInterfacesOfTheResponseWriter(t *testing.T) {
	option, spans := record()
	said := make(chan string, 3)
	note := func(format string, args ...any) { said <- fmt.Sprintf(format, args...) }
	mux := http.NewServeMux()
	mux.HandleFunc("/flush", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		note("%v", http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)))
	})
	mux.HandleFunc("/copy", func(w http.ResponseWriter, r *http.Request) {
		n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("copied"))
		note("%d %v", n, err)
	})
	mux.HandleFunc("/string", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "text") })
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 299 Taken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			_ = conn.Close()
		}
		note("%v", err)
	})
	s := httptest.NewServer(NewHandler(open(t), mux, option))
	defer s.Close()
	for _, path := range []string{"flush", "copy", "string", "hijack"} {
		resp, err := http.Get(s.URL + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = bufio.NewReader(resp.Body).ReadString('\n')
		_ = resp.Body.Close()
	}
	for _, want := range []string{"<nil>", "6 <nil>", "<nil>"} {
		if got := <-said; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for len(spans()) < 4 { // an answer is there before its span has ended
		time.Sleep(time.Millisecond)
	}
	for _, span := range spans() {
		if got, want := attr(span, "http.response.status_code"), "200"; got != want && span.Name() != "GET /hijack" || span.Name() == "GET /hijack" && got != "" {
			t.Errorf("%s: status %q", span.Name(), got)
		}
	}
	if _, ok := (&answer{ResponseWriter: plain{}}).withOptional().(http.Flusher); ok {
		t.Error("promises a Flush that the original has not")
	}
}

type plain struct{ http.ResponseWriter }

func TestWithARealClient(t *testing.T) {
	client := open(t, seatrial.WithPolicy("payment", resilience.Policy{Retry: quick(3), Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 3}}))
	down := httptest.NewServer(statuses(503))
	defer down.Close()
	payment := &http.Client{Transport: NewTransport(client, "payment")}
	option, spans := record()
	shop := httptest.NewServer(NewHandler(client, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequestWithContext(r.Context(), "GET", down.URL, nil)
		resp, err := payment.Do(req)
		switch {
		case errors.Is(err, resilience.ErrOpen):
			w.WriteHeader(http.StatusTooManyRequests)
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			_ = resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
		}
	}), option))
	for i, want := range []int{503, 429} {
		resp, err := http.Get(shop.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("request %d: %d, want %d", i+1, resp.StatusCode, want)
		}
	}
	shop.Close()
	if len(spans()) != 2 || client.Dependency("payment").State() != resilience.Open {
		t.Errorf("%d spans, breaker %v", len(spans()), client.Dependency("payment").State())
	}
}

func TestAddresses(t *testing.T) {
	for host, want := range map[string]string{
		"":                 "",
		"shop":             "shop 443",
		"shop:8443":        "shop 8443",
		"shop:":            "shop 443",
		"shop:http":        "shop ",
		"192.0.2.1:80":     "192.0.2.1 80",
		"[2001:db8::1]:80": "2001:db8::1 80",
		"[2001:db8::1]":    "2001:db8::1 443",
		"2001:db8::1":      "2001:db8::1 443",
		":80":              " 80",
		"[":                " 443",
	} {
		got := ""
		for i, a := range appendAddress(nil, host, "https") {
			got += []string{"", " "}[i] + a.Value.String()
		}
		if strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%q is %q, want %q", host, got, want)
		}
	}
}
