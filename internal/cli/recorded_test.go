package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// recorded is a control plane that holds one trial with its journal and log, as the real one
// stores them: a treatment with four times the control's errors, until it is rolled back.
type recorded struct {
	trial     api.Trial
	intervals []api.Interval
	changes   []api.Change // newest first
}

func record(t *testing.T) *recorded {
	t.Helper()
	spec := trial.Normalize(trial.Spec{Name: "search-v2", Flag: "search", Treatment: "on", Control: "off", Steps: []trial.Step{{Share: 10_000}, {Share: 50_000}},
		Guardrails: []trial.Guardrail{{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.001, Unit: trial.UnitRequest}}})
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s := trial.Start(spec, 1, at)
	r := &recorded{}
	r.log(t, spec, s, at, "ana")
	for !s.Ended() {
		at = at.Add(15 * time.Second)
		iv := outcome.Interval{Seq: s.Seq + 1, Step: s.Step, From: at.Add(-15 * time.Second), To: at,
			Treatment: outcome.Arm{Requests: 100, Bad: 4, NewUnits: 50, AtRiskUnits: 50, BadUnits: 2}, Control: outcome.Arm{Requests: 100, Bad: 1, NewUnits: 50, AtRiskUnits: 50},
			Exemplars: []outcome.Exemplar{{TraceID: fmt.Sprintf("%032d", s.Seq), SpanID: "0000000000000001", Time: at}}}
		next, actions := trial.Next(spec, s, trial.IntervalClosed{Interval: iv})
		row := api.Interval{Seq: iv.Seq, Interval: iv}
		if len(actions) > 0 {
			r.log(t, spec, next, at, automation)
		}
		if iv.Seq%20 == 0 {
			row.State = &next
		}
		if r.intervals, s = append(r.intervals, row), next; s.Seq > 200 {
			t.Fatal("it is not rolled back")
		}
	}
	r.trial = api.Trial{Spec: spec, State: s, Revision: r.changes[0].Revision}
	return r
}

func (r *recorded) log(t *testing.T, spec trial.Spec, s trial.State, at time.Time, actor string) {
	value, err := json.Marshal(api.Trial{Spec: spec, State: s})
	if err != nil {
		t.Fatal(err)
	}
	change := api.Change{Revision: int64(10 + len(r.changes)), Time: at, Actor: actor, Reason: s.Why, Ops: []api.Op{{Kind: "trial", Key: spec.Name, Value: value}}}
	r.changes = append([]api.Change{change}, r.changes...)
}

// ServeHTTP gives intervals in pages of 7, so that paging is tried too.
func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	items := func(list any, next string) {
		_ = json.NewEncoder(w).Encode(map[string]any{"items": list, "nextCursor": next})
	}
	switch req.URL.Path {
	case "/api/v1/trials":
		items([]api.Trial{r.trial}, "")
	case "/api/v1/trials/search-v2":
		_ = json.NewEncoder(w).Encode(r.trial)
	case "/api/v1/trials/search-v2/history":
		items(r.changes, "")
	case "/api/v1/trials/search-v2/intervals":
		var from int
		_, _ = fmt.Sscan(req.URL.Query().Get("cursor"), &from)
		to := min(from+7, len(r.intervals))
		next := ""
		if to < len(r.intervals) {
			next = fmt.Sprint(to)
		}
		items(r.intervals[from:to], next)
	default:
		http.NotFound(w, req)
	}
}

// command runs the command line against the recorded control plane.
func (r *recorded) command(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	srv := httptest.NewServer(r)
	defer srv.Close()
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &stdout, &stderr, func(string) string { return "" })
	code = run(t.Context(), append(args, "--server", srv.URL, "--token", "x"), a)
	return stdout.String(), stderr.String(), code
}

func wants(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%q is missing in:\n%s", part, got)
		}
	}
}

func TestReplayRecorded(t *testing.T) {
	r := record(t)
	out, errs, code := r.command(t, "rollout", "replay", "search-v2")
	if code != 0 || strings.Count(out, "\n") != len(r.intervals)+1 {
		t.Fatalf("exit code %d, %d rows of %d intervals\n%s", code, strings.Count(out, "\n"), len(r.intervals), errs)
	}
	wants(t, errs, fmt.Sprintf("%d intervals, %d decision", len(r.intervals), len(r.changes)-1), "all equal to the bit")
	wants(t, out, "end rolled_back\tequal\tRolled back because of errors.")

	out, _, code = r.command(t, "rollout", "replay", "search-v2", "--rule", "all", "-o", "json")
	var got replayOutput
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || !got.Equal || len(got.Rules) != 7 || len(got.Log) != len(r.intervals)+1 {
		t.Errorf("exit code %d, %v, %d rules", code, err, len(got.Rules))
	}
	if got.Rules[0].Rule != thisTrial || string(got.Rules[0].Action) != "rolled_back" || got.Rules[0].After <= 0 {
		t.Errorf("%+v", got.Rules[0])
	}
}

// TestReplayFindsForgeries: one request more in the journal, one bit more in the log.
func TestReplayFindsForgeries(t *testing.T) {
	r := record(t)
	r.intervals[3].Interval.Treatment.Bad++
	out, errs, code := r.command(t, "rollout", "replay", "search-v2", "-o", "json")
	if code != exitError {
		t.Errorf("exit code %d", code)
	}
	wants(t, errs, "attempt 1 of search-v2 does not replay: interval ")
	wants(t, out, `"equal": false`, `"differs": {`)

	r = record(t)
	r.changes[0].Ops[0].Value = bytes.Replace(r.changes[0].Ops[0].Value, []byte(`"result":"rolled_back"`), []byte(`"result":"promoted"`), 1)
	_, errs, code = r.command(t, "rollout", "replay", "search-v2")
	if code != exitError {
		t.Errorf("exit code %d", code)
	}
	wants(t, errs, `/result is recomputed as "rolled_back", stored as "promoted"`)
}

func TestExplainRecorded(t *testing.T) {
	r := record(t)
	out, errs, code := r.command(t, "rollout", "explain", "search-v2", "-o", "table")
	if code != 0 {
		t.Fatal(errs)
	}
	n := len(r.intervals)
	wants(t, out, "Rolled back because of errors.", "x blamed", fmt.Sprintf("treatment  %d of %d, 4%%", 4*n, 100*n), "valid at any time", "tolerance  +20%|+0.1pp",
		"[####################] e-value", ": decided", fmt.Sprintf("about %d more than the control's rate would have given", 3*n),
		"seatrial trace get 0000", "What other rules would have done", "seatrial rollout replay search-v2")
	out, _, _ = r.command(t, "rollout", "explain", "search-v2", "-o", "json")
	var got explainOutput
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Spent.CausedBad != float64(3*n) || len(got.Guardrails) != 1 || got.Guardrails[0].LogHarm < got.Guardrails[0].HarmAt ||
		len(got.Decisions) != len(r.changes) || len(got.Traces) != outcome.MaxExemplars {
		t.Errorf("%v, %+v", err, got)
	}
}

// TestPlanFromTheJournal: a control that gets a tenth of the traffic and sees 400 requests a
// minute means 4,000.
func TestPlanFromTheJournal(t *testing.T) {
	r := record(t)
	out, errs, code := r.command(t, "rollout", "plan", "search-v2", "-o", "json")
	var got planOutput
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatal(err, errs)
	}
	if got.Traffic.RequestsPerMinute != 4000 || got.Traffic.ErrorRate != 0.01 || got.Traffic.Source != "measured in search-v2, attempt 1" || len(got.Steps) != 2 || got.Steps[1].Safe == nil {
		t.Errorf("%+v", got)
	}
	// A plan of its own on the same flag takes the same traffic; one on another flag has none.
	out, errs, _ = r.command(t, "rollout", "plan", "--flag", "search", "--treatment", "on", "--control", "off")
	wants(t, errs, "measured in search-v2, attempt 1")
	wants(t, out, "\t50%\tlatency\t")
	if _, errs, code = r.command(t, "rollout", "plan", "--flag", "other", "--treatment", "on", "--control", "off"); code != exitError {
		t.Error("exit code", code)
	}
	wants(t, errs, "nothing was measured yet of other")
}
