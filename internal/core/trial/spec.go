// Package trial is the heart of Seatrial as a pure function: Next takes the state of a trial and
// an event (an interval of outcomes, a command of a person) and gives the new state and the
// actions to carry out. It reads no clock and does no I/O, so the same events give the same
// decisions, bit for bit.
package trial

import "github.com/seatrial/seatrial/internal/core/flag"

// Goal is what a trial is for.
type Goal string

// The goals. They differ in what the end is called and in what happens then: a rollout hopes to
// promote its treatment, a chaos experiment hopes to survive it and always ends with it off.
const (
	GoalPromote Goal = "promote"
	GoalSurvive Goal = "survive"
	// GoalCalibrate gives both arms the same variant, to see whether the evidence stays quiet
	// where nothing is different (A/A). It never changes the flag, and harm does not end it: harm
	// is then the finding.
	GoalCalibrate Goal = "calibrate"
)

// Spec is the plan of a trial; it does not change while the trial runs.
type Spec struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Goal        Goal   `json:"goal"`
	Hypothesis  string `json:"hypothesis,omitempty"` // required for survive
	Flag        string `json:"flag,omitempty"`
	Treatment   string `json:"treatment,omitempty"` // variant
	Control     string `json:"control,omitempty"`   // variant; for calibrate the same one
	// Cohorts name the arms by a resource attribute of the telemetry, for deployments that no
	// flag divides. Flag, Treatment, Control, Audience and Steps are then left out: somebody else
	// divides the traffic, and the trial only judges.
	Cohorts *Cohorts `json:"cohorts,omitempty"`
	// Artifact is what is tried, such as an image or a commit. Empty: the flag and its treatment,
	// or the treatment's cohort. A new attempt of the same artifact within [RetryWindow] halves
	// the level at which it is called safe, so that trying again until it passes does not break
	// the guarantee.
	Artifact string          `json:"artifact,omitempty"`
	Audience *flag.Condition `json:"audience,omitempty"`
	// Salt seeds the assignment; empty: the trial's name. It stays the same when a trial is
	// stopped and started again, so users keep their variant.
	Salt       string      `json:"salt,omitempty"`
	Steps      []Step      `json:"steps"`
	Guardrails []Guardrail `json:"guardrails"`

	// Interval is how often evidence is weighed. 1 s to 1 h, default 15 s.
	Interval Duration `json:"interval"`
	// Alpha bounds the chance of rolling back a harmless treatment, over the whole trial and
	// all guardrails. In (0, 0.5], default 0.01.
	Alpha float64 `json:"alpha"`
	// HoldAlpha is the level of the any-harm alarm that holds the ramp. Default 0.05.
	HoldAlpha float64 `json:"holdAlpha"`
	// PromoteAlpha bounds, per guardrail, the chance of calling harm beyond tolerance safe.
	// Default 0.05.
	PromoteAlpha float64 `json:"promoteAlpha"`

	// Watch is how long a promoted treatment is watched after the last step. Default 30 min
	// for promote, [NoWatch] (written "none") for none; cohorts and other goals have none.
	Watch Duration `json:"watch"`
	// OnWatch says what happens when the watch looks worse than the control did before the
	// promotion: notify (default) or rollback.
	OnWatch WatchPolicy `json:"onWatch,omitempty"`
	// Deadline is the longest the trial may run, in time that was observed: while the control
	// plane is down, it stands still. Default 24 h. For survive it is the experiment's maximum
	// duration on the clock, required, at most 1 h; for calibrate its length, default 1 h, at
	// most 7 days.
	Deadline   Duration       `json:"deadline"`
	OnDeadline DeadlinePolicy `json:"onDeadline"` // default hold; for survive always stop
	// MaxUnits caps how many units may ever get the treatment of a survive trial. Required
	// for survive.
	MaxUnits uint64 `json:"maxUnits,omitempty"`
	// SteadyTime is how long both arms of a survive trial get the control variant before the fault
	// is on, and everything must look well. At least two intervals, at most 1 h, default 30 s or
	// two intervals, whichever is more. Survive only.
	SteadyTime Duration `json:"steadyTime,omitempty"`
	// FourEyes demands that somebody else than who started a survive trial approves it
	// ([VerbApprove]) before the fault is on, within [ApprovalTime] of the start. Survive only.
	FourEyes bool `json:"fourEyes,omitempty"`
}

// DeadlinePolicy says what happens when the deadline passes without a decision.
type DeadlinePolicy string

// The deadline policies.
const (
	DeadlineHold     DeadlinePolicy = "hold"
	DeadlinePromote  DeadlinePolicy = "promote"
	DeadlineRollBack DeadlinePolicy = "rollback"
)

// WatchPolicy says what an alarm of the watch does.
type WatchPolicy string

// The watch policies.
const (
	WatchNotify   WatchPolicy = "notify"
	WatchRollBack WatchPolicy = "rollback"
)

// Cohorts tell the arms apart by a resource attribute, such as service.version.
type Cohorts struct {
	// Service restricts to telemetry of this service.name; empty: any.
	Service string `json:"service,omitempty"`
	// Attribute of the resource. Default service.version.
	Attribute string `json:"attribute"`
	Treatment string `json:"treatment"` // its value in the canary
	Control   string `json:"control"`   // its value in the stable version
	// From says what is counted: the request durations that stock SDKs send as metrics (default),
	// or their SERVER spans.
	From CohortSource `json:"from,omitempty"`
	// Share of the traffic of both that the treatment is expected to get, for throughput. 0: not
	// known, and throughput cannot be judged.
	Share flag.Weight `json:"share,omitempty"`
}

// CohortSource is the kind of telemetry that tells of cohorts.
type CohortSource string

// The sources.
const (
	FromMetrics CohortSource = "metrics"
	FromSpans   CohortSource = "spans"
)

// Step is one stage of the ramp.
type Step struct {
	// Segments, if any, restrict the step's share to these user groups. The share is then at
	// most 50 %: the other half of the group is the control, so that even the first step is
	// judged by evidence.
	Segments []string `json:"segments,omitempty"`
	// Share of the audience that gets the treatment. Control gets as much, or what is left.
	Share flag.Weight `json:"share"`
	// MinTime and MinUnits must both be reached before the next step. Defaults 5 min, 100.
	MinTime  Duration `json:"minTime"`
	MinUnits uint64   `json:"minUnits"`
	// RequireSafe demands that every guardrail be proven safe; otherwise it is enough that none
	// is proven harmful.
	RequireSafe bool `json:"requireSafe"`
	// Approval demands that a person approves before the step is left ([VerbApprove]).
	Approval bool `json:"approval,omitempty"`
}

// Metric names what a guardrail measures.
type Metric string

// The metrics.
const (
	MetricErrors  Metric = "errors"  // share of units (or requests) with a failed request
	MetricLatency Metric = "latency" // share of requests slower than bounds near the control's quantiles
	// MetricThroughput compares how many units (or requests) arrive with how many should: a
	// treatment that loses requests, or crashes before it can report them, shows here.
	MetricThroughput Metric = "throughput"
	MetricEvent      Metric = "event" // share of units (or requests) with a tracked event
	MetricValue      Metric = "value" // mean of a tracked value
)

// Mode says what a guardrail may do.
type Mode string

// The modes.
const (
	ModeShadow  Mode = "shadow"  // computed and shown, no action
	ModeHold    Mode = "hold"    // may hold the ramp
	ModeEnforce Mode = "enforce" // may roll back
)

// Guardrail is a metric with a tolerance. The tolerance is the larger of Relative and Absolute:
// harm must exceed both.
type Guardrail struct {
	Name   string `json:"name"`
	Metric Metric `json:"metric"`
	Mode   Mode   `json:"mode"`
	// Relative tolerance: 0.2 allows 1.2 times the control's bad share (or mean), 0 to 10. Where
	// higher is better it allows 20 % less, and throughput may lose it: under 1.
	Relative float64 `json:"relative"`
	// Absolute tolerance: 0.001 allows 0.1 percentage points more of a share, 0 to 0.5. For value
	// it is in the value's own unit, 0 to 1e12. Throughput has none.
	Absolute float64 `json:"absolute"`
	// Unit: "unit" counts each targeting key's first event (errors, event) or first visit
	// (throughput), "request" counts requests. Default unit for these three, request for latency
	// and value; always request for cohorts and Prometheus.
	Unit string `json:"unit,omitempty"`
	// Bounds in seconds fix the latency bounds; empty: the control's p50, p75, p90, p95, p99,
	// read off before the evidence starts. The bound of an SLO comes on top of either.
	Bounds []float64 `json:"bounds,omitempty"`

	// Event names what Track records, for the metrics event and value.
	Event string `json:"event,omitempty"`
	// Better says which direction of an event (default lower) or value (required) is good.
	Better Better `json:"better,omitempty"`
	// SLO is a limit that holds whatever the control shows.
	SLO *SLO `json:"slo,omitempty"`
	// Weight of the guardrail among those that may roll back. Default 1.
	Weight float64 `json:"weight,omitempty"`
	// DesignEffect divides counts of requests that cluster by user, 1 to 1,000; `seatrial rollout
	// aa` measures it. Default 1.
	DesignEffect float64 `json:"designEffect,omitempty"`
	// Prometheus has the counts pulled from there instead of from the telemetry.
	Prometheus *PromSource `json:"prometheus,omitempty"`
}

// Better is the good direction of a metric.
type Better string

// The directions.
const (
	BetterLower  Better = "lower"
	BetterHigher Better = "higher"
)

// SLO is the largest bad share that is acceptable, over 0 and under 1, in the guardrail's own
// unit. For latency Seconds says from when on a request is bad; it is brought to the next lower
// edge of a histogram bucket (at most 2.2 % lower), which is the stricter side.
type SLO struct {
	Share   float64 `json:"share"`
	Seconds float64 `json:"seconds,omitempty"`
}

// PromSource says which counters of Prometheus hold a guardrail's counts.
type PromSource struct {
	Treatment PromCounters `json:"treatment"`
	Control   PromCounters `json:"control"`
}

// PromCounters are selectors of counters in PromQL; their series are added up. Bad or Good is
// given, not both; throughput has Total only.
type PromCounters struct {
	Total string `json:"total"`
	Bad   string `json:"bad,omitempty"`
	Good  string `json:"good,omitempty"`
}
