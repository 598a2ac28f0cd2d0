// Package eval decides which variant a unit gets. Compile turns a flag.Set into an immutable
// Snapshot; Flag.Evaluate reads it without locks, I/O, panics or (on the simple paths)
// allocations.
//
// Order of decision: disabled or archived → prerequisites that are not met → overrides → rules in
// order → running trials (allocations) → default variant. A rule that a person wrote beats the
// trial; what falls through the rules is the trial's audience. Splits of rules and trials pass by
// the units that a layer keeps for other flags or holds out. A flagd definition decides by itself,
// as flagd does.
package eval

// Reason says why an evaluation gave its value, in OpenFeature's words.
type Reason string

// The reasons. STATIC is never given where anything could have decided otherwise.
const (
	ReasonStatic         Reason = "STATIC"          // no prerequisites, overrides, rules or trials
	ReasonTargetingMatch Reason = "TARGETING_MATCH" // an override, a rule or a definition's targeting served a variant
	ReasonSplit          Reason = "SPLIT"           // a split or a trial decided by hash
	ReasonDefault        Reason = "DEFAULT"         // nothing matched, or a prerequisite is not met
	ReasonDisabled       Reason = "DISABLED"
	ReasonError          Reason = "ERROR"
)

// ErrorCode is OpenFeature's error code; empty means no error.
type ErrorCode string

// The error codes an evaluation can give.
const (
	ErrorFlagNotFound        ErrorCode = "FLAG_NOT_FOUND"
	ErrorTypeMismatch        ErrorCode = "TYPE_MISMATCH"
	ErrorTargetingKeyMissing ErrorCode = "TARGETING_KEY_MISSING"
	ErrorProviderNotReady    ErrorCode = "PROVIDER_NOT_READY"
	ErrorParse               ErrorCode = "PARSE_ERROR"     // a definition cannot be evaluated
	ErrorInvalidContext      ErrorCode = "INVALID_CONTEXT" // for who reads contexts; evaluation takes any
	ErrorGeneral             ErrorCode = "GENERAL"
)

// Role is the part a unit plays in the trial that decided, or was looked at.
type Role uint8

// The roles.
const (
	RoleNone Role = iota // no trial, or in its rest
	RoleTreatment
	RoleControl
)

// Context is what a decision may depend on: the targeting key and attributes. Attribute values
// are string, bool, any int or float, time.Time (for before and after), []string / []any of those,
// or objects (map[string]any, map[string]string), into which dotted names go; anything else exists,
// but matches nothing.
type Context struct {
	TargetingKey string
	Attributes   map[string]any
	Time         int64 // Unix seconds, for flags of which UsesTime is true; 0 is unknown
}

// Result is the outcome of one evaluation. The zero Variant with no Error means: use the code
// default.
type Result struct {
	Variant string
	Value   any // bool, string, int64, float64 or map[string]any; nil = code default. Shared: do not modify.
	Reason  Reason
	Error   ErrorCode
	// Trial is set when Role is not RoleNone.
	Trial *TrialRef
	Role  Role
	// Slot numbers the flag and what it gave within the snapshot, for those who keep something for
	// each: [Flag.Slot] is the code default, the variants follow in the flag's order. 0: no flag.
	Slot uint32
}

// TrialRef names the trial step that an evaluation belongs to. One exists per compiled
// allocation, so pointers can be compared while a snapshot lives.
type TrialRef struct {
	Trial   string
	Flag    string
	Version string
	Step    int
	// Salt seeds the unit hash that de-duplicates units.
	Salt string
}
