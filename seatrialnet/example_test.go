package seatrialnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/seatrialnet"
)

// What happens to an HTTP client whose second connection loses the reply?
func ExampleDialer() {
	orders := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { orders++ }))
	defer server.Close()

	point := fault.NewPoint("orders.net", fault.Caps{})
	client := &http.Client{Transport: &http.Transport{DialContext: (&seatrialnet.Dialer{Point: point}).DialContext}}
	order := func() {
		res, err := client.Post(server.URL, "text/plain", nil)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		client.CloseIdleConnections()
		fmt.Println("orders:", orders, "known to the client:", err == nil, "injected:", errors.Is(err, fault.ErrInjected))
	}
	order()

	program, err := fault.ParseProgram([]byte(`{"point":"orders.net","rate":1,"faults":[{"kind":"lost-reply"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	point.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		return program, fault.Assignment{Experiment: "lost-replies"}
	}), fault.NewLease(0))
	order()
	point.Off()
	order()
	// Output:
	// orders: 1 known to the client: true injected: false
	// orders: 2 known to the client: false injected: true
	// orders: 3 known to the client: true injected: false
}
