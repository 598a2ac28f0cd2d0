package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/seatrial/seatrial/internal/core/flag"
)

func pointerTo(base string, token any) string { return flag.Pointer(base, token) }

// readYAML reads every document of a YAML file as JSON, in the order of its keys. Tags and merge
// keys are refused; aliases are written out, within MaxFile.
func readYAML(name string, data []byte) ([]Document, error) {
	if depth := bracketDepth(data); depth > maxFileDepth {
		return nil, Faults{{File: name, Line: 1, Column: 1, Detail: fmt.Sprintf("is nested deeper than %d levels", maxFileDepth)}}
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, Faults{yamlFault(name, err)}
	}
	var documents []Document
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		w := yamlReader{name: name, places: map[string]Place{}, anchors: map[string]ast.Node{}, open: map[string]bool{}}
		if err := w.value("", doc.Body, 0); err != nil {
			return nil, Faults{*err}
		}
		documents = append(documents, Document{Name: name, JSON: w.out.Bytes(), places: w.places})
	}
	if len(documents) == 0 {
		return nil, Faults{{File: name, Line: 1, Column: 1, Detail: "is empty; write flags, segments or layers"}}
	}
	return documents, nil
}

// bracketDepth bounds the nesting that brackets make, before anything recursive looks at them.
func bracketDepth(data []byte) (deepest int) {
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return deepest
}

func yamlFault(name string, err error) Fault {
	f := Fault{File: name, Line: 1, Column: 1, Detail: fmt.Sprintf("is not YAML: %v", err)}
	var known yaml.Error
	if errors.As(err, &known) {
		f.Detail = "is not YAML: " + known.GetMessage()
		if t := known.GetToken(); t != nil {
			f.Line, f.Column = t.Position.Line, t.Position.Column
		}
	}
	return f
}

// yamlReader writes a YAML tree as JSON and notes the places of its parts.
type yamlReader struct {
	name    string
	out     bytes.Buffer
	places  map[string]Place
	anchors map[string]ast.Node
	open    map[string]bool // anchors that are being written out
}

func (w *yamlReader) fault(n ast.Node, pointer, format string, args ...any) *Fault {
	f := Fault{File: w.name, Line: 1, Column: 1, Pointer: pointer, Detail: fmt.Sprintf(format, args...)}
	if t := n.GetToken(); t != nil {
		f.Line, f.Column = t.Position.Line, t.Position.Column
	}
	return &f
}

func (w *yamlReader) value(pointer string, n ast.Node, depth int) *Fault {
	if depth > maxFileDepth || len(w.open) > 0 && w.out.Len() > maxExpanded {
		return w.fault(n, pointer, "the document is larger than %d bytes or deeper than %d levels, aliases written out", maxExpanded, maxFileDepth)
	}
	if t := n.GetToken(); t != nil && len(w.open) == 0 {
		if _, known := w.places[pointer]; !known {
			w.places[pointer] = Place{t.Position.Line, t.Position.Column}
		}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return w.mapping(pointer, n.Values, depth)
	case *ast.MappingValueNode:
		return w.mapping(pointer, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		return w.sequence(pointer, n.Values, depth)
	case *ast.AnchorNode:
		w.anchors[n.Name.GetToken().Value] = n.Value
		return w.value(pointer, n.Value, depth)
	case *ast.AliasNode:
		return w.alias(pointer, n, depth)
	}
	return w.scalar(pointer, n)
}

func (w *yamlReader) alias(pointer string, n *ast.AliasNode, depth int) *Fault {
	name := n.Value.GetToken().Value
	target, known := w.anchors[name]
	if !known || w.open[name] {
		return w.fault(n, pointer, "the alias *%s names no anchor before it", name)
	}
	w.open[name] = true
	defer delete(w.open, name)
	return w.value(pointer, target, depth+1)
}

func (w *yamlReader) mapping(pointer string, values []*ast.MappingValueNode, depth int) *Fault {
	w.out.WriteByte('{')
	seen := make(map[string]bool, len(values))
	for i, entry := range values {
		if i > 0 {
			w.out.WriteByte(',')
		}
		key, err := w.key(pointer, entry.Key)
		if err != nil {
			return err
		}
		at := pointerTo(pointer, key)
		if seen[key] {
			return w.fault(entry.Key, at, "is given twice; keep one of the two")
		}
		seen[key] = true
		if t := entry.Key.GetToken(); t != nil && len(w.open) == 0 {
			w.places[at] = Place{t.Position.Line, t.Position.Column}
		}
		w.text(key)
		w.out.WriteByte(':')
		if err := w.value(at, entry.Value, depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

func (w *yamlReader) key(pointer string, n ast.MapKeyNode) (string, *Fault) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return n.GetToken().Value, nil
	}
	return "", w.fault(n, pointer, "a key must be plain text; write it out")
}

func (w *yamlReader) sequence(pointer string, values []ast.Node, depth int) *Fault {
	w.out.WriteByte('[')
	for i, item := range values {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.value(pointerTo(pointer, i), item, depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte(']')
	return nil
}

func (w *yamlReader) scalar(pointer string, n ast.Node) *Fault {
	switch n := n.(type) {
	case *ast.NullNode:
		w.out.WriteString("null")
	case *ast.StringNode:
		w.text(n.Value)
	case *ast.LiteralNode:
		w.text(n.Value.Value)
	case *ast.BoolNode:
		w.out.WriteString(strconv.FormatBool(n.Value))
	case *ast.IntegerNode:
		fmt.Fprint(&w.out, n.Value)
	case *ast.FloatNode:
		if text := n.GetToken().Value; json.Valid([]byte(text)) {
			w.out.WriteString(text)
		} else {
			w.out.WriteString(strconv.FormatFloat(n.Value, 'g', -1, 64))
		}
	default:
		return w.fault(n, pointer, "%s cannot be used here; write plain text, numbers, true, false, null, lists and maps", n.Type())
	}
	return nil
}

func (w *yamlReader) text(s string) {
	data, _ := json.Marshal(s) // a string always can
	w.out.Write(data)
}
