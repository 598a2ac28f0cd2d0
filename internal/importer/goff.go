package importer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/targeting"
)

type goffFlag struct {
	Variations      map[string]json.RawMessage
	Targeting       []goffRule
	BucketingKey    string
	DefaultRule     *goffRule
	Disable         bool
	Experimentation *struct{ Start, End *time.Time }
	Scheduled       []struct{ Date *time.Time } `json:"scheduledRollout"`
	Metadata        map[string]any
}

type goffRule struct {
	Name, Query, Variation string
	Percentage             map[string]float64
	Progressive            *struct {
		Initial, End struct {
			Variation  string
			Percentage float64
			Date       *time.Time
		}
	} `json:"progressiveRollout"`
	Disable bool
}

func looksGoFeatureFlag(top map[string]json.RawMessage) bool {
	for _, raw := range top {
		var f map[string]json.RawMessage
		if json.Unmarshal(raw, &f) != nil || !has(f, "variations") {
			return false
		}
	}
	return len(top) > 0
}

// GoFeatureFlag reads a flag file of GO Feature Flag (YAML or JSON; turn TOML into one of these).
// Such a file is of one environment.
func GoFeatureFlag(data []byte, opt Options) (*Result, error) {
	var file map[string]json.RawMessage
	if err := decode(data, "GO Feature Flag", &file); err != nil {
		return nil, err
	}
	j := newJob(opt)
	for _, name := range slices.Sorted(maps.Keys(file)) {
		var from goffFlag
		d := j.draft(name)
		err := json.Unmarshal(file[name], &from)
		if err == nil {
			err = d.goff(&from)
		}
		d.finish(err)
	}
	return j.finish(), nil
}

func (d *draft) goff(from *goffFlag) error {
	names := slices.Sorted(maps.Keys(from.Variations))
	for _, name := range names {
		if err := flag.CheckKey(name); err != nil {
			return fmt.Errorf("variation %q: the name %w", name, err)
		}
		d.flag.Variants = append(d.flag.Variants, flag.Variant{Name: name, Value: compact(from.Variations[name])})
	}
	var err error
	if d.flag.Type, err = sharedType(slices.Collect(maps.Values(from.Variations))); err != nil {
		return err
	}
	d.flag.Enabled = !from.Disable
	d.flag.Description, _ = from.Metadata["description"].(string)
	if len(from.Metadata) > 0 {
		d.differs("the metadata is left behind but for a description; flags here have an owner, tags and an expiry")
	}
	for i := range from.Targeting {
		if err := d.goffRule(place("").at("targeting", i), from, &from.Targeting[i]); err != nil {
			return err
		}
	}
	if from.DefaultRule == nil {
		return errors.New("it has no defaultRule")
	}
	if err := d.goffRule("defaultRule", from, from.DefaultRule); err != nil {
		return err
	}
	d.goffDefault()
	d.goffTimes(from)
	return nil
}

// goffDefault turns a last rule that serves everybody into the default variant.
func (d *draft) goffDefault() {
	last := len(d.flag.Rules) - 1
	if last >= 0 && d.flag.Rules[last].When == nil && d.flag.Rules[last].Serve != "" {
		d.flag.DefaultVariant = d.flag.Rules[last].Serve
		d.flag.Rules = d.flag.Rules[:last]
	}
}

func (d *draft) goffTimes(from *goffFlag) {
	if e := from.Experimentation; e != nil {
		over := e.Start != nil && d.opt.Now.Before(*e.Start) || e.End != nil && d.opt.Now.After(*e.End)
		if d.flag.Enabled = d.flag.Enabled && (d.opt.Now.IsZero() || !over); over && !d.opt.Now.IsZero() {
			d.differs("its experimentation is not on today, so it is imported switched off; switch it on and off by hand or by a schedule")
			return
		}
		d.differs("its experimentation begins or ends by itself; here, switch the flag by a schedule")
	}
	if len(from.Scheduled) > 0 {
		var dates []string
		for _, step := range from.Scheduled {
			if step.Date != nil {
				dates = append(dates, step.Date.Format(time.RFC3339))
			}
		}
		d.differs("the steps of its scheduledRollout (%s) are not applied; make schedules of them", strings.Join(dates, ", "))
	}
}

func (d *draft) goffRule(at place, f *goffFlag, r *goffRule) error {
	if r.Disable && at != "defaultRule" {
		d.differs("%s is switched off and left out", at)
		return nil
	}
	var condition *flag.Condition
	if query := strings.TrimSpace(r.Query); query != "" && at != "defaultRule" {
		c, err := d.goffQuery(at, query)
		if err != nil {
			return err
		}
		condition = &c
	}
	parts, err := d.goffParts(at, r)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, known := f.Variations[p.variant]; !known {
			return at.errorf("there is no variation %q", p.variant)
		}
	}
	bucketBy := f.BucketingKey
	rule := d.rule(at, condition, d.name, bucketBy, parts)
	rule.Name = r.Name
	d.flag.Rules = append(d.flag.Rules, rule)
	return nil
}

// goffParts gives what the rule distributes. Percentages need not sum to 100; the shares of the sum
// count. Variations lie in the reverse order of their names, as there.
func (d *draft) goffParts(at place, r *goffRule) ([]part, error) {
	if r.Progressive != nil {
		return d.goffProgress(at, r)
	}
	if len(r.Percentage) == 0 {
		if r.Variation == "" {
			return nil, at.errorf("serves nothing: give it a variation or percentages")
		}
		return []part{{r.Variation, 1}}, nil
	}
	sum := 0.0
	for _, p := range r.Percentage {
		if !(p >= 0 && p <= 1e6) {
			return nil, at.errorf("has a percentage of %v", p)
		}
		sum += p
	}
	if sum == 0 {
		return nil, at.errorf("has percentages that sum to 0")
	}
	var parts []part
	for _, name := range slices.SortedFunc(maps.Keys(r.Percentage), func(a, b string) int { return cmp.Compare(b, a) }) {
		parts = append(parts, part{name, r.Percentage[name] / sum})
	}
	return parts, nil
}

func (d *draft) goffProgress(at place, r *goffRule) ([]part, error) {
	initial, end := r.Progressive.Initial, r.Progressive.End
	if initial.Date == nil || end.Date == nil || !end.Date.After(*initial.Date) {
		return nil, at.errorf("its progressiveRollout does not begin before it ends")
	}
	if end.Percentage <= 0 || end.Percentage > 100 {
		end.Percentage = 100
	}
	share := 0.0
	switch now := d.opt.Now; {
	case !now.Before(*end.Date):
		share = end.Percentage
	case !now.Before(*initial.Date):
		passed := now.Sub(*initial.Date).Seconds() / end.Date.Sub(*initial.Date).Seconds()
		share = initial.Percentage + (end.Percentage-initial.Percentage)*passed
	}
	share = min(max(share, 0), 100)
	d.differs("%s: its progressiveRollout stays at %.4g %% %s; run a trial, or make schedules, to go on", at, share, end.Variation)
	return []part{{end.Variation, share / 100}, {initial.Variation, 1 - share/100}}, nil
}

// goffQuery reads a query. JsonLogic becomes a segment, which is a rule as it is.
func (d *draft) goffQuery(at place, query string) (flag.Condition, error) {
	if !strings.HasPrefix(query, "{") {
		c, err := parseQuery(query)
		if err != nil {
			return c, at.errorf("the query %.200q cannot be read: %w", query, err)
		}
		return c, nil
	}
	var rule bytes.Buffer
	if err := json.Compact(&rule, []byte(query)); err != nil {
		return flag.Condition{}, at.errorf("the query is not JSON: %w", err)
	}
	if _, err := targeting.Compile(rule.Bytes(), nil); err != nil {
		return flag.Condition{}, at.errorf("the query is not JsonLogic that can be evaluated: %w", err)
	}
	name := fmt.Sprintf("%s/%s", d.flag.Key, strings.ReplaceAll(string(at), " ", "-"))
	d.addSegment(name, flag.Segment{Rule: rule.Bytes(), Description: "JsonLogic of GO Feature Flag"})
	return flag.Condition{Segment: d.segment(name)}, nil
}
