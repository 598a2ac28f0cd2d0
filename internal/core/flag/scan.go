package flag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"unicode/utf8"
)

// shape says what JSON may stand in a place of a document. Null is allowed everywhere: it reads
// as absent.
type shape struct {
	kind   string            // "object", "list", "string", "integer", "boolean"; "" is any
	fields map[string]*shape // of an object
	item   *shape            // of a list
	deep   bool              // nested down to maxLogic instead of the document's bound
}

var anyShape = &shape{}

// scan checks what encoding/json lets pass: field names that are unknown or differ in case,
// duplicate keys, wrong kinds, depth, invalid UTF-8. It records problems with their places and
// reports whether there were none. At most maxProblems are kept.
func scan(data []byte, root *shape, maxDepth int, problems *Problems) bool {
	before := len(problems.List) + problems.More
	if !utf8.Valid(data) {
		problems.Add("", "is not valid UTF-8; send the document in UTF-8")
		return false
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		problems.Add("", "%s", syntaxDetail(data, err))
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	s := scanner{tokens: decoder, maxDepth: maxDepth, problems: problems}
	if err := s.value(root); err != nil && before == len(problems.List)+problems.More {
		problems.Add("", "%s", syntaxDetail(data, err))
	}
	return before == len(problems.List)+problems.More
}

// syntaxDetail says at which line and column the JSON breaks.
func syntaxDetail(data []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fmt.Sprintf("is not JSON: %v", err)
	}
	at := min(max(int(syntax.Offset), 0), len(data))
	line := 1 + bytes.Count(data[:at], []byte("\n"))
	column := at - (bytes.LastIndexByte(data[:at], '\n') + 1)
	return fmt.Sprintf("is not JSON: line %d, column %d: %v; correct it there", line, column, err)
}

type scanner struct {
	tokens   *json.Decoder
	path     []place
	maxDepth int
	problems *Problems
}

// place is one step of the path from the root: a field, or with an empty name an item.
type place struct {
	name  string
	index int
	item  bool
}

// errTooDeep stops a scan, as the rest cannot be looked at within bounds.
var errTooDeep = errors.New("too deep")

func (s *scanner) value(want *shape) error {
	token, err := s.tokens.Token()
	if err != nil {
		return err
	}
	s.checkKind(want, token)
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if want.deep {
		defer func(before int) { s.maxDepth = before }(s.maxDepth)
		s.maxDepth = maxLogic
	}
	if len(s.path) >= s.maxDepth {
		s.add("is nested deeper than %d levels; make it flatter", s.maxDepth)
		return errTooDeep
	}
	if delim == '{' {
		return s.object(want)
	}
	return s.list(want)
}

func (s *scanner) object(want *shape) error {
	seen := map[string]bool{}
	for s.tokens.More() {
		token, err := s.tokens.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		s.path = append(s.path, place{name: name})
		field := s.field(want, name)
		if seen[name] {
			s.add("is given twice; keep one of the two")
		}
		seen[name] = true
		if err := s.value(field); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	_, err := s.tokens.Token()
	return err
}

func (s *scanner) field(want *shape, name string) *shape {
	if want.kind != "object" || want.fields == nil {
		return anyShape
	}
	if field := want.fields[name]; field != nil {
		return field
	}
	s.add("is not a known field; remove it%s", Suggest(name, maps.Keys(want.fields)))
	return anyShape
}

func (s *scanner) list(want *shape) error {
	item := want.item
	if item == nil {
		item = anyShape
	}
	for i := 0; s.tokens.More(); i++ {
		s.path = append(s.path, place{index: i, item: true})
		if err := s.value(item); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	_, err := s.tokens.Token()
	return err
}

func (s *scanner) checkKind(want *shape, token json.Token) {
	ok := true
	switch token := token.(type) {
	case nil:
	case json.Delim:
		ok = want.kind == map[json.Delim]string{'{': "object", '[': "list"}[token]
	case string:
		ok = want.kind == "string"
	case bool:
		ok = want.kind == "boolean"
	case json.Number:
		_, err := strconv.ParseInt(string(token), 10, 32)
		ok = want.kind == "integer" && err == nil
	}
	if !ok && want.kind != "" {
		s.add("is not of kind %s; write it as one", want.kind)
	}
}

func (s *scanner) add(format string, args ...any) {
	pointer := ""
	for _, p := range s.path {
		if p.item {
			pointer = Pointer(pointer, p.index)
		} else {
			pointer = Pointer(pointer, p.name)
		}
	}
	s.problems.Add(pointer, format, args...)
}
