package targeting

import "github.com/seatrial/seatrial/internal/core/bucket"

// opcode is what a node does.
type opcode uint8

const (
	opConst    opcode = iota // gives value
	opList                   // gives a list of the arguments' values
	opSpread                 // runs another operator over the list that the argument gives
	opRef                    // runs a shared node
	opVar                    // looks path up; the argument, if any, is the default
	opVarNamed               // looks up what the arguments say
	opMissing
	opMissingSome

	opIf
	opAnd
	opOr
	opNot
	opTruthy

	opEqual
	opNotEqual
	opSame
	opNotSame
	opLess
	opLessEq
	opGreater
	opGreaterEq

	opAdd
	opSubtract
	opMultiply
	opDivide
	opModulo
	opMin
	opMax

	opCat
	opSubstr
	opStartsWith
	opEndsWith
	opSemVer

	opIn
	opMerge
	opMap
	opFilter
	opReduce
	opAll
	opSome
	opNone

	opFractional
)

// operators are all that a rule can name, but for var, which depends on the scope.
var operators = map[string]opcode{
	"missing": opMissing, "missing_some": opMissingSome,
	"if": opIf, "?:": opIf, "and": opAnd, "or": opOr, "!": opNot, "!!": opTruthy,
	"==": opEqual, "!=": opNotEqual, "===": opSame, "!==": opNotSame,
	"<": opLess, "<=": opLessEq, ">": opGreater, ">=": opGreaterEq,
	"+": opAdd, "-": opSubtract, "*": opMultiply, "/": opDivide, "%": opModulo, "min": opMin, "max": opMax,
	"cat": opCat, "substr": opSubstr, "in": opIn, "merge": opMerge,
	"map": opMap, "filter": opFilter, "reduce": opReduce, "all": opAll, "some": opSome, "none": opNone,
	"starts_with": opStartsWith, "ends_with": opEndsWith, "sem_ver": opSemVer, "fractional": opFractional,
}

// fewest arguments without which an operator cannot be evaluated; the others cope with none.
var fewest = map[opcode]int{opIn: 1, opModulo: 2, opSubstr: 2, opMissingSome: 2, opAll: 2, opSome: 2, opNone: 2}

// lazy operators evaluate their arguments one by one; a single one is never a list of them.
func (op opcode) lazy() bool {
	switch op {
	case opIf, opAnd, opOr, opMap, opFilter, opReduce, opAll, opSome, opNone:
		return true
	}
	return false
}

// iterates tells whether the second argument is evaluated for each element of the first.
func (op opcode) iterates() bool { return op >= opMap && op <= opNone }

// node is one operator or value of a rule.
type node struct {
	op    opcode
	inner opcode // of opSpread: the operator
	args  []node
	at    string // JSON pointer

	value  value    // of opConst
	path   []string // of opVar
	target *node    // of opRef
	set    *set     // of opIn over a long constant list
	shares *shares  // of opFractional with constant weights
	prefix *prefix  // of opCat that begins with constants
}

// prefix is the constant beginning of a cat, hashed.
type prefix struct {
	seed bucket.Seed
	args int // that it stands for
}
