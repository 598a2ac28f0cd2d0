// Package flag holds the data model of everything an evaluator may see: flags with their
// variants and rules, segments (user groups) and the allocations that running trials put on
// flags.
//
// It is pure data plus the validation that goes with it ([Set.Validate]). The code that
// evaluates lives in package eval, which compiles a Set and refuses exactly what Validate
// refuses: whatever can be stored can be evaluated.
//
// Values of this package are treated as immutable once they are part of a [Set]: writers copy
// (defect F7 of the founding sketch), readers never lock.
package flag

import "encoding/json"

// TotalWeight is the fixed total of every split: one unit is 0.001 %. The total never
// changes, so raising one share moves users in one direction only (flagd fractional v2).
const TotalWeight = 100_000

// Weight is a share in parts of [TotalWeight], 0 to 100 000 inclusive.
type Weight int

// Percent gives w in per cent, for display only.
func (w Weight) Percent() float64 { return float64(w) * 100 / TotalWeight }

// Kind says what a flag is for.
type Kind string

// The kinds of flag.
const (
	KindRelease Kind = "release" // guards a change of code
	KindConfig  Kind = "config"  // carries a value that operators tune
	KindFault   Kind = "fault"   // its variants are fault programs (package fault)
	KindPolicy  Kind = "policy"  // its variants are resilience policies (package resilience)
)

// PolicyPrefix begins the key of the flag that has the policies of a dependency; the rest is the
// dependency's name.
const PolicyPrefix = "policy-"

// Type is the type that all variants of one flag share.
type Type string

// The types of flag, as in OpenFeature.
const (
	TypeBoolean Type = "boolean"
	TypeString  Type = "string"
	TypeInteger Type = "integer" // |n| ≤ 2^53-1
	TypeFloat   Type = "float"   // finite
	TypeObject  Type = "object"  // a JSON object
)

// Flag is one feature flag.
type Flag struct {
	Key         string   `json:"key"`
	Kind        Kind     `json:"kind"`
	Type        Type     `json:"type"`
	Description string   `json:"description,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	// Expires is the day (YYYY-MM-DD, UTC) from which on the flag counts as overdue for removal.
	// Nothing else happens on that day.
	Expires string `json:"expires,omitempty"`
	// Archived flags evaluate like disabled ones and cannot be changed until they are restored.
	Archived bool `json:"archived,omitempty"`
	// ClientSide flags may be asked for with a browser's key, which shows their values, never
	// their rules.
	ClientSide bool `json:"clientSide,omitempty"`
	// Enabled false is the kill switch: every evaluation gives the code default, reason DISABLED.
	Enabled  bool      `json:"enabled"`
	Variants []Variant `json:"variants,omitempty"`
	// Schema is a JSON Schema that the values of an object flag must meet; the control plane
	// checks it on every write.
	Schema json.RawMessage `json:"schema,omitempty"`
	// DefaultVariant is served where no rule and no trial applies. Empty means the code default.
	DefaultVariant string `json:"defaultVariant,omitempty"`
	// Prerequisites must all be met, else the default variant is served.
	Prerequisites []Prerequisite `json:"prerequisites,omitempty"`
	// Overrides give single units a variant, before any rule.
	Overrides []Override `json:"overrides,omitempty"`
	// Rules are tried in order; the first that matches and serves decides.
	Rules []Rule `json:"rules,omitempty"`
	// Definition is a flagd flag definition, kept verbatim and evaluated exactly as flagd does.
	// Such a flag has no variants, default, prerequisites, overrides, rules or schema of its own,
	// and no trial runs on it. Enabled and Archived hold beside the definition's state.
	Definition json.RawMessage `json:"definition,omitempty"`
}

// Prerequisite asks that another flag gives the unit one of some variants.
type Prerequisite struct {
	Flag     string   `json:"flag"`
	Variants []string `json:"variants"`
}

// Override gives single units, by targeting key, a variant.
type Override struct {
	Variant string   `json:"variant"`
	Units   []string `json:"units"`
}

// Layer keeps experiments apart: its flags share out the units among them, so that a unit is
// tried on by at most one of them. A unit's place in a layer is flagd's bucket of salt + ":" +
// targeting key in [0, TotalWeight).
//
// A flag decides by hash (splits of rules, trials) only for units inside its slot; for others,
// and for units without a targeting key, its splits and trials pass by. Rules that serve a
// variant outright are not concerned.
type Layer struct {
	Key         string `json:"key"`
	Description string `json:"description,omitempty"`
	Salt        string `json:"salt,omitempty"` // empty: the layer's key
	Slots       []Slot `json:"slots,omitempty"`
	// Holdout is the share at the top, [TotalWeight - Holdout, TotalWeight), on which no flag of
	// the layer tries anything.
	Holdout Weight `json:"holdout,omitempty"`
	// Global makes the holdout one of all flags. A global layer has no slots; at most one is.
	Global bool `json:"global,omitempty"`
}

// Slot is a flag's half-open part [From, To) of a layer. Slots of a layer do not overlap, and a
// flag has at most one in all layers.
type Slot struct {
	Flag string `json:"flag"`
	From Weight `json:"from"`
	To   Weight `json:"to"`
}

// Variant is one named value of a flag.
type Variant struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

// Rule serves one variant, or a split, to the units that meet its condition. Exactly one of
// Serve and Split is set.
type Rule struct {
	Name  string     `json:"name,omitempty"`
	When  *Condition `json:"when,omitempty"` // nil: everybody
	Serve string     `json:"serve,omitempty"`
	Split *Split     `json:"split,omitempty"`
}

// Split distributes units over variants by hash: flagd fractional v2 over the bytes
// Salt + ":" + value of the BucketBy attribute.
type Split struct {
	Salt string `json:"salt,omitempty"` // empty: the flag's key
	// BucketBy names the attribute that is hashed; empty means the targeting key. A unit
	// without that attribute falls through to the next rule.
	BucketBy string `json:"bucketBy,omitempty"`
	// Weights lie on [0, TotalWeight) in the order given, half-open. What they leave free
	// falls through to the next rule.
	Weights []Share `json:"weights"`
}

// Share gives a variant a part of [TotalWeight].
type Share struct {
	Variant string `json:"variant"`
	Weight  Weight `json:"weight"`
}

// Condition is a tree of clauses. Exactly one form is used: All, Any, Not, Segment, or an
// attribute clause (Attribute, Op, Values).
type Condition struct {
	All     []Condition `json:"all,omitempty"`
	Any     []Condition `json:"any,omitempty"`
	Not     *Condition  `json:"not,omitempty"`
	Segment string      `json:"segment,omitempty"`

	// Attribute names an attribute of the context; "targetingKey" is the targeting key. A dot
	// goes into an object: "user.plan" is the member plan of the object user, as in flagd.
	Attribute string            `json:"attribute,omitempty"`
	Op        Op                `json:"op,omitempty"`
	Values    []json.RawMessage `json:"values,omitempty"` // strings, numbers or booleans
}

// Op compares an attribute with the clause's values. A list attribute matches if any of its
// elements does. A missing attribute, or one of another type, matches nothing.
type Op string

// The operators of attribute clauses.
const (
	OpIn         Op = "in"         // equal to one of Values
	OpContains   Op = "contains"   // string contains one of Values
	OpStartsWith Op = "startsWith" // string starts with one of Values
	OpEndsWith   Op = "endsWith"   // string ends with one of Values
	OpLess       Op = "<"          // number, one value
	OpLessEq     Op = "<="
	OpGreater    Op = ">"
	OpGreaterEq  Op = ">="
	OpExists     Op = "exists" // present and not null; no values

	OpEquals  Op = "equals"  // equal to the one value
	OpMatches Op = "matches" // string matches one of Values, regular expressions in RE2 syntax
	OpBefore  Op = "before"  // instant (RFC 3339 text, or a number of Unix seconds) before the one value (RFC 3339)
	OpAfter   Op = "after"   // after the one value
	OpInCIDR  Op = "inCIDR"  // IP address (text) in one of Values, networks such as 10.0.0.0/8

	// Semantic versions, one value, as flagd's sem_ver compares: a leading v and missing parts
	// (1, 1.2) are allowed, build metadata is ignored. Lists have no version.
	OpVersionEquals    Op = "semver="
	OpVersionNotEquals Op = "semver!="
	OpVersionLess      Op = "semver<"
	OpVersionLessEq    Op = "semver<="
	OpVersionGreater   Op = "semver>"
	OpVersionGreaterEq Op = "semver>="
	OpVersionMinor     Op = "semver~" // same major and minor
	OpVersionMajor     Op = "semver^" // same major
)

// Segment is a named user group: members by targeting key, a list of up to ten million, or a
// condition; any of them suffices. Its condition cannot name another segment.
//
// A segment with a Rule has nothing else: it is an evaluator of imported flagd definitions,
// JsonLogic that they name by $ref. Structured rules may name it too; what is truthy is inside.
type Segment struct {
	Key         string          `json:"key"`
	Description string          `json:"description,omitempty"`
	Members     []string        `json:"members,omitempty"`
	When        *Condition      `json:"when,omitempty"`
	List        *List           `json:"list,omitempty"`
	Rule        json.RawMessage `json:"rule,omitempty"`
}

// List refers to a member list that is too long for the definition. It is kept as keyed hashes
// (SipHash-2-4, 64 bits) in parts that never change and are named by the hash of their content,
// so that caches, SDKs and replicas fetch each of them once. The control plane writes it; by hand
// it is only kept or removed.
type List struct {
	HashKey string     `json:"hashKey"` // 32 hex digits; new for each list
	Count   int        `json:"count"`   // members
	Parts   []ListPart `json:"parts"`   // in the order in which they apply
}

// ListPart adds or removes members.
type ListPart struct {
	Digest  string `json:"digest"` // hex SHA-256 of the part's bytes
	Bytes   int64  `json:"bytes"`
	Removes bool   `json:"removes,omitempty"`
}

// Allocation is what one running trial makes of a flag. The control plane derives it from the
// trial's state (trial.Spec.Allocation); it is never written by hand.
//
// A unit in the audience gets Treatment if its bucket is below the treatment weight that holds
// for it, Control if it is at or above TotalWeight minus the control weight, and otherwise
// falls through as if there were no trial. Treatment grows from the bottom, control from the
// top, so raising the share never moves a unit out of treatment nor a control unit into it
// (measured in the flags reference, section 6).
type Allocation struct {
	Trial string `json:"trial"`
	Flag  string `json:"flag"`
	// Version identifies trial, attempt and step in telemetry (flag metadata "version").
	Version   string     `json:"version"`
	Step      int        `json:"step"`
	Salt      string     `json:"salt"`
	Treatment string     `json:"treatment"`
	Control   string     `json:"control"`
	Audience  *Condition `json:"audience,omitempty"` // nil: everybody
	// Strata are the shares of this step. The largest Treatment and the largest Control of
	// the strata that a unit belongs to hold for it; Treatment + Control ≤ TotalWeight.
	Strata []Stratum `json:"strata"`
	// Events are what evaluators count beside requests, each name once, at most [MaxEvents].
	Events []Event `json:"events,omitempty"`
	// Fault says that the trial is a chaos experiment whose fault is on: the treatment of a flag of
	// kind fault is carried out for units of the treatment arm, and for nobody else. Without it the
	// programs of such a flag do nothing.
	Fault bool `json:"fault,omitempty"`
	// Secret proves to services of the same environment that a decision about the fault came from
	// one of them. 32 hex digits, new for each attempt; experiments only. It is for snapshots of
	// services, and for nobody else.
	Secret string `json:"secret,omitempty"`
}

// Event is something that the application tracks and that the trial is judged by.
type Event struct {
	Name  string     `json:"name"`
	Count EventCount `json:"count"`
}

// EventCount says what is counted of a tracked event.
type EventCount string

// What is counted.
const (
	CountUnits    EventCount = "units"    // units that have it for the first time, of those that had not
	CountRequests EventCount = "requests" // units of work that have it, of all
	CountValues   EventCount = "values"   // the values, one for each unit of work that has it
)

// Stratum is a share for some segments, or (no segments) for the whole audience.
type Stratum struct {
	Segments  []string `json:"segments,omitempty"`
	Treatment Weight   `json:"treatment"`
	Control   Weight   `json:"control"`
}
