package trial

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// shop is the population of the demo: 2,000 sticky users, of which 7 % are in the first groups,
// and an open loop of requests. After the start and after each step nothing arrives for two
// intervals, as flush and snapshot take their time.
type shop struct {
	r     *rand.Rand
	rate  float64                               // requests a second
	bad   func(treated bool, t float64) float64 // failing share at second t
	slow  func(treated bool, t float64) float64 // factor of the median duration
	users []struct {
		bucket            flag.Weight
		group             bool
		seen, spoilt, now bool
	}
}

const shopUsers, shopLag = 2_000, 2

func newShop(seed uint64, rate float64) *shop {
	w := &shop{r: rand.New(rand.NewPCG(seed, 77)), rate: rate}
	w.bad = func(bool, float64) float64 { return 0.005 }
	w.slow = func(bool, float64) float64 { return 1 }
	w.users = make([]struct {
		bucket            flag.Weight
		group             bool
		seen, spoilt, now bool
	}, shopUsers)
	for i := range w.users {
		w.users[i].bucket = flag.Weight(w.r.IntN(flag.TotalWeight))
		w.users[i].group = i%100 < 7
	}
	return w
}

func (w *shop) run(spec Spec) State {
	s, lag := Start(spec, 1, day0), shopLag
	for !s.Ended() && s.Seq < 200 {
		iv := outcome.Interval{Seq: s.Seq + 1, Step: s.Step, Steady: s.Steady, From: s.UpdatedAt, To: s.UpdatedAt.Add(time.Duration(spec.Interval))}
		w.fill(spec, s, &iv)
		if lag > 0 {
			lag--
			iv.Treatment, iv.Control = outcome.Arm{}, outcome.Arm{}
		}
		step := s.Step
		if s, _ = Next(spec, s, IntervalClosed{iv}); s.Step != step || s.Steady != iv.Steady {
			lag = shopLag
		}
	}
	return s
}

func (w *shop) fill(spec Spec, s State, iv *outcome.Interval) {
	strata := spec.strata(s)
	at := iv.To.Sub(s.StartedAt).Seconds()
	n := w.rate * iv.Duration().Seconds()
	for range int(n + math.Sqrt(n)*w.r.NormFloat64()) {
		u := &w.users[w.r.IntN(shopUsers)]
		var treatment, control flag.Weight
		for _, stratum := range strata {
			if len(stratum.Segments) == 0 || u.group {
				treatment, control = max(treatment, stratum.Treatment), max(control, stratum.Control)
			}
		}
		treated := u.bucket < treatment
		arm := &iv.Control
		if treated {
			arm, treated = &iv.Treatment, !s.Steady
			arm.Injected += one(treated && spec.Goal == GoalSurvive)
		} else if u.bucket < flag.TotalWeight-control {
			continue
		}
		failed := w.r.Float64() < w.bad(treated, at)
		arm.Latency.Record(0.03 * w.slow(treated, at) * math.Exp(0.5*w.r.NormFloat64()))
		arm.Requests++
		arm.Bad += one(failed)
		arm.NewUnits += one(!u.seen)
		arm.AtRiskUnits += one(!u.spoilt && !u.now)
		arm.BadUnits += one(!u.spoilt && failed)
		u.seen, u.spoilt, u.now = true, u.spoilt || failed, true
	}
	for i := range w.users {
		w.users[i].now = false
	}
}

func one(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// arms gives the treatment and the control a constant of their own.
func arms(treatment, control float64) func(bool, float64) float64 {
	return func(treated bool, _ float64) float64 {
		if treated {
			return treatment
		}
		return control
	}
}

// incident hits both arms for four seconds.
func incident(from, usual, then float64) func(bool, float64) float64 {
	return func(_ bool, t float64) float64 {
		if t > from && t <= from+4 {
			return then
		}
		return usual
	}
}

func seconds(n float64) Duration { return Duration(n * float64(time.Second)) }

func demoRollout(steps ...Step) Spec {
	return rollout(func(s *Spec) {
		s.Interval, s.Watch, s.Deadline, s.Steps = seconds(1), seconds(3), seconds(90), steps
		s.Guardrails = []Guardrail{
			{Metric: MetricErrors, Mode: ModeEnforce, Relative: 0.5, Absolute: 0.03},
			{Metric: MetricLatency, Mode: ModeEnforce, Relative: 0.5, Absolute: 0.1},
		}
	})
}

func goodPlan() Spec {
	return demoRollout(
		Step{Segments: []string{"beta-testers", "internal-users"}, Share: half, MinTime: seconds(3), MinUnits: 5},
		Step{Share: 5_000, MinTime: seconds(3), MinUnits: 5},
		Step{Share: 25_000, MinTime: seconds(4), MinUnits: 20},
		Step{Share: 50_000, MinTime: seconds(5), MinUnits: 100, RequireSafe: true})
}

func badPlan() Spec {
	return demoRollout(Step{Share: 20_000, MinTime: seconds(15), MinUnits: 50}, Step{Share: 50_000, MinTime: seconds(5), RequireSafe: true})
}

func chaosPlan() Spec {
	return chaos(func(s *Spec) {
		s.Interval, s.Deadline, s.MaxUnits, s.SteadyTime = seconds(1), seconds(45), 800, seconds(5)
		s.Steps = []Step{{Share: 20_000, MinTime: seconds(6), MinUnits: 50}}
		s.Guardrails = []Guardrail{
			{Metric: MetricErrors, Mode: ModeEnforce, Absolute: 0.08},
			{Metric: MetricLatency, Mode: ModeShadow, Relative: 1, Absolute: 0.2},
		}
	})
}

// The demo must end as it should within the time an audience waits, whatever the seed.
func TestDemoPlansEndAsTheyShould(t *testing.T) {
	tests := []struct {
		name   string
		spec   Spec
		rate   float64
		bend   func(*shop)
		want   Result
		within float64 // seconds to the decision, in every seed
		median float64 // in half of them
	}{
		{"good", goodPlan(), 200, nil, ResultPromoted, 32, 25},
		{"good, incident at 25 %", goodPlan(), 200, func(w *shop) { w.bad, w.slow = incident(8, 0.005, 0.3), incident(8, 1, 5) }, ResultPromoted, 32, 25},
		{"good, incident at 50 %", goodPlan(), 200, func(w *shop) { w.bad, w.slow = incident(14, 0.005, 0.3), incident(14, 1, 5) }, ResultPromoted, 35, 27},
		{"bad", badPlan(), 200, func(w *shop) { w.bad, w.slow = arms(0.12, 0.005), arms(3, 1) }, ResultRolledBack, 12, 9},
		{"resilient", chaosPlan(), 100, func(w *shop) { w.bad, w.slow = arms(0.01, 0.005), arms(1.5, 1) }, ResultSurvived, 25, 10},
		{"fragile", chaosPlan(), 100, func(w *shop) { w.bad = arms(0.4, 0.005) }, ResultWeaknessFound, 12, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var took []float64
			for seed := range uint64(20) {
				w := newShop(seed, test.rate)
				if test.bend != nil {
					test.bend(w)
				}
				s := w.run(test.spec)
				end := s.EndedAt
				if !s.PromotedAt.IsZero() {
					end = s.PromotedAt
				}
				took = append(took, end.Sub(s.began()).Seconds()) // an experiment since its fault is on
				if s.Result != test.want || took[len(took)-1] > test.within {
					t.Errorf("seed %d: %q after %.0f s, want %q within %.0f s: %s", seed, s.Result, took[len(took)-1], test.want, test.within, s.Why)
				}
			}
			slices.Sort(took)
			if median := took[len(took)/2]; median > test.median {
				t.Errorf("half of the runs took over %.0f s, want %.0f", median, test.median)
			}
		})
	}
}
