package fault

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"
)

const fullProgram = `{"point":"payment","rate":0.6,"maxActive":20,"faults":[
 {"kind":"error","weight":2,"status":503,"code":"UNAVAILABLE","message":"no capacity"},
 {"kind":"latency","weight":1,"min":"100ms","max":"300ms","phase":"after"},
 {"kind":"cancel","weight":1}]}`

func TestParseProgram(t *testing.T) {
	one := func(fault string) string { return `{"point":"payment","rate":1,"faults":[` + fault + `]}` }
	cases := []struct {
		name, doc string
		want      *Program
		problems  []string // parts of the error, in order
	}{
		{name: "everything", doc: fullProgram, want: &Program{Point: "payment", Rate: 0.6, MaxActive: 20, Faults: []Fault{
			{Kind: KindError, Weight: 2, Phase: Before, Status: 503, Code: "UNAVAILABLE", Message: "no capacity"},
			{Kind: KindLatency, Weight: 1, Phase: After, Min: 100 * time.Millisecond, Max: 300 * time.Millisecond},
			{Kind: KindCancel, Weight: 1, Phase: Before}}}},
		{name: "null: no fault", doc: "null"},
		{name: "min equals max", doc: one(`{"kind":"latency","min":"1s","max":"1s"}`), want: &Program{Point: "payment", Rate: 1, Faults: []Fault{{Kind: KindLatency, Weight: 1, Phase: Before, Min: time.Second, Max: time.Second}}}},
		{name: "rate 0", doc: `{"point":"p","rate":0,"faults":[{"kind":"error"}]}`, want: &Program{Point: "p", Faults: []Fault{{Kind: KindError, Weight: 1, Phase: Before}}}},
		{name: "nothing", doc: `{}`, problems: []string{"/point: must name the point", "/rate: must say which share", "/faults: must list at least one"}},
		{name: "no JSON", doc: `{"point"`, problems: []string{"fault program: is not valid JSON"}},
		{name: "no object", doc: `"off"`, problems: []string{"must be a JSON object"}},
		{name: "rate above 1", doc: `{"point":"p","rate":5,"faults":[{"kind":"error"}]}`, problems: []string{"/rate: is 5: it must be from 0 to 1"}},
		{name: "rate below 0", doc: `{"point":"p","rate":-0.1,"faults":[{"kind":"error"}]}`, problems: []string{"/rate: is -0.1"}},
		{name: "rate as text", doc: `{"point":"p","rate":"NaN","faults":[{"kind":"error"}]}`, problems: []string{"/rate: must be a number"}},
		{name: "unknown field", doc: `{"point":"p","rate":1,"fault":[]}`, problems: []string{"/faults: must list", `/fault: is not a known field; did you mean "faults"?`}},
		{name: "unknown kind", doc: one(`{"kind":"explode"}`), problems: []string{`/faults/0/kind: is "explode": it must be "error", "latency", "cancel"`}},
		{name: "unknown phase", doc: one(`{"kind":"error","phase":"during"}`), problems: []string{`/faults/0/phase: is "during": it must be "before", "after" or "instead"`}},
		{name: "weight out of range", doc: one(`{"kind":"error","weight":0},{"kind":"error","weight":1000001}`), problems: []string{"/faults/0/weight: is 0", "/faults/1/weight: is 1000001"}},
		{name: "status out of range", doc: one(`{"kind":"error","status":200}`), problems: []string{"/faults/0/status: is 200: it must be from 400 to 599"}},
		{name: "unknown code", doc: one(`{"kind":"error","code":"OK"}`), problems: []string{`/faults/0/code: is "OK"`}},
		{name: "latency without length", doc: one(`{"kind":"latency"}`), problems: []string{"/faults/0/max: must say how long"}},
		{name: "the wrong way round", doc: one(`{"kind":"latency","min":"2s","max":"1s"}`), problems: []string{"/faults/0/max: is shorter than min, 2s"}},
		{name: "too long a latency", doc: one(`{"kind":"latency","max":"11m"}`), problems: []string{"/faults/0/max: is 11m"}},
		{name: "cancel after", doc: one(`{"kind":"cancel","phase":"after"}`), problems: []string{"/faults/0/phase: must be left out"}},
		{name: "cancel instead", doc: one(`{"kind":"cancel","phase":"instead"}`), problems: []string{"/faults/0/phase: must be left out"}},
		{name: "lost reply before", doc: one(`{"kind":"lost-reply","phase":"before"}`), problems: []string{`/faults/0/phase: must be left out or "after"`}},
		{name: "truncate after", doc: one(`{"kind":"truncate","afterBytes":0,"phase":"after"}`), problems: []string{"/faults/0/phase: must be left out"}},
		{name: "no bandwidth", doc: one(`{"kind":"bandwidth"}`), problems: []string{"/faults/0/bytesPerSecond: must say"}},
		{name: "bandwidth of nothing", doc: one(`{"kind":"bandwidth","bytesPerSecond":0}`), problems: []string{"/faults/0/bytesPerSecond: is 0"}},
		{name: "truncated where", doc: one(`{"kind":"truncate"}`), problems: []string{"/faults/0/afterBytes: must say"}},
		{name: "corrupt how much", doc: one(`{"kind":"corrupt","share":0}`), problems: []string{"/faults/0/share: must say"}},
		{name: "distribution and ends", doc: one(`{"kind":"latency","max":"1s","distribution":{"kind":"normal","mean":"1s","stddev":"1s"}}`), problems: []string{"/faults/0/distribution: must be left out"}},
		{name: "unknown distribution", doc: one(`{"kind":"latency","distribution":{"kind":"pareto"}}`), problems: []string{`/faults/0/distribution/kind: is "pareto"`}},
		{name: "half a distribution", doc: one(`{"kind":"latency","distribution":{"kind":"lognormal","p50":"1s"}}`), problems: []string{"/faults/0/distribution/p99: must be there"}},
		{name: "lognormal the wrong way round", doc: one(`{"kind":"latency","distribution":{"kind":"lognormal","p50":"2s","p99":"1s"}}`), problems: []string{"/faults/0/distribution/p99: is shorter than p50, 2s"}},
		{name: "quantiles out of order", doc: one(`{"kind":"latency","distribution":{"kind":"quantiles","points":[{"q":0.5,"value":"1s"},{"q":0.5,"value":"1ms"}]}}`), problems: []string{"/points/1/q: is 0.5", "/points/1/value: is 1ms"}},
		{name: "one quantile", doc: one(`{"kind":"latency","distribution":{"kind":"quantiles","points":[{"q":0.5,"value":"1s"}]}}`), problems: []string{"/points: must list at least two"}},
		{name: "distribution is no object", doc: one(`{"kind":"latency","distribution":"normal"}`), problems: []string{"/faults/0/distribution: must be a JSON object"}},
		{name: "sequence", doc: `{"point":"p","rate":1,"maxTotal":7,"repeat":true,"sequence":[{"count":2,"fault":{"kind":"lost-reply"}},{"count":1}]}`,
			want: &Program{Point: "p", Rate: 1, MaxTotal: 7, Repeat: true, Sequence: []Step{{Count: 2, Fault: &Fault{Kind: KindLostReply, Phase: After}}, {Count: 1}}}},
		{name: "sequence and faults", doc: `{"point":"p","rate":1,"faults":[],"sequence":[{"count":1}]}`, problems: []string{"/faults: must be left out"}},
		{name: "empty sequence", doc: `{"point":"p","rate":1,"sequence":[]}`, problems: []string{"/sequence: must list at least one"}},
		{name: "step without count", doc: `{"point":"p","rate":1,"sequence":[{"fault":{"kind":"reset","weight":2}}]}`, problems: []string{"/sequence/0/count: must say", "/sequence/0/fault/weight: is not a known field"}},
		{name: "repeat what", doc: `{"point":"p","rate":1,"repeat":true,"faults":[{"kind":"error"}]}`, problems: []string{"/repeat: must be left out"}},
		{name: "repeat as a number", doc: `{"point":"p","rate":1,"repeat":3,"sequence":[{"count":1}]}`, problems: []string{"/repeat: must be true or false"}},
		{name: "maxTotal", doc: `{"point":"p","rate":1,"maxTotal":0,"faults":[{"kind":"error"}]}`, problems: []string{"/maxTotal: is 0"}},
		{name: "field of another kind", doc: one(`{"kind":"latency","max":"1s","status":503}`), problems: []string{"/faults/0/status: is not a known field"}},
		{name: "too many", doc: one(strings.Repeat(`{"kind":"error"},`, MaxFaults) + `{"kind":"error"}`), problems: []string{"/faults: has 21 elements, the limit is 20"}},
		{name: "fault is no object", doc: one(`"error"`), problems: []string{"/faults/0: must be a JSON object"}},
		{name: "maxActive", doc: `{"point":"p","rate":1,"maxActive":0,"faults":[{"kind":"error"}]}`, problems: []string{"/maxActive: is 0: it must be from 1 to"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseProgram([]byte(c.doc))
			if len(c.problems) == 0 {
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
				}
				return
			}
			if err == nil || got != nil {
				t.Fatalf("accepted as %+v", got)
			}
			rest := err.Error()
			for _, part := range c.problems {
				at := strings.Index(rest, part)
				if at < 0 {
					t.Fatalf("%q\nlacks %q (in this order)", err, part)
				}
				rest = rest[at+len(part):]
			}
		})
	}
}

var kinds = []Kind{KindError, KindLatency, KindCancel, KindReset, KindLostReply, KindPanic, KindBandwidth, KindTruncate, KindCorrupt}

// anyProgram draws programs that nobody should write, too.
func anyProgram(t *rapid.T) *Program {
	text := rapid.SampledFrom([]string{"", "stock", "UNAVAILABLE", "OK", strings.Repeat("x", 300)})
	n := rapid.OneOf(rapid.IntRange(-2, 700), rapid.Int())
	p := &Program{MaxActive: n.Draw(t, "active"), MaxTotal: n.Draw(t, "total"), Rate: anyNumber(t, "rate"), Repeat: rapid.Bool().Draw(t, "repeat")}
	for range rapid.IntRange(0, 25).Draw(t, "faults") {
		p.Faults = append(p.Faults, anyFault(t, text, n))
	}
	if rapid.Bool().Draw(t, "in sequence") {
		for range rapid.IntRange(0, 25).Draw(t, "steps") {
			f := anyFault(t, text, n)
			p.Sequence = append(p.Sequence, Step{n.Draw(t, "count"), rapid.SampledFrom([]*Fault{nil, &f, &f}).Draw(t, "step")})
		}
	}
	return p
}

func anyNumber(t *rapid.T, name string) float64 {
	return rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 5, -1, 1})).Draw(t, name)
}

func anyFault(t *rapid.T, text *rapid.Generator[string], n *rapid.Generator[int]) Fault {
	f := Fault{
		Kind:   rapid.SampledFrom(append([]Kind{"", "explode"}, kinds...)).Draw(t, "kind"),
		Phase:  rapid.SampledFrom([]Phase{"", Before, After, Instead, "during"}).Draw(t, "phase"),
		Weight: n.Draw(t, "weight"), Status: n.Draw(t, "status"), Code: text.Draw(t, "code"), Message: text.Draw(t, "message"),
		Min: anyDuration(t, "min"), Max: anyDuration(t, "max"),
		BytesPerSecond: n.Draw(t, "speed"), AfterBytes: n.Draw(t, "after"), Share: anyNumber(t, "share"),
	}
	if rapid.Bool().Draw(t, "distributed") {
		f.Distribution = anyDistribution(t)
	}
	return f
}

func anyDistribution(t *rapid.T) *Distribution {
	d := &Distribution{Kind: rapid.SampledFrom([]string{Normal, LogNormal, Quantiles, ""}).Draw(t, "distribution"),
		Mean: anyDuration(t, "mean"), StdDev: anyDuration(t, "stddev"), P50: anyDuration(t, "p50"), P99: anyDuration(t, "p99")}
	for range rapid.IntRange(0, 4).Draw(t, "quantiles") {
		d.Points = append(d.Points, Quantile{anyNumber(t, "q"), anyDuration(t, "value")})
	}
	return d
}

func TestNoProgramBreaksAPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, caps := anyProgram(t), Caps{MaxLatency: anyDuration(t, "cap"), MaxRate: anyNumber(t, "maxRate")}.normalized()
		for call := range uint64(20) {
			d := p.decide("stock", Assignment{Call: call, Nth: call}, &caps)
			f, delay := d.fault, d.delay
			if delay < 0 || delay > caps.MaxLatency || f != nil && !(p.Rate > 0) {
				t.Fatalf("%+v hits with %+v for %v", p, f, delay)
			}
			if f != nil && f.Kind == KindError {
				if status, code := reply(f.Status, f.Code); status < 400 || status > 599 || statusOf[code] == 0 {
					t.Fatalf("%+v answers %d %s", f, status, code)
				}
			}
		}
	})
}

// sensibleProgram draws programs most of which are valid.
func sensibleProgram(t *rapid.T) *Program {
	p := &Program{Point: "stock", Rate: rapid.Float64Range(0, 1).Draw(t, "rate"), MaxActive: rapid.IntRange(0, 100).Draw(t, "active"), MaxTotal: rapid.IntRange(0, 100).Draw(t, "total")}
	if rapid.Bool().Draw(t, "in sequence") {
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			f := sensibleFault(t)
			f.Weight = 0
			p.Sequence = append(p.Sequence, Step{rapid.IntRange(1, MaxCount).Draw(t, "count"), rapid.SampledFrom([]*Fault{nil, &f, &f}).Draw(t, "step")})
		}
		p.Repeat = rapid.Bool().Draw(t, "repeat")
		return p
	}
	for range rapid.IntRange(1, 5).Draw(t, "faults") {
		p.Faults = append(p.Faults, sensibleFault(t))
	}
	return p
}

func sensibleFault(t *rapid.T) Fault {
	f := Fault{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Weight: rapid.IntRange(1, MaxWeight).Draw(t, "weight")}
	switch f.Kind {
	case KindError:
		f.Status, f.Message = rapid.IntRange(400, 599).Draw(t, "status"), rapid.StringN(0, 20, 256).Draw(t, "message")
	case KindLatency, KindCancel:
		f.Min = time.Duration(rapid.Int64Range(0, int64(MaxLatency)-1).Draw(t, "min"))
		f.Max = f.Min + 1
		if rapid.Bool().Draw(t, "distributed") {
			f.Distribution = rapid.SampledFrom([]*Distribution{{Kind: Normal, Mean: f.Min}, {Kind: Normal, StdDev: f.Max}, {Kind: LogNormal, P50: f.Max, P99: f.Max},
				{Kind: Quantiles, Points: []Quantile{{0, f.Min}, {0.5, f.Min}, {1, f.Max}}}}).Draw(t, "distribution")
			f.Min, f.Max = 0, 0
		}
	case KindBandwidth:
		f.BytesPerSecond = rapid.IntRange(1, MaxBytesPerSecond).Draw(t, "speed")
	case KindTruncate:
		f.AfterBytes = rapid.IntRange(0, MaxAfterBytes).Draw(t, "after")
	case KindCorrupt:
		f.Share = rapid.Float64Range(1e-9, 1).Draw(t, "share")
	}
	f.Phase = rapid.SampledFrom([]Phase{Before, After, Instead}).Draw(t, "phase")
	f.Phase = f.phase()
	if f.Kind == KindBandwidth || f.Kind == KindTruncate || f.Kind == KindCorrupt {
		f.Phase = Before
	}
	return f
}

func TestAProgramSurvivesItsJSON(t *testing.T) {
	valid := 0
	rapid.Check(t, func(t *rapid.T) {
		p := sensibleProgram(t)
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		valid++
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Program
		if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(*p, back) {
			t.Fatalf("%s\nis read as %+v, %v\nwant       %+v", data, back, err, *p)
		}
	})
	if valid == 0 {
		t.Error("no program was valid: the test shows nothing")
	}
	var none *Program
	if data, err := json.Marshal(none); string(data) != "null" || err != nil || none.Validate() != nil {
		t.Errorf("nil is written as %s, %v", data, err)
	}
	if err := (&Program{Point: "p", Rate: math.NaN(), Faults: []Fault{{Kind: KindError}}}).Validate(); err == nil {
		t.Error("NaN is a rate")
	}
}

// The names and numbers of gRPC's own list of codes are the oracle.
func TestEveryCodeHasAStatus(t *testing.T) {
	for code := codes.Code(1); code <= codes.Unauthenticated; code++ {
		name := ""
		for known := range statusOf {
			var c codes.Code
			if err := c.UnmarshalJSON([]byte(`"` + known + `"`)); err != nil {
				t.Errorf("gRPC does not know %s: %v", known, err)
			} else if c == code {
				name = known
			}
		}
		if name == "" {
			t.Errorf("%v has no status", code)
		}
	}
	for status := 400; status <= 599; status++ {
		if statusOf[codeOf(status)] == 0 {
			t.Errorf("%d gives %s, which is no code", status, codeOf(status))
		}
	}
}

func FuzzParseProgram(f *testing.F) {
	for _, seed := range []string{fullProgram, `null`, `{}`, `{"point":"p","rate":1e-300,"faults":[{"kind":"error"}]}`, `{"faults":[[]]}`, `{"faults":[{"kind":"latency","max":"1ns","max":1}]}`} {
		f.Add([]byte(seed), uint64(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, call uint64) {
		p, err := ParseProgram(data)
		if err != nil {
			if p != nil || !strings.HasPrefix(err.Error(), "fault program: ") {
				t.Errorf("%+v with %v", p, err)
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("accepted, but not valid: %v", err)
		}
		if p == nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseProgram(out); err != nil || !reflect.DeepEqual(p, back) {
			t.Fatalf("%s is read back as %+v, %v", out, back, err)
		}
		caps := Caps{MaxLatency: time.Second, MaxRate: 0.5}.normalized()
		if d := p.decide(p.Point, Assignment{Call: call}, &caps); d.delay < 0 || d.delay > time.Second || d.fault != nil && p.Rate == 0 {
			t.Fatalf("%s hits with %+v for %v", out, d.fault, d.delay)
		}
	})
}
