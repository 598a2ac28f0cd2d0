package targeting

import "strings"

func (r *run) evalList(n *node) value {
	switch n.op {
	case opIn:
		return boolOf(r.isIn(n))
	case opMerge:
		return r.merge(n)
	case opMap, opFilter:
		return r.transform(n)
	case opReduce:
		return r.reduce(n)
	}
	return boolOf(r.quantify(n))
}

// isIn looks for a text in a text, or for a value in a list.
func (r *run) isIn(n *node) bool {
	needle := r.eval(&n.args[0])
	if n.set != nil {
		return n.set.has(needle)
	}
	hay := r.arg(n, 1)
	switch hay.kind {
	case isText:
		if needle.kind == isNumber {
			text, _ := needle.appendText(nil)
			needle = textOf(string(text))
		}
		return needle.kind == isText && r.spendText(n, len(hay.text)) && strings.Contains(hay.text, needle.text)
	case isList:
		if !r.spend(n, hay.len()/8) {
			return false
		}
		for i := range hay.len() {
			if found(needle, hay.at(i)) {
				return true
			}
		}
	}
	return false
}

// found compares strictly, but a number also equals its text, and a list of two in the list is a
// range that includes both, as in the Go engine.
func found(needle, element value) bool {
	switch {
	case element.kind == isList:
		return inRange(needle, element)
	case element.kind != needle.kind:
		f, ok := parseNumber(element.text)
		return needle.kind == isNumber && element.kind == isText && ok && f == needle.number
	case element.kind == isObject:
		return false
	}
	return element.number == needle.number && element.text == needle.text
}

func inRange(needle, bounds value) bool {
	if bounds.len() < 2 || needle.kind != isNumber && needle.kind != isText {
		return false
	}
	f := needle.comparable()
	return f >= bounds.at(0).comparable() && f <= bounds.at(1).comparable()
}

// set is a constant list, prepared: a few elements are looked through, more are indexed.
type set struct {
	few     []value
	texts   map[string]struct{}
	numbers map[float64]struct{}
}

// indexFrom is the length of a list from which on an index beats looking through it.
const indexFrom = 9

// newSet gives nil for what is no list.
func newSet(list value) *set {
	if list.kind != isList {
		return nil
	}
	s := &set{}
	if list.len() >= indexFrom {
		s.texts, s.numbers = map[string]struct{}{}, map[float64]struct{}{}
	}
	for i := range list.len() {
		s.add(list.at(i))
	}
	return s
}

// add indexes texts and numbers; null, booleans and ranges are always looked through.
func (s *set) add(element value) {
	switch {
	case element.kind == isObject: // equals nothing
	case s.texts != nil && element.kind == isText:
		s.texts[element.text] = struct{}{}
		if f, ok := parseNumber(element.text); ok {
			s.numbers[f] = struct{}{}
		}
	case s.texts != nil && element.kind == isNumber:
		s.numbers[element.number] = struct{}{}
	default:
		s.few = append(s.few, element)
	}
}

func (s *set) has(needle value) (ok bool) {
	switch needle.kind {
	case isText:
		_, ok = s.texts[needle.text]
	case isNumber:
		_, ok = s.numbers[needle.number]
	}
	for i := 0; i < len(s.few) && !ok; i++ {
		if few := &s.few[i]; few.kind == isText && needle.kind == isText {
			ok = few.text == needle.text
		} else {
			ok = found(needle, *few)
		}
	}
	return ok
}

// merge makes one list of all arguments and of the elements of those that are lists.
func (r *run) merge(n *node) value {
	merged := []any{}
	for i := range n.args {
		v := r.eval(&n.args[i])
		if v.kind != isList {
			merged = append(merged, v.box())
			continue
		}
		if !r.spend(n, v.len()) {
			return value{}
		}
		for i := range v.len() {
			merged = append(merged, v.at(i).box())
		}
	}
	return listOf(merged)
}

// within evaluates the body of an iteration for each element until visit stops it.
func (r *run) within(n *node, list value, s scope, visit func(element, result value) bool) {
	outer := *r
	r.scope = s
	for i := range list.len() {
		if r.err != nil {
			break
		}
		r.current = list.at(i)
		if !visit(r.current, r.eval(&n.args[1])) {
			break
		}
	}
	r.scope, r.current, r.accumulator = outer.scope, outer.current, outer.accumulator
}

// subject gives the list that is gone through; null counts as none.
func (r *run) subject(n *node) value {
	v := r.arg(n, 0)
	if v.kind != isList && v.kind != isNull {
		r.fail(n, "goes through %s; it must be a list", v.kind)
	}
	return v
}

func (r *run) transform(n *node) value {
	made := []any{}
	if len(n.args) < 2 {
		return listOf(made)
	}
	r.within(n, r.subject(n), inElement, func(element, result value) bool {
		if n.op == opMap {
			made = append(made, result.box())
		} else if result.truthy() {
			made = append(made, element.box())
		}
		return true
	})
	return listOf(made)
}

// quantify is all (false for an empty list), some and none.
func (r *run) quantify(n *node) bool {
	list := r.subject(n)
	stopped := false
	r.within(n, list, inElement, func(_, result value) bool {
		stopped = result.truthy() == (n.op != opAll)
		return !stopped
	})
	switch n.op {
	case opSome:
		return stopped
	case opNone:
		return !stopped
	}
	return !stopped && list.len() > 0
}

// reduce keeps the type that the accumulator begins with, if that is a boolean, number or text,
// and passes null elements over; without a list it is 0: all as in the Go engine.
func (r *run) reduce(n *node) value {
	if len(n.args) < 3 {
		return numberOf(0)
	}
	list, accumulator := r.subject(n), r.eval(&n.args[2])
	if list.kind == isNull {
		return numberOf(0)
	}
	begun := accumulator.kind
	outer := *r
	r.scope = inFold
	for i := 0; i < list.len() && r.err == nil; i++ {
		if r.current = list.at(i); r.current.kind != isNull {
			r.accumulator = accumulator
			accumulator = r.coerce(n, begun, r.eval(&n.args[1]))
		}
	}
	r.scope, r.current, r.accumulator = outer.scope, outer.current, outer.accumulator
	return accumulator
}

func (r *run) coerce(n *node, to kind, v value) value {
	switch to {
	case isBool:
		return boolOf(v.truthy())
	case isNumber:
		return numberOf(r.toNumber(n, v))
	case isText:
		if v.kind == isText {
			return v
		}
		text, ok := v.appendText(nil)
		if !ok {
			return r.fail(n, "the accumulator is %s, which has no text", v.kind)
		}
		return textOf(string(text))
	}
	return v
}
