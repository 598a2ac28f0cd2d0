package targeting

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// kind is the JSON type of a value.
type kind uint8

const (
	isNull kind = iota
	isBool
	isNumber
	isText
	isList
	isObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// value is a JSON value that needs no boxing unless it is a list or an object.
type value struct {
	kind   kind
	number float64 // of a boolean: 1 or 0
	text   string
	ref    any // of a list: []any or []string; of an object: map[string]any or map[string]string
}

func numberOf(f float64) value { return value{kind: isNumber, number: f} }
func textOf(s string) value    { return value{kind: isText, text: s} }
func listOf(l []any) value     { return value{kind: isList, ref: l} }

func boolOf(b bool) value {
	if b {
		return value{kind: isBool, number: 1}
	}
	return value{kind: isBool}
}

// valueOf takes what JSON decodes to, any of Go's numbers, lists of strings, maps of strings, and
// times (as RFC 3339 text). Everything else is null.
func valueOf(v any) value {
	switch v := v.(type) {
	case string:
		return textOf(v)
	case bool:
		return boolOf(v)
	case float64:
		return numberOf(v)
	case int:
		return numberOf(float64(v))
	case int64:
		return numberOf(float64(v))
	case []any, []string:
		return value{kind: isList, ref: v}
	case map[string]any, map[string]string:
		return value{kind: isObject, ref: v}
	case time.Time:
		return textOf(v.Format(time.RFC3339Nano))
	}
	return otherNumber(v)
}

func otherNumber(v any) value {
	switch v := v.(type) {
	case float32:
		return numberOf(float64(v))
	case int8:
		return numberOf(float64(v))
	case int16:
		return numberOf(float64(v))
	case int32:
		return numberOf(float64(v))
	case uint:
		return numberOf(float64(v))
	case uint8:
		return numberOf(float64(v))
	case uint16:
		return numberOf(float64(v))
	case uint32:
		return numberOf(float64(v))
	case uint64:
		return numberOf(float64(v))
	}
	return value{}
}

// box gives the value as encoding/json would.
func (v value) box() any {
	switch v.kind {
	case isBool:
		return v.number != 0
	case isNumber:
		return v.number
	case isText:
		return v.text
	case isList, isObject:
		return v.ref
	}
	return nil
}

// len is the number of elements of a list, and 0 of everything else.
func (v value) len() int {
	switch l := v.ref.(type) {
	case []any:
		return len(l)
	case []string:
		return len(l)
	}
	return 0
}

// at gives an element of a list; i must be below len.
func (v value) at(i int) value {
	switch l := v.ref.(type) {
	case []any:
		return valueOf(l[i])
	case []string:
		return textOf(l[i])
	}
	return value{}
}

// member gives a part of an object or a list: null if there is none.
func (v value) member(name string) value {
	switch o := v.ref.(type) {
	case map[string]any:
		return valueOf(o[name])
	case map[string]string:
		if s, ok := o[name]; ok {
			return textOf(s)
		}
	case []any, []string:
		if i, err := strconv.ParseUint(name, 10, 31); err == nil && int(i) < v.len() {
			return v.at(int(i))
		}
	}
	return value{}
}

// truthy is JsonLogic's idea of truth: null, false, 0, "" and empty lists are false, and, as in
// the Go engine, empty objects.
func (v value) truthy() bool {
	switch v.kind {
	case isBool, isNumber:
		return v.number != 0 // NaN is true, as in the Go engine
	case isText:
		return v.text != ""
	case isList:
		return v.len() > 0
	case isObject:
		return sizeOf(v.ref) > 0
	}
	return false
}

func sizeOf(object any) int {
	switch o := object.(type) {
	case map[string]any:
		return len(o)
	case map[string]string:
		return len(o)
	}
	return 0
}

// comparable is the number that loose comparisons see, as in JavaScript: NaN for lists, objects
// and text that is no number, 0 for null and blank text.
func (v value) comparable() float64 {
	switch v.kind {
	case isNull, isBool, isNumber:
		return v.number
	case isText:
		if strings.TrimSpace(v.text) == "" {
			return 0
		}
		if f, ok := parseNumber(v.text); ok {
			return f
		}
	}
	return math.NaN()
}

// parseNumber reads text as the Go engine does; text beyond a float64 is an infinity.
func parseNumber(text string) (float64, bool) {
	if !mayBeNumber(text) {
		return 0, false // ParseFloat would allocate an error
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil || math.IsInf(f, 0)
}

// mayBeNumber rules out most text that is no number, by its first character.
func mayBeNumber(text string) bool {
	return text != "" && strings.IndexByte("+-.0123456789iInN", text[0]) >= 0
}

// equal is loose equality: text with text, everything else as numbers; null only equals null.
func equal(a, b value) bool {
	if a.kind == isNull || b.kind == isNull {
		return a.kind == b.kind
	}
	if a.kind == isText && b.kind == isText {
		return a.text == b.text
	}
	return a.comparable() == b.comparable()
}

func less(a, b value) bool {
	if a.kind == isText && b.kind == isText {
		return a.text < b.text
	}
	return a.comparable() < b.comparable()
}

// appendText writes the value as cat does; lists and objects have no text.
func (v value) appendText(to []byte) ([]byte, bool) {
	switch v.kind {
	case isNull:
		return to, true
	case isText:
		return append(to, v.text...), true
	case isNumber:
		return strconv.AppendFloat(to, v.number, 'f', -1, 64), true
	case isBool:
		return strconv.AppendBool(to, v.number != 0), true
	}
	return to, false
}

// Truthy is JsonLogic's idea of truth: nil, false, 0, "" and empty lists and objects are false.
func Truthy(v any) bool { return valueOf(v).truthy() }
