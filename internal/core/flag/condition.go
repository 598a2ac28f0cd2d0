package flag

import (
	"maps"
	"slices"
)

// condition checks a whole condition. Segments may be named only where the segments' own
// conditions are not concerned, so that evaluation needs no cycle check.
func (v *validator) condition(at path, c *Condition, segments bool) {
	if c == nil {
		return
	}
	w := conditionWalk{validator: v, segments: segments}
	w.node(at, c, 1)
	if w.clauses > MaxClauses {
		v.add(at, "has %d clauses; at most %d are allowed, name the group once as a segment", w.clauses, MaxClauses)
	}
}

type conditionWalk struct {
	*validator
	segments bool // may be named
	clauses  int
}

func (w *conditionWalk) node(at path, c *Condition, depth int) {
	if depth > MaxDepth {
		w.add(at, "is nested deeper than %d levels; make the condition flatter", MaxDepth)
		return
	}
	if !c.oneForm() {
		w.add(at, "a condition is one of all, any, not, segment, and attribute with op; give exactly one of these")
		return
	}
	switch {
	case c.Not != nil:
		w.node(at.to("not"), c.Not, depth+1)
	case c.Segment != "":
		w.clauses++
		w.named(at.to("segment"), c.Segment)
	case len(c.All)+len(c.Any) > 0:
		for i := range c.All {
			w.node(at.item("all", i), &c.All[i], depth+1)
		}
		for i := range c.Any {
			w.node(at.item("any", i), &c.Any[i], depth+1)
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

func (w *conditionWalk) named(at path, key string) {
	if !w.segments {
		w.add(at, "a segment's condition cannot name a segment (%q); repeat that segment's clauses here", key)
		return
	}
	w.knownSegment(at, key)
}

func (w *conditionWalk) clause(at path, c *Condition) {
	w.check(at.to("attribute"), checkAttribute(c.Attribute))
	want, known := operands[c.Op]
	switch {
	case !known:
		w.add(at.to("op"), "%q is not an operator; use one of %v", c.Op, slices.Sorted(maps.Keys(operands)))
		return
	case len(c.Values) < want.min:
		w.add(at.to("values"), "operator %s compares with a value; give one", c.Op)
	case len(c.Values) > want.max:
		w.add(at.to("values"), "there are %d values; operator %s takes at most %d", len(c.Values), c.Op, want.max)
		return
	}
	for i, raw := range c.Values {
		w.check(at.item("values", i), want.checkValue(c.Op, raw))
	}
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
