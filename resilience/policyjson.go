package resilience

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/strict"
)

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
		Adaptive:   parseAdaptive(doc.Object("adaptive")),
		RateLimit:  parseRateLimit(doc.Object("rateLimit")),
		Hedge:      parseHedge(doc.Object("hedge")),
		Fallback:   parseFallback(doc.Object("fallback")),
	}
	p.Bulkhead = parseBulkhead(doc.Object("bulkhead"), p.Adaptive != nil)
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
		WindowCalls:         doc.Int("windowCalls", 1, MaxWindowCalls),
		MinCalls:            doc.Int("minCalls", 1, maxCount),
		OpenFor:             doc.Duration("openFor", minWindow, MaxWindow),
		Probes:              doc.Int("probes", 1, MaxProbes),
	}
	if b.SlowCall > 0 && b.SlowRatio == 0 {
		doc.Fail("slowCall", "does nothing without slowRatio: add the share of slow calls that opens the breaker")
	}
	if b.Window > 0 && b.WindowCalls > 0 {
		doc.Fail("windowCalls", "cannot stand beside window: the ratios look either at the last calls or at a time")
	}
	if b.WindowCalls > 0 && b.MinCalls > b.WindowCalls {
		doc.Fail("minCalls", "is more than windowCalls, %d: there would never be enough calls to judge", b.WindowCalls)
	}
	doc.Done()
	return &b
}

func parseBulkhead(doc *strict.Object, adaptive bool) *BulkheadPolicy {
	if doc == nil {
		return nil
	}
	b := BulkheadPolicy{
		MaxConcurrent: doc.Int("maxConcurrent", 1, MaxConcurrency),
		MaxQueue:      doc.Int("maxQueue", 0, MaxConcurrency),
		MaxWait:       doc.Duration("maxWait", minTimeout, MaxWait),
	}
	if adaptive && b.MaxConcurrent > 0 {
		doc.Fail("maxConcurrent", "cannot stand beside adaptive, which finds that bound itself: leave one out")
	}
	if b.MaxWait > 0 && b.MaxQueue == 0 {
		doc.Fail("maxWait", "does nothing without maxQueue: add how many may wait")
	}
	doc.Done()
	return &b
}

func parseAdaptive(doc *strict.Object) *AdaptivePolicy {
	if doc == nil {
		return nil
	}
	a := AdaptivePolicy{
		Initial: doc.Int("initial", 1, MaxConcurrency),
		Min:     doc.Int("min", 1, MaxConcurrency),
		Max:     doc.Int("max", 1, MaxConcurrency),
	}
	full := a.normalized()
	if a.Min > full.Max {
		doc.Fail("max", "is %d, less than min, %d", full.Max, a.Min)
	} else if a.Initial != 0 && a.Initial != full.Initial {
		doc.Fail("initial", "is %d: it must be from min, %d, to max, %d", a.Initial, full.Min, full.Max)
	}
	doc.Done()
	return &a
}

func parseRateLimit(doc *strict.Object) *RateLimitPolicy {
	if doc == nil {
		return nil
	}
	r := RateLimitPolicy{
		PerSecond: doc.Int("perSecond", 1, MaxRate),
		Burst:     doc.Int("burst", 1, MaxRate),
		MaxWait:   doc.Duration("maxWait", minTimeout, MaxWait),
	}
	doc.Done()
	return &r
}

func parseHedge(doc *strict.Object) *HedgePolicy {
	if doc == nil {
		return nil
	}
	h := HedgePolicy{
		Delay:    doc.Duration("delay", minTimeout, MaxTimeout),
		Quantile: doc.Ratio("quantile"),
		Max:      doc.Int("max", 1, MaxHedges),
		Budget:   doc.Ratio("budget"),
	}
	if h.Delay > 0 && doc.Has("quantile") {
		doc.Fail("quantile", "cannot stand beside delay: the delay is either fixed or learned")
	}
	if doc.Has("quantile") && (h.Quantile == 0 || h.Quantile == 1) {
		doc.Fail("quantile", "must be above 0 and below 1")
	}
	if doc.Has("budget") && h.Budget == 0 {
		doc.Fail("budget", "must be above 0: leave hedge out for none")
	}
	doc.Done()
	return &h
}

func parseFallback(doc *strict.Object) *FallbackPolicy {
	if doc == nil {
		return nil
	}
	var f FallbackPolicy
	for i, name := range doc.Strings("on", len(reasons)) {
		if f.On == nil {
			f.On = []Reason{}
		}
		reason := Reason(name)
		switch {
		case !slices.Contains(reasons, reason):
			doc.Fail("on", "element %d is %q: it must be one of %q", i, name, reasons)
		case slices.Contains(f.On, reason):
			doc.Fail("on", "has %q twice: keep one", name)
		default:
			f.On = append(f.On, reason)
		}
	}
	if doc.Has("on") && f.On == nil {
		f.On = []Reason{}
	}
	doc.Done()
	return &f
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
		Timeout    string         `json:"timeout,omitempty"`
		TryTimeout string         `json:"tryTimeout,omitempty"`
		Retry      *retryJSON     `json:"retry,omitempty"`
		Breaker    *breakerJSON   `json:"breaker,omitempty"`
		Bulkhead   *bulkheadJSON  `json:"bulkhead,omitempty"`
		Adaptive   *adaptiveJSON  `json:"adaptive,omitempty"`
		RateLimit  *rateLimitJSON `json:"rateLimit,omitempty"`
		Hedge      *hedgeJSON     `json:"hedge,omitempty"`
		Fallback   *fallbackJSON  `json:"fallback,omitempty"`
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
		WindowCalls         int     `json:"windowCalls,omitempty"`
		MinCalls            int     `json:"minCalls,omitempty"`
		OpenFor             string  `json:"openFor,omitempty"`
		Probes              int     `json:"probes,omitempty"`
	}
	bulkheadJSON struct {
		MaxConcurrent int    `json:"maxConcurrent,omitempty"`
		MaxQueue      int    `json:"maxQueue,omitempty"`
		MaxWait       string `json:"maxWait,omitempty"`
	}
	adaptiveJSON struct {
		Initial int `json:"initial,omitempty"`
		Min     int `json:"min,omitempty"`
		Max     int `json:"max,omitempty"`
	}
	rateLimitJSON struct {
		PerSecond int    `json:"perSecond,omitempty"`
		Burst     int    `json:"burst,omitempty"`
		MaxWait   string `json:"maxWait,omitempty"`
	}
	hedgeJSON struct {
		Delay    string  `json:"delay,omitempty"`
		Quantile float64 `json:"quantile,omitempty"`
		Max      int     `json:"max,omitempty"`
		Budget   float64 `json:"budget,omitempty"`
	}
	fallbackJSON struct {
		On *[]Reason `json:"on,omitempty"`
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
			durationText(b.Window), b.WindowCalls, b.MinCalls, durationText(b.OpenFor), b.Probes}
	}
	if b := p.Bulkhead; b != nil {
		doc.Bulkhead = &bulkheadJSON{b.MaxConcurrent, b.MaxQueue, durationText(b.MaxWait)}
	}
	if a := p.Adaptive; a != nil {
		doc.Adaptive = &adaptiveJSON{a.Initial, a.Min, a.Max}
	}
	if r := p.RateLimit; r != nil {
		doc.RateLimit = &rateLimitJSON{r.PerSecond, r.Burst, durationText(r.MaxWait)}
	}
	if h := p.Hedge; h != nil {
		doc.Hedge = &hedgeJSON{durationText(h.Delay), h.Quantile, h.Max, h.Budget}
	}
	if f := p.Fallback; f != nil {
		doc.Fallback = &fallbackJSON{}
		if f.On != nil {
			doc.Fallback.On = &f.On
		}
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
