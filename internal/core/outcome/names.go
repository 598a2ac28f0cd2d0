package outcome

// Names under which outcomes travel as OTLP metrics (delta temporality). One flush of an SDK
// is one ResourceMetrics; its points carry the attributes below.
const (
	// MetricDuration is an exponential histogram at scale [Scale], unit s: all requests.
	MetricDuration = "seatrial.outcome.duration"
	// MetricBad is a monotonic delta sum, unit {request}; its exemplars are bad requests. It is sent
	// for every MetricDuration, also if it is 0: the two count together.
	MetricBad = "seatrial.outcome.bad"
	// MetricUnits is a monotonic delta sum, unit {unit}, split by AttrUnitState. The points of all
	// three states are sent, or none: they count together.
	MetricUnits = "seatrial.outcome.units"

	AttrFlag    = "seatrial.flag"
	AttrTrial   = "seatrial.trial"
	AttrVersion = "seatrial.version" // Allocation.Version
	AttrStep    = "seatrial.step"    // integer
	AttrArm     = "seatrial.arm"     // ArmTreatment or ArmControl
	AttrVariant = "seatrial.variant"

	ArmTreatment = "treatment"
	ArmControl   = "control"

	AttrUnitState = "seatrial.unit.state"
	UnitNew       = "new"
	UnitAtRisk    = "at_risk"
	UnitBad       = "bad"

	// MetricEvents is a monotonic delta sum, unit {event}: of each event that the trial counts
	// (AttrEvent) how often it came, and of how many, told apart by AttrMeasure (MeasureOf,
	// MeasureBad). Both points are always sent.
	MetricEvents = "seatrial.outcome.events"
	// MetricValues is a delta sum of doubles, not monotonic since values may be negative: of each
	// tracked value (AttrEvent) how many there were, their sum and the sum of their squares, told
	// apart by AttrMeasure (MeasureOf, MeasureSum, MeasureSumSquares). All three points are always
	// sent.
	MetricValues = "seatrial.outcome.values"

	AttrEvent         = "seatrial.event.name"
	AttrMeasure       = "seatrial.measure"
	MeasureOf         = "of"
	MeasureBad        = "bad"
	MeasureSum        = "sum"
	MeasureSumSquares = "sum_squares"

	// MetricSeen is a monotonic delta sum of value 1, unit {flag}: the flag was evaluated in the
	// report's time and gave the variant; how often is not told. It carries AttrSeenFlag and,
	// unless it gave the code's default, AttrSeenVariant.
	MetricSeen      = "seatrial.flag.evaluations.seen"
	AttrSeenFlag    = "feature_flag.key"
	AttrSeenVariant = "feature_flag.result.variant"
)

// What processes tell of faults and of the protection of their dependencies.
const (
	// MetricInjections is a monotonic delta sum, unit {call}: calls that a fault hit. It carries the
	// attributes of outcomes (AttrFlag to AttrVariant) and those of the fault.
	MetricInjections = "seatrial.fault.injections"
	AttrPoint        = "seatrial.fault.point"
	AttrKind         = "seatrial.fault.kind"
	AttrPhase        = "seatrial.fault.phase"

	// MetricTraffic is a monotonic delta sum, unit {point}: 1 says that calls came to the point
	// (AttrPoint) since the last report, 0 that there is such a point. AttrAllowed is "true" or
	// "false": whether the process lets faults be injected at all.
	MetricTraffic = "seatrial.point.traffic"
	AttrAllowed   = "seatrial.fault.allowed"

	// The gauges of a dependency (AttrDependency) under one variant of its policy
	// (AttrPolicyVariant, empty for the policy in the code): the state of the breaker (StateClosed,
	// StateHalfOpen or StateOpen); the level of the retry budget, 0 (used up) to 1, a double; the
	// calls under way; and how many there may be, 0 for no limit. Unit 1, and {call} for the latter
	// two.
	MetricState    = "seatrial.dependency.state"
	MetricBudget   = "seatrial.dependency.budget"
	MetricInFlight = "seatrial.dependency.in_flight"
	MetricLimit    = "seatrial.dependency.limit"
	// MetricDependency is a monotonic delta sum, unit {event}: what happened to calls to the
	// dependency, by AttrDependencyEvent, one of the events below.
	MetricDependency = "seatrial.dependency.events"

	AttrDependency      = "seatrial.dependency"
	AttrPolicyVariant   = "seatrial.policy.variant"
	AttrDependencyEvent = "seatrial.event"

	StateClosed   = 0
	StateHalfOpen = 1
	StateOpen     = 2

	EventOpened         = "opened"
	EventHalfOpened     = "half_opened"
	EventClosed         = "closed"
	EventRefusedOpen    = "refused_open"
	EventRefusedFull    = "refused_full"
	EventRefusedLimited = "refused_limited"
	EventRetry          = "retry"
	EventRetryBudget    = "retry_budget" // a retry that the budget did not allow
	EventHedge          = "hedge"
	EventFallback       = "fallback"
	EventTimeout        = "timeout"
	EventFailure        = "failure"
)
