package eval

import (
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// explainedSet has a flag for each thing that an explanation can tell of.
func explainedSet() flag.Set {
	pro := clause("user.plan", flag.OpEquals, `"pro"`)
	lists := flag.List{HashKey: strings.Repeat("00", 16), Count: 1, Parts: []flag.ListPart{{Digest: strings.Repeat("00", 32), Bytes: 24}}}
	half := &flag.Split{Weights: []flag.Share{{Variant: "red", Weight: 50_000}}}
	raw := func(key, definition string) flag.Flag {
		return flag.Flag{Key: key, Kind: flag.KindRelease, Type: flag.TypeString, Enabled: true, Definition: []byte(definition)}
	}
	archived, off, needs, overridden := stringFlag("archived"), stringFlag("off"), stringFlag("needs"), stringFlag("overridden", flag.Rule{When: &pro, Serve: "on"})
	archived.Archived, off.Enabled = true, false
	needs.Prerequisites = []flag.Prerequisite{{Flag: "plain", Variants: []string{"off"}}, {Flag: "by-plan", Variants: []string{"on", "red"}}}
	overridden.Overrides = []flag.Override{{Variant: "blue", Units: []string{"u1"}}}
	return flag.Set{
		Segments: []flag.Segment{{Key: "long", List: &lists}, {Key: "logic", Rule: []byte(`{"==":[{"var":"user.plan"},"pro"]}`)}},
		Flags: []flag.Flag{archived, off, needs, overridden, stringFlag("plain"), stringFlag("by-plan", flag.Rule{Name: "pros", When: &pro, Serve: "on"}),
			stringFlag("listed", flag.Rule{When: &flag.Condition{Segment: "long"}, Serve: "on"}), stringFlag("logical", flag.Rule{When: &flag.Condition{Segment: "logic"}, Serve: "on"}),
			stringFlag("slotted", flag.Rule{Split: half}), stringFlag("elsewhere", flag.Rule{Split: half}), stringFlag("tried"),
			raw("raw", `{"state":"ENABLED","variants":{"a":"A","b":"B"},"defaultVariant":"b","targeting":{"var":"x"}}`),
			raw("raw-static", `{"state":"ENABLED","variants":{"a":"A"},"defaultVariant":"a"}`), raw("raw-off", `{"state":"DISABLED","variants":{"a":"A"}}`)},
		Layers: []flag.Layer{{Key: "layer", Slots: []flag.Slot{{Flag: "slotted", From: 0, To: 90_000}, {Flag: "elsewhere", From: 90_000, To: 90_001}}},
			{Key: "everybody", Global: true, Holdout: 1}},
		Allocations: []flag.Allocation{{Trial: "t", Flag: "tried", Salt: "t", Treatment: "on", Control: "off", Strata: []flag.Stratum{{Treatment: 100_000}}}},
	}
}

func TestExplainTellsWhatDecided(t *testing.T) {
	s := compile(t, explainedSet())
	pro := map[string]any{"user": map[string]any{"plan": "pro"}}
	tests := []struct {
		name, flag string
		c          *Context
		want       []string // part, name: detail; "!" before the one that decided
	}{
		{"unknown", "nope", nil, []string{`!flag : there is no such flag`}},
		{"archived", "archived", nil, []string{`!flag : the flag is archived`}},
		{"off", "off", nil, []string{`!flag : the flag is switched off`}},
		{"prerequisites met", "needs", &Context{Attributes: pro}, []string{`prerequisite plain: it gives off, as asked`, `prerequisite by-plan: it gives on, as asked`, `!default off: nothing else applied: the default variant off holds`}},
		{"prerequisite not met", "needs", nil, []string{`prerequisite plain: it gives off`, `!prerequisite by-plan: it gives off, not one of on, red, so the default variant off holds`}},
		{"override", "overridden", &Context{TargetingKey: "u1"}, []string{`!override : "u1" has an override to blue`}},
		{"no override", "overridden", &Context{TargetingKey: "u2"}, []string{`override : "u2" has none`, `rule 1: attribute "user.plan" is missing`, `!default off`}},
		{"no key for an override", "overridden", &Context{Attributes: pro}, []string{`override : none applies`, `!rule 1: attribute "user.plan" is "pro", "pro", so the rule serves on`}},
		{"list that is not there", "listed", &Context{TargetingKey: "u1"}, []string{`rule 1: "u1" is not in segment "long", whose member list is not loaded`, `!default off`}},
		{"rule of a segment", "logical", &Context{Attributes: pro}, []string{`!rule 1: the unit is in segment "logic"`}},
		{"in the slot", "slotted", &Context{TargetingKey: "u3"}, []string{`layer layer: bucket`, `rule 1: holds for everybody; bucket`, `!default`}},
		{"outside of the slot", "elsewhere", &Context{TargetingKey: "u3"}, []string{`layer layer: bucket`, `rule 1: holds for everybody; the split passes by, as the layer keeps the unit out`, `!default`}},
		{"no key in a layer", "slotted", nil, []string{`layer everybody: the context has no targeting key`, `rule 1`, `!default`}},
		{"global holdout", "tried", &Context{TargetingKey: "u3"}, []string{`layer everybody: bucket`, `!trial t: bucket`}},
		{"targeting", "raw", &Context{Attributes: map[string]any{"x": "a"}}, []string{`!targeting a: targeting gave "a", which is a variant`}},
		{"targeting gives nothing", "raw", nil, []string{`targeting : targeting gave null`, `!default b: its default variant b holds`}},
		{"targeting gives what is no variant", "raw", &Context{Attributes: map[string]any{"x": "c"}}, []string{`!targeting : targeting gave "c", which is no variant`}},
		{"no targeting", "raw-static", nil, []string{`!default a: the definition has no targeting: its default variant a holds`}},
		{"definition off", "raw-off", nil, []string{`!flag : the definition's state is DISABLED`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := s.Flag(test.flag).Explain(test.c)
			if len(e.Steps) != len(test.want) {
				t.Fatalf("%d steps, want %d: %+v", len(e.Steps), len(test.want), e.Steps)
			}
			for i, step := range e.Steps {
				got := map[bool]string{true: "!"}[step.Matched] + step.Part + " " + step.Name + ": " + step.Detail
				if !strings.HasPrefix(got, test.want[i]) {
					t.Errorf("step %d is\n%s, want\n%s", i+1, got, test.want[i])
				}
			}
		})
	}
}

func TestPropertiesOfFlags(t *testing.T) {
	f := booleanFlag("shown")
	f.ClientSide = true
	raw := flag.Flag{Key: "raw", Kind: flag.KindConfig, Type: flag.TypeInteger, Enabled: true,
		Definition: []byte(`{"state":"ENABLED","variants":{"a":1},"defaultVariant":"a","metadata":{"team":"web","n":2}}`)}
	timed := raw
	timed.Key, timed.Definition = "timed", []byte(`{"state":"ENABLED","variants":{"a":1},"targeting":{"if":[{">":[{"var":"$flagd.timestamp"},5]},"a"]}}`)
	needs := booleanFlag("needs")
	needs.Prerequisites = []flag.Prerequisite{{Flag: "timed", Variants: []string{"a"}}}
	clock := flag.Segment{Key: "clock", Rule: []byte(`{">":[{"var":"$flagd.timestamp"},5]}`)}
	grouped := booleanFlag("grouped", flag.Rule{Serve: "on", When: &flag.Condition{All: []flag.Condition{{Segment: "clock"}, {Segment: "testers"}}}})
	s := compile(t, flag.Set{Flags: []flag.Flag{f, raw, timed, needs, grouped}, Segments: []flag.Segment{clock, groups}})
	if !s.Flag("shown").ClientSide() || s.Flag("raw").ClientSide() || (*Flag)(nil).ClientSide() {
		t.Error("who may be shown to browsers")
	}
	if m := s.Flag("raw").Metadata(); m["team"] != "web" || m["n"] != int64(2) || s.Flag("shown").Metadata() != nil {
		t.Errorf("metadata %v", m)
	}
	for key, uses := range map[string]bool{"shown": false, "raw": false, "timed": true, "needs": true, "grouped": true} {
		if s.Flag(key).UsesTime() != uses {
			t.Errorf("%s uses the time: %v", key, !uses)
		}
	}
	if r := s.Evaluate("raw", nil); r.Value != int64(1) || r.Reason != ReasonStatic {
		t.Errorf("%+v", r)
	}
	if r := s.Evaluate("timed", &Context{Time: 6}); r.Variant != "a" || s.Evaluate("timed", &Context{Time: 5}).Variant != "" {
		t.Errorf("%+v", r)
	}
}
