package seatrialhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// experiment is what a control plane says while a chaos experiment runs with everybody in its
// treatment, and beside it a trial of the flag "banner".
func experiment(program string) flag.Set {
	whole := []flag.Stratum{{Treatment: flag.TotalWeight}}
	set := flag.Set{
		Environment: "production", History: "h", Epoch: 1, Revision: 1, Hash: "hash",
		Flags: []flag.Flag{
			{Key: "banner", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
				Variants: []flag.Variant{{Name: "off", Value: json.RawMessage("false")}, {Name: "on", Value: json.RawMessage("true")}}},
			{Key: "stock-down", Kind: flag.KindFault, Type: flag.TypeObject, Enabled: true, DefaultVariant: "none",
				Variants: []flag.Variant{{Name: "none", Value: json.RawMessage("null")}, {Name: "down", Value: json.RawMessage(program)}}},
		},
		Allocations: []flag.Allocation{
			{Trial: "banner-trial", Flag: "banner", Version: "banner-trial.1.0", Salt: "a", Treatment: "on", Control: "off", Strata: whole},
			{Trial: "storm", Flag: "stock-down", Version: "storm.1.0", Salt: "b", Treatment: "down", Control: "none", Strata: whole,
				Fault: true, Secret: "0123456789abcdef0123456789abcdef"},
		},
	}
	return set.Normalize()
}

// plane is a control plane that always says the same, and takes every report. It gives what opens a
// client of it.
func plane(t *testing.T, set flag.Set) func() *seatrial.Client {
	t.Helper()
	state, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: snapshot\ndata: %s\n\n", state)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return func() *seatrial.Client {
		return open(t, seatrial.WithServer(server.URL), seatrial.WithKey("key"), seatrial.WithService("test"),
			seatrial.WithHTTPClient(&http.Client{Transport: &http.Transport{}}), seatrial.WithWait(time.Minute), seatrial.WithFaults(everything))
	}
}

// unit is a middleware that says who is served.
func unit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(seatrial.WithContext(r.Context(), seatrial.NewContext("user-7"))))
	})
}

// TestS10_AFaultInAServiceBehindIsMarkedEverywhere: two services, and the fault in the second. Its
// answer says whose fault it is, its span does, and the first service's unit of work counts for no
// other trial.
func TestS10_AFaultInAServiceBehindIsMarkedEverywhere(t *testing.T) {
	dial := plane(t, experiment(`{"point":"stock","rate":1,"faults":[{"kind":"error","status":503}]}`))
	shop, stock := dial(), dial()
	stockSpans, stockEnded := record()
	behind := httptest.NewServer(NewHandler(stock, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }), WithPoint("stock"), stockSpans))
	defer behind.Close()
	out := &http.Client{Transport: NewTransport(shop, "warehouse", WithBase(&http.Transport{}))}
	var seen *http.Response
	front := httptest.NewServer(unit(NewHandler(shop, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shop.Bool(r.Context(), "banner", false) // the unit of work meets another trial
		req, _ := http.NewRequestWithContext(r.Context(), "GET", behind.URL+"/shelves", nil)
		resp, err := out.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		seen = resp
		w.WriteHeader(resp.StatusCode)
	}))))
	resp, err := http.Get(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = text(t, resp)
	front.Close()
	if seen == nil || seen.StatusCode != 503 || seen.Header.Get(FaultHeader) != "storm" || seen.Header.Get(seatrial.MarksHeader) == "" {
		t.Fatalf("the shop saw %+v", seen)
	}
	if resp.StatusCode != 503 || resp.Header.Get(seatrial.MarksHeader) != "" || resp.Header.Get(FaultHeader) != "" {
		t.Errorf("the stranger at the edge saw %d, %v", resp.StatusCode, resp.Header)
	}
	behind.Close()
	if s := stockEnded()[0]; attr(s, fault.AttrExperiment) != "storm" || attr(s, fault.AttrKind) != "error" || attr(s, fault.AttrPoint) != "stock" {
		t.Errorf("span of the stock: %v", s.Attributes())
	}
	if n := shop.Status().Excluded; n != 1 {
		t.Errorf("%d units of work of the shop were left out of other trials, want 1", n)
	}
}

// TestS10_AFaultInACallIsMarkedEverywhere: the same with the fault in the first service's call.
func TestS10_AFaultInACallIsMarkedEverywhere(t *testing.T) {
	dial := plane(t, experiment(`{"point":"warehouse","rate":1,"faults":[{"kind":"reset"}]}`))
	shop := dial()
	option, spans := record()
	out := NewTransport(shop, "warehouse", option, WithBase(tripper(func(*http.Request) (*http.Response, error) {
		t.Error("the call was made")
		return nil, nil
	})))
	var failed error
	served := unit(NewHandler(shop, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shop.Bool(r.Context(), "banner", false)
		req, _ := http.NewRequestWithContext(r.Context(), "GET", "http://warehouse/shelves", nil)
		_, failed = (&http.Client{Transport: out}).Do(req)
		w.WriteHeader(502)
	})))
	served.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", strings.NewReader("")))
	by, hit := fault.From(failed)
	if !hit || by.Experiment != "storm" || by.Variant != "down" || !errors.Is(failed, fault.ErrInjected) || !errors.Is(failed, syscall.ECONNRESET) {
		t.Errorf("error %v by %+v", failed, by)
	}
	if s := spans()[0]; attr(s, fault.AttrExperiment) != "storm" || attr(s, fault.AttrKind) != "reset" || attr(s, "error.type") != "injected" {
		t.Errorf("span %v", s.Attributes())
	}
	if n := shop.Status().Excluded; n != 1 {
		t.Errorf("%d units of work were left out of other trials, want 1", n)
	}
}

// TestS10AnswersThatTellNothing: a call that failed, and nobody said what it met, counts for the
// experiment; one that surely met nothing does not.
func TestS10AnswersThatTellNothing(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		counts bool
	}{
		"cut off":              {func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, true},
		"504 of a proxy":       {func(*http.Request) (*http.Response, error) { return statusOnly(504, ""), nil }, true},
		"503 that met nothing": {func(*http.Request) (*http.Response, error) { return statusOnly(503, "-"), nil }, false},
		"200 of a stranger":    {func(*http.Request) (*http.Response, error) { return statusOnly(200, ""), nil }, false},
		"404 of a stranger":    {func(*http.Request) (*http.Response, error) { return statusOnly(404, ""), nil }, false},
		"no connection is made": {func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			shop := plane(t, experiment(`{"point":"stock","rate":1,"faults":[{"kind":"error","status":503}]}`))()
			out := &http.Client{Transport: NewTransport(shop, "warehouse", WithBase(tripper(test.answer)))}
			front := unit(NewHandler(shop, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				shop.Bool(r.Context(), "banner", false)
				req, _ := http.NewRequestWithContext(r.Context(), "GET", "http://warehouse/", nil)
				if resp, err := out.Do(req); err == nil {
					_ = resp.Body.Close()
				}
			})))
			front.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
			if n := shop.Status().Excluded; (n == 1) != test.counts {
				t.Errorf("%d units of work were left out of other trials", n)
			}
		})
	}
}

// statusOnly is an answer with marks, and nothing else.
func statusOnly(status int, marks string) *http.Response {
	head := http.Header{}
	if marks != "" {
		head.Set(seatrial.MarksHeader, marks)
	}
	return &http.Response{StatusCode: status, Header: head, Body: http.NoBody}
}
