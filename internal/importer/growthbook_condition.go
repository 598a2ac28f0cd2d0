package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// gbAttribute gives the attribute here: id is the targeting key.
func gbAttribute(name string) string {
	if name == "id" {
		return "targetingKey"
	}
	return name
}

// condition reads a condition, which is like a query of MongoDB; nil is met by everybody.
func (g *growthBook) condition(raw json.RawMessage, depth int) (*flag.Condition, error) {
	var fields map[string]json.RawMessage
	switch {
	case depth > flag.MaxDepth:
		return nil, fmt.Errorf("a condition is nested deeper than %d levels", flag.MaxDepth)
	case json.Unmarshal(raw, &fields) != nil:
		return nil, errors.New("a condition is not an object")
	}
	var conditions []flag.Condition
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		c, err := g.field(name, fields[name], depth)
		if err != nil {
			return nil, err
		}
		if c != nil {
			conditions = append(conditions, *c)
		}
	}
	return when(conditions), nil
}

func (g *growthBook) field(name string, raw json.RawMessage, depth int) (*flag.Condition, error) {
	switch name {
	case "$not":
		c, err := g.condition(raw, depth+1)
		if err != nil || c == nil {
			return c, cmpErr(err, "$not of a condition that everybody meets")
		}
		inner := not(*c)
		return &inner, nil
	case "$and", "$or", "$nor":
		return g.several(name, raw, depth)
	}
	if strings.HasPrefix(name, "$") {
		return nil, fmt.Errorf("%s is not understood", name)
	}
	c, err := g.attribute(gbAttribute(name), raw)
	if err != nil {
		return nil, fmt.Errorf("attribute %q: %w", name, err)
	}
	return &c, nil
}

func cmpErr(err error, otherwise string) error {
	if err != nil {
		return err
	}
	return errors.New(otherwise)
}

func (g *growthBook) several(name string, raw json.RawMessage, depth int) (*flag.Condition, error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, fmt.Errorf("%s has no list", name)
	}
	var conditions []flag.Condition
	for _, one := range list {
		c, err := g.condition(one, depth+1)
		switch {
		case err != nil:
			return nil, err
		case c == nil && name != "$and":
			return nil, fmt.Errorf("%s has a condition that everybody meets", name)
		case c != nil:
			conditions = append(conditions, *c)
		}
	}
	if len(conditions) == 0 {
		return nil, nil
	}
	c := all(conditions...)
	if name != "$and" {
		c = anyOf(conditions...)
	}
	if name == "$nor" {
		c = not(c)
	}
	return &c, nil
}

// attribute reads what is asked of one attribute: a value, or operators.
func (g *growthBook) attribute(attribute string, raw json.RawMessage) (flag.Condition, error) {
	raw = compact(raw)
	var ops map[string]json.RawMessage
	switch {
	case string(raw) == "null":
		return not(exists(attribute)), nil
	case raw[0] == '[':
		return flag.Condition{}, errors.New("it is compared with a list")
	case raw[0] != '{':
		return clause(attribute, flag.OpEquals, raw), nil
	case json.Unmarshal(raw, &ops) != nil || len(ops) == 0:
		return flag.Condition{}, errors.New("it is compared with an object")
	}
	var conditions []flag.Condition
	for _, op := range slices.Sorted(maps.Keys(ops)) {
		c, err := g.operator(attribute, op, compact(ops[op]))
		if err != nil {
			return c, fmt.Errorf("%s: %w", op, err)
		}
		conditions = append(conditions, c)
	}
	return all(conditions...), nil
}

var (
	gbNumbers  = map[string]flag.Op{"$lt": flag.OpLess, "$lte": flag.OpLessEq, "$gt": flag.OpGreater, "$gte": flag.OpGreaterEq}
	gbVersions = map[string]flag.Op{
		"$veq": flag.OpVersionEquals, "$vne": flag.OpVersionNotEquals, "$vgt": flag.OpVersionGreater,
		"$vgte": flag.OpVersionGreaterEq, "$vlt": flag.OpVersionLess, "$vlte": flag.OpVersionLessEq,
	}
	gbLists = []string{"$in", "$nin", "$all", "$ini", "$nini", "$alli"}
)

func (g *growthBook) operator(attribute, op string, raw json.RawMessage) (flag.Condition, error) {
	if number, ok := gbNumbers[op]; ok {
		return clause(attribute, number, raw), nil
	}
	if version, ok := gbVersions[op]; ok {
		return clause(attribute, version, raw), nil
	}
	if slices.Contains(gbLists, op) {
		return gbList(attribute, op, raw)
	}
	switch op {
	case "$eq":
		return g.attribute(attribute, raw)
	case "$ne":
		c, err := g.attribute(attribute, raw)
		return not(c), err
	case "$not":
		if raw[0] != '{' {
			return flag.Condition{}, errors.New("it has no operators")
		}
		c, err := g.attribute(attribute, raw)
		return not(c), err
	case "$exists":
		if string(raw) == "false" {
			return not(exists(attribute)), nil
		}
		return exists(attribute), nil
	case "$regex", "$regexi", "$notRegex", "$notRegexi":
		return gbRegex(attribute, op, raw)
	case "$inGroup", "$notInGroup":
		return g.group(attribute, op, raw)
	case "$elemMatch":
		if raw[0] != '{' || bytes.HasPrefix(raw, []byte(`{"$not`)) || bytes.Contains(raw, []byte(`"$ne"`)) || bytes.Contains(raw, []byte(`"$nin"`)) {
			return flag.Condition{}, errors.New("it asks what elements are not")
		}
		c, err := g.attribute(attribute, raw)
		if err == nil && (len(c.All) > 0 || c.Not != nil) {
			err = errors.New("it asks for several things of one element")
		}
		return c, err
	}
	return flag.Condition{}, errors.New("it has no counterpart here")
}

func gbRegex(attribute, op string, raw json.RawMessage) (flag.Condition, error) {
	var pattern string
	if json.Unmarshal(raw, &pattern) != nil {
		return flag.Condition{}, errors.New("the pattern is no string")
	}
	if strings.HasSuffix(op, "i") {
		pattern = "(?i)" + pattern
	}
	c := clause(attribute, flag.OpMatches, text(pattern))
	if strings.HasPrefix(op, "$not") {
		c = not(c)
	}
	return c, nil
}

// gbList reads the operators of lists; those that end in i take strings in any case.
func gbList(attribute, op string, raw json.RawMessage) (flag.Condition, error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return flag.Condition{}, errors.New("it has no list")
	}
	insensitive := strings.HasSuffix(op, "i")
	match := func(values []json.RawMessage) (flag.Condition, error) {
		if !insensitive {
			return isIn(attribute, values), nil
		}
		var words []string
		for _, v := range values {
			var s string
			if json.Unmarshal(v, &s) != nil {
				return flag.Condition{}, errors.New("it compares strings only")
			}
			words = append(words, s)
		}
		if len(words) == 0 {
			return isIn(attribute, nil), nil
		}
		return anyCase(attribute, flag.OpEquals, words), nil
	}
	if !strings.HasPrefix(op, "$all") {
		c, err := match(list)
		if strings.HasPrefix(op, "$nin") {
			c = not(c)
		}
		return c, err
	}
	if len(list) == 0 {
		return flag.Condition{}, errors.New("it has an empty list")
	}
	var each []flag.Condition
	for _, v := range list {
		c, err := match([]json.RawMessage{v})
		if err != nil {
			return c, err
		}
		each = append(each, c)
	}
	return all(each...), nil
}

// group reads a saved group of values: of ids, it becomes a segment.
func (g *growthBook) group(attribute, op string, raw json.RawMessage) (flag.Condition, error) {
	var name string
	if json.Unmarshal(raw, &name) != nil {
		return flag.Condition{}, errors.New("it names no saved group")
	}
	values, known := g.groups[name]
	if !known {
		return flag.Condition{}, fmt.Errorf("saved group %q is not in the file", name)
	}
	c := isIn(attribute, values)
	if members, ok := idsOf(values); ok && attribute == "targetingKey" && len(members) > 0 {
		if g.segments[name] == "" {
			g.addSegment(name, flag.Segment{Members: members})
		}
		c = flag.Condition{Segment: g.segment(name)}
	}
	if op == "$notInGroup" {
		c = not(c)
	}
	return c, nil
}

// idsOf gives the values as targeting keys.
func idsOf(values []json.RawMessage) ([]string, bool) {
	members := make([]string, len(values))
	for i, raw := range values {
		var s string
		var n json.Number
		if json.Unmarshal(raw, &s) != nil {
			if json.Unmarshal(raw, &n) != nil {
				return nil, false
			}
			s = n.String()
		}
		members[i] = s
	}
	return distinct(members), true
}
