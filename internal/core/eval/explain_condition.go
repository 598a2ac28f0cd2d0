package eval

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// explain states the facts that made the condition match or not. The facts read the same under
// a negation.
func (n *condition) explain(u *unit) string {
	if n == nil {
		return "holds for everybody"
	}
	switch n.form {
	case formAll, formAny:
		return n.explainChildren(u)
	case formNot:
		return n.children[0].explain(u)
	case formSegment:
		return n.segment.explain(u)
	}
	return n.explainClause(u)
}

// explainChildren tells of the first child that decided, or of all (at most three) if it took
// all of them.
func (n *condition) explainChildren(u *unit) string {
	decisive := n.form == formAny
	var facts []string
	for i := range n.children {
		fact := n.children[i].explain(u)
		if n.children[i].matches(u) == decisive {
			return fact
		}
		facts = append(facts, fact)
	}
	if len(facts) > 3 {
		facts = append(facts[:3], fmt.Sprintf("and so on (%d conditions)", len(n.children)))
	}
	return strings.Join(facts, "; ")
}

// explain says whether the unit is in the segment; why, only as far as a list is missing.
func (s *segment) explain(u *unit) string {
	name, in := "the unit", s.contains(u)
	if u.key != "" {
		name = shown(u.key)
	}
	fact := fmt.Sprintf("%s is %sin segment %q", name, negated(in), s.key)
	if s.missing && !in {
		fact += ", whose member list is not loaded"
	}
	return fact
}

func (n *condition) explainClause(u *unit) string {
	name, value := "the targeting key", any(nil)
	if n.of != nil {
		name, value = fmt.Sprintf("attribute %q", n.of.name), u.value(n.of)
	} else if u.key != "" {
		value = u.key
	}
	matched := n.matches(u)
	switch {
	case value == nil:
		return name + " is missing"
	case n.op == opExists:
		return name + " is there"
	case n.op == opIn:
		return fmt.Sprintf("%s is %s, %s%s", name, shown(value), negated(matched), n.operandText("one of "))
	}
	return fmt.Sprintf("%s is %s, which %s %s", name, shown(value), map[bool]string{
		true: "meets", false: "does not meet"}[matched], string(n.operands.op)+" "+n.operandText("any of "))
}

func negated(matched bool) string {
	if matched {
		return ""
	}
	return "not "
}

// operandText shows the clause's values, at most three.
func (n *condition) operandText(several string) string {
	var all []string
	for _, text := range n.operands.texts[:min(len(n.operands.texts), 4)] {
		all = append(all, shown(text))
	}
	for _, number := range n.operands.numbers[:min(len(n.operands.numbers), 4)] {
		all = append(all, shown(number))
	}
	for _, truth := range []bool{true, false} {
		if truth && n.yes || !truth && n.no {
			all = append(all, shown(truth))
		}
	}
	return oneOf(several, all)
}

// oneOf joins texts, at most three.
func oneOf(several string, all []string) string {
	if len(all) == 1 {
		return all[0]
	}
	if len(all) > 3 {
		all = append(all[:3:3], "…")
	}
	return several + strings.Join(all, ", ")
}

// maxShown bounds, in bytes, what is shown of a value.
const maxShown = 64

// shown gives a value of a context for people, shortened. Only built-in types are formatted, so
// no method of a caller's type is run.
func shown(value any) string {
	switch value := value.(type) {
	case string:
		return strconv.Quote(value[:min(len(value), maxShown)]) + strings.Repeat("…", btoi(len(value) > maxShown))
	case bool:
		return strconv.FormatBool(value)
	case time.Time:
		return value.Format(time.RFC3339)
	case nil:
		return "null"
	case []string:
		return shownList(len(value), func(i int) any { return value[i] })
	case []any:
		return shownList(len(value), func(i int) any { return value[i] })
	}
	if digits, ok := appendInteger(nil, value); ok {
		return string(digits)
	}
	if f, ok := toFloat(value); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return "of a kind that cannot be shown"
}

func shownList(n int, at func(int) any) string {
	var parts []string
	for i := range min(n, 3) {
		switch item := at(i).(type) {
		case []any, []string: // lists do not nest
			parts = append(parts, "(list)")
		default:
			parts = append(parts, shown(item))
		}
	}
	if n > 3 {
		parts = append(parts, "…")
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
