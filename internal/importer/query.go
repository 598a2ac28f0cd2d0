package importer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/semver"
)

// The query language of GO Feature Flag: comparisons of an attribute with a value, such as
// targetingKey eq "a", joined by and and or, which bind alike and from the left; and parentheses, of
// which not may stand in front.

// maxQuery bounds the nesting of a query.
const maxQuery = 12

// token is a piece of a query: a word, a string with its quotes, a list, or a parenthesis.
var token = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[()]|[^\s()"\[]+`)

type queryParser struct {
	tokens []string
	depth  int
}

// parseQuery reads a query.
func parseQuery(query string) (flag.Condition, error) {
	if rest := strings.TrimSpace(token.ReplaceAllString(query, "")); rest != "" {
		return flag.Condition{}, fmt.Errorf("%.40q is no part of a query", rest)
	}
	p := queryParser{tokens: token.FindAllString(query, -1)}
	c, err := p.expression()
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%.40q is too much", p.tokens[0])
	}
	return c, err
}

// next takes a token, "" at the end.
func (p *queryParser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *queryParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *queryParser) expression() (flag.Condition, error) {
	if p.depth++; p.depth > maxQuery {
		return flag.Condition{}, fmt.Errorf("it is nested deeper than %d levels", maxQuery)
	}
	defer func() { p.depth-- }()
	left, err := p.operand()
	for err == nil && (p.peek() == "and" || p.peek() == "or") {
		join := p.next()
		var right flag.Condition
		if right, err = p.operand(); err != nil {
			break
		}
		left = joined(join, left, right)
	}
	return left, err
}

// joined puts chains of one operator on one level.
func joined(join string, left, right flag.Condition) flag.Condition {
	switch {
	case join == "and" && len(left.All) > 0:
		return flag.Condition{All: append(left.All, right)}
	case join == "or" && len(left.Any) > 0:
		return flag.Condition{Any: append(left.Any, right)}
	case join == "and":
		return all(left, right)
	}
	return anyOf(left, right)
}

func (p *queryParser) operand() (flag.Condition, error) {
	negated := p.peek() == "not" || p.peek() == "NOT"
	if negated {
		p.next()
	}
	switch t := p.next(); {
	case t == "(":
		c, err := p.expression()
		if err == nil && p.next() != ")" {
			err = fmt.Errorf("a parenthesis is not closed")
		}
		if negated {
			c = not(c)
		}
		return c, err
	case negated:
		return flag.Condition{}, fmt.Errorf("not stands before parentheses only")
	case t == "" || !unicode.IsLetter([]rune(t)[0]):
		return flag.Condition{}, fmt.Errorf("an attribute is missing before %.40q", t)
	default:
		return p.comparison(t)
	}
}

func (p *queryParser) comparison(attribute string) (flag.Condition, error) {
	if attribute == "key" {
		attribute = "targetingKey"
	}
	op := p.next()
	if op == "pr" {
		return exists(attribute), nil
	}
	name, known := queryOps[strings.ToLower(op)]
	if !known {
		return flag.Condition{}, fmt.Errorf("%.40q is no operator", op)
	}
	value := p.next()
	c, err := queryClause(attribute, name, value)
	if name == "ne" && err == nil && value != "null" {
		c = all(exists(attribute), not(c)) // an attribute that is missing differs from nothing
	}
	return c, err
}

var queryOps = map[string]string{
	"eq": "eq", "==": "eq", "ne": "ne", "!=": "ne", "gt": ">", ">": ">", "lt": "<", "<": "<",
	"ge": ">=", ">=": ">=", "le": "<=", "<=": "<=", "co": "co", "sw": "sw", "ew": "ew", "in": "in",
}

// queryClause reads the value, and gives the comparison with it; "ne" gives the one with "eq".
func queryClause(attribute, op, value string) (flag.Condition, error) {
	raw := json.RawMessage(value)
	_, isNumber := number(value)
	equal := op == "eq" || op == "ne"
	switch {
	case value == "null" && op == "eq":
		return not(exists(attribute)), nil
	case value == "null" && op == "ne":
		return exists(attribute), nil
	case strings.HasPrefix(value, "[") && op == "in":
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return flag.Condition{}, fmt.Errorf("the list %.40q cannot be read", value)
		}
		return isIn(attribute, list), nil
	case (value == "true" || value == "false") && equal, isNumber && equal:
		return clause(attribute, flag.OpEquals, raw), nil
	case isNumber && strings.ContainsAny(op, "<>"):
		return clause(attribute, flag.Op(op), raw), nil
	case strings.HasPrefix(value, `"`) && !strings.ContainsAny(op, "<>") && op != "in":
		return queryText(attribute, op, value[1:len(value)-1])
	}
	if _, isVersion := semver.Parse(value); isVersion && (equal || strings.ContainsAny(op, "<>")) {
		if equal {
			op = "="
		}
		return clause(attribute, flag.Op("semver"+op), text(value)), nil
	}
	return flag.Condition{}, fmt.Errorf("%s cannot be compared with %.40q by %s", attribute, value, op)
}

func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && json.Valid([]byte(s))
}

// queryText compares strings as queries do: whatever their case is.
func queryText(attribute, op, want string) (flag.Condition, error) {
	if want == "" {
		return flag.Condition{}, fmt.Errorf("%s is compared with an empty string", attribute)
	}
	kind := map[string]flag.Op{"eq": flag.OpEquals, "ne": flag.OpEquals, "co": flag.OpContains, "sw": flag.OpStartsWith, "ew": flag.OpEndsWith}[op]
	return anyCase(attribute, kind, []string{want}), nil
}

// anyCase compares strings in whatever case they are: by regular expressions if they have one.
func anyCase(attribute string, op flag.Op, want []string) flag.Condition {
	var plain []json.RawMessage
	var clauses []flag.Condition
	for _, s := range want {
		if strings.ToLower(s) == strings.ToUpper(s) {
			plain = append(plain, text(s))
			continue
		}
		pattern := regexp.QuoteMeta(s)
		if op != flag.OpContains && op != flag.OpEndsWith {
			pattern = "^" + pattern
		}
		if op != flag.OpContains && op != flag.OpStartsWith {
			pattern += "$"
		}
		if n := len(clauses); n == 0 || len(clauses[n-1].Values) == flag.MaxPatterns {
			clauses = append(clauses, clause(attribute, flag.OpMatches))
		}
		last := &clauses[len(clauses)-1]
		last.Values = append(last.Values, text("(?i)"+pattern))
	}
	if op == flag.OpEquals {
		op = flag.OpIn
	}
	for len(plain) > 0 {
		n := min(len(plain), flag.MaxValues)
		clauses, plain = append(clauses, clause(attribute, op, plain[:n]...)), plain[n:]
	}
	return anyOf(clauses...)
}
