package outcome

// Names under which outcomes travel as OTLP metrics (delta temporality). One flush of an SDK
// is one ResourceMetrics; its points carry the attributes below.
const (
	// MetricDuration is an exponential histogram at scale [Scale], unit s: all requests.
	MetricDuration = "seatrial.outcome.duration"
	// MetricBad is a monotonic delta sum, unit {request}; its exemplars are bad requests.
	MetricBad = "seatrial.outcome.bad"
	// MetricUnits is a monotonic delta sum, unit {unit}, split by AttrUnitState.
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
