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

	// MetricSeen is a monotonic delta sum of value 1, unit {flag}: the flag was evaluated in the
	// report's time and gave the variant; how often is not told. It carries AttrSeenFlag and,
	// unless it gave the code's default, AttrSeenVariant.
	MetricSeen      = "seatrial.flag.evaluations.seen"
	AttrSeenFlag    = "feature_flag.key"
	AttrSeenVariant = "feature_flag.result.variant"
)
