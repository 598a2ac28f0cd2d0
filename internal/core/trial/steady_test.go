package trial

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"pgregory.net/rapid"
)

// same is an interval of the steady phase: both arms have the control, and nothing is injected.
var same = outcome.Interval{Treatment: armOf(1_000, 2), Control: armOf(1_000, 2)}

func with(iv outcome.Interval, change func(*outcome.Interval)) outcome.Interval {
	iv = iv.Clone()
	change(&iv)
	return iv
}

// steadyExperiment watches a service level, too. Its steady phase takes two intervals of 15 s, and
// may take four.
func steadyExperiment(change ...func(*Spec)) Spec {
	return experiment(append([]func(*Spec){func(s *Spec) {
		s.Guardrails[0].SLO = &SLO{Share: 0.01}
	}}, change...)...)
}

func TestS3FaultComesOnlyAfterASteadyState(t *testing.T) {
	broken := outcome.Interval{Treatment: armOf(1_000, 100), Control: armOf(1_000, 100)}
	failing := outcome.Interval{Treatment: armOf(1_000, 400), Control: armOf(1_000, 400)}
	differ := outcome.Interval{Treatment: armOf(1_000, 60), Control: armOf(1_000, 2)}
	biased := outcome.Interval{Treatment: armOf(1_000, 2), Control: armOf(200, 0)}
	hit := with(same, func(iv *outcome.Interval) { iv.Treatment.Injected = 1 })
	prom := func(s *Spec) {
		s.Guardrails = append(s.Guardrails, Guardrail{Name: "prom", Metric: MetricErrors, Mode: ModeHold, Absolute: 0.1, Prometheus: &promCounters})
	}
	noSLO := func(s *Spec) { s.Guardrails[0].SLO = nil }
	tests := []struct {
		name   string
		spec   Spec
		events []outcome.Interval
		phase  Phase // of a running trial: the fault is on
		why    string
	}{
		{"before the time", steadyExperiment(), repeat(same, 1), PhaseSteady, "in 15 s"},
		{"all is well", steadyExperiment(), repeat(same, 2), PhaseRunning, "The fault is on"},
		{"no data yet", steadyExperiment(), repeat(silent, 2), PhaseSteady, "Waiting for outcomes of errors"},
		{"data in time", steadyExperiment(), append(repeat(silent, 3), same), PhaseRunning, "The fault is on"},
		{"no data", steadyExperiment(), repeat(silent, 5), PhaseEnded, "No outcomes from either arm"},
		{"one arm only", steadyExperiment(), repeat(with(same, func(iv *outcome.Interval) { iv.Control = outcome.Arm{} }), 5), PhaseEnded, "No outcomes from the control"},
		{"no data lately", steadyExperiment(), []outcome.Interval{same, silent}, PhaseSteady, "Waiting for outcomes of errors"},
		{"a guardrail of Prometheus without data", steadyExperiment(prom), repeat(same, 5), PhaseSteady, "Waiting for outcomes of prom"},
		{"and for ever", steadyExperiment(prom), repeat(same, 14), PhaseEnded, "from Prometheus"},
		{"a service level is broken", steadyExperiment(), repeat(broken, 5), PhaseEnded, "service level of errors is broken"},
		{"half of everything fails", steadyExperiment(noSLO), repeat(failing, 5), PhaseEnded, "40 % of the requests fail without the fault"},
		{"the arms differ", steadyExperiment(noSLO), repeat(differ, 1), PhaseEnded, "differ although both have the control"},
		{"arms of wrong size", steadyExperiment(), repeat(biased, 1), PhaseEnded, "as assigned"},
		{"a fault that is not on", steadyExperiment(), repeat(hit, 1), PhaseEnded, "1 call was hit by its fault"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := Start(test.spec, 1, day0)
			for _, iv := range test.events {
				if s.Steady { // what evaluators see at any time before the fault
					if a, ok := test.spec.Allocation(s); ok && (a.Fault || a.Treatment != "off" || a.Control != "off") {
						t.Fatalf("before the fault there is %+v", a)
					}
				}
				s, _ = feed(test.spec, s, iv)
			}
			if s.Phase != test.phase || !strings.Contains(s.Why, test.why) {
				t.Errorf("%s: %s, want %s: %s", s.Phase, s.Why, test.phase, test.why)
			}
			if s.Ended() && (s.Result != ResultAborted || !s.InjectedAt.IsZero() || !strings.Contains(s.Why, "before the fault was ever on")) {
				t.Errorf("%s at %s: %s", s.Result, s.InjectedAt, s.Why)
			}
		})
	}
}

func TestS3EvidenceStartsAnewWithTheFault(t *testing.T) {
	spec := chaos(func(s *Spec) { s.Guardrails = DefaultGuardrails() })
	s, actions := feed(spec, Start(spec, 3, day0), repeat(same, 2)...)
	if want := []Action{{ActionInject}}; s.Steady || !reflect.DeepEqual(actions, want) {
		t.Fatalf("steady %v, actions %v, want %v", s.Steady, actions, want)
	}
	a, _ := spec.Allocation(s)
	if !a.Fault || a.Treatment != "on" || a.Control != "off" || a.Version != "payment-down.3.0" {
		t.Errorf("the fault is on with %+v", a)
	}
	if s.Treatment != (Totals{}) || s.Control != (Totals{}) || s.Elapsed != 0 || s.StepElapsed != 0 || !reflect.DeepEqual(s.Sample, SampleState{}) || s.StepUnits != 0 {
		t.Errorf("it begins with %+v and %+v after %s", s.Treatment, s.Control, s.Elapsed)
	}
	if b := s.Baseline; b == nil || b.Treatment.Requests != 2_000 || b.Control.Units != 500 || !b.From.Equal(day0) || !b.To.Equal(s.InjectedAt) {
		t.Errorf("baseline %+v", b)
	}
	errs, latency := &s.Guardrails[0], &s.Guardrails[1]
	if fresh := newGuardrail(&spec, &spec.Guardrails[0]); !reflect.DeepEqual(*errs, fresh) {
		t.Errorf("evidence of errors %+v", errs)
	}
	if latency.LogHarm != 0 || latency.StepTold != 0 || latency.Control.Of != 0 || latency.Bounds[0].Control.Of != 0 {
		t.Errorf("evidence of latency %+v", latency)
	}
	if len(latency.Bounds) != 1 || latency.Learnt != len(learnt) || latency.Learning != nil {
		t.Errorf("bounds %+v: what was learnt of the control is lost", latency.Bounds)
	}
}

// Intervals of the steady phase and of the fault are never taken for each other, and neither are
// their versions.
func TestS3VersionsTellTheFaultFromBefore(t *testing.T) {
	spec := steadyExperiment()
	before := Start(spec, 1, day0)
	after := faulty(spec)
	if v, w := before.Version(spec), after.Version(spec); v != "payment-down.1.steady.0" || w != "payment-down.1.0" {
		t.Errorf("versions %s and %s", v, w)
	}
	for _, s := range []State{before, after} {
		iv := with(down, func(iv *outcome.Interval) { iv.Seq, iv.Steady = s.Seq+1, !s.Steady })
		if next, actions := Next(spec, s, IntervalClosed{iv}); actions != nil || !reflect.DeepEqual(next, s) {
			t.Errorf("steady %v: the other's interval was weighed: %s", s.Steady, next.Why)
		}
	}
}

func TestS3NobodyHurriesTheFault(t *testing.T) {
	spec := steadyExperiment(func(s *Spec) {
		s.Steps = append(s.Steps, Step{Share: 20_000})
		s.Steps[0].Approval = true
	})
	s := Start(spec, 1, day0)
	for _, verb := range []Verb{VerbAdvance, VerbApprove, VerbPromote, VerbResume} {
		if err := verb.Allowed(spec, s); err == nil {
			t.Errorf("%s is allowed before the fault", verb)
		}
		if next, actions := Next(spec, s, Command{Verb: verb, At: day0}); actions != nil || !next.Steady || next.Step != 0 {
			t.Errorf("%s moved it to step %d", verb, next.Step)
		}
	}
	s, _ = Next(spec, s, Command{Verb: VerbPause, Actor: "ana", At: day0})
	if err := VerbAdvance.Allowed(spec, s); err == nil {
		t.Error("a paused one can be advanced")
	}
	if s, _ = feed(spec, s, repeat(same, 9)...); s.Phase != PhasePaused || !s.Steady {
		t.Fatalf("a pause did not hold it: %s, %s", s.Phase, s.Why)
	}
	s, _ = Next(spec, s, Command{Verb: VerbResume, Actor: "ana", At: s.UpdatedAt})
	if s.Phase != PhaseSteady || s.StepElapsed != 0 {
		t.Fatalf("resumed to %s after %s", s.Phase, s.StepElapsed)
	}
	if s, _ = feed(spec, s, same); s.Phase != PhaseSteady {
		t.Errorf("the steady time did not begin again: %s", s.Why)
	}
	if s, _ = feed(spec, s, same); s.Phase != PhaseRunning || s.Approved {
		t.Errorf("%s: %s", s.Phase, s.Why)
	}
}

func TestS3SteadyPhaseIsBounded(t *testing.T) {
	spec := steadyExperiment(func(s *Spec) { s.Deadline = Duration(5 * time.Minute) })
	s, _ := Next(spec, Start(spec, 1, day0), Command{Verb: VerbPause, Actor: "ana", At: day0})
	if s, _ = feed(spec, s, repeat(same, 20)...); s.Result != ResultAborted || s.EndedAt.Sub(day0) != 5*time.Minute {
		t.Errorf("%s %s: %s", s.Phase, s.Result, s.Why)
	}
	late := Start(spec, 1, day0) // nothing was weighed for a while, as the server was away
	iv := with(silent, func(iv *outcome.Interval) {
		iv.Seq, iv.Steady, iv.From, iv.To = 1, true, day0, day0.Add(10*time.Minute)
	})
	if late, _ = Next(spec, late, IntervalClosed{iv}); late.Result != ResultAborted {
		t.Errorf("%s %s: %s", late.Phase, late.Result, late.Why)
	}
	// The deadline is that of the fault: its time before does not count.
	s = Start(spec, 1, day0)
	s, _ = feed(spec, s, repeat(same, 2)...)
	slow := spec
	slow.Steps = []Step{{Share: 10_000, MinTime: Duration(time.Hour)}}
	if s, _ = feed(slow, s, repeat(fine, 30)...); s.Result != ResultInconclusive || s.EndedAt.Sub(s.InjectedAt) != 5*time.Minute {
		t.Errorf("%s after %s: %s", s.Result, s.EndedAt.Sub(s.InjectedAt), s.Why)
	}
}

func TestS4StoppedExperimentCannotGoOn(t *testing.T) {
	spec := steadyExperiment()
	for name, s := range map[string]State{"before the fault": Start(spec, 1, day0), "with the fault on": faulty(spec)} {
		s, _ = Next(spec, s, Command{Verb: VerbAbort, Actor: "ana", At: day0})
		if s.Result != ResultAborted {
			t.Fatalf("%s: %s", name, s.Result)
		}
		for _, verb := range Verbs {
			if err := verb.Allowed(spec, s); err == nil || !strings.Contains(err.Error(), "start it again") {
				t.Errorf("%s: %s: %v", name, verb, err)
			}
			if next, actions := Next(spec, s, Command{Verb: verb, At: day0}); actions != nil || !reflect.DeepEqual(next, s) {
				t.Errorf("%s: %s changed it", name, verb)
			}
		}
		if next, _ := feed(spec, s, repeat(fine, 3)...); !reflect.DeepEqual(next, s) {
			t.Errorf("%s: intervals changed it", name)
		}
		again := Restart(spec, spec, s, day0.Add(time.Minute))
		if again.Attempt != 2 || !again.Steady || again.Phase != PhaseSteady || !again.InjectedAt.IsZero() || again.Baseline != nil {
			t.Errorf("%s: the next attempt begins with %s", name, again.Phase)
		}
	}
}

// A guardrail that hears nothing aborts after three intervals or ten seconds, whichever is more, and
// not a moment sooner or later.
func TestS5SilenceAborts(t *testing.T) {
	for interval, want := range map[time.Duration]int{time.Second: 10, 3 * time.Second: 4, 5 * time.Second: 3, 15 * time.Second: 3, time.Minute: 3} {
		spec := experiment(func(s *Spec) {
			s.Interval, s.Steps[0].MinTime = Duration(interval), Duration(time.Hour)
			s.Guardrails = append(s.Guardrails, Guardrail{Metric: MetricEvent, Event: "paid", Mode: ModeHold, Absolute: 0.1})
		})
		paying := with(fine, func(iv *outcome.Interval) {
			iv.Treatment.Measures = []outcome.Measure{{Name: "paid", Of: 500, Bad: 5}}
			iv.Control.Measures = iv.Treatment.Measures
		})
		for name, quiet := range map[string]outcome.Interval{"everything": silent, "one guardrail": fine} {
			for _, hold := range []bool{false, true} {
				s, _ := feed(spec, faulty(spec), repeat(paying, 2)...)
				if hold {
					paused(&s)
				}
				n := 0
				for ; !s.Ended() && n < 20; n++ {
					s, _ = feed(spec, s, quiet)
				}
				if n != want || s.Result != ResultAborted {
					t.Errorf("interval %s, %s silent, paused %v: %q after %d intervals, want aborted after %d: %s", interval, name, hold, s.Result, n, want, s.Why)
				}
			}
		}
	}
}

func TestSurvivedNeedsInjections(t *testing.T) {
	hits := func(treatment, control uint64) outcome.Interval {
		return with(fine, func(iv *outcome.Interval) { iv.Treatment.Injected, iv.Control.Injected = treatment, control })
	}
	short := func(s *Spec) { s.Deadline = Duration(2 * time.Minute) }
	tests := []struct {
		name   string
		spec   Spec
		iv     outcome.Interval
		result Result
		why    string
	}{
		{"many", experiment(short), hits(500, 0), ResultSurvived, "it hit 1000 calls"},
		{"none", experiment(short), hits(0, 0), ResultInconclusive, "Nothing was injected in 8000 requests"},
		{"none until the cap", experiment(func(s *Spec) { s.MaxUnits = 700 }), hits(0, 0), ResultInconclusive, "Nothing was injected"},
		{"one", experiment(short), hits(1, 0), ResultInconclusive, "Only 8 calls were hit, at least 10"},
		{"as many as the tolerance forgives", experiment(short), hits(50, 0), ResultInconclusive, "even if each did harm, errors would be within its tolerance"},
		{"a few more", experiment(short), hits(51, 0), ResultSurvived, "Survived"},
		{"in the control too", experiment(short), hits(500, 1), ResultAborted, "1 call was hit in the control"},
		{"harm all the same", experiment(short), with(harmed, func(iv *outcome.Interval) { iv.Treatment.Injected = 0 }), ResultWeaknessFound, "because of errors"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := faulty(test.spec)
			for range 20 {
				s, _ = feed(test.spec, s, test.iv)
			}
			if s.Result != test.result || !strings.Contains(s.Why, test.why) {
				t.Errorf("%q: %s, want %q: %s", s.Result, s.Why, test.result, test.why)
			}
		})
	}
}

// While everything is safe and only hits are missing, the sentence says so.
func TestSentenceSaysThatNothingIsInjected(t *testing.T) {
	spec := experiment()
	s, _ := feed(spec, faulty(spec), repeat(with(fine, func(iv *outcome.Interval) { iv.Treatment.Injected = 0 }), 4)...)
	if s.Phase != PhaseRunning || s.Guardrails[0].Verdict != VerdictSafe || !strings.Contains(s.Why, "Nothing was injected") {
		t.Errorf("%s: %s", s.Phase, s.Why)
	}
}

func TestInjectionsAddUp(t *testing.T) {
	spec := experiment(func(s *Spec) { s.Steps[0].MinTime = Duration(time.Hour) })
	iv := with(fine, func(iv *outcome.Interval) {
		iv.Injections = []outcome.Injection{{Point: "payment", Kind: "error", Phase: "before", Calls: 400}, {Point: "payment", Kind: "latency", Phase: "before", Calls: 100}}
	})
	s, _ := feed(spec, faulty(spec), repeat(iv, 3)...)
	want := []outcome.Injection{{Point: "payment", Kind: "error", Phase: "before", Calls: 1_200}, {Point: "payment", Kind: "latency", Phase: "before", Calls: 300}}
	if !reflect.DeepEqual(s.Injections, want) || s.Treatment.Injected != 1_500 || s.Control.Injected != 0 {
		t.Errorf("%v, %d and %d", s.Injections, s.Treatment.Injected, s.Control.Injected)
	}
}

// Property: no fault is on before an experiment has seen every guardrail in both arms for its steady
// time, and whatever happens it ends in time.
func TestS3FaultIsNeverEarlyAndNeverForLong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := steadyExperiment(func(s *Spec) { s.Deadline = Duration(4 * time.Minute) })
		s, told := Start(spec, 1, day0), 0
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			event := drawEvent(t, s)
			if closed, ok := event.(IntervalClosed); ok && s.Steady {
				closed.Interval.Treatment.Injected, closed.Interval.Control.Injected = 0, 0
				if rapid.IntRange(0, 3).Draw(t, "steady") > 0 {
					closed.Interval.Treatment, closed.Interval.Control = same.Treatment, same.Control
				}
				if compared(&closed.Interval) {
					told++
				}
				event = closed
			}
			next, actions := Next(spec, s, event)
			a, running := spec.Allocation(next)
			if on := running && a.Fault; on && s.Steady && (told < 1 || next.InjectedAt.Sub(day0) < 30*time.Second || !reflect.DeepEqual(actions, []Action{{ActionInject}})) {
				t.Fatalf("the fault is on after %s, %d intervals with data, actions %v", next.InjectedAt.Sub(day0), told, actions)
			}
			if running && !a.Fault && a.Treatment != spec.Control {
				t.Fatalf("without the fault the treatment is %s", a.Treatment)
			}
			s = next
		}
		if !s.Ended() && s.UpdatedAt.Sub(s.began()) > 4*time.Minute+30*time.Second {
			t.Fatalf("%s since %s: %s", s.Phase, s.UpdatedAt.Sub(s.began()), s.Why)
		}
	})
}

// A state of rules 3, which knew no steady phase, goes on with its fault on and evidence anew.
func TestExperimentOfEarlierRulesGoesOn(t *testing.T) {
	spec := experiment()
	spec.SteadyTime = 0
	s, _ := feed(spec, faulty(experiment()), fine)
	s.Rules, s.InjectedAt, s.Baseline, s.Treatment.Injected = 3, time.Time{}, nil, 0
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var stored State
	if err := json.Unmarshal(raw, &stored); err != nil {
		t.Fatal(err)
	}
	if a, _ := spec.Allocation(stored); !a.Fault || a.Treatment != "on" {
		t.Errorf("its allocation is %+v", a)
	}
	next, _ := feed(spec, stored, fine)
	if next.Ended() || next.Rules != Rules || next.Guardrails[0].StepTold != 1 {
		t.Errorf("%s %s, rules %d, told %d", next.Phase, next.Why, next.Rules, next.Guardrails[0].StepTold)
	}
	if next, _ = feed(spec, next, repeat(fine, 3)...); next.Result != ResultSurvived {
		t.Errorf("%q: %s", next.Result, next.Why)
	}
}

func TestSteadyTimeDefaultsAndBounds(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{time.Second: 30 * time.Second, 15 * time.Second: 30 * time.Second, time.Minute: 2 * time.Minute} {
		spec := chaos(func(s *Spec) { s.Interval = Duration(interval) })
		if spec.SteadyTime != Duration(want) {
			t.Errorf("interval %s: %s, want %s", interval, spec.SteadyTime, want)
		}
	}
	if spec := rollout(); spec.SteadyTime != 0 {
		t.Errorf("a rollout has %s", spec.SteadyTime)
	}
	for name, spec := range map[string]Spec{
		"one interval":      chaos(func(s *Spec) { s.SteadyTime = Duration(15 * time.Second) }),
		"over an hour":      chaos(func(s *Spec) { s.SteadyTime = Duration(61 * time.Minute) }),
		"none":              chaos(func(s *Spec) { s.SteadyTime = -1 }),
		"without a fault":   rollout(func(s *Spec) { s.SteadyTime = Duration(time.Minute) }),
		"a long interval":   chaos(func(s *Spec) { s.Interval = Duration(time.Hour) }),
		"in an A/A trial":   sameArms(func(s *Spec) { s.SteadyTime = Duration(time.Minute) }),
		"below two of 15 s": chaos(func(s *Spec) { s.SteadyTime = Duration(29 * time.Second) }),
	} {
		err, ok := spec.Validate(testSet()).(*flag.Problems)
		if !ok || !strings.Contains(err.Error(), "steadyTime") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An experiment that needs four eyes waits for the second pair, for an hour at most; approval alone
// puts no fault on.
func TestS12TheFaultWaitsForApproval(t *testing.T) {
	spec := steadyExperiment(func(s *Spec) { s.FourEyes = true })
	broken := outcome.Interval{Treatment: armOf(1_000, 100), Control: armOf(1_000, 100)}
	approve := func(s State) State {
		t.Helper()
		if err := VerbApprove.Allowed(spec, s); err != nil {
			t.Fatal(err)
		}
		s, actions := Next(spec, s, Command{Verb: VerbApprove, Actor: "ben", At: s.UpdatedAt})
		if want := []Action{{ActionApprove}}; !s.Steady || !reflect.DeepEqual(actions, want) || !strings.Contains(s.Why, "Approved by ben") {
			t.Fatalf("approved: steady %v, %v, %s", s.Steady, actions, s.Why)
		}
		if err := VerbApprove.Allowed(spec, s); err == nil || !strings.Contains(err.Error(), "approved already") {
			t.Errorf("a second approval: %v", err)
		}
		return s
	}
	wants := func(what string, s State, phase Phase, why string) {
		t.Helper()
		if s.Phase != phase || !strings.Contains(s.Why, why) {
			t.Fatalf("%s: %s, want %s: %s", what, s.Phase, phase, s.Why)
		}
	}
	wants("at the start", Start(spec, 1, day0), PhaseSteady, "Somebody else than who started it has to approve it by "+day0.Add(time.Hour).Format("15:04 UTC"))
	waiting, _ := feed(spec, Start(spec, 1, day0), repeat(same, 100)...) // 25 minutes
	wants("nobody approved", waiting, PhaseSteady, "only the approval is missing")
	if err := VerbAdvance.Allowed(spec, waiting); err == nil {
		t.Error("advance goes round the approval")
	}
	s, _ := feed(spec, approve(waiting), same)
	wants("approved when all was well", s, PhaseRunning, "The fault is on")

	s, _ = feed(spec, approve(Start(spec, 1, day0)), same)
	wants("approved at once", s, PhaseSteady, "in 15 s")
	s, _ = feed(spec, s, same)
	wants("approved at once, and all is well", s, PhaseRunning, "The fault is on")

	s, _ = feed(spec, waiting, broken)
	wants("trouble meanwhile", s, PhaseSteady, "service level of errors")
	s, _ = feed(spec, approve(s), broken, broken)
	wants("approved in trouble", s, PhaseEnded, "service level of errors")

	s, _ = feed(spec, waiting, repeat(same, 139)...)
	wants("a second before the hour is over", s, PhaseSteady, "only the approval is missing")
	s, _ = feed(spec, s, same)
	wants("nobody ever approved", s, PhaseEnded, "Nobody else approved it within 1h")
	if s.Result != ResultAborted || !s.InjectedAt.IsZero() {
		t.Errorf("%s, on at %v", s.Result, s.InjectedAt)
	}
	for _, goal := range []Goal{GoalPromote, GoalCalibrate} {
		if err := Normalize(Spec{Name: "x", Flag: "f", Goal: goal, FourEyes: true}).Validate(flag.Set{}); err == nil || !strings.Contains(err.Error(), "only a chaos experiment") {
			t.Errorf("%s: %v", goal, err)
		}
	}
}
