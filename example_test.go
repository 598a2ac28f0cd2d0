package seatrial_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/resilience"
)

// A service evaluates a flag inside a unit of work, and calls another service under a policy.
// Without a control plane, as here, flags have the values of the code.
func Example() {
	client, err := seatrial.Open(context.Background(),
		seatrial.WithService("order"),
		seatrial.WithPolicy("payment", resilience.Policy{
			TryTimeout: 200 * time.Millisecond,
			Retry:      &resilience.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Millisecond},
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(context.Background())

	express := client.BoolFlag("express-checkout", false)
	payment := client.Dependency("payment")
	attempts := 0

	handler := client.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := seatrial.WithContext(r.Context(), seatrial.NewContext("user-42").With("plan", "gold"))
		err := payment.Do(ctx, func(ctx context.Context) error {
			if attempts++; attempts == 1 {
				return errors.New("connection reset") // retried
			}
			return nil
		})
		fmt.Fprintf(w, "express: %v, paid: %v, attempts: %d", express.Get(ctx), err == nil, attempts)
	}))

	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("POST", "/orders", nil))
	fmt.Println(answer.Body)
	fmt.Println("flag:", express.Details(context.Background()).ErrorCode)
	// Output:
	// express: false, paid: true, attempts: 2
	// flag: PROVIDER_NOT_READY
}

func ExampleClient_Begin() {
	client, err := seatrial.Open(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(context.Background())

	// What a consumer of a queue does for each message.
	ctx, work := client.Begin(context.Background())
	ctx = seatrial.WithContext(ctx, seatrial.NewContext("user-42"))
	batch := client.Int(ctx, "batch-size", 100)
	work.End(nil)

	fmt.Println(batch)
	// Output: 100
}
