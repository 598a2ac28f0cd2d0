package importer

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	model "github.com/seatrial/seatrial/internal/core/flag"
)

var update = flag.Bool("update", false, "write the golden files")

// files are the test files; they were written after the formats' documentation.
var files = map[string]struct {
	path, environment string
	run               func([]byte, Options) (*Result, error)
}{
	"goff":         {"goff.yaml", "", GoFeatureFlag},
	"unleash":      {"unleash.json", "production", Unleash},
	"launchdarkly": {"launchdarkly.json", "production", LaunchDarkly},
	"growthbook":   {"growthbook.json", "", GrowthBook},
}

func load(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", files[name].path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var now = time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC)

func imported(t testing.TB, name string) *Result {
	t.Helper()
	result, err := files[name].run(load(t, name), Options{Environment: files[name].environment, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// The golden files show what becomes of every flag, and what its notes say.
func TestGolden(t *testing.T) {
	for name := range files {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			encoder := json.NewEncoder(&b)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(imported(t, name)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".golden.json")
			if *update {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil || !bytes.Equal(want, b.Bytes()) {
				t.Errorf("%v: the import is\n%s", err, b.Bytes())
			}
		})
	}
}

// Nothing is dropped without a word, and what comes out is a valid set.
func TestEveryFlagHasANote(t *testing.T) {
	counts := map[string]int{"goff": 11, "unleash": 11, "launchdarkly": 6, "growthbook": 11}
	for name := range files {
		result := imported(t, name)
		checkResult(t, result)
		noted := map[string]bool{}
		for _, n := range result.Notes {
			if n.Flag != "" && !strings.HasPrefix(n.Flag, "segment ") {
				noted[n.Flag] = true
			}
		}
		if len(noted) != counts[name] {
			t.Errorf("%s: %d flags have notes, the file has %d", name, len(noted), counts[name])
		}
	}
}

func checkResult(t *testing.T, r *Result) {
	t.Helper()
	if _, err := eval.Compile(model.Set{Flags: r.Flags, Segments: r.Segments}); err != nil {
		t.Error(err)
	}
	for _, n := range r.Notes {
		if n.Detail == "" || strings.Contains(n.Detail, "%!") {
			t.Errorf("note %+v", n)
		}
	}
}

// The answers are those of the other systems, as their documentation has them, for contexts where no
// hash decides.
func TestDecisionsStay(t *testing.T) {
	type attributes = map[string]any
	tests := []struct {
		source, flag, key string
		attributes        attributes
		want              string
	}{
		{"goff", "new-checkout", "u", attributes{"email": "a@example.COM", "country": "FR"}, "enabled"},
		{"goff", "new-checkout", "u", attributes{"email": "a@example.com", "country": "DE"}, "disabled"},
		{"goff", "new-checkout", "u", attributes{"country": "FR"}, "disabled"},
		{"goff", "new-checkout", "42", nil, "enabled"},
		{"goff", "full", "u", attributes{"plan": "pro"}, "b"},
		{"goff", "full", "u", attributes{"plan": "free"}, "a"},
		{"goff", "static", "u", nil, "b"},
		{"goff", "scheduled", "u", nil, "off"},
		{"goff", "switched-off", "u", nil, ""},
		{"goff", "experiment", "u", nil, ""},
		{"unleash", "plain", "u", nil, "on"},
		{"unleash", "users", "bob", nil, "on"},
		{"unleash", "users", "carol", nil, "off"},
		{"unleash", "users", "", nil, "off"},
		{"unleash", "off", "u", nil, ""},
		{"unleash", "child", "alice", nil, "on"},
		{"unleash", "child", "carol", nil, "off"},
		{"unleash", "networks", "", attributes{"remoteAddress": "10.1.2.3"}, "on"},
		{"unleash", "networks", "", attributes{"remoteAddress": "192.168.1.1"}, "on"},
		{"unleash", "networks", "", attributes{"remoteAddress": "192.168.1.2"}, "off"},
		{"unleash", "constrained", "u", attributes{"plan": "pro", "email": "x@example.COM", "age": 18, "version": "2.0.0", "currentTime": "2026-06-01T00:00:00Z"}, "on"},
		{"unleash", "constrained", "u", attributes{"plan": "pro", "email": "x@example.COM", "age": 18, "version": "1.9.0", "currentTime": "2026-06-01T00:00:00Z"}, "off"},
		{"unleash", "constrained", "u", attributes{"plan": "pro", "email": "x@example.COM", "age": 18, "country": "FR", "version": "2.0.0", "currentTime": "2026-06-01T00:00:00Z"}, "off"},
		{"launchdarkly", "checkout", "alice", nil, "New"},
		{"launchdarkly", "checkout", "bob", nil, "New"},
		{"launchdarkly", "checkout", "carol", attributes{"email": "c@example.com", "country": "FR"}, "false"},
		{"launchdarkly", "checkout", "u", attributes{"organization": attributes{"key": "acme"}}, "New"},
		{"launchdarkly", "checkout", "u", attributes{"email": "c@example.com", "country": "FR"}, "New"},
		{"launchdarkly", "checkout", "u", attributes{"email": "c@example.com", "country": "DE"}, "false"},
		{"launchdarkly", "checkout", "u", attributes{"email": "c@example.com"}, "false"}, // a negated clause needs the attribute
		{"launchdarkly", "checkout", "erin", attributes{"plan": "beta"}, "false"},
		{"launchdarkly", "limit", "u", nil, "10"}, // the prerequisite is not met
		{"launchdarkly", "limit", "alice", attributes{"address": attributes{"zip": 101}, "since": "2025-12-31T00:00:00Z"}, "100.5"},
		{"launchdarkly", "limit", "alice", nil, "10"}, // there is nothing to hash: the first bucket
		{"launchdarkly", "off", "u", nil, ""},
		{"growthbook", "banner", "alice", attributes{"country": "FR"}, "big"},
		{"growthbook", "banner", "alice", nil, "big"},
		{"growthbook", "banner", "alice", attributes{"country": "DE"}, "none"},
		{"growthbook", "static", "u", nil, "variant-1"},
		{"growthbook", "null", "u", attributes{"version": "1.3"}, "5"},
		{"growthbook", "null", "u", attributes{"version": "1.3", "gone": 1}, ""},
		{"growthbook", "null", "u", nil, ""},
		{"growthbook", "grouped", "alice", nil, "true"},
		{"growthbook", "grouped", "42", nil, "true"},
		{"growthbook", "grouped", "alice", attributes{"company": "acme"}, "false"},
		{"growthbook", "grouped", "bob", nil, "false"},
		{"growthbook", "insensitive", "u", attributes{"plan": "PRO"}, "true"},
		{"growthbook", "insensitive", "u", attributes{"plan": "42"}, "true"},
		{"growthbook", "insensitive", "u", attributes{"plan": "prof"}, "false"},
	}
	snapshots := map[string]*eval.Snapshot{}
	for name := range files {
		result := imported(t, name)
		snapshot, err := eval.Compile(model.Set{Flags: result.Flags, Segments: result.Segments})
		if err != nil {
			t.Fatal(err)
		}
		snapshots[name] = snapshot
	}
	for _, test := range tests {
		got := snapshots[test.source].Evaluate(test.flag, &eval.Context{TargetingKey: test.key, Attributes: test.attributes})
		if got.Variant != test.want || got.Error != "" {
			t.Errorf("%s %s for %q %v: %q %s, want %q", test.source, test.flag, test.key, test.attributes, got.Variant, got.Error, test.want)
		}
	}
}

func TestSkippedSaysWhy(t *testing.T) {
	tests := map[string]map[string]string{
		"goff":         {"lists": "lists", "bad-query": "targeting 1: the query"},
		"unleash":      {"custom": `strategy 1: strategy "phaseOfMoon"`, "broken-segment": "IS_PRIME", "segment odd": "IS_PRIME"},
		"launchdarkly": {"big": "member list", "mixed": "several types", "elsewhere": `environment "production"`, "segment part": "percentage", "segment huge": "big segment"},
		"growthbook":   {"one-rule-parent": "one rule only", "sized": "$size", "list": "lists"},
	}
	for name, flags := range tests {
		notes := map[string]string{}
		for _, n := range imported(t, name).Notes {
			if n.Level == Skipped {
				notes[n.Flag] = n.Detail
			}
		}
		for of, want := range flags {
			if !strings.Contains(notes[of], want) {
				t.Errorf("%s %s: %q, want %q", name, of, notes[of], want)
			}
		}
		if len(notes) != len(flags) {
			t.Errorf("%s: %d are skipped: %v", name, len(notes), notes)
		}
	}
}

func TestEnvironmentIsChosen(t *testing.T) {
	for _, name := range []string{"unleash", "launchdarkly"} {
		for _, environment := range []string{"", "nowhere"} {
			_, err := files[name].run(load(t, name), Options{Environment: environment})
			if err == nil || !strings.Contains(err.Error(), `"production"`) {
				t.Errorf("%s, environment %q: %v", name, environment, err)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	for name := range files {
		if source, ok := Detect(load(t, name)); !ok || source.Name != name {
			t.Errorf("%s is taken for %q", name, source.Name)
		}
	}
	more := map[string]string{
		`{"flags": {"a": {"key": "a", "variations": [true]}}, "segments": {}}`: "launchdarkly",
		`{"version": 2, "features": []}`:                                       "unleash",
		`{"encryptedFeatures": "x"}`:                                           "growthbook",
		`{"flags": {"a": {"state": "ENABLED", "variants": {}}}}`:               "",
		`[]`: "", `{`: "", `a: 1`: "",
	}
	for data, want := range more {
		if source, _ := Detect([]byte(data)); source.Name != want {
			t.Errorf("%s is taken for %q, want %q", data, source.Name, want)
		}
	}
}

func TestBrokenFiles(t *testing.T) {
	for name, file := range files {
		for data, want := range map[string]string{
			"{":                                   "file:1:",
			"[1]":                                 "must be an object",
			`{"features": 5, "items": 5, "a": 5}`: "",
		} {
			result, err := file.run([]byte(data), Options{})
			switch {
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%s of %s: %v", name, data, err)
			case err == nil:
				checkResult(t, result)
			}
		}
	}
}

func TestSDKDataOfLaunchDarkly(t *testing.T) {
	data := `{"flags": {"f": {"key": "f", "on": true, "variations": ["a", "b"], "fallthrough": {"variation": 0},
		"targets": [{"values": ["x"], "variation": 1}]}}, "flagValues": {"g": 5}, "segments": {}}`
	result, err := LaunchDarkly([]byte(data), Options{})
	if err != nil || len(result.Flags) != 2 || result.Flags[0].Overrides[0].Variant != "b" || result.Flags[1].DefaultVariant != "5" {
		t.Errorf("%+v %v", result, err)
	}
}

func TestClientDataOfUnleash(t *testing.T) {
	data := `{"version": 2, "features": [{"name": "f", "enabled": true, "strategies": [
		{"name": "flexibleRollout", "parameters": {"rollout": "100", "stickiness": "userId", "groupId": "f"}, "segments": [7],
		 "variants": [{"name": "v", "weight": 1000, "payload": {"type": "number", "value": "1.5"}}]}]}],
		"segments": [{"id": 7, "constraints": [{"contextName": "a", "operator": "IN", "values": ["b"]}]}]}`
	result, err := Unleash([]byte(data), Options{})
	if err != nil || len(result.Flags) != 1 || result.Flags[0].Type != model.TypeFloat || result.Flags[0].Rules[0].When.Segment != "segment-7" {
		t.Errorf("%+v %v", result, err)
	}
}

func TestTooMuchIsSkipped(t *testing.T) {
	var rules []string
	for i := range model.MaxRules + 1 {
		rules = append(rules, fmt.Sprintf(`{"query": "a eq %d", "variation": "on"}`, i))
	}
	data := `{"f": {"variations": {"on": true}, "targeting": [` + strings.Join(rules, ",") + `], "defaultRule": {"variation": "on"}},
		"g": {"variations": {"on": true}, "defaultRule": {"variation": "on"}}}`
	result, err := GoFeatureFlag([]byte(data), Options{})
	if err != nil || len(result.Flags) != 1 || len(result.Notes) != 2 || result.Notes[0].Level != Skipped || !strings.Contains(result.Notes[0].Detail, "rules") {
		t.Errorf("%+v %v", result, err)
	}
}

func TestKeys(t *testing.T) {
	for _, name := range []string{"a", "a b", "é", "", "../x", "a/./b", "..", strings.Repeat("x", 300), "a:b", "a|b", ".", "a/.."} {
		if err := model.CheckKey(key(name)); err != nil {
			t.Errorf("key(%q) = %q: %v", name, key(name), err)
		}
	}
	if key("a b") == key("a:b") || key("ok") != "ok" {
		t.Error("keys are mixed up")
	}
}

func FuzzGoFeatureFlag(f *testing.F) { fuzz(f, "goff") }
func FuzzUnleash(f *testing.F)       { fuzz(f, "unleash") }
func FuzzLaunchDarkly(f *testing.F)  { fuzz(f, "launchdarkly") }
func FuzzGrowthBook(f *testing.F)    { fuzz(f, "growthbook") }

// Whatever is read, the result is valid.
func fuzz(f *testing.F, name string) {
	f.Add(load(f, name), "production")
	f.Add([]byte(`{"features": {}, "items": [], "flags": {}}`), "")
	f.Fuzz(func(t *testing.T, data []byte, environment string) {
		result, err := files[name].run(data, Options{Environment: environment})
		if err == nil {
			checkResult(t, result)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{`a eq "b"`, `not (a co "x" or b pr) and c in [1,2]`, `a > 1.2.3`, `((((a pr`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) { _, _ = parseQuery(query) })
}
