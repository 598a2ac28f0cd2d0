package resilience

import "time"

// Limits and defaults of a [Policy]. Values outside the limits are refused by [ParsePolicy] and
// drawn to the nearest limit by everything that takes a Policy made in code.
const (
	MaxTimeout     = 10 * time.Minute // longest Timeout and TryTimeout; the shortest is 1 ms
	MaxAttempts    = 20               // most attempts of one call, the first included
	MaxBackoff     = 10 * time.Minute // longest BaseDelay and MaxDelay
	MaxWindow      = time.Hour        // longest Window and OpenFor; the shortest is 10 ms
	MaxWindowCalls = 100_000          // largest WindowCalls
	MaxProbes      = 100              // most probes at a time
	MaxConcurrency = 100_000          // most calls at a time, in a bulkhead and in its queue
	MaxWait        = time.Minute      // longest wait for a place or for a token; the shortest is 1 ms
	MaxRate        = 1_000_000        // most calls per second, and in a burst
	MaxHedges      = 5                // most hedges of one attempt

	DefaultAttempts            = 3
	DefaultBaseDelay           = 20 * time.Millisecond
	DefaultMaxDelay            = time.Second
	DefaultConsecutiveFailures = 5
	DefaultWindow              = 10 * time.Second
	DefaultMinCalls            = 20
	DefaultOpenFor             = 5 * time.Second
	DefaultProbes              = 1
	DefaultSlowCall            = time.Second
	DefaultMaxConcurrent       = 50
	DefaultQueueWait           = 100 * time.Millisecond
	DefaultAdaptiveInitial     = 20
	DefaultAdaptiveMin         = 5
	DefaultAdaptiveMax         = 200
	DefaultPerSecond           = 100
	DefaultHedgeQuantile       = 0.95
	DefaultHedges              = 1
	DefaultHedgeBudget         = 0.05
)

const (
	minTimeout = time.Millisecond
	minWindow  = 10 * time.Millisecond
	maxCount   = 1_000_000 // largest ConsecutiveFailures and MinCalls
)

// Policy says how calls to one dependency are protected. Every part is optional: the zero value
// protects nothing and an [Executor] with it just makes the call. A Policy is a plain value;
// changing one after it was given to an Executor changes nothing.
//
// Its JSON form writes durations as strings:
//
//	{"timeout":"2s","tryTimeout":"200ms",
//	 "retry":{"maxAttempts":3,"baseDelay":"20ms","maxDelay":"1s","budget":0.1},
//	 "breaker":{"consecutiveFailures":5,"failureRatio":0.5,"window":"10s","minCalls":20,"openFor":"5s","probes":1,
//	            "slowRatio":0.8,"slowCall":"1s"},
//	 "bulkhead":{"maxConcurrent":50,"maxQueue":100,"maxWait":"100ms"},
//	 "rateLimit":{"perSecond":100,"burst":20,"maxWait":"50ms"},
//	 "hedge":{"quantile":0.95,"max":1,"budget":0.05},
//	 "fallback":{"on":["open","full","limited","timeout","failure"]}}
//
// Instead of "window" a breaker may have "windowCalls":100, a hedge "delay":"50ms" instead of
// "quantile", and "adaptive":{"initial":20,"min":5,"max":200} may stand for the bulkhead's
// maxConcurrent.
type Policy struct {
	// Timeout bounds the whole call with all its attempts and waits. 0 means no bound of ours;
	// otherwise 1 ms to [MaxTimeout]. The caller's own deadline always holds as well.
	Timeout time.Duration
	// TryTimeout bounds each attempt. An attempt that exceeds it counts as a failure and may be
	// retried, unless it succeeds all the same or gives a proper answer ([Answer]). 0 means no
	// bound; otherwise 1 ms to [MaxTimeout].
	TryTimeout time.Duration
	// Retry, if not nil, repeats failed attempts.
	Retry *RetryPolicy
	// Breaker, if not nil, stops calling a dependency that keeps failing.
	Breaker *BreakerPolicy
	// Bulkhead, if not nil, bounds how many attempts are under way at a time.
	Bulkhead *BulkheadPolicy
	// Adaptive, if not nil, finds that bound itself. Bulkhead then only says who may wait.
	Adaptive *AdaptivePolicy
	// RateLimit, if not nil, bounds how many attempts start in a second.
	RateLimit *RateLimitPolicy
	// Hedge, if not nil, sends another attempt when one is slow. Only for calls that allow it: see
	// [Call].
	Hedge *HedgePolicy
	// Fallback, if not nil, says when the fallback of a [Call] is used; nil: always.
	Fallback *FallbackPolicy
}

// RetryPolicy says when a failed attempt is repeated. The zero value of each field means its
// default.
type RetryPolicy struct {
	// MaxAttempts counts all attempts, the first included: 1 to [MaxAttempts], default 3.
	MaxAttempts int
	// BaseDelay and MaxDelay bound the waits ("full jitter"): before attempt n+1 a wait is drawn
	// evenly from 0 to min(MaxDelay, BaseDelay·2^(n-1)). Up to [MaxBackoff]; defaults 20 ms, 1 s.
	BaseDelay time.Duration
	MaxDelay  time.Duration
	// Budget bounds retries to this share of calls, 0 to 1, beyond a reserve of 10 that calls
	// refill: with 0.1 a dependency that is down gets at most 1.1 times the calls. 0 means no
	// bound but MaxAttempts.
	Budget float64
}

// BreakerPolicy says when a breaker opens and how it closes again. The zero value opens after 5
// failures in a row and lets one probe through after 5 s.
type BreakerPolicy struct {
	// ConsecutiveFailures in a row open the breaker: 1 to 1 000 000. 0 means 5 if FailureRatio and
	// SlowRatio are 0 as well, else that runs of failures are not looked at.
	ConsecutiveFailures int
	// FailureRatio, from 0 to 1, opens the breaker when at least this share of the calls within
	// Window failed and there were at least MinCalls. 0 means that ratios are not looked at,
	// which saves reading the clock on every call.
	FailureRatio float64
	// SlowRatio, from 0 to 1, opens the breaker when at least this share of the calls within Window
	// took SlowCall or longer, whether they failed or not, and there were at least MinCalls. A
	// probe that slow re-opens it. 0 means that durations are not looked at, which saves reading
	// the clock twice on every call. Calls that the caller gave up are not counted.
	SlowRatio float64
	// SlowCall is from when on a call is slow: 1 ms to [MaxTimeout], default 1 s. Only with SlowRatio.
	SlowCall time.Duration
	// Window is how far back the ratios look, in ten steps: 10 ms to [MaxWindow], default 10 s.
	Window time.Duration
	// WindowCalls, if not 0, makes the ratios look at that many last calls instead, however long
	// ago they were: 1 to [MaxWindowCalls]. For failures it saves reading the clock.
	WindowCalls int
	// MinCalls is how many calls in the window it takes to judge: 1 to 1 000 000, at most
	// WindowCalls, default 20 or WindowCalls if that is less.
	MinCalls int
	// OpenFor is how long an open breaker refuses every call, and how long a probe may take
	// before another may start: 10 ms to [MaxWindow], default 5 s.
	OpenFor time.Duration
	// Probes is how many calls may try the dependency once OpenFor is over, and how many of them
	// must succeed to close the breaker: 1 to [MaxProbes], default 1. One failed probe re-opens it.
	Probes int
}

// BulkheadPolicy bounds how many attempts are under way at a time. The zero value of each field
// means its default.
type BulkheadPolicy struct {
	// MaxConcurrent attempts may be under way: 1 to [MaxConcurrency], default 50; without effect
	// beside an [AdaptivePolicy]. If it shrinks, those that are inside finish.
	MaxConcurrent int
	// MaxQueue more may wait for a place, first come, first served: 1 to [MaxConcurrency]. 0 means
	// that nobody waits.
	MaxQueue int
	// MaxWait bounds the wait: 1 ms to [MaxWait], default 100 ms. Only with MaxQueue.
	MaxWait time.Duration
}

// AdaptivePolicy bounds how many attempts are under way by what the dependency can bear, as its
// latencies tell: when they rise, calls wait for each other in there. So do its refusals: errors in
// whose tree something has the method Overloaded() bool and gives true, as those of the adapters do
// for HTTP 429 with Retry-After, HTTP 503 and gRPC RESOURCE_EXHAUSTED. The zero value of each field
// means its default.
type AdaptivePolicy struct {
	// Initial is the bound before anything is known: Min to Max, default 20 or the nearest of them.
	Initial int
	// Min and Max hold the bound between them: 1 to [MaxConcurrency], defaults 5 and 200.
	Min, Max int
}

// RateLimitPolicy bounds how many attempts start in a second. The zero value of each field means
// its default.
type RateLimitPolicy struct {
	// PerSecond attempts may start in the long run: 1 to [MaxRate], default 100.
	PerSecond int
	// Burst attempts may start at once after a pause: 1 to [MaxRate], default a tenth of
	// PerSecond, at least 1.
	Burst int
	// MaxWait is how long an attempt may wait for its turn: 1 ms to [MaxWait]. 0 means not at all.
	MaxWait time.Duration
}

// HedgePolicy says when an attempt that has not returned gets a rival. The zero value of each field
// means its default.
type HedgePolicy struct {
	// Delay is how long after the last one the next rival starts: 1 ms to [MaxTimeout]. 0 means that
	// it is learned, see Quantile.
	Delay time.Duration
	// Quantile makes the delay the time within which this share of recent attempts was through:
	// above 0 and below 1, default 0.95. Until 20 attempts are known there are no rivals. Without
	// effect if Delay is given.
	Quantile float64
	// Max is how many rivals an attempt may have: 1 to [MaxHedges], default 1.
	Max int
	// Budget bounds rivals to this share of attempts, above 0 and up to 1, beyond a reserve of 10;
	// default 0.05.
	Budget float64
}

// FallbackPolicy says when the fallback of a [Call] is used.
type FallbackPolicy struct {
	// On are the reasons. Nil means all of them, an empty list none.
	On []Reason
}

// Reason is why a call failed, as far as a [FallbackPolicy] tells apart.
type Reason string

const (
	ReasonOpen    Reason = "open"    // the breaker refused it
	ReasonFull    Reason = "full"    // the bulkhead or the adaptive limit refused it
	ReasonLimited Reason = "limited" // the rate limit refused it
	ReasonTimeout Reason = "timeout" // it took too long
	ReasonFailure Reason = "failure" // it failed otherwise
)

// reasons are all of them.
var reasons = []Reason{ReasonOpen, ReasonFull, ReasonLimited, ReasonTimeout, ReasonFailure}
