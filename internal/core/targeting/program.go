package targeting

import (
	"encoding/json"
	"fmt"
	"slices"
)

// The limits of a rule. Whatever passes them evaluates in bounded time and memory.
const (
	MaxRuleBytes = 64 << 10 // JSON of a rule, or of one evaluator
	MaxDepth     = 64       // operators and lists inside of each other
	MaxNodes     = 20_000   // operators and values of a rule, its evaluators included once each
	MaxSteps     = 100_000  // steps of one evaluation: an operator, an element, or 64 bytes of text each
	MaxText      = 64 << 10 // bytes of a text that cat makes
)

// Input is the evaluation context. Nothing is written to it.
type Input struct {
	FlagKey string // the rule's $flagd.flagKey
	// TargetingKey is the rule's targetingKey; empty means missing, unless Attributes has one.
	TargetingKey string
	// Attributes hold what JSON decodes to, any of Go's numbers, []string, map[string]string and
	// time.Time (as RFC 3339 text); values of other types are null.
	Attributes map[string]any
	Time       int64 // the rule's $flagd.timestamp, Unix seconds
}

// Error says what is wrong with a rule or a definition, or why one cannot be evaluated.
type Error struct {
	Pointer string // JSON pointer into the rule or definition, or /$evaluators/name/... ; may be empty
	Detail  string // what is wrong and what to write instead
}

// Error gives place and detail.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return e.Detail
	}
	return e.Pointer + ": " + e.Detail
}

func problem(pointer, format string, args ...any) *Error {
	return &Error{Pointer: pointer, Detail: fmt.Sprintf(format, args...)}
}

// Program is a compiled rule. It never changes and is safe for concurrent use.
type Program struct {
	root     node
	usesTime bool
	refs     []string
}

// Compile reads a JsonLogic rule and puts the evaluators in the place of its {"$ref": "name"};
// they cannot name others. A rule within the limits with known operators only compiles, and then
// evaluates to a value or an error. Errors are of type *[Error].
func Compile(rule json.RawMessage, evaluators map[string]json.RawMessage) (*Program, error) {
	return compileAt("", rule, evaluators)
}

func compileAt(pointer string, rule json.RawMessage, evaluators map[string]json.RawMessage) (*Program, error) {
	c := compiler{evaluators: evaluators, compiled: map[reference]*node{}}
	p := &Program{root: c.document(pointer, rule, atRoot)}
	if c.err != nil {
		return nil, c.err
	}
	p.usesTime = c.usesTime
	for ref := range c.compiled {
		p.refs = append(p.refs, ref.name)
	}
	slices.Sort(p.refs)
	p.refs = slices.Compact(p.refs)
	return p, nil
}

// Evaluate gives the rule's value for the input: nil, bool, float64, string, a list ([]any or
// []string) or an object (map[string]any or map[string]string). Lists and objects may be shared
// with the rule or the input: do not modify them. Errors are of type *[Error]: an operator that
// cannot use its arguments, or an evaluation of more than [MaxSteps] steps.
func (p *Program) Evaluate(in *Input) (any, error) {
	v, err := p.value(in)
	if err != nil {
		return nil, err
	}
	return v.box(), nil
}

// Test tells whether the rule's value is truthy. It allocates less than [Program.Evaluate].
func (p *Program) Test(in *Input) (bool, error) {
	v, err := p.value(in)
	if err != nil {
		return false, err
	}
	return v.truthy(), nil
}

func (p *Program) value(in *Input) (value, *Error) {
	r := run{in: in, left: MaxSteps}
	v := r.eval(&p.root)
	return v, r.err
}

// UsesTime tells whether the value may depend on Input.Time.
func (p *Program) UsesTime() bool { return p.usesTime }

// Refs names the evaluators that the rule uses, sorted.
func (p *Program) Refs() []string { return slices.Clone(p.refs) }
