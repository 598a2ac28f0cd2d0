package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
	"pgregory.net/rapid"
)

// points are what processes have reported: by name when the last call came, zero for never.
type points struct {
	traffic map[string]time.Time
	denied  string
}

func (p points) Point(name string) (lastSeen, lastTraffic time.Time, allowed, ok bool) {
	at, ok := p.traffic[name]
	return day0, at, name != p.denied, ok
}

func (p points) Names() (names []string) {
	for name := range p.traffic {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestS3ExperimentNeedsAPointWithTraffic(t *testing.T) {
	now := day0.Add(time.Hour)
	for _, c := range []struct {
		name   string
		points control.Points
		says   string
	}{
		{"nobody knows", nil, ""},
		{"busy", points{traffic: map[string]time.Time{"payment": now.Add(-time.Minute)}}, ""},
		{"just busy enough", points{traffic: map[string]time.Time{"payment": now.Add(-5 * time.Minute)}}, ""},
		{"a slip", points{traffic: map[string]time.Time{"payments": now}}, `did you mean "payments"?`},
		{"unknown", points{}, "no process has reported"},
		{"idle for long", points{traffic: map[string]time.Time{"payment": now.Add(-5*time.Minute - time.Second)}}, "in the last 5m0s"},
		{"never busy", points{traffic: map[string]time.Time{"payment": {}}}, "in the last 5m0s"},
		{"not allowed", points{traffic: map[string]time.Time{"payment": now}, denied: "payment"}, "WithFaults"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.now = now
			r.Service = r.open(control.Config{Points: c.points})
			must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("down"), ana))
			_, err := r.StartTrial(t.Context(), chaos("storm", "down"), ana)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, control.CodePrecondition, c.says)
		})
	}
}

func TestS3ExperimentNeedsAFaultAndAControlWithout(t *testing.T) {
	r := newRig(t)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("down"), ana))
	for variant, change := range map[string]func(*trial.Spec){
		"/treatment": func(s *trial.Spec) { s.Treatment, s.Control = "off", "none" },
		"/control":   func(s *trial.Spec) { s.Control = "slow" },
	} {
		f := faultFlag("down-" + variant[1:])
		f.Variants = append(f.Variants, flag.Variant{Name: "none", Value: json.RawMessage("null")}, flag.Variant{Name: "slow", Value: f.Variants[0].Value})
		must[control.FlagEntry](t)(r.CreateFlag(t.Context(), f, ana))
		spec := chaos("storm", f.Key)
		change(&spec)
		_, err := r.StartTrial(t.Context(), spec, ana)
		wantCode(t, err, control.CodeInvalid, "")
		if got := pointers(err); len(got) != 1 || got[0] != variant {
			t.Errorf("places %v, want %s", got, variant)
		}
	}
}

func TestS3FaultFlagsServeNoFault(t *testing.T) {
	weights := func(w flag.Weight) *flag.Split {
		return &flag.Split{Weights: []flag.Share{{Variant: "off", Weight: 1}, {Variant: "down", Weight: w}}}
	}
	for name, c := range map[string]struct {
		change func(*flag.Flag)
		at     string
	}{
		"the default": {func(f *flag.Flag) { f.DefaultVariant = "down" }, "/defaultVariant"},
		"a rule": {func(f *flag.Flag) {
			f.Rules = []flag.Rule{{Serve: "off", When: everybodyIn("DE")}, {Serve: "down", When: everybodyIn("FR")}}
		}, "/rules/1/serve"},
		"a split":            {func(f *flag.Flag) { f.Rules = []flag.Rule{{Split: weights(5)}} }, "/rules/0/split/weights/1/variant"},
		"a split of nothing": {func(f *flag.Flag) { f.Rules = []flag.Rule{{Split: weights(0)}} }, ""},
		"an override":        {func(f *flag.Flag) { f.Overrides = []flag.Override{{Variant: "down", Units: []string{"u"}}} }, "/overrides/0/variant"},
		"nothing":            {func(f *flag.Flag) { f.DefaultVariant = "" }, ""},
		"a disabled flag":    {func(f *flag.Flag) { f.DefaultVariant, f.Enabled = "down", false }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			f := faultFlag("f")
			c.change(&f)
			_, err := r.CreateFlag(t.Context(), f, ana)
			if c.at == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, control.CodeInvalid, "seatrial chaos start")
			if got := pointers(err); len(got) != 1 || got[0] != c.at {
				t.Errorf("places %v, want %s", got, c.at)
			}
			if _, err = r.Apply(t.Context(), control.Batch{Flags: []flag.Flag{f}}, ana); control.CodeOf(err) != control.CodeInvalid || pointers(err)[0] != "/flags/0"+c.at {
				t.Errorf("in a batch: %v at %v", err, pointers(err))
			}
		})
	}
}

func everybodyIn(country string) *flag.Condition {
	return &flag.Condition{Attribute: "country", Op: flag.OpIn, Values: rawValues(`"` + country + `"`)}
}

// What was stored before such flags were refused is still read, and can be disabled.
func TestStoredFaultFlagsStillLoad(t *testing.T) {
	log := storetest.NewMemory()
	f := faultFlag("old")
	f.DefaultVariant = "down"
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), 0, control.Draft{Actor: "ana", Time: day0, Ops: []control.Op{{Kind: control.KindFlag, Key: "old", Value: raw}}})
	if err != nil {
		t.Fatal(err)
	}
	r := joinRig(t, log)
	if got := r.defaultOf("old"); got != "down" {
		t.Errorf("its default is %q", got)
	}
	f.Enabled = false
	must[control.FlagEntry](t)(r.PutFlag(t.Context(), f, ana))
}

func policyFlag(dependency string) flag.Flag {
	return flag.Flag{Key: flag.PolicyPrefix + dependency, Kind: flag.KindPolicy, Type: flag.TypeObject, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: json.RawMessage(`{"timeout":"1s"}`)}, {Name: "off", Value: json.RawMessage("null")}}}
}

func TestS8ExperimentsAndRolloutsExcludeEachOther(t *testing.T) {
	other := faultFlag("catalog-down")
	other.Variants[0].Value = json.RawMessage(`{"point":"catalog","rate":1,"faults":[{"kind":"error"}]}`)
	alarming := func(r *rig, name string) {
		bad := func(s trial.State) (iv outcome.Interval) {
			iv = quiet(s)
			iv.Treatment.Requests, iv.Control.Requests = 1_000, 1_000
			iv.Treatment.AtRiskUnits, iv.Control.AtRiskUnits = 1_000, 1_000
			iv.Treatment.BadUnits, iv.Treatment.Bad = 60, 60
			iv.Control.BadUnits, iv.Control.Bad = 2, 2
			return iv
		}
		for range 3 {
			must[control.TrialEntry](r.t)(r.weigh(name, bad))
		}
		if e := must[control.TrialEntry](r.t)(r.GetTrial(name)); e.State.Phase != trial.PhaseHolding {
			r.t.Fatalf("%s is %s: %s", name, e.State.Phase, e.State.Why)
		}
	}
	tolerant := func(s *trial.Spec) {
		s.Guardrails = []trial.Guardrail{{Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Absolute: 0.07}}
	}
	for _, c := range []struct {
		name  string
		first trial.Spec
		given func(*rig)
		then  trial.Spec
		says  string
	}{
		{"two experiments", chaos("a", "down"), nil, chaos("b", "catalog-down"), "two at a time"},
		{"experiment during its policy's rollout", rollout("a", "policy-payment"), nil, chaos("b", "down"), "changes the policy of that dependency"},
		{"the policy's rollout during an experiment", chaos("a", "down"), nil, rollout("b", "policy-payment"), "tries the dependency whose policy"},
		{"experiment during another policy's rollout", rollout("a", "policy-catalog"), nil, chaos("b", "down"), ""},
		{"another policy's rollout during an experiment", chaos("a", "down"), nil, rollout("b", "policy-catalog"), ""},
		{"experiment beside a quiet rollout", rollout("a", "search", tolerant), nil, chaos("b", "down"), ""},
		{"experiment during an incident", rollout("a", "search", tolerant), func(r *rig) { alarming(r, "a") }, chaos("b", "down"), "an incident is no time"},
		{"even if it is paused", rollout("a", "search", tolerant), func(r *rig) {
			alarming(r, "a")
			must[control.TrialEntry](r.t)(r.CommandTrial(r.t.Context(), "a", "pause", ana))
		}, chaos("b", "down"), "an incident is no time"},
		{"experiment after one", chaos("a", "down"), func(r *rig) {
			must[control.TrialEntry](r.t)(r.CommandTrial(r.t.Context(), "a", "abort", ana))
		}, chaos("b", "catalog-down"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			for _, f := range []flag.Flag{faultFlag("down"), other, policyFlag("payment"), policyFlag("catalog"), boolFlag("search")} {
				must[control.FlagEntry](t)(r.CreateFlag(t.Context(), f, ana))
			}
			must[control.TrialEntry](t)(r.StartTrial(t.Context(), c.first, ana))
			if c.given != nil {
				c.given(r)
			}
			_, err := r.StartTrial(t.Context(), c.then, ana)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, control.CodePrecondition, c.says)
		})
	}
}

// Property: whatever is started and ended, in whatever order and by whichever of two services, there
// are never two experiments, and never one beside a rollout of the same dependency's policy.
func TestS8SchedulerNeverMixesExperiments(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := storetest.NewMemory()
		services := []*rig{joinRig(t, log), joinRig(t, log)}
		dependencies := []string{"payment", "catalog"}
		for _, d := range dependencies {
			f := faultFlag(d + "-down")
			f.Variants[0].Value = json.RawMessage(`{"point":"` + d + `","rate":1,"faults":[{"kind":"error"}]}`)
			must[control.FlagEntry](t)(services[0].CreateFlag(t.Context(), f, ana))
			must[control.FlagEntry](t)(services[0].CreateFlag(t.Context(), policyFlag(d), ana))
		}
		started := 0
		for range rapid.IntRange(1, 25).Draw(rt, "commands") {
			r := services[rapid.IntRange(0, 1).Draw(rt, "service")]
			d := rapid.SampledFrom(dependencies).Draw(rt, "dependency")
			spec := chaos("chaos-"+d, d+"-down")
			if rapid.Bool().Draw(rt, "policy") {
				spec = rollout("policy-"+d, "policy-"+d)
			}
			var err error
			switch rapid.SampledFrom([]string{"start", "start", "weigh", "abort", "disaster"}).Draw(rt, "command") {
			case "start":
				_, err = r.StartTrial(t.Context(), spec, ana)
			case "weigh":
				_, err = r.weigh(spec.Name, quiet)
			case "disaster":
				_, err = r.weigh(spec.Name, disaster)
			default:
				_, err = r.CommandTrial(t.Context(), spec.Name, "abort", ana)
			}
			if err == nil {
				started++
			}
			checkExclusion(rt, services[0].restart())
		}
	})
}

func checkExclusion(t *rapid.T, r *rig) {
	experiments, policies := []string{}, map[string]bool{}
	for _, e := range r.ActiveTrials() {
		if e.Spec.Goal == trial.GoalSurvive {
			experiments = append(experiments, strings.TrimPrefix(e.Spec.Name, "chaos-"))
		} else {
			policies[strings.TrimPrefix(e.Spec.Name, "policy-")] = true
		}
	}
	if len(experiments) > 1 || len(experiments) == 1 && policies[experiments[0]] {
		t.Fatalf("experiments %v beside rollouts of the policies of %v", experiments, policies)
	}
}

// counting gives other bytes each time.
type counting struct{ n byte }

func (c *counting) Read(p []byte) (int, error) {
	c.n++
	return copy(p, bytes.Repeat([]byte{c.n}, len(p))), nil
}

func secretOf(t *testing.T, r *rig) string {
	t.Helper()
	list := r.Snapshot().Set.Allocations
	if len(list) != 1 {
		t.Fatalf("%d allocations", len(list))
	}
	return list[0].Secret
}

func TestExperimentsHaveASecretOfEachAttempt(t *testing.T) {
	r := newRig(t)
	r.Service = r.open(control.Config{Random: &counting{}})
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("down"), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), chaos("storm", "down"), ana))
	first := secretOf(t, r)
	if first != strings.Repeat("01", 16) {
		t.Errorf("the secret is %q", first)
	}
	must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "storm", "pause", ana))
	must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "storm", "resume", ana))
	must[control.TrialEntry](t)(r.weigh("storm", quiet))
	must[control.TrialEntry](t)(r.weigh("storm", quiet))
	if e := must[control.TrialEntry](t)(r.GetTrial("storm")); e.State.Phase != trial.PhaseRunning {
		t.Fatalf("it is %s: %s", e.State.Phase, e.State.Why)
	}
	for name, s := range map[string]*rig{"after changes": r, "after a restart": r.restart()} {
		if got := secretOf(t, s); got != first {
			t.Errorf("%s it is %q, want %q", name, got, first)
		}
	}
	must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "storm", "abort", ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), chaos("storm", "down"), ana))
	if second := secretOf(t, r); second == first || len(second) != 32 {
		t.Errorf("the next attempt has %q after %q", second, first)
	}
	must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "storm", "abort", ana))
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("v2", "f"), ana))
	if got := secretOf(t, r); got != "" {
		t.Errorf("a rollout has the secret %q", got)
	}
}

func TestSecretsOfExperimentsAreShownToNobody(t *testing.T) {
	r := newRig(t)
	r.Service = r.open(control.Config{Random: &counting{n: 0xa0}})
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("down"), ana))
	started := must[control.TrialEntry](t)(r.StartTrial(t.Context(), chaos("storm", "down"), ana))
	secret := secretOf(t, r)
	must[control.TrialEntry](t)(r.weigh("storm", quiet))
	list, _ := r.ListTrials(control.Page{})
	change, ok, err := r.NextTrialChange(t.Context(), 0, 0, 10)
	if err != nil || !ok {
		t.Fatal(err)
	}
	for name, shown := range map[string]any{
		"start":     started,
		"get":       must[control.TrialEntry](t)(r.GetTrial("storm")),
		"list":      list,
		"active":    r.ActiveTrials(),
		"webhook":   change,
		"log":       must[[]control.Change](t)(r.ListChanges(t.Context(), 0, 100)),
		"newest":    must[[]control.Change](t)(r.NewestChanges(t.Context(), 0, 0, 100)),
		"intervals": must[[]control.Interval](t)(r.Intervals(t.Context(), "storm", 0, 0, 100)),
	} {
		text := asJSON(shown) + fmt.Sprintf("%+v %#v", shown, shown)
		if strings.Contains(text, secret) || regexp.MustCompile(`"secret"`).MatchString(text) {
			t.Errorf("%s shows the secret: %s", name, text)
		}
		if name != "intervals" && !strings.Contains(text, "storm") {
			t.Errorf("%s shows nothing of the trial: %s", name, text)
		}
	}
	stored, err := r.log.Read(t.Context(), 0, 100)
	if err != nil || !strings.Contains(asJSON(stored), secret) {
		t.Errorf("the log lacks the secret (%v)", err)
	}
}

// refusing is a log that takes nothing more once it is on.
type refusing struct {
	*storetest.Memory
	on   bool
	seen func()
}

var errFull = &control.Error{Code: control.CodeUnavailable, Message: "the disk is full"}

func (l *refusing) Append(ctx context.Context, expected int64, d control.Draft) (control.Change, error) {
	if l.on {
		l.seen()
		return control.Change{}, errFull
	}
	return l.Memory.Append(ctx, expected, d)
}

// State and secret are in the log before anybody is given an allocation: if the log does not take
// them, nothing is on, neither in this process nor in one that starts from what was stored.
func TestS12NothingIsOnBeforeItIsInTheLog(t *testing.T) {
	r := newRig(t)
	log := &refusing{Memory: r.log}
	s, err := control.New(t.Context(), control.Config{Log: log, Journal: r.log, Now: func() time.Time { return r.now }})
	if err != nil {
		t.Fatal(err)
	}
	r.Service = s
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("down"), ana))
	nothing := func() {
		for _, one := range []*control.Service{r.Service, r.restart().Service} {
			if n := len(one.Snapshot().Set.Allocations); n > 0 || len(one.ActiveTrials()) > 0 {
				t.Errorf("%d allocations while the log has none", n)
			}
		}
	}
	log.on, log.seen = true, nothing
	if _, err := r.StartTrial(t.Context(), chaos("storm", "down"), ana); !errors.Is(err, errFull) {
		t.Fatalf("started: %v", err)
	}
	nothing()
	log.on = false
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), chaos("storm", "down"), ana))
	must[control.TrialEntry](t)(r.weigh("storm", quiet))
	log.on, log.seen = true, func() {
		for _, one := range []*control.Service{r.Service, r.restart().Service} {
			if a := one.Snapshot().Set.Allocations; len(a) != 1 || a[0].Fault {
				t.Errorf("the fault is on before the log says so: %+v", a)
			}
		}
	}
	if _, err := r.weigh("storm", quiet); !errors.Is(err, errFull) {
		t.Fatalf("injected: %v", err)
	}
	log.seen()
	log.on = false
	must[control.TrialEntry](t)(r.weigh("storm", quiet))
	if a := r.Snapshot().Set.Allocations; len(a) != 1 || !a[0].Fault || a[0].Treatment != "down" {
		t.Errorf("the fault is not on: %+v", a)
	}
}

func TestNoSecretNoStart(t *testing.T) {
	r := newRig(t)
	r.Service = r.open(control.Config{Random: io.LimitReader(nil, 0)})
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("down"), ana))
	_, err := r.StartTrial(t.Context(), chaos("storm", "down"), ana)
	wantCode(t, err, control.CodeInternal, "random")
}
