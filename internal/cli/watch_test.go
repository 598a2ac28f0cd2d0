package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// rolling is a rollout that runs.
func rolling(step int) api.Trial {
	t := api.Trial{Spec: trial.Spec{Name: "v2", Goal: trial.GoalPromote, Flag: "search", Treatment: "on", Control: "off",
		Steps: []trial.Step{{Share: 1000}, {Share: 5000}, {Share: 50_000}}, Guardrails: trial.DefaultGuardrails()}}
	t.State = trial.State{Attempt: 1, Phase: trial.PhaseRunning, Step: step, Why: "Running."}
	return t
}

func over(r trial.Result) api.Trial {
	t := rolling(2)
	t.State.Phase, t.State.Result, t.State.Why = trial.PhaseEnded, r, "Over."
	return t
}

// TestWatchOutlastsARestart: the control plane is away for half a minute, and watching goes on;
// when it stays away, watching gives up.
func TestWatchOutlastsARestart(t *testing.T) {
	for _, test := range []struct {
		name string
		away time.Duration
		give bool
	}{{"a restart", 30 * time.Second, false}, {"for good", time.Hour, true}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, told, shown := time.Now(), 0, 0
				w := watcher{
					show: func(api.Trial) error { shown++; return nil },
					away: func(error) { told++ },
					fetch: func(context.Context) (api.Trial, error) {
						switch since := time.Since(begun); {
						case since < 5*time.Second:
							return rolling(0), nil
						case since < 5*time.Second+test.away:
							return api.Trial{}, &api.Unreachable{Server: "x", Err: errors.New("refused")}
						}
						return over(trial.ResultPromoted), nil
					},
				}
				last, err := w.run(t.Context())
				if (err != nil) != test.give || told != 1 {
					t.Errorf("error %v, told %d times that it is away", err, told)
				}
				if !test.give && (last.State.Result != trial.ResultPromoted || shown != 6) {
					t.Errorf("ended as %q, shown %d times", last.State.Result, shown)
				}
				if test.give && time.Since(begun) > 2*time.Minute {
					t.Errorf("gave up after %s only", time.Since(begun))
				}
			})
		})
	}
}

func TestWatchStopsAtARefusal(t *testing.T) {
	refused := &api.Problem{Status: 403, Title: "no"}
	w := watcher{fetch: func(context.Context) (api.Trial, error) { return api.Trial{}, refused }, away: func(error) { t.Error("a refusal is no absence") }}
	if _, err := w.run(t.Context()); !errors.Is(err, refused) {
		t.Errorf("error %v, want the refusal", err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		still := &exit{code: exitTimeout, err: errors.New("still running")}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 90*time.Second, still)
		defer cancel()
		w := watcher{fetch: func(context.Context) (api.Trial, error) { return rolling(0), nil }, show: func(api.Trial) error { return nil }}
		if _, err := w.run(ctx); exitCode(err) != exitTimeout {
			t.Errorf("error %v, exit code %d", err, exitCode(err))
		}
	})
}

// TestEachChangeIsALine: elsewhere than on a terminal, numbers that led to nothing make no line.
func TestEachChangeIsALine(t *testing.T) {
	var out bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &out, func(string) string { return "" })
	show := a.showChanges(rolloutNoun)
	more := rolling(0)
	more.State.Seq, more.State.Treatment.Requests, more.State.Why = 7, 100, "Running, more numbers."
	harmed := rolling(0)
	harmed.State.Guardrails = []trial.GuardrailState{{Name: "errors", Verdict: trial.VerdictHarmful}}
	for _, step := range []api.Trial{rolling(0), rolling(0), more, rolling(1), harmed, over(trial.ResultRolledBack)} {
		if err := show(step); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(out.String(), "\n"); got != 4 {
		t.Errorf("%d lines, want 4:\n%s", got, out.String())
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, 0},
		{"promoted", exitOfResult(trial.ResultPromoted), 0},
		{"survived", exitOfResult(trial.ResultSurvived), 0},
		{"rolled back", exitOfResult(trial.ResultRolledBack), 3},
		{"aborted", exitOfResult(trial.ResultAborted), 3},
		{"weakness", exitOfResult(trial.ResultWeaknessFound), 3},
		{"inconclusive", exitOfResult(trial.ResultInconclusive), 1},
		{"any error", errors.New("x"), 1},
		{"usage", usage(errors.New("x")), 2},
		{"no token", &api.Problem{Status: 401}, 4},
		{"may not", &named{err: &api.Problem{Status: 403}, text: "no"}, 4},
		{"time over", context.DeadlineExceeded, 5},
		{"exists", &api.Problem{Status: 409}, 6},
		{"stale", &api.Problem{Status: 412}, 6},
		{"no condition", &api.Problem{Status: 428}, 6},
		{"not found", &api.Problem{Status: 404}, 1},
		{"invalid", &api.Problem{Status: 400}, 1},
		{"away", &api.Unreachable{Err: errors.New("x")}, 1},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%s: exit code %d, want %d", test.name, got, test.want)
		}
	}
}

func TestStepsAreShown(t *testing.T) {
	s := style{unicode: true}
	waiting := rolling(1)
	waiting.Spec.Steps[0].Segments = []string{"beta", "staff"}
	if got, want := s.showSteps(waiting), "✔ 1% of beta+staff  ◌ 5%  · 50%"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := s.showSteps(over(trial.ResultRolledBack)), "✔ 1%  ✔ 5%  ✖ 50%"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := s.showSteps(over(trial.ResultPromoted)), "✔ 1%  ✔ 5%  ✔ 50%"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNextCommandsAreAllowed: what is offered is what the trial would obey.
func TestNextCommandsAreAllowed(t *testing.T) {
	for _, phase := range []trial.Phase{trial.PhaseRunning, trial.PhaseHolding, trial.PhasePaused, trial.PhaseWatching} {
		for step := range 3 {
			for _, noun := range []trialNoun{rolloutNoun, chaosNoun} {
				at := rolling(step)
				at.State.Phase, at.Spec.Goal = phase, noun.goal
				for _, command := range nextCommands(noun, at) {
					verb := trial.Verb(strings.Fields(command)[2])
					if err := verb.Allowed(at.Spec, at.State); err != nil {
						t.Errorf("phase %s, step %d, %s: offers %q, but %v", phase, step, noun.name, command, err)
					}
				}
			}
		}
	}
}

// TestSomebodyElseWasFaster: a flag that is changed between reading and writing is left alone.
func TestSomebodyElseWasFaster(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("ETag", `"7"`)
			fmt.Fprint(w, `{"key":"search","kind":"release","type":"boolean","variants":[{"name":"on","value":true}],"revision":7}`)
			return
		}
		if r.Header.Get("If-Match") != `"7"` {
			t.Errorf("If-Match %q", r.Header.Get("If-Match"))
		}
		w.WriteHeader(http.StatusPreconditionFailed)
		fmt.Fprint(w, `{"title":"It was changed meanwhile","detail":"flag search was changed meanwhile: read it again"}`)
	}))
	defer srv.Close()
	var out bytes.Buffer
	a := quietApp(&out)
	code := run(t.Context(), []string{"flag", "set", "search", "--default", "on", "--server", srv.URL, "--token", "x"}, a)
	if code != exitConflict || !strings.Contains(out.String(), "changed meanwhile") {
		t.Errorf("exit code %d, %s", code, out.String())
	}
}
