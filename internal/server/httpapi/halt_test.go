package httpapi

import (
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

func TestHaltStopsWhatRuns(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/flags", searchFlag).want(201)
	b.send("POST", v1+"/trials", searchRun).want(201)
	b.send("POST", v1+"/halt", "", "as: viewer").wantProblem(control.CodePermission)
	b.send("POST", v1+"/halt", `{"all":true}`).wantProblem(control.CodeInvalid)
	b.send("POST", v1+"/halt?reason=x", `{"reason":"y"}`).wantProblem(control.CodeInvalid)
	if b.send("GET", v1+"/trials/new-search", "").want(200); len(b.service.ActiveTrials()) != 1 {
		t.Fatal("a refused halt stopped something")
	}
	var a haltAnswer
	b.send("POST", v1+"/halt", "", "as: editor").want(200).json(&a)
	if !a.Complete || len(a.Environments) != 1 || a.Environments[0].Environment != "default" || len(a.Environments[0].Trials) != 1 {
		t.Fatalf("got %+v", a)
	}
	if one := a.Environments[0].Trials[0]; one.Trial != "new-search" || one.Result != "aborted" || one.Revision != b.service.Head().Revision {
		t.Errorf("got %+v", one)
	}
	if a := b.send("POST", v1+"/halt", `{}`).want(200); !strings.Contains(string(a.body), `"complete":true,"environments":[{"environment":"default","trials":[]}]`) {
		t.Errorf("a second halt says %s", a.body)
	}
}

func TestHaltOfEveryEnvironment(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/environments", `{"key":"staging"}`).want(201)
	environments := b.api.cfg.Environments.(*memoryEnvironments)
	broken := storetest.NewMemory()
	service, err := control.New(t.Context(), control.Config{Log: broken, Journal: broken, Environment: "broken"})
	if err != nil {
		t.Fatal(err)
	}
	environments.names, environments.services["broken"] = append(environments.names, "broken"), service
	for _, name := range environments.names {
		on := New(Config{Service: environments.services[name], Auth: b.auth, Traces: b.traces, Environment: name, Environments: environments})
		here := *b
		here.api, here.handler = on, on.Handler()
		here.send("POST", v1+"/flags", searchFlag).want(201)
		here.send("POST", v1+"/trials", searchRun).want(201)
	}
	broken.Refuse(func(control.Draft) error {
		return &control.Error{Code: control.CodeUnavailable, Message: "the disk is full"}
	})
	var a haltAnswer
	b.send("POST", v1+"/halt", `{"reason":"now","allEnvironments":true}`, "as: editor").want(200).json(&a)
	if a.Complete || len(a.Environments) != 3 {
		t.Fatalf("got %+v", a)
	}
	for _, e := range a.Environments {
		running := len(environments.services[e.Environment].ActiveTrials())
		if failed := e.Environment == "broken"; failed != (e.Error != "") || failed != (running == 1) || failed == (len(e.Trials) == 1) {
			t.Errorf("%+v, and %d run", e, running)
		}
	}
	_, only, err := b.service.CreateToken(t.Context(), control.NewToken{Name: "x", Kind: control.TokenAPI, Role: control.RoleAdmin, Environment: "default"}, control.WriteOptions{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	as := "Authorization: Bearer " + only
	b.send("POST", v1+"/halt", `{"allEnvironments":true}`, as).wantProblem(control.CodePermission)
	b.send("POST", v1+"/halt", "", as).want(200)
}
