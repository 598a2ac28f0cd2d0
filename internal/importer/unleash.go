package importer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// unleashFile is an export of a project, or what a client is sent.
type unleashFile struct {
	Features     []unleashFeature
	Strategies   []unleashStrategy `json:"featureStrategies"`
	Environments []struct {
		Feature     string `json:"featureName"`
		Environment string
		Enabled     bool
		Variants    []unleashVariant
	} `json:"featureEnvironments"`
	Segments     []unleashSegment
	Dependencies []struct {
		Feature      string
		Dependencies []unleashParent
	}
	Tags []struct {
		Feature string `json:"featureName"`
		Type    string `json:"tagType"`
		Value   string `json:"tagValue"`
	} `json:"featureTags"`
}

type unleashFeature struct {
	Name, Description, Type string
	Stale, Archived         bool
	// What follows is in answers to clients only.
	Enabled      bool
	Strategies   []unleashStrategy
	Variants     []unleashVariant
	Dependencies []unleashParent
	tags         []string
}

type unleashParent struct {
	Feature  string
	Enabled  *bool
	Variants []string
}

type unleashStrategy struct {
	Feature     string `json:"featureName"`
	Environment string
	Name        string `json:"name"`
	Strategy    string `json:"strategyName"`
	Parameters  map[string]any
	Constraints []unleashConstraint
	Segments    []json.Number
	Variants    []unleashVariant
	SortOrder   float64
	Disabled    bool
}

type unleashConstraint struct {
	Context         string `json:"contextName"`
	Operator        string
	Values          []string
	Value           any
	Inverted        bool
	CaseInsensitive bool
}

type unleashVariant struct {
	Name      string
	Weight    float64
	Payload   *struct{ Type, Value string }
	Overrides []struct {
		Context string `json:"contextName"`
		Values  []string
	}
	Stickiness string
}

type unleashSegment struct {
	ID          json.Number
	Name        string
	Constraints []unleashConstraint
}

func looksUnleash(top map[string]json.RawMessage) bool {
	var features []json.RawMessage
	return json.Unmarshal(top["features"], &features) == nil && features != nil
}

// Unleash reads an export of Unleash, or what its client API sends. The user id of Unleash is the
// targeting key here; other fields of the context keep their names.
func Unleash(data []byte, opt Options) (*Result, error) {
	var file unleashFile
	if err := decode(data, "Unleash", &file); err != nil {
		return nil, err
	}
	u := unleash{job: newJob(opt)}
	if err := u.chooseEnvironment(&file); err != nil {
		return nil, err
	}
	u.readSegments(file.Segments)
	for i := range file.Features {
		from := &file.Features[i]
		u.gather(&file, from)
		u.variantsOf(from)
	}
	for i := range file.Features {
		d := u.draft(file.Features[i].Name)
		d.finish(u.feature(d, &file.Features[i]))
	}
	return u.finish(), nil
}

// unleash is an import from Unleash.
type unleash struct {
	*job
	broken map[string]error            // segments by id
	known  map[string]bool             // segments by id
	parent map[string][]unleashVariant // the variants of each feature
}

func (u *unleash) chooseEnvironment(file *unleashFile) error {
	names := map[string]bool{}
	for _, e := range file.Environments {
		names[e.Environment] = true
	}
	switch {
	case len(file.Environments) == 0 && len(file.Strategies) == 0:
		return nil // as a client gets it
	case names[u.opt.Environment]:
		return nil
	case u.opt.Environment == "" && len(names) == 1:
		u.opt.Environment = slices.Collect(maps.Keys(names))[0]
		return nil
	}
	return fmt.Errorf("the file has the environments %q; %w", slices.Sorted(maps.Keys(names)), ErrEnvironment)
}

// gather puts what an export has in lists of its own into the feature.
func (u *unleash) gather(file *unleashFile, f *unleashFeature) {
	for _, e := range file.Environments {
		if e.Feature == f.Name && e.Environment == u.opt.Environment {
			f.Enabled = e.Enabled
			f.Variants = append(f.Variants, e.Variants...)
		}
	}
	for _, s := range file.Strategies {
		if s.Feature == f.Name && s.Environment == u.opt.Environment {
			s.Name = s.Strategy
			f.Strategies = append(f.Strategies, s)
		}
	}
	slices.SortStableFunc(f.Strategies, func(a, b unleashStrategy) int { return int(a.SortOrder - b.SortOrder) })
	for _, tag := range file.Tags {
		if tag.Feature == f.Name {
			f.tags = append(f.tags, tag.Type+":"+tag.Value)
		}
	}
	for _, d := range file.Dependencies {
		if d.Feature == f.Name {
			f.Dependencies = append(f.Dependencies, d.Dependencies...)
		}
	}
}

func (u *unleash) variantsOf(f *unleashFeature) {
	if u.parent == nil {
		u.parent = map[string][]unleashVariant{}
	}
	all := slices.Clone(f.Variants)
	for _, s := range f.Strategies {
		all = append(all, s.Variants...)
	}
	u.parent[f.Name] = all
}

func (u *unleash) readSegments(from []unleashSegment) {
	u.broken, u.known = map[string]error{}, map[string]bool{}
	for _, s := range from {
		id := s.ID.String()
		s.Name = cmp.Or(s.Name, "segment-"+id)
		conditions, err := u.constraints("", s.Constraints)
		if len(conditions) == 0 && err == nil {
			err = errors.New("it has no constraints")
		}
		if u.known[id] = true; err != nil {
			u.broken[id] = fmt.Errorf("segment %q: %w", s.Name, err)
			u.note("segment "+s.Name, Skipped, "%v", err)
			continue
		}
		u.segments[id] = u.segment(s.Name)
		u.result.Segments = append(u.result.Segments, flag.Segment{Key: u.segments[id], When: when(conditions)})
	}
}

func (u *unleash) feature(d *draft, f *unleashFeature) error {
	d.flag.Description, d.flag.Archived, d.flag.Tags = f.Description, f.Archived, f.tags
	if d.flag.Enabled = f.Enabled; !f.Enabled {
		d.differs("it is off: Unleash answers false, here callers get the default in their code")
	}
	if err := d.unleashVariants(u.parent[f.Name]); err != nil {
		return err
	}
	if err := u.parents(d, f.Dependencies); err != nil {
		return err
	}
	for i := range f.Strategies {
		if err := u.strategy(d, place("").at("strategy", i), f, &f.Strategies[i]); err != nil {
			return err
		}
	}
	if len(f.Strategies) == 0 {
		return u.serve(d, "without strategies", f.Variants, nil, 1, f.Name, "")
	}
	return nil
}

// unleashVariants gives a feature without variants two of a boolean. One with variants has their
// payloads for values, and the code default where Unleash says disabled.
func (d *draft) unleashVariants(from []unleashVariant) error {
	if len(from) == 0 {
		d.flag.Variants = []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}
		d.flag.Type, d.flag.DefaultVariant = flag.TypeBoolean, "off"
		return nil
	}
	var values []json.RawMessage
	for _, v := range from {
		value := unleashValue(v)
		if slices.ContainsFunc(d.flag.Variants, func(known flag.Variant) bool { return known.Name == v.Name }) {
			continue // the same one, of another strategy
		}
		if err := flag.CheckKey(v.Name); err != nil {
			return fmt.Errorf("variant %q: the name %w", v.Name, err)
		}
		d.flag.Variants = append(d.flag.Variants, flag.Variant{Name: v.Name, Value: value})
		values = append(values, value)
	}
	var err error
	if d.flag.Type, err = sharedType(values); err != nil {
		return err
	}
	d.differs("it is imported as a flag of type %s, whose values are the payloads of its variants; ask for the variant where the code asked whether it is on", d.flag.Type)
	return nil
}

func unleashValue(v unleashVariant) json.RawMessage {
	if v.Payload == nil {
		return text(v.Name)
	}
	if raw := json.RawMessage(v.Payload.Value); (v.Payload.Type == "json" || v.Payload.Type == "number") && json.Valid(raw) {
		return compact(raw)
	}
	return text(v.Payload.Value)
}

// parents are features that must be on, or off, or give a variant.
func (u *unleash) parents(d *draft, from []unleashParent) error {
	for _, p := range from {
		need := flag.Prerequisite{Flag: key(p.Feature)}
		variants, known := u.parent[p.Feature]
		off := p.Enabled != nil && !*p.Enabled
		switch {
		case !known:
			return fmt.Errorf("its parent %q is not in the file", p.Feature)
		case len(variants) == 0 && off:
			need.Variants = []string{"off"}
			d.differs("it needs %q to be off: here that is to give off, so not to be switched off", p.Feature)
		case len(variants) == 0:
			need.Variants = []string{"on"}
		case off:
			return fmt.Errorf("it needs %q to be off, which has variants", p.Feature)
		case len(p.Variants) > 0:
			need.Variants = p.Variants
		default:
			for _, v := range variants {
				if !slices.Contains(need.Variants, v.Name) {
					need.Variants = append(need.Variants, v.Name)
				}
			}
		}
		d.flag.Prerequisites = append(d.flag.Prerequisites, need)
	}
	return nil
}

// strategy makes rules of a strategy. A feature is on if one of its strategies says so: what a rule
// leaves free goes on to the next.
func (u *unleash) strategy(d *draft, at place, f *unleashFeature, s *unleashStrategy) error {
	if s.Disabled {
		d.differs("%s is switched off and left out", at)
		return nil
	}
	conditions, err := u.constraints(at, s.Constraints)
	if err != nil {
		return err
	}
	for _, id := range s.Segments {
		if err := u.broken[id.String()]; err != nil {
			return at.errorf("%w", err)
		}
		if !u.known[id.String()] {
			return at.errorf("segment %s is not in the file", id)
		}
		conditions = append(conditions, flag.Condition{Segment: u.segments[id.String()]})
	}
	more, share, bucketBy, err := u.activation(d, at, s)
	if err != nil {
		return err
	}
	conditions = append(conditions, more...)
	variants, group := s.Variants, s.parameter("groupId")
	if len(variants) == 0 {
		variants = f.Variants
	}
	if group == "" {
		group = f.Name
	}
	return u.serve(d, at, variants, conditions, share, group, bucketBy)
}

func (s *unleashStrategy) parameter(name string) string {
	switch v := s.Parameters[name].(type) {
	case string:
		return strings.TrimSpace(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// activation gives what a strategy asks for by its kind: conditions, a share, and what it hashes.
func (u *unleash) activation(d *draft, at place, s *unleashStrategy) (more []flag.Condition, share float64, bucketBy string, err error) {
	percent := s.parameter("percentage")
	switch s.Name {
	case "default":
		return nil, 1, "", nil
	case "userWithId":
		return []flag.Condition{isIn("targetingKey", texts(listed(s.parameter("userIds"))))}, 1, "", nil
	case "remoteAddress":
		return []flag.Condition{inNetworks("remoteAddress", listed(s.parameter("IPs")))}, 1, "", nil
	case "applicationHostname":
		d.differs("%s asks for the name of the host, which Unleash takes from the machine; give it as the attribute hostname", at)
		return []flag.Condition{anyCase("hostname", flag.OpEquals, listed(s.parameter("hostNames")))}, 1, "", nil
	case "gradualRolloutUserId":
	case "gradualRolloutSessionId":
		bucketBy = "sessionId"
	case "gradualRolloutRandom":
		d.differs("%s is random for each request in Unleash; here a user keeps what the hash says", at)
	case "flexibleRollout":
		percent = s.parameter("rollout")
	default:
		return nil, 0, "", at.errorf("strategy %q is not one of Unleash itself; write its meaning as constraints", s.Name)
	}
	share, err = strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64)
	if err != nil || !(share >= 0 && share <= 100) {
		return nil, 0, "", at.errorf("the percentage %.20q is not between 0 and 100", percent)
	}
	if s.Name == "flexibleRollout" && (share > 0 && share < 100 || len(u.parent[d.name]) > 0) {
		bucketBy = u.stickiness(d, at, s.parameter("stickiness"))
	}
	return nil, share / 100, bucketBy, nil
}

func (u *unleash) stickiness(d *draft, at place, by string) (bucketBy string) {
	switch by {
	case "userId", "":
		return ""
	case "default":
		d.differs("%s hashes the user id, else the session id, else nothing; here only the targeting key", at)
		return ""
	case "random":
		d.differs("%s is random for each request in Unleash; here a user keeps what the hash says", at)
		return ""
	}
	return attributeOf(by)
}

func listed(s string) []string {
	var all []string
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one != "" && !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// serve adds the rule of a strategy: on for the share, or the variants by their weights in it.
func (u *unleash) serve(d *draft, at place, variants []unleashVariant, conditions []flag.Condition, share float64, group, bucketBy string) error {
	sum := 0.0
	for _, v := range variants {
		sum += max(v.Weight, 0)
	}
	if len(variants) == 0 || sum == 0 {
		if d.flag.Type != flag.TypeBoolean || len(u.parent[d.name]) > 0 {
			return at.errorf("it has no variants, but other strategies of the feature have")
		}
		d.flag.Rules = append(d.flag.Rules, d.rule(at, when(conditions), group, bucketBy, []part{{"on", share}}))
		return nil
	}
	var parts []part
	for _, v := range variants {
		for _, o := range v.Overrides {
			forced := append(slices.Clone(conditions), isIn(attributeOf(o.Context), texts(o.Values)))
			d.flag.Rules = append(d.flag.Rules, d.rule(at, when(forced), group, bucketBy, []part{{v.Name, share}}))
		}
		parts = append(parts, part{v.Name, share * max(v.Weight, 0) / sum})
	}
	if by := variants[0].Stickiness; by != "" && by != "default" && attributeOf(by) != bucketBy && bucketBy != "" {
		d.differs("%s hashes its variants by %s; here by what the rollout hashes", at, by)
	}
	d.flag.Rules = append(d.flag.Rules, d.rule(at, when(conditions), group, bucketBy, parts))
	return nil
}
