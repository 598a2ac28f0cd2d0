package eval

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// Explanation tells a person how an evaluation came about.
type Explanation struct {
	Flag   string
	Result Result
	// Steps are what was looked at, in order; the last one decided. Later rules and trials
	// were not looked at.
	Steps []ExplainStep
}

// ExplainStep is one part of a flag that was looked at.
type ExplainStep struct {
	Part    string `json:"part"`           // "flag", "rule", "trial" or "default"
	Name    string `json:"name,omitempty"` // of the rule or trial; an unnamed rule has its number
	Matched bool   `json:"matched"`        // this part decided
	// Bucket is the unit's place in [0, flag.TotalWeight), nil where none was computed.
	Bucket *int   `json:"bucket,omitempty"`
	Role   string `json:"role,omitempty"` // in a trial's audience: treatment, control or rest
	Detail string `json:"detail"`         // one sentence
}

// String gives "none", "treatment" or "control".
func (r Role) String() string {
	switch r {
	case RoleTreatment:
		return "treatment"
	case RoleControl:
		return "control"
	}
	return "none"
}

// Explain evaluates and says why, part by part. The result is that of [Flag.Evaluate]. Values of
// attributes are shown, shortened; so is the targeting key. It allocates.
func (f *Flag) Explain(c *Context) Explanation {
	e := Explanation{Flag: f.Key(), Result: f.Evaluate(c)}
	if c == nil {
		c = &nobody
	}
	switch {
	case f == nil:
		e.decided("flag", "", "there is no such flag: the code default holds")
		return e
	case !f.enabled:
		e.decided("flag", "", "the flag is switched off: the code default holds")
		return e
	}
	for i := range f.rules {
		if e.rule(f, i, c) {
			return e
		}
	}
	for i := range f.trials {
		if e.trial(f, &f.trials[i], c) {
			return e
		}
	}
	if f.fallback.Variant == "" {
		e.decided("default", "", "nothing else applied and there is no default variant: the code default holds")
	} else {
		e.decided("default", f.fallback.Variant, "nothing else applied: the default variant holds")
	}
	return e
}

func (e *Explanation) decided(part, name, detail string) {
	e.Steps = append(e.Steps, ExplainStep{Part: part, Name: name, Matched: true, Detail: detail})
}

// rule explains one rule and reports whether it decided.
func (e *Explanation) rule(f *Flag, i int, c *Context) bool {
	r := &f.rules[i]
	step := ExplainStep{Part: "rule", Name: r.name, Detail: r.when.explain(c)}
	if step.Name == "" {
		step.Name = strconv.Itoa(i + 1)
	}
	variant, _ := r.decide(c)
	if r.split != nil && r.when.matches(c) {
		r.split.explain(&step, f, c, variant)
	} else if variant != noVariant {
		step.Detail += ", so the rule serves " + f.variants[variant].Name
	}
	step.Matched = variant != noVariant
	e.Steps = append(e.Steps, step)
	return step.Matched
}

func (s *split) explain(step *ExplainStep, f *Flag, c *Context, variant int) {
	hash, ok := hashUnit(s.seed, c, s.by)
	if !ok {
		step.Detail = fmt.Sprintf("%s; the split passes by, as it needs %s", step.Detail, unitName(s.by))
		return
	}
	place := int(bucket.Of(hash, flag.TotalWeight))
	step.Bucket = &place
	if variant == noVariant {
		step.Detail = fmt.Sprintf("%s; bucket %d of %d was left free by the split", step.Detail, place, flag.TotalWeight)
		return
	}
	step.Detail = fmt.Sprintf("%s; bucket %d of %d belongs to %s", step.Detail, place, flag.TotalWeight, f.variants[variant].Name)
}

func unitName(by string) string {
	if by == "" || by == targetingKey {
		return "a targeting key"
	}
	return fmt.Sprintf("a text or an integer in attribute %q", by)
}

// trial explains one trial and reports whether it decided.
func (e *Explanation) trial(f *Flag, t *trial, c *Context) bool {
	step := ExplainStep{Part: "trial", Name: t.ref.Trial}
	variant, role := t.assign(c)
	step.Matched = role != RoleNone
	switch {
	case c.TargetingKey == "":
		step.Detail = "not enrolled, as the context has no targeting key"
	case !t.audience.matches(c):
		step.Detail = "outside the audience: " + t.audience.explain(c)
	default:
		t.explain(&step, f, c, variant, role)
	}
	e.Steps = append(e.Steps, step)
	return step.Matched
}

func (t *trial) explain(step *ExplainStep, f *Flag, c *Context, variant int, role Role) {
	place := int(bucket.Of(t.seed.Sum(c.TargetingKey), flag.TotalWeight))
	treatment, control := t.shares(c)
	step.Bucket, step.Role = &place, "rest"
	serves := "nothing"
	if role != RoleNone {
		step.Role, serves = role.String(), f.variants[variant].Name
	}
	step.Detail = fmt.Sprintf("bucket %d of %d is in the %s, which gets %s (treatment below %d, control from %d on)",
		place, flag.TotalWeight, step.Role, serves, treatment, flag.TotalWeight-control)
}

// explain states the facts that made the condition match or not. The facts read the same under
// a negation.
func (n *condition) explain(c *Context) string {
	if n == nil {
		return "holds for everybody"
	}
	switch n.form {
	case formAll, formAny:
		return n.explainChildren(c)
	case formNot:
		return n.children[0].explain(c)
	case formSegment:
		return fmt.Sprintf("%s is %sin segment %q", shown(c.TargetingKey), negated(n.segment.contains(c)), n.segment.key)
	}
	return n.explainClause(c)
}

// explainChildren tells of the first child that decided, or of all (at most three) if it took
// all of them.
func (n *condition) explainChildren(c *Context) string {
	decisive := n.form == formAny
	var facts []string
	for i := range n.children {
		fact := n.children[i].explain(c)
		if n.children[i].matches(c) == decisive {
			return fact
		}
		facts = append(facts, fact)
	}
	if len(facts) > 3 {
		facts = append(facts[:3], fmt.Sprintf("and so on (%d conditions)", len(n.children)))
	}
	return strings.Join(facts, "; ")
}

func (n *condition) explainClause(c *Context) string {
	name, value := fmt.Sprintf("attribute %q", n.attribute), c.Attributes[n.attribute]
	if n.attribute == targetingKey {
		name, value = "the targeting key", any(c.TargetingKey)
		if c.TargetingKey == "" {
			value = nil
		}
	}
	matched := n.matches(c)
	switch {
	case value == nil:
		return name + " is missing"
	case n.op == flag.OpExists:
		return name + map[bool]string{true: " is there", false: " is of a kind that rules cannot use"}[matched]
	case n.op == flag.OpIn:
		return fmt.Sprintf("%s is %s, %s%s", name, shown(value), negated(matched), n.operandText("one of "))
	}
	return fmt.Sprintf("%s is %s, which %s %s", name, shown(value), map[bool]string{
		true: "meets", false: "does not meet"}[matched], string(n.op)+" "+n.operandText("any of "))
}

func negated(matched bool) string {
	if matched {
		return ""
	}
	return "not "
}

// operandText shows the clause's values, at most three.
func (n *condition) operandText(several string) string {
	var all []string
	for _, text := range n.texts[:min(len(n.texts), 4)] {
		all = append(all, shown(text))
	}
	for _, number := range n.numbers[:min(len(n.numbers), 4)] {
		all = append(all, shown(number))
	}
	for _, truth := range []bool{true, false} {
		if truth && n.yes || !truth && n.no {
			all = append(all, shown(truth))
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	if len(all) > 3 {
		all = append(all[:3], "…")
	}
	return several + strings.Join(all, ", ")
}

// maxShown bounds, in bytes, what is shown of a value.
const maxShown = 64

// shown gives a value of a context for people, shortened. Only built-in types are formatted, so
// no method of a caller's type is run.
func shown(value any) string {
	switch value := value.(type) {
	case string:
		return strconv.Quote(value[:min(len(value), maxShown)]) + strings.Repeat("…", btoi(len(value) > maxShown))
	case bool:
		return strconv.FormatBool(value)
	case []string:
		return shownList(len(value), func(i int) any { return value[i] })
	case []any:
		return shownList(len(value), func(i int) any { return value[i] })
	}
	if digits, ok := appendInteger(nil, value); ok {
		return string(digits)
	}
	if f, ok := toFloat(value); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return "of a kind that rules cannot use"
}

func shownList(n int, at func(int) any) string {
	var parts []string
	for i := range min(n, 3) {
		switch item := at(i).(type) {
		case []any, []string: // lists do not nest
			parts = append(parts, "(list)")
		default:
			parts = append(parts, shown(item))
		}
	}
	if n > 3 {
		parts = append(parts, "…")
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
