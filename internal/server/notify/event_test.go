package notify

import (
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestWhatHappenedToATrial(t *testing.T) {
	const running, holding, paused, watching, ended = trial.PhaseRunning, trial.PhaseHolding, trial.PhasePaused, trial.PhaseWatching, trial.PhaseEnded
	at := func(step int, p trial.Phase, r trial.Result) trial.State {
		return trial.State{Attempt: 1, Step: step, Phase: p, Result: r}
	}
	approved := at(0, running, "")
	approved.Approved = true
	next := at(0, running, "")
	next.Attempt = 2
	for _, test := range []struct {
		name     string
		was, now trial.State
		want     string
	}{
		{"step", at(0, running, ""), at(1, running, ""), "step"},
		{"step out of a hold", at(0, holding, ""), at(1, running, ""), "step"},
		{"hold", at(0, running, ""), at(0, holding, ""), "hold"},
		{"pause", at(0, running, ""), at(0, paused, ""), "hold"},
		{"pause of a hold", at(0, holding, ""), at(0, paused, ""), "hold"},
		{"resume", at(0, holding, ""), at(0, running, ""), "resume"},
		{"resume before the fault", at(0, paused, ""), at(0, trial.PhaseSteady, ""), "resume"},
		{"the fault is on", at(0, trial.PhaseSteady, ""), at(0, running, ""), "change"},
		{"approve", at(0, running, ""), approved, "approve"},
		{"promote", at(1, running, ""), at(1, watching, ""), "promote"},
		{"promote without a watch", at(1, running, ""), at(1, ended, trial.ResultPromoted), "promote end"},
		{"watch over", at(1, watching, ""), at(1, ended, trial.ResultPromoted), "end"},
		{"alarm of the watch", at(1, watching, ""), at(1, watching, ""), "alarm"},
		{"demote", at(1, watching, ""), at(1, ended, trial.ResultRolledBack), "demote end"},
		{"roll back", at(1, running, ""), at(1, ended, trial.ResultRolledBack), "end"},
		{"abort of a pause", at(1, paused, ""), at(1, ended, trial.ResultAborted), "end"},
		{"a new attempt", at(1, ended, trial.ResultAborted), next, "start"},
		{"anything else", at(1, running, ""), at(1, running, ""), "change"},
	} {
		kinds := kindsOf(&control.Trial{State: test.was}, &control.Trial{State: test.now})
		var words []string
		for _, k := range kinds {
			words = append(words, string(k))
		}
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := kindsOf(nil, &control.Trial{State: at(0, running, "")}); !slices.Equal(got, []control.WebhookEvent{control.EventStart}) {
		t.Errorf("a new trial: %v", got)
	}
}

// Patterns mean what path.Match makes of a * where no name has a slash in it.
func TestPatternsAgainstPathMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern, name := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern"), rapid.StringMatching(`[ab]{0,8}`).Draw(t, "name")
		want, err := path.Match(pattern, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := matches(pattern, name); got != want {
			t.Fatalf("%q fits %q: %v, want %v", name, pattern, got, want)
		}
	})
	start := time.Now()
	if matches(strings.Repeat("a*", 128)+"b", strings.Repeat("a", 256)) || time.Since(start) > time.Second {
		t.Errorf("a hostile pattern took %s", time.Since(start))
	}
}

// The vector of the specification's own libraries (standard-webhooks, libraries/go/webhook_test.go).
func TestSignatureOfThePublishedVector(t *testing.T) {
	w := targetOf("")
	h := http.Header{}
	if err := sign(h, w, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)); err != nil {
		t.Fatal(err)
	}
	if h.Get(headerSignature) != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || h.Get(headerTimestamp) != "1614265330" {
		t.Errorf("got %v", h)
	}
	w.OldSecret, w.OldSecretUntil = "whsec_AAAA", time.Unix(1614265331, 0)
	_ = sign(h, w, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if both := strings.Fields(h.Get(headerSignature)); len(both) != 2 || both[0] != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("after a rotation: %v", both)
	}
	_ = sign(h, w, "x", time.Unix(1614265331, 0), nil)
	if one := strings.Fields(h.Get(headerSignature)); len(one) != 1 {
		t.Errorf("after the old secret's end: %v", one)
	}
	if w.Secret = "whsec_!s3cr3t"; sign(h, w, "x", time.Now(), nil) == nil || strings.Contains(sign(h, w, "x", time.Now(), nil).Error(), "s3cr3t") {
		t.Error("a damaged secret signs, or is shown")
	}
}

func TestChatMessages(t *testing.T) {
	n := New(Config{Environment: "production", dial: nil})
	spec := trial.Spec{Name: "checkout-v2", Goal: trial.GoalPromote, Steps: []trial.Step{{Share: 5_000}, {Share: 50_000}}}
	e := event{kind: control.EventEnd, change: &control.TrialChange{Revision: 7, Hash: "abc"}, trial: &control.Trial{Spec: spec, State: trial.State{
		Attempt: 2, Phase: trial.PhaseEnded, Result: trial.ResultRolledBack, Why: "Errors look 3× <!channel> & <http://evil.example|click>.", Blamed: []string{"errors"}}}}
	raw, err := n.bodyOf(&control.WebhookTarget{WebhookEntry: control.WebhookEntry{Format: control.WebhookSlack}}, e)
	var message map[string]string
	if err != nil || json.Unmarshal(raw, &message) != nil || len(message) != 1 {
		t.Fatalf("%s, error %v", raw, err)
	}
	want := "Rollout *checkout-v2* was rolled back (production, attempt 2).\nErrors look 3× &lt;!channel&gt; &amp; &lt;http://evil.example|click&gt;.\n" +
		"Blamed: errors\n`seatrial rollout get checkout-v2 --env production`"
	if message["text"] != want {
		t.Errorf("got\n%s\nwant\n%s", message["text"], want)
	}
	e.trial.State.Why = strings.Repeat("ä", 10_000)
	if raw, err = n.bodyOf(&control.WebhookTarget{WebhookEntry: control.WebhookEntry{Format: control.WebhookSlack}}, e); err != nil || len(raw) > maxText+100 || !json.Valid(raw) {
		t.Errorf("%d bytes, error %v", len(raw), err)
	}
	e.kind, e.trial.State = control.EventStep, trial.State{Attempt: 1, Step: 1, Phase: trial.PhaseRunning}
	if _, what := e.words(); n.sentence(e, what) != "Rollout *checkout-v2* moved to step 2 of 2, at 50 % (production, attempt 1).\n`seatrial rollout get checkout-v2 --env production`" {
		t.Errorf("got %s", n.sentence(e, what))
	}
}
