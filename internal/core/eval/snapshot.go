package eval

import "github.com/seatrial/seatrial/internal/core/flag"

// Snapshot is one compiled flag.Set.
type Snapshot struct{}

// Compile validates and compiles set.
func Compile(set flag.Set) (*Snapshot, error) { return &Snapshot{}, nil }

// Flag gives the flag of that key, nil if there is none.
func (s *Snapshot) Flag(key string) *Flag { return nil }

// Flags gives all flags, sorted by key.
func (s *Snapshot) Flags() []*Flag { return nil }

// Environment, History, Epoch, Revision and Hash are those of the set.
func (s *Snapshot) Environment() string { return "" }
func (s *Snapshot) History() string     { return "" }
func (s *Snapshot) Epoch() int64        { return 0 }
func (s *Snapshot) Revision() int64     { return 0 }
func (s *Snapshot) Hash() string        { return "" }

// Evaluate is Flag(key).Evaluate(c), with errors for an unknown flag and a nil snapshot.
func (s *Snapshot) Evaluate(key string, c *Context) Result { return Result{} }

// Flag is one compiled flag.
type Flag struct{}

// Variant is one variant with its decoded value.
type Variant struct {
	Name  string
	Value any
}

func (f *Flag) Key() string                    { return "" }
func (f *Flag) Kind() flag.Kind                { return "" }
func (f *Flag) Type() flag.Type                { return "" }
func (f *Flag) Enabled() bool                  { return false }
func (f *Flag) Variants() []Variant            { return nil }
func (f *Flag) Trials() []*TrialRef            { return nil }
func (f *Flag) Evaluate(c *Context) Result     { return Result{} }
func (f *Flag) Explain(c *Context) Explanation { return Explanation{} }

// Hash is murmur3_x86_32(salt + ":" + key), seed 0.
func Hash(salt, key string) uint32 { return 0 }

// Bucket is hash*total >> 32.
func Bucket(hash, total uint32) uint32 { return 0 }

// Explanation tells a person how an evaluation came about.
type Explanation struct {
	Flag   string
	Result Result
	Steps  []ExplainStep
}

// ExplainStep is one thing the evaluator looked at, in order.
type ExplainStep struct {
	Part    string `json:"part"` // "flag", "rule", "trial", "default"
	Name    string `json:"name,omitempty"`
	Matched bool   `json:"matched"` // this step decided
	// Bucket is out of flag.TotalWeight, nil where none was computed.
	Bucket *int   `json:"bucket,omitempty"`
	Role   string `json:"role,omitempty"` // in a trial: treatment, control or rest
	Detail string `json:"detail"`         // one sentence
}
