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

type gbFile struct {
	Features    map[string]json.RawMessage
	SavedGroups map[string][]json.RawMessage
	Encrypted   string `json:"encryptedFeatures"`
}

type gbFeature struct {
	DefaultValue json.RawMessage
	Rules        []gbRule
}

type gbRule struct {
	Condition         json.RawMessage
	ParentConditions  []gbParent
	Force             json.RawMessage
	Variations        []json.RawMessage
	Weights           []float64
	Meta              []struct{ Key, Name string }
	Coverage          *float64
	Range             []float64
	Ranges            [][]float64
	Namespace         []json.RawMessage
	Filters           []json.RawMessage
	HashAttribute     string
	FallbackAttribute string
	Seed, Key         string
	URLPatterns       []json.RawMessage
}

type gbParent struct {
	ID        string
	Condition map[string]json.RawMessage
	Gate      bool
}

func looksGrowthBook(top map[string]json.RawMessage) bool {
	var features map[string]map[string]json.RawMessage
	return json.Unmarshal(top["features"], &features) == nil && features != nil || top["encryptedFeatures"] != nil
}

// GrowthBook reads the features that SDKs of GrowthBook are sent, which are of one environment. The
// attribute id is the targeting key here.
func GrowthBook(data []byte, opt Options) (*Result, error) {
	var file gbFile
	if err := decode(data, "GrowthBook", &file); err != nil {
		return nil, err
	}
	if file.Features == nil {
		if file.Encrypted != "" {
			return nil, errors.New("the features are encrypted; ask for them without encryption")
		}
		return nil, errors.New("the file is no GrowthBook file: it has no features")
	}
	g := growthBook{job: newJob(opt), groups: file.SavedGroups, values: map[string][]flag.Variant{}}
	names := slices.Sorted(maps.Keys(file.Features))
	features, drafts, failed := make([]gbFeature, len(names)), make([]*draft, len(names)), make([]error, len(names))
	given := make([]gbNames, len(names))
	for i, name := range names {
		drafts[i] = g.draft(name)
		if failed[i] = json.Unmarshal(file.Features[name], &features[i]); failed[i] == nil {
			given[i], failed[i] = drafts[i].gbVariants(&features[i])
		}
		g.values[name] = drafts[i].flag.Variants
	}
	for i, d := range drafts {
		if failed[i] == nil {
			failed[i] = g.feature(d, &features[i], &given[i])
		}
		d.finish(failed[i])
	}
	return g.finish(), nil
}

// growthBook is an import from GrowthBook.
type growthBook struct {
	*job
	groups map[string][]json.RawMessage
	values map[string][]flag.Variant // by feature
}

// gbNames are the variants for the values of a feature; "" for a null.
type gbNames struct {
	standard string
	forced   []string   // by rule
	varied   [][]string // by rule
}

// gbVariants collects the values of a feature, which has no list of them.
func (d *draft) gbVariants(f *gbFeature) (gbNames, error) {
	values, names := []json.RawMessage{f.DefaultValue}, []string{""}
	for _, r := range f.Rules {
		values, names = append(values, r.Force), append(names, "")
		for i, v := range r.Variations {
			name := ""
			if i < len(r.Meta) {
				name = r.Meta[i].Name
			}
			values, names = append(values, v), append(names, name)
		}
	}
	given, err := d.variants(values, names)
	n := gbNames{standard: given[0]}
	given = given[1:]
	for _, r := range f.Rules {
		count := 1 + len(r.Variations)
		n.forced, n.varied = append(n.forced, given[0]), append(n.varied, given[1:count])
		given = given[count:]
	}
	return n, err
}

func (g *growthBook) feature(d *draft, f *gbFeature, names *gbNames) error {
	d.flag.DefaultVariant = names.standard
	for i := range f.Rules {
		if err := g.rule(d, place("").at("rule", i), i, &f.Rules[i], names); err != nil {
			return err
		}
	}
	return nil
}

func (g *growthBook) rule(d *draft, at place, i int, r *gbRule, names *gbNames) error {
	var conditions []flag.Condition
	if raw := bytes.TrimSpace(r.Condition); len(raw) > 0 && string(raw) != "null" {
		c, err := g.condition(raw, 0)
		if err != nil {
			return at.errorf("%w", err)
		}
		if c != nil {
			conditions = append(conditions, *c)
		}
	}
	gate, err := g.parents(d, at, i, r.ParentConditions)
	if err != nil || gate && r.Force == nil && len(r.Variations) == 0 {
		return err
	}
	if len(r.URLPatterns) > 0 {
		return at.errorf("it is for some URLs, which flags here do not see")
	}
	parts, err := g.parts(d, at, r, names.forced[i], names.varied[i])
	if err != nil {
		return err
	}
	by := ""
	if r.HashAttribute != "" && r.HashAttribute != "id" {
		by = r.HashAttribute
	}
	if r.FallbackAttribute != "" {
		d.differs("%s hashes %q for those who have nothing else; here they pass the rule", at, r.FallbackAttribute)
	}
	d.flag.Rules = append(d.flag.Rules, d.rule(at, when(conditions), cmp.Or(r.Seed, r.Key, d.name), by, parts))
	return nil
}

// parents are features that must have a value. A gate concerns the whole feature, as prerequisites
// here do if it stands in the first rule; a parent of one rule does not.
func (g *growthBook) parents(d *draft, at place, i int, from []gbParent) (gate bool, err error) {
	for _, p := range from {
		variants, known := g.values[p.ID]
		switch {
		case !p.Gate || i > 0 && len(d.flag.Rules) > 0:
			return gate, at.errorf("it depends on feature %q for one rule only; prerequisites here are of the whole flag", p.ID)
		case !known:
			return gate, at.errorf("it depends on feature %q, which is not in the file", p.ID)
		}
		need := flag.Prerequisite{Flag: key(p.ID)}
		for _, v := range variants {
			ok, err := gbHasValue(p.Condition, v.Value)
			if err != nil {
				return gate, at.errorf("parent %q: %w", p.ID, err)
			}
			if ok {
				need.Variants = append(need.Variants, v.Name)
			}
		}
		if len(need.Variants) == 0 {
			return gate, at.errorf("no value of feature %q is the one that it depends on", p.ID)
		}
		gate, d.flag.Prerequisites = true, append(d.flag.Prerequisites, need)
	}
	if gate {
		d.differs("%s needs other features: who does not meet that gets the code default in GrowthBook, and the default variant here", at)
	}
	return gate, nil
}

// gbHasValue applies a parent's condition to one value.
func gbHasValue(condition map[string]json.RawMessage, value json.RawMessage) (bool, error) {
	want, ok := condition["value"]
	if !ok || len(condition) != 1 {
		return false, errors.New("the condition is about more than the value")
	}
	var ops map[string]json.RawMessage
	if json.Unmarshal(want, &ops) != nil || ops == nil {
		return bytes.Equal(compact(want), compact(value)), nil
	}
	for op, raw := range ops {
		var list []json.RawMessage
		switch {
		case op == "$exists" || op == "$eq" && bytes.Equal(compact(raw), compact(value)):
		case op == "$ne" && !bytes.Equal(compact(raw), compact(value)):
		case op == "$in" && json.Unmarshal(raw, &list) == nil:
			if !slices.ContainsFunc(list, func(v json.RawMessage) bool { return bytes.Equal(compact(v), compact(value)) }) {
				return false, nil
			}
		case op == "$eq", op == "$ne":
			return false, nil
		default:
			return false, fmt.Errorf("%s is not understood there", op)
		}
	}
	return true, nil
}

// parts gives what the rule distributes; null values cannot be served.
func (g *growthBook) parts(d *draft, at place, r *gbRule, forced string, varied []string) ([]part, error) {
	share := 1.0
	if r.Coverage != nil {
		share = min(max(*r.Coverage, 0), 1)
	}
	if len(r.Namespace) > 0 || len(r.Filters) > 0 {
		width, err := namespaceWidth(r)
		if err != nil {
			return nil, at.errorf("%w", err)
		}
		share *= width
		d.differs("%s is kept apart from others by a namespace; make a layer with slots for them, the rule takes the same share of users until then", at)
	}
	if len(r.Variations) == 0 {
		if forced == "" {
			return nil, at.errorf("it serves no value")
		}
		if len(r.Range) == 2 {
			share *= min(max(r.Range[1]-r.Range[0], 0), 1)
		}
		return []part{{forced, share}}, nil
	}
	if slices.Contains(varied, "") {
		return nil, at.errorf("a variation is null, which only the code default can be")
	}
	return gbExperiment(at, r, share, varied)
}

func gbExperiment(at place, r *gbRule, share float64, varied []string) ([]part, error) {
	weights := r.Weights
	if len(r.Ranges) == len(varied) {
		weights, share = nil, share/min(max(cmp.Or(coverageOf(r), 1), 0), 1)
		for _, bounds := range r.Ranges {
			if len(bounds) != 2 {
				return nil, at.errorf("a range has %d bounds", len(bounds))
			}
			weights = append(weights, bounds[1]-bounds[0])
		}
	} else if sum := total(weights); len(weights) != len(varied) || sum < 0.99 || sum > 1.01 {
		weights = slices.Repeat([]float64{1 / float64(len(varied))}, len(varied)) // as GrowthBook does
	}
	var parts []part
	for i, w := range weights {
		if !(w >= 0 && w <= 1.01) {
			return nil, at.errorf("a weight is %v", w)
		}
		parts = append(parts, part{varied[i], min(share*w, 1)})
	}
	return parts, nil
}

func coverageOf(r *gbRule) float64 {
	if r.Coverage == nil {
		return 1
	}
	return *r.Coverage
}

func total(weights []float64) (sum float64) {
	for _, w := range weights {
		sum += w
	}
	return sum
}

// namespaceWidth gives the part of users that the namespace or the filters let in.
func namespaceWidth(r *gbRule) (float64, error) {
	width := 1.0
	if len(r.Namespace) == 3 {
		var from, to float64
		if json.Unmarshal(r.Namespace[1], &from) != nil || json.Unmarshal(r.Namespace[2], &to) != nil {
			return 0, errors.New("the namespace cannot be read")
		}
		width = to - from
	}
	for _, raw := range r.Filters {
		var filter struct{ Ranges [][2]float64 }
		if json.Unmarshal(raw, &filter) != nil {
			return 0, errors.New("a filter cannot be read")
		}
		in := 0.0
		for _, bounds := range filter.Ranges {
			in += bounds[1] - bounds[0]
		}
		width *= in
	}
	return min(max(width, 0), 1), nil
}
