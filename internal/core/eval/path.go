package eval

import (
	"strconv"
	"strings"
)

// path is the name of an attribute, cut at its dots. There is one for each name in a snapshot, so
// that pointers can be compared.
type path struct {
	name  string
	first string
	rest  []step
	slot  uint8 // where a unit keeps the value
}

// step is a part of a name behind the first.
type step struct {
	name  string
	index int // the name as a place in a list, -1 if it is none
}

func newPath(name string, slot int) *path {
	parts := strings.Split(strings.Clone(name), ".")
	p := &path{name: name, first: parts[0], slot: uint8(slot)}
	for _, part := range parts[1:] {
		index, err := strconv.Atoi(part)
		if err != nil || strconv.Itoa(index) != part {
			index = -1
		}
		p.rest = append(p.rest, step{part, index})
	}
	return p
}

// in goes into objects along the names, and into lists along numbers, as JsonLogic's var does.
func (p *path) in(attributes map[string]any) any {
	value := attributes[p.first]
	for i := range p.rest {
		value = p.rest[i].in(value)
	}
	return value
}

func (s *step) in(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return value[s.name]
	case map[string]string:
		if text, ok := value[s.name]; ok {
			return text
		}
	case []any:
		if 0 <= s.index && s.index < len(value) {
			return value[s.index]
		}
	case []string:
		if 0 <= s.index && s.index < len(value) {
			return value[s.index]
		}
	}
	return nil
}
