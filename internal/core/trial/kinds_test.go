package trial

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

func TestRetryHalvesTheLevel(t *testing.T) {
	ended := func(change ...func(*State)) State {
		s := State{Attempt: 3, Phase: PhaseEnded, Result: ResultRolledBack, EndedAt: day0, Retry: 1}
		for _, c := range change {
			c(&s)
		}
		return s
	}
	result := func(r Result) func(*State) { return func(s *State) { s.Result = r } }
	named := func(name string) Spec { return rollout(func(s *Spec) { s.Artifact = name }) }
	other := rollout(func(s *Spec) { s.Treatment, s.Control = "off", "on" })
	tests := []struct {
		name         string
		spec, before Spec
		last         State
		after        time.Duration
		retry        int
	}{
		{"first attempt", rollout(), Spec{}, State{}, 0, 0},
		{"after a roll-back", rollout(), rollout(), ended(), time.Hour, 2},
		{"after an abort", rollout(), rollout(), ended(result(ResultAborted)), time.Hour, 2},
		{"a day later", rollout(), rollout(), ended(), 24 * time.Hour, 2},
		{"more than a day later", rollout(), rollout(), ended(), 24*time.Hour + 1, 0},
		{"the clock went back", rollout(), rollout(), ended(), -time.Hour, 2},
		{"after success", rollout(), rollout(), ended(result(ResultPromoted)), time.Hour, 0},
		{"another treatment", other, rollout(), ended(), time.Hour, 0},
		{"another artifact", named("b"), named("a"), ended(), time.Hour, 0},
		{"the same artifact on another flag", named("a"), rollout(func(s *Spec) { s.Flag, s.Artifact = "x", "a" }), ended(), time.Hour, 2},
		{"another cohort", cohorts(), cohorts(func(s *Spec) { s.Cohorts = &Cohorts{Treatment: "v3", Control: "v1"} }), ended(), time.Hour, 0},
		{"the same cohort", cohorts(), cohorts(), ended(), time.Hour, 2},
		{"the hundredth", rollout(), rollout(), ended(func(s *State) { s.Retry = 99 }), time.Hour, 100},
	}
	for _, test := range tests {
		s := Restart(test.spec, test.before, test.last, day0.Add(test.after))
		if want := math.Ldexp(0.05, -min(test.retry, 30)); s.Retry != test.retry || s.PromoteAlpha != want || s.Attempt != test.last.Attempt+1 {
			t.Errorf("%s: attempt %d, retry %d at level %v, want %d at %v", test.name, s.Attempt, s.Retry, s.PromoteAlpha, test.retry, want)
		}
	}
	if s := Start(rollout(), 2, day0); s.Retry != 0 || s.PromoteAlpha != 0.05 || s.Rules != Rules {
		t.Errorf("Start gives retry %d, level %v, rules %d", s.Retry, s.PromoteAlpha, s.Rules)
	}
}

// A retry needs more evidence for the same call.
func TestRetryNeedsMoreEvidence(t *testing.T) {
	spec := ordered()
	took := func(retry int) (n int) {
		s := Restart(spec, spec, State{Phase: PhaseEnded, Result: ResultAborted, EndedAt: day0, Retry: retry - 1}, day0)
		for s.Guardrails[0].Verdict != VerdictSafe && n < 100 {
			s, _ = feed(spec, s, pair(armOf(40, 0), armOf(40, 0)))
			n++
		}
		return n
	}
	if first, fourth := took(0), took(4); fourth <= first {
		t.Errorf("safe after %d intervals, as a fourth retry after %d", first, fourth)
	}
}

func gated(s *Spec) { s.Steps[0].Approval, s.Steps[1].Approval = true, true }

func approve(spec Spec, s State) State {
	s, _ = Next(spec, s, Command{Verb: VerbApprove, Actor: "ana", At: s.UpdatedAt})
	return s
}

func TestApproval(t *testing.T) {
	spec := ordered(gated)
	s, _ := feed(spec, Start(spec, 1, day0), repeat(fine, 6)...)
	if s.Phase != PhaseHolding || s.Step != 0 || !strings.Contains(s.Why, "Waiting for approval to go up to 50 %") {
		t.Fatalf("%s at step %d: %s", s.Phase, s.Step, s.Why)
	}
	if s = approve(spec, s); !s.Approved || s.Why != "Approved by ana." || s.Step != 0 {
		t.Fatalf("%s at step %d: %s", s.Phase, s.Step, s.Why)
	}
	if err := VerbApprove.Allowed(spec, s); err == nil || !strings.Contains(err.Error(), "approved already") {
		t.Errorf("twice: %v", err)
	}
	if held, _ := feed(spec, s, silent); held.Step != 0 {
		t.Error("approval stood in for data")
	}
	s, _ = feed(spec, s, fine)
	if s.Step != 1 || s.Approved || s.Phase != PhaseRunning {
		t.Fatalf("%s at step %d, approved %v: %s", s.Phase, s.Step, s.Approved, s.Why)
	}
	s = approve(spec, s) // early
	if s, _ = feed(spec, s, repeat(fine, 5)...); s.Phase != PhaseWatching {
		t.Errorf("%s: %s", s.Phase, s.Why)
	}
	if err := VerbApprove.Allowed(ordered(), Start(ordered(), 1, day0)); err == nil || !strings.Contains(err.Error(), "needs no approval") {
		t.Errorf("without a gate: %v", err)
	}
}

// No policy of the deadline goes through a gate, at this step or a later one; a person does.
func TestDeadlineStopsAtTheGate(t *testing.T) {
	slow := func(s *Spec) { s.Steps[0].MinTime = Duration(time.Hour) }
	late := func(policy DeadlinePolicy) func(*Spec) {
		return func(s *Spec) { s.Deadline, s.OnDeadline = Duration(time.Minute), policy }
	}
	last := func(s *Spec) { s.Steps[1].Approval = true }
	tests := []struct {
		name   string
		spec   Spec
		phase  Phase
		result Result
		why    string
	}{
		{"promote waits", ordered(gated, late(DeadlinePromote)), PhaseHolding, "", "Waiting for approval"},
		{"promote waits for a later gate", ordered(slow, last, late(DeadlinePromote)), PhaseRunning, "", "Next look"},
		{"hold waits", ordered(gated, late(DeadlineHold)), PhaseHolding, "", "Waiting for approval"},
		{"rollback rolls back", ordered(gated, late(DeadlineRollBack)), PhaseEnded, ResultRolledBack, "deadline"},
	}
	for _, test := range tests {
		s, _ := feed(test.spec, Start(test.spec, 1, day0), repeat(fine, 9)...)
		if s.Phase != test.phase || s.Result != test.result || s.Step != 0 || !strings.Contains(s.Why, test.why) {
			t.Errorf("%s: %s %q at step %d: %s", test.name, s.Phase, s.Result, s.Step, s.Why)
		}
	}
	s, _ := Next(ordered(gated), Start(ordered(gated), 1, day0), Command{Verb: VerbAdvance, Actor: "ana", At: day0})
	if s.Step != 1 {
		t.Error("a person could not advance through the gate")
	}
}

func cohorts(change ...func(*Spec)) Spec {
	spec := Spec{Name: "shop-canary", Cohorts: &Cohorts{Service: "shop", Treatment: "v2", Control: "v1"},
		Guardrails: []Guardrail{{Metric: MetricErrors, Mode: ModeEnforce, Absolute: 0.05}}}
	for _, f := range change {
		f(&spec)
	}
	return Normalize(spec)
}

// byRequest is an interval as a receiver counts it that knows no units.
func byRequest(requests, bad uint64) outcome.Interval {
	return pair(outcome.Arm{Requests: requests, Bad: bad, NewUnits: requests}, outcome.Arm{NewUnits: requests, Requests: 9 * requests, Bad: requests / 50})
}

func TestCohorts(t *testing.T) {
	spec := cohorts()
	if err := spec.Validate(testSet()); err != nil {
		t.Fatal(err)
	}
	if len(spec.Steps) != 1 || spec.Steps[0].MinUnits != 0 || spec.Watch != NoWatch || spec.Guardrails[0].Unit != UnitRequest || spec.Cohorts.Attribute != "service.version" {
		t.Errorf("normalised to %+v", spec)
	}
	if again := Normalize(spec); !reflect.DeepEqual(again, spec) {
		t.Errorf("Normalize is not idempotent: %+v, then %+v", spec, again)
	}
	s := Start(spec, 1, day0)
	if _, ok := spec.Allocation(s); ok {
		t.Error("cohorts were allocated")
	}
	good, actions := feed(spec, s, repeat(byRequest(100, 2), 30)...)
	if good.Result != ResultPromoted || !strings.Contains(good.Why, "Who deploys v2 may go on") {
		t.Errorf("%s %q, %v: %s", good.Phase, good.Result, actions, good.Why)
	}
	if good.Sample.LogE != 0 {
		t.Error("the sample ratio of cohorts was tested: their shares are not ours")
	}
	if bad, _ := feed(spec, s, repeat(byRequest(100, 40), 5)...); bad.Result != ResultRolledBack {
		t.Errorf("%s: %s", bad.Phase, bad.Why)
	}
	quiet, _ := feed(spec, s, repeat(pair(outcome.Arm{}, outcome.Arm{Requests: 100}), 4)...)
	if quiet.Phase != PhaseHolding || !strings.Contains(quiet.Why, "attribute service.version") {
		t.Errorf("%s: %s", quiet.Phase, quiet.Why)
	}
	first, _ := feed(spec, s, byRequest(100, 2))
	if !strings.HasPrefix(first.Why, "Running: v2 against v1.") {
		t.Errorf("%q", first.Why)
	}
}

// The throughput of cohorts needs their share; a cohort that reports nothing may have lost its
// reporter, so that is no evidence.
func TestThroughputOfCohorts(t *testing.T) {
	flow := func(share int) Spec {
		return cohorts(func(s *Spec) {
			s.Cohorts.Share = 10_000
			if share == 0 {
				s.Cohorts.Share = 0
			}
			s.Guardrails = append(s.Guardrails, Guardrail{Metric: MetricThroughput, Mode: ModeEnforce, Relative: 0.2})
		})
	}
	if err := flow(0).Validate(testSet()); err == nil || !strings.Contains(err.Error(), "set cohorts.share") {
		t.Errorf("without a share: %v", err)
	}
	spec := flow(1)
	if err := spec.Validate(testSet()); err != nil {
		t.Fatal(err)
	}
	if s, _ := feed(spec, Start(spec, 1, day0), repeat(byRequest(1_000, 20), 30)...); s.Result != ResultPromoted {
		t.Errorf("as expected: %s: %s", s.Phase, s.Why)
	}
	half := pair(outcome.Arm{Requests: 500, Bad: 10}, outcome.Arm{Requests: 9_000, Bad: 180})
	if s, _ := feed(spec, Start(spec, 1, day0), repeat(half, 5)...); s.Result != ResultRolledBack {
		t.Errorf("half of it: %s: %s", s.Phase, s.Why)
	}
	if s, _ := feed(spec, Start(spec, 1, day0), repeat(pair(outcome.Arm{}, half.Control), 5)...); s.Phase != PhaseHolding {
		t.Errorf("nothing: %s: %s", s.Phase, s.Why)
	}
}

func sameArms(change ...func(*Spec)) Spec {
	return rollout(append([]func(*Spec){func(s *Spec) {
		s.Goal, s.Treatment, s.Control = GoalCalibrate, "off", "off"
		s.Deadline = Duration(10 * time.Minute)
	}}, change...)...)
}

func TestCalibrate(t *testing.T) {
	spec := sameArms()
	if err := spec.Validate(testSet()); err != nil {
		t.Fatal(err)
	}
	if d := Normalize(Spec{Name: "x", Goal: GoalCalibrate}); d.Deadline != DefaultCalibration || len(d.Steps) != 1 || d.Watch != 0 {
		t.Errorf("defaults %+v", d)
	}
	tests := []struct {
		name   string
		given  func(*State)
		events []outcome.Interval
		phase  Phase
		result Result
		why    string
	}{
		{"on the way", nil, repeat(fine, 39), PhaseRunning, "", "Both arms are the same"},
		{"quiet", nil, repeat(fine, 40), PhaseEnded, ResultQuiet, "no guardrail alarmed"},
		{"noisy", nil, append(repeat(harmed, 5), repeat(fine, 35)...), PhaseEnded, ResultNoisy, "errors alarmed"},
		{"a catastrophe is a finding too", nil, append(repeat(down, 3), repeat(fine, 37)...), PhaseEnded, ResultNoisy, "errors alarmed"},
		{"harm ends nothing", nil, repeat(harmed, 20), PhaseRunning, "", ""},
		{"a biased sample", nil, repeat(skewed, 40), PhaseEnded, ResultNoisy, "did not grow as assigned"},
		{"silence holds", nil, repeat(silent, 5), PhaseHolding, "", "No outcomes"},
		{"silence is not quiet", nil, repeat(silent, 40), PhaseEnded, ResultInconclusive, "counted nothing"},
		{"paused it ends all the same", paused, repeat(fine, 40), PhaseEnded, ResultQuiet, "no guardrail alarmed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := Start(spec, 1, day0)
			if test.given != nil {
				test.given(&s)
			}
			var promoted bool
			for _, iv := range test.events {
				var actions []Action
				s, actions = feed(spec, s, iv)
				for _, a := range actions {
					promoted = promoted || a.Kind == ActionPromote || a.Kind == ActionDemote || a.Kind == ActionStep
				}
			}
			if s.Phase != test.phase || s.Result != test.result || !strings.Contains(s.Why, test.why) || promoted {
				t.Errorf("%s %q, touched the flag %v, want %s %q: %s", s.Phase, s.Result, promoted, test.phase, test.result, s.Why)
			}
		})
	}
	if err := VerbPromote.Allowed(spec, Start(spec, 1, day0)); err == nil {
		t.Error("an A/A trial may be promoted")
	}
}

// The design effect is that of the clusters: requests that fail in bursts of d have a variance of
// about d times that of independent ones. Oracle: the construction.
func TestDispersionMeasuresTheDesignEffect(t *testing.T) {
	for _, burst := range []uint64{1, 4, 12} {
		r := rand.New(rand.NewPCG(burst, 3))
		d := &Dispersion{}
		for range 2_000 {
			var t, c Count
			t.Of, c.Of = 20_000, 20_000
			for range 200 {
				t.Bad += burst * one(r.Float64() < 0.1)
				c.Bad += burst * one(r.Float64() < 0.1)
			}
			d.addShares(t, c)
		}
		value, low, high, ok := d.DesignEffect()
		// 200 chances of 10 % are binomial, not Poisson: their variance is 0.9 of the mean.
		if want := 0.9 * float64(burst); !ok || low > want*1.02 || high < want*0.98 || high-low > want/4 {
			t.Errorf("bursts of %d: %.3g (%.3g to %.3g), want %.3g", burst, value, low, high, want)
		}
	}
	if _, _, _, ok := (&Dispersion{N: 9, SumZ2: 9}).DesignEffect(); ok {
		t.Error("nine blocks are told")
	}
	// Chi-square quantiles of 10 degrees of freedom from tables: 3.247 and 20.483.
	_, low, high, _ := (&Dispersion{N: 10, SumZ2: 10}).DesignEffect()
	if math.Abs(low-10/20.483) > 0.01 || math.Abs(high-10/3.247) > 0.05 {
		t.Errorf("interval of 10 blocks %v to %v", low, high)
	}
}
