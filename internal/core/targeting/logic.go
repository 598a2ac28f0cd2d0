package targeting

import "math"

func (r *run) evalLogic(n *node) value {
	switch n.op {
	case opIf:
		return r.choose(n)
	case opNot:
		return boolOf(!r.arg(n, 0).truthy())
	case opTruthy:
		return boolOf(r.arg(n, 0).truthy())
	}
	var last value
	for i := range n.args {
		if last = r.eval(&n.args[i]); last.truthy() == (n.op == opOr) {
			break
		}
	}
	return last
}

// choose is if: pairs of condition and consequence, then perhaps an alternative.
func (r *run) choose(n *node) value {
	i := 0
	for ; i+1 < len(n.args); i += 2 {
		if r.eval(&n.args[i]).truthy() {
			return r.eval(&n.args[i+1])
		}
	}
	return r.arg(n, i)
}

// compare evaluates all arguments; with less than two it is false, and != is true.
func (r *run) compare(n *node) bool {
	if len(n.args) < 2 {
		return n.op == opNotEqual || n.op == opNotSame
	}
	a, b := r.eval(&n.args[0]), r.eval(&n.args[1])
	switch n.op {
	case opEqual:
		return equal(a, b)
	case opNotEqual:
		return !equal(a, b)
	case opSame:
		return a.kind == b.kind && equal(a, b)
	case opNotSame:
		return a.kind != b.kind || !equal(a, b)
	}
	if len(n.args) != 3 {
		return ordered(n.op, a, b)
	}
	c := r.eval(&n.args[2]) // between
	return ordered(n.op, a, b) && ordered(n.op, b, c)
}

func ordered(op opcode, a, b value) bool {
	switch op {
	case opLess:
		return less(a, b)
	case opLessEq:
		return less(a, b) || equal(a, b)
	case opGreater:
		return less(b, a)
	}
	return less(b, a) || equal(a, b)
}

// toNumber is the number that arithmetic sees. Text that is no number is 0, as in the Go engine;
// null is 0 and booleans are 0 or 1, as in the JavaScript engine, where the Go engine fails.
func (r *run) toNumber(n *node, v value) float64 {
	switch v.kind {
	case isNull, isBool, isNumber:
		return v.number
	case isText:
		f, _ := parseNumber(v.text)
		return f
	}
	r.fail(n, "an argument is %s; it must be a number", v.kind)
	return 0
}

func (r *run) number(n *node, i int) float64 { return r.toNumber(n, r.arg(n, i)) }

func (r *run) calculate(n *node) value {
	if len(n.args) == 0 {
		return nothing(n.op)
	}
	result := r.number(n, 0)
	switch {
	case n.op == opModulo:
		return numberOf(math.Mod(result, r.number(n, 1)))
	case n.op == opSubtract && len(n.args) == 1:
		return numberOf(-result)
	}
	for i := 1; i < len(n.args); i++ {
		result = combine(n.op, result, r.number(n, i))
	}
	return numberOf(result)
}

// nothing is what an operator makes of no arguments.
func nothing(op opcode) value {
	switch op {
	case opMultiply:
		return numberOf(1)
	case opMin, opMax:
		return value{}
	}
	return numberOf(0)
}

func combine(op opcode, a, b float64) float64 {
	switch op {
	case opAdd:
		return a + b
	case opSubtract:
		return a - b
	case opMultiply:
		return a * b
	case opDivide:
		return a / b
	case opMin:
		if b < a {
			return b
		}
	case opMax:
		if b > a {
			return b
		}
	}
	return a
}
