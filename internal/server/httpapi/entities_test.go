package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
)

func TestAnEntityIsChangedOnlyByThoseWhoHaveSeenIt(t *testing.T) {
	for _, e := range []struct{ name, path, body, changed string }{
		{"flag", v1 + "/flags", searchFlag, strings.Replace(searchFlag, `"off"}`, `"on"}`, 1)},
		{"segment", v1 + "/segments", staff, `{"key":"staff","members":["u1"]}`},
		{"layer", v1 + "/layers", `{"key":"l"}`, `{"key":"l","holdout":5}`},
	} {
		t.Run(e.name, func(t *testing.T) {
			b := newBench(t)
			created := b.send("POST", e.path, e.body).want(201)
			place := created.header.Get("Location")
			if tag := b.send("GET", place, "").want(200).etag(); tag != created.etag() {
				t.Fatalf("ETag %s after creation, %s when read", created.etag(), tag)
			}
			b.send("POST", e.path, e.body).wantProblem(control.CodeExists)
			b.send("PUT", place, e.changed).wantProblem(codePrecondition)
			b.send("PUT", place, e.changed, "If-None-Match: *").wantProblem(codeStale)
			b.send("DELETE", place, "").wantProblem(codePrecondition)

			put := b.send("PUT", place, e.changed, "If-Match: "+created.etag()).want(200)
			if put.etag() == created.etag() {
				t.Fatal("the ETag did not change with the entity")
			}
			b.send("PUT", place, e.body, "If-Match: "+created.etag()).wantProblem(codeStale)
			b.send("DELETE", place, "", "If-Match: "+created.etag()).wantProblem(codeStale)
			b.send("PUT", place, e.body, "If-Match: *").want(200)
			b.send("GET", place, "", "If-None-Match: "+put.etag()).want(200)
			newest := b.send("GET", place, "").want(200)
			if a := b.send("GET", place, "", "If-None-Match: W/"+newest.etag()).want(304); len(a.body) > 0 {
				t.Fatalf("304 with a body: %s", a.body)
			}
			b.send("DELETE", place, "", "If-Match: "+newest.etag()).want(200)
			b.send("GET", place, "").wantProblem(control.CodeNotFound)
			b.send("DELETE", place, "").wantProblem(control.CodeNotFound)
			b.send("PUT", place, e.body).want(201).etag()
		})
	}
}

func TestATagOfAnotherHistoryMatchesNothing(t *testing.T) {
	b := newBench(t)
	tag := b.send("POST", v1+"/flags", searchFlag).want(201).etag()
	_, revision, _ := strings.Cut(tag, ":")
	b.send("PUT", v1+"/flags/search", searchFlag, `If-Match: "another:`+revision).wantProblem(codeStale)
	for _, header := range []string{"If-Match: 7", `If-Match: "7"`, `If-Match: W/` + tag, `If-None-Match: "x:1"`, `If-Match: "x:1", "x:2"`} {
		b.send("PUT", v1+"/flags/search", searchFlag, header).wantProblem(control.CodeInvalid)
	}
	b.send("PUT", v1+"/flags/search", searchFlag, "If-Match: *", "If-None-Match: *").wantProblem(control.CodeInvalid)
}

func TestADryRunChecksAndStoresNothing(t *testing.T) {
	b := newBench(t)
	before := b.service.Head()
	a := b.send("POST", v1+"/flags?dryRun=true", searchFlag).want(200)
	var f control.FlagEntry
	if a.json(&f); f.Key != "search" || f.Revision != 0 || a.header.Get("ETag") != "" {
		t.Fatalf("got %+v with ETag %q", f, a.header.Get("ETag"))
	}
	b.send("POST", v1+"/flags?dryRun=true", `{"key":"search"}`).wantProblem(control.CodeInvalid)
	b.send("POST", v1+"/segments?dryRun=true", staff).want(200)
	b.send("POST", v1+"/tokens?dryRun=true", `{"name":"x","kind":"sdk"}`).want(200)
	b.send("POST", v1+"/flags?dryrun=true", searchFlag).wantProblem(control.CodeInvalid)
	b.send("POST", v1+"/flags?dryRun=yes", searchFlag).wantProblem(control.CodeInvalid)
	b.send("POST", v1+"/flags?dryRun=", searchFlag).wantProblem(control.CodeInvalid)
	if b.service.Head() != before {
		t.Fatalf("the log moved from %+v to %+v", before, b.service.Head())
	}
	if strings.Contains(string(b.send("POST", v1+"/tokens?dryRun=true", `{"name":"x","kind":"sdk"}`).body), "st_sdk_") {
		t.Fatal("a dry run gave a secret that is worth nothing")
	}
}

func TestARepeatedWriteIsDoneOnce(t *testing.T) {
	b := newBench(t)
	first := b.send("POST", v1+"/flags", searchFlag, "Idempotency-Key: one").want(201)
	after := b.service.Head()
	again := b.send("POST", v1+"/flags", searchFlag, "Idempotency-Key: one").want(201)
	if string(first.body) != string(again.body) || b.service.Head() != after {
		t.Fatalf("first %s, then %s", first.body, again.body)
	}
	other := strings.Replace(searchFlag, `"search"`, `"other"`, 1)
	b.send("POST", v1+"/flags", other, "Idempotency-Key: one").wantProblem(control.CodeConflict)
	b.send("POST", v1+"/flags", other, "Idempotency-Key: one", "as: editor").want(201) // of somebody else
	b.send("POST", v1+"/flags", searchFlag, "Idempotency-Key: "+strings.Repeat("k", 201)).wantProblem(control.CodeInvalid)
	// A conflict about the key stays one, whatever condition came with it.
	b.send("PUT", v1+"/flags/search", searchFlag, "Idempotency-Key: one", "If-Match: *").wantProblem(control.CodeConflict)
	tag := b.send("GET", v1+"/flags/search", "").etag()
	b.send("DELETE", v1+"/flags/search", "", "If-Match: "+tag, "Idempotency-Key: two").want(200)
	b.send("DELETE", v1+"/flags/search", "", "If-Match: "+tag, "Idempotency-Key: two").want(200)
}

func TestListsComeInPages(t *testing.T) {
	b := newBench(t)
	for i := range 5 {
		b.send("POST", v1+"/flags", strings.Replace(searchFlag, `"search"`, fmt.Sprintf(`"f/%d"`, i), 1)).want(201)
	}
	var keys []string
	path := v1 + "/flags?limit=2"
	for range 3 {
		var p page[control.FlagEntry]
		b.send("GET", path, "").want(200).json(&p)
		for _, f := range p.Items {
			keys = append(keys, f.Key)
		}
		path = v1 + "/flags?limit=2&cursor=" + p.NextCursor
		if (p.NextCursor == "") != (len(keys) == 5) {
			t.Fatalf("after %v the next cursor is %q", keys, p.NextCursor)
		}
	}
	if got := strings.Join(keys, " "); got != "f/0 f/1 f/2 f/3 f/4" {
		t.Fatalf("got %s", got)
	}
	var changes page[control.Change]
	b.send("GET", v1+"/changes?after=4&limit=3", "").want(200).json(&changes)
	if len(changes.Items) != 3 || changes.Items[0].Revision != 5 {
		t.Fatalf("got %+v", changes)
	}
	b.send("GET", v1+"/changes?limit=3&cursor="+changes.NextCursor, "").want(200).json(&changes)
	if len(changes.Items) != 2 || changes.Items[0].Revision != 8 {
		t.Fatalf("got %+v", changes)
	}
	var tokens page[control.Token]
	b.send("GET", v1+"/tokens?limit=3", "").want(200).json(&tokens)
	first := tokens
	tokens = page[control.Token]{}
	b.send("GET", v1+"/tokens?limit=3&cursor="+first.NextCursor, "").want(200).json(&tokens)
	if len(first.Items) != 3 || len(tokens.Items) != 1 || tokens.NextCursor != "" || tokens.Items[0].ID == first.Items[2].ID {
		t.Fatalf("got %+v, then %+v", first, tokens)
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "cursor=%25", "limit=1&limit=2", "offset=3", "cursor=%zz"} {
		b.send("GET", v1+"/flags?"+query, "").wantProblem(control.CodeInvalid)
	}
	if a := b.send("GET", v1+"/segments", "").want(200); strings.TrimSpace(string(a.body)) != `{"items":[]}` {
		t.Fatalf("an empty list is %s", a.body)
	}
}

func TestHistoryAndRevert(t *testing.T) {
	b := newBench(t)
	tag := b.send("POST", v1+"/flags?reason=first", searchFlag).want(201).etag()
	b.send("PUT", v1+"/flags/search?reason=second", strings.Replace(searchFlag, `"off"}`, `"on"}`, 1), "If-Match: "+tag).want(200)
	var p page[control.Change]
	b.send("GET", v1+"/flags/search/history", "").want(200).json(&p)
	if len(p.Items) != 2 || p.Items[0].Reason != "second" || !strings.HasPrefix(p.Items[0].Actor, "api:") {
		t.Fatalf("got %+v", p.Items)
	}
	path := fmt.Sprintf("%s/changes/%d", v1, p.Items[0].Revision)
	b.send("POST", path+"/revert?dryRun=true", "").want(200)
	reverted := b.send("POST", path+"/revert", `{"reason":"too early"}`).want(201)
	var c control.Change
	if reverted.json(&c); c.Reason != "too early" || reverted.header.Get("Location") != fmt.Sprintf("%s/changes/%d", v1, c.Revision) {
		t.Fatalf("got %+v at %s", c, reverted.header.Get("Location"))
	}
	var f control.FlagEntry
	if b.send("GET", v1+"/flags/search", "").json(&f); f.DefaultVariant != "off" {
		t.Fatalf("after the revert the default is %q", f.DefaultVariant)
	}
	b.send("POST", path+"/revert?reason=a", `{"reason":"b"}`).wantProblem(control.CodeInvalid)
	b.send("GET", v1+"/changes/999", "").wantProblem(control.CodeNotFound)
	b.send("GET", v1+"/changes/0", "").wantProblem(control.CodeInvalid)
	b.send("GET", v1+"/changes/x", "").wantProblem(control.CodeInvalid)
}

func TestTrialsAreStartedAndTold(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/flags", searchFlag).want(201)
	started := b.send("POST", v1+"/trials", searchRun).want(201)
	b.send("POST", v1+"/trials", searchRun).wantProblem(control.CodeExists)
	b.send("POST", v1+"/trials", strings.Replace(searchRun, "new-search", "second", 1)).wantProblem(control.CodePrecondition)
	act := started.header.Get("Location") + "/actions"
	b.send("POST", act, `{"verb":"stop"}`).wantProblem(control.CodeInvalid)
	var trial control.TrialEntry
	paused := b.send("POST", act, `{"verb":"pause","reason":"lunch"}`).want(200)
	if paused.json(&trial); trial.State.Phase != "paused" || !strings.Contains(trial.State.Why, "lunch") {
		t.Fatalf("got %+v", trial.State)
	}
	b.send("POST", act, `{"verb":"resume"}`, "If-Match: "+started.etag()).wantProblem(codeStale)
	b.send("POST", act, `{"verb":"resume"}`, "If-Match: "+paused.etag()).want(200)
	b.send("POST", act+"?reason=enough", `{"verb":"abort"}`).want(200)
	b.send("POST", act, `{"verb":"abort"}`).wantProblem(control.CodePrecondition)
	b.send("GET", v1+"/trials/new-search/intervals", "").want(200)
	b.send("GET", v1+"/trials/none/intervals", "").wantProblem(control.CodeNotFound)
}

func TestRevokedTokensAreWorthNothing(t *testing.T) {
	b := newBench(t)
	var made createdToken
	a := b.send("POST", v1+"/tokens", `{"name":"ci","kind":"api","role":"viewer","expiresIn":"1h"}`).want(201)
	if a.json(&made); made.Secret == "" || made.ExpiresAt.IsZero() || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %s", a.body)
	}
	as := "Authorization: Bearer " + made.Secret
	b.send("GET", v1+"/flags", "", as).want(200)
	b.send("DELETE", v1+"/tokens/"+made.ID, "").wantProblem(codePrecondition)
	b.send("DELETE", v1+"/tokens/"+made.ID, "", "If-Match: *").want(200)
	b.send("DELETE", v1+"/tokens/"+made.ID, "").wantProblem(control.CodeNotFound)
	b.send("GET", v1+"/flags", "", as).wantProblem(control.CodeUnauthenticated)
	for _, body := range []string{`{"name":"ci"}`, `{"name":"","kind":"api"}`, `{"name":"ci","kind":"api","role":"root"}`, `{"name":"ci","kind":"api","expiresIn":30}`, `{"name":"ci","kind":"api","expires":"1h"}`} {
		b.send("POST", v1+"/tokens", body).wantProblem(control.CodeInvalid)
	}
	var log page[control.Change]
	b.send("GET", v1+"/changes", "", "as: viewer").json(&log)
	for _, c := range log.Items {
		for _, op := range c.Ops {
			if strings.Contains(strings.ToLower(string(op.Value)), "hash") {
				t.Errorf("a viewer sees %s", op.Value)
			}
		}
	}
}

func TestEvaluateTellsWhy(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/segments", staff).want(201)
	b.send("POST", v1+"/flags", strings.Replace(searchFlag, `"off"}`, `"off","rules":[{"name":"staff first","when":{"segment":"staff"},"serve":"on"}]}`, 1)).want(201)
	for _, test := range []struct{ name, body, variant, reason, code string }{
		{"rule", `{"flag":"search","context":{"targetingKey":"u1"}}`, "on", "TARGETING_MATCH", ""},
		{"default", `{"flag":"search","context":{"targetingKey":"u9"}}`, "off", "DEFAULT", ""},
		{"no context", `{"flag":"search"}`, "off", "DEFAULT", ""},
		{"unknown flag", `{"flag":"nothing"}`, "", "ERROR", "FLAG_NOT_FOUND"},
	} {
		var e evaluation
		b.send("POST", v1+"/evaluate", test.body, "as: viewer").want(200).json(&e)
		if e.Variant != test.variant || string(e.Reason) != test.reason || string(e.ErrorCode) != test.code || len(e.Explanation) == 0 {
			t.Errorf("%s: got %+v", test.name, e)
		}
	}
	for _, body := range []string{`{}`, `{"flag":"search","context":{"targetingKey":7}}`, `{"flag":"search","ctx":{}}`, `{"flag":"search","context":[]}`} {
		b.send("POST", v1+"/evaluate", body).wantProblem(control.CodeInvalid)
	}
	b.send("PUT", v1+"/flags/search", searchFlag, "If-Match: *").want(200)
	var e evaluation
	if b.send("POST", v1+"/evaluate", `{"flag":"search","context":{"targetingKey":"u1"}}`).json(&e); e.Variant != "off" {
		t.Fatalf("after the change: %+v: an outdated state was evaluated", e)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	b := newBench(t)
	long := `{"key":"` + strings.Repeat("x", maxBody) + `"}`
	b.send("POST", v1+"/segments", long).wantProblem(control.CodeTooLarge)
	b.send("POST", v1+"/flags", searchFlag, "Content-Type: text/plain").wantProblem(codeMediaType)
	b.send("POST", v1+"/flags", searchFlag, "Content-Type: application/json; charset=utf-8").want(201)
	b.send("POST", v1+"/flags", "").wantProblem(codeMediaType)
	b.send(http.MethodPatch, v1+"/flags", "").wantProblem(codeMethod)
}
