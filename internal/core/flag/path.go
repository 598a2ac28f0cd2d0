package flag

import "strings"

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
func (p path) String() string {
	tokens, text := []any{}, ""
	for at := &p; at != nil; at = at.up {
		if at.index != noItem {
			tokens = append(tokens, at.index)
		}
		if at.up != nil {
			tokens = append(tokens, at.text)
		}
		text = at.text
	}
	var b strings.Builder
	b.WriteString(text)
	for i := len(tokens) - 1; i >= 0; i-- {
		b.WriteString(Pointer("", tokens[i]))
	}
	return b.String()
}
