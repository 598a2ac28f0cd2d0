package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// ldAttribute gives the attribute here: the key of users is the targeting key, references such as
// /address/city are dotted, and other kinds of context stand before their attributes.
func ldAttribute(kind, reference string) string {
	name := reference
	if strings.HasPrefix(reference, "/") {
		name = strings.ReplaceAll(reference[1:], "/", ".")
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	}
	switch {
	case kind != "" && kind != "user":
		return kind + "." + name
	case name == "key":
		return "targetingKey"
	}
	return name
}

func (l *launchDarkly) clauses(at place, from []ldClause) ([]flag.Condition, error) {
	var conditions []flag.Condition
	for i := range from {
		at := at.at("clause", i)
		c, err := l.clause(&from[i])
		if err != nil {
			return nil, at.errorf("%s of %q: %w", from[i].Op, from[i].Attribute, err)
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

// clause reads a clause. A negated one is not met where the attribute is missing.
func (l *launchDarkly) clause(c *ldClause) (flag.Condition, error) {
	if c.Op == "segmentMatch" {
		return l.segmentMatch(c)
	}
	attribute := ldAttribute(c.ContextKind, c.Attribute)
	condition, err := l.comparison(attribute, c)
	if err == nil && c.Negate {
		condition = all(exists(attribute), not(condition))
	}
	return condition, err
}

var (
	ldTexts   = map[string]flag.Op{"contains": flag.OpContains, "startsWith": flag.OpStartsWith, "endsWith": flag.OpEndsWith}
	ldNumbers = map[string]flag.Op{
		"lessThan": flag.OpLess, "lessThanOrEqual": flag.OpLessEq,
		"greaterThan": flag.OpGreater, "greaterThanOrEqual": flag.OpGreaterEq,
	}
	ldVersions = map[string]flag.Op{
		"semVerEqual": flag.OpVersionEquals, "semVerLessThan": flag.OpVersionLess, "semVerGreaterThan": flag.OpVersionGreater,
	}
	ldDates = map[string]flag.Op{"before": flag.OpBefore, "after": flag.OpAfter}
)

func (l *launchDarkly) comparison(attribute string, c *ldClause) (flag.Condition, error) {
	if len(c.Values) == 0 {
		return isIn(attribute, nil), nil
	}
	if op, ok := ldTexts[c.Op]; ok {
		return clause(attribute, op, c.Values...), nil
	}
	if op, ok := ldNumbers[c.Op]; ok {
		return eachOf(attribute, op, c.Values), nil
	}
	if op, ok := ldVersions[c.Op]; ok {
		return eachOf(attribute, op, c.Values), nil
	}
	if op, ok := ldDates[c.Op]; ok {
		values, err := ldInstants(c.Values)
		l.once("instants in contexts are numbers of milliseconds in LaunchDarkly; here numbers are seconds, or send RFC 3339 text")
		return eachOf(attribute, op, values), err
	}
	switch c.Op {
	case "in":
		return isIn(attribute, c.Values), nil
	case "matches":
		var clauses []flag.Condition
		for chunk := range slices.Chunk(c.Values, flag.MaxPatterns) {
			clauses = append(clauses, clause(attribute, flag.OpMatches, chunk...))
		}
		return anyOf(clauses...), nil
	}
	return flag.Condition{}, errors.New("this operator has no counterpart here")
}

// ldInstants turns milliseconds into text.
func ldInstants(values []json.RawMessage) ([]json.RawMessage, error) {
	instants := slices.Clone(values)
	for i, raw := range values {
		var milliseconds int64
		if json.Unmarshal(raw, &milliseconds) == nil {
			if milliseconds < 0 || milliseconds > 253402300799999 {
				return nil, fmt.Errorf("%d is no instant of the years 1970 to 9999", milliseconds)
			}
			instants[i] = text(time.UnixMilli(milliseconds).UTC().Format(time.RFC3339Nano))
		}
	}
	return instants, nil
}

func (l *launchDarkly) segmentMatch(c *ldClause) (flag.Condition, error) {
	var groups []flag.Condition
	for _, raw := range c.Values {
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			return flag.Condition{}, errors.New("a segment is named by a string")
		}
		if err := l.broken[name]; err != nil {
			return flag.Condition{}, err
		}
		if !l.known[name] {
			return flag.Condition{}, fmt.Errorf("segment %q is not in the file; add the segments of the environment under \"segments\"", name)
		}
		groups = append(groups, flag.Condition{Segment: l.segment(name)})
	}
	if len(groups) == 0 {
		return isIn("targetingKey", nil), nil
	}
	if c.Negate {
		return not(anyOf(groups...)), nil
	}
	return anyOf(groups...), nil
}

func (l *launchDarkly) addLDSegment(from *ldSegment) {
	l.known[from.Key] = true
	s, err := l.readSegment(from)
	if err != nil {
		l.broken[from.Key] = fmt.Errorf("segment %q: %w", from.Key, err)
		l.note("segment "+from.Key, Skipped, "%v", err)
		return
	}
	l.addSegment(from.Key, s)
}

// readSegment reads a segment: who is included is in, who is excluded is not, and the rules decide
// on everybody else.
func (l *launchDarkly) readSegment(from *ldSegment) (flag.Segment, error) {
	s := flag.Segment{Description: from.Description, Members: distinct(from.Included)}
	var included, excluded, rules []flag.Condition
	if from.Unbounded {
		return s, errors.New("it is a big segment, whose members are not in the file; upload them as a member list")
	}
	for _, target := range from.IncludedContexts {
		included = append(included, isIn(ldAttribute(target.ContextKind, "key"), texts(target.Values)))
	}
	for _, target := range append(from.ExcludedContexts, ldTarget{Values: from.Excluded}) {
		if len(target.Values) > 0 {
			excluded = append(excluded, isIn(ldAttribute(target.ContextKind, "key"), texts(target.Values)))
		}
	}
	for i, rule := range from.Rules {
		at := place("").at("rule", i)
		if rule.Weight != nil && *rule.Weight < flag.TotalWeight {
			return s, at.errorf("it takes a percentage in, which segments here cannot")
		}
		if slices.ContainsFunc(rule.Clauses, func(c ldClause) bool { return c.Op == "segmentMatch" }) {
			return s, at.errorf("it names another segment, which segments here cannot")
		}
		conditions, err := l.clauses(at, rule.Clauses)
		if err != nil {
			return s, err
		}
		if len(conditions) > 0 {
			rules = append(rules, all(conditions...))
		}
	}
	if len(rules) > 0 {
		match := anyOf(rules...)
		if len(excluded) > 0 {
			match = all(not(anyOf(excluded...)), match)
		}
		included = append(included, match)
	}
	if len(included) > 0 {
		c := anyOf(included...)
		s.When = &c
	}
	return s, nil
}

// distinct gives the texts once each, without empty ones.
func distinct(from []string) []string {
	seen := map[string]bool{"": true}
	var kept []string
	for _, s := range from {
		if !seen[s] {
			seen[s], kept = true, append(kept, s)
		}
	}
	return kept
}
