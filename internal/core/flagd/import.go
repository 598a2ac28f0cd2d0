package flagd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/targeting"
)

// MaxFile is the longest file that [Import] reads, in bytes.
const MaxFile = 64 << 20

// Import reads a flagd file: each flag as a [flag.Flag] that keeps its definition verbatim, each
// evaluator as a [flag.Segment] with a rule, both sorted by key. Flags may be an object, or a list
// of objects with a key each. The file's metadata flagSetId and version are read over: here the
// environment and the revision are that.
//
// What cannot be kept is an error, a *[flag.Problems] with pointers into the file. Whether the
// JsonLogic can be evaluated is for the validation of the set to say.
func Import(data []byte) ([]flag.Flag, []flag.Segment, error) {
	r := reader{problems: &flag.Problems{Subject: "flagd file"}}
	flags, segments := r.file(data)
	if err := r.problems.Err(); err != nil {
		return nil, nil, err
	}
	return flags, segments, nil
}

type reader struct {
	problems *flag.Problems
}

func (r *reader) file(data []byte) (flags []flag.Flag, segments []flag.Segment) {
	switch {
	case len(data) > MaxFile:
		r.problems.Add("", "has %d bytes; at most %d are read, split the file", len(data), MaxFile)
		return nil, nil
	case !utf8.Valid(data):
		r.problems.Add("", "is not valid UTF-8; save the file in UTF-8")
		return nil, nil
	}
	found := false
	for _, part := range r.members("", data) {
		switch part.Key {
		case "flags":
			found = true
			flags = r.flags(part.Definition)
		case "$evaluators":
			segments = r.evaluators(part.Definition)
		case "metadata":
			r.metadata(part.Definition)
		case "$schema":
		default:
			r.problems.Add(flag.Pointer("", part.Key), "is not a part of flagd files; remove it")
		}
	}
	if !found && len(r.problems.List) == 0 {
		r.problems.Add("/flags", "is missing; a flagd file has its flags there")
	}
	return flags, segments
}

// members gives the members of the object at pointer, in order. It reports what is no object, and
// names that are there twice.
func (r *reader) members(pointer string, data []byte) []Entry {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		r.problems.Add(pointer, "must be a JSON object")
		return nil
	}
	var entries []Entry
	seen := map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil {
			r.problems.Add(pointer, "is not valid JSON: %v", err)
			return nil
		}
		entry := Entry{name.(string), value} // the decoder takes only strings for names
		if seen[entry.Key] {
			r.problems.Add(flag.Pointer(pointer, entry.Key), "is there twice; keep one of the two")
		}
		seen[entry.Key] = true
		entries = append(entries, entry)
	}
	_, err := decoder.Token()
	if _, after := decoder.Token(); err != nil || after != io.EOF {
		r.problems.Add(pointer, "is not valid JSON: it must end with the object's closing brace")
		return nil
	}
	return entries
}

func (r *reader) flags(data json.RawMessage) []flag.Flag {
	var flags []flag.Flag
	seen := map[string]bool{}
	for _, one := range r.flagEntries(data) {
		if len(flags) == flag.MaxFlags {
			r.problems.Add("/flags", "has more than %d flags; split the file", flag.MaxFlags)
			return nil
		}
		key := one.Key
		if err := flag.CheckKey(key); err != nil {
			r.problems.Add(one.pointer, "the key %v; rename the flag", err)
			continue
		}
		if seen[key] {
			r.problems.Add(one.pointer, "flag %q is there twice; keep one of the two", key)
		}
		seen[key] = true
		flags = append(flags, r.flag(one))
	}
	slices.SortFunc(flags, func(a, b flag.Flag) int { return cmp.Compare(a.Key, b.Key) })
	return flags
}

// placed is an entry and where it is in the file.
type placed struct {
	Entry
	pointer string
	fields  []Entry // of the definition
}

func (r *reader) flagEntries(data json.RawMessage) []placed {
	var entries []placed
	if !bytes.HasPrefix(data, []byte("[")) {
		for _, one := range r.members("/flags", data) {
			at := flag.Pointer("/flags", one.Key)
			entries = append(entries, placed{one, at, r.members(at, one.Definition)})
		}
		return entries
	}
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		r.problems.Add("/flags", "is not valid JSON: %v", err)
		return nil
	}
	for i, item := range items {
		if one, ok := r.listed(flag.Pointer("/flags", i), item); ok {
			entries = append(entries, one)
		}
	}
	return entries
}

// listed reads a flag that stands in a list: its key is a member, not a part of the definition.
func (r *reader) listed(at string, item json.RawMessage) (placed, bool) {
	fields := r.members(at, item)
	i := slices.IndexFunc(fields, func(e Entry) bool { return e.Key == "key" })
	var key string
	if i < 0 || json.Unmarshal(fields[i].Definition, &key) != nil {
		r.problems.Add(at+"/key", "is missing; a flag in a list has its key there, as a string")
		return placed{}, false
	}
	fields = slices.Delete(fields, i, i+1)
	var b bytes.Buffer
	writeEntries(&b, fields)
	return placed{Entry{key, b.Bytes()}, at, fields}, true
}

func (r *reader) flag(one placed) flag.Flag {
	f := flag.Flag{Key: one.Key, Kind: flag.KindRelease, Enabled: true, Definition: r.compact(one.pointer, one.Definition)}
	if len(f.Definition) > flag.MaxFlagBytes {
		r.problems.Add(one.pointer, "has %d bytes of JSON; at most %d are allowed, move long lists into $evaluators", len(f.Definition), flag.MaxFlagBytes)
	}
	for _, field := range one.fields {
		if field.Key == "variants" {
			f.Type = typeOf(field.Definition)
		}
	}
	return f
}

func (r *reader) compact(at string, raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		r.problems.Add(at, "is not valid JSON: %v", err)
	}
	return b.Bytes()
}

// typeOf gives the type that all variants share. Variants that share none have the type of the
// object: the validation of the set says what is wrong with them.
func typeOf(variants json.RawMessage) flag.Type {
	definition := slices.Concat([]byte(`{"state":"ENABLED","variants":`), variants, []byte("}"))
	d, err := targeting.ParseDefinition(definition, nil)
	if err != nil {
		return flag.TypeObject
	}
	return flag.Type(d.Type)
}

func (r *reader) evaluators(data json.RawMessage) []flag.Segment {
	entries := r.members("/$evaluators", data)
	if len(entries) > flag.MaxSegments {
		r.problems.Add("/$evaluators", "has %d evaluators; at most %d are allowed", len(entries), flag.MaxSegments)
		return nil
	}
	var segments []flag.Segment
	for _, one := range entries {
		at := flag.Pointer("/$evaluators", one.Key)
		if err := flag.CheckKey(one.Key); err != nil {
			r.problems.Add(at, "the name %v; rename the evaluator and what refers to it", err)
		}
		if string(one.Definition) == "null" {
			r.problems.Add(at, "is null; write a rule")
		}
		segments = append(segments, flag.Segment{Key: one.Key, Rule: r.compact(at, one.Definition)})
	}
	slices.SortFunc(segments, func(a, b flag.Segment) int { return cmp.Compare(a.Key, b.Key) })
	return segments
}

func (r *reader) metadata(data json.RawMessage) {
	for _, one := range r.members("/metadata", data) {
		if one.Key != "flagSetId" && one.Key != "version" {
			r.problems.Add(flag.Pointer("/metadata", one.Key), "is metadata of the whole file, which cannot be kept; move it into the flags' metadata")
		}
	}
}
