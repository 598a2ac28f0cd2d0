package seatrialhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"github.com/seatrial/seatrial/seatrialhttp"
)

func Example() {
	client, err := seatrial.Open(context.Background(),
		seatrial.WithPolicy("greeter", resilience.Policy{
			Retry: &resilience.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Millisecond},
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(context.Background())

	// The service: a server span and a unit of work for each request.
	var requests atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) < 3 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "hello %s", r.PathValue("name"))
	})
	server := httptest.NewServer(seatrialhttp.NewHandler(client, mux))
	defer server.Close()

	// Its caller: a client span for each try, and the policy of the dependency.
	greeter := &http.Client{Transport: seatrialhttp.NewTransport(client, "greeter")}
	resp, err := greeter.Get(server.URL + "/hello/sailor")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err, "after", requests.Load(), "requests")
	// Output: hello sailor <nil> after 3 requests
}

// When the dependency is down, an answer from elsewhere is better than none.
func ExampleWithFallback() {
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no capacity", http.StatusServiceUnavailable)
	}))
	defer down.Close()

	cached := func(r *http.Request, failed error) (*http.Response, error) {
		var status *seatrialhttp.StatusError
		fmt.Println("failed with a status:", errors.As(failed, &status))
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("yesterday's prices"))}, nil
	}
	prices := &http.Client{Transport: seatrialhttp.NewTransport(nil, "prices", seatrialhttp.WithFallback(cached))}
	resp, err := prices.Get(down.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body), err)
	// Output:
	// failed with a status: true
	// 200 yesterday's prices <nil>
}

// A point around a service: chaos experiments that name "orders" can strike its answers.
func ExampleWithPoint() {
	client, err := seatrial.Open(context.Background(), seatrial.WithFaults(fault.Caps{MaxLatency: time.Second}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(context.Background())
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "done") })
	service := seatrialhttp.NewHandler(client, orders, seatrialhttp.WithPoint("orders"))

	// An experiment would do this, for the users in its treatment, as long as it runs.
	client.Point("orders").Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		return &fault.Program{Rate: 1, Faults: []fault.Fault{{Kind: fault.KindError, Status: 503, Message: "no capacity"}}},
			fault.Assignment{Experiment: "orders-down"}
	}), nil)

	for _, path := range []string{"/orders", "/healthz"} {
		answer := httptest.NewRecorder()
		service.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		fmt.Printf("%s: %d by %q\n", path, answer.Code, answer.Header().Get(seatrialhttp.FaultHeader))
	}
	// Output:
	// /orders: 503 by "orders-down"
	// /healthz: 200 by ""
}
