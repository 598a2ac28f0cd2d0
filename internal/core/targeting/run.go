package targeting

// run is one evaluation. It stays on the stack: nodes are concrete types and one switch picks the
// operator, so that no call hides from the compiler's escape analysis.
type run struct {
	in   *Input
	left int // steps
	err  *Error

	scope       scope
	current     value // the element, in inElement and inFold
	accumulator value // in inFold
}

func (r *run) fail(n *node, format string, args ...any) value {
	if r.err == nil {
		r.err = problem(n.at, format, args...)
	}
	return value{}
}

// spend takes steps off the budget and reports whether the evaluation goes on.
func (r *run) spend(n *node, steps int) bool {
	if r.err != nil {
		return false
	}
	if r.left -= steps; r.left < 0 {
		r.fail(n, "the evaluation took more than %d steps; shorten the lists of the context", MaxSteps)
		return false
	}
	return true
}

// spendText takes off what it costs to read or write a text.
func (r *run) spendText(n *node, bytes int) bool { return r.spend(n, bytes/64) }

// eval gives a node's value; it is null once the evaluation has failed.
func (r *run) eval(n *node) value {
	if n.op == opConst {
		return n.value
	}
	if !r.spend(n, 1) {
		return value{}
	}
	switch {
	case n.op == opVar:
		if v := r.look(n.path); v.kind != isNull || len(n.args) == 0 {
			return v
		}
		return r.eval(&n.args[0]) // the default
	case n.op <= opMissingSome:
		return r.evalData(n)
	case n.op <= opTruthy:
		return r.evalLogic(n)
	case n.op <= opGreaterEq:
		return boolOf(r.compare(n))
	case n.op <= opMax:
		return r.calculate(n)
	case n.op <= opSemVer:
		return r.evalText(n)
	case n.op <= opNone:
		return r.evalList(n)
	}
	return r.fractional(n)
}

// arg gives an argument's value, null if there is none.
func (r *run) arg(n *node, i int) value {
	if i >= len(n.args) {
		return value{}
	}
	return r.eval(&n.args[i])
}

func (r *run) evalData(n *node) value {
	switch n.op {
	case opRef:
		return r.eval(n.target)
	case opVarNamed:
		return r.named(n)
	case opSpread:
		return r.spread(n)
	case opMissing:
		missing, _ := r.missing(n, n.args)
		return listOf(missing)
	case opMissingSome:
		return r.missingSome(n)
	}
	list := make([]any, len(n.args))
	for i := range n.args {
		list[i] = r.eval(&n.args[i]).box()
	}
	return listOf(list)
}

// spread runs an operator whose arguments are the elements of a list, or else a single value.
func (r *run) spread(n *node) value {
	v := r.eval(&n.args[0])
	if r.err != nil || !r.spend(n, v.len()) {
		return value{}
	}
	list := node{op: n.inner, at: n.at, args: []node{{value: v}}}
	if v.kind == isList {
		list.args = make([]node, v.len())
		for i := range list.args {
			list.args[i].value = v.at(i)
		}
	}
	if len(list.args) < fewest[n.inner] {
		return r.fail(n, "has %d arguments; it needs at least %d", len(list.args), fewest[n.inner])
	}
	return r.eval(&list)
}

// look finds a variable in the scope.
func (r *run) look(path []string) value {
	if len(path) == 0 {
		return r.whole()
	}
	switch r.scope {
	case inElement:
		return walk(r.current, path)
	case inFold:
		switch path[0] {
		case "current":
			return walk(r.current, path[1:])
		case "accumulator":
			return walk(r.accumulator, path[1:])
		}
		return value{}
	}
	switch name := path[0]; {
	case name == "targetingKey" && r.in.TargetingKey != "":
		return walk(textOf(r.in.TargetingKey), path[1:])
	case name == "$flagd":
		return r.properties(path[1:])
	default:
		return walk(valueOf(r.in.Attributes[name]), path[1:])
	}
}

func walk(v value, path []string) value {
	for _, name := range path {
		v = v.member(name)
	}
	return v
}

// properties are what flagd adds to the context.
func (r *run) properties(path []string) value {
	switch {
	case len(path) == 0:
		return value{kind: isObject, ref: map[string]any{"flagKey": r.in.FlagKey, "timestamp": float64(r.in.Time)}}
	case len(path) > 1:
		return value{}
	case path[0] == "flagKey":
		return textOf(r.in.FlagKey)
	case path[0] == "timestamp":
		return numberOf(float64(r.in.Time))
	}
	return value{}
}

// whole is all that is in the scope.
func (r *run) whole() value {
	switch r.scope {
	case inElement:
		return r.current
	case inFold:
		return value{kind: isObject, ref: map[string]any{"current": r.current.box(), "accumulator": r.accumulator.box()}}
	}
	all := make(map[string]any, len(r.in.Attributes)+2)
	for name, attribute := range r.in.Attributes {
		all[name] = attribute
	}
	if r.in.TargetingKey != "" {
		all["targetingKey"] = r.in.TargetingKey
	}
	all["$flagd"] = r.properties(nil).ref
	return value{kind: isObject, ref: all}
}

// named looks up a variable whose name is computed: a text, a number, or a list of name and default.
func (r *run) named(n *node) value {
	name, fallback := r.eval(&n.args[0]), value{}
	switch {
	case name.kind == isList && len(n.args) == 1:
		if name.len() == 2 {
			fallback = name.at(1)
		}
		if name.len() > 0 {
			name = name.at(0)
		} else {
			name = value{}
		}
	case len(n.args) > 1:
		fallback = r.eval(&n.args[1])
	}
	v, ok := r.lookNamed(n, name)
	if !ok {
		return r.fail(n, "the name of a variable is %s; it must be a string", name.kind)
	}
	if v.kind == isNull {
		return fallback
	}
	return v
}

func (r *run) lookNamed(n *node, name value) (value, bool) {
	text, ok := name.appendText(nil)
	if !ok || name.kind == isBool {
		return value{}, false
	}
	if !r.spendText(n, len(text)) {
		return value{}, true
	}
	return r.look(splitPath(string(text))), true
}

// missing lists those names that have no value, and counts the others.
func (r *run) missing(n *node, names []node) (missing []any, found int) {
	missing = []any{}
	for i := range names {
		name := r.eval(&names[i])
		if name.kind == isList && i == 0 {
			for i := range name.len() {
				missing, found = r.isMissing(n, name.at(i), missing, found)
			}
			continue
		}
		missing, found = r.isMissing(n, name, missing, found)
	}
	return missing, found
}

func (r *run) isMissing(n *node, name value, missing []any, found int) ([]any, int) {
	if !r.spend(n, 1) {
		return missing, found
	}
	v, ok := r.lookNamed(n, name)
	if !ok {
		r.fail(n, "the name of a variable is %s; it must be a string", name.kind)
	}
	if v.kind == isNull {
		return append(missing, name.box()), found
	}
	return missing, found + 1
}

// missingSome lists the missing names unless enough of them are there.
func (r *run) missingSome(n *node) value {
	need := r.toNumber(n, r.arg(n, 0))
	missing, found := r.missing(n, n.args[1:2])
	if need > float64(found) {
		return listOf(missing)
	}
	return listOf([]any{})
}
