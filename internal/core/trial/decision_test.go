package trial

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// armOf makes one arm of an interval in which every request comes from a unit of its own.
func armOf(requests, bad uint64) outcome.Arm {
	a := outcome.Arm{Requests: requests, Bad: bad, NewUnits: requests / 4, AtRiskUnits: requests, BadUnits: bad}
	for range requests {
		a.Latency.Record(0.05)
	}
	return a
}

func pair(treatment, control outcome.Arm) outcome.Interval {
	treatment.Injected = treatment.Requests / 2 // looked at by experiments only
	return outcome.Interval{Treatment: treatment, Control: control}
}

var (
	fine    = pair(armOf(1_000, 2), armOf(1_000, 2))
	harmed  = pair(armOf(1_000, 400), armOf(1_000, 2))
	worse   = pair(armOf(1_000, 30), armOf(1_000, 6)) // worse, but within the tolerance below
	down    = pair(armOf(1_000, 900), armOf(1_000, 2))
	silent  = outcome.Interval{}
	oneArm  = pair(armOf(1_000, 2), outcome.Arm{})
	liar    = pair(outcome.Arm{Requests: 100, Bad: 400, AtRiskUnits: 90, BadUnits: 300}, armOf(1_000, 2))
	skewed  = pair(armOf(1_000, 2), armOf(200, 0)) // far from 1:1
	tooMany = pair(armOf(3_000, 6), armOf(3_000, 6))
)

// faulty gives the first state of an attempt; of an experiment the one in which its fault is on.
func faulty(spec Spec) State {
	s := Start(spec, 1, day0)
	if s.Steady {
		s, _ = s.inject(&spec)
	}
	return s
}

// feed brings intervals one after the other and gives the last actions.
func feed(spec Spec, s State, list ...outcome.Interval) (State, []Action) {
	var actions []Action
	for _, iv := range list {
		iv.Seq, iv.Step, iv.Steady = s.Seq+1, s.Step, s.Steady
		iv.From, iv.To = s.UpdatedAt, s.UpdatedAt.Add(time.Duration(spec.Interval))
		s, actions = Next(spec, s, IntervalClosed{iv})
	}
	return s, actions
}

func repeat(iv outcome.Interval, n int) (list []outcome.Interval) {
	for range n {
		list = append(list, iv)
	}
	return list
}

// ordered is a plan whose steps are done after two intervals of 15 s.
func ordered(change ...func(*Spec)) Spec {
	return rollout(append([]func(*Spec){func(s *Spec) {
		s.Steps = []Step{
			{Share: 5_000, MinTime: Duration(30 * time.Second), MinUnits: 100},
			{Share: 50_000, MinTime: Duration(30 * time.Second), MinUnits: 100},
		}
		s.Guardrails = []Guardrail{{Metric: MetricErrors, Mode: ModeEnforce, Relative: 5, Absolute: 0.05}}
	}}, change...)...)
}

func experiment(change ...func(*Spec)) Spec {
	return chaos(append([]func(*Spec){func(s *Spec) {
		s.Steps = []Step{{Share: 10_000, MinTime: Duration(30 * time.Second), MinUnits: 100}}
		s.Guardrails = []Guardrail{{Metric: MetricErrors, Mode: ModeEnforce, Relative: 5, Absolute: 0.05}}
		s.MaxUnits = 5_000
	}}, change...)...)
}

func paused(s *State) { s.Phase = PhasePaused }

// The decisions in their order: where two could be taken, the table says which one wins.
func TestOrderOfDecisions(t *testing.T) {
	late := func(policy DeadlinePolicy) func(*Spec) {
		return func(s *Spec) { s.Deadline, s.OnDeadline = Duration(30*time.Second), policy }
	}
	slow := func(s *Spec) { s.Steps[0].MinTime = Duration(time.Hour) }
	tests := []struct {
		name   string
		spec   Spec
		given  func(*State) // changes the first state
		events []outcome.Interval
		phase  Phase
		result Result
		step   int
		why    string
	}{
		{"first look", ordered(), nil, repeat(fine, 1), PhaseRunning, "", 0, "Running at 5 %"},
		{"step done", ordered(), nil, repeat(fine, 2), PhaseRunning, "", 1, "Up to 50 %"},
		{"all safe", ordered(), nil, repeat(fine, 5), PhaseWatching, "", 1, "Promoted"},
		{"catastrophe", ordered(), nil, repeat(down, 1), PhaseEnded, ResultRolledBack, 0, "Stopped at once"},
		{"catastrophe beats a pause", ordered(), paused, repeat(down, 1), PhaseEnded, ResultRolledBack, 0, "Stopped at once"},
		{"harm", ordered(), nil, repeat(harmed, 3), PhaseEnded, ResultRolledBack, 0, "because of errors"},
		{"harm beats a pause", ordered(), paused, repeat(harmed, 3), PhaseEnded, ResultRolledBack, 0, "because of errors"},
		{"harm beats a biased sample", ordered(), func(s *State) { s.Sample.Invalid = true }, repeat(harmed, 3), PhaseEnded, ResultRolledBack, 0, "because of errors"},
		{"pause beats a done step", ordered(), paused, repeat(fine, 9), PhasePaused, "", 0, ""},
		{"pause beats silence", ordered(), paused, repeat(silent, 9), PhasePaused, "", 0, ""},
		{"biased sample beats a done step", ordered(), nil, repeat(skewed, 9), PhaseHolding, "", 0, "do not grow as assigned"},
		{"alarm beats a done step", ordered(), nil, []outcome.Interval{fine, worse}, PhaseHolding, "", 0, "may still be within tolerance"},
		{"alarm ends with proof", ordered(), nil, append(repeat(worse, 2), repeat(fine, 30)...), PhaseWatching, "", 1, "Promoted"},
		{"done step waits for data", ordered(), nil, []outcome.Interval{fine, silent}, PhaseRunning, "", 0, ""},
		{"done step waits for the other arm", ordered(), nil, []outcome.Interval{fine, oneArm}, PhaseRunning, "", 0, ""},
		{"done step waits for counts that can be", ordered(), nil, []outcome.Interval{fine, liar}, PhaseRunning, "", 0, ""},
		{"silence holds", ordered(), nil, append(repeat(fine, 1), repeat(silent, 3)...), PhaseHolding, "", 0, "No outcomes from either arm"},
		{"one arm missing holds", ordered(), nil, repeat(oneArm, 3), PhaseHolding, "", 0, "No outcomes from the control"},
		{"contradiction holds and stops nothing", ordered(), nil, repeat(liar, 9), PhaseHolding, "", 0, "contradict"},
		{"data resume", ordered(), nil, append(repeat(silent, 3), fine), PhaseRunning, "", 1, "Up to 50 %"},
		{"done step beats the deadline", ordered(late(DeadlineRollBack)), nil, repeat(fine, 2), PhaseRunning, "", 1, "Up to 50 %"},
		{"deadline holds", ordered(slow, late(DeadlineHold)), nil, repeat(fine, 2), PhaseHolding, "", 0, "deadline"},
		{"deadline promotes", ordered(slow, late(DeadlinePromote)), nil, repeat(fine, 2), PhaseWatching, "", 0, "deadline"},
		{"deadline rolls back", ordered(slow, late(DeadlineRollBack)), nil, repeat(fine, 2), PhaseEnded, ResultRolledBack, 0, "deadline"},
		{"deadline never promotes under an alarm", ordered(slow, late(DeadlinePromote)), nil, []outcome.Interval{fine, worse}, PhaseHolding, "", 0, "may still be within"},
		{"nor without data", ordered(late(DeadlinePromote)), nil, repeat(silent, 9), PhaseHolding, "", 0, "No outcomes"},
		{"deadline rolls back without data", ordered(late(DeadlineRollBack)), nil, repeat(silent, 9), PhaseEnded, ResultRolledBack, 0, "deadline"},

		{"experiment survives", experiment(), nil, repeat(fine, 3), PhaseEnded, ResultSurvived, 0, "Survived"},
		{"experiment finds a weakness", experiment(), nil, repeat(harmed, 3), PhaseEnded, ResultWeaknessFound, 0, "Weakness found"},
		{"experiment finds a catastrophe", experiment(), nil, repeat(down, 1), PhaseEnded, ResultWeaknessFound, 0, "Stopped at once"},
		{"cap beats survival", experiment(func(s *Spec) { s.MaxUnits = 1_500 }), nil, repeat(tooMany, 2), PhaseEnded, ResultInconclusive, 0, "maxUnits"},
		{"just under the cap", experiment(func(s *Spec) { s.MaxUnits = 1_501 }), nil, repeat(tooMany, 2), PhaseEnded, ResultSurvived, 0, "Survived"},
		{"cap stops", experiment(func(s *Spec) { s.MaxUnits = 700 }), nil, repeat(tooMany, 9), PhaseEnded, ResultInconclusive, 0, "maxUnits"},
		{"cap beats a pause", experiment(func(s *Spec) { s.MaxUnits = 700 }), paused, repeat(tooMany, 1), PhaseEnded, ResultInconclusive, 0, "maxUnits"},
		{"experiment in silence is aborted", experiment(), nil, repeat(silent, 3), PhaseEnded, ResultAborted, 0, "No outcomes"},
		{"a paused one too", experiment(), paused, repeat(silent, 3), PhaseEnded, ResultAborted, 0, "No outcomes"},
		{"experiment with a biased sample is aborted", experiment(), nil, repeat(skewed, 9), PhaseEnded, ResultAborted, 0, "as assigned"},
		{"experiment ends at its deadline", experiment(slow, func(s *Spec) { s.Deadline = Duration(time.Minute) }), nil, repeat(fine, 4), PhaseEnded, ResultInconclusive, 0, "deadline"},
		{"a paused one too", experiment(func(s *Spec) { s.Deadline = Duration(time.Minute) }), paused, repeat(fine, 4), PhaseEnded, ResultInconclusive, 0, "deadline"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := faulty(test.spec)
			if test.given != nil {
				test.given(&s)
			}
			s, _ = feed(test.spec, s, test.events...)
			if s.Phase != test.phase || s.Result != test.result || s.Step != test.step || !strings.Contains(s.Why, test.why) {
				t.Errorf("%s %q at step %d, want %s %q at step %d: %s", s.Phase, s.Result, s.Step, test.phase, test.result, test.step, s.Why)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	running := Start(ordered(), 1, day0)
	with := func(change func(*State)) State { s := running.clone(); change(&s); return s }
	watching := with(func(s *State) { s.Phase = PhaseWatching })
	last := with(func(s *State) { s.Step = 1 })
	tests := []struct {
		name    string
		spec    Spec
		state   State
		verb    Verb
		phase   Phase
		actions []Action
		refused string // part of the error of Allowed
	}{
		{"pause", ordered(), running, VerbPause, PhasePaused, []Action{{ActionHold}}, ""},
		{"resume", ordered(), with(paused), VerbResume, PhaseRunning, []Action{{ActionResume}}, ""},
		{"advance", ordered(), running, VerbAdvance, PhaseRunning, []Action{{ActionStep}}, ""},
		{"advance a paused one", ordered(), with(paused), VerbAdvance, PhaseRunning, []Action{{ActionStep}}, ""},
		{"promote", ordered(), running, VerbPromote, PhaseWatching, []Action{{ActionPromote}}, ""},
		{"abort", ordered(), running, VerbAbort, PhaseEnded, []Action{{ActionEnd}}, ""},
		{"abort a promoted one", ordered(), watching, VerbAbort, PhaseEnded, []Action{{ActionDemote}, {ActionEnd}}, ""},
		{"abort an experiment", experiment(), faulty(experiment()), VerbAbort, PhaseEnded, []Action{{ActionEnd}}, ""},
		{"resume a running one", ordered(), running, VerbResume, PhaseRunning, nil, "not paused"},
		{"pause a promoted one", ordered(), watching, VerbPause, PhaseWatching, nil, "abort takes the promotion back"},
		{"advance beyond the end", ordered(), last, VerbAdvance, PhaseRunning, nil, "promote gives everybody"},
		{"advance an experiment", experiment(), faulty(experiment()), VerbAdvance, PhaseRunning, nil, "abort stops it"},
		{"promote a fault", experiment(), faulty(experiment()), VerbPromote, PhaseRunning, nil, "never promoted"},
		{"unknown", ordered(), running, "dance", PhaseRunning, nil, "use pause, resume"},
		{"ended", ordered(), with(func(s *State) { s.Phase = PhaseEnded }), VerbPause, PhaseEnded, nil, "is over"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.verb.Allowed(test.spec, test.state)
			if (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Errorf("Allowed: %v, want %q", err, test.refused)
			}
			at := day0.Add(time.Minute)
			next, actions := Next(test.spec, test.state, Command{Verb: test.verb, Actor: "ana", Reason: "because", At: at})
			if next.Phase != test.phase || !reflect.DeepEqual(actions, test.actions) {
				t.Errorf("phase %s, actions %v, want %s, %v", next.Phase, actions, test.phase, test.actions)
			}
			if test.refused == "" && (!next.UpdatedAt.Equal(at) || !strings.Contains(next.Why, "by ana: because")) {
				t.Errorf("at %s: %q", next.UpdatedAt, next.Why)
			}
			if test.refused != "" && !reflect.DeepEqual(next, test.state) {
				t.Error("a refused command changed the state")
			}
		})
	}
}

func TestForeignIntervalsChangeNothing(t *testing.T) {
	spec := ordered()
	s, _ := feed(spec, Start(spec, 1, day0), fine, fine) // at step 1
	for name, change := range map[string]func(*outcome.Interval){
		"weighed before": func(iv *outcome.Interval) { iv.Seq = s.Seq },
		"of another step": func(iv *outcome.Interval) {
			iv.Seq, iv.Step = s.Seq+1, 0
		},
	} {
		iv := down
		iv.Step = s.Step
		change(&iv)
		if next, actions := Next(spec, s, IntervalClosed{iv}); actions != nil || !reflect.DeepEqual(next, s) {
			t.Errorf("an interval %s was weighed: %s", name, next.Why)
		}
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	spec := ordered()
	s, _ := Next(spec, Start(spec, 1, day0), Command{Verb: VerbPause, At: day0.Add(time.Hour)})
	iv := fine
	iv.Seq, iv.To = 1, day0.Add(15*time.Second)
	if s, _ = Next(spec, s, IntervalClosed{iv}); !s.UpdatedAt.Equal(day0.Add(time.Hour)) {
		t.Errorf("updated at %s", s.UpdatedAt)
	}
}

func TestWatchEnds(t *testing.T) {
	spec := ordered(func(s *Spec) { s.Watch = Duration(time.Minute) })
	promoted, _ := Next(spec, Start(spec, 1, day0), Command{Verb: VerbPromote, Actor: "ana", At: day0})
	all := pair(armOf(1_000, 300), outcome.Arm{}) // an incident: with no control it is no proof
	tests := []struct {
		name   string
		events []outcome.Interval
		why    string
		result Result
	}{
		{"watched", repeat(all, 4), "watched for 1m", ResultPromoted},
		{"not over yet", repeat(all, 3), "Promoted by ana", ""},
		{"nothing seen", repeat(silent, 4), "not watched", ResultPromoted},
		{"catastrophe", []outcome.Interval{all, pair(armOf(100, 90), outcome.Arm{})}, "Stopped at once", ResultRolledBack},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if s, _ := feed(spec, promoted, test.events...); s.Result != test.result || !strings.Contains(s.Why, test.why) {
				t.Errorf("result %q: %s", s.Result, s.Why)
			}
		})
	}
}
