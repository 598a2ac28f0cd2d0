package seatrialhttp

import (
	"context"
	"errors"
	"net/http"
	"strings"
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
