package httpapi

import (
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
)

const (
	stormFlag = `{"key":"payment","kind":"fault","type":"object","enabled":true,"defaultVariant":"off",
		"variants":[{"name":"off","value":null},{"name":"on","value":{"point":"payment","rate":0.5,"faults":[{"kind":"error","status":503}]}}]}`
	stormRun = `{"name":"storm","goal":"survive","flag":"payment","treatment":"on","control":"off","hypothesis":"orders go on","maxUnits":500,"deadline":"30m",
		"steps":[{"share":10000,"minTime":"1m"}],"guardrails":[{"metric":"errors","mode":"enforce","absolute":0.02}]}`
)

func TestS2LeverOverHTTP(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/flags", stormFlag).want(201)
	b.send("POST", v1+"/trials", stormRun).want(201)
	b.send("PUT", v1+"/chaos", `{"off":true,"reason":"x"}`, "as: viewer").wantProblem(control.CodePermission)
	b.send("PUT", v1+"/chaos", `{"off":true}`).wantProblem(control.CodeInvalid)
	b.send("PUT", v1+"/chaos", `{"reason":"x"}`).wantProblem(control.CodeInvalid)
	b.send("PUT", v1+"/chaos?reason=x", `{"off":true,"reason":"y"}`).wantProblem(control.CodeInvalid)
	b.send("PUT", v1+"/chaos", `{"off":true,"reason":"x","now":true}`).wantProblem(control.CodeInvalid)
	if b.service.GetLever().Off || len(b.service.ActiveTrials()) != 1 {
		t.Fatal("a refused move did something")
	}
	var moved movedLever
	b.send("PUT", v1+"/chaos", `{"off":true,"reason":"incident"}`, "as: editor").want(200).json(&moved)
	if !moved.Off || !moved.Complete || len(moved.Halted) != 1 || moved.Halted[0].Result != "aborted" || moved.Revision != b.service.Head().Revision {
		t.Errorf("got %+v", moved)
	}
	b.send("POST", v1+"/trials", stormRun).wantProblem(control.CodePrecondition)
	var lever control.LeverEntry
	if b.send("GET", v1+"/chaos", "", "as: viewer").want(200).json(&lever); !lever.Off || lever.Reason != "incident" || lever.By == "" {
		t.Errorf("got %+v", lever)
	}
	b.send("PUT", v1+"/chaos", `{"off":false,"reason":"over"}`, "as: editor").want(200)
	b.send("POST", v1+"/trials", stormRun).want(201)
}

// The lever has room of its own: a server that refuses all other work moves it.
func TestS2LeverMovesUnderLoad(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxRequests = 1 })
	if !b.api.work.acquire() {
		t.Fatal("no room to take")
	}
	defer b.api.work.release()
	b.send("GET", v1+"/flags", "").wantProblem(control.CodeUnavailable)
	b.send("PUT", v1+"/chaos", `{"off":true,"reason":"incident"}`).want(200)
	b.send("GET", v1+"/chaos", "").want(200)
}
