package seatrialhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial"
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
