package flagd

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/eval"
	model "github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/targeting"
	"github.com/seatrial/seatrial/internal/flagtest"
)

var update = flag.Bool("update", false, "write the golden files")

// compare evaluates every flag of a random set as it is, and as the flagd file that it becomes.
func compare(t *testing.T, seed uint64) (compared, server int) {
	t.Helper()
	c := flagtest.New(seed, flagtest.Options{Flags: 6, Contexts: 8, Portable: seed%4 != 0, Raw: seed%2 == 0})
	snapshot, err := eval.Compile(c.Set)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	document, err := Export(c.Set)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	evaluators := map[string]json.RawMessage{}
	for _, one := range document.Evaluators {
		evaluators[one.Key] = one.Definition
	}
	for _, one := range document.Flags {
		if document.Reasons[one.Key] != "" {
			server++
			continue
		}
		definition, err := targeting.ParseDefinition(one.Definition, evaluators)
		if err != nil {
			t.Fatalf("seed %d, flag %s: %v\n%s", seed, one.Key, err, one.Definition)
		}
		for _, context := range c.Contexts {
			if compared++; endsInSpace(context) {
				continue // engines in Go cut it off what they hash
			}
			want := snapshot.Evaluate(one.Key, &eval.Context{TargetingKey: context.TargetingKey, Attributes: context.Attributes})
			if got := decide(definition, one.Key, context); got != told(want) {
				about, _ := json.Marshal(context)
				t.Fatalf("seed %d, flag %s: %s, exported %s\n%s\n%s", seed, one.Key, told(want), got, about, one.Definition)
			}
		}
	}
	return compared, server
}

func endsInSpace(c flagtest.Context) bool {
	user, _ := c.Attributes["user"].(map[string]any)
	for _, unit := range []any{c.Attributes["id"], c.Attributes["age"], c.Attributes["tags"], user["id"]} {
		if text, ok := unit.(string); ok && strings.HasSuffix(text, " ") {
			return true
		}
	}
	return false
}

func told(r eval.Result) string {
	if r.Reason == eval.ReasonSplit {
		r.Reason = eval.ReasonTargetingMatch
	}
	return fmt.Sprintf("%q %v (%s %s)", r.Variant, r.Value, r.Reason, r.Error)
}

func decide(d *targeting.Definition, key string, c flagtest.Context) string {
	variant, reason, err := d.Decide(&targeting.Input{FlagKey: key, TargetingKey: c.TargetingKey, Attributes: c.Attributes})
	r := eval.Result{Reason: eval.Reason(reason.String())}
	switch {
	case err != nil:
		r.Reason, r.Error = eval.ReasonError, eval.ErrorGeneral
	case variant >= 0:
		r.Variant, r.Value = d.Variants[variant].Name, d.Variants[variant].Value
	}
	return told(r)
}

// A flag and its export give the same, in our own JsonLogic engine (which keeps to flagd's in Go);
// the conformance module has the same test with flagd's engine in JavaScript.
func TestExportsDecideAlike(t *testing.T) {
	seeds := uint64(600)
	if testing.Short() {
		seeds = 100
	}
	compared, server := 0, 0
	for seed := range seeds {
		c, s := compare(t, seed)
		compared, server = compared+c, server+s
	}
	if compared < int(seeds)*30 || server == 0 {
		t.Errorf("%d evaluations were compared, %d flags left to the server", compared, server)
	}
}

func FuzzExportsDecideAlike(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, seed) })
}

// Equal sets give equal bytes, whatever the order of their lists.
func TestExportIsDeterministic(t *testing.T) {
	for seed := range uint64(20) {
		set := flagtest.New(seed, flagtest.Options{Flags: 8, Raw: true}).Set
		first, err := Export(set)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(set.Flags), reflect.Swapper(set.Flags))
		r.Shuffle(len(set.Segments), reflect.Swapper(set.Segments))
		r.Shuffle(len(set.Layers), reflect.Swapper(set.Layers))
		r.Shuffle(len(set.Allocations), reflect.Swapper(set.Allocations))
		second, err := Export(set)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// The golden file shows what the parts of the model become.
func TestExportGolden(t *testing.T) {
	document, err := Export(golden(t))
	if err != nil {
		t.Fatal(err)
	}
	data, err := document.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	const file = "testdata/export.golden.json"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%v: the export is\n%s", err, got.Bytes())
	}
	if want := map[string]string{"net": "rule 1: operator inCIDR has no counterpart in flagd", "needs-net": `prerequisite "net": rule 1: operator inCIDR has no counterpart in flagd`}; !reflect.DeepEqual(document.Reasons, want) {
		t.Errorf("reasons: %v", document.Reasons)
	}
}

func golden(t *testing.T) (set model.Set) {
	t.Helper()
	data, err := os.ReadFile("testdata/set.json")
	if err == nil {
		err = json.Unmarshal(data, &set)
	}
	if err == nil {
		err = set.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestWhatStaysWithTheServer(t *testing.T) {
	clause := func(attribute string, op model.Op, values ...string) *model.Condition {
		c := &model.Condition{Attribute: attribute, Op: op}
		for _, v := range values {
			c.Values = append(c.Values, json.RawMessage(text(v)))
		}
		return c
	}
	long := make([]string, maxInlined+1)
	for i := range long {
		long[i] = fmt.Sprintf("user-%d", i)
	}
	segments := []model.Segment{
		{Key: "long", Members: long}, {Key: "fits", Members: long[1:]},
		{Key: "wide", Members: []string{strings.Repeat("x", maxInlinedBytes)}},
		{Key: "list", List: &model.List{Count: 5}}, {Key: "empty-list", List: &model.List{}},
		{Key: "pattern", When: clause("a", model.OpMatches, "^a")},
	}
	tests := map[string]struct {
		when *model.Condition
		why  string // empty: it is expressed
	}{
		"pattern":              {clause("a", model.OpMatches, "^a"), "matches"},
		"instant":              {clause("a", model.OpBefore, "2026-01-01T00:00:00Z"), "before"},
		"long segment":         {&model.Condition{Segment: "long"}, "2001 members"},
		"wide segment":         {&model.Condition{Segment: "wide"}, "bytes"},
		"list":                 {&model.Condition{Segment: "list"}, "5 members"},
		"segment with pattern": {&model.Condition{Segment: "pattern"}, "matches"},
		"no segment":           {&model.Condition{Segment: "none"}, "no such"},
		"fits":                 {&model.Condition{Segment: "fits"}, ""},
		"empty list":           {&model.Condition{Segment: "empty-list"}, ""},
		"length":               {clause("user.length", model.OpExists), "length"},
		"length at the top":    {clause("length", model.OpExists), ""},
		"prototype":            {clause("__proto__", model.OpExists), "JavaScript"},
		"a method's name":      {clause("org.link.name", model.OpExists), "JavaScript"},
		"name":                 {clause("org.name", model.OpExists), ""},
		"backslash":            {clause(`a\.b`, model.OpExists), "backslash"},
		"empty part":           {clause("a..b", model.OpExists), "empty part"},
		"flagd's own":          {clause("$flagd.timestamp", model.OpExists), "flagd sets"},
		"place with a zero":    {clause("list.01", model.OpExists), "place"},
		"place":                {clause("list.1", model.OpExists), ""},
		"long rule":            {clause("a", model.OpIn, strings.Repeat("x", maxTargeting)), "bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := model.Flag{Key: "f", Type: model.TypeBoolean, Enabled: true, DefaultVariant: "on",
				Variants: []model.Variant{{Name: "on", Value: json.RawMessage("true")}},
				Rules:    []model.Rule{{When: test.when, Serve: "on"}}}
			document, err := Export(model.Set{Flags: []model.Flag{f}, Segments: segments})
			if err != nil {
				t.Fatal(err)
			}
			why := document.Reasons["f"]
			if (why == "") != (test.why == "") || !strings.Contains(why, test.why) {
				t.Fatalf("why: %q", why)
			}
			disabled := bytes.HasPrefix(document.Flags[0].Definition, []byte(`{"state":"DISABLED"`))
			marked := bytes.HasSuffix(document.Flags[0].Definition, []byte(`"metadata":{"seatrialServerEvaluated":true}}`))
			if listed := len(document.ServerEvaluated) == 1; disabled != (why != "") || marked != disabled || listed != disabled {
				t.Errorf("%s, server evaluated: %v", document.Flags[0].Definition, document.ServerEvaluated)
			}
		})
	}
}

func TestBrokenSetsAreErrors(t *testing.T) {
	for name, f := range map[string]model.Flag{
		"value":               {Key: "f", Variants: []model.Variant{{Name: "on", Value: json.RawMessage("tru")}}},
		"definition":          {Key: "f", Definition: json.RawMessage("{")},
		"disabled definition": {Key: "f", Definition: json.RawMessage("[]")},
	} {
		if _, err := Export(model.Set{Flags: []model.Flag{f}}); err == nil || !strings.Contains(err.Error(), `flag "f"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A circle of prerequisites is nothing that a valid set has, but the export ends.
func TestCirclesEnd(t *testing.T) {
	on := []model.Variant{{Name: "on", Value: json.RawMessage("true")}}
	set := model.Set{Flags: []model.Flag{
		{Key: "a", Enabled: true, Variants: on, Prerequisites: []model.Prerequisite{{Flag: "b", Variants: []string{"on"}}}},
		{Key: "b", Enabled: true, Variants: on, Prerequisites: []model.Prerequisite{{Flag: "a", Variants: []string{"on"}}}},
	}}
	document, err := Export(set)
	if err != nil || len(document.ServerEvaluated) != 2 {
		t.Errorf("%v %v", document.Reasons, err)
	}
}
