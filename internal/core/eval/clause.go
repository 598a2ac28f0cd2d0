package eval

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/semver"
)

// manyTexts is from how many values on a clause looks a text up in a map.
const manyTexts = 8

// operands are the values of a clause, decoded for its operator.
type operands struct {
	op       flag.Op
	texts    []string
	set      map[string]struct{} // instead of a walk over many texts, for flag.OpIn
	numbers  []float64
	patterns []*regexp.Regexp
	networks []netip.Prefix
	instant  time.Time
	seconds  float64 // the instant in Unix time
	version  semver.Version
	relation string // of versions
}

// op says how a clause compares.
type op uint8

const (
	opIn op = iota // also flag.OpEquals
	opExists
	opContains
	opStartsWith
	opEndsWith
	opMatches
	opInCIDR
	opLess
	opLessEq
	opGreater
	opGreaterEq
	opBefore
	opAfter
	opVersion
)

var ops = map[flag.Op]op{
	flag.OpIn: opIn, flag.OpEquals: opIn, flag.OpExists: opExists,
	flag.OpContains: opContains, flag.OpStartsWith: opStartsWith, flag.OpEndsWith: opEndsWith,
	flag.OpMatches: opMatches, flag.OpInCIDR: opInCIDR,
	flag.OpLess: opLess, flag.OpLessEq: opLessEq, flag.OpGreater: opGreater, flag.OpGreaterEq: opGreaterEq,
	flag.OpBefore: opBefore, flag.OpAfter: opAfter,
	flag.OpVersionEquals: opVersion, flag.OpVersionNotEquals: opVersion, flag.OpVersionLess: opVersion,
	flag.OpVersionLessEq: opVersion, flag.OpVersionGreater: opVersion, flag.OpVersionGreaterEq: opVersion,
	flag.OpVersionMinor: opVersion, flag.OpVersionMajor: opVersion,
}

func (c *compiler) clause(from *flag.Condition) (condition, error) {
	n := condition{op: ops[from.Op], operands: &operands{op: from.Op}}
	if from.Attribute != targetingKey {
		n.of = c.path(from.Attribute)
	}
	for _, raw := range from.Values {
		value, err := flag.DecodeOperand(raw)
		if err != nil {
			return n, err
		}
		switch value := value.(type) {
		case string:
			n.operands.texts = append(n.operands.texts, value)
		case float64:
			n.operands.numbers = append(n.operands.numbers, value)
		case bool:
			n.yes, n.no = n.yes || value, n.no || !value
		}
	}
	if n.op == opIn && n.of != nil && len(from.Values) == 1 && len(n.operands.texts) == 1 {
		n.form, n.text = formText, n.operands.texts[0]
	}
	return n, n.operands.prepare(n.op)
}

// prepare reads the texts as what the operator compares with.
func (o *operands) prepare(op op) error {
	switch op {
	case opIn:
		if len(o.texts) >= manyTexts {
			o.set = make(map[string]struct{}, len(o.texts))
		}
	case opBefore, opAfter:
		o.instant, _ = flag.ParseInstant(o.texts[0])
		o.seconds = float64(o.instant.Unix()) + float64(o.instant.Nanosecond())/1e9
	case opVersion:
		o.version, _ = semver.Parse(o.texts[0])
		o.relation = strings.TrimPrefix(string(o.op), "semver")
	}
	for _, text := range o.texts {
		switch {
		case o.set != nil:
			o.set[text] = struct{}{}
		case op == opInCIDR:
			network, _ := flag.ParseNetwork(text)
			o.networks = append(o.networks, network)
		case op == opMatches:
			pattern, err := regexp.Compile(text)
			if err != nil {
				return err
			}
			o.patterns = append(o.patterns, pattern)
		}
	}
	return nil
}

// matchesOneText is matchesClause for the clause that most rules have.
func (n *condition) matchesOneText(u *unit) bool {
	value := u.value(n.of)
	if text, ok := value.(string); ok {
		return text == n.text
	}
	return n.matchesValue(value)
}

func (n *condition) matchesClause(u *unit) bool {
	if n.of == nil {
		return u.key != "" && n.matchesText(u.key)
	}
	return n.matchesValue(u.value(n.of))
}

// matchesValue applies the clause to a value, or to a list: there any element suffices. Versions are
// not looked for in lists, as flagd's clients cannot do that.
func (n *condition) matchesValue(value any) bool {
	switch n.op {
	case opExists:
		return value != nil
	case opVersion:
		return n.matchesScalar(value)
	}
	switch list := value.(type) {
	case []string:
		return slices.ContainsFunc(list, n.matchesText)
	case []any:
		return slices.ContainsFunc(list, n.matchesScalar)
	}
	return n.matchesScalar(value)
}

func (n *condition) matchesScalar(value any) bool {
	switch value := value.(type) {
	case string:
		return n.matchesText(value)
	case bool:
		return value && n.yes || !value && n.no
	case time.Time:
		return n.matchesInstant(value)
	}
	number, ok := toFloat(value)
	return ok && n.matchesNumber(number)
}

func (n *condition) matchesText(text string) bool {
	o := n.operands
	switch n.op {
	case opIn:
		if o.set != nil {
			_, found := o.set[text]
			return found
		}
		return slices.Contains(o.texts, text)
	case opExists:
		return true
	case opMatches:
		return len(text) <= flag.MaxMatched && slices.ContainsFunc(o.patterns, func(p *regexp.Regexp) bool { return p.MatchString(text) })
	case opInCIDR:
		return o.hasAddress(text)
	case opBefore, opAfter:
		at, ok := flag.ParseInstant(text)
		return ok && n.matchesInstant(at)
	case opVersion:
		version, ok := semver.Parse(text)
		return ok && semver.Matches(o.relation, version, o.version)
	}
	for _, want := range o.texts {
		if hasText(n.op, text, want) {
			return true
		}
	}
	return false
}

func hasText(op op, text, want string) bool {
	switch op {
	case opContains:
		return strings.Contains(text, want)
	case opStartsWith:
		return strings.HasPrefix(text, want)
	case opEndsWith:
		return strings.HasSuffix(text, want)
	}
	return false
}

// hasAddress reports whether the text is an address in one of the networks. An IPv4 address in
// IPv6 counts as IPv4; one with a zone is in none.
func (o *operands) hasAddress(text string) bool {
	const longest = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
	if len(text) > longest || strings.Trim(text, "0123456789abcdefABCDEF:.") != "" {
		return false // before an error about it costs memory
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return false
	}
	address = address.Unmap()
	for _, network := range o.networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

func (n *condition) matchesInstant(at time.Time) bool {
	switch n.op {
	case opBefore:
		return at.Before(n.operands.instant)
	case opAfter:
		return at.After(n.operands.instant)
	}
	return false
}

func (n *condition) matchesNumber(x float64) bool {
	o := n.operands
	switch n.op {
	case opIn:
		return slices.Contains(o.numbers, x)
	case opLess:
		return x < o.numbers[0]
	case opLessEq:
		return x <= o.numbers[0]
	case opGreater:
		return x > o.numbers[0]
	case opGreaterEq:
		return x >= o.numbers[0]
	case opBefore:
		return x < o.seconds
	case opAfter:
		return x > o.seconds
	case opVersion:
		version, ok := numberAsVersion(x)
		return ok && semver.Matches(o.relation, version, o.version)
	}
	return false
}
