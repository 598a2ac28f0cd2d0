package eval

import "github.com/seatrial/seatrial/internal/core/flag"

// condition is a compiled flag.Condition: a tree of nodes, operands decoded.
type condition struct {
	form     form
	op       op
	yes, no  bool   // true or false is among the operands
	of       *path  // nil in a clause: the targeting key
	text     string // of a clause with formText
	operands *operands
	segment  *segment
	children []condition // of all, any and not
}

type form uint8

const (
	formClause form = iota
	formText        // a clause that is met by one text
	formAll
	formAny
	formNot
	formSegment
)

// condition compiles a valid condition; nil stays nil.
func (c *compiler) condition(from *flag.Condition) (*condition, error) {
	if from == nil {
		return nil, nil
	}
	n, err := c.node(from)
	return &n, err
}

func (c *compiler) node(from *flag.Condition) (condition, error) {
	switch {
	case len(from.All) > 0:
		return c.children(formAll, from.All)
	case len(from.Any) > 0:
		return c.children(formAny, from.Any)
	case from.Not != nil:
		return c.children(formNot, []flag.Condition{*from.Not})
	case from.Segment != "":
		return condition{form: formSegment, segment: c.segment(from.Segment)}, nil
	}
	return c.clause(from)
}

func (c *compiler) children(f form, from []flag.Condition) (n condition, err error) {
	n = condition{form: f, children: make([]condition, len(from))}
	for i := range from {
		if n.children[i], err = c.node(&from[i]); err != nil {
			return n, err
		}
	}
	return n, nil
}

// matches reports whether the unit meets the condition; nil is met by everybody.
func (n *condition) matches(u *unit) bool {
	if n == nil {
		return true
	}
	switch n.form {
	case formText:
		return n.matchesOneText(u)
	case formAll:
		for i := range n.children {
			if !n.children[i].matches(u) {
				return false
			}
		}
		return true
	case formAny:
		for i := range n.children {
			if n.children[i].matches(u) {
				return true
			}
		}
		return false
	case formNot:
		return !n.children[0].matches(u)
	case formSegment:
		return n.segment.contains(u)
	}
	return n.matchesClause(u)
}
