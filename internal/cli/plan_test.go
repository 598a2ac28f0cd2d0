package cli

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"pgregory.net/rapid"
)

func TestParseSteps(t *testing.T) {
	for _, test := range []struct {
		text string
		want []trial.Step
		fail string
	}{
		{text: "1%:5m,5%:10m,50%:safe", want: []trial.Step{
			{Share: 1000, MinTime: trial.Duration(5 * time.Minute)}, {Share: 5000, MinTime: trial.Duration(10 * time.Minute)}, {Share: 50_000, RequireSafe: true}}},
		{text: "0.001%", want: []trial.Step{{Share: 1}}},
		{text: " 2.5% : safe", want: []trial.Step{{Share: 2500, RequireSafe: true}}},
		{text: "5", fail: `share "5": write a percentage`},
		{text: "0.0001%", fail: "the finest share is 0.001%"},
		{text: "101%", fail: "at most 100 %"},
		{text: "0%", fail: "over 0 %"},
		{text: "NaN%", fail: "write a percentage"},
		{text: "5%:10m:approve", want: []trial.Step{{Share: 5000, MinTime: trial.Duration(10 * time.Minute), Approval: true}}},
		{text: "1%:sfe", fail: `step 1 of "1%:sfe": "sfe" is neither a time such as 10m nor the word safe or approve; did you mean "safe"?`},
		{text: "1%:-5m", fail: "neither a time"},
		{text: "1%,", fail: "step 2"},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := parseSteps(test.text)
			switch {
			case test.fail != "":
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Errorf("error %v, want one with %q", err, test.fail)
				}
			case err != nil || !reflect.DeepEqual(got, test.want):
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

// TestGuardrailRoundTrip: what is shown is read as the same guardrail.
func TestGuardrailRoundTrip(t *testing.T) {
	for _, text := range []string{"errors:+20%|+0.1pp", "latency:+20%:hold:100ms,1s", "throughput:-5%", "event:sign-up:-5%:higher", "event:refund:+5%|+0.1pp:request",
		"money=value:basket:-5%|-2:higher", "errors:+20%:slo=1%:weight=2", "latency:+20%:slo=1%@300ms:design-effect=2.5", "by-request=errors:+20%:request"} {
		g, err := parseGuardrail(text)
		if got := showGuardrail(g); err != nil || got != text {
			t.Errorf("%s: shown as %s, %v", text, got, err)
		}
	}
}

func TestParseGuardrail(t *testing.T) {
	for _, test := range []struct {
		text string
		want trial.Guardrail
		fail string
	}{
		{text: "errors:+20%|+0.1pp", want: trial.Guardrail{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.001}},
		{text: "errors", want: trial.Guardrail{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.001}},
		{text: "latency:hold", want: trial.Guardrail{Name: "latency", Metric: trial.MetricLatency, Mode: trial.ModeHold, Relative: 0.2, Absolute: 0.005}},
		{text: "slow=latency:+5pp:100ms,1s:shadow", want: trial.Guardrail{Name: "slow", Metric: trial.MetricLatency, Mode: trial.ModeShadow, Absolute: 0.05, Bounds: []float64{0.1, 1}}},
		{text: "errors:request:2%", want: trial.Guardrail{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.02, Unit: "request"}},
		{text: "throughput", want: trial.Guardrail{Name: "throughput", Metric: trial.MetricThroughput, Mode: trial.ModeEnforce, Relative: 0.05}},
		{text: "throughput:-10%:request:hold", want: trial.Guardrail{Name: "throughput", Metric: trial.MetricThroughput, Mode: trial.ModeHold, Relative: 0.1, Unit: "request"}},
		{text: "event:sign-up:higher:-5%", want: trial.Guardrail{Name: "sign-up", Metric: trial.MetricEvent, Mode: trial.ModeEnforce, Event: "sign-up", Better: trial.BetterHigher, Relative: 0.05}},
		{text: "money=value:basket:-5%|-2:higher", want: trial.Guardrail{Name: "money", Metric: trial.MetricValue, Mode: trial.ModeEnforce, Event: "basket", Better: trial.BetterHigher, Relative: 0.05, Absolute: 2}},
		{text: "errors:+20%:slo=1%:weight=2", want: trial.Guardrail{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2, SLO: &trial.SLO{Share: 0.01}, Weight: 2}},
		{text: "latency:+20%:slo=1%@300ms:design-effect=2.5", want: trial.Guardrail{Name: "latency", Metric: trial.MetricLatency, Mode: trial.ModeEnforce, Relative: 0.2, SLO: &trial.SLO{Share: 0.01, Seconds: 0.3}, DesignEffect: 2.5}},
		{text: "event:+5%", fail: "name what is tracked after the metric"},
		{text: "event:sign-up:higher", fail: "say how much worse sign-up may get"},
		{text: "event:sign-up:hihger:-5%", fail: `did you mean "higher"?`},
		{text: "errors:slo=1", fail: "slo=1: write the largest share"},
		{text: "errors:slo=1%@soon", fail: "no time such as 300ms"},
		{text: "errors:wieght=2", fail: `did you mean "weight"?`},
		{text: "errors:design-effect=0.5", fail: "design-effect=0.5: give a number"},
		{text: "erors:+2%", fail: `did you mean "errors"?`},
		{text: "errors:enforced", fail: `did you mean "enforce"?`},
		{text: "errors:+x%", fail: "tolerance"},
		{text: "errors:-5%", fail: "tolerance"},
		{text: "latency:0s", fail: "no latency bound"},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := parseGuardrail(test.text)
			switch {
			case test.fail != "":
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Errorf("error %v, want one with %q", err, test.fail)
				}
			case err != nil || !reflect.DeepEqual(got, test.want):
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestTolerancesAreShownAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := trial.Guardrail{Relative: float64(rapid.IntRange(0, 1000).Draw(t, "relative")) / 1000, Absolute: float64(rapid.IntRange(0, 500).Draw(t, "absolute")) / 1000}
		if g.Relative == 0 && g.Absolute == 0 {
			return
		}
		relative, absolute, err := parseTolerance(showTolerance(g))
		if err != nil || math.Abs(relative-g.Relative) > 1e-9 || math.Abs(absolute-g.Absolute) > 1e-9 {
			t.Fatalf("%+v is shown as %s, which reads as %v, %v, %v", g, showTolerance(g), relative, absolute, err)
		}
	})
}

func TestSharesAreShownAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := flag.Weight(rapid.IntRange(1, flag.TotalWeight).Draw(t, "weight"))
		if got, err := parseShare(showShare(w)); err != nil || got != w {
			t.Fatalf("%d is shown as %s, which reads as %d, %v", w, showShare(w), got, err)
		}
	})
}

// TestFaultNotation compares with fault.ParseProgram, which services read programs with.
func TestFaultNotation(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags faultFlags
		want  string
		fail  string
	}{
		{name: "error", flags: faultFlags{errors: []string{"503:2"}, rate: "60%"},
			want: `{"point":"payment","rate":0.6,"faults":[{"kind":"error","weight":2,"status":503}]}`},
		{name: "mixed", flags: faultFlags{errors: []string{"UNAVAILABLE:1:after"}, latencies: []string{"100ms..300ms"}, cancels: []string{"1", "10ms..20ms:3"}, rate: "1", message: "no"},
			want: `{"point":"payment","rate":1,"faults":[{"kind":"error","phase":"after","code":"UNAVAILABLE","message":"no"},{"kind":"latency","min":"100ms","max":"300ms"},
				{"kind":"cancel"},{"kind":"cancel","weight":3,"min":"10ms","max":"20ms"}]}`},
		{name: "rate", flags: faultFlags{errors: []string{"503"}, rate: "0%"}, fail: "--rate: rate \"0%\""},
		{name: "status", flags: faultFlags{errors: []string{"200"}, rate: "1"}, fail: "--error 200: status 200 is no error"},
		{name: "word", flags: faultFlags{errors: []string{"bad"}, rate: "1"}, fail: "neither an HTTP status"},
		{name: "weight", flags: faultFlags{errors: []string{"503:0"}, rate: "1"}, fail: "neither a weight"},
		{name: "range", flags: faultFlags{latencies: []string{"3s..1s"}, rate: "1"}, fail: "write a range"},
		{name: "too long", flags: faultFlags{latencies: []string{"1h"}, rate: "1"}, fail: "10m0s"},
		{name: "cancel after", flags: faultFlags{cancels: []string{"1:after"}, rate: "1"}, fail: "can be cancelled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.flags.program("payment")
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Errorf("error %v, want one with %q", err, test.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sent, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			read, err := fault.ParseProgram(sent)
			if err != nil {
				t.Fatal(err)
			}
			want, err := fault.ParseProgram([]byte(test.want))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(read, want) {
				t.Errorf("got %+v, want %+v", read, want)
			}
		})
	}
}
