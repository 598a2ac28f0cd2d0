package httpapi

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// A whole visit to the server: every operation is used, and every answer is what the document
// says it is.
func TestAnswersAreWhatTheDocumentSays(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Metrics = func(w io.Writer) { w.Write([]byte("up 1\n")) } })
	v := &visit{bench: b, document: openDocument(t), used: map[string]bool{}}
	b.traces.Add(oneTrace)
	code := b.auth.NewCode("somebody", control.RoleAdmin)

	v.see("POST", v1+"/segments", staff, 201)
	flagTag := v.see("POST", v1+"/flags", strings.Replace(searchFlag, `"off"}`, `"off","tags":["x"],"rules":[
		{"when":{"all":[{"attribute":"country","op":"in","values":["DE",7,true]},{"not":{"segment":"staff"}}]},"split":{"weights":[{"variant":"on","weight":5}]}},
		{"when":{"segment":"staff"},"serve":"on"}]}`, 1), 201).etag()
	v.see("GET", v1+"/flags", "", 200)
	v.see("GET", v1+"/flags/search", "", 200)
	v.see("GET", v1+"/flags/search", "", 304, "If-None-Match: "+flagTag)
	v.see("PUT", v1+"/flags/other", strings.Replace(searchFlag, `"search"`, `"other"`, 1), 201)
	v.see("PUT", v1+"/flags/search", searchFlag, 200, "If-Match: "+flagTag)
	v.see("DELETE", v1+"/flags/other", "", 200, "If-Match: *")
	v.see("GET", v1+"/flags/other/history", "", 200)
	v.see("GET", v1+"/segments", "", 200)
	v.see("GET", v1+"/segments/staff", "", 200)
	v.see("PUT", v1+"/segments/beta", `{"key":"beta"}`, 201)
	v.see("DELETE", v1+"/segments/beta", "", 200, "If-Match: *")
	v.see("GET", v1+"/segments/beta/history", "", 200)
	plain := "Content-Type: text/plain"
	v.see("PUT", v1+"/segments/staff/list", "u-1\nu-2\n", 200, plain)
	v.see("POST", v1+"/segments/staff/list/add", "u-3\n", 200, plain)
	v.see("POST", v1+"/segments/staff/list/remove?reason=gone", "u-1\n", 200, plain)
	v.see("GET", v1+"/segments/staff/list", "", 200)
	v.see("GET", v1+"/segments/staff/list/contains?unit=u-2", "", 200)
	v.see("GET", v1+"/segments/staff", "", 200)
	v.see("GET", v1+"/snapshot", "", 200, "as: sdk")
	part := v1 + "/parts/" + v.service.Snapshot().Set.Segments[0].List.Parts[0].Digest
	v.see("GET", part, "", 304, "as: sdk", "If-None-Match: "+v.see("GET", part, "", 200, "as: sdk").etag())
	v.see("DELETE", v1+"/segments/staff/list", "", 200)

	v.see("GET", v1+"/layers", "", 200)
	layerTag := v.see("POST", v1+"/layers", `{"key":"l","slots":[{"flag":"search","from":0,"to":60000}],"holdout":1000}`, 201).etag()
	v.see("GET", v1+"/layers/l", "", 200)
	v.see("GET", v1+"/snapshot", "", 200, "as: sdk")
	v.see("GET", v1+"/layers/l", "", 304, "If-None-Match: "+layerTag)
	v.see("PUT", v1+"/layers/l", `{"key":"l"}`, 200, "If-Match: "+layerTag)
	v.see("PUT", v1+"/layers/m", `{"key":"m","global":true}`, 201)
	v.see("DELETE", v1+"/layers/m", "", 200, "If-Match: *")
	v.see("GET", v1+"/layers/m/history", "", 200)
	v.see("POST", v1+"/apply?dryRun=true", `{"flags":[`+rich+`],"segments":[`+staff+`,{"key":"s2"}]}`, 200)
	v.see("POST", v1+"/apply", `{"flags":[`+rich+`,`+raw+`],"segments":[`+staff+`,{"key":"s2"},{"key":"logic","rule":{"==":[{"var":"plan"},"pro"]}}],"deleteLayers":["none"],"reason":"all"}`, 200)
	v.see("GET", v1+"/flags", "", 200)
	v.see("GET", v1+"/segments", "", 200)
	v.see("POST", v1+"/flags/rich/restore", `{"revision":`+strconv.FormatInt(b.service.Head().Revision, 10)+`}`, 200)
	v.see("GET", v1+"/stale", "", 200)
	var planned control.ScheduleEntry
	at := time.Now().Add(time.Hour).Format(time.RFC3339)
	v.see("POST", v1+"/schedules", `{"flag":"rich","at":"`+at+`","patch":{"enabled":false},"reason":"tonight"}`, 201).json(&planned)
	v.see("GET", v1+"/schedules?flag=rich&state=pending", "", 200)
	v.see("GET", v1+"/schedules/"+planned.ID, "", 200)
	v.see("DELETE", v1+"/schedules/"+planned.ID, "", 200)

	v.see("POST", v1+"/trials?dryRun=true", searchRun, 200)
	v.see("POST", v1+"/trials", strings.Replace(searchRun, "}", `,"audience":{"segment":"staff"}}`, 1), 201)
	v.weigh("new-search")
	v.see("GET", v1+"/trials", "", 200)
	v.see("GET", v1+"/trials/new-search", "", 200)
	v.see("GET", v1+"/trials/new-search/intervals", "", 200)
	v.see("GET", v1+"/snapshot", "", 200, "as: sdk")
	v.see("POST", v1+"/evaluate", `{"flag":"search","context":{"targetingKey":"u1"}}`, 200)
	v.see("POST", v1+"/trials/new-search/actions", `{"verb":"abort"}`, 200)
	v.see("GET", v1+"/trials/new-search/history", "", 200)
	v.see("POST", v1+"/trials", searchRun, 201)
	v.see("GET", v1+"/trials/new-search/verdict", "", 200)
	v.see("POST", v1+"/trials/new-search/verdict?expect=no_data", `{"name":"ignored"}`, 200)
	v.see("POST", v1+"/verdicts", versions, 200)
	v.see("POST", v1+"/verdicts/flagger", flagger("Progressing", "1"), 200)
	v.see("POST", v1+"/halt?dryRun=true", "", 200)
	v.see("POST", v1+"/halt", `{"reason":"enough","allEnvironments":true}`, 200)
	v.see("GET", v1+"/chaos", "", 200)
	v.see("POST", v1+"/flags", stormFlag, 201)
	v.see("POST", v1+"/trials", stormRun, 201)
	v.see("POST", v1+"/schedules", `{"at":"`+at+`","trial":`+stormRun+`,"every":"24h","between":"00:00-24:00 Europe/Berlin","reason":"every day"}`, 201).json(&planned)
	v.see("GET", v1+"/schedules?flag=payment", "", 200)
	v.see("DELETE", v1+"/schedules/"+planned.ID, "", 200)
	v.see("PUT", v1+"/chaos?dryRun=true", `{"off":true,"reason":"incident"}`, 200)
	v.see("PUT", v1+"/chaos", `{"off":true,"reason":"incident"}`, 200)
	v.see("GET", v1+"/snapshot", "", 200, "as: sdk")
	v.see("PUT", v1+"/chaos", `{"off":false,"reason":"over"}`, 200)
	v.see("GET", v1+"/chaos", "", 200)

	v.see("POST", v1+"/webhooks?dryRun=true", `{"name":"ci","url":"http://127.0.0.1:9/hook"}`, 200)
	hookTag := v.see("POST", v1+"/webhooks", `{"name":"ci","url":"http://127.0.0.1:9/hook","events":["end"],"goal":"promote","trials":"a*"}`, 201).etag()
	v.see("GET", v1+"/webhooks", "", 200)
	v.see("GET", v1+"/webhooks/ci", "", 200)
	v.see("PUT", v1+"/webhooks/ci", `{"format":"slack","enabled":false}`, 200, "If-Match: "+hookTag)
	v.see("POST", v1+"/webhooks/ci/rotate", "", 200)
	v.see("POST", v1+"/webhooks/ci/rotate", `{"endOld":true,"reason":"it has leaked"}`, 200)
	v.see("POST", v1+"/webhooks/ci/test", "", 200)
	v.see("GET", v1+"/webhooks/ci/history", "", 200)
	v.see("DELETE", v1+"/webhooks/ci", "", 200, "If-Match: *")

	revision := v.see("GET", v1+"/changes?limit=1000", "", 200).lastRevisionOf("flag")
	v.see("GET", v1+"/changes/"+revision, "", 200)
	v.see("POST", v1+"/changes/"+revision+"/revert", "", 201)
	v.see("GET", v1+"/tokens", "", 200)
	var made createdToken
	v.see("POST", v1+"/tokens", `{"name":"app","kind":"sdk"}`, 201).json(&made)
	v.see("DELETE", v1+"/tokens/"+made.ID, "", 200, "If-Match: *")
	v.see("GET", v1+"/environments", "", 200)
	v.see("POST", v1+"/environments", `{"key":"staging"}`, 201)
	v.see("GET", v1+"/environments/staging", "", 200)
	v.see("GET", v1+"/environments/staging/compare?with=default", "", 200)
	v.see("POST", v1+"/environments/staging/promote?dryRun=true", `{"from":"default","flags":["search"],"segments":["staff"]}`, 200)
	v.see("DELETE", v1+"/environments/staging", "", 204)
	v.see("POST", v1+"/login", `{"code":"`+code+`"}`, 200, "as: nobody")
	v.see("GET", v1+"/traces?flag=search&variant=on&service=web&error=true&minMs=1", "", 200)
	v.see("GET", v1+"/traces/"+oneTrace[0].TraceID.String(), "", 200)
	v.api.cfg.Fleet.AddFacts(aFleet())
	v.see("GET", v1+"/points", "", 200)
	v.see("GET", v1+"/dependencies?service=shop", "", 200)
	v.see("GET", v1+"/dependencies/pg", "", 200)
	v.see("GET", v1+"/transitions?dependency=pg&after=1", "", 200)
	v.see("GET", v1+"/stream", "", 200, "as: sdk")
	v.see("POST", "/v1/traces", `{"resourceSpans":[]}`, 200, "as: sdk")
	v.see("POST", "/v1/metrics", `{"resourceMetrics":[]}`, 200, "as: sdk")
	v.see("GET", "/livez", "", 200, "as: nobody")
	v.see("GET", "/readyz", "", 200, "as: nobody")
	v.see("GET", "/metrics", "", 200)
	v.see("GET", "/", "", 200)
	v.see("GET", "/login?code="+b.auth.NewCode("somebody", control.RoleAdmin), "", 303, "as: nobody")
	v.see("POST", "/logout", "", 303)

	for _, rt := range routes() {
		if !v.used[rt.method+" "+rt.path] {
			t.Errorf("%s %s was not visited", rt.method, rt.path)
		}
	}
}

// rich has everything that a structured flag can have, raw is a definition of flagd.
const (
	rich = `{"key":"rich","kind":"config","type":"object","description":"d","owner":"o","tags":["t"],"expires":"2026-01-01","clientSide":true,"enabled":true,
		"schema":{"properties":{"n":{"maximum":5}}},"variants":[{"name":"a","value":{"n":1}},{"name":"b","value":{"n":2}}],"defaultVariant":"a",
		"prerequisites":[{"flag":"search","variants":["on"]}],"overrides":[{"variant":"b","units":["u1"]}],
		"rules":[{"when":{"attribute":"version","op":"semver>=","values":["1.2.3"]},"serve":"b"},{"when":{"segment":"staff"},"split":{"weights":[{"variant":"b","weight":500}]}}]}`
	raw = `{"key":"raw","kind":"release","type":"boolean","enabled":true,
		"definition":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":{"if":[{"$ref":"logic"},"on"]}}}`
)

type visit struct {
	*bench
	document document
	used     map[string]bool
}

// see makes a request and compares the answer with the document.
func (v *visit) see(method, path, body string, status int, headers ...string) answer {
	v.t.Helper()
	a := v.send(method, path, body, headers...).want(status)
	rt := v.find(method, path)
	v.used[rt.method+" "+rt.path] = true
	response := object(object(v.document.operation(rt)["responses"])[strconv.Itoa(status)])
	if response == nil {
		v.t.Fatalf("%s %s: the document has no %d", method, path, status)
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	content := object(response["content"])
	if len(content) == 0 {
		if len(a.body) > 0 && status != 303 {
			v.t.Errorf("%s %s: %d has a body that is not documented: %s", method, path, status, a.body)
		}
		return a
	}
	kind := object(content[media])
	if kind == nil {
		v.t.Fatalf("%s %s: %s is not documented", method, path, media)
	}
	var value any = string(a.body)
	if media == "application/json" {
		a.json(&value)
	}
	if err := v.document.validate("", kind["schema"], value); err != nil {
		v.t.Errorf("%s %s: %v\n%s", method, path, err, a.body)
	}
	return a
}

func (v *visit) find(method, path string) route {
	v.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	for _, rt := range routes() {
		want, have := strings.Split(strings.TrimSuffix(rt.path, "{$}"), "/"), strings.Split(path, "/")
		if rt.method != method || len(want) != len(have) {
			continue
		}
		same := true
		for i := range want {
			same = same && (want[i] == have[i] || strings.HasPrefix(want[i], "{") && have[i] != "")
		}
		if same {
			return rt
		}
	}
	v.t.Fatalf("no route for %s %s", method, path)
	return route{}
}

// weigh journals an interval with outcomes, as the controller does.
func (v *visit) weigh(name string) {
	v.t.Helper()
	entry, err := v.service.GetTrial(name)
	if err != nil {
		v.t.Fatal(err)
	}
	arm := outcome.Arm{Requests: 2, Bad: 1, NewUnits: 2, AtRiskUnits: 2, BadUnits: 1}
	arm.Latency.Record(0.25)
	arm.Latency.Record(0)
	iv := outcome.Interval{Seq: 1, From: entry.State.StartedAt, To: entry.State.StartedAt.Add(15 * time.Second), Treatment: arm, Control: arm.Clone(),
		Exemplars: []outcome.Exemplar{{TraceID: oneTrace[0].TraceID.String(), SpanID: oneTrace[0].SpanID.String(), Time: entry.State.StartedAt, Seconds: 0.25}}}
	state, actions := trial.Next(entry.Spec, entry.State, trial.IntervalClosed{Interval: iv})
	if len(actions) > 0 {
		_, err = v.service.StoreDecision(v.t.Context(), control.Decision{Trial: name, Revision: entry.Revision, State: state, Interval: &iv, Actions: actions})
	} else {
		err = v.service.RecordIntervals(v.t.Context(), []control.Record{{Trial: name, Revision: entry.Revision, Interval: iv, State: state}})[0]
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// lastRevisionOf gives the newest change to an entity of a kind.
func (a answer) lastRevisionOf(kind control.EntityKind) string {
	a.t.Helper()
	var p page[control.Change]
	a.json(&p)
	found := ""
	for _, c := range p.Items {
		if c.Ops[0].Kind == kind {
			found = strconv.FormatInt(c.Revision, 10)
		}
	}
	if found == "" {
		a.t.Fatal(errors.New("no such change"))
	}
	return found
}

// oneTrace is a request that failed in a second service.
var oneTrace = func() []traces.Span {
	var trace traces.TraceID
	hex.Decode(trace[:], []byte("0af7651916cd43dd8448eb211c80319c"))
	root, child := traces.SpanID{1}, traces.SpanID{2}
	return []traces.Span{
		{TraceID: trace, SpanID: child, Parent: root, Service: "payment", Name: "charge", Kind: traces.KindServer, Status: traces.StatusError,
			StatusMessage: "declined", Start: 2e6, End: 9e6, Attributes: []traces.Attribute{{Key: "order.id", Value: traces.StringValue("o1")}}},
		{TraceID: trace, SpanID: root, Service: "web", Name: "POST /checkout", Kind: traces.KindServer, Start: 1e6, End: 11e6,
			Attributes: []traces.Attribute{{Key: traces.AttrFlagPrefix + "search", Value: traces.StringValue("on")}},
			Events:     []traces.Event{{Name: "retry", Time: 3e6}}},
	}
}()

func TestTracesAreGivenParentsFirst(t *testing.T) {
	b := newBench(t)
	b.traces.Add(oneTrace)
	var d traceDetail
	b.send("GET", v1+"/traces/"+oneTrace[0].TraceID.String(), "").want(200).json(&d)
	if len(d.Spans) != 2 || d.Spans[0].Name != "POST /checkout" || d.Spans[1].ParentSpanID != d.Spans[0].SpanID || d.Spans[1].DurationMs != 7 {
		t.Fatalf("got %+v", d)
	}
	for _, test := range []struct {
		query string
		found int
	}{
		{"", 1}, {"?flag=search", 1}, {"?flag=search&variant=off", 0}, {"?flag=other", 0}, {"?service=payment", 1},
		{"?error=true", 1}, {"?minMs=10", 1}, {"?minMs=10.5", 0}, {"?error=false", 1},
	} {
		var p page[json.RawMessage]
		if b.send("GET", v1+"/traces"+test.query, "").want(200).json(&p); len(p.Items) != test.found {
			t.Errorf("%s: %d traces, want %d", test.query, len(p.Items), test.found)
		}
	}
	b.send("GET", v1+"/traces/"+strings.Repeat("1", 32), "").wantProblem(control.CodeNotFound)
	for _, path := range []string{"/traces/xyz", "/traces/" + strings.Repeat("0", 32), "/traces?variant=on", "/traces?minMs=-1", "/traces?minMs=NaN", "/traces?error=1", "/traces?limit=0"} {
		b.send("GET", v1+path, "").wantProblem(control.CodeInvalid)
	}
}
