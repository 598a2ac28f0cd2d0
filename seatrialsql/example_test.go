package seatrialsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/resilience"
	"github.com/seatrial/seatrial/seatrialsql"
	"modernc.org/sqlite"
)

func Example() {
	ctx := context.Background()
	client, err := seatrial.Open(ctx, seatrial.WithPolicy("orders-db", resilience.Policy{
		TryTimeout: 2 * time.Second,
		Retry:      &resilience.RetryPolicy{MaxAttempts: 3, Budget: 0.1},
		Breaker:    &resilience.BreakerPolicy{},
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	sql.Register("orders", seatrialsql.WrapDriver(&sqlite.Driver{}, client, "orders-db"))
	db, err := sql.Open("orders", "file:orders?mode=memory&cache=shared")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	// A query that may run twice is repeated if it fails for a passing reason.
	var answer int
	err = db.QueryRowContext(seatrialsql.WithRetryable(ctx), "SELECT 6 * 7").Scan(&answer)
	fmt.Println(answer, err)
	// Output: 42 <nil>
}
