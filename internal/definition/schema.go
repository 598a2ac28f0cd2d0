// Package definition checks what a flag's definition says beyond the model itself. The control
// plane does so on every write, and the command line offline with the same code.
package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// place is the name of the one schema that a compiler of ours knows.
const place = "flag:schema"

// maxReported bounds what is said of one value.
const maxReported = 20

// CheckSchema checks the values of the flag's variants against the JSON Schema of the flag, draft
// 4 to 2020-12 by its $schema (default 2020-12). A flag without a schema has nothing to check.
//
// A schema is looked at as it stands: a reference out of it is an error, and so is one that leads
// back to itself. What it costs to check a value is bounded before it is done. Formats are
// annotations.
//
// The error is a *[flag.Problems] with pointers into the flag: /schema for what is wrong with the
// schema, /variants/i/value/… for values. It does no I/O and is safe for concurrent use.
func CheckSchema(f flag.Flag) error {
	if len(f.Schema) == 0 || string(bytes.TrimSpace(f.Schema)) == "null" {
		return nil
	}
	problems := &flag.Problems{Subject: fmt.Sprintf("flag %q", f.Key)}
	schema, cost, err := compile(f)
	if err != nil {
		problems.Add("/schema", "%v", err)
		return problems.Err()
	}
	for i, v := range f.Variants {
		check(problems, flag.Pointer("/variants", i, "value"), schema, cost, v.Value)
	}
	return problems.Err()
}

// compile reads the schema and tells what it costs to apply it once to one value.
func compile(f flag.Flag) (*jsonschema.Schema, int, error) {
	if f.Type != flag.TypeObject {
		return nil, 0, fmt.Errorf("is for flags of type object, not %s; leave it out", f.Type)
	}
	if len(f.Schema) > flag.MaxFlagBytes {
		return nil, 0, fmt.Errorf("has %d bytes; at most %d are allowed", len(f.Schema), flag.MaxFlagBytes)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(f.Schema))
	if err != nil {
		return nil, 0, fmt.Errorf("is not JSON: %v", err)
	}
	if err := bounded(doc); err != nil {
		return nil, 0, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nowhere{})
	if err := c.AddResource(place, doc); err != nil {
		return nil, 0, explained(err)
	}
	schema, err := c.Compile(place)
	if err != nil {
		return nil, 0, explained(err)
	}
	cost, err := costOf(schema)
	return schema, cost, err
}

// nowhere loads no schema from anywhere.
type nowhere struct{}

func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("%q is outside of the schema; copy what is needed under $defs", url)
}

// explained says what a compiler found without the place's made-up name.
func explained(err error) error {
	text := err.Error()
	var load *jsonschema.LoadURLError
	var invalid *jsonschema.SchemaValidationError
	switch {
	case errors.As(err, &load):
		text = load.Err.Error()
	case errors.As(err, &invalid):
		text = "is not a valid JSON Schema: " + strings.Join(leaves(invalid.Err, nil), "; ")
	}
	return errors.New(strings.ReplaceAll(text, place, ""))
}

// leaves gives the innermost causes of a validation, each with its place.
func leaves(err error, list []string) []string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return append(list, err.Error())
	}
	each(v, func(at, detail string) {
		if len(list) < maxReported {
			list = append(list, strings.TrimPrefix(at+": "+detail, ": "))
		}
	})
	return list
}

// check adds what is wrong with one value.
func check(problems *flag.Problems, at string, schema *jsonschema.Schema, cost int, value json.RawMessage) {
	if cost > maxWork/max(len(value), 1) {
		problems.Add(at, "has %d bytes, too many for a schema of %d parts; make one of the two simpler", len(value), cost)
		return
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		problems.Add(at, "is not JSON: %v", err)
		return
	}
	if err := bounded(doc); err != nil {
		problems.Add(at, "%v", err)
		return
	}
	err = schema.Validate(doc)
	var v *jsonschema.ValidationError
	switch {
	case err == nil:
	case !errors.As(err, &v):
		problems.Add(at, "cannot be checked against the schema: %v", err)
	default:
		n := 0
		each(v, func(inside, detail string) {
			if n++; n <= maxReported {
				problems.Add(at+inside, "does not meet the schema: %s", detail)
			}
		})
	}
}

// english is how the library's messages are written.
var english = message.NewPrinter(language.English)

// each visits the innermost causes, with their places in the value.
func each(v *jsonschema.ValidationError, visit func(at, detail string)) {
	if len(v.Causes) > 0 {
		for _, cause := range v.Causes {
			each(cause, visit)
		}
		return
	}
	at := ""
	for _, token := range v.InstanceLocation {
		at = flag.Pointer(at, token)
	}
	visit(at, v.ErrorKind.LocalizedString(english))
}
