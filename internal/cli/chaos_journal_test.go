package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// reportedAs is a report on an experiment that ended so, after a steady phase of a minute.
func reportedAs(result trial.Result, verdict trial.Verdict) reportOutput {
	on, end := dayTime.Add(time.Minute), dayTime.Add(5*time.Minute)
	evidence := []evidenceItem{{Name: "errors", Verdict: verdict}, {Name: "latency", Verdict: trial.VerdictSafe}}
	guardrail := func(name string, v trial.Verdict) explainGuardrail {
		return explainGuardrail{guardrailOutput: guardrailOutput{Name: name, Verdict: v, Treatment: trial.Count{Bad: 9, Of: 100}, Control: trial.Count{Bad: 1, Of: 100},
			Ratio: trial.Estimate{Value: 9, Low: 2, High: 30}}, Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Tolerance: "+20%|+1pp"}
	}
	return reportOutput{Trial: "payment-fails", Attempt: 2, Hypothesis: "orders go on | while payment fails", Flag: "fault-payment", Audience: "everybody", Phase: trial.PhaseEnded, Result: result,
		Why: "It is as it is.", StartedAt: dayTime, InjectedAt: on, EndedAt: end,
		Steady:     &trial.Baseline{From: dayTime, To: on, Treatment: trial.Totals{Requests: 100, Units: 50, Bad: 1}, Control: trial.Totals{Requests: 101, Units: 51}},
		Injected:   injectedOutput{Calls: 120, Points: []outcome.Injection{{Point: "payment", Kind: "error", Phase: "before", Calls: 120}}},
		Blast:      blastOutput{Users: 60, Requests: 100, Bad: 9, CausedBad: 8, ControlUsers: 61, MaxUsers: 500, Share: "10%"},
		Guardrails: []explainGuardrail{guardrail("errors", verdict), guardrail("latency", trial.VerdictSafe)}, Blamed: []string{},
		Timeline: []decisionOutput{
			{Time: dayTime, Revision: 4, Actor: "token:1 (ana)", Phase: trial.PhaseSteady, Why: "Started."},
			{Time: on, Revision: 5, Actor: "controller", Phase: trial.PhaseRunning, Why: "The fault is on.", Guardrails: []evidenceItem{{Name: "errors", Verdict: trial.VerdictUndecided}, {Name: "latency", Verdict: trial.VerdictUndecided}}},
			{Time: on.Add(time.Minute), Revision: 6, Actor: "controller", Phase: trial.PhaseHolding, Why: "Holding.", Guardrails: []evidenceItem{{Name: "errors", Verdict: trial.VerdictNoData}, {Name: "latency", Verdict: trial.VerdictUndecided}}},
			{Time: end, Revision: 9, Actor: "controller", Phase: trial.PhaseEnded, Result: result, Why: "It is as it is.", Guardrails: evidence}},
		Traces: []traceOutput{{TraceID: strings.Repeat("ab", 16), Seconds: 0.25, Command: "seatrial trace get " + strings.Repeat("ab", 16)}}, Next: []string{"seatrial chaos replay payment-fails  (every decision, recomputed)"}}
}

func TestJournalSaysHowItEnded(t *testing.T) {
	for _, test := range []struct {
		result            trial.Result
		verdict           trial.Verdict
		status            string
		deviated, metLast bool
	}{
		{trial.ResultSurvived, trial.VerdictSafe, "completed", false, true},
		{trial.ResultWeaknessFound, trial.VerdictHarmful, "completed", true, false},
		{trial.ResultInconclusive, trial.VerdictUndecided, "completed", false, true},
		{trial.ResultAborted, trial.VerdictNoData, "aborted", false, false},
	} {
		j := journal(reportedAs(test.result, test.verdict), "http://127.0.0.1:8420/api/v1/trials/payment-fails", "v1")
		if j.Status != test.status || j.Deviated != test.deviated || j.SteadyStates.After.Met != test.metLast || !j.SteadyStates.Before.Met {
			t.Errorf("%s: status %s, deviated %v, met %v", test.result, j.Status, j.Deviated, j.SteadyStates.After.Met)
		}
		if len(j.SteadyStates.During) != 2 || !j.SteadyStates.During[0].Met || j.SteadyStates.During[1].Met || j.SteadyStates.During[1].Probes[0].Status != "failed" {
			t.Errorf("%s: during %+v", test.result, j.SteadyStates.During)
		}
		if len(j.Run) != 1 || len(j.Rollbacks) != 1 || j.Duration != 300 || j.Run[0].Duration != 240 || j.Run[0].Status != "succeeded" {
			t.Errorf("%s: run %+v", test.result, j.Run)
		}
		validateJournal(t, j)
	}
}

// An experiment whose fault was never on has no run and no steady state after it; one whose fault
// hit nobody has failed to act.
func TestJournalOfWhatNeverWasOn(t *testing.T) {
	r := reportedAs(trial.ResultAborted, trial.VerdictUndecided)
	r.InjectedAt, r.Steady, r.Injected = time.Time{}, nil, injectedOutput{Points: []outcome.Injection{}}
	j := journal(r, "http://127.0.0.1:8420/api/v1/trials/x", "v1")
	if len(j.Run)+len(j.Rollbacks)+len(j.SteadyStates.During) > 0 || j.SteadyStates.After != nil || j.SteadyStates.Before.Met {
		t.Errorf("%+v", j)
	}
	validateJournal(t, j)
	r = reportedAs(trial.ResultInconclusive, trial.VerdictUndecided)
	r.Injected.Calls = 0
	if j := journal(r, "http://127.0.0.1:8420/api/v1/trials/x", "v1"); j.Run[0].Status != "failed" || !strings.Contains(*j.Run[0].Output, "nothing was tried") {
		t.Errorf("%+v", j.Run)
	}
}

// validateJournal holds a journal to what the specification of the Chaos Toolkit says must be there
// (chaostoolkit.org/reference/api/journal and /experiment), written down anew here.
func validateJournal(t *testing.T, j ctkJournal) {
	t.Helper()
	data, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	v := ctkValidator{t}
	for _, field := range []string{"chaoslib-version", "platform", "node"} {
		v.text(doc, field)
	}
	v.oneOf(doc, "status", "completed", "failed", "aborted", "interrupted")
	v.period(doc)
	v.yesOrNo(doc, "deviated")
	x := v.object(doc, "experiment")
	v.text(x, "version", "title", "description")
	hypothesis := v.object(x, "steady-state-hypothesis")
	v.text(hypothesis, "title")
	for _, probe := range v.list(hypothesis, "probes") {
		v.activity(probe, "probe")
		if v.object(probe, "tolerance")["pattern"] == "" {
			t.Error("a probe without a tolerance")
		}
	}
	if method := v.list(x, "method"); len(method) == 0 {
		t.Error("a method has at least one activity")
	}
	for _, list := range []string{"method", "rollbacks"} {
		for _, action := range v.list(x, list) {
			v.activity(action, "action")
		}
	}
	for _, list := range []string{"run", "rollbacks"} {
		for _, one := range v.list(doc, list) {
			v.ran(one, "action")
		}
	}
	states := v.object(doc, "steady_states")
	for _, when := range []string{"before", "after"} {
		if state, ok := states[when]; !ok {
			t.Errorf("steady_states.%s is missing", when)
		} else if state != nil {
			v.state(state.(map[string]any))
		}
	}
	for _, state := range v.list(states, "during") {
		v.state(state)
	}
}

type ctkValidator struct{ t *testing.T }

func (v ctkValidator) text(o map[string]any, fields ...string) {
	v.t.Helper()
	for _, f := range fields {
		if s, ok := o[f].(string); !ok || s == "" {
			v.t.Errorf("%s is %v, not a text", f, o[f])
		}
	}
}

func (v ctkValidator) oneOf(o map[string]any, field string, words ...string) {
	v.t.Helper()
	for _, w := range words {
		if o[field] == w {
			return
		}
	}
	v.t.Errorf("%s is %v, want one of %v", field, o[field], words)
}

func (v ctkValidator) yesOrNo(o map[string]any, field string) {
	v.t.Helper()
	if _, ok := o[field].(bool); !ok {
		v.t.Errorf("%s is %v, not true or false", field, o[field])
	}
}

func (v ctkValidator) object(o map[string]any, field string) map[string]any {
	v.t.Helper()
	inner, ok := o[field].(map[string]any)
	if !ok {
		v.t.Errorf("%s is %v, not an object", field, o[field])
	}
	return inner
}

func (v ctkValidator) list(o map[string]any, field string) (list []map[string]any) {
	v.t.Helper()
	items, ok := o[field].([]any)
	if !ok {
		v.t.Errorf("%s is %v, not a list", field, o[field])
	}
	for _, item := range items {
		list = append(list, item.(map[string]any))
	}
	return list
}

// period checks start, end and duration, in UTC.
func (v ctkValidator) period(o map[string]any) {
	v.t.Helper()
	var at [2]time.Time
	for i, field := range []string{"start", "end"} {
		text := fmt.Sprint(o[field])
		var err error
		if at[i], err = time.Parse(time.RFC3339Nano, text); err != nil || !strings.HasSuffix(text, "Z") {
			v.t.Errorf("%s is %s: %v", field, text, err)
		}
	}
	if d, ok := o["duration"].(float64); !ok || d != at[1].Sub(at[0]).Seconds() {
		v.t.Errorf("duration is %v, from %v to %v", o["duration"], at[0], at[1])
	}
}

func (v ctkValidator) activity(o map[string]any, kind string) {
	v.t.Helper()
	v.oneOf(o, "type", kind)
	v.text(o, "name")
	provider := v.object(o, "provider")
	v.oneOf(provider, "type", "python", "http", "process")
	if url := fmt.Sprint(provider["url"]); !strings.HasPrefix(url, "http://") {
		v.t.Errorf("the url is %q", url)
	}
}

func (v ctkValidator) ran(o map[string]any, kind string) {
	v.t.Helper()
	v.activity(v.object(o, "activity"), kind)
	v.oneOf(o, "status", "succeeded", "failed")
	v.period(o)
	v.text(o, "output")
}

func (v ctkValidator) state(o map[string]any) {
	v.t.Helper()
	v.yesOrNo(o, "steady_state_met")
	for _, probe := range v.list(o, "probes") {
		v.ran(probe, "probe")
		v.yesOrNo(probe, "tolerance_met")
	}
}

func TestReportGolden(t *testing.T) {
	r := reportedAs(trial.ResultWeaknessFound, trial.VerdictHarmful)
	r.Blamed = []string{"errors"}
	r.Description = "<script>alert(1)</script> `x` *y*\n# z"
	golden(t, "testdata/report.md", r.markdown("#"))
}

// What a name or a reason says never becomes markup, nor another cell.
func TestReportsEscapeWhatTheyQuote(t *testing.T) {
	r := reportedAs(trial.ResultSurvived, trial.VerdictSafe)
	r.Hypothesis, r.Why = "a | b\n# c [d](e) <i>", "`|`"
	text := r.markdown("#")
	for _, never := range []string{"\n# c", " [d](e)", "<i>", "a | b"} {
		if strings.Contains(text, never) {
			t.Errorf("the report has %q", never)
		}
	}
}
