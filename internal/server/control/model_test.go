package control_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// model is the control plane as a list of plain rules, with everything copied and searched anew at
// every step. Flags differ only in what the rules ask for.
type model struct {
	revision int64
	flags    map[string]modelFlag
	kinds    map[string]flag.Kind // of every key that was ever used
	segments map[string]int64     // revision
	layers   map[string]modelLayer
	trials   map[string]modelTrial
	touched  map[string][]int64 // by kind/key
}

type modelFlag struct {
	kind     flag.Kind
	on       string // value of the variant "on"
	def      string
	segment  string // named by its rule, if any
	enabled  bool
	revision int64
}

type modelTrial struct {
	flag, segment string
	phase         trial.Phase
	attempt       int
	revision      int64
}

func newModel() *model {
	return &model{flags: map[string]modelFlag{}, kinds: map[string]flag.Kind{}, segments: map[string]int64{},
		layers: map[string]modelLayer{}, trials: map[string]modelTrial{}, touched: map[string][]int64{}}
}

// commit counts a change to the entities.
func (m *model) commit(entities ...string) int64 {
	m.revision++
	for _, e := range entities {
		m.touched[e] = append(m.touched[e], m.revision)
	}
	return m.revision
}

func matches(condition control.IfMatch, revision int64) control.Code {
	switch {
	case condition == control.MatchAbsent && revision > 0:
		return control.CodeExists
	case condition == control.MatchExists && revision == 0:
		return control.CodeNotFound
	case condition > 0 && int64(condition) != revision:
		return control.CodeConflict
	}
	return ""
}

// trialOn gives the name of the active trial on a flag.
func (m *model) trialOn(key string) string {
	for name, t := range m.trials {
		if t.flag == key && t.phase != trial.PhaseEnded {
			return name
		}
	}
	return ""
}

func (m *model) putFlag(key string, f modelFlag, condition control.IfMatch, dry bool) control.Code {
	old, exists := m.flags[key]
	if code := matches(condition, old.revision); code != "" {
		return code
	}
	if _, known := m.segments[f.segment]; f.segment != "" && !known {
		return control.CodeInvalid
	}
	if kind, used := m.kinds[key]; used && kind != f.kind {
		return control.CodePrecondition
	}
	if exists && m.trialOn(key) != "" && f.on != old.on {
		return control.CodePrecondition
	}
	if !dry {
		m.kinds[key] = f.kind
		f.revision = m.commit("flag/" + key)
		m.flags[key] = f
	}
	return ""
}

func (m *model) deleteFlag(key string, condition control.IfMatch, dry bool) control.Code {
	old, exists := m.flags[key]
	if !exists {
		return control.CodeNotFound
	}
	if code := matches(condition, old.revision); code != "" {
		return code
	}
	if m.trialOn(key) != "" || m.layerOf(key) != "" {
		return control.CodePrecondition
	}
	if !dry {
		m.commit("flag/" + key)
		delete(m.flags, key)
	}
	return ""
}

func (m *model) putSegment(key string, condition control.IfMatch, dry bool) control.Code {
	if code := matches(condition, m.segments[key]); code != "" || dry {
		return code
	}
	m.segments[key] = m.commit("segment/" + key)
	return ""
}

func (m *model) deleteSegment(key string, condition control.IfMatch, dry bool) control.Code {
	if m.segments[key] == 0 {
		return control.CodeNotFound
	}
	if code := matches(condition, m.segments[key]); code != "" {
		return code
	}
	for _, f := range m.flags {
		if f.segment == key {
			return control.CodePrecondition
		}
	}
	for _, t := range m.trials {
		if t.segment == key && t.phase != trial.PhaseEnded {
			return control.CodePrecondition
		}
	}
	if !dry {
		m.commit("segment/" + key)
		delete(m.segments, key)
	}
	return ""
}

func (m *model) start(name, key, segment string, condition control.IfMatch, dry bool) control.Code {
	old := m.trials[name]
	if code := matches(condition, old.revision); code != "" {
		return code
	}
	if old.revision > 0 && old.phase != trial.PhaseEnded {
		return control.CodeExists
	}
	f, exists := m.flags[key]
	switch {
	case !exists:
		return control.CodeNotFound
	case !f.enabled:
		return control.CodePrecondition
	case segment != "" && m.segments[segment] == 0:
		return control.CodeInvalid
	case m.trialOn(key) != "":
		return control.CodePrecondition
	}
	if !dry {
		m.trials[name] = modelTrial{key, segment, trial.PhaseRunning, old.attempt + 1, m.commit("trial/" + name)}
	}
	return ""
}

func (m *model) command(name, verb string, condition control.IfMatch, dry bool) control.Code {
	t, exists := m.trials[name]
	if !exists {
		return control.CodeNotFound
	}
	if code := matches(condition, t.revision); code != "" {
		return code
	}
	paused, watching := t.phase == trial.PhasePaused, t.phase == trial.PhaseWatching
	if t.phase == trial.PhaseEnded || watching && verb != "abort" || verb == "resume" && !paused {
		return control.CodePrecondition
	}
	if dry {
		return ""
	}
	touched, f := []string{"trial/" + name}, m.flags[t.flag]
	switch verb {
	case "pause":
		t.phase = trial.PhasePaused
	case "resume":
		t.phase = trial.PhaseRunning
	case "promote":
		t.phase, f.def = trial.PhaseWatching, "on"
		touched = append(touched, "flag/"+t.flag)
	case "abort":
		t.phase = trial.PhaseEnded
		if watching && f.def == "on" {
			f.def = "off"
			touched = append(touched, "flag/"+t.flag)
		}
	}
	t.revision = m.commit(touched...)
	m.trials[name] = t
	if len(touched) > 1 {
		f.revision = m.revision
		m.flags[t.flag] = f
	}
	return ""
}

func (f modelFlag) real(key string) flag.Flag {
	return boolFlag(key, func(to *flag.Flag) {
		to.Kind, to.DefaultVariant, to.Enabled = f.kind, f.def, f.enabled
		to.Variants[0].Value = []byte(f.on)
		if f.segment != "" {
			to.Rules = []flag.Rule{rule(f.segment, "on")}
		}
	})
}

// Whatever is done in whatever order, through several services and over restarts, the control
// plane answers as the model does, holds what the model holds, and its deltas lead from every
// earlier state to the newest.
func TestServiceAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := storetest.NewMemory()
		m, services := newModel(), []*rig{joinRig(t, log), joinRig(t, log)}
		earlier := []flag.Set{*services[0].Snapshot().Set}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(services)-1).Draw(rt, "service")
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				services[i] = services[i].restart()
			}
			step(rt, m, services[i])
			earlier = append(earlier, *services[i].Snapshot().Set)
		}
		final := services[0].restart()
		m.compare(rt, final)
		leadTo(rt, final, earlier)
		if n := len(storetest.CheckChain(t, log)); int64(n) != m.revision {
			rt.Fatalf("the log holds %d changes, want %d", n, m.revision)
		}
	})
}

// step does one random thing to both and compares the answers.
func step(rt *rapid.T, m *model, r *rig) {
	ctx := r.t.Context()
	key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "flag")
	seg := rapid.SampledFrom([]string{"s1", "s2"}).Draw(rt, "segment")
	maybe := rapid.SampledFrom([]string{"", "", "s1", "s2"}).Draw(rt, "named segment")
	name := rapid.SampledFrom([]string{"t1", "t2"}).Draw(rt, "trial")
	o := control.WriteOptions{Actor: "ana", DryRun: rapid.IntRange(0, 9).Draw(rt, "dry") == 0}
	layerKey, slot := rapid.SampledFrom([]string{"l1", "l2"}).Draw(rt, "layer"), rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "slot")
	current := map[string]int64{"layer": m.layers[layerKey].revision, "flag": m.flags[key].revision, "segment": m.segments[seg], "trial": m.trials[name].revision}
	condition := func(of string) control.IfMatch {
		return rapid.SampledFrom([]control.IfMatch{0, 0, 0, control.MatchExists, control.MatchAbsent, control.IfMatch(max(current[of], 1)),
			control.IfMatch(current[of] + 1)}).Draw(rt, "condition")
	}
	var want control.Code
	var err error
	what := rapid.SampledFrom([]string{"put flag", "put flag", "put segment", "delete flag", "delete segment", "put layer", "delete layer", "apply", "apply", "start", "command", "command"}).Draw(rt, "what")
	switch what {
	case "put flag":
		f := drawFlag(rt)
		o.IfMatch = condition("flag")
		want = m.putFlag(key, f, o.IfMatch, o.DryRun)
		_, err = r.PutFlag(ctx, f.real(key), o)
	case "delete flag":
		o.IfMatch = condition("flag")
		want = m.deleteFlag(key, o.IfMatch, o.DryRun)
		_, err = r.DeleteFlag(ctx, key, o)
	case "put segment":
		o.IfMatch = condition("segment")
		want = m.putSegment(seg, o.IfMatch, o.DryRun)
		_, err = r.PutSegment(ctx, segment(seg), o)
	case "delete segment":
		o.IfMatch = condition("segment")
		want = m.deleteSegment(seg, o.IfMatch, o.DryRun)
		_, err = r.DeleteSegment(ctx, seg, o)
	case "put layer":
		o.IfMatch = condition("layer")
		want = m.putLayer(layerKey, slot, o.IfMatch, o.DryRun)
		_, err = r.PutLayer(ctx, modelLayer{flag: slot}.real(layerKey), o)
	case "delete layer":
		o.IfMatch = condition("layer")
		want = m.deleteLayer(layerKey, o.IfMatch, o.DryRun)
		_, err = r.DeleteLayer(ctx, layerKey, o)
	case "apply":
		want, err = m.applyBoth(rt, r, o)
	case "start":
		o.IfMatch = condition("trial")
		want = m.start(name, key, maybe, o.IfMatch, o.DryRun)
		_, err = r.StartTrial(ctx, rollout(name, key, func(s *trial.Spec) {
			if maybe != "" {
				s.Steps = []trial.Step{{Segments: []string{maybe}, Share: 50_000}, {Share: 50_000}}
			}
		}), o)
	case "command":
		verb := rapid.SampledFrom([]string{"pause", "resume", "promote", "abort"}).Draw(rt, "verb")
		o.IfMatch = condition("trial")
		want = m.command(name, verb, o.IfMatch, o.DryRun)
		_, err = r.CommandTrial(ctx, name, verb, o)
	}
	if got := codeOf(err); got != want {
		rt.Fatalf("%s: got %q (%v), want %q", what, got, err, want)
	}
	m.compare(rt, r)
}

func codeOf(err error) control.Code {
	if err == nil {
		return ""
	}
	return control.CodeOf(err)
}

// compare holds the service, which has just written or was just started, against the model.
func (m *model) compare(rt *rapid.T, r *rig) {
	if got := r.Head().Revision; got != m.revision {
		rt.Fatalf("revision %d, want %d", got, m.revision)
	}
	flags, _ := r.ListFlags(control.Page{})
	if got := len(flags); got != len(m.flags) {
		rt.Fatalf("%d flags, want %d", got, len(m.flags))
	}
	for _, f := range flags {
		want := m.flags[f.Key]
		if f.Revision != want.revision || asJSON(f.Flag) != asJSON(want.real(f.Key)) {
			rt.Fatalf("flag %s is %s, want %s at %d", f.Key, asJSON(f), asJSON(want.real(f.Key)), want.revision)
		}
	}
	segments, _ := r.ListSegments(control.Page{})
	got := map[string]int64{}
	for _, s := range segments {
		got[s.Key] = s.Revision
	}
	if !maps.Equal(got, m.segments) {
		rt.Fatalf("segments %v, want %v", got, m.segments)
	}
	m.compareLayers(rt, r)
	m.compareTrials(rt, r)
	set := r.Snapshot().Set
	if err := set.Validate(); err != nil {
		rt.Fatalf("what is stored cannot be evaluated: %v", err)
	}
	if asJSON(set) != asJSON(set.Normalize()) || string(r.Snapshot().JSON()) != asJSON(set) {
		rt.Fatalf("the snapshot is not in normal form: %s", asJSON(set))
	}
}

func (m *model) compareTrials(rt *rapid.T, r *rig) {
	trials, _ := r.ListTrials(control.Page{})
	if len(trials) != len(m.trials) {
		rt.Fatalf("%d trials, want %d", len(trials), len(m.trials))
	}
	active := map[string]bool{}
	for _, e := range trials {
		got := modelTrial{flag: e.Spec.Flag, phase: e.State.Phase, attempt: e.State.Attempt, revision: e.Revision, segment: m.trials[e.Spec.Name].segment}
		if got != m.trials[e.Spec.Name] {
			rt.Fatalf("trial %s is %+v, want %+v", e.Spec.Name, got, m.trials[e.Spec.Name])
		}
		active[e.Spec.Name] = got.phase != trial.PhaseEnded
	}
	allocated := map[string]bool{}
	for _, a := range r.Snapshot().Set.Allocations {
		allocated[a.Trial] = true
	}
	for name := range active {
		if active[name] != allocated[name] {
			rt.Fatalf("trial %s: active %v, allocated %v", name, active[name], allocated[name])
		}
	}
	for e, want := range m.touched {
		m.compareHistory(rt, r, e, want)
	}
}

func (m *model) compareHistory(rt *rapid.T, r *rig, e string, want []int64) {
	kind, key, _ := strings.Cut(e, "/")
	list, err := r.History(r.t.Context(), control.EntityKind(kind), key, 0, 0)
	var got []int64
	for _, c := range list {
		got = append(got, c.Revision)
	}
	slices.Reverse(got)
	if err != nil || !slices.Equal(got, want) {
		rt.Fatalf("history of %s: %v, want %v, error %v", e, got, want, err)
	}
}

// leadTo applies to every earlier set the deltas since then.
func leadTo(rt *rapid.T, r *rig, earlier []flag.Set) {
	want := string(r.Snapshot().JSON())
	for _, set := range earlier {
		deltas, ok := r.DeltasSince(set.History, set.Revision)
		if !ok {
			rt.Fatalf("no deltas since revision %d", set.Revision)
		}
		from := set.Revision
		for _, d := range deltas {
			var err error
			if set, err = set.Apply(d.Delta); err != nil {
				rt.Fatalf("after revision %d: %v", from, err)
			}
			if string(d.JSON()) != asJSON(d.Delta) {
				rt.Fatalf("delta %d is sent as %s", d.Delta.Revision, d.JSON())
			}
		}
		if got := asJSON(set); got != want {
			rt.Fatalf("from revision %d the deltas lead to\n%s\nwant\n%s", from, got, want)
		}
	}
}
