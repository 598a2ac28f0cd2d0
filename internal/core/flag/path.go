package flag

import "strconv"

// path is a place in a document while it is being checked. Its text, a JSON pointer, is made only
// when there is a problem to report: most documents are right, and a set has many places.
type path struct {
	up    *path
	text  string // of the root: a pointer; else a field's name
	index int    // of an item of that field, noItem if the field is meant
}

const noItem = -1

func root(pointer string) path { return path{text: pointer, index: noItem} }

// to is the place of a field.
func (p *path) to(field string) path { return path{up: p, text: field, index: noItem} }

// item is the place of one item of a list in a field.
func (p *path) item(field string, index int) path { return path{up: p, text: field, index: index} }

// String gives the JSON pointer.
func (p path) String() string { return string(p.appendTo(nil)) }

// appendTo copies bytes and keeps no text, so that paths need not be on the heap. The names of
// fields need no escapes.
func (p *path) appendTo(b []byte) []byte {
	if p.up != nil {
		b = append(p.up.appendTo(b), '/')
	}
	b = append(b, p.text...)
	if p.index != noItem {
		b = strconv.AppendInt(append(b, '/'), int64(p.index), 10)
	}
	return b
}
