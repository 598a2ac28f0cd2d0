package resilience

import (
	"encoding/json"
	"math"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/strict"
)

// Limits and defaults of a [Policy]. Values outside the limits are refused by [ParsePolicy] and
// drawn to the nearest limit by everything that takes a Policy made in code.
const (
	MaxTimeout  = 10 * time.Minute // longest Timeout and TryTimeout; the shortest is 1 ms
	MaxAttempts = 20               // most attempts of one call, the first included
	MaxBackoff  = 10 * time.Minute // longest BaseDelay and MaxDelay
	MaxWindow   = time.Hour        // longest Window and OpenFor; the shortest is 10 ms
	MaxProbes   = 100              // most probes at a time

	DefaultAttempts            = 3
	DefaultBaseDelay           = 20 * time.Millisecond
	DefaultMaxDelay            = time.Second
	DefaultConsecutiveFailures = 5
	DefaultWindow              = 10 * time.Second
	DefaultMinCalls            = 20
	DefaultOpenFor             = 5 * time.Second
	DefaultProbes              = 1
	DefaultSlowCall            = time.Second
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
//	            "slowRatio":0.8,"slowCall":"1s"}}
type Policy struct {
	// Timeout bounds the whole call with all its attempts and waits. 0 means no bound of ours;
	// otherwise 1 ms to [MaxTimeout]. The caller's own deadline always holds as well.
	Timeout time.Duration
	// TryTimeout bounds each attempt. An attempt that exceeds it counts as a failure and may be
	// retried. 0 means no bound; otherwise 1 ms to [MaxTimeout].
	TryTimeout time.Duration
	// Retry, if not nil, repeats failed attempts.
	Retry *RetryPolicy
	// Breaker, if not nil, stops calling a dependency that keeps failing.
	Breaker *BreakerPolicy
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
	// MinCalls is how many calls in Window it takes to judge: 1 to 1 000 000, default 20.
	MinCalls int
	// OpenFor is how long an open breaker refuses every call, and how long a probe may take
	// before another may start: 10 ms to [MaxWindow], default 5 s.
	OpenFor time.Duration
	// Probes is how many calls may try the dependency once OpenFor is over, and how many of them
	// must succeed to close the breaker: 1 to [MaxProbes], default 1. One failed probe re-opens it.
	Probes int
}

// ParsePolicy reads a policy strictly from JSON of at most 64 KiB: unknown or repeated fields,
// wrong types and values out of range are errors. The error lists all problems, each with a JSON
// pointer. The document null gives the zero Policy, which protects nothing.
func ParsePolicy(data []byte) (Policy, error) {
	problems := &flag.Problems{Subject: "resilience policy"}
	doc := strict.Parse(data, problems)
	p := Policy{
		Timeout:    doc.Duration("timeout", minTimeout, MaxTimeout),
		TryTimeout: doc.Duration("tryTimeout", minTimeout, MaxTimeout),
		Retry:      parseRetry(doc.Object("retry")),
		Breaker:    parseBreaker(doc.Object("breaker")),
	}
	if p.Timeout > 0 && p.TryTimeout > p.Timeout {
		doc.Fail("tryTimeout", "is longer than the timeout of the whole call, %s", p.Timeout)
	}
	doc.Done()
	if err := problems.Err(); err != nil {
		return Policy{}, err
	}
	return p, nil
}

func parseRetry(doc *strict.Object) *RetryPolicy {
	if doc == nil {
		return nil
	}
	r := RetryPolicy{
		MaxAttempts: doc.Int("maxAttempts", 1, MaxAttempts),
		BaseDelay:   doc.Duration("baseDelay", time.Microsecond, MaxBackoff),
		MaxDelay:    doc.Duration("maxDelay", time.Microsecond, MaxBackoff),
		Budget:      doc.Ratio("budget"),
	}
	if full := r.normalized(); full.MaxDelay < full.BaseDelay {
		doc.Fail("maxDelay", "is shorter than baseDelay, %s", full.BaseDelay)
	}
	doc.Done()
	return &r
}

func parseBreaker(doc *strict.Object) *BreakerPolicy {
	if doc == nil {
		return nil
	}
	b := BreakerPolicy{
		ConsecutiveFailures: doc.Int("consecutiveFailures", 1, maxCount),
		FailureRatio:        doc.Ratio("failureRatio"),
		SlowRatio:           doc.Ratio("slowRatio"),
		SlowCall:            doc.Duration("slowCall", minTimeout, MaxTimeout),
		Window:              doc.Duration("window", minWindow, MaxWindow),
		MinCalls:            doc.Int("minCalls", 1, maxCount),
		OpenFor:             doc.Duration("openFor", minWindow, MaxWindow),
		Probes:              doc.Int("probes", 1, MaxProbes),
	}
	if b.SlowCall > 0 && b.SlowRatio == 0 {
		doc.Fail("slowCall", "does nothing without slowRatio: add the share of slow calls that opens the breaker")
	}
	doc.Done()
	return &b
}

// Validate checks a policy made in code, by the rules of [ParsePolicy].
func (p Policy) Validate() error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = ParsePolicy(data)
	return err
}

// wire types: durations as strings, what is unset left out.
type (
	policyJSON struct {
		Timeout    string       `json:"timeout,omitempty"`
		TryTimeout string       `json:"tryTimeout,omitempty"`
		Retry      *retryJSON   `json:"retry,omitempty"`
		Breaker    *breakerJSON `json:"breaker,omitempty"`
	}
	retryJSON struct {
		MaxAttempts int     `json:"maxAttempts,omitempty"`
		BaseDelay   string  `json:"baseDelay,omitempty"`
		MaxDelay    string  `json:"maxDelay,omitempty"`
		Budget      float64 `json:"budget,omitempty"`
	}
	breakerJSON struct {
		ConsecutiveFailures int     `json:"consecutiveFailures,omitempty"`
		FailureRatio        float64 `json:"failureRatio,omitempty"`
		SlowRatio           float64 `json:"slowRatio,omitempty"`
		SlowCall            string  `json:"slowCall,omitempty"`
		Window              string  `json:"window,omitempty"`
		MinCalls            int     `json:"minCalls,omitempty"`
		OpenFor             string  `json:"openFor,omitempty"`
		Probes              int     `json:"probes,omitempty"`
	}
)

// MarshalJSON writes the form that [ParsePolicy] reads. NaN and infinite ratios are errors.
func (p Policy) MarshalJSON() ([]byte, error) {
	doc := policyJSON{Timeout: durationText(p.Timeout), TryTimeout: durationText(p.TryTimeout)}
	if r := p.Retry; r != nil {
		doc.Retry = &retryJSON{r.MaxAttempts, durationText(r.BaseDelay), durationText(r.MaxDelay), r.Budget}
	}
	if b := p.Breaker; b != nil {
		doc.Breaker = &breakerJSON{b.ConsecutiveFailures, b.FailureRatio, b.SlowRatio, durationText(b.SlowCall),
			durationText(b.Window), b.MinCalls, durationText(b.OpenFor), b.Probes}
	}
	return json.Marshal(doc)
}

// UnmarshalJSON is [ParsePolicy].
func (p *Policy) UnmarshalJSON(data []byte) error {
	parsed, err := ParsePolicy(data)
	if err == nil {
		*p = parsed
	}
	return err
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// normalized fills in defaults and draws every value into its range, so that the machinery never
// meets a value it cannot work with, whoever made the policy.
func (p Policy) normalized() Policy {
	n := Policy{Timeout: within(p.Timeout, 0, minTimeout, MaxTimeout), TryTimeout: within(p.TryTimeout, 0, minTimeout, MaxTimeout)}
	if p.Retry != nil {
		r := p.Retry.normalized()
		n.Retry = &r
	}
	if p.Breaker != nil {
		b := p.Breaker.normalized()
		n.Breaker = &b
	}
	return n
}

func (r RetryPolicy) normalized() RetryPolicy {
	base := within(r.BaseDelay, DefaultBaseDelay, time.Microsecond, MaxBackoff)
	return RetryPolicy{
		MaxAttempts: within(r.MaxAttempts, DefaultAttempts, 1, MaxAttempts),
		BaseDelay:   base,
		MaxDelay:    within(r.MaxDelay, max(base, DefaultMaxDelay), time.Microsecond, MaxBackoff),
		Budget:      ratio(r.Budget),
	}
}

func (b BreakerPolicy) normalized() BreakerPolicy {
	failures := within(b.ConsecutiveFailures, 0, 1, maxCount)
	if failures == 0 && ratio(b.FailureRatio) == 0 && ratio(b.SlowRatio) == 0 {
		failures = DefaultConsecutiveFailures
	}
	slow := time.Duration(0)
	if ratio(b.SlowRatio) > 0 {
		slow = within(b.SlowCall, DefaultSlowCall, minTimeout, MaxTimeout)
	}
	return BreakerPolicy{
		ConsecutiveFailures: failures,
		FailureRatio:        ratio(b.FailureRatio),
		SlowRatio:           ratio(b.SlowRatio),
		SlowCall:            slow,
		Window:              within(b.Window, DefaultWindow, minWindow, MaxWindow),
		MinCalls:            within(b.MinCalls, DefaultMinCalls, 1, maxCount),
		OpenFor:             within(b.OpenFor, DefaultOpenFor, minWindow, MaxWindow),
		Probes:              within(b.Probes, DefaultProbes, 1, MaxProbes),
	}
}

// within gives unset for 0 and otherwise draws v between lowest and highest.
func within[T int | time.Duration](v, unset, lowest, highest T) T {
	if v == 0 {
		return unset
	}
	return min(max(v, lowest), highest)
}

// ratio draws f between 0 and 1; NaN becomes 0.
func ratio(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return min(max(f, 0), 1)
}
