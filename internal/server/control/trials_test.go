package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestStartTrialRefusals(t *testing.T) {
	everybody := flag.Rule{Serve: "off"}
	whole := flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 1}, {Variant: "off", Weight: flag.TotalWeight - 1}}}}
	part := flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 1_000}}}}
	byTenant := flag.Rule{Split: &flag.Split{BucketBy: "tenant", Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight}}}}
	for _, c := range []struct {
		name string
		flag func(*flag.Flag)
		spec func(*trial.Spec)
		want control.Code
		says string
	}{
		{name: "good"},
		{name: "no such flag", spec: func(s *trial.Spec) { s.Flag = "x" }, want: control.CodeNotFound, says: `flag "x"`},
		{name: "no such variant", spec: func(s *trial.Spec) { s.Treatment = "x" }, want: control.CodeInvalid, says: "/treatment"},
		{name: "bad name", spec: func(s *trial.Spec) { s.Name = "a b" }, want: control.CodeInvalid, says: "/name"},
		{name: "disabled flag", flag: func(f *flag.Flag) { f.Enabled = false }, want: control.CodePrecondition, says: "enable it first"},
		{name: "a rule for everybody", flag: func(f *flag.Flag) { f.Rules = []flag.Rule{rule("beta", "on"), everybody} }, want: control.CodePrecondition, says: "rule 2"},
		{name: "a split of everybody", flag: func(f *flag.Flag) { f.Rules = []flag.Rule{whole} }, want: control.CodePrecondition, says: "rule 1"},
		{name: "a split of some", flag: func(f *flag.Flag) { f.Rules = []flag.Rule{part} }},
		{name: "a split of those with a tenant", flag: func(f *flag.Flag) { f.Rules = []flag.Rule{byTenant} }},
		{name: "a rule for a group", flag: func(f *flag.Flag) { f.Rules = []flag.Rule{rule("beta", "off")} }},
		{name: "no such segment", spec: func(s *trial.Spec) { s.Audience = &flag.Condition{Segment: "x"} }, want: control.CodeInvalid, says: "/audience"},
		{name: "chaos without a fault", spec: func(s *trial.Spec) { s.Goal = trial.GoalSurvive }, want: control.CodeInvalid, says: "/flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			must[control.SegmentEntry](t)(r.CreateSegment(t.Context(), segment("beta"), ana))
			f, spec := boolFlag("f"), rollout("t", "f")
			if c.flag != nil {
				c.flag(&f)
			}
			if c.spec != nil {
				c.spec(&spec)
			}
			must[control.FlagEntry](t)(r.CreateFlag(t.Context(), f, ana))
			got, err := r.StartTrial(t.Context(), spec, ana)
			if c.want != "" {
				wantCode(t, err, c.want, c.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.State.Attempt != 1 || got.State.Phase != trial.PhaseRunning || !got.State.StartedAt.Equal(day0) || got.Revision != 3 {
				t.Errorf("started as %+v", got.State)
			}
			if set := r.Snapshot().Set; len(set.Allocations) != 1 || set.Validate() != nil {
				t.Errorf("allocations %+v, %v", set.Allocations, set.Validate())
			}
		})
	}
}

func TestOneTrialPerFlagAndOneExperiment(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	for _, f := range []flag.Flag{boolFlag("f"), boolFlag("g"), faultFlag("p"), faultFlag("q")} {
		must[control.FlagEntry](t)(r.CreateFlag(ctx, f, ana))
	}
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, chaos("c", "p"), ana))
	_, err := r.StartTrial(ctx, rollout("t", "g"), ana)
	wantCode(t, err, control.CodeExists, `trial "t" is running`)
	_, err = r.StartTrial(ctx, rollout("t2", "f"), ana)
	wantCode(t, err, control.CodePrecondition, `trial "t" runs on flag "f"`)
	_, err = r.StartTrial(ctx, chaos("c2", "q"), ana)
	wantCode(t, err, control.CodePrecondition, `chaos experiment "c" is running`)
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t2", "g"), ana))
	if active := r.ActiveTrials(); len(active) != 3 || active[0].Spec.Name != "c" || active[2].Spec.Name != "t2" {
		t.Errorf("active: %s", asJSON(active))
	}
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "c", "abort", ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, chaos("c2", "q"), ana))
}

func TestNextAttemptKeepsTheSalt(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	first := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f", func(s *trial.Spec) { s.Salt = "pepper" }), ana))
	must[control.TrialEntry](t)(r.weigh("t", quiet))
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "abort", ana))
	r.now = day0.Add(time.Hour)
	second := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	if second.Spec.Salt != first.Spec.Salt || second.State.Attempt != 2 || second.State.Seq != 0 || !second.State.StartedAt.Equal(r.now) {
		t.Errorf("second attempt: salt %q, %+v", second.Spec.Salt, second.State)
	}
	must[control.TrialEntry](t)(r.weigh("t", quiet))
	for attempt, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 0} {
		list, err := r.Intervals(ctx, "t", attempt, 0, 0)
		if err != nil || len(list) != want {
			t.Errorf("attempt %d has %d intervals, want %d, error %v", attempt, len(list), want, err)
		}
	}
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "abort", ana))
	third := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f", func(s *trial.Spec) { s.Salt = "salt" }), ana))
	if third.Spec.Salt != "salt" {
		t.Errorf("a plan's own salt became %q", third.Spec.Salt)
	}
}

func TestCommands(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	for _, c := range []struct {
		verb  string
		phase trial.Phase
		step  int
		want  control.Code
	}{
		{verb: "dance", want: control.CodeInvalid},
		{verb: "resume", want: control.CodePrecondition},
		{verb: "pause", phase: trial.PhasePaused},
		{verb: "resume", phase: trial.PhaseRunning},
		{verb: "advance", phase: trial.PhaseRunning, step: 1},
		{verb: "promote", phase: trial.PhaseWatching, step: 1},
		{verb: "pause", want: control.CodePrecondition},
		{verb: "abort", phase: trial.PhaseEnded, step: 1},
		{verb: "abort", want: control.CodePrecondition},
	} {
		got, err := r.CommandTrial(ctx, "t", c.verb, control.WriteOptions{Actor: "ana", Reason: "because"})
		if c.want != "" {
			wantCode(t, err, c.want, "")
			continue
		}
		if err != nil || got.State.Phase != c.phase || got.State.Step != c.step {
			t.Errorf("%s: %s, step %d, error %v", c.verb, got.State.Phase, got.State.Step, err)
		}
		change := must[control.Change](t)(r.GetChange(ctx, got.Revision))
		if change.Actor != "ana" || change.Reason != got.State.Why {
			t.Errorf("%s is logged as %q by %q", c.verb, change.Reason, change.Actor)
		}
	}
	_, err := r.CommandTrial(ctx, "x", "abort", ana)
	wantCode(t, err, control.CodeNotFound, `trial "x"`)
}

// A command is applied to the newest state, which is in the journal only.
func TestCommandBuildsOnJournalledState(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	start := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	for range 3 {
		must[control.TrialEntry](t)(r.weigh("t", quiet))
	}
	if got := must[control.TrialEntry](t)(r.GetTrial("t")); got.State.Seq != 3 || got.Revision != start.Revision {
		t.Errorf("newest is interval %d at revision %d", got.State.Seq, got.Revision)
	}
	// Another service on the same log, which has read the journal before the third interval.
	late := joinRig(t, r.log)
	must[control.TrialEntry](t)(r.weigh("t", quiet))
	paused := must[control.TrialEntry](t)(late.CommandTrial(ctx, "t", "pause", ana))
	if paused.State.Seq != 4 || paused.State.Treatment.Requests != 120 {
		t.Errorf("the command built on interval %d, %d requests", paused.State.Seq, paused.State.Treatment.Requests)
	}
}

func TestStateSurvivesRestart(t *testing.T) {
	r := newRig(t)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f"), ana))
	for i := range 30 { // decisions and plain intervals, in turn
		want := must[control.TrialEntry](t)(r.weigh("t", quiet))
		if i%4 == 3 {
			verb := []string{"pause", "resume"}[i/4%2]
			want = must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "t", verb, ana))
		}
		r = r.restart()
		wantEqual(t, "the trial", must[control.TrialEntry](t)(r.GetTrial("t")), want)
	}
	list := must[[]control.Interval](t)(r.Intervals(t.Context(), "t", 0, 0, 0))
	if len(list) != 30 {
		t.Fatalf("%d intervals, want 30", len(list))
	}
	for i, iv := range list {
		if iv.Seq != i+1 || iv.Interval.Seq != i+1 || iv.Interval.Treatment.Requests != 30 || (iv.State != nil) != (iv.Seq == 20) {
			t.Errorf("interval %d is %s", i+1, asJSON(iv))
		}
	}
	page := must[[]control.Interval](t)(r.Intervals(t.Context(), "t", 1, 10, 5))
	if len(page) != 5 || page[0].Seq != 11 {
		t.Errorf("a page: %s", asJSON(page))
	}
}

// A state that was weighed before a command and reached the journal after it decides nothing: not
// now, not after a restart.
func TestOvertakenIntervalDoesNotUndoACommand(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	entry := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	iv := quiet(entry.State)
	state, _ := trial.Next(entry.Spec, entry.State, trial.IntervalClosed{Interval: iv})
	paused := must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "pause", ana))

	err := r.record(control.Record{Trial: "t", Revision: entry.Revision, Interval: iv, State: state})
	wantCode(t, err, control.CodeConflict, "at revision 3, not 2")
	// What another replica writes that has not seen the command yet.
	row := control.IntervalRow{Trial: "t", Attempt: 1, Seq: 1, Revision: entry.Revision, Interval: []byte(asJSON(iv)), State: []byte(asJSON(state))}
	if err := errors.Join(r.log.AppendIntervals(ctx, []control.IntervalRow{row})...); err != nil {
		t.Fatal(err)
	}
	r = r.restart()
	wantEqual(t, "after a restart", must[control.TrialEntry](t)(r.GetTrial("t")), paused)
	// And it is not in the way of the interval that counts.
	if got := must[control.TrialEntry](t)(r.weigh("t", quiet)); got.State.Seq != 1 || got.State.Phase != trial.PhasePaused {
		t.Errorf("interval %d, %s", got.State.Seq, got.State.Phase)
	}
}

func TestRecordIntervalsRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(iv *outcome.Interval, s *trial.State)
		want   control.Code
	}{
		{"good", func(*outcome.Interval, *trial.State) {}, ""},
		{"a gap", func(iv *outcome.Interval, s *trial.State) { iv.Seq++; s.Seq++ }, control.CodeInvalid},
		{"weighed already", func(iv *outcome.Interval, s *trial.State) { iv.Seq--; s.Seq-- }, control.CodeConflict},
		{"another state", func(iv *outcome.Interval, s *trial.State) { s.Seq-- }, control.CodeInvalid},
		{"another attempt", func(iv *outcome.Interval, s *trial.State) { s.Attempt = 2 }, control.CodeInvalid},
		{"a decision", func(iv *outcome.Interval, s *trial.State) { s.Step = 1 }, control.CodeInvalid},
		{"an end", func(iv *outcome.Interval, s *trial.State) { s.Phase = trial.PhaseEnded }, control.CodeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
			must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f"), ana))
			before := must[control.TrialEntry](t)(r.weigh("t", quiet))
			iv := quiet(before.State)
			state, _ := trial.Next(before.Spec, before.State, trial.IntervalClosed{Interval: iv})
			c.change(&iv, &state)
			err := r.record(control.Record{Trial: "t", Revision: before.Revision, Interval: iv, State: state})
			after := must[control.TrialEntry](t)(r.GetTrial("t"))
			if c.want != "" {
				wantCode(t, err, c.want, "")
				wantEqual(t, "the trial", after, before)
			} else if err != nil || after.State.Seq != 2 {
				t.Errorf("interval %d, error %v", after.State.Seq, err)
			}
		})
	}
}

func TestHarmRollsBack(t *testing.T) {
	r := newRig(t)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f"), ana))
	got := must[control.TrialEntry](t)(r.weigh("t", disaster))
	if got.State.Result != trial.ResultRolledBack || len(r.Snapshot().Set.Allocations) != 0 || r.defaultOf("f") != "off" {
		t.Errorf("%s, allocations %v, default %s", got.State.Result, r.Snapshot().Set.Allocations, r.defaultOf("f"))
	}
	change := must[control.Change](t)(r.GetChange(t.Context(), got.Revision))
	if change.Actor != "controller" || change.Reason != got.State.Why || len(change.Ops) != 1 {
		t.Errorf("logged as %s", asJSON(change))
	}
	// The evidence is there with the decision.
	if list := must[[]control.Interval](t)(r.Intervals(t.Context(), "t", 0, 0, 0)); len(list) != 1 || list[0].Interval.Treatment.Bad != 30 {
		t.Errorf("intervals %s", asJSON(list))
	}
}

func TestPromotion(t *testing.T) {
	german := &flag.Condition{Attribute: "country", Op: flag.OpIn, Values: rawValues(`"DE"`)}
	for _, c := range []struct {
		name     string
		rules    []flag.Rule
		audience *flag.Condition
		watch    trial.Duration
		watching string // the default while the promotion is watched; empty: no watch
		// after a watch that ended well
		promoted      string
		promotedRules int
		// after a catastrophe in the watch
		demoted string
		says    string
	}{
		{name: "everybody, watched", watch: trial.Duration(time.Minute), watching: "on", promoted: "on", demoted: "off"},
		{name: "everybody, not watched", promoted: "on"},
		{name: "rules stay first", rules: []flag.Rule{rule("beta", "off")}, watch: trial.Duration(time.Minute),
			watching: "on", promoted: "on", promotedRules: 1, demoted: "off", says: "1 rule comes first on flag f"},
		{name: "an audience, watched", audience: german, watch: trial.Duration(time.Minute),
			watching: "off", promoted: "off", promotedRules: 1, demoted: "off"},
		{name: "an audience, not watched", audience: german, promoted: "off", promotedRules: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			promote := func() (*rig, control.TrialEntry) {
				r := newRig(t)
				must[control.SegmentEntry](t)(r.CreateSegment(t.Context(), segment("beta"), ana))
				must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f", func(f *flag.Flag) { f.Rules = c.rules }), ana))
				must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f", func(s *trial.Spec) { s.Audience, s.Watch = c.audience, c.watch }), ana))
				if c.watch == 0 {
					return r, promoteUnwatched(r)
				}
				return r, must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "t", "promote", ana))
			}
			r, entry := promote()
			if c.watch > 0 {
				if r.defaultOf("f") != c.watching || len(r.Snapshot().Set.Allocations) != 1 {
					t.Errorf("watched: default %q, %d allocations", r.defaultOf("f"), len(r.Snapshot().Set.Allocations))
				}
				change := must[control.Change](t)(r.GetChange(t.Context(), entry.Revision))
				if c.says != "" && !strings.Contains(change.Reason, c.says) {
					t.Errorf("the reason is %q", change.Reason)
				}
				for !entry.State.Ended() {
					entry = must[control.TrialEntry](t)(r.weigh("t", quiet))
				}
			}
			f := must[control.FlagEntry](t)(r.GetFlag("f"))
			if entry.State.Result != trial.ResultPromoted || f.DefaultVariant != c.promoted || len(f.Rules) != c.promotedRules || len(r.Snapshot().Set.Allocations) != 0 {
				t.Errorf("promoted: %s, %s", entry.State.Result, asJSON(f))
			}
			if err := r.Snapshot().Set.Validate(); err != nil {
				t.Error(err)
			}
			if c.audience != nil {
				last := f.Rules[len(f.Rules)-1]
				if last.Serve != "on" || asJSON(last.When) != asJSON(german) || last.Name != "promoted by trial t" {
					t.Errorf("the rule is %s", asJSON(last))
				}
			}
			if c.demoted == "" {
				return
			}
			r, _ = promote()
			entry = must[control.TrialEntry](t)(r.weigh("t", disaster))
			f = must[control.FlagEntry](t)(r.GetFlag("f"))
			if entry.State.Result != trial.ResultRolledBack || f.DefaultVariant != c.demoted || len(f.Rules) != len(c.rules) {
				t.Errorf("demoted: %s, %s", entry.State.Result, asJSON(f))
			}
		})
	}
}

// promoteUnwatched stores the decision to promote for good. A plan always has a watch; one that
// reached its end without is what the state machine allows.
func promoteUnwatched(r *rig) control.TrialEntry {
	entry := must[control.TrialEntry](r.t)(r.GetTrial("t"))
	spec := entry.Spec
	spec.Watch = 0
	state, actions := trial.Next(spec, entry.State, trial.Command{Verb: trial.VerbPromote, Actor: "ana", At: day0})
	return must[control.TrialEntry](r.t)(r.StoreDecision(r.t.Context(), control.Decision{Trial: "t", Revision: entry.Revision, State: state, Actions: actions}))
}

// A person who chose another default during the watch keeps it.
func TestDemotionRespectsANewerDefault(t *testing.T) {
	r := newRig(t)
	third := func(f *flag.Flag) {
		f.Variants = append(f.Variants, flag.Variant{Name: "third", Value: []byte("true")})
	}
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f", third), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f"), ana))
	must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "t", "promote", ana))
	must[control.FlagEntry](t)(r.PutFlag(t.Context(), boolFlag("f", third, func(f *flag.Flag) { f.DefaultVariant = "third" }), ana))
	must[control.TrialEntry](t)(r.weigh("t", disaster))
	if got := r.defaultOf("f"); got != "third" {
		t.Errorf("the default is %q", got)
	}
}

// A flag with every rule taken has no room for the rule of a promotion; that is said at the start.
func TestPromotionNeedsRoomForItsRule(t *testing.T) {
	r := newRig(t)
	must[control.SegmentEntry](t)(r.CreateSegment(t.Context(), segment("beta"), ana))
	rules := func(n int) func(*flag.Flag) {
		return func(f *flag.Flag) {
			for range n {
				f.Rules = append(f.Rules, rule("beta", "off"))
			}
		}
	}
	audience := func(s *trial.Spec) { s.Audience = &flag.Condition{Segment: "beta"} }
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f", rules(flag.MaxRules)), ana))
	_, err := r.StartTrial(t.Context(), rollout("t", "f", audience), ana)
	wantCode(t, err, control.CodePrecondition, "leave one free")
	must[control.FlagEntry](t)(r.PutFlag(t.Context(), boolFlag("f", rules(flag.MaxRules-1)), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f", audience), ana))
	_, err = r.PutFlag(t.Context(), boolFlag("f", rules(flag.MaxRules)), ana)
	wantCode(t, err, control.CodePrecondition, "leave one free")
}

// checker answers for a source of metrics.
type checker struct{ err error }

func (c checker) Check(context.Context, trial.Spec) ([]string, error) {
	return []string{"quiet"}, c.err
}

func TestPlansWithQueriesNeedASource(t *testing.T) {
	pulled := rollout("t", "f")
	pulled.Guardrails = []trial.Guardrail{{Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.001, Prometheus: &trial.PromSource{
		Treatment: trial.PromCounters{Total: "a", Bad: "b"}, Control: trial.PromCounters{Total: "c", Bad: "d"},
	}}}
	r := newRig(t)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	_, err := r.StartTrial(t.Context(), pulled, ana)
	wantCode(t, err, control.CodePrecondition, "--prometheus-url")
	_, err = r.open(control.Config{Sources: checker{errors.New("guardrail errors, treatment, total: parse error")}}).StartTrial(t.Context(), pulled, ana)
	wantCode(t, err, control.CodeInvalid, "parse error")
	started := must[control.TrialEntry](t)(r.open(control.Config{Sources: checker{}}).StartTrial(t.Context(), pulled, ana))
	if started.State.Phase != trial.PhaseRunning {
		t.Errorf("started as %+v", started.State)
	}
}
