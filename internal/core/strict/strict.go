// Package strict reads small JSON documents without forgiving anything: an unknown or repeated
// field, a value of the wrong type or outside its range is a problem with a pointer to it. All
// problems of a document are collected, so that its author mends them in one go.
//
// A reader asks an [Object] for its fields one after the other and ends with [Object.Done], which
// reports the fields that nobody asked for. Absent fields (and nil objects) give the zero value.
package strict

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// MaxBytes bounds a document. One that is longer is refused unread.
const MaxBytes = 64 << 10

// Object is a JSON object that is being read. Its methods report what is wrong to the Problems
// given to [Parse] and then give the zero value. It is not safe for concurrent use.
type Object struct {
	pointer  string
	fields   map[string]json.RawMessage
	asked    map[string]bool
	problems *flag.Problems
}

// Parse reads data as one JSON object. A nil Object and no problem mean the document is null.
func Parse(data []byte, problems *flag.Problems) *Object {
	if len(data) > MaxBytes {
		problems.Add("", "is %d bytes long, the limit is %d", len(data), MaxBytes)
		return nil
	}
	return open("", data, problems)
}

func open(pointer string, data []byte, problems *flag.Problems) *Object {
	if string(bytes.TrimSpace(data)) == "null" {
		return nil
	}
	o := &Object{pointer: pointer, problems: problems, fields: map[string]json.RawMessage{}, asked: map[string]bool{}}
	dec := json.NewDecoder(bytes.NewReader(data))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		problems.Add(pointer, "must be a JSON object")
		return nil
	}
	for dec.More() {
		if err := o.readField(dec); err != nil {
			problems.Add(pointer, "is not valid JSON: %v", err)
			return nil
		}
	}
	_, err := dec.Token()
	if _, after := dec.Token(); err != nil || after != io.EOF {
		problems.Add(pointer, "is not valid JSON: it must end with the object's closing brace")
		return nil
	}
	return o
}

func (o *Object) readField(dec *json.Decoder) error {
	name, err := dec.Token()
	if err != nil {
		return err
	}
	key, _ := name.(string)
	var value json.RawMessage
	if err := dec.Decode(&value); err != nil {
		return err
	}
	if _, twice := o.fields[key]; twice {
		o.problems.Add(flag.Pointer(o.pointer, key), "is there twice: keep one")
	}
	o.fields[key] = value
	return nil
}

// Has tells whether the field is there and not null.
func (o *Object) Has(name string) bool { return o.raw(name) != nil }

func (o *Object) raw(name string) json.RawMessage {
	if o == nil {
		return nil
	}
	o.asked[name] = true
	if value := o.fields[name]; string(value) != "null" {
		return value
	}
	return nil
}

func (o *Object) decode(name string, into any, want string) bool {
	value := o.raw(name)
	if value == nil {
		return false
	}
	if err := json.Unmarshal(value, into); err != nil {
		o.Fail(name, "must be %s", want)
		return false
	}
	return true
}

// Fail records a problem with the field.
func (o *Object) Fail(name, format string, args ...any) {
	o.problems.Add(flag.Pointer(o.pointer, name), format, args...)
}

// String reads a string of at most limit bytes.
func (o *Object) String(name string, limit int) string {
	var s string
	if o.decode(name, &s, "a string") && len(s) > limit {
		o.Fail(name, "is %d bytes long, the limit is %d", len(s), limit)
		return ""
	}
	return s
}

// Int reads a whole number between lowest and highest, both included.
func (o *Object) Int(name string, lowest, highest int) int {
	var n int
	if o.decode(name, &n, "a whole number") && (n < lowest || n > highest) {
		o.Fail(name, "is %d: it must be from %d to %d", n, lowest, highest)
		return 0
	}
	return n
}

// Ratio reads a number from 0 to 1, both included.
func (o *Object) Ratio(name string) float64 {
	var f float64
	if o.decode(name, &f, "a number from 0 to 1") && !(f >= 0 && f <= 1) || math.IsNaN(f) {
		o.Fail(name, "is %v: it must be from 0 to 1 (1 is 100 %%)", f)
		return 0
	}
	return f
}

// Duration reads a Go duration string such as "250ms" between lowest and highest, both included.
func (o *Object) Duration(name string, lowest, highest time.Duration) time.Duration {
	var s string
	const want = `a duration with its unit, such as "250ms" or "2s"`
	if !o.decode(name, &s, want) {
		return 0
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		o.Fail(name, "must be %s", want)
	case d < lowest || d > highest:
		o.Fail(name, "is %s: it must be from %s to %s", s, lowest, highest)
	default:
		return d
	}
	return 0
}

// Object reads an object inside the object; nil if it is absent or null.
func (o *Object) Object(name string) *Object {
	if value := o.raw(name); value != nil {
		return open(flag.Pointer(o.pointer, name), value, o.problems)
	}
	return nil
}

// Objects reads a list of at most limit objects. Elements that are no objects are left out.
func (o *Object) Objects(name string, limit int) []*Object {
	var values []json.RawMessage
	if !o.decode(name, &values, "a list of objects") {
		return nil
	}
	if len(values) > limit {
		o.Fail(name, "has %d elements, the limit is %d", len(values), limit)
		return nil
	}
	var list []*Object
	for i, value := range values {
		pointer := flag.Pointer(o.pointer, name, i)
		if one := open(pointer, value, o.problems); one != nil {
			list = append(list, one)
		} else if string(value) == "null" {
			o.problems.Add(pointer, "must be a JSON object")
		}
	}
	return list
}

// Done reports every field that was never asked for, in alphabetical order.
func (o *Object) Done() {
	if o == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.asked[name] {
			o.Fail(name, "is not a known field%s", flag.Suggest(name, maps.Keys(o.asked)))
		}
	}
}
