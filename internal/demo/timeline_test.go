package demo

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/examples/shop/load"
	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", path, got)
	}
}

// states are what a rolled back trial goes through, some of them seen twice.
func states() []trial.State {
	running := trial.State{Phase: trial.PhaseRunning, Why: "Running at 10 %. Waiting for the first outcomes."}
	looking := running
	looking.Why = "Running at 10 %. Errors are 4 %, control 0.5 %."
	holding := looking
	holding.Phase, holding.Why = trial.PhaseHolding, "Holding at 10 %. It may still be within tolerance; the ramp waits for proof."
	ended := holding
	ended.Phase, ended.Result, ended.Blamed = trial.PhaseEnded, trial.ResultRolledBack, []string{"errors"}
	ended.Why = "Rolled back because of errors. It reached 181 users and 1204 requests, 240 of them bad."
	ended.Treatment = trial.Totals{Requests: 1204, Bad: 240, Units: 181, BadUnits: 40}
	ended.Exemplars = []outcome.Exemplar{{TraceID: strings.Repeat("a", 32)}}
	return []trial.State{running, running, looking, holding, holding, ended}
}

// tellAll lets a timeline tell a whole scene within 12 s of fake time.
func tellAll(t *timeline) {
	s := badCanary()
	t.opening(7)
	t.scene(2, 4, s)
	var before *api.Trial
	for _, state := range states() {
		time.Sleep(2 * time.Second)
		now := api.Trial{Spec: s.spec, State: state}
		t.trial(before, now)
		t.progress(now, load.Stats{OK: 2_345, Failed: 67})
		before = &now
	}
	result := resultOf(s, *before)
	result.OK, result.Seconds, result.Traces = true, 10, []string{strings.Repeat("a", 32)}
	t.evidence(result)
	t.summary(Summary{Type: "summary", OK: false, Seed: 7, Seconds: t.seconds(),
		Scenes: []SceneResult{{Name: "good-canary", Verdict: trial.ResultInconclusive, Trial: "recommendations", Seconds: 30}, result},
		Load:   LoadResult{OK: 2_345, Failed: 67, Shed: 1}})
}

func TestTimeline(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  Config
	}{
		{"plain.txt", Config{}},
		{"terminal.txt", Config{Screen: terminal{}}},
		{"events.ndjson", Config{JSON: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				test.cfg.Out = &out
				tellAll(newTimeline(test.cfg.withDefaults()))
				golden(t, test.name, strings.ReplaceAll(out.String(), "\r\x1b[2K", "<erase>"))
			})
		})
	}
}

// terminal is a screen of 80 columns.
type terminal struct{ plain }

func (terminal) Width() int              { return 80 }
func (terminal) Bold(text string) string { return "*" + text + "*" }
func (terminal) Paint(m Mark, s string) string {
	if m == MarkQuiet {
		return "(" + s + ")"
	}
	return s
}

func TestEveryEventIsALineOfJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		tellAll(newTimeline(Config{JSON: true, Out: &out}.withDefaults()))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		for i, line := range lines {
			var doc struct {
				Type   string
				Scenes []SceneResult
			}
			if err := json.Unmarshal([]byte(line), &doc); err != nil {
				t.Fatalf("line %d: %v: %s", i+1, err, line)
			}
			if isLast := i == len(lines)-1; isLast != (doc.Type == "summary") || !isLast && doc.Type != "event" {
				t.Errorf("line %d of %d has type %q", i+1, len(lines), doc.Type)
			}
		}
	})
}

func TestAsExpected(t *testing.T) {
	back := SceneResult{Name: "bad-canary", Verdict: trial.ResultRolledBack, Guardrail: "errors", UsersAffected: 9, Traces: []string{"a", "b", "c"}}
	change := func(f func(*SceneResult)) SceneResult { r := back; f(&r); return r }
	for _, test := range []struct {
		name   string
		result SceneResult
		want   bool
	}{
		{"promoted", SceneResult{Name: "good-canary", Verdict: trial.ResultPromoted}, true},
		{"good canary rolled back", SceneResult{Name: "good-canary", Verdict: trial.ResultRolledBack}, false},
		{"rolled back with evidence", back, true},
		{"without guardrail", change(func(r *SceneResult) { r.Guardrail = "" }), false},
		{"without users", change(func(r *SceneResult) { r.UsersAffected = 0 }), false},
		{"with too few traces", change(func(r *SceneResult) { r.Traces = r.Traces[:2] }), false},
		{"bad canary promoted", change(func(r *SceneResult) { r.Verdict = trial.ResultPromoted }), false},
		{"survived", SceneResult{Name: "chaos-resilient", Verdict: trial.ResultSurvived}, true},
		{"inconclusive", SceneResult{Name: "chaos-resilient", Verdict: trial.ResultInconclusive}, false},
		{"weakness found", SceneResult{Name: "chaos-fragile", Verdict: trial.ResultWeaknessFound}, true},
		{"fragile survived", SceneResult{Name: "chaos-fragile", Verdict: trial.ResultSurvived}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.result.asExpected(); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestEveryScenesEndIsExpected(t *testing.T) {
	if n := len(scenes()); n != len(expected) {
		t.Errorf("%d scenes, %d of them with an expectation", n, len(expected))
	}
	for _, s := range scenes() {
		if expected[s.name] == "" {
			t.Errorf("nobody says how scene %s should end", s.name)
		}
	}
}
