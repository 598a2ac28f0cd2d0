package trial

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// six is a trial with six guardrails of every kind.
func six() Spec {
	return rollout(func(s *Spec) {
		s.Guardrails = []Guardrail{
			{Metric: MetricErrors, Mode: ModeEnforce, Relative: 0.2, Absolute: 0.001, SLO: &SLO{Share: 0.05}},
			{Metric: MetricLatency, Mode: ModeEnforce, Relative: 0.2, Absolute: 0.005},
			{Metric: MetricThroughput, Mode: ModeEnforce},
			{Metric: MetricEvent, Event: "purchase", Better: BetterHigher, Mode: ModeHold, Relative: 0.1},
			{Metric: MetricValue, Event: "basket", Better: BetterHigher, Mode: ModeHold, Relative: 0.1},
			{Name: "requests", Metric: MetricErrors, Unit: UnitRequest, Mode: ModeShadow, Absolute: 0.01, DesignEffect: 2},
		}
	})
}

func withMeasures(iv outcome.Interval) outcome.Interval {
	for _, a := range []*outcome.Arm{&iv.Treatment, &iv.Control} {
		a.Measures = nil
		n := a.Requests
		a.AddMeasure(outcome.Measure{Name: "purchase", Of: n, Bad: n / 10})
		a.AddMeasure(outcome.Measure{Name: "basket", Of: n, Sum: float64(n) * 20, SumSquares: float64(n) * 500})
	}
	return iv
}

// BenchmarkNextSix is one interval of a trial with six guardrails (ten kinds of bad events).
func BenchmarkNextSix(b *testing.B) {
	spec, w := six(), newWorld(9)
	s := Start(spec, 1, day0)
	var iv outcome.Interval
	for range 20 {
		iv = withMeasures(w.interval(spec, s, s.UpdatedAt.Add(time.Second)))
		s, _ = Next(spec, s, IntervalClosed{iv})
	}
	if s.Phase != PhaseRunning {
		b.Fatalf("%s: %s", s.Phase, s.Why)
	}
	iv.Seq++
	b.ReportAllocs()
	for b.Loop() {
		Next(spec, s, IntervalClosed{iv})
	}
}
