package trial

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"pgregory.net/rapid"
)

// Property: whatever happens, shares only grow, an ended trial stays ended, a paused one never
// moves on by itself, an aborted one allocates nothing, nothing moves on without data, and Next
// changes none of its inputs.
func TestNextKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		s := Start(spec, 1, day0)
		if rapid.Bool().Draw(t, "fault on") {
			s = faulty(spec)
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			before, _ := json.Marshal(s)
			event := drawEvent(t, s)
			next, actions := Next(spec, s, event)
			if after, _ := json.Marshal(s); string(after) != string(before) {
				t.Fatalf("Next changed its input")
			}
			checkTransition(t, s, next, event, actions, spec)
			checkWords(t, next)
			s = next
		}
	})
}

func drawSpec(t *rapid.T) Spec {
	if rapid.Bool().Draw(t, "chaos") {
		return experiment(func(s *Spec) { s.MaxUnits = rapid.Uint64Range(1, 20_000).Draw(t, "cap") })
	}
	return rollout(func(s *Spec) {
		s.Steps = DefaultSteps("beta")
		if rapid.Bool().Draw(t, "every kind") {
			s.Guardrails = append(six().Guardrails, Guardrail{Name: "prom", Metric: MetricErrors, Mode: ModeHold, Absolute: 0.1, Prometheus: &promCounters})
			s.OnWatch = WatchRollBack
			s.Steps[1].Approval = true
		}
		for i := range s.Steps {
			s.Steps[i].MinTime = Duration(15 * time.Second)
		}
		s.Deadline = Duration(rapid.Int64Range(int64(time.Minute), int64(time.Hour)).Draw(t, "deadline"))
		s.OnDeadline = rapid.SampledFrom([]DeadlinePolicy{DeadlineHold, DeadlinePromote, DeadlineRollBack}).Draw(t, "policy")
	})
}

func drawEvent(t *rapid.T, s State) Event {
	at := s.UpdatedAt.Add(15 * time.Second)
	if verb := rapid.SampledFrom([]Verb{"", "", "", "", "", "", VerbPause, VerbResume, VerbAdvance, VerbPromote, VerbAbort, VerbApprove, "dance"}).Draw(t, "verb"); verb != "" {
		return Command{Verb: verb, Actor: "ana", At: at}
	}
	iv := outcome.Interval{Seq: s.Seq + 1, Step: s.Step, Steady: s.Steady, From: s.UpdatedAt, To: at, Treatment: drawArm(t, "t"), Control: drawArm(t, "c")}
	if rapid.Bool().Draw(t, "measures") {
		iv.Treatment.Measures, iv.Control.Measures = drawMeasures(t, "t"), drawMeasures(t, "c")
		iv.Pull = &outcome.Pull{From: s.UpdatedAt, To: at, Treatment: drawMeasures(t, "pt"), Control: drawMeasures(t, "pc")}
	}
	return IntervalClosed{iv}
}

// drawMeasures gives what the guardrails of six ask for, sorted by name.
func drawMeasures(t *rapid.T, arm string) (list []outcome.Measure) {
	for _, name := range []string{"basket", "prom", "purchase"} {
		n := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(1, 5_000)).Draw(t, arm+name)
		mean := rapid.Float64Range(-1e6, 1e6).Draw(t, arm+" mean")
		m := outcome.Measure{Name: name, Of: n, Bad: rapid.Uint64Range(0, n).Draw(t, arm+" bad")}
		m.Sum, m.SumSquares = float64(n)*mean, float64(n)*mean*mean*rapid.Float64Range(1, 2).Draw(t, arm+" spread")
		list = append(list, m)
	}
	return list
}

// drawArm gives an arm with few or many outcomes, or none, or counts that cannot be.
func drawArm(t *rapid.T, name string) outcome.Arm {
	n := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 2_000), rapid.Just(uint64(1)<<53)).Draw(t, name)
	bad := rapid.Uint64Range(0, n).Draw(t, name+" bad")
	a := outcome.Arm{Requests: n, Bad: bad / 8, NewUnits: n / 3, AtRiskUnits: n / 2, BadUnits: bad / 16}
	if name == "t" {
		a.Injected = rapid.SampledFrom([]uint64{0, 0, 3, n / 2}).Draw(t, "injected")
	} else {
		a.Injected = rapid.SampledFrom([]uint64{0, 0, 0, 0, 0, 0, 0, 0, 0, 1}).Draw(t, "control injected")
	}
	if n > 0 {
		a.Latency = outcome.Histogram{Offset: rapid.Int32Range(-300, 0).Draw(t, name+" offset"), Counts: []uint64{n - bad, bad}, Sum: float64(n)}
	}
	if rapid.IntRange(0, 9).Draw(t, name+" lies") == 0 {
		a.Bad = n + 1
	}
	return a
}

func checkTransition(t *rapid.T, s, next State, event Event, actions []Action, spec Spec) {
	if next.Step < s.Step {
		t.Fatalf("step went back from %d to %d", s.Step, next.Step)
	}
	if s.Ended() && (!reflect.DeepEqual(s, next) || actions != nil) {
		t.Fatalf("an ended trial moved on")
	}
	if closed, ok := event.(IntervalClosed); ok {
		checkAutomatic(t, s, next, closed.Interval)
	}
	if c, ok := event.(Command); ok && c.Verb == VerbAbort && !next.Ended() {
		t.Fatalf("abort did not end the trial")
	}
	if _, allocated := spec.Allocation(next); allocated == next.Ended() {
		t.Fatalf("ended %v, allocated %v", next.Ended(), allocated)
	}
	if moved := next.Step != s.Step || next.Phase != s.Phase; moved && len(actions) == 0 {
		t.Fatalf("moved from %s/%d to %s/%d without an action: it would be lost", s.Phase, s.Step, next.Phase, next.Step)
	}
}

// checkAutomatic holds what no interval may do.
func checkAutomatic(t *rapid.T, s, next State, iv outcome.Interval) {
	if s.Phase == PhasePaused && !next.Ended() && (next.Step != s.Step || next.Phase != PhasePaused) {
		t.Fatalf("a paused trial moved from step %d to %d, phase %s", s.Step, next.Step, next.Phase)
	}
	forward := next.Step > s.Step || next.Phase == PhaseWatching && s.Phase != PhaseWatching || next.Result == ResultSurvived && !s.Ended()
	if forward && (!compared(&iv) || s.Sample.Invalid) {
		t.Fatalf("moved on to %s/%d on evidence that says nothing: %+v", next.Phase, next.Step, iv)
	}
}

// checkWords holds that no number in the state or its sentence is broken.
func checkWords(t *rapid.T, s State) {
	for _, broken := range []string{"NaN", "Inf", "%!", "  "} {
		if strings.Contains(s.Why, broken) {
			t.Fatalf("the sentence has %q: %s", broken, s.Why)
		}
	}
	for _, g := range s.Guardrails {
		for _, v := range []float64{g.LogHarm, g.LogNoWorse, g.LogAnyHarm, g.Ratio.Value, g.Ratio.Low, g.Ratio.High} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("guardrail %s holds %v", g.Name, v)
			}
		}
	}
}

// Property: a state that is stored and read back at every event decides with the same bits as
// one that is not, so a decision log can be replayed.
func TestReplayGivesTheSameBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		direct, stored := Start(spec, 1, day0), Start(spec, 1, day0)
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			event := drawEvent(t, direct)
			var direcActions, storedActions []Action
			direct, direcActions = Next(spec, direct, event)
			stored, storedActions = Next(spec, reread(t, stored), event)
			a, err := json.Marshal(direct)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := json.Marshal(stored)
			if string(a) != string(b) || !reflect.DeepEqual(direcActions, storedActions) {
				t.Fatalf("states differ\n%s\n%s", a, b)
			}
		}
	})
}

func reread(t *rapid.T, s State) (again State) {
	raw, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(raw, &again)
	}
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// Property: intervals that say nothing never move a trial on, whatever its policy.
func TestBlindnessNeverMovesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		s := Start(spec, 1, day0)
		for range rapid.IntRange(1, 80).Draw(t, "intervals") {
			iv := pair(drawArm(t, "t"), drawArm(t, "c"))
			switch rapid.SampledFrom([]string{"no treatment", "no control", "neither", "contradiction"}).Draw(t, "lack") {
			case "no treatment":
				iv.Treatment = outcome.Arm{}
			case "no control":
				iv.Control = outcome.Arm{}
			case "neither":
				iv = silent
			default:
				iv.Control.Bad = iv.Control.Requests + 1
			}
			s, _ = feed(spec, s, iv)
		}
		if s.Step > 0 || s.Phase == PhaseWatching || s.Result == ResultPromoted || s.Result == ResultSurvived {
			t.Fatalf("%s %q at step %d: %s", s.Phase, s.Result, s.Step, s.Why)
		}
	})
}
