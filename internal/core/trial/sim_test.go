package trial

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

var day0 = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// world is a population of sticky users that makes intervals as an SDK would report them.
type world struct {
	r        *rand.Rand
	users    int
	requests int // in each interval, of the whole population
	// bad and slow give the chance that a request fails, and its duration's median in seconds.
	bad    func(treated bool, interval int) float64
	median func(treated bool, interval int) float64

	seen, spoilt map[int]bool
}

func newWorld(seed uint64) *world {
	return &world{
		r: rand.New(rand.NewPCG(seed, 1)), users: 20_000, requests: 3_000,
		bad:    func(bool, int) float64 { return 0.005 },
		median: func(bool, int) float64 { return 0.05 },
		seen:   map[int]bool{}, spoilt: map[int]bool{},
	}
}

// interval draws one interval under the shares of the trial's state. A user's id is its bucket.
func (w *world) interval(spec Spec, s State, to time.Time) outcome.Interval {
	iv := outcome.Interval{Seq: s.Seq + 1, Step: s.Step, Steady: s.Steady, From: s.UpdatedAt, To: to}
	active := map[int]bool{}
	var t, c flag.Weight
	for _, stratum := range spec.strata(s) {
		if len(stratum.Segments) == 0 {
			t, c = stratum.Treatment, stratum.Control
		}
	}
	for range w.requests {
		user := w.r.IntN(w.users)
		bucket := flag.Weight(user) * (flag.TotalWeight / flag.Weight(w.users))
		arm, treated := &iv.Control, false
		switch {
		case bucket < t:
			arm, treated = &iv.Treatment, !s.Steady
			if treated && spec.Goal == GoalSurvive {
				arm.Injected++
			}
		case bucket < flag.TotalWeight-c:
			continue
		}
		w.request(arm, user, treated, iv.Seq, active)
	}
	return iv
}

func (w *world) request(arm *outcome.Arm, user int, treated bool, seq int, active map[int]bool) {
	arm.Requests++
	arm.Latency.Record(w.median(treated, seq) * (0.5 + w.r.ExpFloat64()))
	if !w.seen[user] {
		w.seen[user] = true
		arm.NewUnits++
	}
	atRisk := !w.spoilt[user]
	if atRisk && !active[user] {
		active[user] = true
		arm.AtRiskUnits++
	}
	if w.r.Float64() >= w.bad(treated, seq) {
		return
	}
	arm.Bad++
	if atRisk {
		w.spoilt[user] = true
		arm.BadUnits++
	}
}

// run drives a trial to its end, at most n intervals, and gives every action on the way.
func (w *world) run(spec Spec, n int) (State, []ActionKind) {
	s := Start(spec, 1, day0)
	var kinds []ActionKind
	for range n {
		iv := w.interval(spec, s, s.UpdatedAt.Add(time.Duration(spec.Interval)))
		var actions []Action
		s, actions = Next(spec, s, IntervalClosed{iv})
		for _, a := range actions {
			kinds = append(kinds, a.Kind)
		}
		if s.Ended() {
			break
		}
	}
	return s, kinds
}

func testSet() flag.Set {
	variants := []flag.Variant{{Name: "on", Value: []byte("true")}, {Name: "off", Value: []byte("false")}}
	return flag.Set{
		Flags: []flag.Flag{
			{Key: "checkout", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, Variants: variants, DefaultVariant: "off"},
			{Key: "dark", Kind: flag.KindRelease, Type: flag.TypeBoolean, Variants: variants, DefaultVariant: "off"},
			{Key: "chaos", Kind: flag.KindFault, Type: flag.TypeBoolean, Enabled: true, Variants: variants, DefaultVariant: "off"},
		},
		Segments: []flag.Segment{{Key: "beta", Members: []string{"u1"}}},
	}
}

func rollout(change ...func(*Spec)) Spec {
	spec := Spec{Name: "checkout-v2", Flag: "checkout", Treatment: "on", Control: "off"}
	for _, f := range change {
		f(&spec)
	}
	return Normalize(spec)
}

func chaos(change ...func(*Spec)) Spec {
	spec := Spec{
		Name: "payment-down", Goal: GoalSurvive, Flag: "chaos", Treatment: "on", Control: "off",
		Hypothesis: "orders go on", MaxUnits: 5_000, Deadline: Duration(30 * time.Minute),
		Steps:      []Step{{Share: 10_000, MinTime: Duration(time.Minute)}},
		Guardrails: []Guardrail{{Metric: MetricErrors, Mode: ModeEnforce, Absolute: 0.02}},
	}
	for _, f := range change {
		f(&spec)
	}
	return Normalize(spec)
}

func TestSpecsOfTheTestsAreValid(t *testing.T) {
	for _, spec := range []Spec{rollout(), chaos(), cohorts(), sameArms(), six(), rollout(func(s *Spec) { s.Steps = DefaultSteps("beta") })} {
		if err := spec.Validate(testSet()); err != nil {
			t.Error(err)
		}
	}
}
