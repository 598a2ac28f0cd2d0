package flagd

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// expr is JsonLogic, as JSON text. The constants are folded away while expressions are put
// together, so that a definition says no more than its flag does.
type expr string

const (
	yes  expr = "true"
	no   expr = "false"
	none expr = "null" // as an outcome: decide further down, and at last the default variant
)

// key is the unit: flagd puts the targeting key beside the attributes.
const key expr = `{"var":"targetingKey"}`

// item is the element that an iteration has arrived at.
const item expr = `{"var":""}`

// call writes an operator with its arguments.
func call(op string, args ...expr) expr {
	n := len(op) + 8
	for _, arg := range args {
		n += len(arg) + 1
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteString(`{"`)
	b.WriteString(op)
	b.WriteString(`":`)
	writeList(&b, args)
	b.WriteByte('}')
	return expr(b.String())
}

// list writes a list of expressions.
func list(items ...expr) expr {
	var b strings.Builder
	writeList(&b, items)
	return expr(b.String())
}

func writeList(b *strings.Builder, items []expr) {
	b.WriteByte('[')
	for i, one := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(one))
	}
	b.WriteByte(']')
}

// text writes a string.
func text(s string) expr {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(s) != nil {
		return `""` // a string can always be encoded
	}
	return expr(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func texts(all []string) expr {
	items := make([]expr, len(all))
	for i, s := range all {
		items[i] = text(s)
	}
	return list(items...)
}

func number(n int) expr { return expr(strconv.Itoa(n)) }

// allOf is met if all conditions are; without any it is met.
func allOf(conditions ...expr) expr {
	var kept []expr
	for _, c := range conditions {
		if c == no {
			return no
		}
		if c != yes {
			kept = append(kept, c)
		}
	}
	switch len(kept) {
	case 0:
		return yes
	case 1:
		return kept[0]
	}
	return call("and", kept...)
}

// anyOf is met if one of the conditions is; without any it is not met.
func anyOf(conditions ...expr) expr {
	var kept []expr
	for _, c := range conditions {
		if c == yes {
			return yes
		}
		if c != no {
			kept = append(kept, c)
		}
	}
	switch len(kept) {
	case 0:
		return no
	case 1:
		return kept[0]
	}
	return call("or", kept...)
}

func not(condition expr) expr {
	switch condition {
	case yes:
		return no
	case no:
		return yes
	}
	if strings.HasPrefix(string(condition), `{"$ref"`) {
		return call("if", condition, no, yes) // it may give a list, of which "!" would see the first
	}
	return call("!", condition)
}

// when gives the outcome to those who meet the condition, and none to others.
func when(condition, outcome expr) expr {
	switch {
	case condition == yes:
		return outcome
	case condition == no || outcome == none:
		return none
	}
	return call("if", condition, outcome, none)
}

// firstOf gives the first outcome that is not none. An outcome is a variant's name, which is never
// empty, or none: so "or", which gives its first true argument or its last, is what is needed, and
// the whole grows with the sum of its parts, not with their product as nested conditions would.
func firstOf(outcomes ...expr) expr {
	var kept []expr
	for _, o := range outcomes {
		if o == none {
			continue
		}
		kept = append(kept, o)
		if isName(o) {
			break
		}
	}
	switch len(kept) {
	case 0:
		return none
	case 1:
		return kept[0]
	}
	return call("or", kept...)
}

// isName reports whether the outcome is a variant's name, the same for everybody.
func isName(outcome expr) bool { return strings.HasPrefix(string(outcome), `"`) }
