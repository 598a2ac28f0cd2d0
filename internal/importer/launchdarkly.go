package importer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// ldFlag is a flag as the REST API gives it, with environments, or as SDKs are sent it, without.
type ldFlag struct {
	Key, Name, Description string
	Tags                   []string
	Archived               bool
	Variations             []json.RawMessage
	Environments           map[string]*ldTargeting
	ldTargeting
}

// ldTargeting is what one environment has of a flag.
type ldTargeting struct {
	On             bool
	Archived       bool `json:"archived"`
	Salt           string
	Targets        []ldTarget
	ContextTargets []ldTarget
	Rules          []ldRule
	Fallthrough    *ldServe
	OffVariation   *int
	Prerequisites  []struct {
		Key       string
		Variation int
	}
}

type ldTarget struct {
	ContextKind string
	Values      []string
	Variation   int
}

type ldRule struct {
	Description string
	Clauses     []ldClause
	ldServe
}

type ldServe struct {
	Variation *int
	Rollout   *struct {
		Kind, BucketBy, ContextKind string
		Seed                        *int
		Variations                  []struct {
			Variation int
			Weight    float64
		}
	}
}

type ldClause struct {
	ContextKind, Attribute, Op string
	Values                     []json.RawMessage
	Negate                     bool
}

type ldSegment struct {
	Key, Name, Description             string
	Included, Excluded                 []string
	IncludedContexts, ExcludedContexts []ldTarget
	Rules                              []struct {
		Clauses []ldClause
		Weight  *float64
	}
	Unbounded bool
}

func looksLaunchDarkly(top map[string]json.RawMessage) bool {
	if has(top, "items") || has(top, "variations", "key") {
		return true
	}
	var flags map[string]map[string]json.RawMessage
	if json.Unmarshal(top["flags"], &flags) != nil {
		return has(top, "flagValues")
	}
	for _, f := range flags {
		if !has(f, "variations") {
			return false
		}
	}
	return len(flags) > 0
}

// LaunchDarkly reads flags of LaunchDarkly: a list or a single flag of the REST API, or the flags
// and segments that SDKs are sent. The key of a user is the targeting key here; attributes of other
// kinds of context have the kind's name before theirs: organization.plan.
func LaunchDarkly(data []byte, opt Options) (*Result, error) {
	var top struct {
		Items      json.RawMessage
		Flags      json.RawMessage
		FlagValues map[string]json.RawMessage
		Segments   json.RawMessage
		Variations json.RawMessage
	}
	if err := decode(data, "LaunchDarkly", &top); err != nil {
		return nil, err
	}
	from := cmp.Or(string(top.Items), string(top.Flags))
	if top.Variations != nil {
		document, err := read(data)
		if err != nil {
			return nil, err
		}
		from = "[" + string(document.JSON) + "]"
	}
	flags, err := keyed[ldFlag](json.RawMessage(from), "flag")
	if err != nil {
		return nil, err
	}
	segments, err := keyed[ldSegment](top.Segments, "segment")
	if err != nil {
		return nil, err
	}
	l := launchDarkly{job: newJob(opt), broken: map[string]error{}, known: map[string]bool{}, variations: map[string][]string{}}
	return l.run(flags, segments, top.FlagValues)
}

// keyed reads a list of objects, an object with "items", or an object by key.
func keyed[T any](raw json.RawMessage, what string) ([]T, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var all []T
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &all); err != nil {
			return nil, fmt.Errorf("the %ss cannot be read: %w", what, err)
		}
		return all, nil
	}
	var byKey map[string]json.RawMessage
	if err := json.Unmarshal(raw, &byKey); err != nil {
		return nil, fmt.Errorf("the %ss cannot be read: %w", what, err)
	}
	if items := bytes.TrimSpace(byKey["items"]); len(items) > 0 && items[0] == '[' {
		return keyed[T](items, what)
	}
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		var one T
		if err := json.Unmarshal(byKey[k], &one); err != nil {
			return nil, fmt.Errorf("%s %q cannot be read: %w", what, k, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// launchDarkly is an import from LaunchDarkly.
type launchDarkly struct {
	*job
	broken     map[string]error    // segments
	known      map[string]bool     // segments
	variations map[string][]string // names of variants by flag
}

func (l *launchDarkly) run(flags []ldFlag, segments []ldSegment, values map[string]json.RawMessage) (*Result, error) {
	if err := l.chooseEnvironment(flags); err != nil {
		return nil, err
	}
	for i := range segments {
		l.addLDSegment(&segments[i])
	}
	drafts, failed := make([]*draft, len(flags)), make([]error, len(flags))
	for i := range flags {
		f := &flags[i]
		drafts[i] = l.draft(f.Key)
		failed[i] = l.values(drafts[i], f)
	}
	for i, d := range drafts {
		if failed[i] == nil {
			failed[i] = l.flag(d, &flags[i])
		}
		d.finish(failed[i])
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		d := l.draft(name)
		given, err := d.variants([]json.RawMessage{values[name]}, nil)
		d.flag.DefaultVariant = first(given)
		d.finish(err)
	}
	return l.finish(), nil
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

func (l *launchDarkly) chooseEnvironment(flags []ldFlag) error {
	names := map[string]bool{}
	for i := range flags {
		for name := range flags[i].Environments {
			names[name] = true
		}
	}
	switch {
	case len(names) == 0 || names[l.opt.Environment]:
		return nil
	case l.opt.Environment == "" && len(names) == 1:
		l.opt.Environment = slices.Collect(maps.Keys(names))[0]
		return nil
	}
	return fmt.Errorf("the file has the environments %q; %w", slices.Sorted(maps.Keys(names)), ErrEnvironment)
}

// values reads the variations, which are objects with a value in the REST API.
func (l *launchDarkly) values(d *draft, f *ldFlag) error {
	values, names := make([]json.RawMessage, len(f.Variations)), make([]string, len(f.Variations))
	for i, raw := range f.Variations {
		values[i] = raw
		var named struct {
			Value json.RawMessage
			Name  string
		}
		if f.Environments != nil && json.Unmarshal(raw, &named) == nil && named.Value != nil {
			values[i], names[i] = named.Value, named.Name
		}
	}
	given, err := d.variants(values, names)
	l.variations[f.Key] = given
	return err
}

func (l *launchDarkly) flag(d *draft, f *ldFlag) error {
	targeting := &f.ldTargeting
	if f.Environments != nil {
		if targeting = f.Environments[l.opt.Environment]; targeting == nil {
			return fmt.Errorf("it is not in environment %q", l.opt.Environment)
		}
	}
	if len(f.Description) <= flag.MaxText {
		d.flag.Description = cmp.Or(f.Description, f.Name)
	}
	d.flag.Tags, d.flag.Archived = f.Tags, f.Archived || targeting.Archived
	if d.flag.Enabled = targeting.On; !targeting.On {
		off := "the default in their code"
		if name, err := l.variation(f.Key, targeting.OffVariation); err == nil {
			off = "its off variation " + name
		}
		d.differs("it is off: LaunchDarkly serves %s, here callers get the default in their code", off)
	}
	return l.targeting(d, f, targeting)
}

// variation gives the name of a variation; no index is an error, and so is one of a null.
func (l *launchDarkly) variation(of string, i *int) (string, error) {
	names := l.variations[of]
	switch {
	case i == nil:
		return "", errors.New("no variation is named")
	case *i < 0 || *i >= len(names):
		return "", fmt.Errorf("flag %q has no variation %d", of, *i)
	case names[*i] == "":
		return "", fmt.Errorf("variation %d of flag %q is null, which only the code default can be", *i, of)
	}
	return names[*i], nil
}

func (l *launchDarkly) targeting(d *draft, f *ldFlag, t *ldTargeting) error {
	for i, p := range t.Prerequisites {
		variant, err := l.variation(p.Key, &p.Variation)
		if err != nil {
			return place("").at("prerequisite", i).errorf("%w", err)
		}
		d.flag.Prerequisites = append(d.flag.Prerequisites, flag.Prerequisite{Flag: key(p.Key), Variants: []string{variant}})
	}
	if err := l.targets(d, f, t); err != nil {
		return err
	}
	for i := range t.Rules {
		at, r := place("").at("rule", i), &t.Rules[i]
		conditions, err := l.clauses(at, r.Clauses)
		if err != nil {
			return err
		}
		if len(conditions) == 0 {
			d.differs("%s has no clauses, so that it never matches; it is left out", at)
			continue
		}
		if err := l.serve(d, at, f, t, when(conditions), &r.ldServe); err != nil {
			return err
		}
	}
	return l.otherwise(d, f, t)
}

// otherwise is what applies to those whom no rule serves. With prerequisites, those who do not meet
// them get the off variation, which then is the default here.
func (l *launchDarkly) otherwise(d *draft, f *ldFlag, t *ldTargeting) error {
	if len(d.flag.Prerequisites) > 0 && t.OffVariation != nil {
		off, err := l.variation(f.Key, t.OffVariation)
		if err != nil {
			return err
		}
		d.flag.DefaultVariant = off
	}
	if t.Fallthrough == nil {
		return errors.New("it has no fallthrough")
	}
	if len(d.flag.Prerequisites) == 0 && t.Fallthrough.Variation != nil {
		name, err := l.variation(f.Key, t.Fallthrough.Variation)
		d.flag.DefaultVariant = name
		return err
	}
	return l.serve(d, "fallthrough", f, t, nil, t.Fallthrough)
}

// targets are single users, and single contexts of other kinds, which become rules.
func (l *launchDarkly) targets(d *draft, f *ldFlag, t *ldTargeting) error {
	seen := map[string]bool{}
	for i, target := range slices.Concat(t.Targets, t.ContextTargets) {
		at := place("").at("target", i)
		variant, err := l.variation(f.Key, &target.Variation)
		if err != nil {
			return at.errorf("%w", err)
		}
		if target.ContextKind != "" && target.ContextKind != "user" {
			c := isIn(ldAttribute(target.ContextKind, "key"), texts(target.Values))
			d.flag.Rules = append(d.flag.Rules, flag.Rule{When: &c, Serve: variant})
			continue
		}
		var units []string
		for _, unit := range target.Values {
			if unit != "" && !seen[unit] {
				seen[unit], units = true, append(units, unit)
			}
		}
		l.override(d, variant, units)
	}
	return nil
}

// override gives units a variant: as overrides, or, if there are too many, as a rule.
func (l *launchDarkly) override(d *draft, variant string, units []string) {
	count := len(units)
	for _, o := range d.flag.Overrides {
		count += len(o.Units)
	}
	switch {
	case len(units) == 0:
	case count > flag.MaxOverrides:
		c := isIn("targetingKey", texts(units))
		d.flag.Rules = append(d.flag.Rules, flag.Rule{When: &c, Serve: variant})
	default:
		i := slices.IndexFunc(d.flag.Overrides, func(o flag.Override) bool { return o.Variant == variant })
		if i < 0 {
			i = len(d.flag.Overrides)
			d.flag.Overrides = append(d.flag.Overrides, flag.Override{Variant: variant})
		}
		d.flag.Overrides[i].Units = append(d.flag.Overrides[i].Units, units...)
	}
}

// serve adds a rule that serves a variation or a rollout.
func (l *launchDarkly) serve(d *draft, at place, f *ldFlag, t *ldTargeting, condition *flag.Condition, s *ldServe) error {
	if s.Rollout == nil {
		variant, err := l.variation(f.Key, s.Variation)
		if err != nil {
			return at.errorf("%w", err)
		}
		d.flag.Rules = append(d.flag.Rules, flag.Rule{When: condition, Serve: variant})
		return nil
	}
	var parts []part
	sum := 0.0
	for _, v := range s.Rollout.Variations {
		variant, err := l.variation(f.Key, &v.Variation)
		if err != nil {
			return at.errorf("%w", err)
		}
		of := min(max(v.Weight/flag.TotalWeight, 0), 1-sum)
		sum += of
		parts = append(parts, part{variant, of})
	}
	if len(parts) == 0 {
		return at.errorf("the rollout has no variations")
	}
	parts[len(parts)-1].of += max(0, 1-sum) // as rounding errors do there
	rule := d.rule(at, condition, f.Key, ldUnit(s.Rollout.ContextKind, s.Rollout.BucketBy), parts)
	d.flag.Rules = append(d.flag.Rules, rule)
	if rule.Split != nil && d.flag.DefaultVariant == "" && condition == nil {
		d.flag.DefaultVariant = parts[0].variant // who cannot be hashed is in the first bucket there
	}
	return nil
}

// ldUnit gives the attribute that a rollout hashes.
func ldUnit(kind, by string) string {
	if name := ldAttribute(kind, cmp.Or(by, "key")); name != "targetingKey" {
		return name
	}
	return ""
}
