package definition

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Bounds of a file.
const (
	MaxFile      = 64 << 20 // bytes
	maxExpanded  = 8 << 20  // bytes of JSON, if YAML aliases are used
	maxFileDepth = 1_000    // nesting
)

// Document is one JSON document of a file, and where in the file its parts stand.
type Document struct {
	Name   string // of the file, for people
	JSON   json.RawMessage
	places map[string]Place // by JSON pointer
}

// Place is a line and a column, from 1.
type Place struct{ Line, Column int }

// At gives the place of what a JSON pointer names, or of the nearest part around it.
func (d *Document) At(pointer string) Place {
	for {
		if p, ok := d.places[pointer]; ok {
			return p
		}
		i := strings.LastIndexByte(pointer, '/')
		if i < 0 {
			return Place{1, 1}
		}
		pointer = pointer[:i]
	}
}

// Fault is one thing that is wrong, and where.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Pointer string `json:"pointer,omitempty"` // RFC 6901, into the document
	Detail  string `json:"detail"`
}

// String gives the fault as compilers do, so that editors find the place.
func (f Fault) String() string {
	text := fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Pointer != "" {
		text += f.Pointer + ": "
	}
	return text + f.Detail
}

// Faults is everything that is wrong with some files, in the order of files and lines.
type Faults []Fault

// Error gives one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

func compareFaults(a, b Fault) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// Documents reads the documents of a file: one of JSON, any number of YAML. A name that ends in
// .json must be JSON; everything else is YAML unless it is JSON. The error is Faults.
func Documents(name string, data []byte) ([]Document, error) {
	if len(data) > MaxFile {
		return nil, Faults{{File: name, Line: 1, Column: 1, Detail: fmt.Sprintf("has %d bytes; at most %d are read, split the file", len(data), MaxFile)}}
	}
	if !utf8.Valid(data) {
		return nil, Faults{{File: name, Line: 1, Column: 1, Detail: "is not valid UTF-8; save the file in UTF-8"}}
	}
	if json.Valid(data) || strings.EqualFold(filepath.Ext(name), ".json") {
		d, err := readJSON(name, data)
		return []Document{d}, err
	}
	return readYAML(name, data)
}

// readJSON takes a document as it is and notes the places of its parts.
func readJSON(name string, data []byte) (Document, error) {
	d := Document{Name: name, JSON: data, places: map[string]Place{}}
	r := jsonReader{data: data, tokens: json.NewDecoder(bytes.NewReader(data)), places: d.places, line: 1}
	r.tokens.UseNumber()
	err := r.value("", 0)
	if err == nil && r.tokens.More() {
		err = errors.New("there is something after the document")
	}
	if err != nil {
		at := r.place(errorOffset(err, r.tokens.InputOffset()))
		return d, Faults{{File: name, Line: at.Line, Column: at.Column, Detail: fmt.Sprintf("is not JSON: %v", err)}}
	}
	return d, nil
}

func errorOffset(err error, otherwise int64) int64 {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return max(syntax.Offset-1, 0)
	}
	return otherwise
}

// jsonReader walks a document. It counts lines as it goes, so a walk is linear.
type jsonReader struct {
	data   []byte
	tokens *json.Decoder
	places map[string]Place

	counted int64 // up to here
	line    int
	start   int64 // of the line
}

// place gives line and column of an offset, which may not lie before one that was asked for.
func (r *jsonReader) place(offset int64) Place {
	offset = min(max(offset, r.counted), int64(len(r.data)))
	for i := r.counted; i < offset; i++ {
		if r.data[i] == '\n' {
			r.line, r.start = r.line+1, i+1
		}
	}
	r.counted = offset
	return Place{r.line, int(offset-r.start) + 1}
}

// next notes where the next token stands, and reads it.
func (r *jsonReader) next(pointer string) (json.Token, error) {
	at := r.tokens.InputOffset()
	for at < int64(len(r.data)) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[at]) >= 0 {
		at++
	}
	r.places[pointer] = r.place(at)
	return r.tokens.Token()
}

func (r *jsonReader) value(pointer string, depth int) error {
	if depth > maxFileDepth {
		return fmt.Errorf("nested deeper than %d levels", maxFileDepth)
	}
	token, err := r.next(pointer)
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return r.object(pointer, depth)
	case json.Delim('['):
		return r.list(pointer, depth)
	}
	return nil
}

func (r *jsonReader) object(pointer string, depth int) error {
	for r.tokens.More() {
		name, err := r.tokens.Token()
		if err != nil {
			return err
		}
		if err := r.value(pointerTo(pointer, name.(string)), depth+1); err != nil {
			return err
		}
	}
	_, err := r.tokens.Token()
	return err
}

func (r *jsonReader) list(pointer string, depth int) error {
	for i := 0; r.tokens.More(); i++ {
		if err := r.value(pointerTo(pointer, i), depth+1); err != nil {
			return err
		}
	}
	_, err := r.tokens.Token()
	return err
}
