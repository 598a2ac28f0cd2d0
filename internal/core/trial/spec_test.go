package trial

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"pgregory.net/rapid"
)

var valueGuard = Guardrail{Name: "v", Metric: MetricValue, Event: "x", Unit: UnitRequest, Better: BetterLower, Mode: ModeEnforce, Relative: 0.1}

func TestValidateNamesEveryProblem(t *testing.T) {
	guard := func(change func(*Guardrail)) func(*Spec) {
		return func(s *Spec) { change(&s.Guardrails[0]) }
	}
	step := func(change func(*Step)) func(*Spec) {
		return func(s *Spec) { change(&s.Steps[0]) }
	}
	tests := []struct {
		name    string
		spec    Spec
		change  func(*Spec) // after normalising
		pointer string
		detail  string
	}{
		{"name", rollout(), func(s *Spec) { s.Name = "a b" }, "/name", "only A-Z"},
		{"salt", rollout(), func(s *Spec) { s.Salt = ":" }, "/salt", "only A-Z"},
		{"goal", rollout(), func(s *Spec) { s.Goal = "win" }, "/goal", "use promote or survive"},
		{"description", rollout(), func(s *Spec) { s.Description = strings.Repeat("x", 2_001) }, "/description", "2,000 bytes"},
		{"no flag", rollout(), func(s *Spec) { s.Flag = "nope" }, "/flag", "create it first"},
		{"disabled flag", rollout(), func(s *Spec) { s.Flag = "dark" }, "/flag", "enable it"},
		{"fault to promote", rollout(), func(s *Spec) { s.Flag = "chaos" }, "/flag", "kind fault"},
		{"release to survive", chaos(), func(s *Spec) { s.Flag = "checkout" }, "/flag", "kind release"},
		{"same variants", rollout(), func(s *Spec) { s.Control = "on" }, "/treatment", "name two variants"},
		{"no treatment", rollout(), func(s *Spec) { s.Treatment = "up" }, "/treatment", "it has on, off"},
		{"no control", rollout(), func(s *Spec) { s.Control = "down" }, "/control", "it has on, off"},
		{"audience", rollout(), func(s *Spec) { s.Audience = &flag.Condition{Segment: "nope"} }, "/audience/segment", "create it first"},
		{"no steps", rollout(), func(s *Spec) { s.Steps = nil }, "/steps", "1 to 50 steps"},
		{"too many steps", rollout(), func(s *Spec) { s.Steps = make([]Step, 51) }, "/steps", "this one 51"},
		{"share 0", rollout(), step(func(s *Step) { s.Share = 0 }), "/steps/0/share", "over 0"},
		{"share over 100 %", rollout(), step(func(s *Step) { s.Share = 120_000 }), "/steps/0/share", "share 120 %"},
		{"share 100 %", rollout(), func(s *Spec) { s.Steps[3].Share = flag.TotalWeight }, "/steps/3/share", "no control is left"},
		{"shrinking", rollout(), func(s *Spec) { s.Steps[2].Share = 1_000 }, "/steps/2/share", "does not grow from 5 %"},
		{"minimum time", rollout(), step(func(s *Step) { s.MinTime = -1 }), "/steps/0/minTime", "0 to 90 days"},
		{"only groups", rollout(), func(s *Spec) { s.Steps = DefaultSteps("beta")[:1] }, "/steps", "no step is for everybody"},
		{"groups late", rollout(), func(s *Spec) { s.Steps[3].Segments = []string{"beta"} }, "/steps/3/segments", "groups go first"},
		{"group share", rollout(), func(s *Spec) { s.Steps = DefaultSteps("beta"); s.Steps[0].Share = 60_000 }, "/steps/0/share", "at most 50 %"},
		{"no group", rollout(), func(s *Spec) { s.Steps = DefaultSteps("nope") }, "/steps/0/segments", "create it first"},
		{"alpha", rollout(), func(s *Spec) { s.Alpha = 0 }, "/alpha", "over 0"},
		{"alpha not a number", rollout(), func(s *Spec) { s.HoldAlpha = math.NaN() }, "/holdAlpha", "over 0"},
		{"promote alpha", rollout(), func(s *Spec) { s.PromoteAlpha = 0.6 }, "/promoteAlpha", "at most 0.5"},
		{"interval", rollout(), func(s *Spec) { s.Interval = Duration(time.Millisecond) }, "/interval", "1s to 1h"},
		{"watch", rollout(), func(s *Spec) { s.Watch = -2 }, "/watch", "0 to 90 days"},
		{"deadline", rollout(), func(s *Spec) { s.Deadline = 0 }, "/deadline", "over 0"},
		{"policy", rollout(), func(s *Spec) { s.OnDeadline = "panic" }, "/onDeadline", "use hold, promote or rollback"},
		{"no guardrails", rollout(), func(s *Spec) { s.Guardrails = nil }, "/guardrails", "1 to 20 guardrails"},
		{"none enforced", rollout(), func(s *Spec) { s.Guardrails[0].Mode, s.Guardrails[1].Mode = ModeShadow, ModeHold }, "/guardrails", "nothing could stop"},
		{"twice", rollout(), func(s *Spec) { s.Guardrails[1].Name = "errors" }, "/guardrails/1/name", "there twice"},
		{"metric", rollout(), guard(func(g *Guardrail) { g.Metric = "joy" }), "/guardrails/0/metric", "use errors, latency"},
		{"mode", rollout(), guard(func(g *Guardrail) { g.Mode = "shout" }), "/guardrails/0/mode", "use shadow, hold or enforce"},
		{"unit", rollout(), func(s *Spec) { s.Guardrails[1].Unit = UnitKey }, "/guardrails/1/unit", "latency and value by request"},
		{"tolerance", rollout(), guard(func(g *Guardrail) { g.Relative = math.Inf(1) }), "/guardrails/0", "0 to 10"},
		{"no tolerance", rollout(), guard(func(g *Guardrail) { g.Relative, g.Absolute = 0, 0 }), "/guardrails/0", "nothing can be proven safe"},
		{"bounds of errors", rollout(), guard(func(g *Guardrail) { g.Bounds = []float64{1} }), "/guardrails/0/bounds", "bounds are for latency"},
		{"bound", rollout(), func(s *Spec) { s.Guardrails[1].Bounds = []float64{math.NaN()} }, "/guardrails/1/bounds", "3600 seconds"},
		{"on watch", rollout(), func(s *Spec) { s.OnWatch = "cry" }, "/onWatch", "use notify or rollback"},
		{"artifact", rollout(), func(s *Spec) { s.Artifact = strings.Repeat("x", 257) }, "/artifact", "at most 256"},
		{"no name", rollout(), guard(func(g *Guardrail) { g.Name = "" }), "/guardrails/0/name", "give 1 to 256"},
		{"weight", rollout(), guard(func(g *Guardrail) { g.Weight = -1 }), "/guardrails/0/weight", "at most 1000"},
		{"weight not a number", rollout(), guard(func(g *Guardrail) { g.Weight = math.NaN() }), "/guardrails/0/weight", "at most 1000"},
		{"design effect", rollout(), guard(func(g *Guardrail) { g.DesignEffect = 0.5 }), "/guardrails/0/designEffect", "within 1 to 1000"},
		{"design effect of units", rollout(), guard(func(g *Guardrail) { g.DesignEffect = 2 }), "/guardrails/0/designEffect", "count by request"},
		{"event of errors", rollout(), guard(func(g *Guardrail) { g.Event = "x" }), "/guardrails/0/event", "leave it out"},
		{"better of errors", rollout(), guard(func(g *Guardrail) { g.Better = BetterLower }), "/guardrails/0/better", "leave it out"},
		{"event without one", rollout(), guard(func(g *Guardrail) { g.Metric = MetricEvent }), "/guardrails/0/event", "set event"},
		{"value without better", rollout(), guard(func(g *Guardrail) { *g = valueGuard; g.Better = "" }), "/guardrails/0/better", "whether lower or higher"},
		{"value by unit", rollout(), guard(func(g *Guardrail) { *g = valueGuard; g.Unit = UnitKey }), "/guardrails/0/unit", "value by request"},
		{"one event, two counts", rollout(), func(s *Spec) {
			s.Guardrails[0] = valueGuard
			s.Guardrails[1] = Guardrail{Name: "b", Metric: MetricEvent, Event: "x", Unit: UnitKey, Better: BetterLower, Mode: ModeHold, Absolute: 0.1}
		}, "/guardrails/1/event", "under two names"},
		{"too much tolerance of fewer", rollout(), guard(func(g *Guardrail) {
			*g = Guardrail{Name: "a", Metric: MetricEvent, Event: "x", Unit: UnitKey, Better: BetterHigher, Mode: ModeEnforce, Relative: 1}
		}), "/guardrails/0", "relative is 0 to 0.9"},
		{"absolute throughput", rollout(), guard(func(g *Guardrail) { g.Metric, g.Absolute = MetricThroughput, 0.1 }), "/guardrails/0", "absolute 0 to 0"},
		{"service level of throughput", rollout(), guard(func(g *Guardrail) { g.Metric, g.Absolute, g.SLO = MetricThroughput, 0, &SLO{Share: 0.1} }), "/guardrails/0/slo", "largest bad share"},
		{"service level", rollout(), guard(func(g *Guardrail) { g.SLO = &SLO{Share: 1} }), "/guardrails/0/slo/share", "under 1"},
		{"seconds of errors", rollout(), guard(func(g *Guardrail) { g.SLO = &SLO{Share: 0.1, Seconds: 1} }), "/guardrails/0/slo/seconds", "leave it out"},
		{"latency without seconds", rollout(), func(s *Spec) { s.Guardrails[1].SLO = &SLO{Share: 0.1} }, "/guardrails/1/slo/seconds", "from how many seconds"},
		{"Prometheus of events", rollout(), guard(func(g *Guardrail) {
			*g = Guardrail{Name: "a", Metric: MetricEvent, Event: "x", Unit: UnitRequest, Better: BetterLower, Mode: ModeEnforce, Absolute: 0.1, Prometheus: &promCounters}
		}), "/guardrails/0/prometheus", "count events as errors"},
		{"Prometheus by unit", rollout(), guard(func(g *Guardrail) { g.Prometheus = &promCounters }), "/guardrails/0/unit", "know no units"},
		{"no total", rollout(), guard(func(g *Guardrail) { g.Unit, g.Prometheus = UnitRequest, &PromSource{Treatment: PromCounters{Bad: "b"}} }), "/guardrails/0/prometheus/treatment/total", "name the counter"},
		{"good and bad", rollout(), guard(func(g *Guardrail) {
			g.Unit, g.Prometheus = UnitRequest, &PromSource{Treatment: PromCounters{Total: "a", Bad: "b", Good: "c"}}
		}), "/guardrails/0/prometheus/treatment", "and not both"},
		{"neither", rollout(), guard(func(g *Guardrail) {
			g.Unit, g.Prometheus = UnitRequest, &PromSource{Treatment: PromCounters{Total: "a"}}
		}), "/guardrails/0/prometheus/treatment", "and not both"},
		{"bad of throughput", rollout(), guard(func(g *Guardrail) {
			*g = Guardrail{Name: "a", Metric: MetricThroughput, Unit: UnitRequest, Mode: ModeEnforce, Relative: 0.1, Prometheus: &promCounters}
		}), "/guardrails/0/prometheus/control", "total only"},
		{"long selector", rollout(), guard(func(g *Guardrail) {
			g.Unit, g.Prometheus = UnitRequest, &PromSource{Treatment: PromCounters{Total: strings.Repeat("x", 2_001), Bad: "b"}}
		}), "/guardrails/0/prometheus/treatment/total", "at most 2000"},
		{"bounds from Prometheus", rollout(), func(s *Spec) { s.Guardrails[1].Prometheus, s.Guardrails[1].Bounds = &promCounters, []float64{1} }, "/guardrails/1/bounds", "leave out bounds"},
		{"A/A of two", sameArms(), func(s *Spec) { s.Treatment = "on" }, "/treatment", "the same variant"},
		{"A/A of another variant", sameArms(), func(s *Spec) { s.Treatment, s.Control = "on", "on" }, "/control", "changes nothing for anybody"},
		{"A/A with steps", sameArms(), func(s *Spec) { s.Steps = DefaultSteps() }, "/steps", "give one step"},
		{"A/A with a gate", sameArms(), step(func(s *Step) { s.Approval = true }), "/steps/0/approval", "leave out approval"},
		{"A/A for too long", sameArms(), func(s *Spec) { s.Deadline = Duration(8 * 24 * time.Hour) }, "/deadline", "at most 7 days"},
		{"A/A with a watch", sameArms(), func(s *Spec) { s.Watch = Duration(time.Hour) }, "/watch", "leave out watch"},
		{"cohorts and a flag", cohorts(), func(s *Spec) { s.Flag = "checkout" }, "/flag", "leave out cohorts"},
		{"one cohort", cohorts(), func(s *Spec) { s.Cohorts.Control = "v2" }, "/cohorts/treatment", "two values"},
		{"no cohort", cohorts(), func(s *Spec) { s.Cohorts.Control = "" }, "/cohorts/control", "give 1 to 256"},
		{"source of cohorts", cohorts(), func(s *Spec) { s.Cohorts.From = "logs" }, "/cohorts/from", "metrics or spans"},
		{"share of cohorts", cohorts(), func(s *Spec) { s.Cohorts.Share = flag.TotalWeight }, "/cohorts/share", "under 100 %"},
		{"chaos of cohorts", cohorts(), func(s *Spec) { s.Goal = GoalSurvive }, "/goal", "needs a flag"},
		{"steps of cohorts", cohorts(), func(s *Spec) { s.Steps = DefaultSteps() }, "/steps", "not ours to move"},
		{"watch of cohorts", cohorts(), func(s *Spec) { s.Watch = Duration(time.Hour) }, "/watch", "leave out watch"},
		{"units of cohorts", cohorts(), guard(func(g *Guardrail) { g.Unit = UnitKey }), "/guardrails/0/unit", "not known"},
		{"events of cohorts", cohorts(), guard(func(g *Guardrail) { *g = valueGuard }), "/guardrails/0/event", "count them with Prometheus"},
		{"gate at the end of an experiment", chaos(), step(func(s *Step) { s.Approval = true }), "/steps/0/approval", "nothing to wait for"},
		{"hypothesis", chaos(), func(s *Spec) { s.Hypothesis = "" }, "/hypothesis", "needs a hypothesis"},
		{"cap", chaos(), func(s *Spec) { s.MaxUnits = 0 }, "/maxUnits", "needs a cap"},
		{"long experiment", chaos(), func(s *Spec) { s.Deadline = Duration(2 * time.Hour) }, "/deadline", "at most 1h"},
		{"big experiment", chaos(), func(s *Spec) { s.Steps[0].Share = 60_000 }, "/steps/0/share", "control of equal size"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := test.spec
			test.change(&spec)
			var problems *flag.Problems
			if err := spec.Validate(testSet()); !errors.As(err, &problems) {
				t.Fatalf("Validate: %v", err)
			}
			if !slices.ContainsFunc(problems.List, func(p flag.Problem) bool {
				return p.Pointer == test.pointer && strings.Contains(p.Detail, test.detail)
			}) {
				t.Errorf("no problem %q at %s: %v", test.detail, test.pointer, problems)
			}
		})
	}
}

func TestNormalize(t *testing.T) {
	spec := Spec{Name: "x", Steps: []Step{{Share: 50_000}, {Share: flag.TotalWeight}}, Guardrails: []Guardrail{{Metric: MetricErrors}}}
	n := Normalize(spec)
	if len(n.Steps) != 1 || !n.Steps[0].RequireSafe || n.Steps[0].MinTime != DefaultMinTime || n.Steps[0].MinUnits != DefaultMinUnits {
		t.Errorf("steps %+v: 100 %% is the promotion, and the last step must prove safety", n.Steps)
	}
	if g := n.Guardrails[0]; g.Name != "errors" || g.Mode != ModeShadow || g.Unit != UnitKey {
		t.Errorf("guardrail %+v", g)
	}
	if spec.Steps[0].RequireSafe || spec.Guardrails[0].Name != "" {
		t.Error("Normalize changed its input")
	}
	if again := Normalize(n); !reflect.DeepEqual(again, n) {
		t.Errorf("Normalize is not idempotent: %+v, then %+v", n, again)
	}
	if d := Normalize(Spec{Name: "y"}); len(d.Steps) != 4 || len(d.Guardrails) != 2 || d.Salt != "y" || d.Alpha != DefaultAlpha || d.Watch != DefaultWatch {
		t.Errorf("defaults %+v", d)
	}
}

// Property: along the plan, the share of every stratum only grows, and treatment and control
// never overlap.
func TestAllocationsGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := rollout(func(s *Spec) {
			s.Steps = []Step{{Segments: []string{"beta"}, Share: flag.Weight(rapid.IntRange(1, half).Draw(t, "group"))}}
			share := 0
			for range rapid.IntRange(1, 6).Draw(t, "steps") {
				share = rapid.IntRange(share+1, flag.TotalWeight-10).Draw(t, "share")
				s.Steps = append(s.Steps, Step{Share: flag.Weight(share)})
				if share >= flag.TotalWeight-100 {
					break
				}
			}
		})
		if err := spec.Validate(testSet()); err != nil {
			t.Fatal(err)
		}
		group, all := flag.Weight(0), flag.Weight(0)
		for step := range spec.Steps {
			a, ok := spec.Allocation(State{Attempt: 1, Step: step, Phase: PhaseRunning})
			if !ok || a.Version != "checkout-v2.1."+string(rune('0'+step)) {
				t.Fatalf("step %d: %+v", step, a)
			}
			g, e := flag.Weight(0), flag.Weight(0)
			for _, stratum := range a.Strata {
				if stratum.Treatment+stratum.Control > flag.TotalWeight {
					t.Fatalf("stratum %+v overlaps", stratum)
				}
				if g = max(g, stratum.Treatment); len(stratum.Segments) == 0 {
					e = stratum.Treatment
				}
			}
			if g < group || e < all {
				t.Fatalf("step %d: shares shrank from %d, %d to %d, %d", step, group, all, g, e)
			}
			group, all = g, e
		}
		if a, _ := spec.Allocation(State{Phase: PhaseWatching}); a.Strata[0].Treatment != flag.TotalWeight {
			t.Fatalf("a promoted trial allocates %+v", a.Strata)
		}
	})
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{`"15s"`: 15 * time.Second, `"1h30m"`: 90 * time.Minute, `"5m"`: 5 * time.Minute, `"none"`: time.Duration(NoWatch), `"0s"`: 0, `"90ms"`: 90 * time.Millisecond} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
		if again, _ := json.Marshal(d); string(again) != text {
			t.Errorf("%s came back as %s", text, again)
		}
	}
	for _, text := range []string{`15`, `"15"`, `"soon"`, `{}`} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil || !strings.Contains(err.Error(), `"5m"`) {
			t.Errorf("%s: %v, want an error that shows the notation", text, err)
		}
	}
}

func FuzzDuration(f *testing.F) {
	f.Add([]byte(`"15s"`))
	f.Add([]byte(`"-2562047h47m16.854775808s"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d, again Duration
		if json.Unmarshal(data, &d) != nil {
			return
		}
		text, err := json.Marshal(d)
		if err != nil || json.Unmarshal(text, &again) != nil || again != d {
			t.Errorf("%s gave %s, which gave %s: %v", data, text, again, err)
		}
	})
}
