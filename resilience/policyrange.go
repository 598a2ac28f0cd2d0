package resilience

import (
	"math"
	"slices"
	"time"
)

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
	p.normalizeLimits(&n)
	if p.Hedge != nil {
		h := p.Hedge.normalized()
		n.Hedge = &h
	}
	if p.Fallback != nil {
		n.Fallback = &FallbackPolicy{On: known(p.Fallback.On)}
	}
	return n
}

func (p Policy) normalizeLimits(n *Policy) {
	if p.Bulkhead != nil {
		b := p.Bulkhead.normalized(p.Adaptive != nil)
		n.Bulkhead = &b
	}
	if p.Adaptive != nil {
		a := p.Adaptive.normalized()
		n.Adaptive = &a
	}
	if p.RateLimit != nil {
		r := p.RateLimit.normalized()
		n.RateLimit = &r
	}
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
	window, minCalls := within(b.Window, DefaultWindow, minWindow, MaxWindow), within(b.MinCalls, DefaultMinCalls, 1, maxCount)
	calls := within(b.WindowCalls, 0, 1, MaxWindowCalls)
	if calls > 0 {
		window, minCalls = 0, min(minCalls, calls)
	}
	return BreakerPolicy{
		ConsecutiveFailures: failures,
		FailureRatio:        ratio(b.FailureRatio),
		SlowRatio:           ratio(b.SlowRatio),
		SlowCall:            slow,
		Window:              window,
		WindowCalls:         calls,
		MinCalls:            minCalls,
		OpenFor:             within(b.OpenFor, DefaultOpenFor, minWindow, MaxWindow),
		Probes:              within(b.Probes, DefaultProbes, 1, MaxProbes),
	}
}

func (b BulkheadPolicy) normalized(adaptive bool) BulkheadPolicy {
	n := BulkheadPolicy{MaxQueue: within(b.MaxQueue, 0, 1, MaxConcurrency)}
	if !adaptive {
		n.MaxConcurrent = within(b.MaxConcurrent, DefaultMaxConcurrent, 1, MaxConcurrency)
	}
	if n.MaxQueue > 0 {
		n.MaxWait = within(b.MaxWait, DefaultQueueWait, minTimeout, MaxWait)
	}
	return n
}

func (a AdaptivePolicy) normalized() AdaptivePolicy {
	least, most := within(a.Min, 0, 1, MaxConcurrency), within(a.Max, 0, 1, MaxConcurrency)
	if most == 0 {
		most = max(DefaultAdaptiveMax, least)
	}
	if least == 0 {
		least = DefaultAdaptiveMin
	}
	least = min(least, most)
	initial := within(a.Initial, DefaultAdaptiveInitial, 1, MaxConcurrency)
	return AdaptivePolicy{Initial: min(max(initial, least), most), Min: least, Max: most}
}

func (r RateLimitPolicy) normalized() RateLimitPolicy {
	rate := within(r.PerSecond, DefaultPerSecond, 1, MaxRate)
	return RateLimitPolicy{
		PerSecond: rate,
		Burst:     within(r.Burst, max(1, rate/10), 1, MaxRate),
		MaxWait:   within(r.MaxWait, 0, minTimeout, MaxWait),
	}
}

func (h HedgePolicy) normalized() HedgePolicy {
	n := HedgePolicy{
		Delay:  within(h.Delay, 0, minTimeout, MaxTimeout),
		Max:    within(h.Max, DefaultHedges, 1, MaxHedges),
		Budget: ratio(h.Budget),
	}
	if n.Budget == 0 {
		n.Budget = DefaultHedgeBudget
	}
	if n.Delay > 0 {
		return n
	}
	n.Quantile = ratio(h.Quantile)
	if n.Quantile == 0 || n.Quantile == 1 {
		n.Quantile = DefaultHedgeQuantile
	}
	return n
}

// known gives a copy of the list without what is no reason or there twice; nil for nil.
func known(list []Reason) []Reason {
	if list == nil {
		return nil
	}
	kept := []Reason{}
	for _, r := range list {
		if slices.Contains(reasons, r) && !slices.Contains(kept, r) {
			kept = append(kept, r)
		}
	}
	return kept
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
