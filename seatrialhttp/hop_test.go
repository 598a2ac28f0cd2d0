package seatrialhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/internal/hop"
	"github.com/seatrial/seatrial/resilience"
)

func TestTheTimeThatIsLeftGoesAlong(t *testing.T) {
	cases := []struct {
		name   string
		policy resilience.Policy
		caller time.Duration // 0: no deadline
		want   string
	}{
		{name: "no deadline"},
		{name: "of the caller", caller: 2 * time.Second, want: "2000"},
		{name: "of the try", policy: resilience.Policy{Timeout: time.Second, TryTimeout: 300 * time.Millisecond}, caller: 2 * time.Second, want: "300"},
		{name: "of the call", policy: resilience.Policy{Timeout: time.Second}, want: "1000"},
		{name: "part of a millisecond", caller: time.Microsecond, want: "1"},
		{name: "more than anybody believes", caller: time.Hour, want: "600000"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got string
				tr := newRig(c.policy).transport(tripper(func(r *http.Request) (*http.Response, error) {
					got = r.Header.Get(TimeoutHeader)
					return respond(r, 200, ""), nil
				}))
				ctx := context.Background()
				if c.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.caller)
					defer cancel()
				}
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://payment/", nil)
				if _, err := tr.RoundTrip(req); err != nil {
					t.Fatal(err)
				}
				if got != c.want {
					t.Errorf("%s = %q, want %q", TimeoutHeader, got, c.want)
				}
			})
		})
	}
}

func TestTheCallersTimeIsHeeded(t *testing.T) {
	cases := []struct {
		name   string
		values []string
		server time.Duration // deadline of the server's own; 0: none
		want   time.Duration // 0: none
	}{
		{name: "none"},
		{name: "some", values: []string{"250"}, want: 250 * time.Millisecond},
		{name: "less than the server's", values: []string{"250"}, server: time.Second, want: 250 * time.Millisecond},
		{name: "more than the server's", values: []string{"5000"}, server: time.Second, want: time.Second},
		{name: "least", values: []string{"1"}, want: time.Millisecond},
		{name: "most", values: []string{"600000"}, want: 10 * time.Minute},
		{name: "nothing", values: []string{"0"}},
		{name: "too much", values: []string{"600001"}},
		{name: "negative", values: []string{"-5"}},
		{name: "words", values: []string{"5s"}},
		{name: "fraction", values: []string{"1.5"}},
		{name: "overflow", values: []string{"99999999999999999999999"}},
		{name: "twice", values: []string{"5", "6"}},
		{name: "empty", values: []string{""}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := httptest.NewRequest("GET", "/", nil)
				r.Header[TimeoutHeader] = c.values
				if c.server > 0 {
					ctx, cancel := context.WithTimeout(r.Context(), c.server)
					defer cancel()
					r = r.WithContext(ctx)
				}
				NewHandler(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					deadline, bounded := r.Context().Deadline()
					if bounded != (c.want > 0) || bounded && time.Until(deadline) != c.want {
						t.Errorf("deadline in %v (%v), want %v", time.Until(deadline), bounded, c.want)
					}
					if bounded && c.server == 0 {
						<-r.Context().Done()
						if !errors.Is(r.Context().Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(r.Context()), errCaller) {
							t.Errorf("ended with %v, %v", r.Context().Err(), context.Cause(r.Context()))
						}
					}
				})).ServeHTTP(httptest.NewRecorder(), r)
			})
		})
	}
}

// chain is services that call each other in a row, each with three attempts; the last one fails.
func chain(t *testing.T, length int, last http.HandlerFunc) (url string, hops []*atomic.Int64) {
	t.Helper()
	next := last
	for i := range length {
		client := open(t, seatrial.WithPolicy("next", resilience.Policy{Retry: &resilience.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Microsecond, MaxDelay: time.Microsecond}}))
		served := new(atomic.Int64)
		hops = append(hops, served)
		handle := next
		server := httptest.NewServer(NewHandler(client, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.Add(1); handle(w, r) })))
		t.Cleanup(server.Close)
		url = server.URL
		out := &http.Client{Transport: NewTransport(client, "next", WithBase(&http.Transport{}))}
		if i == length-1 {
			break
		}
		next = func(w http.ResponseWriter, r *http.Request) {
			req, _ := http.NewRequestWithContext(r.Context(), "GET", server.URL, nil)
			resp, err := out.Do(req)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(w, resp.Body)
		}
	}
	return url, hops
}

// TestR6_LayersOfServicesAddTheirAttempts: with three attempts each, a dead service four hops down
// sees three requests, and not 3·3·3: the first layer that repeats says that the rest need not.
func TestR6_LayersOfServicesAddTheirAttempts(t *testing.T) {
	url, hops := chain(t, 4, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = text(t, resp)
	if resp.StatusCode != 503 || resp.Header.Get(RetryHeader) != "no" {
		t.Errorf("status %d, %s %q", resp.StatusCode, RetryHeader, resp.Header.Get(RetryHeader))
	}
	for i, want := range []int64{3, 1, 1, 1} {
		if n := hops[i].Load(); n != want {
			t.Errorf("service %d from the end served %d requests, want %d", i, n, want)
		}
	}
}

// TestR6_ARepetitionIsNotRepeated: the same with a layer that fails on its own first, so that it is
// the first attempt of the outer one that goes deep, and its second that says it is one.
func TestR6_ARepetitionIsNotRepeated(t *testing.T) {
	seen := make(chan string, 100)
	url, hops := chain(t, 3, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get(AttemptHeader)
		panic(http.ErrAbortHandler) // no answer, so nothing to say "no" with
	})
	req, _ := http.NewRequest("GET", url, nil)
	req.Header.Set(AttemptHeader, "2")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = text(t, resp)
	for i, want := range []int64{1, 1, 1} {
		if n := hops[i].Load(); n != want {
			t.Errorf("service %d from the end served %d requests, want %d", i, n, want)
		}
	}
	if got := <-seen; got != "2" {
		t.Errorf("the last service was told of attempt %q, want 2", got)
	}
}

func TestRetryNoIsSaidWhereItIsTrue(t *testing.T) {
	cases := []struct {
		name   string
		policy resilience.Policy
		inner  int // status of the dependency
		outer  int // status of the answer; 0: the same
		before int // calls before
		want   string
	}{
		{name: "exhausted", policy: resilience.Policy{Retry: quick(2)}, inner: 503, want: "no"},
		{name: "open", policy: resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}}, inner: 503, outer: 500, before: 1, want: "no"},
		{name: "never repeated", policy: resilience.Policy{}, inner: 503},
		{name: "made good", policy: resilience.Policy{Retry: quick(2)}, inner: 503, outer: 200},
		{name: "all is well", policy: resilience.Policy{Retry: quick(2)}, inner: 200, outer: 500},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rig := newRig(c.policy)
			tr := rig.transport(tripper(func(r *http.Request) (*http.Response, error) { return respond(r, c.inner, ""), nil }))
			call := func(ctx context.Context) {
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://payment/", nil)
				if resp, err := tr.RoundTrip(req); err == nil {
					_ = resp.Body.Close()
				}
			}
			for range c.before {
				call(context.Background())
			}
			w := httptest.NewRecorder()
			NewHandler(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				call(r.Context())
				if c.outer == 0 {
					c.outer = c.inner
				}
				w.WriteHeader(c.outer)
			})).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			if got := w.Header().Get(RetryHeader); got != c.want {
				t.Errorf("%s = %q, want %q", RetryHeader, got, c.want)
			}
		})
	}
}

func TestRetryNoIsObeyed(t *testing.T) {
	for value, want := range map[string]int{"no": 1, "yes": 3, "": 3} {
		tries := 0
		tr := newRig(resilience.Policy{Retry: quick(3)}).transport(tripper(func(r *http.Request) (*http.Response, error) {
			tries++
			resp := respond(r, 503, "")
			resp.Header.Set(RetryHeader, value)
			return resp, nil
		}))
		req, _ := http.NewRequest("GET", "http://payment/", nil)
		if resp, err := tr.RoundTrip(req); err != nil || resp.StatusCode != 503 || tries != want {
			t.Errorf("%q: %d tries, want %d; %v", value, tries, want, err)
		}
	}
}

// FuzzHeadersOfAHop: whatever strangers send, time only gets less, and nothing panics.
func FuzzHeadersOfAHop(f *testing.F) {
	for _, v := range []string{"", "1", "250", "600000", "600001", "-1", "+5", "0x10", " 7", "1e3", strings.Repeat("9", 400)} {
		f.Add(v, v)
	}
	f.Fuzz(func(t *testing.T, timeout, attempt string) {
		h := http.Header{TimeoutHeader: {timeout}, AttemptHeader: {attempt}}
		own, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ctx, done := heed(own, h)
		defer done()
		limit, _ := own.Deadline()
		if deadline, ok := ctx.Deadline(); !ok || deadline.After(limit) {
			t.Errorf("deadline %v, own %v", deadline, limit)
		}
		if n := hop.Attempt(ctx); n != 1 && (n < 2 || n > maxAttempt || strconv.Itoa(n) != strings.TrimLeft(attempt, "0")) {
			t.Errorf("attempt %d of %q", n, attempt)
		}
		out := http.Header{}
		tell(ctx, hop.Attempt(ctx), out)
		if n, ok := number(out, TimeoutHeader, 1, maxTimeout.Milliseconds()); !ok || n > time.Minute.Milliseconds() {
			t.Errorf("passes on %q", out)
		}
	})
}
