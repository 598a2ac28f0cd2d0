package flagd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/semver"
)

// JsonLogic coerces, our clauses do not, and engines differ in what they do with a value of another
// type: some fail, which makes an error of the whole flag. So every clause is written such that no
// operator meets a value that it does not expect. What shapes it:
//   - The JavaScript engine fails in arithmetic and comparisons of what is no number, and flagd's
//     own operators (starts_with, sem_ver, fractional) fail there inside of "some".
//   - The Go engine fails in "cat" of a list or an object, cuts white space off what "cat" makes of
//     two arguments, and finds the number 5 in a list with the string "5".

// matchesOne applies a test of [item] to the attribute, or to each element if it is a list: merge
// makes a list of one out of anything else.
func matchesOne(attribute, test expr) expr {
	if test == no {
		return no
	}
	return call("some", call("merge", attribute), test)
}

// isScalar is false for lists, as no list is an element of itself (and, in Go, for objects).
func isScalar(v expr) expr { return call("in", v, call("merge", v)) }

// isWritable is true for what every engine can write as text.
func isWritable(v expr) []expr { return []expr{isScalar(v), call("!==", v, none)} }

// isText is true for strings: only those are what they are written as.
func isText(v expr) []expr { return append(isWritable(v), call("===", call("cat", v), v)) }

// isNumber is true for numbers: written with a digit or a minus sign in front, as neither a boolean
// nor an object is in any language, and not a string.
func isNumber(v expr) []expr {
	written := call("cat", v)
	return append(isWritable(v), call("!==", written, v), call("in", call("substr", written, "0", "1"), `"-0123456789"`))
}

// condition writes a condition; nil is met by everybody.
func (e *exporter) condition(c *flag.Condition, depth int) (expr, error) {
	switch {
	case c == nil:
		return yes, nil
	case depth > flag.MaxDepth:
		return no, fmt.Errorf("a condition is nested deeper than %d levels", flag.MaxDepth)
	case len(c.All) > 0:
		all, err := e.conditions(c.All, depth)
		return allOf(all...), err
	case len(c.Any) > 0:
		anyone, err := e.conditions(c.Any, depth)
		return anyOf(anyone...), err
	case c.Not != nil:
		inner, err := e.condition(c.Not, depth+1)
		return not(inner), err
	case c.Segment != "":
		return e.segment(c.Segment)
	}
	return clause(c)
}

func (e *exporter) conditions(from []flag.Condition, depth int) ([]expr, error) {
	to := make([]expr, len(from))
	for i := range from {
		one, err := e.condition(&from[i], depth+1)
		if err != nil {
			return nil, err
		}
		to[i] = one
	}
	return to, nil
}

// versionOps are the operators of semantic versions in flagd's notation.
var versionOps = map[flag.Op]string{
	flag.OpVersionEquals: "=", flag.OpVersionNotEquals: "!=", flag.OpVersionLess: "<", flag.OpVersionLessEq: "<=",
	flag.OpVersionGreater: ">", flag.OpVersionGreaterEq: ">=", flag.OpVersionMinor: "~", flag.OpVersionMajor: "^",
}

// clause writes an attribute clause.
func clause(c *flag.Condition) (expr, error) {
	if c.Attribute == "targetingKey" {
		return keyClause(c)
	}
	attribute, readable, err := variable(c.Attribute)
	if err != nil {
		return no, err
	}
	test, err := attributeTest(c, attribute)
	return allOf(readable, test), err
}

func attributeTest(c *flag.Condition, attribute expr) (expr, error) {
	switch c.Op {
	case flag.OpExists:
		return call("!==", attribute, none), nil
	case flag.OpIn, flag.OpEquals:
		test, err := valueTest(c.Values)
		return matchesOne(attribute, test), err
	case flag.OpContains, flag.OpStartsWith, flag.OpEndsWith:
		return matchesOne(attribute, allOf(append(isText(item), textTest(c.Op, item, operandTexts(c.Values)))...)), nil
	case flag.OpLess, flag.OpLessEq, flag.OpGreater, flag.OpGreaterEq:
		values, err := compact(c.Values)
		if err != nil || len(values) != 1 {
			return no, err
		}
		return matchesOne(attribute, allOf(append(isNumber(item), call(string(c.Op), item, values[0]))...)), nil
	}
	compared, err := versionTest(c, attribute)
	return allOf(isScalar(attribute), compared), err
}

// versionTest compares versions. The value is written in full, as flagd's schema wants it.
func versionTest(c *flag.Condition, v expr) (expr, error) {
	op, known := versionOps[c.Op]
	if !known {
		return no, fmt.Errorf("operator %s has no counterpart in flagd", c.Op)
	}
	for _, value := range operandTexts(c.Values) {
		if version, ok := semver.Parse(value); ok {
			full := fmt.Sprintf("%d.%d.%d", version.Major, version.Minor, version.Patch)
			if version.Pre != "" {
				full += "-" + version.Pre
			}
			return call("sem_ver", v, text(op), text(full)), nil
		}
	}
	return no, nil
}

// keyClause writes a clause about the targeting key, which is a string or missing, and missing if
// it is empty.
func keyClause(c *flag.Condition) (expr, error) {
	values := slices.DeleteFunc(operandTexts(c.Values), func(s string) bool { return s == "" })
	switch c.Op {
	case flag.OpExists:
		return call("!!", key), nil
	case flag.OpLess, flag.OpLessEq, flag.OpGreater, flag.OpGreaterEq:
		return no, nil
	case flag.OpIn, flag.OpEquals:
		if len(values) == 0 {
			return no, nil
		}
		return call("in", key, texts(values)), nil
	case flag.OpContains, flag.OpStartsWith, flag.OpEndsWith:
		return keyTexts(c.Op, values), nil
	}
	return versionTest(c, key)
}

// valueTest asks whether the item equals one of the values. Those strings that could be taken for
// numbers are only compared with strings.
func valueTest(values []json.RawMessage) (expr, error) {
	all, err := compact(values)
	if err != nil {
		return no, err
	}
	var numeric, others []expr
	for _, value := range all {
		if s := operandTexts([]json.RawMessage{json.RawMessage(value)}); len(s) == 1 && looksNumeric(s[0]) {
			numeric = append(numeric, value)
		} else {
			others = append(others, value)
		}
	}
	var tests []expr
	if len(others) > 0 {
		tests = append(tests, call("in", item, list(others...)))
	}
	if len(numeric) > 0 {
		tests = append(tests, allOf(append(isText(item), call("in", item, list(numeric...)))...))
	}
	return anyOf(tests...), nil
}

func looksNumeric(s string) bool {
	_, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return err == nil
}

func keyTexts(op flag.Op, values []string) expr {
	tests := make([]expr, len(values))
	for i, value := range values {
		switch op {
		case flag.OpContains:
			tests[i] = call("in", text(value), key)
		case flag.OpStartsWith:
			tests[i] = call("starts_with", key, text(value))
		default:
			tests[i] = call("ends_with", key, text(value))
		}
	}
	return anyOf(tests...)
}

// textTest asks whether the string v contains, starts or ends with one of the values.
func textTest(op flag.Op, v expr, values []string) expr {
	if op != flag.OpContains {
		return edgeTest(op, v, values)
	}
	tests := make([]expr, len(values))
	for i, value := range values {
		tests[i] = call("in", text(value), v)
	}
	return anyOf(tests...)
}

// edgeTest cuts as much off the string as the value is long, and compares. Engines count in
// UTF-16 units or in characters, so both lengths are tried where they differ: in the wrong count
// the piece is shorter than the value, or longer unless it is the whole of it, and never equal by
// mistake.
func edgeTest(op flag.Op, v expr, values []string) expr {
	byLength := map[int][]expr{}
	for _, value := range values {
		units, characters := len(utf16.Encode([]rune(value))), utf8.RuneCountInString(value)
		byLength[units] = append(byLength[units], text(value))
		if characters != units {
			byLength[characters] = append(byLength[characters], text(value))
		}
	}
	var tests []expr
	for _, length := range slices.Sorted(maps.Keys(byLength)) {
		piece := call("substr", v, number(-length))
		if op == flag.OpStartsWith {
			piece = call("substr", v, "0", number(length))
		}
		tests = append(tests, call("in", piece, list(byLength[length]...)))
	}
	return anyOf(tests...)
}

// inherited are names that every object of a JavaScript client has, whatever the context says.
var inherited = []string{"__proto__", "constructor", "prototype", "length"}

// methods are what values of JavaScript can do. These functions are null to JsonLogic, but have
// names of their own, which are not.
var methods = strings.Fields("__defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__ anchor apply at big bind blink bold call " +
	"charAt charCodeAt codePointAt concat copyWithin endsWith entries every fill filter find findIndex findLast " +
	"findLastIndex fixed flat flatMap fontcolor fontsize forEach hasOwnProperty includes indexOf isPrototypeOf " +
	"isWellFormed italics join keys lastIndexOf link localeCompare map match matchAll normalize padEnd padStart " +
	"pop propertyIsEnumerable push reduce reduceRight repeat replace replaceAll reverse search shift slice small " +
	"some sort splice split startsWith strike sub substr substring sup toExponential toFixed toLocaleLowerCase " +
	"toLocaleString toLocaleUpperCase toLowerCase toPrecision toReversed toSorted toSpliced toString toUpperCase " +
	"toWellFormed trim trimEnd trimLeft trimRight trimStart unshift valueOf values with")

// ofMethods are what a function has.
var ofMethods = []string{"name", "caller", "arguments"}

// variable writes the attribute of that name, and the condition that engines find there what we do;
// without it the attribute is missing. A name that cannot be read alike is an error.
func variable(name string) (attribute, readable expr, err error) {
	parts := strings.Split(name, ".")
	readable = yes
	for i, part := range parts {
		switch {
		case part == "" || strings.Contains(part, `\`) || part[0] == '/' && i > 0:
			return none, no, fmt.Errorf("attribute %q has an empty part, a slash in front or a backslash, which JsonLogic reads in another way", name)
		case part == "$flagd" && i == 0:
			return none, no, fmt.Errorf("attribute %q is one that flagd sets by itself", name)
		case slices.Contains(inherited, part) && (i > 0 || part != "length"):
			return none, no, fmt.Errorf("attribute %q has the part %q, which objects of JavaScript have by themselves", name, part)
		case i > 0 && slices.Contains(ofMethods, part) && slices.Contains(methods, parts[i-1]):
			return none, no, fmt.Errorf("attribute %q has the part %q, a function in JavaScript, which has a %s", name, parts[i-1], part)
		case i > 0 && strings.Trim(part, "0123456789") == "":
			if len(part) > 9 || len(part) > 1 && part[0] == '0' {
				return none, no, fmt.Errorf("attribute %q has the part %q, which is no place in a list", name, part)
			}
			above := read(parts[:i])
			readable = allOf(readable, not(allOf(isText(above)...))) // JavaScript goes into strings, too
		}
	}
	return read(parts), readable, nil
}

// read writes a name. A dotted one gets a default: JavaScript's engine, where it must not generate
// code, takes a false parent for the value otherwise.
func read(parts []string) expr {
	name := text(strings.Join(parts, "."))
	if len(parts) > 1 {
		return call("var", name, none)
	}
	return `{"var":` + name + `}`
}

// compact gives values without insignificant space.
func compact(values []json.RawMessage) ([]expr, error) {
	to := make([]expr, len(values))
	for i, raw := range values {
		var b bytes.Buffer
		if err := json.Compact(&b, raw); err != nil {
			return nil, fmt.Errorf("a value is not JSON: %w", err)
		}
		to[i] = expr(b.String())
	}
	return to, nil
}

// operandTexts gives those of the values that are strings.
func operandTexts(values []json.RawMessage) []string {
	var to []string
	for _, raw := range values {
		if value, err := flag.DecodeOperand(raw); err == nil {
			if s, ok := value.(string); ok {
				to = append(to, s)
			}
		}
	}
	return to
}
