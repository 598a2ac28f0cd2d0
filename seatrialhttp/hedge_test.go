package seatrialhttp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
)

// rivals is a policy under which a try that takes 10 ms gets a rival.
func rivals() resilience.Policy {
	return resilience.Policy{Timeout: time.Minute, Hedge: &resilience.HedgePolicy{Delay: 10 * time.Millisecond, Max: 1, Budget: 1}}
}

func TestWhatHasRivals(t *testing.T) {
	cases := []struct {
		name   string
		method string
		body   io.Reader
		want   string
		header string
		tries  int
	}{
		{name: "get", method: "GET", tries: 2},
		{name: "put, body by GetBody", method: "PUT", body: strings.NewReader("whole"), want: "whole", tries: 2},
		{name: "put, short stream", method: "PUT", body: io.MultiReader(strings.NewReader("short")), want: "short", tries: 2},
		{name: "put, long stream", method: "PUT", body: io.MultiReader(strings.NewReader(strings.Repeat("l", maxKept+1))), want: strings.Repeat("l", maxKept+1), tries: 1},
		{name: "post", method: "POST", body: strings.NewReader("x"), want: "x", tries: 1},
		{name: "post with key", method: "POST", body: strings.NewReader("x"), want: "x", header: "Idempotency-Key", tries: 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries, given atomic.Int64
				base := tripper(func(r *http.Request) (*http.Response, error) {
					n := tries.Add(1)
					if r.Body != nil {
						got, err := io.ReadAll(r.Body)
						if string(got) != c.want || err != nil {
							t.Errorf("try %d sent %d bytes, %v", n, len(got), err)
						}
						_ = r.Body.Close()
					}
					if got, want := r.Header.Get(AttemptHeader), []string{"", "", "2"}[n]; got != want {
						t.Errorf("try %d says that it is %q, want %q", n, got, want)
					}
					select {
					case <-time.After([]time.Duration{0, time.Second, time.Millisecond}[n]):
						return respond(r, 200, "done"), nil
					case <-r.Context().Done():
						given.Add(1)
						return nil, r.Context().Err()
					}
				})
				req, _ := http.NewRequest(c.method, "http://payment/", c.body)
				if c.header != "" {
					req.Header.Set(c.header, "k")
				}
				option, spans := record()
				began := time.Now()
				resp, err := newRig(rivals()).transport(base, option).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(began)
				_ = text(t, resp)
				synctest.Wait()
				if n := int(tries.Load()); n != c.tries || len(spans()) != n || int(given.Load()) != n-1 {
					t.Errorf("%d tries, %d given up, %d spans; want %d tries", n, given.Load(), len(spans()), c.tries)
				}
				if want := []time.Duration{0, time.Second, 11 * time.Millisecond}[c.tries]; took != want {
					t.Errorf("took %v, want %v", took, want)
				}
			})
		})
	}
}

// TestTheAnswerOfALoserIsClosed: both answer; whichever is not the caller's is closed, once it is
// there, and the winner need not wait for what is left of it.
func TestTheAnswerOfALoserIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries, closed atomic.Int64
		base := tripper(func(r *http.Request) (*http.Response, error) {
			n := tries.Add(1)
			time.Sleep([]time.Duration{0, 15 * time.Millisecond, 10 * time.Millisecond}[n]) // minds no context
			resp := respond(r, []int{0, 503, 200}[n], "")
			resp.Body = &counted{slow{r.Context()}, &closed}
			return resp, nil
		})
		began := time.Now()
		req, _ := http.NewRequest("GET", "http://payment/", nil)
		resp, err := newRig(rivals()).transport(base).RoundTrip(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if took := time.Since(began); took != 20*time.Millisecond {
			t.Errorf("took %v", took)
		}
		time.Sleep(drainTime + time.Millisecond)
		if closed.Load() != 1 {
			t.Errorf("%d answers closed, want that of the loser", closed.Load())
		}
		_ = resp.Body.Close()
		if closed.Load() != 2 {
			t.Errorf("%d answers closed", closed.Load())
		}
	})
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Close() error { c.n.Add(1); return c.ReadCloser.Close() }

// TestALateRivalDoesNotTouchTheRequest: a try that starts when the caller has got his answer, and
// may use his request again, ends by itself. The race detector has a say in this.
func TestALateRivalDoesNotTouchTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig := newRig(rivals())
		late, calls := make(chan struct{}), atomic.Int64{}
		rig.point.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
			if calls.Add(1) == 1 {
				<-late
			}
			return nil, fault.Assignment{}
		}), nil)
		var sent atomic.Int64
		tr := rig.transport(tripper(func(r *http.Request) (*http.Response, error) { sent.Add(1); return respond(r, 200, ""), nil }))
		req, _ := http.NewRequest("GET", "http://payment/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		req.Header.Set("Used", "again")
		req.URL.Path = "/elsewhere"
		close(late)
		synctest.Wait()
		if sent.Load() != 1 {
			t.Errorf("%d requests sent", sent.Load())
		}
	})
}

// server is one over a real network whose connections are counted.
func server(t *testing.T, h2 bool, h http.Handler) (s *httptest.Server, tr *http.Transport, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	s = httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	if s.EnableHTTP2 = h2; h2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	tr = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: h2}
	t.Cleanup(s.Close)
	return s, tr, connections
}

// settles waits until no more goroutines run than there were.
func settles(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d at the start:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(time.Millisecond)
	}
}

// bodies counts answers with a body, and those that were closed.
type bodies struct {
	http.RoundTripper
	opened, closed atomic.Int64
}

func (b *bodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		b.opened.Add(1)
		resp.Body = &counted{resp.Body, &b.closed}
	}
	return resp, err
}

func TestRivalsLeaveNothingBehind(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1", true: "HTTP2"}[h2], func(t *testing.T) {
			before := runtime.NumGoroutine()
			var n atomic.Int64
			s, tr, connections := server(t, h2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, _ := io.ReadAll(r.Body)
				if n.Add(1)%2 == 1 { // the first of each pair is slow
					select {
					case <-r.Context().Done():
					case <-time.After(20 * time.Millisecond):
					}
				}
				_, _ = w.Write(got)
			}))
			base := &bodies{RoundTripper: tr}
			client := &http.Client{Transport: newRig(rivals()).transport(base)}
			const requests = 40
			for i := range requests {
				want := strings.Repeat("charge ", 100*i)
				req, _ := http.NewRequest("PUT", s.URL, strings.NewReader(want))
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if got := text(t, resp); got != want {
					t.Fatalf("request %d got %d bytes, want %d", i, len(got), len(want))
				}
			}
			tr.CloseIdleConnections()
			s.Close()
			settles(t, before)
			if opened, closed := base.opened.Load(), base.closed.Load(); opened < requests || opened != closed {
				t.Errorf("%d answers, %d closed", opened, closed)
			}
			t.Logf("%d requests of the caller, %d sent, %d answers, %d connections", requests, n.Load(), base.opened.Load(), connections.Load())
			if h2 && connections.Load() > 2 { // net/http makes a second one if a rival comes before the first is there
				t.Errorf("%d connections", connections.Load())
			}
		})
	}
}
