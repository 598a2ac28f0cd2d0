package seatrialhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/resilience"
)

// The classic mistake: the context of the try is cancelled when the try is over, and with it the
// body that the caller is about to read.
func TestTheBodyOutlivesTheTry(t *testing.T) {
	more := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	}))
	defer server.Close()
	client := &http.Client{Transport: newRig(resilience.Policy{Timeout: time.Minute, TryTimeout: time.Minute, Retry: quick(2)}).transport(http.DefaultTransport)}
	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	close(more)
	if got := text(t, resp); len(got) != 1<<20+len("first ") {
		t.Errorf("read %d bytes", len(got))
	}
}

// slow is a body that gives nothing until its context ends.
type slow struct{ ctx context.Context }

func (s slow) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, context.Cause(s.ctx) }
func (s slow) Close() error             { return nil }

func TestTheBodyEndsWithTheTimeoutTheCallerOrClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inner context.Context
		base := tripper(func(r *http.Request) (*http.Response, error) {
			inner = r.Context()
			resp := respond(r, 200, "")
			resp.Body = slow{r.Context()}
			return resp, nil
		})
		tr := newRig(resilience.Policy{TryTimeout: time.Second}).transport(base)
		caller, cancel := context.WithCancel(context.WithValue(context.Background(), slow{}, "kept"))
		open := func() *http.Response {
			req, _ := http.NewRequestWithContext(caller, "GET", "http://payment/", nil)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if inner.Err() != nil || inner.Value(slow{}) != "kept" {
				t.Fatal("the answer's context is over or lost its values")
			}
			if deadline, ok := inner.Deadline(); !ok || time.Until(deadline) != time.Second {
				t.Errorf("the deadline is hidden from the base: %v %v", deadline, ok)
			}
			return resp
		}
		began := time.Now()
		if _, err := open().Body.Read(nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("timeout: %v after %v", err, time.Since(began))
		}
		resp := open()
		_ = resp.Body.Close()
		if inner.Err() == nil {
			t.Error("closing the body leaves its context alive")
		}
		resp = open()
		cancel()
		if _, err := resp.Body.Read(nil); !errors.Is(err, context.Canceled) {
			t.Errorf("caller: %v", err)
		}
	})
}

// HTTP/2 says only that a request was cancelled; the caller learns that its time was over.
func TestATimeoutIsOneInEveryVersion(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, inBody := range []bool{false, true} {
			over := make(chan struct{})
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if inBody {
					w.(http.Flusher).Flush()
				}
				<-over // and not when the client goes: the end of the answer might still reach it
			}))
			s.EnableHTTP2 = h2
			s.StartTLS()
			option, spans := record()
			tr := newRig(resilience.Policy{TryTimeout: 200 * time.Millisecond}).transport(s.Client().Transport, option)
			resp, err := (&http.Client{Transport: tr}).Get(s.URL)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("HTTP/2 %v, in the body %v: %v", h2, inBody, err)
			}
			if kind := attr(spans()[0], "error.type"); resp == nil && kind != "timeout" {
				t.Errorf("HTTP/2 %v: the span says %q", h2, kind)
			}
			close(over)
			s.Close()
		}
	}
}
