// Package outcome holds what a trial is judged by: counts of one interval, per arm, with the
// distribution of durations as a histogram of fixed scale. Everything merges without loss, in
// any order, so shards of one process, processes of one service and late halves of an interval
// add up to the same numbers.
//
// It is pure and knows nothing of transport; the names under which these counts travel as OTLP
// metrics are in names.go.
package outcome

import "time"

// Arm holds the outcomes of one arm (treatment or control) of a trial in one interval.
//
// Requests and Bad count requests. The unit counts (a unit is what is randomised: the
// targeting key) count each unit at most once an interval and, once it has had a bad event in
// this trial, never again: that keeps them independent however requests cluster by user
// (evidence reference, section 2, assumption 1).
type Arm struct {
	Requests uint64 `json:"requests"`
	Bad      uint64 `json:"bad"` // failed requests
	// NewUnits were seen for the first time in this trial.
	NewUnits uint64 `json:"newUnits"`
	// AtRiskUnits were active in the interval and had no bad event before it.
	AtRiskUnits uint64 `json:"atRiskUnits"`
	// BadUnits are the at-risk units that had their first bad event in the interval.
	BadUnits uint64 `json:"badUnits"`
	// Latency is the distribution of request durations in seconds, all requests.
	Latency Histogram `json:"latency"`
	// Measures hold what guardrails need beyond requests, sorted by name, each name once.
	Measures []Measure `json:"measures,omitempty"`
	// Injected counts the calls that a fault of this trial has hit, of any point. A request may make
	// several, so it may be more than Requests.
	Injected uint64 `json:"injected,omitempty"`
}

// Measure is what one arm showed of one thing in one interval: events or values that the
// application tracks (named by the event), or counts that were pulled from elsewhere (named by
// the guardrail). Which fields mean something depends on the guardrail's metric.
type Measure struct {
	Name string `json:"name"`
	Of   uint64 `json:"of"`  // exposures, or observations of a value
	Bad  uint64 `json:"bad"` // events among them
	// Sum and SumSquares of the observed values.
	Sum        float64 `json:"sum,omitempty"`
	SumSquares float64 `json:"sumSquares,omitempty"`
}

// Pull is what was fetched from a source of metrics for the time from From (exclusive) to To
// (inclusive). Pulls of a trial follow each other without overlap: one that overlaps with what
// was weighed is not counted again.
type Pull struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Treatment []Measure `json:"treatment,omitempty"`
	Control   []Measure `json:"control,omitempty"`
}

// Interval is one closed interval of one trial. It is never rewritten after it was closed:
// what arrives later belongs to the interval in which it arrives.
type Interval struct {
	Seq  int `json:"seq"` // from 1, without gaps
	Step int `json:"step"`
	// Steady says that the interval is of the phase before the fault, in which both arms have the
	// control variant.
	Steady    bool      `json:"steady,omitempty"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Treatment Arm       `json:"treatment"`
	Control   Arm       `json:"control"`
	// Exemplars are bad requests of the treatment, newest first, at most MaxExemplars.
	Exemplars []Exemplar `json:"exemplars,omitempty"`
	// Injections tell where the faults have hit, in both arms together, sorted by point, kind and
	// phase, at most MaxInjections; what is beyond them is in Arm.Injected only.
	Injections []Injection `json:"injections,omitempty"`
	// Pull is what sources of metrics said meanwhile, if guardrails ask for it.
	Pull *Pull `json:"pull,omitempty"`
}

// MaxExemplars bounds the exemplars kept for one interval and for one trial.
const MaxExemplars = 5

// Exemplar points at a request whose trace explains an outcome.
type Exemplar struct {
	TraceID string    `json:"traceId"` // 32 hex digits
	SpanID  string    `json:"spanId"`  // 16 hex digits
	Time    time.Time `json:"time"`
	Seconds float64   `json:"seconds"` // duration of the request
}
