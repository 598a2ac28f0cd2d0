package importer

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// attributeOf gives the attribute for a field of Unleash's context.
func attributeOf(field string) string {
	if field == "userId" {
		return "targetingKey"
	}
	return strings.TrimPrefix(field, "properties.")
}

func (j *job) constraints(at place, from []unleashConstraint) ([]flag.Condition, error) {
	var conditions []flag.Condition
	for i := range from {
		at := at.at("constraint", i)
		c, err := j.constraint(&from[i])
		if err != nil {
			return nil, at.errorf("%s of %q: %w", from[i].Operator, from[i].Context, err)
		}
		if from[i].Inverted {
			c = not(c)
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

var (
	unleashTexts    = map[string]flag.Op{"STR_CONTAINS": flag.OpContains, "STR_STARTS_WITH": flag.OpStartsWith, "STR_ENDS_WITH": flag.OpEndsWith}
	unleashNumbers  = map[string]flag.Op{"NUM_EQ": flag.OpEquals, "NUM_GT": flag.OpGreater, "NUM_GTE": flag.OpGreaterEq, "NUM_LT": flag.OpLess, "NUM_LTE": flag.OpLessEq}
	unleashVersions = map[string]flag.Op{
		"SEMVER_EQ": flag.OpVersionEquals, "SEMVER_GT": flag.OpVersionGreater, "SEMVER_LT": flag.OpVersionLess,
		"SEMVER_GTE": flag.OpVersionGreaterEq, "SEMVER_LTE": flag.OpVersionLessEq,
	}
	unleashDates = map[string]flag.Op{"DATE_AFTER": flag.OpAfter, "DATE_BEFORE": flag.OpBefore}
)

func (j *job) constraint(c *unleashConstraint) (flag.Condition, error) {
	attribute, value := attributeOf(c.Context), fmt.Sprint(c.Value)
	if op, ok := unleashTexts[c.Operator]; ok {
		return unleashText(c, attribute, op)
	}
	if op, ok := unleashNumbers[c.Operator]; ok {
		return j.unleashNumber(attribute, op, value)
	}
	if op, ok := unleashVersions[c.Operator]; ok {
		return clause(attribute, op, text(value)), nil
	}
	if op, ok := unleashDates[c.Operator]; ok {
		j.once("dates are compared with the attribute %s, which the context must have; Unleash takes the time of the request", attribute)
		return clause(attribute, op, text(value)), nil
	}
	switch c.Operator {
	case "IN":
		return isIn(attribute, texts(c.Values)), nil
	case "NOT_IN":
		return not(isIn(attribute, texts(c.Values))), nil
	case "REGEX":
		if c.CaseInsensitive {
			value = "(?i)" + value
		}
		return clause(attribute, flag.OpMatches, text(value)), nil
	case "CIDR", "IP_IN_CIDR":
		return inNetworks(attribute, append(c.Values, listed(value)...)), nil
	}
	return flag.Condition{}, fmt.Errorf("this operator has no counterpart here")
}

func unleashText(c *unleashConstraint, attribute string, op flag.Op) (flag.Condition, error) {
	if len(c.Values) == 0 {
		return flag.Condition{}, fmt.Errorf("it compares with nothing")
	}
	if c.CaseInsensitive {
		return anyCase(attribute, op, c.Values), nil
	}
	return clause(attribute, op, texts(c.Values)...), nil
}

// unleashNumber compares numbers. Unleash's contexts hold numbers as text, too.
func (j *job) unleashNumber(attribute string, op flag.Op, value string) (flag.Condition, error) {
	if _, ok := number(value); !ok {
		return flag.Condition{}, fmt.Errorf("%.40q is no number", value)
	}
	j.once("numbers are compared with numbers: where the context has %s as text, send it as a number", attribute)
	return clause(attribute, op, json.RawMessage(value)), nil
}

// once notes what concerns the whole file, once.
func (j *job) once(format string, args ...any) {
	note := Note{"", Lossy, fmt.Sprintf(format, args...)}
	for _, known := range j.result.Notes {
		if known == note {
			return
		}
	}
	j.result.Notes = append(j.result.Notes, note)
}

// inNetworks is the condition that an address is in one of the networks, or is one of the addresses.
func inNetworks(attribute string, all []string) flag.Condition {
	var networks []string
	for _, one := range all {
		if one == "" || one == "<nil>" {
			continue
		}
		if !strings.Contains(one, "/") {
			if strings.Contains(one, ":") {
				one += "/128"
			} else {
				one += "/32"
			}
		}
		networks = append(networks, one)
	}
	if len(networks) == 0 {
		return isIn(attribute, nil)
	}
	return clause(attribute, flag.OpInCIDR, texts(networks)...)
}
