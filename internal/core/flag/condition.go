package flag

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// condition checks a whole condition. Segments may be named only where the segments' own
// conditions are not concerned, so that evaluation needs no cycle check.
func (v *validator) condition(at string, c *Condition, segments bool) {
	if c == nil {
		return
	}
	w := conditionWalk{validator: v, segments: segments}
	w.node(at, c, 1)
	if w.clauses > MaxClauses {
		v.Add(at, "has %d clauses; at most %d are allowed, name the group once as a segment", w.clauses, MaxClauses)
	}
}

type conditionWalk struct {
	*validator
	segments bool // may be named
	clauses  int
}

func (w *conditionWalk) node(at string, c *Condition, depth int) {
	if depth > MaxDepth {
		w.Add(at, "is nested deeper than %d levels; make the condition flatter", MaxDepth)
		return
	}
	if !c.oneForm() {
		w.Add(at, "a condition is one of all, any, not, segment, and attribute with op; give exactly one of these")
		return
	}
	switch {
	case c.Not != nil:
		w.node(at+"/not", c.Not, depth+1)
	case c.Segment != "":
		w.clauses++
		w.named(at+"/segment", c.Segment)
	case len(c.All)+len(c.Any) > 0:
		for i := range c.All {
			w.node(Pointer(at, "all", i), &c.All[i], depth+1)
		}
		for i := range c.Any {
			w.node(Pointer(at, "any", i), &c.Any[i], depth+1)
		}
	default:
		w.clauses++
		w.clause(at, c)
	}
}

// oneForm reports whether exactly one form of condition is filled in.
func (c *Condition) oneForm() bool {
	clause := c.Attribute != "" || c.Op != "" || len(c.Values) > 0
	return btoi(len(c.All) > 0)+btoi(len(c.Any) > 0)+btoi(c.Not != nil)+btoi(c.Segment != "")+btoi(clause) == 1
}

func (w *conditionWalk) named(at, key string) {
	if !w.segments {
		w.Add(at, "a segment's condition cannot name a segment (%q); repeat that segment's clauses here", key)
		return
	}
	w.knownSegment(at, key)
}

func (v *validator) knownSegment(at, key string) {
	if !v.segments[key] {
		v.Add(at, "there is no segment %q; create it first%s", key, Suggest(key, maps.Keys(v.segments)))
	}
}

// operand says which values an operator takes.
type operand struct {
	kind     string // "scalar", "string", "number"
	min, max int
}

var operands = map[Op]operand{
	OpIn:         {"scalar", 1, MaxValues},
	OpContains:   {"string", 1, MaxValues},
	OpStartsWith: {"string", 1, MaxValues},
	OpEndsWith:   {"string", 1, MaxValues},
	OpLess:       {"number", 1, 1},
	OpLessEq:     {"number", 1, 1},
	OpGreater:    {"number", 1, 1},
	OpGreaterEq:  {"number", 1, 1},
	OpExists:     {"", 0, 0},
}

func (w *conditionWalk) clause(at string, c *Condition) {
	w.check(at+"/attribute", checkAttribute(c.Attribute))
	want, known := operands[c.Op]
	switch {
	case !known:
		w.Add(at+"/op", "%q is not an operator; use one of %v", c.Op, slices.Sorted(maps.Keys(operands)))
		return
	case len(c.Values) < want.min:
		w.Add(at+"/values", "operator %s compares with a value; give one", c.Op)
	case len(c.Values) > want.max:
		w.Add(at+"/values", "there are %d values; operator %s takes at most %d", len(c.Values), c.Op, want.max)
		return
	}
	for i, raw := range c.Values {
		w.check(Pointer(at, "values", i), want.checkValue(c.Op, raw))
	}
}

func (want operand) checkValue(op Op, raw json.RawMessage) error {
	value, err := DecodeOperand(raw)
	if err != nil {
		return err
	}
	text, isText := value.(string)
	_, isNumber := value.(float64)
	switch {
	case want.kind == "string" && !isText:
		return fmt.Errorf("operator %s compares strings; write a string", op)
	case want.kind == "string" && text == "":
		return fmt.Errorf("is empty, which operator %s would find in every string; use %s for that", op, OpExists)
	case want.kind == "number" && !isNumber:
		return fmt.Errorf("operator %s compares numbers; write a number", op)
	}
	return nil
}

// textBytes counts what the condition's JSON grows with, down to the given depth.
func (c *Condition) textBytes(depth int) int {
	if c == nil || depth == 0 {
		return 0
	}
	n := 64 + len(c.Segment) + len(c.Attribute) + c.Not.textBytes(depth-1)
	for i := range c.All {
		n += c.All[i].textBytes(depth - 1)
	}
	for i := range c.Any {
		n += c.Any[i].textBytes(depth - 1)
	}
	for _, raw := range c.Values {
		n += 4 + len(raw)
	}
	return n
}
