package flag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// DecodeValue reads the value of a variant of type t: bool, string, int64, float64 or
// map[string]any (with encoding/json's types inside). The JSON null is a value of
// [TypeObject] and gives nil: "nothing", such as no fault program or no policy.
//
// Validation and evaluation share it, so whatever is valid can be served. The error says what is
// wrong and what to write instead.
func DecodeValue(t Type, raw json.RawMessage) (any, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, fmt.Errorf("is missing; give a value of type %s", t)
	}
	switch t {
	case TypeBoolean:
		return decodeBoolean(raw)
	case TypeString:
		return decodeString(raw)
	case TypeInteger:
		return decodeInteger(raw)
	case TypeFloat:
		return decodeFloat(raw)
	case TypeObject:
		return decodeObject(raw)
	}
	return nil, fmt.Errorf("has no type; give the flag a type first")
}

func decodeBoolean(raw []byte) (any, error) {
	switch string(raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return nil, fmt.Errorf("is not a boolean; write true or false")
}

func decodeString(raw []byte) (any, error) {
	if text, ok := plain(raw); ok {
		return text, nil
	}
	var s string
	if raw[0] != '"' || !utf8.Valid(raw) || json.Unmarshal(raw, &s) != nil {
		return nil, fmt.Errorf("is not a string; write it in double quotes, in UTF-8")
	}
	return s, nil
}

// plain reads a string without escapes, as nearly all are.
func plain(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	text := raw[1 : len(raw)-1]
	for _, c := range text {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return "", false
		}
	}
	return string(text), true
}

// decodeInteger takes integral numbers in any notation (5, 5.0, 5e0), as clients that only know
// floats write them.
func decodeInteger(raw []byte) (any, error) {
	f, ok := number(raw)
	if !ok || f != math.Trunc(f) {
		return nil, fmt.Errorf("is not an integer; write a whole number or make the flag's type %s", TypeFloat)
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil && n >= -MaxInteger && n <= MaxInteger {
		return n, nil
	}
	if math.Abs(f) > MaxInteger {
		return nil, fmt.Errorf("is beyond ±(2^53-1); clients in other languages cannot hold it, use type %s", TypeString)
	}
	return int64(f), nil
}

func decodeFloat(raw []byte) (any, error) {
	f, ok := number(raw)
	if !ok {
		return nil, fmt.Errorf("is not a finite number; write one such as 0.25")
	}
	return f, nil
}

// number reads a JSON number that a float64 can hold.
func number(raw []byte) (float64, bool) {
	var f float64
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return 0, false
	}
	return f, json.Unmarshal(raw, &f) == nil
}

func decodeObject(raw []byte) (any, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, fmt.Errorf("is not an object; write a JSON object in braces, or null")
	}
	var problems Problems
	if !scan(raw, anyShape, MaxDepth, &problems) {
		first := problems.List[0]
		if first.Pointer != "" {
			return nil, fmt.Errorf("at %s: %s", first.Pointer, first.Detail)
		}
		return nil, fmt.Errorf("%s", first.Detail)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("holds a number that no client can hold (%v); write it as a string", err)
	}
	return m, nil
}

// DecodeOperand reads one value of an attribute clause: bool, string, or a number as float64.
// Numbers are at most 2^53-1 in magnitude, so comparing them with integers is exact.
func DecodeOperand(raw json.RawMessage) (any, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, fmt.Errorf("is missing; give a string, a number or a boolean")
	}
	switch c := raw[0]; {
	case c == 't' || c == 'f':
		return decodeBoolean(raw)
	case c == '"':
		return decodeString(raw)
	}
	f, ok := number(raw)
	if !ok {
		return nil, fmt.Errorf("is not a string, a finite number or a boolean; write one of these")
	}
	if math.Abs(f) > MaxInteger {
		return nil, fmt.Errorf("is beyond ±(2^53-1); compare smaller numbers, or strings")
	}
	return f, nil
}

// HasDefinition reports whether the flag is a flagd definition.
func (f *Flag) HasDefinition() bool { return isGiven(f.Definition) }

// HasRule reports whether the segment is an evaluator of flagd definitions.
func (s *Segment) HasRule() bool { return isGiven(s.Rule) }

// isGiven reports whether there is JSON other than null, which reads as absent.
func isGiven(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && string(raw) != "null"
}
