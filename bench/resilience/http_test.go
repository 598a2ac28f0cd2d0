package resilience_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/resilience"
	"github.com/seatrial/seatrial/seatrialhttp"
)

// flaky is a server that answers every request with two 500s before it answers with 200, and counts what it sees.
type flaky struct {
	*httptest.Server
	connections, requests, wrong atomic.Int64

	mu   sync.Mutex
	seen map[string]int
}

const answers = 3 // of the server to one request: two failures, then it works

func newFlaky() *flaky {
	f := &flaky{seen: map[string]int{}}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			f.connections.Add(1)
		}
	}
	f.Start()
	return f
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	id := r.Header.Get("Idempotency-Key")
	if err != nil || string(body) != bodyOf(id) {
		f.wrong.Add(1)
	}
	f.requests.Add(1)
	f.mu.Lock()
	f.seen[id]++
	again := f.seen[id] < answers
	f.mu.Unlock()
	if again {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, _ = w.Write(bytes.Repeat([]byte("answer "), 300))
}

func bodyOf(id string) string { return "order " + id }

// clients are HTTP clients that retry.
var clients = []struct {
	name string
	make func(base *http.Transport) http.RoundTripper
}{
	{"Seatrial", func(base *http.Transport) http.RoundTripper {
		c, err := seatrial.Open(background, seatrial.WithPolicy("flaky", resilience.Policy{
			Retry: &resilience.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Millisecond},
		}))
		if err != nil {
			panic(err)
		}
		return seatrialhttp.NewTransport(c, "flaky", seatrialhttp.WithBase(base))
	}},
	{"failsafe-go", func(base *http.Transport) http.RoundTripper {
		return failsafehttp.NewRoundTripper(base, failsafehttp.NewRetryPolicyBuilder().WithMaxAttempts(3).WithDelay(time.Millisecond).Build())
	}},
}

// burst makes n requests one after the other and gives how many of them were answered with 200.
func burst(f *flaky, transport http.RoundTripper, n int) (good int) {
	client := &http.Client{Transport: transport}
	for i := range n {
		id := fmt.Sprint(i)
		r, err := http.NewRequest(http.MethodPost, f.URL, bytes.NewReader([]byte(bodyOf(id))))
		if err != nil {
			panic(err)
		}
		r.Header.Set("Idempotency-Key", id)
		answer, err := client.Do(r)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			good++
		}
	}
	return good
}

// TestConnections holds our side of BenchmarkConnections: 20 requests of 3 tries each, over at most 2 connections.
func TestConnections(t *testing.T) {
	for _, c := range clients {
		f := newFlaky()
		defer f.Close()
		base := &http.Transport{}
		defer base.CloseIdleConnections()
		if good := burst(f, c.make(base), 20); good != 20 || f.requests.Load() != 60 || f.wrong.Load() > 0 {
			t.Errorf("%s: %d of 20 answered, %d requests, %d with a wrong body", c.name, good, f.requests.Load(), f.wrong.Load())
		}
		if n := f.connections.Load(); c.name == "Seatrial" && n > 2 {
			t.Errorf("%d connections, at most 2 are promised", n)
		}
	}
}

// BenchmarkConnections counts the connections that 20 requests with two 500s each take, and the goroutines left behind.
func BenchmarkConnections(b *testing.B) {
	for _, c := range clients {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				f, base := newFlaky(), &http.Transport{}
				before := runtime.NumGoroutine()
				burst(f, c.make(base), 20)
				base.CloseIdleConnections()
				time.Sleep(100 * time.Millisecond)
				b.ReportMetric(float64(f.connections.Load()), "connections")
				b.ReportMetric(float64(runtime.NumGoroutine()-before), "goroutines-left")
				f.CloseClientConnections()
				f.Close()
			}
		})
	}
}
