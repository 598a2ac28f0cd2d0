package seatrialhttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/codes"
)

func TestFaults(t *testing.T) {
	failing := &fault.Fault{Kind: fault.KindError, Status: 503, Message: "no capacity"}
	cases := []struct {
		name   string
		faults []*fault.Fault
		status int // 0: an error
		header bool
		body   string
		sent   int // requests that reached the dependency
		tries  int
	}{
		{name: "none", status: 200, body: "real", sent: 1, tries: 1},
		{name: "an error, then not", faults: []*fault.Fault{failing}, status: 200, body: "real", sent: 1, tries: 2},
		{name: "errors", faults: []*fault.Fault{failing, failing, failing}, status: 503, header: true, body: "no capacity\n", tries: 3},
		{name: "an error the dependency answers with", faults: []*fault.Fault{{Kind: fault.KindError, Status: 404}}, status: 404, header: true, body: "Not Found\n", tries: 1},
		{name: "lost replies", faults: []*fault.Fault{
			{Kind: fault.KindError, Phase: fault.After, Status: 500, Message: "lost"}, {Kind: fault.KindError, Phase: fault.After, Status: 500, Message: "lost"}},
			status: 200, body: "real", sent: 3, tries: 3},
		{name: "cancelled", faults: []*fault.Fault{{Kind: fault.KindCancel}, {Kind: fault.KindCancel}, {Kind: fault.KindCancel}}, tries: 3, sent: 3},
		{name: "cancelled once", faults: []*fault.Fault{{Kind: fault.KindCancel}}, tries: 2, sent: 2, status: 200, body: "real"},
		{name: "late", faults: []*fault.Fault{{Kind: fault.KindLatency, Min: time.Hour, Max: time.Hour}}, status: 200, body: "real", tries: 2, sent: 1},
		{name: "late reply", faults: []*fault.Fault{{Kind: fault.KindLatency, Phase: fault.After, Min: time.Hour, Max: time.Hour}}, status: 200, body: "real", tries: 2, sent: 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				var open []*closes
				base := tripper(func(r *http.Request) (*http.Response, error) {
					sent++
					if err := r.Context().Err(); err != nil {
						return nil, err
					}
					resp := respond(r, 200, "real")
					body := &closes{resp.Body, new(int)}
					open = append(open, body)
					resp.Body = body
					return resp, nil
				})
				rig := newRig(resilience.Policy{TryTimeout: time.Second, Retry: quick(3)})
				rig.inject(c.faults...)
				option, spans := record()
				req, _ := http.NewRequest("GET", "http://payment/", nil)
				resp, err := rig.transport(base, option).RoundTrip(req)
				if sent != c.sent || len(spans()) != c.tries {
					t.Errorf("%d requests sent in %d tries, want %d in %d", sent, len(spans()), c.sent, c.tries)
				}
				for i, s := range spans() {
					if hit := i < len(c.faults); (attr(s, fault.AttrExperiment) == "storm") != hit {
						t.Errorf("try %d: span says %q", i+1, attr(s, fault.AttrExperiment))
					}
					if failed := i < len(c.faults); (s.Status().Code == codes.Error) != failed {
						t.Errorf("try %d: status %v", i+1, s.Status())
					}
				}
				if c.status == 0 {
					if !errors.Is(err, fault.ErrInjected) || !errors.Is(err, context.Canceled) {
						t.Errorf("error %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := resp.Header.Get(FaultHeader) != ""; resp.StatusCode != c.status || got != c.header {
					t.Errorf("status %d, header %v; want %d, %v", resp.StatusCode, got, c.status, c.header)
				}
				if got := text(t, resp); got != c.body || resp.ContentLength != int64(len(c.body)) {
					t.Errorf("body %q (%d), want %q", got, resp.ContentLength, c.body)
				}
				for i, body := range open {
					if *body.n == 0 {
						t.Errorf("answer %d was not closed", i+1)
					}
				}
			})
		})
	}
}

func TestAnInjectedErrorOpensTheBreakerAndAPostIsNotRepeated(t *testing.T) {
	rig := newRig(resilience.Policy{Retry: quick(3), Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}})
	rig.inject(&fault.Fault{Kind: fault.KindError, Status: 503})
	tr := rig.transport(tripper(func(r *http.Request) (*http.Response, error) { return respond(r, 200, ""), nil }))
	closed := 0
	req, _ := http.NewRequest("POST", "http://payment/", strings.NewReader("x"))
	req.Body = &closes{req.Body, &closed}
	resp, err := tr.RoundTrip(req)
	if err != nil || resp.StatusCode != 503 || closed != 1 {
		t.Fatalf("%v, %v, body closed %d times", resp, err, closed)
	}
	req, _ = http.NewRequest("POST", "http://payment/", nil)
	if _, err := tr.RoundTrip(req); !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("error %v, want ErrOpen", err)
	}
}

// scratch is a server that answers with ten kilobytes, in two pieces, and counts its requests and
// connections.
func scratch(t *testing.T) (url string, requests, connections *atomic.Int64) {
	t.Helper()
	requests, connections = new(atomic.Int64), new(atomic.Int64)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.WriteString(w, strings.Repeat("a", 5000))
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, strings.Repeat("b", 5000))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, requests, connections
}

func TestFaultsThatLookLikeABrokenNetwork(t *testing.T) {
	cases := []struct {
		name  string
		fault fault.Fault
		sent  int64
		is    error
	}{
		{"reset", fault.Fault{Kind: fault.KindReset}, 0, syscall.ECONNRESET},
		{"reset after", fault.Fault{Kind: fault.KindReset, Phase: fault.After}, 1, syscall.ECONNRESET},
		{"lost reply", fault.Fault{Kind: fault.KindLostReply}, 1, syscall.ECONNRESET},
		{"black hole", fault.Fault{Kind: fault.KindLatency, Phase: fault.Instead, Min: time.Millisecond, Max: time.Millisecond}, 0, os.ErrDeadlineExceeded},
		{"cancelled", fault.Fault{Kind: fault.KindCancel}, 0, context.Canceled},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			url, requests, connections := scratch(t)
			rig := newRig(resilience.Policy{})
			option, spans := record()
			client := &http.Client{Transport: rig.transport(&http.Transport{}, option)}
			rig.inject(nil, &c.fault)
			resp, err := client.Get(url) // not hit: opens the connection
			if err != nil {
				t.Fatal(err)
			}
			_ = text(t, resp)
			_, err = client.Get(url)
			if by, hit := fault.From(err); !hit || !errors.Is(err, c.is) || by.Kind != c.fault.Kind || by.Experiment != "storm" {
				t.Errorf("error %v, want an injected one that is %v", err, c.is)
			}
			if n := requests.Load() - 1; n != c.sent {
				t.Errorf("the dependency saw %d requests, want %d", n, c.sent)
			}
			last := spans()[1]
			if attr(last, fault.AttrKind) != string(c.fault.Kind) || last.Status().Code != codes.Error || attr(last, "error.type") != "injected" {
				t.Errorf("span: kind %q, %v, error %q", attr(last, fault.AttrKind), last.Status(), attr(last, "error.type"))
			}
			if n := rig.point.Active(); n != 0 {
				t.Errorf("%d calls still count as under a fault", n)
			}
			resp, err = client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			_ = text(t, resp)
			if n := connections.Load(); n != 1 && c.fault.Kind != fault.KindCancel {
				t.Errorf("%d connections: that of the lost answer was not used again", n)
			}
		})
	}
}

func TestFaultsOfTheBody(t *testing.T) {
	whole := strings.Repeat("a", 5000) + strings.Repeat("b", 5000)
	cases := []struct {
		name  string
		fault fault.Fault
		check func(t *testing.T, body string, err error, took time.Duration)
	}{
		{"truncated", fault.Fault{Kind: fault.KindTruncate, AfterBytes: 7000}, func(t *testing.T, body string, err error, _ time.Duration) {
			if body != whole[:7000] || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, fault.ErrInjected) {
				t.Errorf("read %d bytes, error %v", len(body), err)
			}
		}},
		{"corrupted", fault.Fault{Kind: fault.KindCorrupt, Share: 0.1}, func(t *testing.T, body string, err error, _ time.Duration) {
			wrong := 0
			for i := range body {
				if body[i] != whole[i] {
					wrong++
				}
			}
			if len(body) != len(whole) || err != nil || wrong < 800 || wrong > 1200 {
				t.Errorf("read %d bytes, %d of them wrong, error %v", len(body), wrong, err)
			}
		}},
		{"slow", fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 100_000}, func(t *testing.T, body string, err error, took time.Duration) {
			if body != whole || err != nil || took < 90*time.Millisecond {
				t.Errorf("read %d bytes in %v, error %v", len(body), took, err)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			url, _, connections := scratch(t)
			rig := newRig(resilience.Policy{Timeout: time.Minute, TryTimeout: time.Minute})
			option, spans := record()
			client := &http.Client{Transport: rig.transport(&http.Transport{}, option)}
			rig.inject(&c.fault)
			began := time.Now()
			resp, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			if rig.point.Active() != 1 || len(spans()) != 0 {
				t.Errorf("%d calls under a fault, %d spans over, while the body is still to come", rig.point.Active(), len(spans()))
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			c.check(t, string(body), err, time.Since(began))
			if rig.point.Active() != 0 || len(spans()) != 1 || attr(spans()[0], fault.AttrKind) != string(c.fault.Kind) {
				t.Errorf("%d calls under a fault, spans %v", rig.point.Active(), spans())
			}
			resp, err = client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			_ = text(t, resp)
			if n := connections.Load(); n > 2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestACancellationReachesTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig := newRig(resilience.Policy{TryTimeout: time.Minute})
		rig.inject(&fault.Fault{Kind: fault.KindCancel, Min: time.Second, Max: time.Second})
		tr := rig.transport(tripper(func(r *http.Request) (*http.Response, error) {
			resp := respond(r, 200, "")
			resp.Body = slow{r.Context()}
			return resp, nil
		}))
		began := time.Now()
		req, _ := http.NewRequest("GET", "http://payment/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = resp.Body.Read(nil)
		if took := time.Since(began); !errors.Is(err, fault.ErrInjected) || !errors.Is(err, context.Canceled) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
		_ = resp.Body.Close()
		if rig.point.Active() != 0 {
			t.Error("the call still counts as under a fault")
		}
	})
}

func TestWhenAFaultIsCalledOffItsCallGoesOn(t *testing.T) {
	for _, phase := range []fault.Phase{fault.Before, fault.After, fault.Instead} {
		t.Run(string(phase), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rig := newRig(resilience.Policy{})
				rig.inject(&fault.Fault{Kind: fault.KindLatency, Phase: phase, Min: 5 * time.Second, Max: 5 * time.Second})
				tr := rig.transport(tripper(func(r *http.Request) (*http.Response, error) { return respond(r, 200, "real"), nil }))
				time.AfterFunc(time.Second, rig.point.Off)
				began := time.Now()
				req, _ := http.NewRequest("GET", "http://payment/", nil)
				resp, err := tr.RoundTrip(req)
				if err != nil || time.Since(began) != time.Second {
					t.Fatalf("%v after %v", err, time.Since(began))
				}
				if got := text(t, resp); got != "real" || rig.point.Active() != 0 {
					t.Errorf("got %q, %d active", got, rig.point.Active())
				}
			})
		})
	}
}

func TestAPanicInTheCallLeavesNothingBehind(t *testing.T) {
	explode := tripper(func(r *http.Request) (*http.Response, error) { panic("boom") })
	end := tripper(func(r *http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil })
	cases := []struct {
		name  string
		base  http.RoundTripper
		fault *fault.Fault
		want  bool // a panic
	}{
		{name: "the base panics", base: explode, want: true},
		{name: "the base panics under a fault", base: explode, fault: &fault.Fault{Kind: fault.KindLatency}, want: true},
		{name: "an injected panic", base: explode, fault: &fault.Fault{Kind: fault.KindPanic}, want: true},
		{name: "goexit", base: end},
		{name: "goexit under a fault", base: end, fault: &fault.Fault{Kind: fault.KindCancel, Min: time.Hour, Max: time.Hour}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
				tries, former := 0, 0
				base := tripper(func(r *http.Request) (*http.Response, error) {
					if tries++; tries == 1 {
						resp := respond(r, 503, "later")
						resp.Body = &closes{resp.Body, &former}
						return resp, nil
					}
					return c.base.RoundTrip(r)
				})
				rig := newRig(resilience.Policy{Timeout: time.Minute, TryTimeout: time.Minute, Retry: quick(2), Breaker: &resilience.BreakerPolicy{}})
				rig.inject(nil, c.fault)
				option, spans := record()
				req, _ := http.NewRequest("PUT", "http://payment/", strings.NewReader("x"))
				over, panicked := make(chan struct{}), false
				go func() {
					defer close(over)
					defer func() { panicked = recover() != nil }()
					_, _ = rig.transport(base, option).RoundTrip(req)
				}()
				<-over
				if panicked != c.want {
					t.Errorf("panicked: %v", panicked)
				}
				if former == 0 || rig.point.Active() != 0 || len(spans()) != 2 {
					t.Errorf("first answer closed %d times, %d under a fault, %d spans over", former, rig.point.Active(), len(spans()))
				}
			})
		})
	}
}

// foreign is a context that is not the standard library's: what waits for its end needs a goroutine.
type foreign struct {
	context.Context
	done chan struct{}
}

func (f foreign) Done() <-chan struct{} { return f.done }
func (f foreign) Value(any) any         { return nil }

// TestNothingWaitsForTheCallersContext: contexts of callers may live as long as the process, so
// whatever a request hung on to them goes with the request, however it ended.
func TestNothingWaitsForTheCallersContext(t *testing.T) {
	bases := map[string]tripper{
		"answer": func(r *http.Request) (*http.Response, error) { return respond(r, 200, "done"), nil },
		"status": func(r *http.Request) (*http.Response, error) { return respond(r, 503, "later"), nil },
		"error":  func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"panic":  func(*http.Request) (*http.Response, error) { panic("boom") },
	}
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
				tr := newRig(resilience.Policy{Retry: quick(2)}).transport(base)
				req, _ := http.NewRequestWithContext(foreign{context.Background(), make(chan struct{})}, "GET", "http://payment/", nil)
				defer func() { _ = recover() }()
				if resp, err := tr.RoundTrip(req); err == nil {
					_ = text(t, resp)
				}
			})
		})
	}
}
