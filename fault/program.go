package fault

import (
	"encoding/json"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/strict"
)

// Kind says what a fault does to a call.
type Kind string

// The kinds of fault. Any other kind does nothing.
const (
	KindError   Kind = "error"   // the call fails, with an HTTP status and a gRPC code for adapters
	KindLatency Kind = "latency" // the call takes longer
	KindCancel  Kind = "cancel"  // the context of the call is cancelled under it
)

// Phase says when a fault strikes.
type Phase string

// The phases.
const (
	// Before the call; an error then replaces the call. The empty phase means Before.
	Before Phase = "before"
	// After the call took effect: its reply is lost or late. It finds what is not safe to repeat,
	// such as a payment that is taken twice. Not for KindCancel.
	After Phase = "after"
)

// Limits of a [Program].
const (
	MaxFaults  = 20               // faults in one program
	MaxWeight  = 1_000_000        // largest weight of a fault
	MaxLatency = 10 * time.Minute // longest latency that can be asked for; see also [Caps]

	maxText   = 256
	maxActive = 1_000_000
)

// Program is what the variant of a fault flag asks for. Programs made by [ParseProgram] are valid.
// One made in code may hold anything: what makes no sense in it does nothing. A Program must not be
// changed while a [Source] gives it out.
//
// Its JSON form writes durations as strings:
//
//	{"point":"payment","rate":0.6,"maxActive":20,"faults":[
//	 {"kind":"error","weight":2,"status":503,"code":"UNAVAILABLE","message":"no capacity"},
//	 {"kind":"latency","weight":1,"min":"100ms","max":"300ms"},
//	 {"kind":"cancel","weight":1}]}
type Program struct {
	// Point is the name of the point that the program is for. Other points ignore it; an empty
	// name, possible only in code, means every point.
	Point string
	// Rate is the share of the eligible calls that are hit, 0 to 1. Who is eligible is decided
	// before, by the flag.
	Rate float64
	// Faults to choose from, by weight: at most 20.
	Faults []Fault
	// MaxActive bounds how many calls may be under a fault at a time at this point; calls beyond
	// pass untouched. 0 means no bound but that of [Caps].
	MaxActive int
}

// Fault is one thing that can happen to a call.
type Fault struct {
	Kind Kind
	// Weight is the fault's share among those of its program: 1 to 1 000 000; 0 means 1.
	Weight int
	// Phase is when it strikes; empty means [Before].
	Phase Phase
	// Status (400 to 599), Code (a gRPC code such as "UNAVAILABLE") and Message describe a
	// [KindError] to adapters. Where one of Status and Code is missing the other decides; where
	// both are: 503 and UNAVAILABLE.
	Status  int
	Code    string
	Message string
	// Min and Max bound the length of a [KindLatency], and for [KindCancel] the time until the
	// call is cancelled; drawn evenly, both ends included. 0 ≤ Min ≤ Max ≤ [MaxLatency].
	Min, Max time.Duration
}

// ParseProgram reads a program strictly from JSON of at most 64 KiB: unknown or repeated fields,
// wrong types, values out of range and fields that do not belong to the kind are errors. The error
// lists all problems, each with a JSON pointer. The document null gives nil: no fault.
func ParseProgram(data []byte) (*Program, error) {
	problems := &flag.Problems{Subject: "fault program"}
	doc := strict.Parse(data, problems)
	if doc == nil {
		return nil, problems.Err()
	}
	p := &Program{Point: doc.String("point", maxText), Rate: doc.Ratio("rate"), MaxActive: doc.Int("maxActive", 1, maxActive)}
	if p.Point == "" {
		doc.Fail("point", "must name the point to inject faults at")
	}
	if !doc.Has("rate") {
		doc.Fail("rate", "must say which share of the calls is hit, from 0 to 1")
	}
	faults := doc.Objects("faults", MaxFaults)
	if len(faults) == 0 {
		doc.Fail("faults", "must list at least one fault")
	}
	for _, one := range faults {
		p.Faults = append(p.Faults, parseFault(one))
	}
	doc.Done()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

func parseFault(doc *strict.Object) Fault {
	f := Fault{Kind: Kind(doc.String("kind", maxText)), Weight: 1, Phase: Before}
	if doc.Has("weight") {
		f.Weight = doc.Int("weight", 1, MaxWeight)
	}
	if phase := Phase(doc.String("phase", maxText)); phase == Before || phase == After {
		f.Phase = phase
	} else if phase != "" {
		doc.Fail("phase", `is %q: it must be "before" or "after"`, phase)
	}
	switch f.Kind {
	case KindError:
		parseError(doc, &f)
	case KindLatency, KindCancel:
		parseTimes(doc, &f)
	default:
		doc.Fail("kind", `is %q: it must be "error", "latency" or "cancel"`, f.Kind)
		return f // its fields cannot be judged
	}
	doc.Done()
	return f
}

func parseError(doc *strict.Object, f *Fault) {
	f.Status = doc.Int("status", 400, 599)
	f.Code = doc.String("code", maxText)
	f.Message = doc.String("message", maxText)
	if f.Code != "" && statusOf[f.Code] == 0 {
		doc.Fail("code", `is %q: it must be the name of a gRPC code other than OK, such as "UNAVAILABLE"`, f.Code)
	}
}

func parseTimes(doc *strict.Object, f *Fault) {
	f.Min = doc.Duration("min", 0, MaxLatency)
	f.Max = doc.Duration("max", 0, MaxLatency)
	switch {
	case f.Kind == KindLatency && f.Max == 0:
		doc.Fail("max", `must say how long calls are held up at most, such as "300ms"`)
	case f.Max < f.Min:
		doc.Fail("max", "is shorter than min, %s", f.Min)
	case f.Kind == KindCancel && f.Phase == After:
		doc.Fail("phase", "must be left out or \"before\": a call that is over cannot be cancelled")
	}
}

// Validate checks a program made in code, by the rules of [ParseProgram]. A nil program is valid.
func (p *Program) Validate() error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = ParseProgram(data)
	return err
}

type (
	programJSON struct {
		Point     string      `json:"point"`
		Rate      float64     `json:"rate"`
		Faults    []faultJSON `json:"faults"`
		MaxActive int         `json:"maxActive,omitempty"`
	}
	faultJSON struct {
		Kind    Kind   `json:"kind"`
		Weight  int    `json:"weight,omitempty"`
		Phase   Phase  `json:"phase,omitempty"`
		Status  int    `json:"status,omitempty"`
		Code    string `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
		Min     string `json:"min,omitempty"`
		Max     string `json:"max,omitempty"`
	}
)

// MarshalJSON writes the form that [ParseProgram] reads; nil gives null. NaN and infinite rates are
// errors.
func (p *Program) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("null"), nil
	}
	doc := programJSON{Point: p.Point, Rate: p.Rate, MaxActive: p.MaxActive, Faults: []faultJSON{}}
	for _, f := range p.Faults {
		phase := f.Phase
		if phase == Before {
			phase = ""
		}
		doc.Faults = append(doc.Faults, faultJSON{f.Kind, f.Weight, phase, f.Status, f.Code, f.Message,
			durationText(f.Min), durationText(f.Max)})
	}
	return json.Marshal(doc)
}

// UnmarshalJSON is [ParseProgram]; null leaves p as it is.
func (p *Program) UnmarshalJSON(data []byte) error {
	parsed, err := ParseProgram(data)
	if err == nil && parsed != nil {
		*p = *parsed
	}
	return err
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
