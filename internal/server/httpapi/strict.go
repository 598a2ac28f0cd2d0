package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"reflect"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// maxNesting bounds the depth of a document.
const maxNesting = 64

// decodeStrict reads JSON into a struct and forgives nothing: unknown fields (also ones that
// differ in case only) get a suggestion, fields that are there twice and values of the wrong
// kind are problems, all with their pointers. The error is a *flag.Problems.
//
// Flags and segments have their own strict readers in package flag.
func decodeStrict(subject string, data []byte, into any) error {
	problems := &flag.Problems{Subject: subject}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	w := walker{dec: dec, problems: problems}
	if w.value("", reflect.TypeOf(into).Elem(), 0) {
		if _, err := dec.Token(); err != io.EOF {
			problems.Add("", "something follows the document: send one JSON value")
		}
	}
	if err := problems.Err(); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		problems.Add("", "cannot be read: %v", err)
	}
	return problems.Err()
}

// walker compares a document with the type it is meant for, token by token.
type walker struct {
	dec      *json.Decoder
	problems *flag.Problems
}

// broken records that the document is no JSON, or too deep, and ends the walk.
func (w *walker) broken(at string, err error) bool {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		w.problems.Add(at, "the document ends too early")
	} else {
		w.problems.Add(at, "is not valid JSON: %v", err)
	}
	return false
}

var (
	anyType         = reflect.TypeFor[any]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
)

// value walks one value; false means that the walk cannot go on.
func (w *walker) value(at string, t reflect.Type, depth int) bool {
	if depth > maxNesting {
		w.problems.Add(at, "is nested deeper than %d levels", maxNesting)
		return false
	}
	for t.Kind() == reflect.Pointer && !t.Implements(unmarshalerType) {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshalerType) || t.Kind() == reflect.Interface || t.Kind() == reflect.Map {
		return w.leaf(at, t)
	}
	token, err := w.dec.Token()
	if err != nil {
		return w.broken(at, err)
	}
	switch token {
	case json.Delim('{'):
		return w.object(at, t, depth)
	case json.Delim('['):
		return w.list(at, t, depth)
	}
	w.scalar(at, t, token)
	return true
}

// leaf reads a value whose type knows by itself what it takes.
func (w *walker) leaf(at string, t reflect.Type) bool {
	var raw json.RawMessage
	if err := w.dec.Decode(&raw); err != nil {
		return w.broken(at, err)
	}
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		w.problems.Add(at, "%v", err)
	}
	return true
}

func (w *walker) object(at string, t reflect.Type, depth int) bool {
	fields := map[string]reflect.Type{}
	switch {
	case t.Kind() == reflect.Struct:
		fields = fieldsOf(t)
	case t != anyType:
		w.problems.Add(at, "is an object: write %s", kindName(t))
	}
	seen := map[string]bool{}
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return w.broken(at, err)
		}
		name, _ := token.(string)
		place := flag.Pointer(at, name)
		ft, known := fields[name]
		switch {
		case seen[name]:
			w.problems.Add(place, "is there twice: keep one of the two")
		case !known && t.Kind() == reflect.Struct:
			w.problems.Add(place, "is not a known field%s", flag.Suggest(name, maps.Keys(fields)))
		}
		seen[name] = true
		if !known {
			ft = anyType
		}
		if !w.value(place, ft, depth+1) {
			return false
		}
	}
	return w.end(at)
}

func (w *walker) list(at string, t reflect.Type, depth int) bool {
	item := anyType
	if t.Kind() == reflect.Slice {
		item = t.Elem()
	} else if t != anyType {
		w.problems.Add(at, "is a list: write %s", kindName(t))
	}
	for i := 0; w.dec.More(); i++ {
		if !w.value(flag.Pointer(at, i), item, depth+1) {
			return false
		}
	}
	return w.end(at)
}

func (w *walker) end(at string) bool {
	if _, err := w.dec.Token(); err != nil {
		return w.broken(at, err)
	}
	return true
}

func (w *walker) scalar(at string, t reflect.Type, token json.Token) {
	fits := token == nil // null leaves the zero value, as in encoding/json
	switch token := token.(type) {
	case string:
		fits = t.Kind() == reflect.String
	case bool:
		fits = t.Kind() == reflect.Bool
	case json.Number:
		fits = json.Unmarshal([]byte(token), reflect.New(t).Interface()) == nil
	}
	if !fits {
		w.problems.Add(at, "must be %s", kindName(t))
	}
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Uint64:
		return "a whole number that is not negative"
	}
	return "a whole number"
}

// fieldsOf gives the fields of a struct by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = t.Field(i).Type
		}
	}
	return fields
}
