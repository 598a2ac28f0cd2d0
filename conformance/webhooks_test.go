package conformance

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
)

// A receiver built with the library of Standard Webhooks takes what a real server sends, over a
// restart of the server and a rotation of the secret.
func TestWebhooksByTheLibraryOfTheSpecification(t *testing.T) {
	type delivery struct {
		header http.Header
		body   []byte
	}
	arrived := make(chan delivery, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- delivery{r.Header, body}
	}))
	defer receiver.Close()
	data := t.TempDir()
	start := func() (*app.Server, *api.Client) {
		srv, err := app.Start(t.Context(), app.Config{Addr: "127.0.0.1:0", DataDir: data, Bootstrap: io.Discard, WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		if err != nil {
			t.Fatal(err)
		}
		token, err := srv.CreateToken(t.Context(), control.NewToken{Name: "test", Kind: control.TokenAPI, Role: control.RoleAdmin})
		if err != nil {
			t.Fatal(err)
		}
		client, err := api.New(srv.URL(), token)
		if err != nil {
			t.Fatal(err)
		}
		return srv, client
	}
	verified := func(secret, want string) {
		t.Helper()
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case d := <-arrived:
			var body struct{ Type string }
			if err := verifier.Verify(d.body, d.header); err != nil || json.Unmarshal(d.body, &body) != nil || body.Type != want {
				t.Errorf("got %s, want %s; the library says: %v", d.body, want, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s did not arrive", want)
		}
	}
	ctx := context.Background()
	srv, client := start()
	hook, err := client.CreateWebhook(ctx, api.NewWebhook{Name: "ci", URL: receiver.URL, Enabled: true}, api.Write{})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := client.TestWebhook(ctx, "ci"); err != nil || !a.Delivered {
		t.Fatalf("%+v, error %v", a, err)
	}
	verified(hook.Secret, "ping")
	f := flag.Flag{Key: "search", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}}
	if _, err := client.CreateFlag(ctx, f, api.Write{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.StartTrial(ctx, trial.Spec{Name: "one", Flag: "search", Treatment: "on", Control: "off"}, api.Write{}); err != nil {
		t.Fatal(err)
	}
	verified(hook.Secret, "trial.started")
	rotated, err := client.RotateWebhook(ctx, "ci", false, api.Write{})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Close(ctx); err != nil {
		t.Fatal(err)
	}
	srv, client = start()
	defer srv.Close(ctx)
	if _, err := client.Halt(ctx, api.NewHalt{Reason: "enough"}, api.Write{}); err != nil {
		t.Fatal(err)
	}
	verified(hook.Secret, "trial.aborted") // the old secret signs, too
	if _, err := client.StartTrial(ctx, trial.Spec{Name: "one", Flag: "search", Treatment: "on", Control: "off"}, api.Write{}); err != nil {
		t.Fatal(err)
	}
	verified(rotated.Secret, "trial.started")
	select {
	case d := <-arrived:
		t.Errorf("something came twice: %s", d.body)
	default:
	}
}
