package seatrialhttp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/resilience"
)

// guarded is a policy as one would write it for a dependency.
var guarded = resilience.Policy{
	Timeout: 10 * time.Second, TryTimeout: time.Second,
	Retry:   &resilience.RetryPolicy{MaxAttempts: 3},
	Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 5},
}

// benchClients are those that the costs of an adapter depend on.
func benchClients(b *testing.B) []struct {
	name   string
	client *seatrial.Client
} {
	b.Helper()
	guard, err := seatrial.Open(context.Background(), seatrial.WithPolicy("payment", guarded))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = guard.Close(context.Background()) })
	return []struct {
		name   string
		client *seatrial.Client
	}{{"nil client", nil}, {"policy", guard}}
}

// BenchmarkTransport is what the transport adds to a request that takes no time at all.
func BenchmarkTransport(b *testing.B) {
	answer := &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}}
	base := tripper(func(*http.Request) (*http.Response, error) { a := *answer; return &a, nil })
	request, _ := http.NewRequest("GET", "http://payment/charges", nil)
	run := func(name string, rt http.RoundTripper) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resp, err := rt.RoundTrip(request)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
	run("plain", base)
	for _, c := range benchClients(b) {
		run(c.name, NewTransport(c.client, "payment", WithBase(base)))
	}
}

// BenchmarkTransportOverLoopback is a whole request to a server on this machine.
func BenchmarkTransportOverLoopback(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "done") }))
	defer server.Close()
	run := func(name string, rt http.RoundTripper) {
		b.Run(name, func(b *testing.B) {
			client := &http.Client{Transport: rt}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := client.Get(server.URL)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	run("plain", http.DefaultTransport)
	for _, c := range benchClients(b) {
		run(c.name, NewTransport(c.client, "payment"))
	}
}

// BenchmarkHandler is what the handler adds to one that does nothing.
func BenchmarkHandler(b *testing.B) {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	request := httptest.NewRequest("GET", "http://shop/orders", nil)
	run := func(name string, h http.Handler) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(sink{}, request)
			}
		})
	}
	run("plain", next)
	for _, c := range benchClients(b) {
		run(c.name, NewHandler(c.client, next))
	}
}

// sink is a ResponseWriter that keeps nothing.
type sink struct{}

func (sink) Header() http.Header         { return http.Header{} }
func (sink) Write(p []byte) (int, error) { return len(p), nil }
func (sink) WriteHeader(int)             {}
