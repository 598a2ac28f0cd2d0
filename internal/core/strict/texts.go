package strict

import (
	"encoding/json"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Text reads a string of at most limit bytes. A number or a truth value gives its text: in YAML,
// 503 and true are written without quotes.
func (o *Object) Text(name string, limit int) string {
	value := o.raw(name)
	if value == nil {
		return ""
	}
	return o.text(flag.Pointer(o.pointer, name), value, limit)
}

// Texts reads a list of at most most texts, each as [Object.Text] does. One alone is a list of one.
func (o *Object) Texts(name string, most, limit int) (list []string) {
	value := o.raw(name)
	if value == nil {
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(value, &items) != nil {
		return []string{o.text(flag.Pointer(o.pointer, name), value, limit)}
	}
	if len(items) > most {
		o.Fail(name, "has %d elements, the limit is %d", len(items), most)
		return nil
	}
	for i, item := range items {
		list = append(list, o.text(flag.Pointer(o.pointer, name, i), item, limit))
	}
	return list
}

func (o *Object) text(pointer string, value json.RawMessage, limit int) string {
	s := strings.TrimSpace(string(value))
	switch {
	case s == "null" || strings.HasPrefix(s, "{") || strings.HasPrefix(s, "["):
		o.problems.Add(pointer, "must be a text, a number, true or false")
		return ""
	case strings.HasPrefix(s, `"`):
		if json.Unmarshal(value, &s) != nil {
			return ""
		}
	}
	if len(s) > limit {
		o.problems.Add(pointer, "is %d bytes long, the limit is %d", len(s), limit)
		return ""
	}
	return s
}

// Bool reads true or false.
func (o *Object) Bool(name string) (b bool) {
	o.decode(name, &b, "true or false")
	return b
}
