package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/resilience"
)

func Example() {
	payment := resilience.New("payment", resilience.Policy{
		TryTimeout: 200 * time.Millisecond,
		Retry:      &resilience.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Millisecond},
		Breaker:    &resilience.BreakerPolicy{ConsecutiveFailures: 5},
	})
	calls := 0
	err := payment.Do(context.Background(), func(context.Context) error {
		if calls++; calls < 3 {
			return errors.New("connection reset")
		}
		return nil
	})
	fmt.Println(calls, "calls, error:", err)
	// Output: 3 calls, error: <nil>
}

func ExampleBreaker() {
	stock := resilience.NewBreaker("stock", resilience.BreakerPolicy{ConsecutiveFailures: 2, OpenFor: time.Minute})
	for range 4 {
		err := stock.Do(context.Background(), func(context.Context) error {
			return errors.New("no route to host")
		})
		fmt.Println(stock.State(), errors.Is(err, resilience.ErrOpen))
	}
	// Output:
	// closed false
	// open false
	// open true
	// open true
}

func ExampleAnswer() {
	bank := resilience.NewRetry("bank", resilience.RetryPolicy{})
	declined := errors.New("card declined")
	calls := 0
	err := bank.Do(context.Background(), func(context.Context) error {
		calls++
		return resilience.Answer(declined) // the bank works: asking again changes nothing
	})
	fmt.Println(calls, errors.Is(err, declined))
	// Output: 1 true
}

func ExampleParsePolicy() {
	policy, err := resilience.ParsePolicy([]byte(`{"tryTimeout":"200ms","retry":{"maxAttempts":3,"budget":0.1}}`))
	fmt.Println(policy.TryTimeout, policy.Retry.MaxAttempts, err)

	_, err = resilience.ParsePolicy([]byte(`{"retry":{"maxAttempts":99}}`))
	fmt.Println(err)
	// Output:
	// 200ms 3 <nil>
	// resilience policy: /retry/maxAttempts: is 99: it must be from 1 to 20
}

func ExampleRun() {
	prices := resilience.New("prices", resilience.Policy{
		Timeout:  time.Second,
		Breaker:  &resilience.BreakerPolicy{ConsecutiveFailures: 1, OpenFor: time.Minute},
		Fallback: &resilience.FallbackPolicy{On: []resilience.Reason{resilience.ReasonOpen, resilience.ReasonTimeout}},
	})
	call := resilience.Call[int]{
		Do:       func(context.Context) (int, error) { return 0, errors.New("connection reset") },
		Fallback: func(context.Context, error) (int, error) { return 42, nil }, // yesterday's
	}
	for range 2 {
		price, err := resilience.Run(context.Background(), prices, call)
		fmt.Println(price, err)
	}
	// Output:
	// 0 connection reset
	// 42 <nil>
}

func ExampleAttempt() {
	stock := resilience.New("stock", resilience.Policy{Retry: &resilience.RetryPolicy{BaseDelay: time.Millisecond}})
	_, err := resilience.Run(context.Background(), stock, resilience.Call[string]{
		Do: func(ctx context.Context) (string, error) {
			fmt.Println("attempt", resilience.Attempt(ctx))
			return "", errors.New("no route to host")
		},
	})
	fmt.Println(errors.Is(err, resilience.ErrExhausted))
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
	// true
}
