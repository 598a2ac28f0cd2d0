package seatrialhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/resilience"
)

func TestFallback(t *testing.T) {
	cached := func(*http.Request, error) (*http.Response, error) {
		return &http.Response{StatusCode: 203, Body: io.NopCloser(strings.NewReader("cached"))}, nil
	}
	own := errors.New("nothing in the cache")
	cases := []struct {
		name    string
		policy  resilience.Policy
		status  int // of the dependency; 0: it never answers
		before  int // requests before
		instead func(*http.Request, error) (*http.Response, error)
		want    int // status; 0: an error
		is      error
		told    error // what the fallback is told; nil: it is not asked
		code    int   // of a StatusError that it is told
	}{
		{name: "not needed", status: 200, instead: cached, want: 200},
		{name: "an answer that is no failure", status: 404, instead: cached, want: 404},
		{name: "a failure", status: 503, instead: cached, want: 203, told: &StatusError{}, code: 503},
		{name: "after retries", policy: resilience.Policy{Retry: quick(3)}, status: 500, instead: cached, want: 203, told: resilience.ErrExhausted, code: 500},
		{name: "the breaker is open", policy: resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 1}}, before: 1, status: 503, instead: cached, want: 203, told: resilience.ErrOpen},
		{name: "too late", policy: resilience.Policy{TryTimeout: time.Second}, instead: cached, want: 203, told: context.DeadlineExceeded},
		{name: "not for that", policy: resilience.Policy{Fallback: &resilience.FallbackPolicy{On: []resilience.Reason{resilience.ReasonOpen}}}, status: 503, instead: cached, want: 503},
		{name: "has none", status: 503, instead: func(*http.Request, error) (*http.Response, error) { return nil, own }, is: own, told: &StatusError{}, code: 503},
		{name: "gives nothing", status: 503, instead: func(*http.Request, error) (*http.Response, error) { return nil, nil }, is: &StatusError{}, told: &StatusError{}, code: 503},
		{name: "without a body", status: 503, instead: func(*http.Request, error) (*http.Response, error) { return &http.Response{StatusCode: 204}, nil }, want: 204, told: &StatusError{}, code: 503},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opened, closed := 0, 0
				base := tripper(func(r *http.Request) (*http.Response, error) {
					if c.status == 0 {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					opened++
					resp := respond(r, c.status, "real")
					resp.Body = &closes{resp.Body, &closed}
					return resp, nil
				})
				var told error
				tr := newRig(c.policy).transport(base, WithFallback(func(r *http.Request, failed error) (*http.Response, error) {
					if told = failed; r.URL.Path != "/charges" {
						t.Errorf("asked for %s", r.URL)
					}
					return c.instead(r, failed)
				}))
				var resp *http.Response
				var err error
				for range c.before + 1 {
					req, _ := http.NewRequest("GET", "http://payment/charges", nil)
					if resp, err = tr.RoundTrip(req); err == nil {
						if resp.Request != req {
							t.Error("the answer belongs to another request")
						}
						_ = text(t, resp)
					}
				}
				if c.want == 0 && !is(err, c.is) || c.want != 0 && (err != nil || resp.StatusCode != c.want) {
					t.Errorf("%v, %v", resp, err)
				}
				if (told != nil) != (c.told != nil) || told != nil && !is(told, c.told) {
					t.Errorf("told %v, want %v", told, c.told)
				}
				if status := new(StatusError); c.code != 0 && (!errors.As(told, &status) || status.StatusCode != c.code) {
					t.Errorf("told %v, want status %d", told, c.code)
				}
				if closed < opened {
					t.Errorf("%d answers, %d closed", opened, closed)
				}
			})
		})
	}
}

// is is errors.Is, and takes any StatusError for any other.
func is(err, target error) bool {
	if _, status := target.(*StatusError); status {
		return errors.As(err, new(*StatusError))
	}
	return errors.Is(err, target)
}

func TestAFallbackIsNotAskedWhenTheCallerHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	tr := newRig(resilience.Policy{}).transport(tripper(func(r *http.Request) (*http.Response, error) {
		cancel()
		return nil, r.Context().Err()
	}), WithFallback(func(*http.Request, error) (*http.Response, error) { t.Error("asked"); return nil, nil }))
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://payment/", nil)
	if _, err := tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAFallbackNeedsNoClient(t *testing.T) {
	tr := NewTransport(nil, "payment", WithBase(tripper(func(r *http.Request) (*http.Response, error) { return respond(r, 503, ""), nil })),
		WithFallback(func(*http.Request, error) (*http.Response, error) { return &http.Response{StatusCode: 203}, nil }))
	req, _ := http.NewRequest("GET", "http://payment/", nil)
	if resp, err := tr.RoundTrip(req); err != nil || resp.StatusCode != 203 {
		t.Error(resp, err)
	}
}
