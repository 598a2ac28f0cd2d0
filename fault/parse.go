package fault

import (
	"encoding/json"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/strict"
)

// ParseProgram reads a program strictly from JSON of at most 64 KiB: unknown or repeated fields,
// wrong types, values out of range and fields that do not belong to the kind are errors. The error
// lists all problems, each with a JSON pointer. The document null gives nil: no fault.
//
//	{"point":"payment",   name of the point: required
//	 "rate":0.6,          share of the calls, 0 to 1: required
//	 "maxActive":20,      calls under a fault at a time, 1 to 1 000 000
//	 "maxTotal":500,      calls hit at all, 1 to 1 000 000
//	 "faults":[           1 to 20, one of which is drawn by weight, 1 (default) to 1 000 000
//	  {"kind":"error","weight":2,"status":503,"code":"UNAVAILABLE","message":"no capacity"},
//	  {"kind":"latency","min":"100ms","max":"300ms","phase":"after"},
//	  {"kind":"latency","distribution":{"kind":"lognormal","p50":"300ms","p99":"2s"}},
//	  {"kind":"cancel","max":"50ms"},
//	  {"kind":"reset"}, {"kind":"lost-reply"}, {"kind":"panic"},
//	  {"kind":"bandwidth","bytesPerSecond":20000},
//	  {"kind":"truncate","afterBytes":100},
//	  {"kind":"corrupt","share":0.001}]}
//
// Instead of faults there may be a sequence, with a rate of the units of work. "Fail two, then work":
//
//	"sequence":[{"count":2,"fault":{"kind":"error"}},{"count":1}], "repeat":true
//
// Durations are strings such as "300ms". Phases are "before" (default), "after" and "instead"; see
// [Fault] for which kind has which, and [Distribution] for the distributions.
func ParseProgram(data []byte) (*Program, error) {
	problems := &flag.Problems{Subject: "fault program"}
	doc := strict.Parse(data, problems)
	if doc == nil {
		return nil, problems.Err()
	}
	p := &Program{Point: doc.String("point", maxText), Rate: doc.Ratio("rate"),
		MaxActive: doc.Int("maxActive", 1, maxCalls), MaxTotal: doc.Int("maxTotal", 1, maxCalls)}
	if p.Point == "" {
		doc.Fail("point", "must name the point to inject faults at")
	}
	if !doc.Has("rate") {
		doc.Fail("rate", "must say which share of the calls is hit, from 0 to 1")
	}
	if doc.Has("sequence") {
		parseSequence(doc, p)
		p.Repeat = parseRepeat(doc, data)
	} else {
		parseFaults(doc, p)
	}
	doc.Done()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

func parseFaults(doc *strict.Object, p *Program) {
	faults := doc.Objects("faults", MaxFaults)
	if len(faults) == 0 {
		doc.Fail("faults", "must list at least one fault")
	}
	for _, one := range faults {
		weight := 1
		if one.Has("weight") {
			weight = one.Int("weight", 1, MaxWeight)
		}
		f := parseFault(one)
		f.Weight = weight
		p.Faults = append(p.Faults, f)
	}
	if doc.Has("repeat") {
		doc.Fail("repeat", "must be left out: it repeats a sequence, and there is none")
	}
}

func parseSequence(doc *strict.Object, p *Program) {
	if doc.Has("faults") {
		doc.Fail("faults", "must be left out: there is a sequence")
	}
	steps := doc.Objects("sequence", MaxFaults)
	if len(steps) == 0 {
		doc.Fail("sequence", "must list at least one step")
	}
	for _, one := range steps {
		step := Step{Count: one.Int("count", 1, MaxCount)}
		if !one.Has("count") {
			one.Fail("count", "must say for how many calls, from 1")
		}
		if inner := one.Object("fault"); inner != nil {
			f := parseFault(inner)
			step.Fault = &f
		}
		one.Done()
		p.Sequence = append(p.Sequence, step)
	}
}

// parseRepeat reads the only truth value of a program. What else is wrong with data is known by now.
func parseRepeat(doc *strict.Object, data []byte) bool {
	var field struct {
		Repeat any `json:"repeat"`
	}
	if !doc.Has("repeat") || json.Unmarshal(data, &field) != nil {
		return false
	}
	repeat, ok := field.Repeat.(bool)
	if !ok {
		doc.Fail("repeat", "must be true or false")
	}
	return repeat
}

// parseFault reads all of a fault but its weight.
func parseFault(doc *strict.Object) Fault {
	f := Fault{Kind: Kind(doc.String("kind", maxText)), Phase: Phase(doc.String("phase", maxText))}
	fields, known := fieldsOf[f.Kind]
	if !known {
		doc.Fail("kind", `is %q: it must be "error", "latency", "cancel", "reset", "lost-reply", "panic", "bandwidth", "truncate" or "corrupt"`, f.Kind)
	}
	parsePhase(doc, &f)
	if !known {
		return f // its fields cannot be judged
	}
	if fields != nil {
		fields(doc, &f)
	}
	doc.Done()
	return f
}

// fieldsOf reads the fields that only some kinds have.
var fieldsOf = map[Kind]func(*strict.Object, *Fault){
	KindError: parseError, KindLatency: parseTimes, KindCancel: parseTimes,
	KindReset: nil, KindLostReply: nil, KindPanic: nil,
	KindBandwidth: parseBandwidth, KindTruncate: parseTruncate, KindCorrupt: parseCorrupt,
}

func parsePhase(doc *strict.Object, f *Fault) {
	given := f.Phase
	f.Phase = f.phase()
	switch {
	case given != "" && given != Before && given != After && given != Instead:
		doc.Fail("phase", `is %q: it must be "before", "after" or "instead"`, given)
	case given == "":
	case f.Kind == KindCancel && given != Before:
		doc.Fail("phase", "must be left out or \"before\": only a call that is going on can be cancelled")
	case f.Kind == KindLostReply && given != After:
		doc.Fail("phase", "must be left out or \"after\": a reply is lost once the call took effect")
	case (f.Kind == KindBandwidth || f.Kind == KindTruncate || f.Kind == KindCorrupt) && given != Before:
		doc.Fail("phase", "must be left out: the fault acts on the bytes while they pass")
	}
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
	f.Distribution = parseDistribution(doc.Object("distribution"))
	switch {
	case f.Distribution != nil && (doc.Has("min") || doc.Has("max")):
		doc.Fail("distribution", "must be left out, or min and max: one of them says how long")
	case f.Distribution != nil:
	case f.Kind == KindLatency && f.Max == 0:
		doc.Fail("max", `must say how long calls are held up at most, such as "300ms"`)
	case f.Max < f.Min:
		doc.Fail("max", "is shorter than min, %s", f.Min)
	}
}

func parseBandwidth(doc *strict.Object, f *Fault) {
	f.BytesPerSecond = doc.Int("bytesPerSecond", 1, MaxBytesPerSecond)
	if !doc.Has("bytesPerSecond") {
		doc.Fail("bytesPerSecond", "must say how many bytes pass in a second, from 1 to %d", MaxBytesPerSecond)
	}
}

func parseTruncate(doc *strict.Object, f *Fault) {
	f.AfterBytes = doc.Int("afterBytes", 0, MaxAfterBytes)
	if !doc.Has("afterBytes") {
		doc.Fail("afterBytes", "must say after how many bytes the rest is missing, from 0 to %d", MaxAfterBytes)
	}
}

func parseCorrupt(doc *strict.Object, f *Fault) {
	f.Share = doc.Ratio("share")
	if !doc.Has("share") || f.Share == 0 {
		doc.Fail("share", "must say which share of the bytes is changed, above 0 up to 1")
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
		Faults    []faultJSON `json:"faults,omitzero"`
		Sequence  []stepJSON  `json:"sequence,omitempty"`
		Repeat    bool        `json:"repeat,omitempty"`
		MaxActive int         `json:"maxActive,omitempty"`
		MaxTotal  int         `json:"maxTotal,omitempty"`
	}
	stepJSON struct {
		Count int        `json:"count"`
		Fault *faultJSON `json:"fault,omitempty"`
	}
	faultJSON struct {
		Kind           Kind          `json:"kind"`
		Weight         int           `json:"weight,omitempty"`
		Phase          Phase         `json:"phase,omitempty"`
		Status         int           `json:"status,omitempty"`
		Code           string        `json:"code,omitempty"`
		Message        string        `json:"message,omitempty"`
		Min            string        `json:"min,omitempty"`
		Max            string        `json:"max,omitempty"`
		Distribution   *Distribution `json:"distribution,omitempty"`
		BytesPerSecond int           `json:"bytesPerSecond,omitempty"`
		AfterBytes     *int          `json:"afterBytes,omitempty"`
		Share          float64       `json:"share,omitempty"`
	}
)

// MarshalJSON writes the form that [ParseProgram] reads; nil gives null. NaN and infinite rates are
// errors.
func (p *Program) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("null"), nil
	}
	doc := programJSON{Point: p.Point, Rate: p.Rate, Repeat: p.Repeat, MaxActive: p.MaxActive, MaxTotal: p.MaxTotal}
	for i := range p.Faults {
		doc.Faults = append(doc.Faults, p.Faults[i].json())
	}
	for _, s := range p.Sequence {
		step := stepJSON{Count: max(s.Count, 1)}
		if s.Fault != nil {
			f := s.Fault.json()
			f.Weight = 0
			step.Fault = &f
		}
		doc.Sequence = append(doc.Sequence, step)
	}
	if doc.Faults == nil && doc.Sequence == nil {
		doc.Faults = []faultJSON{}
	}
	return json.Marshal(doc)
}

func (f *Fault) json() faultJSON {
	doc := faultJSON{Kind: f.Kind, Weight: f.Weight, Phase: f.Phase, Status: f.Status, Code: f.Code, Message: f.Message,
		Min: durationText(f.Min), Max: durationText(f.Max), Distribution: f.Distribution, BytesPerSecond: f.BytesPerSecond, Share: f.Share}
	if usual := (&Fault{Kind: f.Kind}).phase(); f.Phase == usual {
		doc.Phase = ""
	}
	if f.Kind == KindTruncate || f.AfterBytes != 0 {
		doc.AfterBytes = &f.AfterBytes
	}
	return doc
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
