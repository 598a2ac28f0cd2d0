package httpapi

import (
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
)

const hookPath = "/services/T0S3CR3T/B0/x9"

func TestWebhooksAreManaged(t *testing.T) {
	b := newBench(t)
	const hooks = v1 + "/webhooks"
	ci := `{"name":"ci","url":"https://ci.example.com` + hookPath + `"}`
	b.send("POST", hooks, ci, "as: viewer").wantProblem(control.CodePermission)
	p := b.send("POST", hooks, `{"name":"ci","url":"ftp://x","event":["end"]}`).wantProblem(control.CodeInvalid)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/event" || !strings.Contains(p.Errors[0].Detail, `"events"`) {
		t.Errorf("got %+v", p.Errors)
	}
	made := b.send("POST", hooks, ci, "as: editor").want(201)
	var w createdWebhook
	if made.json(&w); !w.Enabled || w.Format != control.WebhookJSON || !strings.HasPrefix(w.Secret, "whsec_") || made.header.Get("Location") != hooks+"/ci" {
		t.Fatalf("got %s", made.body)
	}
	b.send("POST", hooks, ci).wantProblem(control.CodeExists)

	seen := b.send("GET", hooks+"/ci", "", "as: viewer").want(200)
	var shown shownWebhook
	if seen.json(&shown); shown.URL != "https://ci.example.com/…" || shown.Status == nil || shown.Status.Pending != 0 || seen.etag() != made.etag() {
		t.Errorf("got %s", seen.body)
	}
	edit := `{"name":"ci","url":"` + shown.URL + `","events":["end"],"enabled":false}`
	b.send("PUT", hooks+"/ci", edit).wantProblem(codePrecondition)
	b.send("PUT", hooks+"/ci", `{"name":"other"}`, "If-Match: *").wantProblem(control.CodeInvalid)
	b.send("PUT", hooks+"/ci", edit, "If-Match: "+made.etag()).want(200)
	b.send("PUT", hooks+"/ci", edit, "If-Match: "+made.etag()).wantProblem(codeStale)
	b.send("PUT", hooks+"/ci", edit, "If-None-Match: *").wantProblem(codeStale)
	b.send("PUT", hooks+"/none", `{"url":"https://x.example.com/"}`).wantProblem(control.CodeNotFound)
	if target, err := b.service.WebhookTarget("ci"); err != nil || target.Address.Reveal() != "https://ci.example.com"+hookPath || target.Enabled {
		t.Errorf("stored %+v, error %v", target, err)
	}
	var rotated createdWebhook
	b.send("POST", hooks+"/ci/rotate", `{"endOld":true}`).want(200).json(&rotated)
	if rotated.Secret == w.Secret || !strings.HasPrefix(rotated.Secret, "whsec_") {
		t.Errorf("rotated to %q", rotated.Secret)
	}
	b.send("POST", hooks+"/none/rotate", "").wantProblem(control.CodeNotFound)
	b.send("POST", hooks+"/none/test", "").wantProblem(control.CodeNotFound)

	// What anybody may read later has neither secret, nor the path of the URL.
	for _, path := range []string{hooks, hooks + "/ci", hooks + "/ci/history", v1 + "/changes", v1 + "/changes?order=newest", v1 + "/changes/6", v1 + "/snapshot", "/"} {
		a := b.send("GET", path, "").want(200)
		for _, secret := range []string{w.Secret, rotated.Secret, "T0S3CR3T"} {
			if strings.Contains(string(a.body), secret) {
				t.Errorf("GET %s shows %s", path, secret)
			}
		}
	}
	if strings.Contains(b.log.String(), "whsec_") || strings.Contains(b.log.String(), "T0S3CR3T") {
		t.Error("the log has secrets")
	}
	b.send("DELETE", hooks+"/ci", "").wantProblem(codePrecondition)
	b.send("DELETE", hooks+"/ci", "", "If-Match: *").want(200)
	b.send("GET", hooks+"/ci", "").wantProblem(control.CodeNotFound)
	b.send("DELETE", hooks+"/ci", "", "If-Match: *").wantProblem(control.CodeNotFound)
}

func TestAWebhookDoesNotReachTheServersOwnNetwork(t *testing.T) {
	b := newBench(t)
	for _, address := range []string{"127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "[fd00:ec2::254]", "0.0.0.0"} {
		b.send("POST", v1+"/webhooks", `{"name":"x","url":"http://`+address+`:8420/"}`).want(201)
		var a control.WebhookAnswer
		b.send("POST", v1+"/webhooks/x/test", "").want(200).json(&a)
		if a.Delivered || a.Status != 0 || !strings.Contains(a.Error, "not on the internet") || !strings.Contains(a.Error, "--webhook-allow") {
			t.Errorf("%s: %+v", address, a)
		}
		b.send("DELETE", v1+"/webhooks/x", "", "If-Match: *").want(200)
	}
}
