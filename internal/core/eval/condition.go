package eval

import (
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// targetingKey is the attribute that stands for Context.TargetingKey.
const targetingKey = "targetingKey"

// manyTexts is from how many values on a clause looks a text up in a map.
const manyTexts = 8

// condition is a compiled flag.Condition: a tree of nodes, operands decoded.
type condition struct {
	form     form
	children []condition // of all, any and not
	segment  *segment

	attribute string
	op        flag.Op
	texts     []string
	textSet   map[string]struct{} // instead of a walk over many texts, for flag.OpIn
	numbers   []float64
	yes, no   bool // true or false is among the values
}

type form uint8

const (
	formClause form = iota
	formAll
	formAny
	formNot
	formSegment
)

// segment is a compiled flag.Segment.
type segment struct {
	key     string
	members map[string]struct{}
	when    *condition // nil: members only
}

func (s *segment) contains(c *Context) bool {
	if c.TargetingKey != "" {
		if _, member := s.members[c.TargetingKey]; member {
			return true
		}
	}
	return s.when != nil && s.when.matches(c)
}

// compileCondition compiles a valid condition; nil stays nil.
func compileCondition(from *flag.Condition, segments map[string]*segment) (*condition, error) {
	if from == nil {
		return nil, nil
	}
	n, err := compileNode(from, segments)
	return &n, err
}

func compileNode(from *flag.Condition, segments map[string]*segment) (condition, error) {
	switch {
	case len(from.All) > 0:
		return compileChildren(formAll, from.All, segments)
	case len(from.Any) > 0:
		return compileChildren(formAny, from.Any, segments)
	case from.Not != nil:
		return compileChildren(formNot, []flag.Condition{*from.Not}, segments)
	case from.Segment != "":
		return condition{form: formSegment, segment: segments[from.Segment]}, nil
	}
	return compileClause(from)
}

func compileChildren(f form, from []flag.Condition, segments map[string]*segment) (condition, error) {
	n := condition{form: f, children: make([]condition, len(from))}
	for i := range from {
		child, err := compileNode(&from[i], segments)
		if err != nil {
			return n, err
		}
		n.children[i] = child
	}
	return n, nil
}

func compileClause(from *flag.Condition) (condition, error) {
	n := condition{attribute: strings.Clone(from.Attribute), op: from.Op}
	for _, raw := range from.Values {
		value, err := flag.DecodeOperand(raw)
		if err != nil {
			return n, err
		}
		switch value := value.(type) {
		case string:
			n.texts = append(n.texts, value)
		case float64:
			n.numbers = append(n.numbers, value)
		case bool:
			n.yes, n.no = n.yes || value, n.no || !value
		}
	}
	if n.op == flag.OpIn && len(n.texts) >= manyTexts {
		n.textSet = make(map[string]struct{}, len(n.texts))
		for _, text := range n.texts {
			n.textSet[text] = struct{}{}
		}
	}
	return n, nil
}

// matches reports whether the unit meets the condition; nil is met by everybody.
func (n *condition) matches(c *Context) bool {
	if n == nil {
		return true
	}
	switch n.form {
	case formAll:
		for i := range n.children {
			if !n.children[i].matches(c) {
				return false
			}
		}
		return true
	case formAny:
		for i := range n.children {
			if n.children[i].matches(c) {
				return true
			}
		}
		return false
	case formNot:
		return !n.children[0].matches(c)
	case formSegment:
		return n.segment.contains(c)
	}
	if n.attribute == targetingKey {
		return c.TargetingKey != "" && n.matchesText(c.TargetingKey)
	}
	return n.matchesValue(c.Attributes[n.attribute])
}

// matchesValue applies the clause to a scalar, or to a list: there any element suffices, and a
// list exists even when it is empty.
func (n *condition) matchesValue(value any) bool {
	switch list := value.(type) {
	case []string:
		return n.op == flag.OpExists || slices.ContainsFunc(list, n.matchesText)
	case []any:
		return n.op == flag.OpExists || slices.ContainsFunc(list, n.matchesScalar)
	}
	return n.matchesScalar(value)
}

func (n *condition) matchesScalar(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case string:
		return n.matchesText(value)
	case bool:
		return n.op == flag.OpExists || n.op == flag.OpIn && (value && n.yes || !value && n.no)
	}
	number, ok := toFloat(value)
	return ok && n.matchesNumber(number)
}

func (n *condition) matchesText(text string) bool {
	switch n.op {
	case flag.OpIn:
		if n.textSet != nil {
			_, found := n.textSet[text]
			return found
		}
		return slices.Contains(n.texts, text)
	case flag.OpExists:
		return true
	}
	for _, want := range n.texts {
		if hasText(n.op, text, want) {
			return true
		}
	}
	return false
}

func hasText(op flag.Op, text, want string) bool {
	switch op {
	case flag.OpContains:
		return strings.Contains(text, want)
	case flag.OpStartsWith:
		return strings.HasPrefix(text, want)
	case flag.OpEndsWith:
		return strings.HasSuffix(text, want)
	}
	return false
}

func (n *condition) matchesNumber(x float64) bool {
	switch n.op {
	case flag.OpIn:
		return slices.Contains(n.numbers, x)
	case flag.OpExists:
		return true
	}
	if len(n.numbers) != 1 {
		return false
	}
	switch want := n.numbers[0]; n.op {
	case flag.OpLess:
		return x < want
	case flag.OpLessEq:
		return x <= want
	case flag.OpGreater:
		return x > want
	case flag.OpGreaterEq:
		return x >= want
	}
	return false
}

// toFloat gives a number of any built-in type as a float64. Operands are at most 2^53-1 in
// magnitude (flag.DecodeOperand) and larger integers stay larger when rounded, so comparing the
// result with an operand is as exact as comparing the integers.
func toFloat(value any) (float64, bool) {
	switch value := value.(type) {
	case int:
		return float64(value), true
	case int64:
		return float64(value), true
	case float64:
		return value, true
	case float32:
		return float64(value), true
	case int32:
		return float64(value), true
	case int16:
		return float64(value), true
	case int8:
		return float64(value), true
	case uint:
		return float64(value), true
	case uint64:
		return float64(value), true
	case uint32:
		return float64(value), true
	case uint16:
		return float64(value), true
	case uint8:
		return float64(value), true
	}
	return 0, false
}
