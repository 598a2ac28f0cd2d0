package flag

import (
	"encoding/json"
	"fmt"
	"iter"
)

// Validate checks the whole set: every flag, segment, layer and allocation, that keys are unique,
// that what is named exists, and the limits. It does not ask for the order of [Set.Normalize]. The
// error is a *[Problems] with pointers into the set's JSON, or nil.
func (s Set) Validate() error {
	problems := &Problems{Subject: fmt.Sprintf("flag set %q", s.Environment)}
	v, at := newValidator(problems, &s), root("")
	if s.Environment != "" {
		v.check(at.to("environment"), CheckKey(s.Environment))
	}
	v.check(at.to("history"), checkText(s.History, MaxMember))
	v.check(at.to("hash"), checkText(s.Hash, MaxMember))
	v.count(at.to("flags"), len(s.Flags), MaxFlags, "flags")
	v.count(at.to("segments"), len(s.Segments), MaxSegments, "segments")
	v.count(at.to("layers"), len(s.Layers), MaxLayers, "layers")
	v.count(at.to("allocations"), len(s.Allocations), MaxAllocations, "running trials")
	for i := range s.Flags {
		at := at.item("flags", i)
		v.flag(at, &s.Flags[i])
		v.unique(at.to("key"), "flag", s.Flags[i].Key)
	}
	v.chains(at, &s)
	for i := range s.Segments {
		at := at.item("segments", i)
		v.segment(at, &s.Segments[i])
		v.unique(at.to("key"), "segment", s.Segments[i].Key)
	}
	v.layers(at, s.Layers)
	v.allocations(at, s.Allocations)
	return problems.Err()
}

// Validate checks the flag as a part of in: its segments and prerequisites must be those of in,
// and what in has on the flag (running trials, a slot in a layer, flags that need it) must find
// what it names. Whether in holds the flag itself, or an older form of it, does not matter. The
// error is a *[Problems] with pointers into the flag's JSON, or nil.
func (f Flag) Validate(in Set) error {
	problems := &Problems{Subject: fmt.Sprintf("flag %q", f.Key)}
	in = in.with(&f)
	v, at := newValidator(problems, &in), root("")
	v.flag(at, &f)
	v.dependents(at, &f)
	v.chain(at, &f)
	return problems.Err()
}

// Validate checks the segment. The error is a *[Problems] with pointers into its JSON, or nil.
func (s Segment) Validate() error {
	problems := &Problems{Subject: fmt.Sprintf("segment %q", s.Key)}
	newValidator(problems, &Set{}).segment(root(""), &s)
	return problems.Err()
}

// Validate checks the layer as a part of in: its flags must be those of in, and the other layers
// of in must leave room for it. The error is a *[Problems] with pointers into its JSON, or nil.
func (l Layer) Validate(in Set) error {
	problems := &Problems{Subject: fmt.Sprintf("layer %q", l.Key)}
	newValidator(problems, &in).layerAmong(root(""), &l, in.Layers)
	return problems.Err()
}

// Validate checks the condition, which stands at pointer in a document, against the segments of
// in. Nil is valid: everybody. The error is a *[Problems], or nil; see [Problems.Merge].
func (c *Condition) Validate(pointer string, in Set) error {
	problems := &Problems{Subject: "condition"}
	newValidator(problems, &in).condition(root(pointer), c, true)
	return problems.Err()
}

// with gives s with f in the place of the flag of that key, or as one more flag.
func (s Set) with(f *Flag) Set {
	flags := make([]Flag, 0, len(s.Flags)+1)
	for i := range s.Flags {
		if s.Flags[i].Key != f.Key {
			flags = append(flags, s.Flags[i])
		}
	}
	s.Flags = append(flags, *f)
	return s
}

// validator walks a document and records problems.
type validator struct {
	*Problems
	in         *Set
	seen       map[unique]bool
	flags      map[string]*Flag           // of in; nil until it is asked for
	segments   map[string]*Segment        // of in; nil until it is asked for
	evaluators map[string]json.RawMessage // of in; nil until it is asked for
}

// unique is a key and what it is a key of.
type unique struct{ what, key string }

func newValidator(p *Problems, in *Set) *validator {
	return &validator{Problems: p, in: in, seen: make(map[unique]bool, len(in.Flags))}
}

// add records a problem at a place.
func (v *validator) add(at path, format string, args ...any) { v.Add(at.String(), format, args...) }

// check records err, if any, at a place.
func (v *validator) check(at path, err error) {
	if err != nil {
		v.add(at, "%v", err)
	}
}

// unknown records that a name means nothing; a near one of the known names is suggested. Once
// there are problems enough no more names are compared.
func (v *validator) unknown(at path, name string, known iter.Seq[string], format string, args ...any) {
	if len(v.List) < maxProblems {
		format, args = format+"%s", append(args, Suggest(name, known))
	}
	v.add(at, format, args...)
}

func (v *validator) count(at path, n, limit int, what string) {
	if n > limit {
		v.add(at, "there are %d %s; at most %d are allowed", n, what, limit)
	}
}

func (v *validator) unique(at path, what, key string) {
	id := unique{what, key}
	if v.seen[id] {
		v.add(at, "%s %q is there twice; keep one of the two", what, key)
	}
	v.seen[id] = true
}

// findFlag gives the set's flag of that key, nil if there is none.
func (v *validator) findFlag(key string) *Flag {
	if v.flags == nil {
		v.flags = index(v.in.Flags, flagKey)
	}
	return v.flags[key]
}

// findSegment gives the set's segment of that key, nil if there is none.
func (v *validator) findSegment(key string) *Segment {
	if v.segments == nil {
		v.segments = index(v.in.Segments, segmentKey)
	}
	return v.segments[key]
}

// index finds the items of a list by key; of two with one key the first.
func index[T any](list []T, key func(*T) string) map[string]*T {
	found := make(map[string]*T, len(list))
	for i := range list {
		if k := key(&list[i]); found[k] == nil {
			found[k] = &list[i]
		}
	}
	return found
}

// keys yields the keys of a list.
func keys[T any](list []T, key func(*T) string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range list {
			if !yield(key(&list[i])) {
				return
			}
		}
	}
}
