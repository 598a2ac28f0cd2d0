package targeting

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// scope is what var looks into.
type scope uint8

const (
	atRoot    scope = iota // the input
	inElement              // an element of the list that map, filter, all, some or none go through
	inFold                 // current and accumulator of reduce
)

type reference struct {
	name  string
	scope scope
}

type compiler struct {
	evaluators map[string]json.RawMessage
	compiled   map[reference]*node
	inside     string // the evaluator that is being compiled
	depth      int
	nodes      int
	usesTime   bool
	err        *Error
}

func (c *compiler) fail(pointer, format string, args ...any) node {
	if c.err == nil {
		c.err = problem(pointer, format, args...)
	}
	return node{}
}

// document compiles a rule or an evaluator from its JSON.
func (c *compiler) document(pointer string, rule json.RawMessage, s scope) node {
	if len(rule) > MaxRuleBytes {
		return c.fail(pointer, "the rule has %d bytes; at most %d are allowed, move long lists into a segment", len(rule), MaxRuleBytes)
	}
	var decoded any
	if err := json.Unmarshal(rule, &decoded); err != nil {
		return c.fail(pointer, "the rule is not valid JSON: %v", err)
	}
	return c.rule(pointer, decoded, s)
}

// rule compiles what an argument can be: an operator with its arguments, a list, or a value.
func (c *compiler) rule(pointer string, rule any, s scope) node {
	if c.err != nil {
		return node{}
	}
	if c.nodes++; c.nodes > MaxNodes {
		return c.fail(pointer, "the rule has more than %d operators and values; split it, or move lists into segments", MaxNodes)
	}
	if c.depth++; c.depth > MaxDepth {
		return c.fail(pointer, "the rule is nested deeper than %d levels; flatten it, one if can have many branches", MaxDepth)
	}
	defer func() { c.depth-- }()
	switch rule := rule.(type) {
	case []any:
		return c.list(pointer, rule, s)
	case map[string]any:
		if len(rule) == 1 {
			for name, arg := range rule {
				return c.operator(pointer, name, arg, s)
			}
		}
	}
	return node{value: valueOf(rule)} // an object of several members is data
}

// list compiles a list; one without operators is a constant.
func (c *compiler) list(pointer string, elements []any, s scope) node {
	n := node{op: opList, at: pointer, args: c.arguments(pointer, elements, s)}
	for _, arg := range n.args {
		if arg.op != opConst {
			return n
		}
	}
	return node{value: listOf(elements)}
}

func (c *compiler) arguments(pointer string, elements []any, s scope) []node {
	args := make([]node, len(elements))
	for i, element := range elements {
		args[i] = c.rule(pointer+"/"+strconv.Itoa(i), element, s)
	}
	return args
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

func (c *compiler) operator(pointer, name string, arg any, s scope) node {
	pointer += "/" + escaper.Replace(name)
	switch name {
	case "var":
		return c.variable(pointer, arg, s)
	case "$ref":
		return c.reference(pointer, arg, s)
	}
	op, known := operators[name]
	if !known {
		return c.fail(pointer, "%q is no operator; use one of JsonLogic or fractional, sem_ver, starts_with, ends_with", name)
	}
	n := node{op: op, at: pointer}
	elements, isList := arg.([]any)
	switch {
	case op.iterates():
		n.args = c.iteration(pointer, op, elements, arg, s)
	case isList:
		n.args = c.arguments(pointer, elements, s)
	default: // a single argument can be written without a list
		n.args = []node{c.rule(pointer, arg, s)}
		if n.args[0].op != opConst && !op.lazy() {
			return node{op: opSpread, inner: op, at: pointer, args: n.args}
		}
	}
	if len(n.args) < fewest[op] {
		return c.fail(pointer, "has %d arguments; it needs at least %d", len(n.args), fewest[op])
	}
	n.prepare()
	return n
}

// iteration compiles the arguments of an operator that evaluates its second for each element of
// its first.
func (c *compiler) iteration(pointer string, op opcode, elements []any, arg any, s scope) []node {
	if elements == nil {
		elements = []any{arg}
	}
	args := make([]node, len(elements))
	for i, element := range elements {
		within := s
		if i == 1 {
			if within = inElement; op == opReduce {
				within = inFold
			}
		}
		args[i] = c.rule(pointer+"/"+strconv.Itoa(i), element, within)
	}
	return args
}

// prepare computes what does not depend on the input.
func (n *node) prepare() {
	switch n.op {
	case opIn:
		if len(n.args) > 1 && n.args[1].op == opConst {
			n.set = newSet(n.args[1].value)
		}
	case opFractional:
		n.shares = newShares(n.args)
	case opCat:
		n.prefix = newPrefix(n.args)
	}
}

func (c *compiler) reference(pointer string, arg any, s scope) node {
	name, _ := arg.(string)
	rule, known := c.evaluators[name]
	switch {
	case c.inside != "":
		return c.fail(pointer, "evaluators cannot refer to others; write %q out", name)
	case name == "" || !known:
		return c.fail(pointer, "there is no evaluator %q; add it to $evaluators", name)
	}
	key := reference{name, s}
	if c.compiled[key] == nil {
		c.inside = name
		target := c.document("/$evaluators/"+escaper.Replace(name), bytes.TrimSpace(rule), s)
		c.inside = ""
		c.compiled[key] = &target
	}
	return node{op: opRef, at: pointer, target: c.compiled[key]}
}

// variable compiles var: a name, a list of a name and a default, or something that gives these.
func (c *compiler) variable(pointer string, arg any, s scope) node {
	n := node{op: opVar, at: pointer}
	elements, isList := arg.([]any)
	name := arg
	if isList && len(elements) == 0 {
		name = ""
	} else if isList {
		name = elements[0]
		if len(elements) == 2 {
			n.args = []node{c.rule(pointer+"/1", elements[1], s)}
		}
	}
	path, constant := constantPath(name)
	if !constant {
		c.usesTime = c.usesTime || s == atRoot
		n.op, n.args = opVarNamed, append([]node{c.rule(pointer, name, s)}, n.args...)
		return n
	}
	n.path = path
	if s == atRoot && (len(path) == 0 || path[0] == "$flagd" && (len(path) == 1 || path[1] == "timestamp")) {
		c.usesTime = true
	}
	return n
}

func constantPath(name any) (path []string, constant bool) {
	switch v := valueOf(name); v.kind {
	case isNull:
		return nil, true
	case isText:
		return splitPath(v.text), true
	case isNumber:
		text, _ := v.appendText(nil)
		return splitPath(string(text)), true
	}
	return nil, false
}

// splitPath cuts a name at its dots; empty parts do not count, as in the Go engine.
func splitPath(name string) (path []string) {
	for part := range strings.SplitSeq(name, ".") {
		if part != "" {
			path = append(path, part)
		}
	}
	return path
}
