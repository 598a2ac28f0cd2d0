package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Bounds of a check. Every part of a schema is applied to a value at most as often as the value
// has bytes, so parts times bytes bound the work: some seconds of a person's patience at worst.
const (
	maxParts    = 10_000     // of a schema, a part counted wherever it is referred to
	maxWork     = 20_000_000 // parts of the schema times bytes of a value
	maxNesting  = 64         // levels of a schema's JSON
	maxExponent = 400        // of a number: the checks are exact, and 1e999999999 has that many digits
)

// bounded refuses a document that could not be read within bounds.
func bounded(doc any) error { return boundedAt(doc, "", 0) }

func boundedAt(doc any, at string, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("is nested deeper than %d levels; make it flatter", maxNesting)
	}
	switch doc := doc.(type) {
	case map[string]any:
		for name, child := range doc {
			if err := boundedAt(child, flag.Pointer(at, name), depth+1); err != nil {
				return err
			}
		}
	case []any:
		for i, child := range doc {
			if err := boundedAt(child, flag.Pointer(at, i), depth+1); err != nil {
				return err
			}
		}
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(string(doc)), "e")
		if n, err := strconv.Atoi(strings.TrimPrefix(exponent, "+")); exponent != "" && (err != nil || n < -maxExponent || n > maxExponent) {
			return fmt.Errorf("has the number %.40s at %q; exponents from -%d to %d are allowed", string(doc), at, maxExponent, maxExponent)
		}
	}
	return nil
}

// errRecursive says that there is no bound on how often a schema is applied.
var errRecursive = errors.New("refers back to itself ($ref); write out the levels that are needed")

// costOf counts the parts of a schema: schemas inside of it and what enum lists, each as often as
// it is referred to.
func costOf(schema *jsonschema.Schema) (int, error) {
	w := weigher{}
	n := w.schema(schema)
	switch {
	case w.recursive:
		return 0, errRecursive
	case n > maxParts:
		return 0, fmt.Errorf("has more than %d parts, references followed; make it simpler", maxParts)
	}
	return n, nil
}

// weigher counts. A schema that is met again costs what it did the first time, so that the time
// to count is linear.
type weigher struct {
	known     map[*jsonschema.Schema]int // 0: being counted
	recursive bool
}

func (w *weigher) schema(s *jsonschema.Schema) int {
	if s == nil {
		return 0
	}
	if n, met := w.known[s]; met {
		w.recursive = w.recursive || n == 0
		return n
	}
	if w.known == nil {
		w.known = map[*jsonschema.Schema]int{}
	}
	w.known[s] = 0
	n := 1
	fields := reflect.ValueOf(s).Elem()
	for i := range fields.NumField() {
		if fields.Type().Field(i).IsExported() {
			n = min(n+w.value(fields.Field(i)), maxParts+1)
		}
	}
	w.known[s] = n
	return n
}

// value counts what stands in a field of a schema. Numbers, texts and patterns are part of their
// schema.
func (w *weigher) value(v reflect.Value) (n int) {
	switch v.Kind() {
	case reflect.Interface:
		return w.value(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			n = min(n+max(1, w.value(v.Index(i))), maxParts+1)
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			n = min(n+w.value(entries.Value()), maxParts+1)
		}
	case reflect.Pointer:
		switch to := v.Interface().(type) {
		case *jsonschema.Schema:
			return w.schema(to)
		case *jsonschema.DynamicRef:
			if to != nil {
				return w.schema(to.Ref)
			}
		case *jsonschema.Enum:
			if to != nil {
				return len(to.Values)
			}
		}
	}
	return n
}
