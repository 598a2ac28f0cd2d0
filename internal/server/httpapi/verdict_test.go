package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// versions is a plan that compares v2 with v1 of the shop.
const versions = `{"name":"shop","cohorts":{"service":"shop","attribute":"service.version","treatment":"v2","control":"v1"}}`

// flagger is what Flagger posts.
func flagger(phase, checksum string) string {
	return `{"name":"podinfo","namespace":"test","phase":"` + phase + `","checksum":"` + checksum + `","buildId":"of a newer one","metadata":{"service":"podinfo"}}`
}

func (b *bench) verdict(method, path, body string) (v verdictAnswer) {
	b.t.Helper()
	b.send(method, path, body).want(200).json(&v)
	return v
}

func TestTheVerdictOfATrial(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/flags", searchFlag).want(201)
	b.send("POST", v1+"/trials", searchRun).want(201)
	path := v1 + "/trials/new-search/verdict"
	for _, method := range []string{"GET", "POST"} {
		v := b.verdict(method, path, "")
		if v.Trial != "new-search" || v.Verdict != trial.VerdictNoData || v.Phase != trial.PhaseRunning || len(v.Guardrails) != 2 || v.Why == "" {
			t.Errorf("%s: %+v", method, v)
		}
	}
	if a := b.send("POST", path+"?expect=safe,undecided", "{}").wantProblem(control.CodePrecondition); a.Status != 409 || !strings.Contains(a.Detail, "no_data") {
		t.Errorf("%+v", a)
	}
	b.send("GET", path+"?expect=no_data", "").want(200)
	if p := b.send("GET", path+"?expect=save", "").wantProblem(control.CodeInvalid); !strings.Contains(p.Detail, `"safe"`) {
		t.Errorf("no suggestion: %s", p.Detail)
	}
	b.send("POST", path, strings.Repeat("x", maxIgnored)).want(200)
	b.send("POST", path, strings.Repeat("x", maxIgnored+1)).wantProblem(control.CodeTooLarge)
	b.send("GET", v1+"/trials/unknown/verdict", "").wantProblem(control.CodeNotFound)
	b.send("POST", v1+"/trials/new-search/actions", `{"verb":"abort","reason":"enough"}`).want(200)
	if v := b.verdict("GET", path, ""); v.Verdict != trial.VerdictUndecided || v.Result != trial.ResultAborted {
		t.Errorf("after an abort: %+v", v)
	}
}

// The gravest guardrail decides, and a result stays.
func TestOverall(t *testing.T) {
	spec := &trial.Spec{Guardrails: []trial.Guardrail{{Mode: trial.ModeEnforce}, {Mode: trial.ModeHold}, {Mode: trial.ModeShadow}}}
	state := func(verdicts ...trial.Verdict) *trial.State {
		s := &trial.State{Phase: trial.PhaseRunning}
		for _, v := range verdicts {
			s.Guardrails = append(s.Guardrails, trial.GuardrailState{Verdict: v})
		}
		return s
	}
	const safe, harmful, undecided, noData, wrong = trial.VerdictSafe, trial.VerdictHarmful, trial.VerdictUndecided, trial.VerdictNoData, trial.VerdictInvalid
	ended := func(r trial.Result) *trial.State {
		s := state(undecided, undecided, undecided)
		s.Phase, s.Result = trial.PhaseEnded, r
		return s
	}
	unequal := state(safe, safe, safe)
	unequal.Sample.Invalid = true
	watched := state(noData, noData, noData)
	watched.Phase = trial.PhaseWatching
	for _, c := range []struct {
		state *trial.State
		want  trial.Verdict
	}{
		{state(safe, safe, harmful), safe},
		{state(safe, undecided, safe), undecided},
		{state(safe, harmful, safe), undecided},
		{state(harmful, safe, safe), harmful},
		{state(harmful, noData, safe), harmful},
		{state(undecided, noData, safe), noData},
		{state(wrong, noData, safe), wrong},
		{unequal, wrong}, {watched, safe},
		{ended(trial.ResultPromoted), safe}, {ended(trial.ResultRolledBack), harmful},
		{ended(trial.ResultWeaknessFound), harmful}, {ended(trial.ResultSurvived), safe},
		{ended(trial.ResultAborted), undecided}, {ended(trial.ResultInconclusive), undecided},
	} {
		if got := overall(spec, c.state); got != c.want {
			t.Errorf("%+v: %s, want %s", c.state, got, c.want)
		}
	}
}

func TestEnsuringAVerdict(t *testing.T) {
	b := newBench(t)
	attempt := func(what, path, body string, want int) {
		t.Helper()
		if v := b.verdict("POST", v1+path, body); v.Attempt != want {
			t.Errorf("%s: attempt %d, want %d: %+v", what, v.Attempt, want, v)
		}
	}
	v3 := strings.Replace(versions, "v2", "v3", 1)
	attempt("first", "/verdicts", versions, 1)
	attempt("again", "/verdicts", versions, 1)
	attempt("another version", "/verdicts", v3, 2)
	attempt("it again", "/verdicts", v3, 2)
	attempt("another artifact of that version", "/verdicts", strings.Replace(v3, `{"name"`, `{"artifact":"abc","name"`, 1), 3)
	attempt("another control", "/verdicts", strings.Replace(v3, `"v1"`, `"v2"`, 1), 4)
	b.send("POST", v1+"/trials/shop/actions", `{"verb":"abort"}`).want(200)
	attempt("after its end", "/verdicts", v3, 4)
	attempt("after its end, on demand", "/verdicts?retry=true", v3, 5)
	attempt("running, on demand", "/verdicts?retry=true", v3, 5)

	var history page[struct{ Reason string }]
	b.send("GET", v1+"/trials/shop/history", "").want(200).json(&history)
	if !strings.Contains(fmt.Sprint(history.Items), "v3 is tried instead of v2") {
		t.Errorf("the reason of the replacement is missing: %v", history.Items)
	}
	b.send("POST", v1+"/verdicts?expect=safe", v3).wantProblem(control.CodePrecondition)
	b.send("POST", v1+"/verdicts", searchRun).wantProblem(control.CodeInvalid)
	b.send("POST", v1+"/verdicts", strings.Replace(versions, `"v1"`, `"v2"`, 1)).wantProblem(control.CodeInvalid)
	b.send("POST", v1+"/flags", searchFlag).want(201)
	b.send("POST", v1+"/trials", searchRun).want(201)
	b.send("POST", v1+"/verdicts", strings.Replace(versions, `"name":"shop"`, `"name":"new-search"`, 1)).wantProblem(control.CodePrecondition)
}

func TestFlaggersWebhooks(t *testing.T) {
	b := newBench(t)
	path := v1 + "/verdicts/flagger"
	for _, phase := range []string{"Initialized", "Waiting", "Succeeded", "Failed"} {
		if v := b.verdict("POST", path, flagger(phase, "1")); v.Verdict != trial.VerdictNoData || v.Attempt != 0 || v.Trial != "test.podinfo" {
			t.Errorf("%s: %+v", phase, v)
		}
	}
	b.send("GET", v1+"/trials/test.podinfo", "").want(404)
	b.send("POST", path+"?expect=harmful", flagger("Waiting", "1")).wantProblem(control.CodePrecondition)
	if v := b.verdict("POST", path, flagger("Progressing", "1")); v.Attempt != 1 || v.Artifact != "1" {
		t.Errorf("%+v", v)
	}
	var entry control.TrialEntry
	b.send("GET", v1+"/trials/test.podinfo", "").want(200).json(&entry)
	if got, want := *entry.Spec.Cohorts, (trial.Cohorts{Service: "podinfo", Attribute: "k8s.deployment.name", Treatment: "podinfo", Control: "podinfo-primary"}); got != want {
		t.Errorf("cohorts %+v, want %+v", got, want)
	}
	if v := b.verdict("POST", path, flagger("WaitingPromotion", "1")); v.Attempt != 1 {
		t.Errorf("%+v", v)
	}
	if v := b.verdict("POST", path, flagger("Progressing", "2")); v.Attempt != 2 || v.Artifact != "2" {
		t.Errorf("another revision: %+v", v)
	}
	plan := strings.Replace(flagger("Progressing", "3"), `"service":"podinfo"`, `"trial":"other","treatment":"blue","control":"green",
		"plan":"{\"interval\":\"30s\",\"cohorts\":{\"attribute\":\"color\",\"treatment\":\"x\",\"control\":\"y\"}}"`, 1)
	b.send("POST", path, plan).want(200)
	b.send("GET", v1+"/trials/other", "").want(200).json(&entry)
	if c := entry.Spec.Cohorts; c.Attribute != "color" || c.Treatment != "blue" || c.Control != "green" || entry.Spec.Interval.String() != "30s" {
		t.Errorf("%+v", entry.Spec)
	}
	for _, wrong := range []string{
		`{}`, `[]`, flagger("Progressing", ""),
		strings.Replace(flagger("Progressing", "1"), `"service"`, `"sevrice"`, 1),
		strings.Replace(flagger("Progressing", "1"), `"service":"podinfo"`, `"plan":"{\"intervall\":\"1s\"}"`, 1),
	} {
		b.send("POST", path, wrong).wantProblem(control.CodeInvalid)
	}
}
