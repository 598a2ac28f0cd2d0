package trial

import (
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

var (
	both   = pair(armOf(1_000, 80), armOf(1_000, 80))  // an incident: both break 2 %
	theirs = pair(armOf(1_000, 100), armOf(1_000, 60)) // both break it, the treatment more
)

func withSLO(mode Mode) func(*Spec) {
	return func(s *Spec) {
		s.Guardrails = []Guardrail{
			{Metric: MetricErrors, Mode: mode, Relative: 5, Absolute: 0.2, SLO: &SLO{Share: 0.02}},
			{Name: "other", Metric: MetricErrors, Unit: UnitRequest, Mode: ModeEnforce, Relative: 5, Absolute: 0.2},
		}
	}
}

func TestServiceLevel(t *testing.T) {
	tests := []struct {
		name   string
		spec   Spec
		given  func(*State)
		events []outcome.Interval
		phase  Phase
		result Result
		why    string
	}{
		{"both arms: hold", ordered(withSLO(ModeEnforce)), nil, repeat(both, 9), PhaseHolding, "", "Both arms are affected"},
		{"the treatment: roll back", ordered(withSLO(ModeEnforce)), nil, repeat(theirs, 9), PhaseEnded, ResultRolledBack, "The treatment is worse"},
		{"it beats a pause", ordered(withSLO(ModeEnforce)), paused, repeat(theirs, 9), PhaseEnded, ResultRolledBack, "service level of errors"},
		{"hold mode only holds", ordered(withSLO(ModeHold)), nil, repeat(theirs, 9), PhaseHolding, "", "service level of errors"},
		{"shadow does nothing", ordered(withSLO(ModeShadow)), nil, repeat(both, 30), PhaseWatching, "", "Promoted"},
		{"a biased sample comes first", ordered(withSLO(ModeEnforce)), func(s *State) { s.Sample.Invalid = true }, repeat(theirs, 9), PhaseHolding, "", "as assigned"},
		{"it heals", ordered(withSLO(ModeEnforce)), nil, append(repeat(both, 9), repeat(fine, 40)...), PhaseWatching, "", "Promoted"},
		{"an experiment is aborted", experiment(withSLO(ModeHold)), nil, repeat(both, 9), PhaseEnded, ResultAborted, "Both arms are affected"},
		{"an experiment finds a weakness", experiment(withSLO(ModeEnforce)), nil, repeat(theirs, 9), PhaseEnded, ResultWeaknessFound, "Weakness found"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.spec.Validate(testSet()); err != nil {
				t.Fatal(err)
			}
			s := faulty(test.spec)
			if test.given != nil {
				test.given(&s)
			}
			if s, _ = feed(test.spec, s, test.events...); s.Phase != test.phase || s.Result != test.result || !strings.Contains(s.Why, test.why) {
				t.Errorf("%s %q, want %s %q: %s", s.Phase, s.Result, test.phase, test.result, s.Why)
			}
		})
	}
}

// The bound of a latency's service level is one of the guardrail's, on the bucket edge below it,
// and the sentence says which one was used.
func TestServiceLevelOfLatency(t *testing.T) {
	for _, bounds := range [][]float64{nil, {0.02}} {
		spec := ordered(func(s *Spec) {
			s.Guardrails = append(s.Guardrails, Guardrail{Metric: MetricLatency, Mode: ModeHold, Relative: 1, Absolute: 0.4,
				Bounds: bounds, SLO: &SLO{Share: 0.01, Seconds: 0.1}})
		})
		if err := spec.Validate(testSet()); err != nil {
			t.Fatal(err)
		}
		slow := pair(armOf(1_000, 2), armOf(1_000, 2))
		for _, a := range []*outcome.Arm{&slow.Treatment, &slow.Control} {
			for range 100 {
				a.Latency.Record(0.3)
			}
		}
		s, _ := feed(spec, Start(spec, 1, day0), repeat(slow, 6)...)
		edge := outcome.Edge(0.1)
		last := s.Guardrails[1].Bounds[len(s.Guardrails[1].Bounds)-1]
		if bounds != nil && last.Seconds != edge || !hasBound(s.Guardrails[1], edge) || edge > 0.1 {
			t.Errorf("bounds end at %v, want one at %v", last.Seconds, edge)
		}
		if s.Phase != PhaseHolding || !strings.Contains(s.Why, duration(edge)) || !strings.Contains(s.Why, "over 100ms (rounded to the stricter bucket)") {
			t.Errorf("%s: %s", s.Phase, s.Why)
		}
	}
}

func hasBound(g GuardrailState, seconds float64) bool {
	for _, b := range g.Bounds {
		if b.Seconds == seconds {
			return true
		}
	}
	return false
}

// promoted runs a plan to its promotion.
func promoted(t *testing.T, spec Spec) State {
	t.Helper()
	s := Start(spec, 1, day0)
	for s.Phase != PhaseWatching {
		if s, _ = feed(spec, s, fine); s.Seq > 100 {
			t.Fatalf("%s: %s", s.Phase, s.Why)
		}
	}
	return s
}

func TestWatchComparesWithTheControlsPast(t *testing.T) {
	all := func(bad uint64) outcome.Interval { return pair(armOf(2_000, bad), outcome.Arm{}) }
	strict := func(s *Spec) {
		s.Guardrails[0].Relative, s.Guardrails[0].Absolute = 0.5, 0.01
		s.Watch = Duration(10 * time.Minute)
	}
	back := func(s *Spec) { s.OnWatch = WatchRollBack }
	mild := func(s *Spec) {
		s.Guardrails[0].Mode = ModeHold
		s.Guardrails = append(s.Guardrails, Guardrail{Name: "other", Metric: MetricErrors, Unit: UnitRequest, Mode: ModeEnforce, Absolute: 0.5})
	}
	level := func(s *Spec) {
		s.Guardrails[0].Relative, s.Guardrails[0].Absolute, s.Guardrails[0].SLO = 9, 0.4, &SLO{Share: 0.02}
	}
	tests := []struct {
		name   string
		spec   Spec
		events []outcome.Interval
		phase  Phase
		result Result
		alarms int
		why    string
	}{
		{"as before", ordered(strict), repeat(all(4), 10), PhaseWatching, "", 0, "Promoted"},
		{"within the tolerance", ordered(strict), repeat(all(20), 10), PhaseWatching, "", 0, "Promoted"},
		{"worse alarms once", ordered(strict), repeat(all(200), 10), PhaseWatching, "", 1, "compared with what the control did before"},
		{"worse is taken back", ordered(strict, back), repeat(all(200), 10), PhaseEnded, ResultRolledBack, 0, "Promotion taken back"},
		{"a guardrail that may not roll back alarms", ordered(strict, back, mild), repeat(all(200), 10), PhaseWatching, "", 1, "compared with"},
		{"it heals", ordered(strict), append(repeat(all(200), 5), repeat(all(4), 20)...), PhaseWatching, "", 1, "back within its limit"},
		{"the end says it", ordered(strict), repeat(all(200), 40), PhaseEnded, ResultPromoted, 1, "ends with an alarm"},
		{"the service level counts too", ordered(level), repeat(all(200), 3), PhaseWatching, "", 1, "No control is left"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := promoted(t, test.spec)
			alarms := 0
			for _, iv := range test.events {
				var actions []Action
				s, actions = feed(test.spec, s, iv)
				for _, a := range actions {
					alarms += int(one(a.Kind == ActionAlarm))
				}
			}
			if s.Phase != test.phase || s.Result != test.result || alarms != test.alarms || !strings.Contains(s.Why, test.why) {
				t.Errorf("%s %q, %d alarms, want %s %q, %d: %s", s.Phase, s.Result, alarms, test.phase, test.result, test.alarms, s.Why)
			}
		})
	}
}

// Where more is better the watch holds the missing events against the control's.
func TestWatchOfAnEventOfWhichMoreIsBetter(t *testing.T) {
	spec := judged(Guardrail{Name: "g", Metric: MetricEvent, Event: "x", Better: BetterHigher, Mode: ModeEnforce, Relative: 0.2, Absolute: 0.02},
		func(s *Spec) { s.OnWatch = WatchRollBack; s.Watch = Duration(time.Hour) })
	s := feedPulls(spec, Start(spec, 1, day0), repeat(tracked(500, 250, 250), 40)...)
	if s.Phase != PhaseWatching {
		t.Fatalf("%s: %s", s.Phase, s.Why)
	}
	good := s
	for range 10 {
		good, _ = feed(spec, good, tracked(500, 250, 0))
	}
	if good.Phase != PhaseWatching || good.Guardrails[1].Alarm {
		t.Errorf("as before: %s: %s", good.Phase, good.Why)
	}
	if s, _ = feed(spec, s, repeat(tracked(500, 100, 0), 6)...); s.Result != ResultRolledBack || s.Blamed[0] != "g" {
		t.Errorf("a third as many: %s: %s", s.Phase, s.Why)
	}
}

func TestNoWatch(t *testing.T) {
	spec := ordered(func(s *Spec) { s.Watch = NoWatch })
	if err := spec.Validate(testSet()); err != nil || spec.Watch != NoWatch {
		t.Fatalf("watch %s: %v", spec.Watch, err)
	}
	if s, actions := feed(spec, Start(spec, 1, day0), repeat(fine, 4)...); s.Result != ResultPromoted || len(actions) != 2 {
		t.Errorf("%s, %v: %s", s.Phase, actions, s.Why)
	}
	if again := Normalize(spec); again.Watch != NoWatch {
		t.Errorf("watch became %s", again.Watch)
	}
}
