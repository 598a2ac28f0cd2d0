package flag

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/seatrial/seatrial/internal/core/semver"
)

// operand says which values an operator takes.
type operand struct {
	min, max int
	check    func(text string) error // of texts; nil: not of texts
	number   bool
	boolean  bool
}

var (
	anyScalar  = operand{min: 1, max: MaxValues, check: func(string) error { return nil }, number: true, boolean: true}
	oneScalar  = operand{min: 1, max: 1, check: anyScalar.check, number: true, boolean: true}
	someTexts  = operand{min: 1, max: MaxValues, check: checkFound}
	oneNumber  = operand{min: 1, max: 1, number: true}
	oneInstant = operand{min: 1, max: 1, check: checkInstant}
	oneVersion = operand{min: 1, max: 1, check: checkVersion}
)

var operands = map[Op]operand{
	OpIn:         anyScalar,
	OpEquals:     oneScalar,
	OpContains:   someTexts,
	OpStartsWith: someTexts,
	OpEndsWith:   someTexts,
	OpMatches:    {min: 1, max: MaxPatterns, check: checkPattern},
	OpInCIDR:     {min: 1, max: MaxValues, check: checkNetwork},
	OpLess:       oneNumber,
	OpLessEq:     oneNumber,
	OpGreater:    oneNumber,
	OpGreaterEq:  oneNumber,
	OpBefore:     oneInstant,
	OpAfter:      oneInstant,
	OpExists:     {},

	OpVersionEquals:    oneVersion,
	OpVersionNotEquals: oneVersion,
	OpVersionLess:      oneVersion,
	OpVersionLessEq:    oneVersion,
	OpVersionGreater:   oneVersion,
	OpVersionGreaterEq: oneVersion,
	OpVersionMinor:     oneVersion,
	OpVersionMajor:     oneVersion,
}

func (want *operand) checkValue(op Op, raw json.RawMessage) error {
	value, err := DecodeOperand(raw)
	if err != nil {
		return err
	}
	switch value := value.(type) {
	case string:
		if want.check == nil {
			return fmt.Errorf("operator %s compares numbers; write a number", op)
		}
		return want.check(value)
	case float64:
		if !want.number {
			return fmt.Errorf("operator %s compares texts; write a string", op)
		}
	case bool:
		if !want.boolean {
			return fmt.Errorf("operator %s does not compare booleans; use %s for that", op, OpEquals)
		}
	}
	return nil
}

func checkFound(text string) error {
	if text == "" {
		return fmt.Errorf("is empty, which would be found in every string; use %s for that", OpExists)
	}
	return nil
}

func checkInstant(text string) error {
	if _, ok := ParseInstant(text); !ok {
		return fmt.Errorf("%.40q is not an instant; write it as 2026-12-31T23:59:59Z", text)
	}
	return nil
}

func checkVersion(text string) error {
	if _, ok := semver.Parse(text); !ok {
		return fmt.Errorf("%.40q is not a semantic version; write it as 1.2.3", text)
	}
	return nil
}

// checkPattern refuses, besides what is no pattern, patterns whose repetitions make them so large
// that matching would take long.
func checkPattern(text string) error {
	if len(text) > MaxPattern {
		return fmt.Errorf("has %d bytes; at most %d are allowed", len(text), MaxPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return fmt.Errorf("is not a regular expression in RE2 syntax: %v; correct it", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > MaxProgram {
		return fmt.Errorf("takes more than %d steps; repeat fewer times", MaxProgram)
	}
	if _, err := regexp.Compile(text); err != nil {
		return fmt.Errorf("is not a regular expression in RE2 syntax: %v; correct it", err)
	}
	return nil
}

func checkNetwork(text string) error {
	if _, ok := ParseNetwork(text); !ok {
		return fmt.Errorf("%.60q is not a network; write it as 10.0.0.0/8, 2001:db8::/32 or a plain address", text)
	}
	return nil
}

// ParseNetwork reads an IP network such as 10.0.0.0/8, or an address as the network that has only
// it. Bits behind the prefix are dropped. False if it is neither, or has a zone, or is an IPv4
// address inside IPv6: addresses are compared in their plain form.
func ParseNetwork(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" || address.Is4In6() {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(address, address.BitLen()), true
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return network.Masked(), true
}
