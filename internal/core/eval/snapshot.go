package eval

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// Snapshot is a compiled flag.Set. It never changes and shares no memory that the set's owner
// could write to, so any number of goroutines may evaluate while newer snapshots are swapped in.
// A nil *Snapshot is one without flags that is not ready.
type Snapshot struct {
	environment, history, hash string
	epoch, revision            int64
	byKey                      map[string]*Flag
	sorted                     []*Flag
}

// Compile validates and compiles a set; it refuses exactly what [flag.Set.Validate] refuses, with
// the same *flag.Problems. The order of the set's lists does not matter.
func Compile(set flag.Set) (*Snapshot, error) {
	if err := set.Validate(); err != nil {
		return nil, err
	}
	segments, err := compileSegments(set.Segments)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{
		environment: set.Environment, history: set.History, hash: set.Hash,
		epoch: set.Epoch, revision: set.Revision,
		byKey: make(map[string]*Flag, len(set.Flags)),
	}
	for i := range set.Flags {
		f, err := compileFlag(&set.Flags[i], segments)
		if err != nil {
			return nil, fmt.Errorf("flag %q: %w", set.Flags[i].Key, err)
		}
		s.byKey[f.key] = f
		s.sorted = append(s.sorted, f)
	}
	slices.SortFunc(s.sorted, func(a, b *Flag) int { return cmp.Compare(a.key, b.key) })
	return s, s.compileTrials(set.Allocations, segments)
}

func compileSegments(from []flag.Segment) (map[string]*segment, error) {
	segments := make(map[string]*segment, len(from))
	for i := range from {
		when, err := compileCondition(from[i].When, nil)
		if err != nil {
			return nil, fmt.Errorf("segment %q: %w", from[i].Key, err)
		}
		members := make(map[string]struct{}, len(from[i].Members))
		for _, member := range from[i].Members {
			members[member] = struct{}{}
		}
		segments[from[i].Key] = &segment{key: from[i].Key, members: members, when: when}
	}
	return segments, nil
}

// Flag gives the flag with that key, or nil if there is none. It does not allocate.
func (s *Snapshot) Flag(key string) *Flag {
	if s == nil {
		return nil
	}
	return s.byKey[key]
}

// Flags gives all flags, sorted by key, in a slice of the caller's own.
func (s *Snapshot) Flags() []*Flag {
	if s == nil {
		return nil
	}
	return slices.Clone(s.sorted)
}

// Environment names the flag set, for the metadata flagSetId.
func (s *Snapshot) Environment() string { return s.orEmpty().environment }

// History is that of the set: revisions of different histories must not be compared.
func (s *Snapshot) History() string { return s.orEmpty().history }

// Epoch is that of the set.
func (s *Snapshot) Epoch() int64 { return s.orEmpty().epoch }

// Revision is that of the set; 0 for a nil snapshot.
func (s *Snapshot) Revision() int64 { return s.orEmpty().revision }

// Hash is that of the set: hex SHA-256 of the change that made the revision.
func (s *Snapshot) Hash() string { return s.orEmpty().hash }

func (s *Snapshot) orEmpty() *Snapshot {
	if s == nil {
		return &Snapshot{}
	}
	return s
}

// Evaluate is Flag(key).Evaluate(c), except that a nil snapshot gives PROVIDER_NOT_READY.
func (s *Snapshot) Evaluate(key string, c *Context) Result {
	if s == nil {
		return Result{Reason: ReasonError, Error: ErrorProviderNotReady}
	}
	return s.byKey[key].Evaluate(c)
}

// Flag is one compiled flag. It never changes. A nil *Flag is an unknown one: it evaluates to
// FLAG_NOT_FOUND and has empty properties.
type Flag struct {
	key      string
	kind     flag.Kind
	typ      flag.Type
	enabled  bool
	variants []Variant
	rules    []rule
	trials   []trial
	fallback Result // where no rule and no trial applies
}

// Variant is a name and the decoded value: bool, string, int64, float64 or map[string]any; nil
// for the null of a fault or policy flag. The value is shared: do not modify it.
type Variant struct {
	Name  string
	Value any
}

// rule serves a variant, or has a split (then serve is noVariant).
type rule struct {
	name  string
	when  *condition
	serve int
	split *split
}

type split struct {
	by     string // attribute; empty: the targeting key
	seed   bucket.Seed
	shares []share
}

// share is [end of the share before, end) of flag.TotalWeight.
type share struct {
	end     uint32
	variant int
}

// noVariant is the index of no variant.
const noVariant = -1

func compileFlag(from *flag.Flag, segments map[string]*segment) (*Flag, error) {
	f := &Flag{key: from.Key, kind: from.Kind, typ: from.Type, enabled: from.Enabled}
	for i := range from.Variants {
		value, err := flag.DecodeValue(from.Type, from.Variants[i].Value)
		if err != nil {
			return nil, err
		}
		f.variants = append(f.variants, Variant{Name: from.Variants[i].Name, Value: value})
	}
	for i := range from.Rules {
		r, err := f.compileRule(&from.Rules[i], segments)
		if err != nil {
			return nil, err
		}
		f.rules = append(f.rules, r)
	}
	f.fallback = Result{Reason: ReasonDefault}
	if from.DefaultVariant != "" {
		f.fallback = f.serve(f.index(from.DefaultVariant), ReasonDefault)
		if len(f.rules) == 0 {
			f.fallback.Reason = ReasonStatic
		}
	}
	return f, nil
}

func (f *Flag) index(variant string) int {
	return slices.IndexFunc(f.variants, func(v Variant) bool { return v.Name == variant })
}

func (f *Flag) compileRule(from *flag.Rule, segments map[string]*segment) (rule, error) {
	when, err := compileCondition(from.When, segments)
	r := rule{name: from.Name, when: when, serve: noVariant}
	if from.Split == nil {
		r.serve = f.index(from.Serve)
		return r, err
	}
	salt := cmp.Or(from.Split.Salt, f.key)
	r.split = &split{by: from.Split.BucketBy, seed: bucket.NewSeed(salt)}
	end := uint32(0)
	for _, s := range from.Split.Weights {
		end += uint32(s.Weight)
		r.split.shares = append(r.split.shares, share{end: end, variant: f.index(s.Variant)})
	}
	return r, err
}

// Key is the flag's key.
func (f *Flag) Key() string { return f.orEmpty().key }

// Kind says what the flag is for.
func (f *Flag) Kind() flag.Kind { return f.orEmpty().kind }

// Type is the type of all its variants.
func (f *Flag) Type() flag.Type { return f.orEmpty().typ }

// Enabled is false while the kill switch is on.
func (f *Flag) Enabled() bool { return f.orEmpty().enabled }

// Variants gives the variants in the flag's order, in a slice of the caller's own.
func (f *Flag) Variants() []Variant { return slices.Clone(f.orEmpty().variants) }

// Trials gives the trials that run on the flag, in the order in which they are tried. The
// references are those that [Result] carries; do not modify them.
func (f *Flag) Trials() []*TrialRef {
	var refs []*TrialRef
	for i := range f.orEmpty().trials {
		refs = append(refs, f.trials[i].ref)
	}
	return refs
}

func (f *Flag) orEmpty() *Flag {
	if f == nil {
		return &Flag{}
	}
	return f
}
