package trial

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

func TestHealthyRolloutIsPromoted(t *testing.T) {
	spec := rollout()
	s, kinds := newWorld(1).run(spec, 2_000)
	if s.Result != ResultPromoted {
		t.Fatalf("phase %s, result %q: %s", s.Phase, s.Result, s.Why)
	}
	kinds = slices.DeleteFunc(kinds, func(k ActionKind) bool { return k == ActionHold || k == ActionResume })
	want := []ActionKind{ActionStep, ActionStep, ActionStep, ActionPromote, ActionEnd}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("actions %v, want %v", kinds, want)
	}
	if took := s.EndedAt.Sub(s.StartedAt); took < 75*time.Minute {
		t.Errorf("took %s: the minimum times of the steps and the watch are 75 min", took)
	}
}

func TestHarmIsRolledBackAndBlamed(t *testing.T) {
	tests := []struct {
		name   string
		bend   func(*world)
		blamed string
	}{
		{"errors tripled", func(w *world) {
			w.bad = func(treated bool, _ int) float64 { return map[bool]float64{true: 0.015, false: 0.005}[treated] }
		}, "errors"},
		{"latency doubled", func(w *world) {
			w.median = func(treated bool, _ int) float64 { return map[bool]float64{true: 0.1, false: 0.05}[treated] }
		}, "latency"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(2)
			test.bend(w)
			s, _ := w.run(rollout(), 2_000)
			if s.Result != ResultRolledBack || !slices.Contains(s.Blamed, test.blamed) {
				t.Fatalf("result %q, blamed %v: %s", s.Result, s.Blamed, s.Why)
			}
			if _, ok := rollout().Allocation(s); ok {
				t.Error("the treatment is still allocated after the roll-back")
			}
			if !strings.Contains(s.Why, "because of") || !strings.Contains(s.Why, "users") {
				t.Errorf("the sentence does not say why: %q", s.Why)
			}
		})
	}
}

// An incident in a dependency hits both arms: innocent treatments survive it.
func TestIncidentInBothArmsRollsNothingBack(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(seed)
		w.bad = func(_ bool, interval int) float64 {
			if interval >= 30 && interval < 40 {
				return 0.3
			}
			return 0.005
		}
		if s, _ := w.run(rollout(), 2_000); s.Result == ResultRolledBack {
			t.Errorf("seed %d: %s", seed, s.Why)
		}
	}
}

func TestCatastropheNeedsNoStatistics(t *testing.T) {
	spec := rollout()
	tests := []struct {
		name               string
		treatment, control outcome.Arm
		want               Result
	}{
		{"treatment down", outcome.Arm{Requests: 20, Bad: 15}, outcome.Arm{Requests: 20, Bad: 1}, ResultRolledBack},
		{"treatment down, control silent", outcome.Arm{Requests: 20, Bad: 15}, outcome.Arm{}, ResultRolledBack},
		{"both down", outcome.Arm{Requests: 20, Bad: 15}, outcome.Arm{Requests: 20, Bad: 14}, ""},
		{"too few", outcome.Arm{Requests: 19, Bad: 19}, outcome.Arm{Requests: 20, Bad: 1}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			iv := outcome.Interval{Seq: 1, From: day0, To: day0.Add(15 * time.Second), Treatment: test.treatment, Control: test.control}
			if s, _ := Next(spec, Start(spec, 1, day0), IntervalClosed{iv}); s.Result != test.want {
				t.Errorf("result %q, want %q: %s", s.Result, test.want, s.Why)
			}
		})
	}
}

func TestSilenceHoldsARolloutAndAbortsAnExperiment(t *testing.T) {
	for _, test := range []struct {
		spec   Spec
		phase  Phase
		result Result
	}{{rollout(), PhaseHolding, ""}, {chaos(), PhaseEnded, ResultAborted}} {
		w := newWorld(3)
		w.requests = 0
		if s, _ := w.run(test.spec, 200); s.Phase != test.phase || s.Result != test.result {
			t.Errorf("%s: phase %s, result %q, want %s %q: %s", test.spec.Name, s.Phase, s.Result, test.phase, test.result, s.Why)
		}
	}
}

func TestHeldRolloutGoesOnWhenDataReturns(t *testing.T) {
	spec, w := rollout(), newWorld(4)
	s := Start(spec, 1, day0)
	var kinds []ActionKind
	for i := range 12 {
		w.requests = 3_000
		if i >= 3 && i < 9 {
			w.requests = 0
		}
		var actions []Action
		s, actions = Next(spec, s, IntervalClosed{w.interval(spec, s, s.UpdatedAt.Add(time.Duration(spec.Interval)))})
		for _, a := range actions {
			kinds = append(kinds, a.Kind)
		}
	}
	if want := []ActionKind{ActionHold, ActionResume}; !reflect.DeepEqual(kinds, want) || s.Phase != PhaseRunning {
		t.Errorf("actions %v, phase %s, want %v and running", kinds, s.Phase, want)
	}
}

func TestChaosVerdicts(t *testing.T) {
	tests := []struct {
		name   string
		fault  float64 // failing share of the treatment's requests
		change func(*Spec)
		want   Result
	}{
		{"resilient", 0.006, nil, ResultSurvived},
		{"fragile", 0.2, nil, ResultWeaknessFound},
		{"too many users", 0.006, func(s *Spec) { s.MaxUnits = 150 }, ResultInconclusive},
		{"too short", 0.006, func(s *Spec) { s.Deadline = Duration(30 * time.Second) }, ResultInconclusive},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(5)
			w.bad = func(treated bool, _ int) float64 { return map[bool]float64{true: test.fault, false: 0.005}[treated] }
			spec := chaos()
			if test.change != nil {
				spec = chaos(test.change)
			}
			if s, _ := w.run(spec, 500); s.Result != test.want {
				t.Errorf("result %q, want %q: %s", s.Result, test.want, s.Why)
			}
		})
	}
}

func TestBiasedSampleHoldsAndNeverPromotes(t *testing.T) {
	spec, w := rollout(), newWorld(6)
	s := Start(spec, 1, day0)
	for range 400 {
		iv := w.interval(spec, s, s.UpdatedAt.Add(time.Duration(spec.Interval)))
		iv.Treatment.NewUnits = iv.Treatment.NewUnits * 6 / 10 // the treatment crashes before it reports
		s, _ = Next(spec, s, IntervalClosed{iv})
	}
	if s.Phase != PhaseHolding || !s.Sample.Invalid || s.Guardrails[0].Verdict != VerdictInvalid {
		t.Errorf("phase %s, invalid %v, verdict %s: %s", s.Phase, s.Sample.Invalid, s.Guardrails[0].Verdict, s.Why)
	}
}

func TestDeadlinePolicies(t *testing.T) {
	for policy, want := range map[DeadlinePolicy]Result{DeadlineHold: "", DeadlinePromote: ResultPromoted, DeadlineRollBack: ResultRolledBack} {
		spec := rollout(func(s *Spec) { s.Deadline, s.OnDeadline = Duration(2*time.Minute), policy })
		if s, _ := newWorld(7).run(spec, 200); s.Result != want {
			t.Errorf("%s: result %q, want %q: %s", policy, s.Result, want, s.Why)
		}
	}
}

func TestWatchTakesACatastropheBack(t *testing.T) {
	spec := rollout(func(s *Spec) { s.Steps = []Step{{Share: 50_000, MinTime: Duration(time.Minute)}} })
	s := Start(spec, 1, day0)
	s, actions := Next(spec, s, Command{Verb: VerbPromote, Actor: "ana", At: day0.Add(time.Minute)})
	if s.Phase != PhaseWatching || len(actions) != 1 || actions[0].Kind != ActionPromote {
		t.Fatalf("phase %s, actions %v", s.Phase, actions)
	}
	iv := outcome.Interval{Seq: 1, From: s.UpdatedAt, To: s.UpdatedAt.Add(time.Minute), Treatment: outcome.Arm{Requests: 100, Bad: 80}}
	s, actions = Next(spec, s, IntervalClosed{iv})
	if want := []Action{{ActionDemote}, {ActionEnd}}; s.Result != ResultRolledBack || !reflect.DeepEqual(actions, want) {
		t.Errorf("result %q, actions %v, want rolled_back and %v", s.Result, actions, want)
	}
}

func BenchmarkNext(b *testing.B) {
	spec, w := rollout(), newWorld(9)
	s := Start(spec, 1, day0)
	for range 20 {
		s, _ = Next(spec, s, IntervalClosed{w.interval(spec, s, s.UpdatedAt.Add(time.Second))})
	}
	iv := w.interval(spec, s, s.UpdatedAt.Add(time.Second))
	b.ReportAllocs()
	for b.Loop() {
		Next(spec, s, IntervalClosed{iv})
	}
}
