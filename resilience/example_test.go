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
