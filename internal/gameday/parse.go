package gameday

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/strict"
	"github.com/seatrial/seatrial/internal/definition"
)

// Bounds of what a file may say; the server has its own.
const (
	maxText = 2_000 // bytes of a sentence
	maxWord = 256   // bytes of anything else
	maxList = 100
	maxTime = 24 * time.Hour
)

// Parse reads a game day from YAML or JSON, strictly. The error is [definition.Faults]: everything
// that is wrong, each with its line. The notations inside experiments are not read here.
func Parse(name string, data []byte) (Plan, error) {
	return parse(name, data, "a game day has a title and steps", plan)
}

// ParseExperiment reads a single experiment: the fields that stand under experiment in a game day.
func ParseExperiment(name string, data []byte) (Experiment, error) {
	return parse(name, data, "an experiment has a name, a hypothesis and a point", experiment)
}

func parse[T any](name string, data []byte, hint string, read func(*strict.Object) T) (value T, err error) {
	if len(data) > MaxFile {
		return value, definition.Faults{{File: name, Line: 1, Column: 1, Detail: fmt.Sprintf("has %d bytes; at most %d are read", len(data), MaxFile)}}
	}
	documents, err := definition.Documents(name, data)
	if err != nil {
		return value, err
	}
	d := &documents[0]
	if len(documents) > 1 {
		at := documents[1].At("")
		return value, definition.Faults{{File: name, Line: at.Line, Column: at.Column, Detail: "is a second document: write one a file"}}
	}
	problems := &flag.Problems{Subject: name}
	if o := strict.Parse(d.JSON, problems); o != nil {
		value = read(o)
	} else if problems.Err() == nil {
		problems.Add("", "is empty: %s", hint)
	}
	return value, faults(d, problems)
}

// faults gives the problems with the places where they stand; nil if there are none.
func faults(d *definition.Document, problems *flag.Problems) error {
	var list definition.Faults
	for _, one := range problems.List {
		at := d.At(one.Pointer)
		list = append(list, definition.Fault{File: d.Name, Line: at.Line, Column: at.Column, Pointer: one.Pointer, Detail: one.Detail})
	}
	if len(list) == 0 {
		return nil
	}
	if problems.More > 0 {
		list[len(list)-1].Detail += fmt.Sprintf(" (and %d more problems)", problems.More)
	}
	return list
}

func plan(o *strict.Object) Plan {
	p := Plan{Title: o.String("title", maxText), Description: o.String("description", maxText), Deadline: DefaultDeadline,
		OnWeakness: cmp.Or(Policy(o.String("onWeakness", maxWord)), Stop)}
	if strings.TrimSpace(p.Title) == "" {
		o.Fail("title", "must say what the game day is about")
	}
	if o.Has("deadline") {
		p.Deadline = o.Duration("deadline", time.Minute, MaxDeadline)
	}
	if p.OnWeakness != Stop && p.OnWeakness != Continue {
		o.Fail("onWeakness", "is %q: it must be stop or continue", p.OnWeakness)
	}
	first := map[string]int{}
	for i, one := range o.Objects("steps", MaxSteps) {
		s := step(one)
		if e := s.Experiment; e != nil && e.Name != "" {
			if at, twice := first[e.Name]; twice {
				one.Fail("experiment", "has the name %q of step %d: give each its own", e.Name, at+1)
			} else {
				first[e.Name] = i
			}
		}
		p.Steps = append(p.Steps, s)
	}
	if o.Done(); len(p.Experiments()) == 0 {
		o.Fail("steps", "must list at least one experiment")
	}
	return p
}

func step(o *strict.Object) (s Step) {
	inner := o.Object("experiment")
	switch {
	case inner != nil && o.Has("pause"):
		o.Fail("pause", "must be a step of its own, before or after the experiment")
	case inner == nil && !o.Has("pause"):
		o.Fail("experiment", "is missing: a step is an experiment or a pause")
	}
	if inner != nil {
		e := experiment(inner)
		s.Experiment = &e
	}
	if text := o.String("pause", maxWord); text == "ask" {
		s.Ask = true
	} else if text != "" {
		s.Pause = o.Duration("pause", time.Second, MaxPause)
	}
	if s.Message = o.String("message", maxText); s.Message != "" && s.Experiment != nil {
		o.Fail("message", "must be left out: it goes with a pause; the message of errors stands under experiment")
	}
	o.Done()
	return s
}

func experiment(o *strict.Object) Experiment {
	e := Experiment{
		Name: o.String("name", maxWord), Hypothesis: o.String("hypothesis", maxText), Description: o.String("description", maxText),
		Point: o.String("point", maxWord), Flag: o.String("flag", maxWord),
		Sequence: o.Text("sequence", maxText), Rate: o.Text("rate", maxWord), Message: o.String("message", maxText), Repeat: o.Bool("repeat"), FourEyes: o.Bool("fourEyes"),
		MaxActive: o.Int("maxActive", 0, math.MaxInt32), MaxTotal: o.Int("maxTotal", 0, math.MaxInt32),
		Share: o.String("share", maxWord), Audience: o.String("audience", maxText), Guardrail: o.Texts("guardrail", maxList, maxWord),
		MaxUsers: uint64(o.Int("maxUsers", 0, math.MaxInt)), MinUsers: uint64(o.Int("minUsers", 0, math.MaxInt)),
		MaxDuration: positive(o, "maxDuration"), MinTime: positive(o, "minTime"), SteadyTime: positive(o, "steadyTime"), Interval: positive(o, "interval"),
	}
	for name, list := range map[string]*[]string{"error": &e.Error, "latency": &e.Latency, "cancel": &e.Cancel, "reset": &e.Reset, "lostReply": &e.LostReply,
		"panic": &e.Panic, "bandwidth": &e.Bandwidth, "truncate": &e.Truncate, "corrupt": &e.Corrupt} {
		*list = o.Texts(name, maxList, maxWord)
	}
	if e.Name == "" {
		o.Fail("name", "must name the experiment")
	}
	if strings.TrimSpace(e.Hypothesis) == "" {
		o.Fail("hypothesis", "must say what you expect to stay true")
	}
	if e.Point == "" && e.Flag == "" {
		o.Fail("point", "must say where: the point of a dependency, or a flag of kind fault that is there already")
	}
	o.Done()
	return e
}

// positive reads a duration that is not 0: there a plan would mean its default.
func positive(o *strict.Object, name string) time.Duration {
	if !o.Has(name) {
		return 0
	}
	return o.Duration(name, time.Millisecond, maxTime)
}
