package gameday

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/definition"
)

const whole = `
title: Payment
description: once a quarter
deadline: 90m
onWeakness: continue
steps:
- experiment:
    name: payment-fails
    hypothesis: orders go on while payment fails
    description: d
    point: payment
    flag: fault-payment
    error: [503:2, UNAVAILABLE]
    latency: 100ms..300ms
    cancel: true
    reset: 2
    lostReply: "1"
    panic: 1
    bandwidth: 64KiB
    truncate: 1KiB
    corrupt: 1%
    rate: 0.6
    message: no capacity
    maxActive: 5
    maxTotal: 100
    share: 20%
    audience: segment beta
    guardrail: errors:+20%|+1pp
    maxUsers: 300
    minUsers: 20
    maxDuration: 5m
    minTime: 1m
    steadyTime: 45s
    interval: 5s
    fourEyes: true
- pause: 2m
- pause: ask
  message: Is somebody on call?
- experiment:
    name: second
    hypothesis: h
    flag: fault-search
    sequence: 2*503,1*ok
    repeat: true
`

func TestAGameDayIsRead(t *testing.T) {
	got, err := Parse("day.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := Plan{Title: "Payment", Description: "once a quarter", Deadline: 90 * time.Minute, OnWeakness: Continue, Steps: []Step{
		{Experiment: &Experiment{Name: "payment-fails", Hypothesis: "orders go on while payment fails", Description: "d", Point: "payment", Flag: "fault-payment",
			Error: []string{"503:2", "UNAVAILABLE"}, Latency: []string{"100ms..300ms"}, Cancel: []string{"true"}, Reset: []string{"2"}, LostReply: []string{"1"},
			Panic: []string{"1"}, Bandwidth: []string{"64KiB"}, Truncate: []string{"1KiB"}, Corrupt: []string{"1%"}, Rate: "0.6", Message: "no capacity",
			MaxActive: 5, MaxTotal: 100, Share: "20%", Audience: "segment beta", Guardrail: []string{"errors:+20%|+1pp"}, MaxUsers: 300, MinUsers: 20,
			MaxDuration: 5 * time.Minute, MinTime: time.Minute, SteadyTime: 45 * time.Second, Interval: 5 * time.Second, FourEyes: true}},
		{Pause: 2 * time.Minute},
		{Ask: true, Message: "Is somebody on call?"},
		{Experiment: &Experiment{Name: "second", Hypothesis: "h", Flag: "fault-search", Sequence: "2*503,1*ok", Repeat: true}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v\nwant\n%+v", got, want)
	}
	if n := len(got.Experiments()); n != 2 {
		t.Errorf("%d experiments", n)
	}
	// Every field of an experiment has been given a value by the file above: none is forgotten.
	v := reflect.ValueOf(*got.Steps[0].Experiment)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Sequence" && name != "Repeat" {
			t.Errorf("the field %s was not read", name)
		}
	}
}

func TestDefaultsOfAGameDay(t *testing.T) {
	got, err := Parse("day.json", []byte(`{"title":"t","steps":[{"experiment":{"name":"a","hypothesis":"h","point":"p"}}]}`))
	if err != nil || got.Deadline != 4*time.Hour || got.OnWeakness != Stop {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFaultsHaveTheirLines(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"unknown field":    {"title: t\nstepps: []\n", "day.yaml:2:1: /stepps: is not a known field; did you mean \"steps\"?"},
		"no title":         {"steps:\n- experiment: {name: a, hypothesis: h, point: p}\n", "/title: must say"},
		"no experiment":    {"title: t\nsteps:\n- pause: 1m\n", "day.yaml:2:1: /steps: must list at least one experiment"},
		"inside":           {"title: t\nsteps:\n- pause: 1m\n- experiment:\n    name: a\n    hypotesis: h\n    point: p\n", "day.yaml:6:5: /steps/1/experiment/hypotesis: is not a known field; did you mean \"hypothesis\"?"},
		"no hypothesis":    {"title: t\nsteps:\n- experiment:\n    name: a\n    point: p\n", "/steps/0/experiment/hypothesis: must say what you expect"},
		"nowhere":          {"title: t\nsteps:\n- experiment:\n    name: a\n    hypothesis: h\n", "/steps/0/experiment/point: must say where"},
		"no name":          {"title: t\nsteps:\n- experiment: {hypothesis: h, point: p}\n", "/steps/0/experiment/name: must name"},
		"the same name":    {"title: t\nsteps:\n- experiment: {name: a, hypothesis: h, point: p}\n- experiment: {name: a, hypothesis: h, point: p}\n", "day.yaml:4:3: /steps/1/experiment: has the name \"a\" of step 1"},
		"both":             {"title: t\nsteps:\n- experiment: {name: a, hypothesis: h, point: p}\n  pause: 1m\n", "day.yaml:4:3: /steps/0/pause: must be a step of its own"},
		"neither":          {"title: t\nsteps:\n- message: m\n", "/steps/0/experiment: is missing"},
		"a wrong pause":    {"title: t\nsteps:\n- pause: soon\n", "day.yaml:3:3: /steps/0/pause: must be a duration"},
		"message":          {"title: t\nsteps:\n- experiment: {name: a, hypothesis: h, point: p}\n  message: m\n", "/steps/0/message: must be left out"},
		"policy":           {"title: t\nonWeakness: go on\nsteps: []\n", "day.yaml:2:1: /onWeakness: is \"go on\": it must be stop or continue"},
		"too long":         {"title: t\ndeadline: 25h\nsteps: []\n", "day.yaml:2:1: /deadline: is 25h: it must be from 1m0s to 24h0m0s"},
		"a second":         {"title: t\n---\ntitle: u\n", "is a second document"},
		"nothing":          {"null\n", "is empty: a game day has a title and steps"},
		"no object":        {"- a\n", "must be a JSON object"},
		"a number of time": {"title: t\nsteps:\n- experiment: {name: a, hypothesis: h, point: p, maxDuration: 10}\n", "/steps/0/experiment/maxDuration: must be a duration with its unit"},
		"no time":          {"title: t\nsteps:\n- experiment: {name: a, hypothesis: h, point: p, maxDuration: 0s}\n", "/steps/0/experiment/maxDuration: is 0s: it must be from 1ms"},
		"given twice":      {"title: t\ntitle: u\n", "day.yaml:2:1: "},
	} {
		_, err := Parse("day.yaml", []byte(test.file))
		var list definition.Faults
		if !errors.As(err, &list) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	if _, err := Parse("day.yaml", make([]byte, MaxFile+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a file too large: %v", err)
	}
	if _, err := Parse("day.json", []byte(`{"title":"t","steps":[{"pause":"ask","pause":"1m"}]}`)); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("twice in JSON: %v", err)
	}
}

func TestAnExperimentAlone(t *testing.T) {
	e, err := ParseExperiment("x.yaml", []byte("name: a\nhypothesis: h\npoint: p\nerror: 503\n"))
	if err != nil || !reflect.DeepEqual(e, Experiment{Name: "a", Hypothesis: "h", Point: "p", Error: []string{"503"}}) {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := ParseExperiment("x.yaml", []byte("title: t\n")); err == nil || !strings.Contains(err.Error(), "x.yaml:1:1: /title: is not a known field") {
		t.Errorf("%v", err)
	}
}

func TestHowAGameDayGoesOn(t *testing.T) {
	for _, test := range []struct {
		result       trial.Result
		stop, goesOn bool
	}{
		{trial.ResultSurvived, true, true}, {trial.ResultInconclusive, true, true}, {trial.ResultWeaknessFound, false, true},
		{trial.ResultAborted, false, false}, {"new", false, false},
	} {
		for policy, want := range map[Policy]bool{Stop: test.stop, Continue: test.goesOn} {
			p := Plan{OnWeakness: policy}
			if why, ok := p.Proceed("a", test.result); ok != want || ok != (why == "") {
				t.Errorf("%s with %s: %v %q", test.result, policy, ok, why)
			}
		}
	}
	for want, results := range map[trial.Result][]trial.Result{
		"": nil, trial.ResultSurvived: {trial.ResultSurvived}, trial.ResultInconclusive: {trial.ResultSurvived, trial.ResultInconclusive},
		trial.ResultWeaknessFound: {trial.ResultInconclusive, trial.ResultWeaknessFound, trial.ResultSurvived}, trial.ResultAborted: {trial.ResultWeaknessFound, "new"},
	} {
		if got := Worst(results); got != want {
			t.Errorf("%v: %q, want %q", results, got, want)
		}
	}
}

// FuzzParse: whatever comes, nothing panics, and what is read without a fault keeps the bounds.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"title":"t","steps":[{"pause":"ask"},{"experiment":{"name":"a","hypothesis":"h","point":"p","maxUsers":-1}}]}`))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("title: t\nsteps: [[["))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("f", data)
		if err != nil {
			return
		}
		if p.Title == "" || p.Deadline < time.Minute || p.Deadline > MaxDeadline || len(p.Experiments()) == 0 || len(p.Steps) > MaxSteps {
			t.Errorf("%q gave %+v", data, p)
		}
		for _, s := range p.Steps {
			if (s.Experiment != nil) == (s.Pause > 0 || s.Ask) || s.Pause > MaxPause {
				t.Errorf("%q gave the step %+v", data, s)
			}
		}
	})
}
