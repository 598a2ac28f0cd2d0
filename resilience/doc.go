// Package resilience protects calls to a dependency: timeouts, retry with full jitter and a
// budget, and a circuit breaker, each usable alone and composed by an [Executor] under a [Policy]
// that can change while calls are under way.
//
//	e := resilience.New("payment", resilience.Policy{
//		TryTimeout: 200 * time.Millisecond,
//		Retry:      &resilience.RetryPolicy{MaxAttempts: 3},
//		Breaker:    &resilience.BreakerPolicy{ConsecutiveFailures: 5},
//	})
//	err := e.Do(ctx, func(ctx context.Context) error { return pay(ctx, order) })
//
// Nothing here starts a goroutine for a call (only, now and then, to tell a listener of events), and
// nothing takes a lock on the path of a call that succeeds. Time is monotonic and comes from package time, so tests may use testing/synctest.
package resilience
