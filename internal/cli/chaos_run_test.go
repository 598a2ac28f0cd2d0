package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// dayPlane is a control plane whose experiments end at once, as their names say: "a-survived". Those
// whose names end in "-running" run on.
type dayPlane struct {
	mu      sync.Mutex
	off     bool
	refuse  string // the name of an experiment that may not start
	flags   map[string]flag.Flag
	trials  map[string]api.Trial
	started []string
	aborted []string // with the reason
	running chan struct{}
}

func newDayPlane(t *testing.T) (*dayPlane, string) {
	t.Helper()
	p := &dayPlane{flags: map[string]flag.Flag{}, trials: map[string]api.Trial{}, running: make(chan struct{}, 10)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/chaos", p.answer(func(*http.Request) any { return api.Lever{Off: p.off, Reason: "incident"} }))
	mux.HandleFunc("GET /api/v1/points", p.answer(func(*http.Request) any { return list(api.Point{Name: "payment"}) }))
	mux.HandleFunc("GET /api/v1/flags/{key}", p.answer(func(r *http.Request) any {
		if f, ok := p.flags[r.PathValue("key")]; ok {
			return api.Flag{Flag: f, Revision: 1}
		}
		return nil
	}))
	mux.HandleFunc("DELETE /api/v1/flags/{key}", p.answer(func(r *http.Request) any { delete(p.flags, r.PathValue("key")); return struct{}{} }))
	store := p.answer(func(r *http.Request) any {
		var f flag.Flag
		_ = json.NewDecoder(r.Body).Decode(&f)
		p.flags[f.Key] = f
		return api.Flag{Flag: f, Revision: 1}
	})
	mux.HandleFunc("POST /api/v1/flags", store)
	mux.HandleFunc("PUT /api/v1/flags/{key}", store)
	mux.HandleFunc("POST /api/v1/trials", p.answer(p.start))
	mux.HandleFunc("GET /api/v1/trials/{key}", p.answer(func(r *http.Request) any {
		if one, ok := p.trials[r.PathValue("key")]; ok {
			return one
		}
		return nil
	}))
	mux.HandleFunc("POST /api/v1/trials/{key}/actions", p.answer(p.abort))
	mux.HandleFunc("GET /api/v1/trials/{key}/intervals", p.answer(func(*http.Request) any { return list[api.Interval]() }))
	mux.HandleFunc("GET /api/v1/trials/{key}/history", p.answer(func(r *http.Request) any {
		value, _ := json.Marshal(p.trials[r.PathValue("key")])
		return list(api.Change{Revision: 1, Actor: "token:1 (ana)", Time: dayTime, Ops: []api.Op{{Kind: "trial", Key: r.PathValue("key"), Value: value}}})
	}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return p, server.URL
}

var dayTime = time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)

func list[T any](items ...T) any { return map[string]any{"items": append([]T{}, items...)} }

// answer gives what do gives as JSON; nil is not found, an error a refusal.
func (p *dayPlane) answer(do func(*http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		v, status := do(r), http.StatusOK
		switch refused := v.(type) {
		case nil:
			v, status = api.Problem{Title: "Not found", Status: 404, Detail: "there is none", Code: "not_found"}, http.StatusNotFound
		case error:
			v, status = api.Problem{Title: "Precondition", Status: 409, Detail: refused.Error()}, http.StatusConflict
		}
		w.Header().Set("ETag", `"h:1"`)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
}

func (p *dayPlane) start(r *http.Request) any {
	one := api.Trial{Revision: 1}
	_ = json.NewDecoder(r.Body).Decode(&one.Spec)
	name := one.Spec.Name
	if name == p.refuse {
		return fmt.Errorf("another experiment runs")
	}
	result := name[strings.LastIndexByte(name, '-')+1:]
	one.State = trial.State{Attempt: 1, Phase: trial.PhaseEnded, Result: trial.Result(result), Why: "It is as it is.", StartedAt: dayTime, InjectedAt: dayTime, EndedAt: dayTime,
		Guardrails: []trial.GuardrailState{{Name: "errors"}, {Name: "latency"}}}
	one.State.Treatment.Units = 7
	if result == "running" {
		one.State.Phase, one.State.Result, one.State.EndedAt = trial.PhaseRunning, "", time.Time{}
		p.running <- struct{}{}
	}
	p.trials[name] = one
	p.started = append(p.started, name)
	return one
}

func (p *dayPlane) abort(r *http.Request) any {
	var body struct{ Verb, Reason string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	name := r.PathValue("key")
	one := p.trials[name]
	one.State.Phase, one.State.Result, one.State.Why = trial.PhaseEnded, trial.ResultAborted, body.Reason
	p.trials[name] = one
	p.aborted = append(p.aborted, body.Verb+" "+name+": "+body.Reason)
	return one
}

// hold writes a game day of experiments by their names ("pause" and "ask" are pauses), and holds it.
func hold(t *testing.T, ctx context.Context, url, stdin, head string, steps []string, args ...string) (code int, out, errs string) {
	t.Helper()
	file := head + "title: Payment\nsteps:\n"
	for _, s := range steps {
		switch s {
		case "pause":
			file += "- pause: 1s\n"
		case "ask":
			file += "- pause: ask\n  message: Is somebody on call?\n"
		default:
			file += "- experiment: {name: " + s + ", hypothesis: orders go on, point: payment, error: 503}\n"
		}
	}
	path := filepath.Join(t.TempDir(), "day.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	a := newApp(strings.NewReader(stdin), &o, &e, func(string) string { return "" })
	code = run(ctx, append([]string{"chaos", "run", "-f", path, "--server", url, "--token", "x"}, args...), a)
	return code, o.String(), e.String()
}

func TestHowAGameDayEnds(t *testing.T) {
	for name, test := range map[string]struct {
		head, stdin string
		steps       []string
		args        []string
		refuse      string
		code        int
		started     []string
		says        string
	}{
		"all survive":          {steps: []string{"a-survived", "b-survived"}, code: 0, started: []string{"a-survived", "b-survived"}, says: "b-survived: It is as it is."},
		"a weakness stops":     {steps: []string{"a-weakness_found", "b-survived"}, code: 3, started: []string{"a-weakness_found"}, says: "stopped early: a-weakness_found found a weakness"},
		"or not":               {head: "onWeakness: continue\n", steps: []string{"a-weakness_found", "b-survived"}, code: 3, started: []string{"a-weakness_found", "b-survived"}},
		"inconclusive goes on": {steps: []string{"a-inconclusive", "b-survived"}, code: 1, started: []string{"a-inconclusive", "b-survived"}},
		"aborted stops":        {head: "onWeakness: continue\n", steps: []string{"a-aborted", "b-survived"}, code: 3, started: []string{"a-aborted"}, says: "a-aborted was aborted"},
		"an answer":            {steps: []string{"ask", "a-survived"}, stdin: "y\n", code: 0, started: []string{"a-survived"}, says: "Is somebody on call?"},
		"two answers":          {steps: []string{"ask", "a-survived", "ask", "b-survived"}, stdin: "y\nno\n", code: 1, started: []string{"a-survived"}, says: "stopped by the answer"},
		"nobody answers":       {steps: []string{"ask", "a-survived"}, code: 1, says: "use --yes where nobody can"},
		"nobody is asked":      {steps: []string{"ask", "a-survived"}, args: []string{"--yes"}, code: 0, started: []string{"a-survived"}},
		"a start is refused":   {steps: []string{"a-survived", "b-survived"}, refuse: "b-survived", code: 6, started: []string{"a-survived"}, says: "step 2, experiment b-survived: another experiment runs"},
		"a dry run":            {steps: []string{"a-survived", "pause", "b-survived"}, args: []string{"--dry-run"}, code: 0, says: "dry run, nothing was started"},
	} {
		t.Run(name, func(t *testing.T) {
			p, url := newDayPlane(t)
			p.refuse = test.refuse
			code, out, errs := hold(t, t.Context(), url, test.stdin, test.head, test.steps, test.args...)
			if code != test.code || !slices.Equal(p.started, test.started) || !strings.Contains(errs, test.says) || len(p.aborted) > 0 {
				t.Errorf("exit code %d, want %d; started %v, want %v\n%s\n%s", code, test.code, p.started, test.started, out, errs)
			}
		})
	}
}

// What is wrong with the last step is known before the first starts, and nothing is written.
func TestAGameDayIsCheckedBeforeItStarts(t *testing.T) {
	for name, test := range map[string]struct {
		last, says string
		code       int
		off        bool
	}{
		"no such point":   {last: "- experiment: {name: b, hypothesis: h, point: paymet, error: 503}\n", code: 1, says: `step 2, experiment b: no process has reported the point "paymet"; did you mean "payment"?`},
		"no such flag":    {last: "- experiment: {name: b, hypothesis: h, flag: none}\n", code: 1, says: `there is no flag "none"`},
		"no fault":        {last: "- experiment: {name: b, hypothesis: h, point: payment}\n", code: 2, says: "say what goes wrong"},
		"a wrong fault":   {last: "- experiment: {name: b, hypothesis: h, point: payment, error: 200}\n", code: 2, says: "status 200 is no error"},
		"too many users":  {last: "- experiment: {name: b, hypothesis: h, point: payment, error: 503, share: 60%}\n", code: 2, says: "at most 50 %"},
		"too long":        {last: "- experiment: {name: b, hypothesis: h, point: payment, error: 503, maxDuration: 2h}\n", code: 2, says: "at most 1h"},
		"a field":         {last: "- experiment: {name: b, hypothesis: h, point: payment, eror: 503}\n", code: 1, says: `:4:56: /steps/1/experiment/eror: is not a known field; did you mean "error"?`},
		"runs already":    {last: "- experiment: {name: z-running, hypothesis: h, point: payment, error: 503}\n", code: 1, says: "it runs already"},
		"faults are off":  {off: true, code: 1, says: "faults are off (incident)"},
		"guardrails fail": {last: "- experiment: {name: b, hypothesis: h, point: payment, error: 503, guardrail: eror:+20%}\n", code: 2, says: "guardrail"},
	} {
		t.Run(name, func(t *testing.T) {
			p, url := newDayPlane(t)
			p.off = test.off
			p.trials["z-running"] = api.Trial{Spec: trial.Spec{Name: "z-running", Goal: trial.GoalSurvive}, State: trial.State{Phase: trial.PhaseRunning}}
			path := filepath.Join(t.TempDir(), "day.yaml")
			file := "title: t\nsteps:\n- experiment: {name: a-survived, hypothesis: h, point: payment, error: 503}\n" + test.last
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			code := run(t.Context(), []string{"chaos", "run", "-f", path, "--server", url, "--token", "x"}, quietApp(&out))
			if code != test.code || !strings.Contains(out.String(), test.says) || len(p.started)+len(p.flags) > 0 {
				t.Errorf("exit code %d, want %d; started %v, flags %v\n%s", code, test.code, p.started, p.flags, out.String())
			}
		})
	}
}

// S4: an interrupt, and a deadline, abort the experiment that runs; later ones do not start, and the
// report tells of it.
func TestS4AnInterruptedGameDayAbortsItsExperiment(t *testing.T) {
	p, url := newDayPlane(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-p.running; cancel() }()
	report := filepath.Join(t.TempDir(), "report.md")
	code, _, errs := hold(t, ctx, url, "", "", []string{"a-survived", "b-running", "c-survived"}, "--report", report)
	if code != exitInterrupted || !slices.Equal(p.started, []string{"a-survived", "b-running"}) || len(p.aborted) != 1 || !strings.HasPrefix(p.aborted[0], "abort b-running: the game day ended") {
		t.Errorf("exit code %d; started %v, aborted %v\n%s", code, p.started, p.aborted, errs)
	}
	data, err := os.ReadFile(report)
	if text := string(data); err != nil || !strings.Contains(text, "# Payment: aborted") || !strings.Contains(text, "## a-survived: survived") || !strings.Contains(text, "| 3 | c-survived | payment | 10% | not started |") {
		t.Errorf("%v\n%s", err, text)
	}

	// On a slow machine a deadline may be over before the experiment has started: then a longer one.
	for deadline := 100 * time.Millisecond; ; deadline *= 10 {
		p, err := overdue(t, deadline)
		if len(p.started) == 0 && deadline < time.Minute {
			continue
		}
		if exitCode(err) != exitTimeout || len(p.aborted) != 1 || !strings.Contains(p.aborted[0], fmt.Sprintf("deadline of %s is over", trial.Duration(deadline))) {
			t.Errorf("%v (%d), aborted %v", err, exitCode(err), p.aborted)
		}
		break
	}
}

// overdue holds a game day whose one experiment never ends.
func overdue(t *testing.T, deadline time.Duration) (*dayPlane, error) {
	t.Helper()
	p, url := newDayPlane(t)
	var out bytes.Buffer
	a := quietApp(&out)
	path := filepath.Join(t.TempDir(), "day.yaml")
	if err := os.WriteFile(path, []byte("title: t\nsteps:\n- experiment: {name: b-running, hypothesis: h, point: payment, error: 503}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := api.New(url, "x")
	if err != nil {
		t.Fatal(err)
	}
	d := day{app: a, c: c}
	if d.plan, d.experiments, err = a.readDay(path); err != nil {
		t.Fatal(err)
	}
	d.plan.Deadline = deadline
	return p, d.run(t.Context())
}
