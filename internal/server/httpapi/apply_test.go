package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

func TestApplyIsOneChange(t *testing.T) {
	b := newBench(t)
	ruled := strings.Replace(searchFlag, `"off"}`, `"off","rules":[{"when":{"segment":"staff"},"serve":"on"}]}`, 1)
	batch := `{"flags":[` + ruled + `],"segments":[` + staff + `],"reason":"both"}`
	before := b.service.Head().Revision
	var applied control.Applied
	b.send("POST", v1+"/apply?dryRun=true", batch).want(200).json(&applied)
	if applied.Revision != 0 || len(applied.Items) != 2 || b.service.Head().Revision != before {
		t.Fatalf("a dry run gave %+v", applied)
	}
	b.send("POST", v1+"/apply", batch, "as: viewer").wantProblem(control.CodePermission)
	first := b.send("POST", v1+"/apply", batch, "Idempotency-Key: k").want(200)
	first.json(&applied)
	var c control.Change
	b.send("GET", fmt.Sprintf("%s/changes/%d", v1, applied.Revision), "").want(200).json(&c)
	if applied.Revision != before+1 || c.Reason != "both" || len(c.Ops) != 2 || !strings.HasPrefix(c.Actor, "api:") {
		t.Fatalf("%+v is the change %+v", applied, c)
	}
	if again := b.send("POST", v1+"/apply", batch, "Idempotency-Key: k").want(200); string(again.body) != string(first.body) {
		t.Errorf("first %s, then %s", first.body, again.body)
	}
	b.send("POST", v1+"/apply", `{"deleteSegments":["staff"]}`).wantProblem(control.CodePrecondition)
	b.send("POST", v1+"/apply", `{"deleteSegments":["staff"],"deleteFlags":["search"],"ifMatch":[{"kind":"flag","key":"search","revision":1}]}`).wantProblem(control.CodeConflict)
	b.send("POST", v1+"/apply", fmt.Sprintf(`{"deleteSegments":["staff"],"deleteFlags":["search"],"ifMatch":[{"kind":"flag","key":"search","revision":%d}]}`, applied.Revision)).want(200)
}

func TestABatchIsReadStrictly(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		name, body string
		places     []string
	}{
		{"an unknown list", `{"flagz":[]}`, []string{"/flagz"}},
		{"no object", `[]`, []string{""}},
		{"a misspelt field inside", `{"flags":[` + searchFlag + `,{"key":"x","enabeld":true}]}`, []string{"/flags/1/enabeld"}},
		{"not valid", `{"segments":[{"key":"a b"}],"layers":[{"key":"l","slots":[{"flag":"x","from":0,"to":1}]}]}`, []string{"/segments/0/key", "/layers/0/slots/0/flag"}},
		{"null", `{"flags":[null]}`, nil},
		{"a condition that is none", `{"ifMatch":[{"kind":"trial","key":"x","revision":-1}]}`, []string{"/ifMatch/0/kind", "/ifMatch/0/revision"}},
		{"named twice", `{"flags":[` + searchFlag + `],"deleteFlags":["search"]}`, []string{"/deleteFlags/0"}},
	} {
		p := b.send("POST", v1+"/apply", test.body).wantProblem(control.CodeInvalid)
		var got []string
		for _, e := range p.Errors {
			got = append(got, e.Pointer)
		}
		if test.places != nil && !slices.Equal(got, test.places) {
			t.Errorf("%s: places %q, want %q", test.name, got, test.places)
		}
	}
	b.send("POST", v1+"/apply", `{"flags":[`+strings.Repeat(`{},`, control.MaxOps)+`{}]}`).wantProblem(control.CodeTooLarge)
	b.send("POST", v1+"/apply", `{"reason":"`+strings.Repeat("x", maxBatch)+`"}`).wantProblem(control.CodeTooLarge)
	large := `{"key":"large","description":"x","members":["` + strings.Repeat("x", 200) + `"]}`
	var members strings.Builder
	for i := range 9_000 {
		fmt.Fprintf(&members, `"%0100d",`, i)
	}
	var list []string
	for i := range 5 {
		list = append(list, strings.Replace(strings.Replace(large, `"large"`, fmt.Sprintf(`"large%d"`, i), 1), `["`, `[`+members.String()+`"`, 1))
	}
	body := `{"segments":[` + strings.Join(list, ",") + `]}`
	if len(body) <= maxBody {
		t.Fatalf("%d bytes try nothing", len(body))
	}
	b.send("POST", v1+"/apply", body).want(200)
}

func TestSchedulesComeAndGo(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/flags", searchFlag).want(201)
	at := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	plan := `{"flag":"search","at":"` + at + `","patch":{"defaultVariant":"on"},"reason":"launch"}`
	var s control.ScheduleEntry
	b.send("POST", v1+"/schedules?dryRun=true", plan).want(200)
	created := b.send("POST", v1+"/schedules", plan).want(201)
	created.json(&s)
	if created.header.Get("Location") != v1+"/schedules/"+s.ID || s.State != control.SchedulePending || s.Reason != "launch" || !strings.HasPrefix(s.CreatedBy, "api:") {
		t.Fatalf("got %s", created.body)
	}
	var list page[control.ScheduleEntry]
	b.send("GET", v1+"/schedules?state=pending&flag=search", "", "as: viewer").want(200).json(&list)
	if len(list.Items) != 1 || list.Items[0].ID != s.ID {
		t.Fatalf("listed %+v", list)
	}
	b.send("GET", v1+"/schedules?state=soon", "").wantProblem(control.CodeInvalid)
	b.send("DELETE", v1+"/schedules/"+s.ID, "", "as: viewer").wantProblem(control.CodePermission)
	b.send("DELETE", v1+"/schedules/"+s.ID, "").want(200).json(&s)
	if s.State != control.ScheduleCancelled {
		t.Errorf("cancelled: %+v", s)
	}
	b.send("DELETE", v1+"/schedules/"+s.ID, "").wantProblem(control.CodePrecondition)
	b.send("GET", v1+"/schedules/none", "").wantProblem(control.CodeNotFound)
	b.send("POST", v1+"/schedules", strings.Replace(plan, `"search"`, `"none"`, 1)).wantProblem(control.CodeNotFound)
	for _, body := range []string{`{}`, `{"flag":"search","at":"tomorrow","patch":{"enabled":true}}`, strings.Replace(plan, "defaultVariant", "defaultVarient", 1),
		strings.Replace(plan, "reason", "why", 1), strings.Replace(plan, at, "2026-01-01T00:00:00Z", 1)} {
		b.send("POST", v1+"/schedules", body).wantProblem(control.CodeInvalid)
	}
}

func TestTheNewestChangesComeFirst(t *testing.T) {
	b := newBench(t) // four tokens
	b.send("POST", v1+"/flags", searchFlag).want(201)
	var got []int64
	path := v1 + "/changes?order=newest&limit=2"
	for {
		var p page[control.Change]
		b.send("GET", path, "").want(200).json(&p)
		for _, c := range p.Items {
			got = append(got, c.Revision)
		}
		if path = v1 + "/changes?order=newest&limit=2&cursor=" + p.NextCursor; p.NextCursor == "" {
			break
		}
	}
	if !slices.Equal(got, []int64{5, 4, 3, 2, 1}) {
		t.Errorf("got %v", got)
	}
	var p page[control.Change]
	if b.send("GET", v1+"/changes?order=newest&after=3", "").want(200).json(&p); len(p.Items) != 2 || p.Items[0].Revision != 5 {
		t.Errorf("after 3: %+v", p.Items)
	}
	b.send("GET", v1+"/changes?order=random", "").wantProblem(control.CodeInvalid)
}

func TestAnyRevisionOfAFlagIsReadAndRestored(t *testing.T) {
	b := newBench(t)
	first := b.send("POST", v1+"/flags", searchFlag).want(201)
	b.send("PUT", v1+"/flags/search", strings.Replace(searchFlag, `"off"}`, `"on"}`, 1), "If-Match: "+first.etag()).want(200)
	var history page[control.Change]
	b.send("GET", v1+"/flags/search/history", "").want(200).json(&history)
	oldest := history.Items[len(history.Items)-1]
	if len(oldest.Ops) != 1 || !strings.Contains(string(oldest.Ops[0].Value), `"defaultVariant":"off"`) {
		t.Fatalf("the history does not tell what the flag was: %+v", oldest)
	}
	body := fmt.Sprintf(`{"revision":%d,"reason":"too early"}`, oldest.Revision)
	b.send("POST", v1+"/flags/search/restore", body, "If-Match: "+first.etag()).wantProblem(codeStale)
	var f control.FlagEntry
	b.send("POST", v1+"/flags/search/restore", body).want(200).json(&f)
	var c control.Change
	b.send("GET", fmt.Sprintf("%s/changes/%d", v1, f.Revision), "").json(&c)
	if f.DefaultVariant != "off" || c.Reason != "too early" {
		t.Errorf("restored %+v by %+v", f, c)
	}
	b.send("POST", v1+"/flags/search/restore", `{"revision":1}`).wantProblem(control.CodeNotFound)
	for _, body := range []string{`{}`, `{"revision":0}`, `{"revision":"x"}`} {
		b.send("POST", v1+"/flags/search/restore", body).wantProblem(control.CodeInvalid)
	}
}

func TestStaleFlagsAreTold(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/flags", strings.Replace(searchFlag, `"off"}`, `"off","expires":"2020-01-31"}`, 1)).want(201)
	var report control.StaleReport
	b.send("GET", v1+"/stale", "", "as: viewer").want(200).json(&report)
	if len(report.Items) != 1 || report.Items[0].Flag != "search" || report.Items[0].Reasons[0].Code != control.StaleExpired || report.Items[0].Reasons[0].Since.Year() != 2020 {
		t.Errorf("got %+v", report)
	}
}
