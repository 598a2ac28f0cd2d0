package control_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

const secretPath = "T0S3CR3T/B0/x9"

func chat() control.Webhook {
	return control.Webhook{Name: "chat", URL: "https://hooks.example.com/services/" + secretPath, Format: control.WebhookSlack, Enabled: true}
}

func (r *rig) makeWebhook(w control.Webhook) (control.WebhookEntry, string) {
	r.t.Helper()
	entry, secret, err := r.CreateWebhook(r.t.Context(), w, ana)
	if err != nil {
		r.t.Fatal(err)
	}
	return entry, secret.Reveal()
}

func (r *rig) target(name string) control.WebhookTarget {
	r.t.Helper()
	return must[control.WebhookTarget](r.t)(r.WebhookTarget(name))
}

func TestWebhookLife(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	made, secret := r.makeWebhook(chat())
	text, prefixed := strings.CutPrefix(secret, "whsec_")
	if key, err := base64.StdEncoding.DecodeString(text); !prefixed || err != nil || len(key) != 32 {
		t.Errorf("the secret %q is none of Standard Webhooks", secret)
	}
	_, _, err := r.CreateWebhook(ctx, chat(), ana)
	wantCode(t, err, control.CodeExists, "chat")
	for _, s := range []*rig{r, r.restart()} {
		list, next := s.ListWebhooks(control.Page{})
		if len(list) != 1 || next != "" || !reflect.DeepEqual(list[0], made) {
			t.Errorf("listed %+v", list)
		}
		got := s.target("chat")
		if got.Address.Reveal() != chat().URL || got.Secret.Reveal() != secret || got.Since != made.Revision {
			t.Errorf("target %+v since %d", got, got.Since)
		}
	}

	// What is shown can be sent back.
	edited := chat()
	edited.URL, edited.Events = made.URL, []control.WebhookEvent{control.EventEnd}
	must[control.WebhookEntry](t)(r.PutWebhook(ctx, edited, control.WriteOptions{Actor: "ana", IfMatch: control.IfMatch(made.Revision)}))
	_, err = r.PutWebhook(ctx, edited, control.WriteOptions{Actor: "ana", IfMatch: control.IfMatch(made.Revision)})
	wantCode(t, err, control.CodeConflict, "")
	if got := r.target("chat"); got.Address.Reveal() != chat().URL || got.Secret.Reveal() != secret || got.Since != made.Revision {
		t.Errorf("after the edit: %s, since %d", got.Address.Reveal(), got.Since)
	}
	edited.URL, edited.Enabled = "", false
	must[control.WebhookEntry](t)(r.PutWebhook(ctx, edited, ana))
	if got := r.target("chat"); got.Since != made.Revision || got.Address.Reveal() != chat().URL {
		t.Errorf("disabled: since %d", got.Since)
	}
	edited.Enabled = true
	enabled := must[control.WebhookEntry](t)(r.PutWebhook(ctx, edited, ana))
	for _, s := range []*rig{r, r.restart()} {
		if got := s.target("chat"); got.Since != enabled.Revision || got.ID != made.ID {
			t.Errorf("enabled again at %d: since %d", enabled.Revision, got.Since)
		}
	}
	must[control.Change](t)(r.DeleteWebhook(ctx, "chat", ana))
	_, err = r.GetWebhook("chat")
	wantCode(t, err, control.CodeNotFound, "chat")
	_, err = r.PutWebhook(ctx, edited, ana)
	wantCode(t, err, control.CodeNotFound, "chat")
	again, _ := r.makeWebhook(chat())
	if got := r.target("chat"); again.ID == made.ID || got.Since != again.Revision {
		t.Errorf("made again: %+v since %d", again, got.Since)
	}
}

func TestWebhookRotation(t *testing.T) {
	r := newRig(t)
	_, first := r.makeWebhook(chat())
	entry, second, err := r.RotateWebhook(t.Context(), "chat", false, ana)
	if err != nil {
		t.Fatal(err)
	}
	got := r.target("chat")
	if got.Secret != second || got.OldSecret.Reveal() != first || !got.OldSecretUntil.Equal(day0.Add(24*time.Hour)) || !entry.OldSecretUntil.Equal(got.OldSecretUntil) {
		t.Errorf("after a rotation: until %s", got.OldSecretUntil)
	}
	_, third, err := r.RotateWebhook(t.Context(), "chat", true, ana)
	if got := r.target("chat"); err != nil || got.Secret != third || got.OldSecret != "" || !got.OldSecretUntil.IsZero() {
		t.Errorf("a leaked secret still signs; error %v", err)
	}
	if _, secret, err := r.RotateWebhook(t.Context(), "chat", true, control.WriteOptions{Actor: "ana", DryRun: true}); err != nil || secret != "" || r.target("chat").Secret != third {
		t.Errorf("a dry run gave a secret, or made one; error %v", err)
	}
	keyed := control.WriteOptions{Actor: "ana", IdempotencyKey: "k"}
	if _, _, err := r.RotateWebhook(t.Context(), "chat", false, keyed); err != nil {
		t.Fatal(err)
	}
	_, _, err = r.RotateWebhook(t.Context(), "chat", false, keyed)
	wantCode(t, err, control.CodeConflict, "cannot be shown again")
}

// Nothing that leaves the service has a secret in it, whatever is asked and however it is printed.
func TestWebhookSecretsStayInside(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	_, first := r.makeWebhook(chat())
	_, second, err := r.RotateWebhook(ctx, "chat", false, ana)
	if err != nil {
		t.Fatal(err)
	}
	entry := must[control.WebhookEntry](t)(r.GetWebhook("chat"))
	if entry.URL != "https://hooks.example.com/…" {
		t.Errorf("the URL is shown as %q", entry.URL)
	}
	deleted := must[control.Change](t)(r.DeleteWebhook(ctx, "chat", control.WriteOptions{Actor: "ana", DryRun: true}))
	target := r.target("chat")
	_, revertErr := r.Revert(ctx, r.Head().Revision, ana)
	wantCode(t, revertErr, control.CodePrecondition, "webhook")
	list, _ := r.ListWebhooks(control.Page{})
	deltas, _ := r.DeltasSince(r.Head().History, 0)
	var streamed []string
	for _, d := range deltas {
		streamed = append(streamed, string(d.JSON()))
	}
	changes := must[[]control.Change](t)(r.ListChanges(ctx, 0, 0))
	if len(changes) != 2 || !strings.Contains(string(changes[0].Ops[0].Value), `"chat"`) {
		t.Fatalf("the log shows %s", asJSON(changes))
	}
	for what, shown := range map[string]any{
		"list": list, "get": entry, "delete": deleted, "changes": changes, "deltas": streamed, "snapshot": string(r.Snapshot().JSON()),
		"newest":  must[[]control.Change](t)(r.NewestChanges(ctx, 0, 0, 0)),
		"change":  must[control.Change](t)(r.GetChange(ctx, 1)),
		"history": must[[]control.Change](t)(r.History(ctx, control.KindWebhook, "chat", 0, 0)),
		"target":  target, "error": revertErr.Error(),
		"printed": fmt.Sprintf("%v %+v %#v %s", target, target, target, target.Secret),
		"logged":  logged("target", target), "logged secret": logged("secret", second),
	} {
		text := asJSON(shown)
		for _, secret := range []string{secretPath, first, second.Reveal(), strings.TrimPrefix(first, "whsec_")} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %s in %s", what, secret, text)
			}
		}
	}
}

func logged(key string, v any) string {
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", key, v)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", key, v)
	return b.String()
}

func TestWebhooksThatAreRefused(t *testing.T) {
	r := newRig(t)
	for _, test := range []struct {
		name   string
		change func(*control.Webhook)
		at     string
	}{
		{"no name", func(w *control.Webhook) { w.Name = "" }, "/name"},
		{"no URL", func(w *control.Webhook) { w.URL = "" }, "/url"},
		{"a shortened URL", func(w *control.Webhook) { w.URL = "https://hooks.example.com/…" }, "/url"},
		{"a file", func(w *control.Webhook) { w.URL = "file:///etc/passwd" }, "/url"},
		{"another protocol", func(w *control.Webhook) { w.URL = "gopher://x/" }, "/url"},
		{"no host", func(w *control.Webhook) { w.URL = "https:///x" }, "/url"},
		{"a relative URL", func(w *control.Webhook) { w.URL = "//x/y" }, "/url"},
		{"a password", func(w *control.Webhook) { w.URL = "https://ana:pw@example.com/" }, "/url"},
		{"a name", func(w *control.Webhook) { w.URL = "https://ana@example.com/" }, "/url"},
		{"a fragment", func(w *control.Webhook) { w.URL = "https://example.com/#x" }, "/url"},
		{"a port", func(w *control.Webhook) { w.URL = "https://example.com:99999/" }, "/url"},
		{"port 0", func(w *control.Webhook) { w.URL = "https://example.com:0/" }, "/url"},
		{"a line break", func(w *control.Webhook) { w.URL = "https://example.com/\r\nx" }, "/url"},
		{"a long URL", func(w *control.Webhook) { w.URL = "https://example.com/" + strings.Repeat("x", 2_000) }, "/url"},
		{"a format", func(w *control.Webhook) { w.Format = "xml" }, "/format"},
		{"an event", func(w *control.Webhook) { w.Events = []control.WebhookEvent{control.EventEnd, "finish"} }, "/events/1"},
		{"an event twice", func(w *control.Webhook) { w.Events = []control.WebhookEvent{control.EventEnd, control.EventEnd} }, "/events/1"},
		{"a goal", func(w *control.Webhook) { w.Goal = "win" }, "/goal"},
		{"a pattern", func(w *control.Webhook) { w.Trials = "a\nb" }, "/trials"},
	} {
		w := chat()
		test.change(&w)
		_, _, err := r.CreateWebhook(t.Context(), w, ana)
		if control.CodeOf(err) != control.CodeInvalid || !slices.Equal(pointers(err), []string{test.at}) {
			t.Errorf("%s: %v at %v", test.name, err, pointers(err))
		}
		if err != nil && strings.Contains(err.Error(), ":pw") {
			t.Errorf("%s: the error shows it: %v", test.name, err)
		}
	}
	for i := range 50 {
		w := chat()
		w.Name = fmt.Sprintf("w%d", i)
		r.makeWebhook(w)
	}
	_, _, err := r.CreateWebhook(t.Context(), chat(), ana)
	wantCode(t, err, control.CodePrecondition, "delete some first")
}

func TestTrialChangesAreReadOneByOne(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	if _, ok, err := r.NextTrialChange(ctx, 0, 0, 10); ok || err != nil {
		t.Fatalf("an empty log has one; error %v", err)
	}
	r.startMany(2)
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t-f0000", "pause", control.WriteOptions{Actor: "ana", Reason: "lunch"}))
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("other"), ana))
	must[[]control.Halted](t)(r.HaltAll(ctx, ana))
	for _, s := range []*rig{r, r.restart()} {
		var seen []string
		first := 0
		for after, left := int64(0), 4; ; {
			if n := s.TrialChangesAfter(after); n != left {
				t.Errorf("%d changes after %d, want %d", n, after, left)
			}
			c, ok, err := s.NextTrialChange(ctx, after, first, 1)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			for _, step := range c.Trials {
				was := trial.Phase("new")
				if step.Before != nil {
					was = step.Before.State.Phase
				}
				seen = append(seen, fmt.Sprintf("%d %s %s→%s %s", c.Revision, step.After.Spec.Name, was, step.After.State.Phase, c.By))
			}
			if first++; !c.More {
				after, first, left = c.Revision, 0, left-1
			}
		}
		want := []string{"2 t-f0000 new→running ana", "4 t-f0001 new→running ana", "5 t-f0000 running→paused ana",
			"7 t-f0000 paused→ended ana", "7 t-f0001 running→ended ana"}
		if !slices.Equal(seen, want) {
			t.Errorf("saw %q", seen)
		}
	}
}
