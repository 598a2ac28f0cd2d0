package flag

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
)

// Validate checks the whole set: every flag, segment and allocation, that keys are unique, that
// what is named exists, and the limits. It does not ask for the order of [Set.Normalize]. The
// error is a *[Problems] with pointers into the set's JSON, or nil.
func (s Set) Validate() error {
	problems := &Problems{Subject: fmt.Sprintf("flag set %q", s.Environment)}
	v := newValidator(problems, s)
	if s.Environment != "" {
		v.check("/environment", CheckKey(s.Environment))
	}
	v.check("/history", checkText(s.History, MaxMember))
	v.check("/hash", checkText(s.Hash, MaxMember))
	v.count("/flags", len(s.Flags), MaxFlags, "flags")
	v.count("/segments", len(s.Segments), MaxSegments, "segments")
	v.count("/allocations", len(s.Allocations), MaxAllocations, "running trials")
	for i := range s.Flags {
		at := Pointer("/flags", i)
		v.flag(at, &s.Flags[i])
		v.unique(at+"/key", "flag", s.Flags[i].Key)
	}
	for i := range s.Segments {
		at := Pointer("/segments", i)
		v.segment(at, &s.Segments[i])
		v.unique(at+"/key", "segment", s.Segments[i].Key)
	}
	v.allocations(s)
	return problems.Err()
}

// Validate checks the flag as a part of in: its segments must be those of in, and the trials that
// in has running on the flag must find their variants. Whether in holds the flag itself, or an
// older form of it, does not matter. The error is a *[Problems] with pointers into the flag's
// JSON, or nil.
func (f Flag) Validate(in Set) error {
	problems := &Problems{Subject: fmt.Sprintf("flag %q", f.Key)}
	newValidator(problems, in).flag("", &f)
	for _, a := range in.Allocations {
		if a.Flag != f.Key {
			continue
		}
		for _, variant := range []string{a.Treatment, a.Control} {
			if !f.has(variant) {
				problems.Add("/variants", "trial %q is running on variant %q; keep it until the trial has ended", a.Trial, variant)
			}
		}
	}
	return problems.Err()
}

// Validate checks the segment. The error is a *[Problems] with pointers into its JSON, or nil.
func (s Segment) Validate() error {
	problems := &Problems{Subject: fmt.Sprintf("segment %q", s.Key)}
	newValidator(problems, Set{}).segment("", &s)
	return problems.Err()
}

// Validate checks the condition, which stands at pointer in a document, against the segments of
// in. Nil is valid: everybody. The error is a *[Problems], or nil; see [Problems.Merge].
func (c *Condition) Validate(pointer string, in Set) error {
	problems := &Problems{Subject: "condition"}
	newValidator(problems, in).condition(pointer, c, true)
	return problems.Err()
}

// names yields the flag's variants.
func (f *Flag) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range f.Variants {
			if !yield(f.Variants[i].Name) {
				return
			}
		}
	}
}

func (f *Flag) has(variant string) bool {
	return slices.ContainsFunc(f.Variants, func(v Variant) bool { return v.Name == variant })
}

// validator walks a document and records problems.
type validator struct {
	*Problems
	segments map[string]bool
	seen     map[[2]string]bool // (what, key)
}

func newValidator(p *Problems, in Set) *validator {
	v := &validator{Problems: p, segments: make(map[string]bool, len(in.Segments)), seen: map[[2]string]bool{}}
	for i := range in.Segments {
		v.segments[in.Segments[i].Key] = true
	}
	return v
}

// check records err, if any, at the pointer.
func (v *validator) check(pointer string, err error) {
	if err != nil {
		v.Add(pointer, "%v", err)
	}
}

func (v *validator) count(pointer string, n, limit int, what string) {
	if n > limit {
		v.Add(pointer, "there are %d %s; at most %d are allowed", n, what, limit)
	}
}

func (v *validator) unique(pointer, what, key string) {
	id := [2]string{what, key}
	if v.seen[id] {
		v.Add(pointer, "%s %q is there twice; keep one of the two", what, key)
	}
	v.seen[id] = true
}

func (v *validator) flag(at string, f *Flag) {
	v.check(at+"/key", CheckKey(f.Key))
	v.kindAndType(at, f)
	v.check(at+"/description", checkText(f.Description, MaxText))
	v.check(at+"/owner", checkText(f.Owner, MaxMember))
	v.count(at+"/tags", len(f.Tags), MaxTags, "tags")
	for i, tag := range f.Tags {
		v.check(Pointer(at, "tags", i), checkText(tag, MaxMember))
	}
	v.variants(at, f)
	if f.DefaultVariant != "" {
		v.variant(at+"/defaultVariant", f, f.DefaultVariant)
	}
	v.count(at+"/rules", len(f.Rules), MaxRules, "rules")
	for i := range f.Rules {
		v.rule(Pointer(at, "rules", i), f, &f.Rules[i])
	}
	v.flagSize(at, f)
}

var (
	kinds = []Kind{KindRelease, KindConfig, KindFault, KindPolicy}
	types = []Type{TypeBoolean, TypeString, TypeInteger, TypeFloat, TypeObject}
)

func (v *validator) kindAndType(at string, f *Flag) {
	if !slices.Contains(kinds, f.Kind) {
		v.Add(at+"/kind", "%q is not a kind of flag; use one of %v", f.Kind, kinds)
	}
	if !slices.Contains(types, f.Type) {
		v.Add(at+"/type", "%q is not a type of flag; use one of %v", f.Type, types)
	} else if f.holdsNull() && f.Type != TypeObject {
		v.Add(at+"/type", "a flag of kind %s has objects for variants; make its type %q", f.Kind, TypeObject)
	}
}

// holdsNull reports whether a variant may be null: no fault, no policy.
func (f *Flag) holdsNull() bool { return f.Kind == KindFault || f.Kind == KindPolicy }

func (v *validator) variants(at string, f *Flag) {
	if len(f.Variants) == 0 {
		v.Add(at+"/variants", "there are none; give the flag at least one variant")
	}
	v.count(at+"/variants", len(f.Variants), MaxVariants, "variants")
	seen := make(map[string]bool, len(f.Variants))
	for i := range f.Variants {
		variant, at := &f.Variants[i], Pointer(at, "variants", i)
		v.check(at+"/name", CheckKey(variant.Name))
		if seen[variant.Name] {
			v.Add(at+"/name", "variant %q is there twice; keep one of the two", variant.Name)
		}
		seen[variant.Name] = true
		if !slices.Contains(types, f.Type) {
			continue // already said
		}
		value, err := DecodeValue(f.Type, variant.Value)
		if err == nil && value == nil && !f.holdsNull() {
			err = fmt.Errorf("is null; only flags of kind %s and %s may have null for a variant", KindFault, KindPolicy)
		}
		v.check(at+"/value", err)
	}
}

// variant records a reference to a variant that does not exist.
func (v *validator) variant(at string, f *Flag, name string) {
	if !f.has(name) {
		v.Add(at, "flag %q has no variant %q; name one of its variants%s", f.Key, name, Suggest(name, f.names()))
	}
}

func (v *validator) rule(at string, f *Flag, r *Rule) {
	v.check(at+"/name", checkText(r.Name, MaxMember))
	v.condition(at+"/when", r.When, true)
	switch {
	case (r.Serve == "") == (r.Split == nil):
		v.Add(at, "a rule has either serve or split; give exactly one of the two")
	case r.Split != nil:
		v.split(at+"/split", f, r.Split)
	default:
		v.variant(at+"/serve", f, r.Serve)
	}
}

func (v *validator) split(at string, f *Flag, s *Split) {
	if s.Salt != "" {
		v.check(at+"/salt", CheckKey(s.Salt))
	}
	if s.BucketBy != "" {
		v.check(at+"/bucketBy", checkAttribute(s.BucketBy))
	}
	if len(s.Weights) == 0 {
		v.Add(at+"/weights", "there are none; give at least one variant a weight")
	}
	v.count(at+"/weights", len(s.Weights), MaxVariants, "weights")
	sum := int64(0)
	for i, share := range s.Weights {
		at := Pointer(at, "weights", i)
		v.variant(at+"/variant", f, share.Variant)
		v.weight(at+"/weight", share.Weight)
		sum += int64(share.Weight)
	}
	if sum > TotalWeight {
		v.Add(at+"/weights", "the weights sum to %d; at most %d (100 %%) can be given away", sum, TotalWeight)
	}
}

func (v *validator) weight(at string, w Weight) {
	if w < 0 || w > TotalWeight {
		v.Add(at, "weight %d is not between 0 and %d; one unit is 0.001 %%, so 5 %% is 5000", w, TotalWeight)
	}
}

// flagSize measures the flag's JSON, but only where it could be too long: JSON escapes make a
// byte at most six, and a document without texts stays small.
func (v *validator) flagSize(at string, f *Flag) {
	if 6*f.textBytes() < MaxFlagBytes/2 {
		return
	}
	data, err := json.Marshal(f)
	if err != nil {
		return // a broken value, already said
	}
	if len(data) > MaxFlagBytes {
		v.Add(at, "flag %q has %d bytes of JSON; at most %d are allowed, move long lists into segments", f.Key, len(data), MaxFlagBytes)
	}
}

// textBytes counts what the flag's JSON grows with: its texts, and 64 bytes for each part.
func (f *Flag) textBytes() int {
	n := len(f.Key) + len(f.Description) + len(f.Owner)
	for _, tag := range f.Tags {
		n += 64 + len(tag)
	}
	for i := range f.Variants {
		n += 64 + len(f.Variants[i].Name) + len(f.Variants[i].Value)
	}
	for i := range f.Rules {
		r := &f.Rules[i]
		n += 64 + len(r.Name) + r.When.textBytes(MaxDepth)
		if r.Split != nil {
			n += 64 * len(r.Split.Weights)
		}
	}
	return n
}

func (v *validator) segment(at string, s *Segment) {
	v.check(at+"/key", CheckKey(s.Key))
	v.check(at+"/description", checkText(s.Description, MaxText))
	v.count(at+"/members", len(s.Members), MaxMembers, "members")
	seen := make(map[string]bool, len(s.Members))
	for i, member := range s.Members {
		if member == "" {
			v.Add(Pointer(at, "members", i), "is empty; a member is a targeting key")
		} else if err := checkText(member, MaxMember); err != nil {
			v.check(Pointer(at, "members", i), err)
		} else if seen[member] {
			v.Add(Pointer(at, "members", i), "%q is a member twice; keep it once", member)
		}
		seen[member] = true
	}
	v.condition(at+"/when", s.When, false)
}

func (v *validator) allocations(s Set) {
	if len(s.Allocations) == 0 {
		return
	}
	flags := make(map[string]*Flag, len(s.Flags))
	for i := range s.Flags {
		flags[s.Flags[i].Key] = &s.Flags[i]
	}
	for i := range s.Allocations {
		a, at := &s.Allocations[i], Pointer("/allocations", i)
		v.unique(at+"/trial", "trial", a.Trial)
		if f := flags[a.Flag]; f != nil {
			v.variant(at+"/treatment", f, a.Treatment)
			v.variant(at+"/control", f, a.Control)
		} else {
			v.Add(at+"/flag", "trial %q is on flag %q, which does not exist; end the trial before deleting its flag", a.Trial, a.Flag)
		}
		v.allocation(at, a)
	}
}

func (v *validator) allocation(at string, a *Allocation) {
	v.check(at+"/trial", CheckKey(a.Trial))
	v.check(at+"/salt", CheckKey(a.Salt))
	v.check(at+"/version", checkText(a.Version, MaxMember))
	v.condition(at+"/audience", a.Audience, true)
	if a.Treatment == a.Control {
		v.Add(at+"/control", "treatment and control are both %q; compare two variants", a.Control)
	}
	v.count(at+"/strata", len(a.Strata), MaxStrata, "strata")
	for i, stratum := range a.Strata {
		at := Pointer(at, "strata", i)
		v.weight(at+"/treatment", stratum.Treatment)
		v.weight(at+"/control", stratum.Control)
		if int64(stratum.Treatment)+int64(stratum.Control) > TotalWeight {
			v.Add(at, "treatment and control sum to %d; at most %d (100 %%) can be given away",
				int64(stratum.Treatment)+int64(stratum.Control), TotalWeight)
		}
		v.count(at+"/segments", len(stratum.Segments), MaxStrata, "segments")
		for j, segment := range stratum.Segments {
			v.knownSegment(Pointer(at, "segments", j), segment)
		}
	}
}
