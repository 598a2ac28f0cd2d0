package traces

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
)

// ValueKind says what a [Value] holds.
type ValueKind uint8

// The kinds of values that OTLP knows.
const (
	ValueEmpty ValueKind = iota
	ValueString
	ValueBool
	ValueInt
	ValueFloat
	ValueBytes
	ValueList
	ValueMap
)

// Value is the value of an attribute. The zero value is the empty value. Values are immutable
// and comparing them with == is not meaningful for lists and maps.
type Value struct {
	kind   ValueKind
	number uint64 // bool, int, float bits
	text   string // string, bytes
	nested *nested
}

type nested struct {
	list  []Value
	pairs []Attribute
}

// StringValue returns a string value.
func StringValue(s string) Value { return Value{kind: ValueString, text: s} }

// BoolValue returns a boolean value.
func BoolValue(b bool) Value {
	v := Value{kind: ValueBool}
	if b {
		v.number = 1
	}
	return v
}

// IntValue returns an integer value.
func IntValue(i int64) Value { return Value{kind: ValueInt, number: uint64(i)} }

// FloatValue returns a floating point value; NaN and infinities are allowed.
func FloatValue(f float64) Value { return Value{kind: ValueFloat, number: math.Float64bits(f)} }

// BytesValue returns a value of bytes, given as a string so that it cannot change.
func BytesValue(b string) Value { return Value{kind: ValueBytes, text: b} }

// ListValue returns a list; it keeps the slice, which must not be changed afterwards.
func ListValue(list []Value) Value { return Value{kind: ValueList, nested: &nested{list: list}} }

// MapValue returns a map in the order of the pairs; it keeps the slice, which must not be
// changed afterwards.
func MapValue(pairs []Attribute) Value {
	return Value{kind: ValueMap, nested: &nested{pairs: pairs}}
}

// Kind says what the value holds.
func (v Value) Kind() ValueKind { return v.kind }

// Str returns the string or the raw bytes; "" for other kinds. See [Value.String] for display.
func (v Value) Str() string { return v.text }

// Bool returns the boolean; false for other kinds.
func (v Value) Bool() bool { return v.kind == ValueBool && v.number != 0 }

// Int returns the integer; 0 for other kinds.
func (v Value) Int() int64 {
	if v.kind != ValueInt {
		return 0
	}
	return int64(v.number)
}

// Float returns the floating point number; 0 for other kinds.
func (v Value) Float() float64 {
	if v.kind != ValueFloat {
		return 0
	}
	return math.Float64frombits(v.number)
}

// List returns the elements of a list, nil for other kinds. The caller must not change them.
func (v Value) List() []Value {
	if v.nested == nil {
		return nil
	}
	return v.nested.list
}

// Map returns the pairs of a map in order, nil for other kinds. The caller must not change them.
func (v Value) Map() []Attribute {
	if v.nested == nil {
		return nil
	}
	return v.nested.pairs
}

// String renders the value for people: strings as they are, lists and maps as JSON, bytes in
// base64, the empty value as "".
func (v Value) String() string {
	switch v.kind {
	case ValueString:
		return v.text
	case ValueEmpty:
		return ""
	case ValueBytes:
		return base64.StdEncoding.EncodeToString([]byte(v.text))
	case ValueFloat:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	text, err := json.Marshal(v.Any())
	if err != nil { // Any returns nothing that JSON cannot hold
		return ""
	}
	return string(text)
}

// Any returns the value as what encoding/json can marshal: nil, string, bool, int64, float64
// (NaN and infinities as the strings "NaN", "+Inf", "-Inf"), base64 text for bytes, []any,
// map[string]any (the last of equal keys wins).
func (v Value) Any() any {
	switch v.kind {
	case ValueString:
		return v.text
	case ValueBool:
		return v.Bool()
	case ValueInt:
		return v.Int()
	case ValueFloat:
		if f := v.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return v.String()
	case ValueBytes:
		return v.String()
	case ValueList:
		list := make([]any, len(v.List()))
		for i, element := range v.List() {
			list[i] = element.Any()
		}
		return list
	case ValueMap:
		return AttributeMap(v.Map())
	}
	return nil
}

// AttributeMap turns attributes into a map for encoding/json, see [Value.Any]; nil gives an
// empty map.
func AttributeMap(attributes []Attribute) map[string]any {
	values := make(map[string]any, len(attributes))
	for _, a := range attributes {
		values[a.Key] = a.Value.Any()
	}
	return values
}
