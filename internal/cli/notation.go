package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// This file reads and writes the short notation of conditions and rules:
//
//	country in SE,NO and not segment internal-users
//	beta: segment beta-testers => on
//	everybody => on:20%,off:80%
//
// Clauses are joined by "and". What does not fit it (any, nesting) is written as JSON or YAML.

// wordOperators and signOperators are the operators of a clause; "=" is short for "in" with one value.
// The values of textOperators are texts, also where they look like numbers.
var (
	wordOperators = append([]flag.Op{flag.OpIn, flag.OpEquals, flag.OpExists}, textOperators...)
	signOperators = []flag.Op{flag.OpLessEq, flag.OpGreaterEq, flag.OpLess, flag.OpGreater, "="}
	textOperators = []flag.Op{flag.OpContains, flag.OpStartsWith, flag.OpEndsWith, flag.OpMatches, flag.OpBefore, flag.OpAfter, flag.OpInCIDR,
		flag.OpVersionEquals, flag.OpVersionNotEquals, flag.OpVersionLess, flag.OpVersionLessEq, flag.OpVersionGreater,
		flag.OpVersionGreaterEq, flag.OpVersionMinor, flag.OpVersionMajor}
)

// parseRule reads "[NAME:] CONDITION => VARIANT" or "... => VARIANT:20%,VARIANT:80%".
func parseRule(text string) (flag.Rule, error) {
	fail := func(err error) (flag.Rule, error) { return flag.Rule{}, fmt.Errorf("rule %q: %w", text, err) }
	condition, serves, ok := strings.Cut(text, "=>")
	if !ok {
		return fail(fmt.Errorf("write it as \"CONDITION => VARIANT\", such as \"country in SE,NO => on\""))
	}
	var rule flag.Rule
	if name, rest, ok := strings.Cut(condition, ":"); ok && flag.CheckKey(name) == nil {
		rule.Name, condition = name, rest
	}
	var err error
	if rule.When, err = parseCondition(condition); err != nil {
		return fail(err)
	}
	serves = strings.TrimSpace(serves)
	if !strings.Contains(serves, ":") {
		rule.Serve = serves
		return rule, nil
	}
	if rule.Split, err = parseSplit(serves); err != nil {
		return fail(err)
	}
	return rule, nil
}

func parseSplit(text string) (*flag.Split, error) {
	split := &flag.Split{}
	for _, part := range strings.Split(text, ",") {
		variant, share, _ := strings.Cut(strings.TrimSpace(part), ":")
		weight, err := parseShare(share)
		if err != nil {
			return nil, fmt.Errorf("%w; write the split as on:20%%,off:80%%", err)
		}
		split.Weights = append(split.Weights, flag.Share{Variant: variant, Weight: weight})
	}
	return split, nil
}

// parseCondition reads clauses joined by "and"; "everybody" and the empty text give nil.
func parseCondition(text string) (*flag.Condition, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "everybody" {
		return nil, nil
	}
	var clauses []flag.Condition
	for _, part := range splitOutside(text, " and ") {
		clause, err := parseClause(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		clauses = append(clauses, clause)
	}
	if len(clauses) == 1 {
		return &clauses[0], nil
	}
	return &flag.Condition{All: clauses}, nil
}

func parseClause(text string) (flag.Condition, error) {
	if rest, ok := strings.CutPrefix(text, "not "); ok {
		inner, err := parseClause(strings.TrimSpace(rest))
		return flag.Condition{Not: &inner}, err
	}
	if key, ok := strings.CutPrefix(text, "segment "); ok {
		return flag.Condition{Segment: strings.TrimSpace(key)}, nil
	}
	attribute, op, values, ok := cutOperator(text)
	if !ok {
		return flag.Condition{}, fmt.Errorf("clause %q: write it as \"country in SE,NO\", \"age >= 18\", \"plan exists\", \"app semver>= 1.2\" or \"segment NAME\"", text)
	}
	if op == "=" {
		op = flag.OpIn
	}
	c := flag.Condition{Attribute: attribute, Op: op}
	if op == flag.OpExists {
		return c, nil
	}
	for _, v := range splitOutside(values, ",") {
		c.Values = append(c.Values, operandOf(op, strings.TrimSpace(v)))
	}
	return c, nil
}

// cutOperator finds the operator of a clause: a word between spaces, or a sign.
func cutOperator(text string) (attribute string, op flag.Op, values string, ok bool) {
	name, rest, found := strings.Cut(text, " ")
	if found {
		word, values, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if slices.Contains(wordOperators, flag.Op(word)) {
			return name, flag.Op(word), values, true
		}
	}
	for _, op := range signOperators {
		if before, after, ok := strings.Cut(text, string(op)); ok && !strings.ContainsAny(strings.TrimSpace(before), " \"<>=") {
			return strings.TrimSpace(before), op, strings.TrimSpace(after), true
		}
	}
	return "", "", "", false
}

// operandOf reads a value as the operator takes it.
func operandOf(op flag.Op, text string) json.RawMessage {
	if strings.HasPrefix(text, `"`) || !slices.Contains(textOperators, op) {
		return parseOperand(text)
	}
	quoted, _ := json.Marshal(text)
	return quoted
}

// parseOperand gives a number, a boolean or a quoted string as it stands; any other text is a
// string.
func parseOperand(text string) json.RawMessage {
	if value, err := flag.DecodeOperand(json.RawMessage(text)); err == nil && value != nil {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text)
	return quoted
}

// splitOutside splits text at sep, but not within double quotes.
func splitOutside(text, sep string) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(text[i:], sep):
			parts = append(parts, text[start:i])
			start = i + len(sep)
			i = start - 1
		}
	}
	return append(parts, text[start:])
}

// showCondition writes a condition in the notation as far as it goes; "any" and nesting get
// brackets, which parseCondition does not read.
func showCondition(c *flag.Condition) string {
	switch {
	case c == nil:
		return "everybody"
	case len(c.All) > 0:
		return showConditions(c.All, " and ")
	case len(c.Any) > 0:
		return showConditions(c.Any, " or ")
	case c.Not != nil:
		return "not " + bracketed(*c.Not)
	case c.Segment != "":
		return "segment " + c.Segment
	case c.Op == flag.OpExists:
		return c.Attribute + " exists"
	}
	values := make([]string, len(c.Values))
	for i, v := range c.Values {
		values[i] = showOperand(c.Op, v)
	}
	return c.Attribute + " " + string(c.Op) + " " + strings.Join(values, ",")
}

func showConditions(list []flag.Condition, joint string) string {
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = bracketed(c)
	}
	return strings.Join(parts, joint)
}

func bracketed(c flag.Condition) string {
	if len(c.All)+len(c.Any) > 0 {
		return "(" + showCondition(&c) + ")"
	}
	return showCondition(&c)
}

// showOperand leaves the quotes off where operandOf would put them back.
func showOperand(op flag.Op, raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	plain := !strings.ContainsAny(s, "\",=<>") && !strings.Contains(s, " and ") && strings.TrimSpace(s) == s && s != ""
	if again, err := strconv.Unquote(string(operandOf(op, s))); plain && err == nil && again == s {
		return s
	}
	return string(raw)
}

// showRule writes a rule as parseRule reads it.
func showRule(r flag.Rule) string {
	text := showCondition(r.When) + " => "
	if r.Name != "" {
		text = r.Name + ": " + text
	}
	if r.Split == nil {
		return text + r.Serve
	}
	parts := make([]string, len(r.Split.Weights))
	for i, w := range r.Split.Weights {
		parts[i] = w.Variant + ":" + showShare(w.Weight)
	}
	return text + strings.Join(parts, ",")
}
