// Package resilience protects calls to a dependency: timeouts, retry, hedging, a circuit breaker, a
// rate limit, a bulkhead or an adaptive limit of concurrency, and a fallback, composed by an [Executor]
// under a [Policy] that can change while calls are under way without losing what was learned.
// [Retry] and [Breaker] are also usable alone.
//
//	e := resilience.New("payment", resilience.Policy{
//		TryTimeout: 200 * time.Millisecond,
//		Retry:      &resilience.RetryPolicy{MaxAttempts: 3, Budget: 0.1},
//		Breaker:    &resilience.BreakerPolicy{ConsecutiveFailures: 5},
//	})
//	err := e.Do(ctx, func(ctx context.Context) error { return pay(ctx, order) })
//
// # The order, and why
//
// From the outside in, a call passes
//
//		fallback → timeout of the call → retry → hedge → breaker → rate limit → bulkhead → timeout of the attempt → the call
//
//	  - The fallback sees how the whole call ended, and is not bounded by the timeout that may be over.
//	  - The timeout of the call bounds attempts and waits together: it is what the caller waits at most.
//	  - Each retry is an attempt of its own to all that follows: the breaker can stop it, the limits
//	    count it. The same holds for rivals.
//	  - The breaker is outside the limits, so that an open one takes no token and no place. A refusal by
//	    a limit is no failure to it: nothing was called.
//	  - The timeout of the attempt is innermost, so that a wait for a place is not taken for a slow
//	    dependency. The breaker's slow calls and the adaptive limit do not count such waits either.
//
// What the breaker or a limit refused is not retried: a retry would only add to the crowd.
//
// # Values to begin with
//
//   - TryTimeout: a little above the slowest answer that is worth having (the 99.9 % quantile).
//     Timeout: what the caller's own caller waits.
//   - Retry: 3 attempts with a Budget of 0.1. The budget is what keeps a dependency that is down from
//     getting a multiple of the load; without it three layers of three attempts are up to nine.
//   - Breaker: consecutive failures for rare calls; for frequent ones FailureRatio 0.5, over a time or,
//     without reading the clock, over the last 100 calls. SlowRatio where slowness is how it fails.
//   - Bulkhead: twice what Little's law asks for: calls per second times seconds per call. A short
//     queue for bursts only: a long one makes all wait.
//   - Adaptive in its stead where that is not known, or changes. It finds about a tenth more places
//     than keep the dependency busy, and √ of that. It halves them for a moment twice a minute to
//     see what calls take without a queue.
//   - RateLimit: what the dependency's owner allows, divided by the number of processes.
//   - Hedge: by Quantile 0.95 with a Budget of 0.05, for calls that may be sent twice.
//
// # Layers
//
// An attempt after the first one, a rival included, makes its context a repetition: what retries or
// hedges under it does so no more. So the attempts of nested layers add up and do not multiply. For
// layers in other processes, the receiver of a request that says that it is one calls
// [WithRepetition]. [Attempt] tells the sender what to say.
//
// # What it costs
//
// Nothing takes a lock on the path of a call that succeeds; in the bulkhead only those do who queue.
// Nothing is counted for a success, except what a ratio, an adaptive limit or a learned delay asks
// for. The whole stack of retry, breaker with ratio, bulkhead and timeout of the attempt allocates
// once, for the context; its timer and channel are made when somebody asks for them. A goroutine is
// started for an attempt that may get rivals and for each rival, and now and then for one that
// tells a listener of events.
//
// Time is monotonic and comes from package time, so tests may use testing/synctest.
package resilience
