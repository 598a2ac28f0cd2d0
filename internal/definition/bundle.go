package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/flagd"
)

// Bundle is what some files define together, with the place of each definition.
type Bundle struct {
	Flags    []flag.Flag
	Segments []flag.Segment
	Layers   []flag.Layer
	// Evaluate says that the bundle is for evaluation only, not for a control plane: what flagd files
	// say of their flags as a whole may then be anything.
	Evaluate bool
	// Metadata is what flagd files say of their flags as a whole. What a flag says itself holds.
	Metadata map[string]any

	sources map[string][]source // by kind: parallel to the lists
}

// source is where a definition stands.
type source struct {
	document *Document
	pointer  string
	within   string // what problems with the definition have before it that the file has not
}

func (s source) fault(one flag.Problem) Fault {
	return s.document.fault(s.pointer+strings.TrimPrefix(one.Pointer, s.within), one.Detail)
}

// faults places what validation found in the definition.
func (s source) faults(err error) Faults {
	list := s.document.faults("", err)
	for i := range list {
		list[i] = s.fault(flag.Problem{Pointer: list[i].Pointer, Detail: list[i].Detail})
	}
	return list
}

// The kinds of definitions, as the lists of a file are called.
const (
	flags    = "flags"
	segments = "segments"
	layers   = "layers"
)

// Add reads one file into the bundle: documents with lists of flags, segments and layers, or
// flagd files. It reports everything that is wrong with them as Faults; what is right is added.
func (b *Bundle) Add(name string, data []byte) error {
	documents, err := Documents(name, data)
	if err != nil {
		return err
	}
	var faults Faults
	for i := range documents {
		faults = append(faults, b.document(&documents[i])...)
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

func (b *Bundle) document(d *Document) Faults {
	var top map[string]json.RawMessage
	if json.Unmarshal(d.JSON, &top) != nil {
		return Faults{d.fault("", "is not an object; write flags, segments or layers")}
	}
	if isFlagd(top) {
		return b.flagd(d, top)
	}
	known := []string{flags, segments, layers, "$schema"}
	var faults Faults
	for name := range top {
		if !slices.Contains(known, name) {
			faults = append(faults, d.fault(pointerTo("", name), "is not a known field; write flags, segments or layers"+flag.Suggest(name, slices.Values(known))))
		}
	}
	faults = append(faults, add(b, d, flags, top[flags], flag.DecodeFlag, &b.Flags)...)
	faults = append(faults, add(b, d, segments, top[segments], flag.DecodeSegment, &b.Segments)...)
	return append(faults, add(b, d, layers, top[layers], flag.DecodeLayer, &b.Layers)...)
}

// isFlagd tells a flagd file: flags by name, or with variants by name.
func isFlagd(top map[string]json.RawMessage) bool {
	if top["$evaluators"] != nil {
		return true
	}
	var byName map[string]json.RawMessage
	if json.Unmarshal(top[flags], &byName) == nil && byName != nil {
		return true
	}
	var list []struct {
		State    string          `json:"state"`
		Variants json.RawMessage `json:"variants"`
	}
	return json.Unmarshal(top[flags], &list) == nil && len(list) > 0 &&
		(list[0].State != "" || strings.HasPrefix(strings.TrimSpace(string(list[0].Variants)), "{"))
}

func (b *Bundle) flagd(d *Document, top map[string]json.RawMessage) Faults {
	var metadata map[string]any
	if json.Unmarshal(top["metadata"], &metadata) == nil && len(metadata) > 0 {
		b.Metadata = metadata
	}
	data := []byte(d.JSON)
	if b.Evaluate {
		delete(top, "metadata")
		data, _ = json.Marshal(top) // it was JSON
	}
	imported, evaluators, err := flagd.Import(data)
	if err != nil {
		return d.faults("", err)
	}
	for _, f := range imported {
		b.Flags = append(b.Flags, f)
		b.note(flags, source{d, pointerTo("/flags", f.Key), "/definition"})
	}
	for _, s := range evaluators {
		b.Segments = append(b.Segments, s)
		b.note(segments, source{d, pointerTo("/$evaluators", s.Key), "/rule"})
	}
	return nil
}

func (b *Bundle) note(kind string, at source) {
	if b.sources == nil {
		b.sources = map[string][]source{}
	}
	b.sources[kind] = append(b.sources[kind], at)
}

// add reads one list of a document.
func add[T any](b *Bundle, d *Document, kind string, raw json.RawMessage, decode func([]byte) (T, error), to *[]T) (faults Faults) {
	if raw == nil {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return Faults{d.fault(pointerTo("", kind), "is not a list; write each one as an item")}
	}
	for i, item := range list {
		at := pointerTo("", kind) + pointerTo("", i)
		value, err := decode(item)
		if err != nil {
			faults = append(faults, d.faults(at, err)...)
			continue
		}
		*to = append(*to, value)
		b.note(kind, source{document: d, pointer: at})
	}
	return faults
}

func (d *Document) fault(pointer, detail string) Fault {
	at := d.At(pointer)
	return Fault{File: d.Name, Line: at.Line, Column: at.Column, Pointer: pointer, Detail: detail}
}

// faults places what validation found below a pointer.
func (d *Document) faults(below string, err error) (list Faults) {
	var problems *flag.Problems
	if !errors.As(err, &problems) {
		return Faults{d.fault(below, err.Error())}
	}
	for _, one := range problems.List {
		list = append(list, d.fault(below+one.Pointer, one.Detail))
	}
	if problems.More > 0 {
		list = append(list, d.fault(below, fmt.Sprintf("and %d more problems", problems.More)))
	}
	return list
}

// Set gives the bundle as a flag set.
func (b *Bundle) Set(environment string) flag.Set {
	return flag.Set{Environment: environment, Flags: b.Flags, Segments: b.Segments, Layers: b.Layers}.Normalize()
}

// TakeBroken removes the flagd definitions that cannot be evaluated, and says by key what is wrong
// with each. flagd, too, evaluates the rest of a file.
func (b *Bundle) TakeBroken() map[string]error {
	broken := map[string]error{}
	in := flag.Set{Segments: b.Segments}
	for i, f := range b.Flags {
		if f.Definition == nil {
			continue
		}
		if err := f.Validate(in); err != nil {
			at := b.sources[flags][i]
			broken[f.Key] = at.faults(err)
		}
	}
	var kept []source
	keep := b.Flags[:0:0]
	for i, f := range b.Flags {
		if broken[f.Key] == nil {
			keep, kept = append(keep, f), append(kept, b.sources[flags][i])
		}
	}
	b.Flags = keep
	if len(broken) > 0 {
		b.sources[flags] = kept
	}
	return broken
}

// Validate checks the bundle as a set that stands on its own: with the validator of the control
// plane, and the values of object flags against their schemas. The error is Faults.
func (b *Bundle) Validate() error {
	var faults Faults
	set := flag.Set{Flags: b.Flags, Segments: b.Segments, Layers: b.Layers}
	var problems *flag.Problems
	if err := set.Validate(); errors.As(err, &problems) {
		for _, one := range problems.List {
			faults = append(faults, b.Locate(one))
		}
		if problems.More > 0 {
			faults = append(faults, Fault{Line: 1, Column: 1, Detail: fmt.Sprintf("and %d more problems", problems.More)})
		}
	}
	for i := range b.Flags {
		at := b.sources[flags][i]
		if err := CheckSchema(b.Flags[i]); err != nil {
			faults = append(faults, at.faults(err)...)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, compareFaults)
	return faults
}

// Locate finds the place of a problem with a set whose lists are those of the bundle. Without one
// the fault has no file.
func (b *Bundle) Locate(one flag.Problem) Fault {
	for _, kind := range slices.Sorted(maps.Keys(b.sources)) {
		for i, at := range b.sources[kind] {
			prefix := pointerTo("", kind) + pointerTo("", i)
			if rest, ok := strings.CutPrefix(one.Pointer, prefix); ok && (rest == "" || rest[0] == '/') {
				return at.fault(flag.Problem{Pointer: rest, Detail: one.Detail})
			}
		}
	}
	return Fault{Line: 1, Column: 1, Pointer: one.Pointer, Detail: one.Detail}
}
