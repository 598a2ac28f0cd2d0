package trial

import (
	"reflect"
	"testing"

	"github.com/seatrial/seatrial/internal/core/evidence"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

func TestWhatAGuardrailCounts(t *testing.T) {
	a := outcome.Arm{Requests: 10, Bad: 4, NewUnits: 7, AtRiskUnits: 6, BadUnits: 3}
	for _, seconds := range []float64{0.01, 0.01, 0.2, 0.4} {
		a.Latency.Record(seconds)
	}
	tests := []struct {
		name  string
		g     Guardrail
		bound float64
		want  Count
	}{
		{"errors by unit", Guardrail{Metric: MetricErrors, Unit: UnitKey}, 0, Count{Bad: 3, Of: 6}},
		{"errors by request", Guardrail{Metric: MetricErrors, Unit: UnitRequest}, 0, Count{Bad: 4, Of: 10}},
		{"slow requests", Guardrail{Metric: MetricLatency, Unit: UnitRequest}, 0.1, Count{Bad: 2, Of: 4}},
		{"very slow requests", Guardrail{Metric: MetricLatency, Unit: UnitRequest}, 0.3, Count{Bad: 1, Of: 4}},
	}
	for _, test := range tests {
		if got := test.g.count(&a, test.bound); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// The bounds are the control's quantiles, on bucket edges, and nothing is counted against them
// that helped to choose them.
func TestLatencyBoundsAreLearntFromTheControl(t *testing.T) {
	spec := ordered(func(s *Spec) {
		s.Guardrails = append(s.Guardrails, Guardrail{Metric: MetricLatency, Mode: ModeEnforce, Absolute: 0.1})
	})
	control, treatment := outcome.Arm{Requests: 100}, outcome.Arm{Requests: 100}
	for i := range 100 {
		control.Latency.Record(0.01 * float64(i+1))
		treatment.Latency.Record(50)
	}
	s, _ := feed(spec, Start(spec, 1, day0), pair(treatment, control))
	if g := s.Guardrails[1]; g.Learning.Count() != 100 || len(g.Bounds) != 0 {
		t.Fatalf("after 100 requests: learnt %d, bounds %v", g.Learning.Count(), g.Bounds)
	}
	s, _ = feed(spec, s, pair(treatment, control))
	g := s.Guardrails[1]
	if g.Learning == nil || len(g.Bounds) != 4 {
		t.Fatalf("after 200 requests: %d bounds", len(g.Bounds))
	}
	for range 8 {
		s, _ = feed(spec, s, pair(control, control))
		// The mean is over five bounds from the start, with 1 for the one that is to come.
		var logs []float64
		for _, b := range s.Guardrails[1].Bounds {
			logs = append(logs, b.Guard.LogHarm())
		}
		if want := evidence.MeanLogE(append(logs, make([]float64, 5-len(logs))...)...); s.Guardrails[1].LogHarm != want {
			t.Fatalf("harm %v, want the mean over five, %v", s.Guardrails[1].LogHarm, want)
		}
	}
	last := s.Guardrails[1]
	if last.Learning != nil || len(last.Bounds) != 5 || last.Bounds[0].Control.Of != 800 {
		t.Fatalf("after 1,000 requests: %d bounds, %d counted", len(last.Bounds), last.Bounds[0].Control.Of)
	}
	g.Bounds = append(g.Bounds, last.Bounds[4])
	for i, want := range []float64{0.5, 0.75, 0.9, 0.95, 0.99} {
		b := g.Bounds[i]
		if b.Seconds != outcome.Edge(b.Seconds) || b.Seconds > want || b.Seconds < want*0.95 {
			t.Errorf("bound %d is %v, want the edge below %v", i, b.Seconds, want)
		}
		if b.Control.Of != 0 {
			t.Errorf("bound %d counts what it was read off", i)
		}
	}
}

func TestEqualQuantilesGiveOneBound(t *testing.T) {
	spec := ordered(func(s *Spec) {
		s.Guardrails[0].Metric = MetricLatency
		s.Guardrails[0].Name, s.Guardrails[0].Unit = "latency", UnitRequest
	})
	s, _ := feed(spec, Start(spec, 1, day0), fine) // all took 50 ms
	if n := len(s.Guardrails[0].Bounds); n != 1 {
		t.Errorf("%d bounds, want 1", n)
	}
}

// Harm beyond tolerance holds the ramp also where the alarm for any harm is blunt (common
// events), and where the guardrail may not roll back.
func TestHarmBeyondToleranceIsAnAlarm(t *testing.T) {
	spec := ordered(func(s *Spec) {
		s.Guardrails = append(s.Guardrails, Guardrail{Name: "watched", Metric: MetricErrors, Mode: ModeHold, Absolute: 0.05})
	})
	s := Start(spec, 1, day0)
	guard := &s.Guardrails[1].Bounds[0].Guard
	guard.HarmDifference.Log, guard.HarmRecent.Log = 20, 20
	s, _ = feed(spec, s, fine, fine)
	if g := s.Guardrails[1]; g.Verdict != VerdictHarmful || !g.Alarm || s.Phase != PhaseHolding || s.Step != 0 {
		t.Errorf("verdict %s, alarm %v, phase %s at step %d", g.Verdict, g.Alarm, s.Phase, s.Step)
	}
}

func TestShadowGuardrailsDoNothing(t *testing.T) {
	spec := ordered(func(s *Spec) {
		s.Guardrails = append(s.Guardrails, Guardrail{Name: "shadow", Metric: MetricErrors, Mode: ModeShadow, Unit: UnitRequest, Absolute: 0.01})
	})
	bad := fine // requests fail, units do not: the enforced guardrail sees nothing
	bad.Treatment.Bad = 200
	s, _ := feed(spec, Start(spec, 1, day0), repeat(bad, 8)...)
	if s.Guardrails[1].Verdict != VerdictHarmful || s.Phase != PhaseWatching {
		t.Errorf("verdict %s, phase %s: %s", s.Guardrails[1].Verdict, s.Phase, s.Why)
	}
}

// 20 % fewer of something good means that the control has up to 1.25 times as many.
func TestMarginWhereMoreIsBetter(t *testing.T) {
	g := Guardrail{Metric: MetricEvent, Event: "x", Better: BetterHigher, Relative: 0.2}
	if got := newBound(&g, 0).Guard.Relative; got < 0.25-1e-12 || got > 0.25+1e-12 {
		t.Errorf("margin %v, want 0.25", got)
	}
	g.Better = BetterLower
	if got := newBound(&g, 0).Guard.Relative; got != 0.2 {
		t.Errorf("margin %v, want 0.2", got)
	}
}

func TestBlame(t *testing.T) {
	spec := ordered(func(s *Spec) {
		s.Guardrails = nil
		for _, name := range []string{"errors", "latency", "other"} {
			s.Guardrails = append(s.Guardrails, Guardrail{Name: name, Metric: MetricErrors, Mode: ModeEnforce, Absolute: 0.1})
		}
	})
	tests := []struct {
		name    string
		logs    []float64
		weights []float64
		want    []string
	}{
		{"nothing", []float64{0, 0, 0}, []float64{1, 1, 1}, nil},
		{"one", []float64{12, 0, -3}, []float64{1, 1, 1}, []string{"errors"}},
		{"two", []float64{12, 30, -3}, []float64{1, 1, 1}, []string{"latency", "errors"}},
		{"only together: the strongest is named", []float64{4.65, 4.6, 4.6}, []float64{1, 1, 1}, []string{"errors"}},
		{"too light to decide", []float64{5, 0, 0}, []float64{1, 10, 10}, nil},
		{"heavy enough", []float64{5, 0, 0}, []float64{10, 1, 1}, []string{"errors"}},
		{"no weight means 1", []float64{12, 0, -3}, []float64{0, 0, 0}, []string{"errors"}},
	}
	for _, test := range tests {
		s := Start(spec, 1, day0)
		for i := range test.logs {
			s.Guardrails[i].LogHarm, spec.Guardrails[i].Weight = test.logs[i], test.weights[i]
		}
		got, ok := s.harmful(&spec)
		if !reflect.DeepEqual(got, test.want) || ok != (test.want != nil) {
			t.Errorf("%s: %v, %v, want %v", test.name, got, ok, test.want)
		}
	}
}
