package control_test

import (
	"maps"
	"strings"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// modelLayer is a layer with at most one slot, which is always the same part of it.
type modelLayer struct {
	flag     string
	revision int64
}

func (l modelLayer) real(key string) flag.Layer {
	to := flag.Layer{Key: key}
	if l.flag != "" {
		to.Slots = []flag.Slot{{Flag: l.flag, From: 0, To: 10_000}}
	}
	return to
}

// layerOf gives the layer that has a slot for a flag.
func (m *model) layerOf(key string) string {
	for name, l := range m.layers {
		if l.flag == key {
			return name
		}
	}
	return ""
}

// validLayers says whether the flags of all layers exist and are in no other.
func (m *model) validLayers() bool {
	seen := map[string]bool{}
	for _, l := range m.layers {
		if _, exists := m.flags[l.flag]; l.flag != "" && (!exists || seen[l.flag]) {
			return false
		}
		seen[l.flag] = true
	}
	return true
}

// moved says whether a running trial is in another layer than in old.
func (m *model) moved(old *model) bool {
	for _, t := range m.trials {
		if t.phase != trial.PhaseEnded && m.layerOf(t.flag) != old.layerOf(t.flag) {
			return true
		}
	}
	return false
}

func (m *model) copy() *model {
	return &model{revision: m.revision, flags: maps.Clone(m.flags), kinds: maps.Clone(m.kinds), segments: maps.Clone(m.segments),
		layers: maps.Clone(m.layers), trials: maps.Clone(m.trials), touched: maps.Clone(m.touched)}
}

func (m *model) putLayer(key, slot string, condition control.IfMatch, dry bool) control.Code {
	if code := matches(condition, m.layers[key].revision); code != "" {
		return code
	}
	next := m.copy()
	next.layers[key] = modelLayer{flag: slot}
	switch {
	case !next.validLayers():
		return control.CodeInvalid
	case next.moved(m):
		return control.CodePrecondition
	}
	if !dry {
		m.layers[key] = modelLayer{slot, m.commit("layer/" + key)}
	}
	return ""
}

func (m *model) deleteLayer(key string, condition control.IfMatch, dry bool) control.Code {
	if m.layers[key].revision == 0 {
		return control.CodeNotFound
	}
	if code := matches(condition, m.layers[key].revision); code != "" {
		return code
	}
	next := m.copy()
	if delete(next.layers, key); next.moved(m) {
		return control.CodePrecondition
	}
	if !dry {
		m.commit("layer/" + key)
		delete(m.layers, key)
	}
	return ""
}

// changes is what a batch does to the model; nil values delete.
type changes struct {
	flags    map[string]*modelFlag
	segments map[string]bool
	layers   map[string]*modelLayer
}

func drawFlag(rt *rapid.T) modelFlag {
	return modelFlag{kind: rapid.SampledFrom([]flag.Kind{flag.KindRelease, flag.KindRelease, flag.KindConfig}).Draw(rt, "kind"),
		on: rapid.SampledFrom([]string{"true", "true", "false"}).Draw(rt, "on"), def: rapid.SampledFrom([]string{"on", "off"}).Draw(rt, "default"),
		segment: rapid.SampledFrom([]string{"", "", "s1", "s2"}).Draw(rt, "named"), enabled: rapid.IntRange(0, 4).Draw(rt, "enabled") > 0}
}

// applyBoth draws a batch and applies it to both.
func (m *model) applyBoth(rt *rapid.T, r *rig, o control.WriteOptions) (want control.Code, err error) {
	c := changes{map[string]*modelFlag{}, map[string]bool{}, map[string]*modelLayer{}}
	var b control.Batch
	does := func(what string) string {
		return rapid.SampledFrom([]string{"", "", "put", "put", "delete"}).Draw(rt, what)
	}
	for _, key := range []string{"a", "b", "c"} {
		switch does("flag " + key) {
		case "put":
			f := drawFlag(rt)
			if old, exists := m.flags[key]; exists && rapid.Bool().Draw(rt, "as it is") {
				f = old
			}
			c.flags[key] = &f
			b.Flags = append(b.Flags, f.real(key))
		case "delete":
			c.flags[key] = nil
			b.DeleteFlags = append(b.DeleteFlags, key)
		}
	}
	for _, key := range []string{"s1", "s2"} {
		switch does("segment " + key) {
		case "put":
			c.segments[key] = true
			b.Segments = append(b.Segments, segment(key))
		case "delete":
			c.segments[key] = false
			b.DeleteSegments = append(b.DeleteSegments, key)
		}
	}
	for _, key := range []string{"l1", "l2"} {
		switch does("layer " + key) {
		case "put":
			l := modelLayer{flag: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "slot")}
			c.layers[key] = &l
			b.Layers = append(b.Layers, l.real(key))
		case "delete":
			c.layers[key] = nil
			b.DeleteLayers = append(b.DeleteLayers, key)
		}
	}
	want = m.apply(c, o.DryRun)
	_, err = r.Apply(r.t.Context(), b, o)
	return want, err
}

// apply is all or nothing: what goes must not be used by what is then, what is then must be valid,
// and what is put must fit what was.
func (m *model) apply(c changes, dry bool) control.Code {
	next := m.copy()
	var touched []string
	for key, f := range c.flags {
		old, exists := m.flags[key]
		switch same := old; {
		case f == nil && exists:
			delete(next.flags, key)
			touched = append(touched, "flag/"+key)
		case f != nil:
			if same.revision = f.revision; !exists || same != *f {
				next.flags[key] = *f
				touched = append(touched, "flag/"+key)
			}
		}
	}
	for key, put := range c.segments {
		if exists := m.segments[key] > 0; put != exists {
			touched = append(touched, "segment/"+key)
			if next.segments[key] = 1; !put {
				delete(next.segments, key)
			}
		}
	}
	for key, l := range c.layers {
		old, exists := m.layers[key]
		if l == nil && exists {
			delete(next.layers, key)
			touched = append(touched, "layer/"+key)
		} else if l != nil && (!exists || old.flag != l.flag) {
			next.layers[key] = *l
			touched = append(touched, "layer/"+key)
		}
	}
	if len(touched) == 0 {
		return ""
	}
	if code := m.mayBecome(next); code != "" || dry {
		return code
	}
	m.become(next, touched)
	return ""
}

func (m *model) mayBecome(next *model) control.Code {
	for key := range m.flags {
		if _, stays := next.flags[key]; !stays && (m.trialOn(key) != "" || next.layerOf(key) != "") {
			return control.CodePrecondition
		}
	}
	for key := range m.segments {
		if _, stays := next.segments[key]; !stays && next.uses(key) {
			return control.CodePrecondition
		}
	}
	for _, f := range next.flags {
		if _, known := next.segments[f.segment]; f.segment != "" && !known {
			return control.CodeInvalid
		}
	}
	if !next.validLayers() {
		return control.CodeInvalid
	}
	for key, f := range next.flags {
		kind, used := m.kinds[key]
		if old := m.flags[key]; used && kind != f.kind || m.trialOn(key) != "" && f.on != old.on {
			return control.CodePrecondition
		}
	}
	if next.moved(m) {
		return control.CodePrecondition
	}
	return ""
}

// uses says whether a flag or an active trial names a segment.
func (m *model) uses(segment string) bool {
	for _, f := range m.flags {
		if f.segment == segment {
			return true
		}
	}
	for _, t := range m.trials {
		if t.segment == segment && t.phase != trial.PhaseEnded {
			return true
		}
	}
	return false
}

func (m *model) become(next *model, touched []string) {
	revision := m.commit(touched...)
	m.flags, m.segments, m.layers = next.flags, next.segments, next.layers
	for _, e := range touched {
		switch kind, key, _ := strings.Cut(e, "/"); kind {
		case "flag":
			if f, ok := m.flags[key]; ok {
				f.revision, m.kinds[key] = revision, f.kind
				m.flags[key] = f
			}
		case "segment":
			if _, ok := m.segments[key]; ok {
				m.segments[key] = revision
			}
		case "layer":
			if l, ok := m.layers[key]; ok {
				l.revision = revision
				m.layers[key] = l
			}
		}
	}
}

func (m *model) compareLayers(rt *rapid.T, r *rig) {
	items, _ := r.ListLayers(control.Page{})
	if len(items) != len(m.layers) {
		rt.Fatalf("%d layers, want %d", len(items), len(m.layers))
	}
	for _, l := range items {
		want := m.layers[l.Key]
		if l.Revision != want.revision || asJSON(l.Layer) != asJSON(want.real(l.Key)) {
			rt.Fatalf("layer %s is %s, want %+v", l.Key, asJSON(l), want)
		}
	}
}
