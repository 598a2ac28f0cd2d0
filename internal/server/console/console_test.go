package console

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/fleet"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// state is what a test shows.
type state struct {
	trials  []control.TrialEntry
	flags   []control.FlagEntry
	changes []control.Change
	facts   []fleet.Fact
	lever   control.Lever
	err     error
}

func (s state) Head() control.Head { return control.Head{Revision: int64(len(s.changes))} }
func (s state) GetLever() control.LeverEntry {
	return control.LeverEntry{Lever: s.lever}
}
func (s state) ListTrials(control.Page) ([]control.TrialEntry, string) {
	return s.trials, ""
}
func (s state) ListFlags(control.Page) ([]control.FlagEntry, string) { return s.flags, "" }
func (s state) ListChanges(context.Context, int64, int) ([]control.Change, error) {
	return s.changes, s.err
}

func newConsole(t *testing.T, s state) *Console {
	t.Helper()
	store, err := traces.NewStore(traces.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	store.Add([]traces.Span{{TraceID: traces.TraceID{15: 1}, SpanID: traces.SpanID{1}, Service: "payment", Name: "charge", Start: 1, End: 2}})
	reports := fleet.New(fleet.Limits{})
	reports.AddFacts(s.facts)
	return New(Config{State: s, Traces: store, Fleet: reports, Environment: "production"})
}

func render(t *testing.T, s state) (*httptest.ResponseRecorder, string) {
	t.Helper()
	w := httptest.NewRecorder()
	who := control.Principal{Name: "Ada", Role: control.RoleViewer, Kind: control.TokenSession}
	if err := newConsole(t, s).Home(w, httptest.NewRequest("GET", "/", nil), who); err != nil {
		t.Fatal(err)
	}
	return w, w.Body.String()
}

const hostile = `<script>alert("x")</script>`

func full() state {
	spec := trial.Normalize(trial.Spec{Name: "express", Flag: "express-checkout", Treatment: "on", Control: "off", Guardrails: trial.DefaultGuardrails()})
	running := trial.State{Phase: trial.PhaseHolding, Why: "Holding at 5 %. " + hostile, Step: 1, StartedAt: time.Unix(0, 0)}
	running.Guardrails = []trial.GuardrailState{
		{Name: "errors", Verdict: trial.VerdictUndecided, Treatment: trial.Count{Bad: 5, Of: 200}, Control: trial.Count{Bad: 2, Of: 200}, Ratio: trial.Estimate{Value: 2.5, Low: 0.9, High: 6.01}},
		{Name: "latency", Verdict: trial.VerdictHarmful},
	}
	watched := spec
	watched.Name, watched.Goal = "payment-slow", trial.GoalSurvive
	ended := spec
	ended.Name, ended.Goal = "payment-down", trial.GoalSurvive
	over := trial.State{Phase: trial.PhaseEnded, Result: trial.ResultWeaknessFound, Why: "Payment failures reached the users.", EndedAt: time.Unix(60, 0),
		Exemplars: []outcome.Exemplar{{TraceID: traces.TraceID{15: 1}.String(), Seconds: 0.25}, {TraceID: hostile}}}
	return state{
		trials: []control.TrialEntry{{Trial: control.Trial{Spec: spec, State: running}}, {Trial: control.Trial{Spec: watched, State: trial.State{Phase: trial.PhaseRunning}}}, {Trial: control.Trial{Spec: ended, State: over}}},
		flags: []control.FlagEntry{
			{Flag: flag.Flag{Key: "express-checkout", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off"}},
			{Flag: flag.Flag{Key: "old", Kind: flag.KindConfig, Type: flag.TypeString}},
		},
		changes: []control.Change{
			{Revision: 1, Actor: hostile, Reason: hostile, Ops: []control.Op{{Kind: control.KindFlag, Key: "old"}}},
			{Revision: 2, Actor: "controller", Ops: make([]control.Op, 5)},
		},
		lever: control.Lever{Off: true, Reason: "incident 4711 " + hostile, By: hostile, At: time.Unix(3600, 0)},
		facts: []fleet.Fact{
			{Kind: fleet.OfState, Name: "pg", Service: hostile, Instance: "1", Variant: "fast", State: fleet.Open, End: 1},
			{Kind: fleet.OfState, Name: "pg", Service: hostile, Instance: "2", Variant: "fast", State: fleet.Closed, End: 1},
			{Kind: fleet.OfBudget, Name: "pg", Service: hostile, Instance: "2", Variant: "fast", Value: 0.25, End: 1},
			{Kind: fleet.OfEvents, Name: "pg", Service: hostile, Instance: "2", Variant: "fast", Event: fleet.Retry, Count: 12, End: 1},
			{Kind: fleet.OfState, Name: "mail", Service: "shop", Instance: "1", State: fleet.HalfOpen, End: 1},
			{Kind: fleet.OfPoint, Name: "charge", Service: "shop", Instance: "1", Allowed: true, Traffic: true, End: 1 << 62},
			{Kind: fleet.OfPoint, Name: "ship", Service: hostile, Instance: "1", End: 1 << 62},
		},
	}
}

func TestThePageTellsHowTrialsStand(t *testing.T) {
	_, page := render(t, full())
	text := regexp.MustCompile(`<style>.*?</style>|<[^>]*>`).ReplaceAllString(strings.ReplaceAll(page, "\n", " "), " ")
	text = strings.Join(strings.Fields(text), " ")
	for _, part := range []string{
		"Environment production , revision 2", "Ada (viewer)", "‖ holding", "Holding at 5 %.", "Share 5%", "Step 2 of 4",
		"2.5% (5 of 200)", "1% (2 of 200)", "2.5× (0.9× to 6×)", "◌ undecided", "✖ harmful", "seatrial rollout abort express", "▶ running", "seatrial chaos abort payment-slow",
		"✖ weakness found", "Payment failures reached the users.", "Share 0%", "payment charge, 250ms", "1970-01-01 00:01:00 UTC",
		"■ Faults are off in the whole environment: incident 4711", "1970-01-01 01:00:00 UTC . No experiment starts.", "seatrial chaos on --reason WHY",
		"switched off", "code default", "removed flag old", "and 2 more",
		"mail shop ‖ half-open ", "✖ open in 1 of 2 ", " fast 25% 0 12 ", "charge shop ✔ allowed 20", "■ denied –",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in the page: %s", part, text)
		}
	}
	if strings.Contains(text, "chaos abort payment-down") {
		t.Error("a trial that has ended cannot be stopped")
	}
	if strings.Index(text, "controller") > strings.Index(text, "removed flag old") {
		t.Error("the newest change comes first")
	}
}

func TestThePageShowsEveryMetric(t *testing.T) {
	deployed := trial.Normalize(trial.Spec{Name: "checkout", Cohorts: &trial.Cohorts{Service: "shop", Treatment: "v2", Control: "v1"}, Guardrails: []trial.Guardrail{
		{Name: "arrivals", Metric: trial.MetricThroughput, Mode: trial.ModeHold, Relative: 0.05},
		{Name: "basket", Metric: trial.MetricValue, Mode: trial.ModeEnforce, Event: "basket", Better: trial.BetterHigher, Relative: 0.1},
	}})
	running := trial.State{Phase: trial.PhaseRunning, Guardrails: []trial.GuardrailState{
		{Name: "arrivals", Verdict: trial.VerdictSafe, Treatment: trial.Count{Of: 97}, Control: trial.Count{Of: 101}},
		{Name: "basket", Verdict: trial.VerdictUndecided, Treatment: trial.Count{Of: 4, Sum: 50}, Control: trial.Count{Of: 5, Sum: 60}, Difference: &trial.Difference{Value: 0.5, Low: -2, High: 3}},
	}}
	quiet := trial.Spec{Name: "selftest", Flag: "f", Goal: trial.GoalCalibrate}
	_, page := render(t, state{trials: []control.TrialEntry{
		{Trial: control.Trial{Spec: deployed, State: running}},
		{Trial: control.Trial{Spec: quiet, State: trial.State{Phase: trial.PhaseEnded, Result: trial.ResultQuiet, EndedAt: time.Unix(60, 0)}}},
	}})
	text := strings.Join(strings.Fields(regexp.MustCompile(`<style>.*?</style>|<[^>]*>`).ReplaceAllString(strings.ReplaceAll(page, "\n", " "), " ")), " ")
	for _, part := range []string{
		"Deployments shop by service.version: v2 against v1", "arrivals (hold) 101 97", "5 % fewer than assigned",
		"basket 12 (mean of 5) 12.5 (mean of 4) &#43;0.5 (-2 to &#43;3) −10 %", "✔ quiet",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in the page: %s", part, text)
		}
	}
	if strings.Contains(text, "Share 50%") {
		t.Error("the share of deployments is not ours to tell")
	}
}

func TestNothingOnThePageRuns(t *testing.T) {
	w, page := render(t, full())
	if strings.Contains(page, hostile) || strings.Contains(strings.ToLower(page), "<script") {
		t.Fatal("text became markup")
	}
	if m := regexp.MustCompile(`(?i)\son[a-z]+=|javascript:|\sstyle=|src=|https?://`).FindString(page); m != "" {
		t.Fatalf("the page has %q", m)
	}
	css := page[strings.Index(page, "<style>")+len("<style>") : strings.Index(page, "</style>")]
	sum := sha256.Sum256([]byte(css))
	policy := w.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("%q is not in the policy %q", part, policy)
		}
	}
}

// The structure that assistive technology goes by, and what a narrow screen needs.
func TestThePageIsAccessible(t *testing.T) {
	_, page := render(t, full())
	for _, part := range []string{`<html lang="en">`, `name="viewport"`, `name="color-scheme"`, `<main id="main">`, `href="#main"`, "<header>", "<footer>", "prefers-color-scheme:dark", "<title>production · Seatrial</title>"} {
		if !strings.Contains(page, part) {
			t.Errorf("%q is not in the page", part)
		}
	}
	if n := strings.Count(page, "<h1>"); n != 1 {
		t.Errorf("%d headings of the first level", n)
	}
	level := 0
	for _, m := range regexp.MustCompile(`<h([1-6])`).FindAllStringSubmatch(page, -1) {
		if next := int(m[1][0] - '0'); next > level+1 {
			t.Errorf("heading level %d follows %d", next, level)
		} else {
			level = next
		}
	}
	if strings.Count(page, "<table>") != strings.Count(page, `class="scroll" role="region" aria-label`) {
		t.Error("a table is not in a region that scrolls and has a name")
	}
	if cells := regexp.MustCompile(`<th>`).FindString(page); cells != "" {
		t.Error("a heading cell does not say what it heads")
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("id %s is there twice", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`aria-labelledby="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !ids[m[1]] {
			t.Errorf("the name %s leads nowhere", m[1])
		}
	}
}

// Contrast of text is at least 4.5 to 1 in both schemes (WCAG 2.2, 1.4.3).
func TestContrast(t *testing.T) {
	for _, m := range regexp.MustCompile(`:root\{([^}]*)\}`).FindAllStringSubmatch(style, -1) {
		colours := map[string]float64{}
		for _, c := range regexp.MustCompile(`--(\w+):(#\w+)`).FindAllStringSubmatch(m[1], -1) {
			colours[c[1]] = luminance(t, c[2])
		}
		for _, ink := range []string{"ink", "dim", "link", "good", "bad", "wait"} {
			for _, ground := range []string{"page", "card"} {
				a, b := colours[ink], colours[ground]
				if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
					t.Errorf("%s on %s: %.2f to 1", ink, ground, ratio)
				}
			}
		}
	}
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 4 {
		hex = "#" + strings.Repeat(hex[1:2], 2) + strings.Repeat(hex[2:3], 2) + strings.Repeat(hex[3:4], 2)
	}
	var r, g, b int
	if _, err := fmt.Sscanf(hex, "#%02x%02x%02x", &r, &g, &b); err != nil {
		t.Fatal(err)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}

func linear(c int) float64 {
	v := float64(c) / 255
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

func TestAnEmptyServerSaysWhatToDo(t *testing.T) {
	_, page := render(t, state{})
	for _, part := range []string{"No trial is running", "seatrial rollout start", "There is no flag yet", "seatrial flag create", "Nothing has been changed yet", "seatrial dependency list -w", "No service has reported a point yet"} {
		if !strings.Contains(page, part) {
			t.Errorf("%q is not in the page", part)
		}
	}
	if strings.Contains(page, "Faults are off") {
		t.Error("faults are allowed unless somebody said otherwise")
	}
	w := httptest.NewRecorder()
	newConsole(t, state{}).SignIn(w, 401, hostile)
	if body := w.Body.String(); w.Code != 401 || strings.Contains(body, hostile) || !strings.Contains(body, "There is no password") {
		t.Fatalf("got %d %s", w.Code, body)
	}
	if err := newConsole(t, state{err: errors.New("no store")}).Home(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), control.Principal{}); err == nil {
		t.Fatal("a page without its changes was shown")
	}
}
