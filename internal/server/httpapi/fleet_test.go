package httpapi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/fleet"
)

// aFleet is what two processes of a shop tell: one whose breaker for pg has opened under the policy
// "fast", and one that is well.
func aFleet() []fleet.Fact {
	now := time.Now().UnixNano()
	from := func(instance string, f fleet.Fact) fleet.Fact {
		f.Service, f.Instance, f.Start, f.End = "shop", instance, now-1e9, now
		return f
	}
	facts := []fleet.Fact{
		from("i-1", fleet.Fact{Kind: fleet.OfPoint, Name: "pg", Traffic: true, Allowed: true}),
		from("i-2", fleet.Fact{Kind: fleet.OfPoint, Name: "pg", Traffic: true}),
		from("i-1", fleet.Fact{Kind: fleet.OfPoint, Name: "mail"}),
	}
	for _, instance := range []string{"i-1", "i-2"} {
		of := func(f fleet.Fact) {
			f.Name, f.Variant = "pg", "fast"
			facts = append(facts, from(instance, f))
		}
		of(fleet.Fact{Kind: fleet.OfBudget, Value: 0.5})
		of(fleet.Fact{Kind: fleet.OfInFlight, Value: 3})
		of(fleet.Fact{Kind: fleet.OfLimit, Value: 20})
		of(fleet.Fact{Kind: fleet.OfEvents, Event: fleet.Retry, Count: 4})
		if instance == "i-1" {
			of(fleet.Fact{Kind: fleet.OfEvents, Event: fleet.Opened, Count: 1})
			of(fleet.Fact{Kind: fleet.OfState, State: fleet.Open})
		} else {
			of(fleet.Fact{Kind: fleet.OfState, State: fleet.Closed})
		}
	}
	return append(facts, from("i-1", fleet.Fact{Kind: fleet.OfState, Name: "a/b", State: fleet.Closed}))
}

func TestPoints(t *testing.T) {
	b := newBench(t)
	var p page[shownPoint]
	if b.send("GET", v1+"/points", "").want(200).json(&p); len(p.Items) != 0 {
		t.Errorf("nobody has reported anything, and there is %+v", p.Items)
	}
	b.api.cfg.Fleet.AddFacts(aFleet())
	b.send("GET", v1+"/points", "").want(200).json(&p)
	if len(p.Items) != 2 || p.Items[0].Name != "mail" || p.Items[1].Name != "pg" {
		t.Fatalf("got %+v", p.Items)
	}
	mail, pg := p.Items[0], p.Items[1]
	if mail.Faults != fleet.Denied || !mail.LastTraffic.IsZero() || pg.Faults != fleet.Partly || pg.LastTraffic.IsZero() || pg.Services[0].Name != "shop" {
		t.Errorf("got %+v and %+v", mail, pg)
	}
	if b.send("GET", v1+"/points?service=other", "").want(200).json(&p); len(p.Items) != 0 {
		t.Errorf("of another service: %+v", p.Items)
	}
	b.send("GET", v1+"/points?limit=0", "").wantProblem(control.CodeInvalid)
	b.send("GET", v1+"/points?state=open", "").wantProblem(control.CodeInvalid)
	b.send("GET", v1+"/points", "", "as: sdk").wantProblem(control.CodePermission)
}

func TestPointsArePaged(t *testing.T) {
	b := newBench(t)
	var facts []fleet.Fact
	for i := range 25 {
		facts = append(facts, fleet.Fact{Kind: fleet.OfPoint, Name: fmt.Sprintf("p-%02d", i), Service: "s", Instance: "i", End: time.Now().UnixNano()})
	}
	b.api.cfg.Fleet.AddFacts(facts)
	var names []string
	for cursor := ""; ; {
		var p page[shownPoint]
		b.send("GET", v1+"/points?limit=10&cursor="+cursor, "").want(200).json(&p)
		for _, one := range p.Items {
			names = append(names, one.Name)
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	if len(names) != 25 || names[0] != "p-00" || names[24] != "p-24" {
		t.Errorf("got %v", names)
	}
}

// A point says which experiment may inject faults there.
func TestPointsNameTheirExperiments(t *testing.T) {
	b := newBench(t)
	b.api.cfg.Fleet.AddFacts(aFleet())
	b.send("POST", v1+"/flags", `{"key":"fault-pg","kind":"fault","type":"object","enabled":true,"defaultVariant":"off","variants":[
		{"name":"off","value":null},{"name":"on","value":{"point":"pg","rate":0.5,"faults":[{"kind":"error","status":503}]}}]}`).want(201)
	b.send("POST", v1+"/trials", `{"name":"pg-fails","goal":"survive","flag":"fault-pg","treatment":"on","control":"off","hypothesis":"orders go on",
		"steps":[{"share":10000,"minTime":"1m"}],"deadline":"10m","maxUnits":500,
		"guardrails":[{"name":"errors","metric":"errors","mode":"enforce","relative":0.2,"absolute":0.01}]}`).want(201)
	var p page[shownPoint]
	b.send("GET", v1+"/points", "").want(200).json(&p)
	if len(p.Items[0].Experiments) != 0 || len(p.Items[1].Experiments) != 1 || p.Items[1].Experiments[0] != "pg-fails" {
		t.Errorf("got %+v", p.Items)
	}
	b.send("POST", v1+"/trials/pg-fails/actions", `{"verb":"abort"}`).want(200)
	var after page[shownPoint]
	if b.send("GET", v1+"/points", "").want(200).json(&after); len(after.Items[1].Experiments) != 0 {
		t.Errorf("after its end: %+v", after.Items[1])
	}
}

func TestDependencies(t *testing.T) {
	b := newBench(t)
	b.api.cfg.Fleet.AddFacts(aFleet())
	var p page[map[string]any]
	b.send("GET", v1+"/dependencies", "").want(200).json(&p)
	if len(p.Items) != 2 || p.Items[0]["name"] != "a/b" {
		t.Fatalf("got %v", p.Items)
	}
	if _, told := p.Items[0]["budget"]; told || p.Items[0]["policy"] != nil {
		t.Errorf("a budget that nobody told, or a policy: %v", p.Items[0])
	}
	pg := p.Items[1]
	for name, want := range map[string]any{"state": "open", "policy": "fast", "service": "shop", "inState": 1.0, "instances": 2.0, "gone": 0.0, "budget": 0.5, "inFlight": 6.0, "limit": 40.0} {
		if pg[name] != want {
			t.Errorf("%s is %v, want %v", name, pg[name], want)
		}
	}
	if n := pg["perMinute"].(map[string]any)["retry"]; n != 8.0 {
		t.Errorf("%v retries a minute", n)
	}
	var d map[string][]map[string]any
	body := b.send("GET", v1+"/dependencies/pg", "").want(200).body
	if !strings.HasPrefix(string(body), `{"name":"pg",`) {
		t.Errorf("got %s", body)
	}
	_ = json.Unmarshal(body, &d) // the name is no list
	if len(d["dependencies"]) != 1 || len(d["instances"]) != 2 || d["instances"][0]["instance"] != "i-1" || len(d["transitions"]) != 1 || d["transitions"][0]["from"] != "closed" {
		t.Errorf("got %v", d)
	}
	b.send("GET", v1+"/dependencies/a%2Fb", "").want(200)
	b.send("GET", v1+"/dependencies/none", "").wantProblem(control.CodeNotFound)
	b.send("GET", v1+"/dependencies?cursor=eA", "").wantProblem(control.CodeInvalid)
	b.send("GET", v1+"/dependencies", "", "as: sdk").wantProblem(control.CodePermission)
}

func TestDependenciesArePaged(t *testing.T) {
	b := newBench(t)
	var facts []fleet.Fact
	for i := range 6 {
		for _, variant := range []string{"", "fast"} {
			facts = append(facts, fleet.Fact{Kind: fleet.OfState, Name: fmt.Sprintf("d-%d", i/2), Variant: variant, Service: fmt.Sprintf("s-%d", i%2), Instance: "i", End: 1})
		}
	}
	b.api.cfg.Fleet.AddFacts(facts)
	seen := map[string]bool{}
	for cursor, pages := "", 0; ; pages++ {
		var p page[map[string]any]
		b.send("GET", v1+"/dependencies?limit=5&cursor="+url.QueryEscape(cursor), "").want(200).json(&p)
		for _, one := range p.Items {
			seen[fmt.Sprint(one["name"], one["service"], one["policy"])] = true
		}
		if cursor = p.NextCursor; cursor == "" {
			if len(seen) != 12 || pages != 2 {
				t.Errorf("%d on %d pages: %v", len(seen), pages+1, seen)
			}
			return
		}
	}
}

func TestTransitions(t *testing.T) {
	b := newBench(t)
	b.api.cfg.Fleet.AddFacts(aFleet())
	var p page[map[string]any]
	b.send("GET", v1+"/transitions", "").want(200).json(&p)
	if len(p.Items) != 1 || p.Items[0]["dependency"] != "pg" || p.Items[0]["instance"] != "i-1" || p.Items[0]["to"] != "open" {
		t.Fatalf("got %v", p.Items)
	}
	seq := int64(p.Items[0]["seq"].(float64))
	for query, want := range map[string]int{
		fmt.Sprintf("after=%d", seq): 0, fmt.Sprintf("after=%d", seq-1): 1, "dependency=pg&service=shop": 1, "dependency=mail": 0, "service=other": 0,
	} {
		if b.send("GET", v1+"/transitions?"+query, "").want(200).json(&p); len(p.Items) != want {
			t.Errorf("%s: %v", query, p.Items)
		}
	}
}
