package eval

import (
	"fmt"
	"slices"
	"strconv"

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
	// Part is "flag", "prerequisite", "override", "layer", "rule", "trial", "targeting" (of a flagd
	// definition) or "default".
	Part    string `json:"part"`
	Name    string `json:"name,omitempty"` // of what was looked at, or a variant; an unnamed rule has its number
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
	var u unit
	u.enter(c, f.Key())
	switch {
	case f == nil:
		e.decided("flag", "", "there is no such flag: the code default holds")
	case f.archived:
		e.decided("flag", "", "the flag is archived: the code default holds")
	case !f.enabled:
		e.decided("flag", "", "the flag is switched off: the code default holds")
	case f.definition != nil:
		e.definition(f, &u)
	default:
		e.structured(f, &u)
	}
	return e
}

// structured goes through the parts of a flag in the order of decision.
func (e *Explanation) structured(f *Flag, u *unit) {
	for i := range f.needs {
		if e.prerequisite(f, &f.needs[i], u) {
			return
		}
	}
	if len(f.overrides) > 0 && e.override(f, u) {
		return
	}
	tries := f.gate.admits(u)
	if f.gate != nil && f.triesAnything() {
		e.layer(f.gate, u)
	}
	for i := range f.rules {
		if e.rule(f, i, u, tries) {
			return
		}
	}
	for i := range f.trials {
		if e.trial(f, &f.trials[i], u, tries) {
			return
		}
	}
	e.decided("default", f.fallback.Variant, "nothing else applied: "+f.defaultText())
}

// defaultText says what the default is.
func (f *Flag) defaultText() string {
	if f.standard == noVariant {
		return "there is no default variant, so the code default holds"
	}
	return fmt.Sprintf("the default variant %s holds", f.variants[f.standard].Name)
}

func (e *Explanation) decided(part, name, detail string) {
	e.Steps = append(e.Steps, ExplainStep{Part: part, Name: name, Matched: true, Detail: detail})
}

// prerequisite explains one prerequisite and reports whether it decided, not being met.
func (e *Explanation) prerequisite(f *Flag, p *prerequisite, u *unit) bool {
	step := ExplainStep{Part: "prerequisite", Name: p.flag.key, Matched: !p.met(u)}
	u.flag = p.flag.key
	gives := "no variant"
	if variant := p.flag.decide(u).variant; variant != noVariant {
		gives = p.flag.variants[variant].Name
	}
	u.flag = f.key
	var asked []string
	for _, variant := range p.variants {
		asked = append(asked, p.flag.variants[variant].Name)
	}
	step.Detail = fmt.Sprintf("it gives %s, as asked", gives)
	if step.Matched {
		step.Detail = fmt.Sprintf("it gives %s, not %s, so %s", gives, oneOf("one of ", asked), f.defaultText())
	}
	e.Steps = append(e.Steps, step)
	return step.Matched
}

// override explains the overrides and reports whether one decided.
func (e *Explanation) override(f *Flag, u *unit) bool {
	variant, given := f.overrides[u.key]
	step := ExplainStep{Part: "override", Matched: given && u.key != ""}
	switch {
	case step.Matched:
		step.Detail = fmt.Sprintf("%s has an override to %s", shown(u.key), f.variants[variant].Name)
	case u.key == "":
		step.Detail = "none applies, as the context has no targeting key"
	default:
		step.Detail = shown(u.key) + " has none"
	}
	e.Steps = append(e.Steps, step)
	return step.Matched
}

// triesAnything reports whether the flag has splits or trials, for which a layer matters.
func (f *Flag) triesAnything() bool {
	return len(f.trials) > 0 || slices.ContainsFunc(f.rules, func(r rule) bool { return r.split != nil })
}

// layer explains whom a layer or the global holdout keeps out.
func (e *Explanation) layer(g *gate, u *unit) {
	if u.key == "" {
		e.Steps = append(e.Steps, ExplainStep{Part: "layer", Name: g.name(), Detail: "the context has no targeting key, so splits and trials pass by"})
		return
	}
	if g.global != nil {
		if place := g.global.place(u); place >= g.global.holdout || g.layer == nil {
			e.Steps = append(e.Steps, g.global.explain(place, 0, g.global.holdout))
			return
		}
	}
	e.Steps = append(e.Steps, g.layer.explain(g.layer.place(u), g.from, g.to))
}

// name is that of the layer that has a say first.
func (g *gate) name() string {
	if g.global != nil {
		return g.global.key
	}
	return g.layer.key
}

func (l *layer) explain(place, from, to uint32) ExplainStep {
	at := int(place)
	step := ExplainStep{Part: "layer", Name: l.key, Bucket: &at}
	switch {
	case place >= l.holdout:
		step.Detail = fmt.Sprintf("bucket %d of %d is in the holdout (from %d on), so splits and trials pass by", place, flag.TotalWeight, l.holdout)
	case from <= place && place < to:
		step.Detail = fmt.Sprintf("bucket %d of %d is in the flag's slot from %d to %d", place, flag.TotalWeight, from, to)
	default:
		step.Detail = fmt.Sprintf("bucket %d of %d is outside of the flag's slot from %d to %d, so splits and trials pass by", place, flag.TotalWeight, from, to)
	}
	return step
}

// rule explains one rule and reports whether it decided.
func (e *Explanation) rule(f *Flag, i int, u *unit, tries bool) bool {
	r := &f.rules[i]
	step := ExplainStep{Part: "rule", Name: r.name, Detail: r.when.explain(u)}
	if step.Name == "" {
		step.Name = strconv.Itoa(i + 1)
	}
	switch {
	case !r.when.matches(u):
	case r.split == nil:
		step.Matched = true
		step.Detail += ", so the rule serves " + f.variants[r.serve].Name
	case !tries:
		step.Detail += "; the split passes by, as the layer keeps the unit out"
	default:
		step.Matched = r.split.explain(&step, f, u)
	}
	e.Steps = append(e.Steps, step)
	return step.Matched
}

func (s *split) explain(step *ExplainStep, f *Flag, u *unit) (chosen bool) {
	hash, ok := u.hash(&s.seed, s.by)
	if !ok {
		step.Detail = fmt.Sprintf("%s; the split passes by, as it needs %s", step.Detail, unitName(s.by))
		return false
	}
	place := int(bucket.Of(hash, flag.TotalWeight))
	step.Bucket = &place
	variant := s.choose(u)
	if variant == noVariant {
		step.Detail = fmt.Sprintf("%s; bucket %d of %d was left free by the split", step.Detail, place, flag.TotalWeight)
		return false
	}
	step.Detail = fmt.Sprintf("%s; bucket %d of %d belongs to %s", step.Detail, place, flag.TotalWeight, f.variants[variant].Name)
	return true
}

func unitName(by *path) string {
	if by == nil {
		return "a targeting key"
	}
	return fmt.Sprintf("a text or an integer in attribute %q", by.name)
}

// trial explains one trial and reports whether it decided.
func (e *Explanation) trial(f *Flag, t *trial, u *unit, tries bool) bool {
	step := ExplainStep{Part: "trial", Name: t.ref.Trial}
	switch {
	case u.key == "":
		step.Detail = "not enrolled, as the context has no targeting key"
	case !tries:
		step.Detail = "not enrolled, as the layer keeps the unit out"
	case !t.audience.matches(u):
		step.Detail = "outside the audience: " + t.audience.explain(u)
	default:
		step.Matched = t.explain(&step, f, u)
	}
	e.Steps = append(e.Steps, step)
	return step.Matched
}

func (t *trial) explain(step *ExplainStep, f *Flag, u *unit) (enrolled bool) {
	place := int(bucket.Of(t.seed.Sum(u.key), flag.TotalWeight))
	treatment, control := t.shares(u)
	step.Bucket, step.Role = &place, "rest"
	serves := "nothing"
	variant, role := t.assign(u)
	if role != RoleNone {
		step.Role, serves = role.String(), f.variants[variant].Name
	}
	step.Detail = fmt.Sprintf("bucket %d of %d is in the %s, which gets %s (treatment below %d, control from %d on)",
		place, flag.TotalWeight, step.Role, serves, treatment, flag.TotalWeight-control)
	return role != RoleNone
}

// definition explains what a flagd definition decides.
func (e *Explanation) definition(f *Flag, u *unit) {
	d := f.definition
	switch {
	case !d.Enabled:
		e.decided("flag", "", "the definition's state is DISABLED: the code default holds")
		return
	case d.Targeting == nil:
		e.decided("default", f.fallback.Variant, "the definition has no targeting: "+f.definitionDefault())
		return
	}
	in := u.input()
	gave, err := d.Targeting.Evaluate(&in)
	switch {
	case err != nil:
		e.decided("targeting", "", "targeting failed, so the code default holds: "+err.Error())
	case e.Result.Error != "":
		e.decided("targeting", "", fmt.Sprintf("targeting gave %s, which is no variant, so the code default holds", shown(gave)))
	case e.Result.Reason == ReasonTargetingMatch:
		e.decided("targeting", e.Result.Variant, fmt.Sprintf("targeting gave %s, which is a variant", shown(gave)))
	default:
		e.Steps = append(e.Steps, ExplainStep{Part: "targeting", Detail: "targeting gave null"})
		e.decided("default", e.Result.Variant, f.definitionDefault())
	}
}

func (f *Flag) definitionDefault() string {
	if d := f.definition; d.Default >= 0 {
		return fmt.Sprintf("its default variant %s holds", d.Variants[d.Default].Name)
	}
	return "it has no default variant, so the code default holds"
}
