package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

func archived(f *flag.Flag) { f.Archived = true }

func needs(key string, variants ...string) func(*flag.Flag) {
	return func(f *flag.Flag) { f.Prerequisites = []flag.Prerequisite{{Flag: key, Variants: variants}} }
}

func layer(key string, flags ...string) flag.Layer {
	l := flag.Layer{Key: key}
	for i, f := range flags {
		l.Slots = append(l.Slots, flag.Slot{Flag: f, From: flag.Weight(i) * 10_000, To: flag.Weight(i+1) * 10_000})
	}
	return l
}

func TestLayers(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	put := func(l flag.Layer) error { _, err := r.PutLayer(ctx, l, ana); return err }
	wantCode(t, put(layer("search", "f")), control.CodeInvalid, `no flag "f"`)
	for _, key := range []string{"f", "g"} {
		must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag(key), ana))
	}
	made := must[control.LayerEntry](t)(r.CreateLayer(ctx, layer("search", "f", "g"), ana))
	_, err := r.CreateLayer(ctx, layer("search"), ana)
	wantCode(t, err, control.CodeExists, `layer "search"`)
	wantCode(t, put(layer("other", "g")), control.CodeInvalid, `layer "search"`)
	if got := pointers(put(layer("other", "g"))); !slices.Equal(got, []string{"/slots/0/flag"}) {
		t.Errorf("places %v", got)
	}
	_, err = r.DeleteFlag(ctx, "g", ana)
	wantCode(t, err, control.CodePrecondition, `layer "search"`)
	if set := r.Snapshot().Set; len(set.Layers) != 1 || set.Layers[0].Key != "search" {
		t.Errorf("the snapshot has %s", asJSON(set.Layers))
	}
	deltas, _ := r.DeltasSince(r.Head().History, made.Revision-1)
	if len(deltas) != 1 || len(deltas[0].Delta.Layers) != 1 {
		t.Errorf("the delta is %s", asJSON(deltas))
	}
	again := r.restart()
	wantEqual(t, "after a restart", must[control.LayerEntry](t)(again.GetLayer("search")), made)
	must[control.Change](t)(r.DeleteLayer(ctx, "search", ana))
	_, err = r.GetLayer("search")
	wantCode(t, err, control.CodeNotFound, `layer "search"`)
	if items, _ := r.ListLayers(control.Page{}); len(items) != 0 || len(r.Snapshot().Set.Layers) != 0 {
		t.Errorf("left over: %s", asJSON(items))
	}
	c := must[control.Change](t)(r.Revert(ctx, r.Head().Revision, ana))
	if c.Ops[0].Kind != control.KindLayer || must[control.LayerEntry](t)(r.GetLayer("search")).Revision != c.Revision {
		t.Errorf("the revert did %s", asJSON(c.Ops))
	}
	if list := must[[]control.Change](t)(r.History(ctx, control.KindLayer, "search", 0, 0)); len(list) != 3 {
		t.Errorf("history of %d changes", len(list))
	}
}

// While a trial runs on a flag, no change of layers moves units into it or out of it.
func TestTrialsKeepTheirPlaceInTheLayers(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	for _, key := range []string{"f", "g", "h"} {
		must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag(key), ana))
	}
	must[control.LayerEntry](t)(r.CreateLayer(ctx, layer("l", "f", "g"), ana))
	must[control.LayerEntry](t)(r.CreateLayer(ctx, flag.Layer{Key: "all", Global: true, Holdout: 1000}, ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	change := func(f func(*flag.Layer)) flag.Layer { l := layer("l", "f", "g"); f(&l); return l }
	for _, c := range []struct {
		name    string
		layer   flag.Layer
		allowed bool
	}{
		{"nothing", layer("l", "f", "g"), true},
		{"the description", change(func(l *flag.Layer) { l.Description = "x" }), true},
		{"the salt, spelt out", change(func(l *flag.Layer) { l.Salt = "l" }), true},
		{"the slot of another flag", change(func(l *flag.Layer) { l.Slots[1].To = 30_000 }), true},
		{"a holdout beside the slots", change(func(l *flag.Layer) { l.Holdout = 10_000 }), true},
		{"its slot", change(func(l *flag.Layer) { l.Slots[0].To = 5_000 }), false},
		{"no slot any more", layer("l", "g"), false},
		{"the salt", change(func(l *flag.Layer) { l.Salt = "other" }), false},
		{"the global holdout", flag.Layer{Key: "all", Global: true, Holdout: 2000}, false},
		{"a layer without it", layer("l2", "h"), true},
	} {
		o := ana
		o.DryRun = true
		_, err := r.PutLayer(ctx, c.layer, o)
		if c.allowed && err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !c.allowed {
			wantCode(t, err, control.CodePrecondition, `trial "t"`)
		}
	}
	_, err := r.DeleteLayer(ctx, "all", ana)
	wantCode(t, err, control.CodePrecondition, `trial "t"`)
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "abort", ana))
	must[control.Change](t)(r.DeleteLayer(ctx, "all", ana))
}

func TestArchive(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	put := func(f flag.Flag) error { _, err := r.PutFlag(ctx, f, ana); return err }
	for _, f := range []flag.Flag{boolFlag("base"), boolFlag("slotted"), boolFlag("tried"), boolFlag("free"), boolFlag("user", needs("base", "on"))} {
		if err := put(f); err != nil {
			t.Fatal(err)
		}
	}
	must[control.LayerEntry](t)(r.CreateLayer(ctx, layer("l", "slotted"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "tried"), ana))
	for key, says := range map[string]string{"base": `flag "user"`, "slotted": `layer "l"`, "tried": `trial "t"`} {
		if err := put(boolFlag(key, archived)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("archiving %s: %v, want something about %s", key, err, says)
		}
		_, err := r.DeleteFlag(ctx, key, ana)
		wantCode(t, err, control.CodePrecondition, says)
	}
	// In use it keeps what its users name.
	one := boolFlag("base", func(f *flag.Flag) { f.Variants = f.Variants[1:] })
	if err := put(one); control.CodeOf(err) != control.CodeInvalid {
		t.Errorf("a variant that a prerequisite names was removed: %v", err)
	}

	if err := put(boolFlag("free", archived, func(f *flag.Flag) { f.Description = "done" })); err != nil {
		t.Fatal(err)
	}
	changed := boolFlag("free", archived, func(f *flag.Flag) { f.Description = "other" })
	wantCode(t, put(changed), control.CodePrecondition, "restore it")
	wantCode(t, put(boolFlag("late", needs("free", "on"))), control.CodeInvalid, "archived")
	_, err := r.PutLayer(ctx, layer("m", "free"), ana)
	wantCode(t, err, control.CodePrecondition, "archived")
	_, err = r.StartTrial(ctx, rollout("u", "free"), ana)
	wantCode(t, err, control.CodePrecondition, "archived")

	if err := put(boolFlag("free", func(f *flag.Flag) { f.Description = "other" })); err != nil {
		t.Errorf("restoring: %v", err)
	}
	if err := put(boolFlag("free", archived)); err != nil {
		t.Fatal(err)
	}
	must[control.Change](t)(r.DeleteFlag(ctx, "free", ana))
}

func TestNoTrialOnADefinition(t *testing.T) {
	r := newRig(t)
	raw := flag.Flag{Key: "raw", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true,
		Definition: []byte(`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}`)}
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), raw, ana))
	_, err := r.StartTrial(t.Context(), rollout("t", "raw"), ana)
	wantCode(t, err, control.CodePrecondition, "flagd definition")

	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f"), ana))
	raw.Key = "f"
	if _, err := r.PutFlag(t.Context(), raw, ana); err == nil {
		t.Error("a flag became a definition while a trial runs on it")
	}
}

func TestSchemasAreChecked(t *testing.T) {
	r := newRig(t)
	f := flag.Flag{Key: "limits", Kind: flag.KindConfig, Type: flag.TypeObject, Enabled: true, DefaultVariant: "a",
		Schema:   []byte(`{"properties":{"rate":{"maximum":10}}}`),
		Variants: []flag.Variant{{Name: "a", Value: []byte(`{"rate":5}`)}, {Name: "b", Value: []byte(`{"rate":50}`)}}}
	_, err := r.CreateFlag(t.Context(), f, ana)
	wantCode(t, err, control.CodeInvalid, "")
	if got := pointers(err); !slices.Equal(got, []string{"/variants/1/value/rate"}) {
		t.Errorf("places %v", got)
	}
	_, err = r.Apply(t.Context(), control.Batch{Segments: []flag.Segment{segment("s")}, Flags: []flag.Flag{boolFlag("g"), f}}, ana)
	if got := pointers(err); !slices.Equal(got, []string{"/flags/1/variants/1/value/rate"}) {
		t.Errorf("places %v in a batch", got)
	}
	f.Variants[1].Value = []byte(`{"rate":10}`)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), f, ana))
}

func TestMemberListsAreNotWrittenByHand(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	list := &flag.List{HashKey: "000102030405060708090a0b0c0d0e0f", Count: 1, Parts: []flag.ListPart{{Digest: fmt.Sprintf("%064x", 7), Bytes: 8}}}
	_, err := r.CreateSegment(ctx, flag.Segment{Key: "s", List: list}, ana)
	wantCode(t, err, control.CodeInvalid, "uploaded")
	must[control.SegmentEntry](t)(r.CreateSegment(ctx, flag.Segment{Key: "s"}, ana))
	must[control.SegmentEntry](t)(r.SetList(ctx, "s", nil, list, ana))
	must[control.SegmentEntry](t)(r.PutSegment(ctx, flag.Segment{Key: "s", Description: "kept", List: list}, ana))
	other := *list
	other.Count = 2
	_, err = r.PutSegment(ctx, flag.Segment{Key: "s", List: &other}, ana)
	wantCode(t, err, control.CodeInvalid, "uploaded")
	must[control.SegmentEntry](t)(r.PutSegment(ctx, flag.Segment{Key: "s"}, ana))
}

func TestRestoreFlag(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	put := func(text string) int64 {
		return must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("f", func(f *flag.Flag) { f.Description = text }), ana)).Revision
	}
	must[control.SegmentEntry](t)(r.CreateSegment(ctx, segment("s"), ana))
	first := put("first")
	put("second")
	for revision, want := range map[int64]string{first: "first", first + 1: "second"} {
		got := must[control.FlagEntry](t)(r.RestoreFlag(ctx, "f", revision, ana))
		if got.Description != want || got.Revision != r.Head().Revision {
			t.Errorf("revision %d: got %s", revision, asJSON(got))
		}
	}
	if c := must[control.Change](t)(r.GetChange(ctx, r.Head().Revision)); c.Reason == "" {
		t.Error("the restoration has no reason")
	}
	_, err := r.RestoreFlag(ctx, "f", 1, ana)
	wantCode(t, err, control.CodeNotFound, "revision 1")
	_, err = r.RestoreFlag(ctx, "f", 99, ana)
	wantCode(t, err, control.CodeNotFound, "no revision 99")
	stale := ana
	stale.IfMatch = 2
	_, err = r.RestoreFlag(ctx, "f", first, stale)
	wantCode(t, err, control.CodeConflict, "")
	must[control.Change](t)(r.DeleteFlag(ctx, "f", ana))
	must[control.FlagEntry](t)(r.RestoreFlag(ctx, "f", first, ana))
	_, err = r.RestoreFlag(ctx, "f", r.Head().Revision-1, ana)
	wantCode(t, err, control.CodeNotFound, "")
}

func TestNewestChanges(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		must[control.SegmentEntry](t)(r.CreateSegment(t.Context(), segment(fmt.Sprint("s", i)), ana))
	}
	for _, c := range []struct {
		after, before int64
		limit         int
		want          []int64
	}{
		{0, 0, 3, []int64{7, 6, 5}},
		{0, 5, 3, []int64{4, 3, 2}},
		{0, 2, 3, []int64{1}},
		{0, 1, 3, nil},
		{4, 0, 100, []int64{7, 6, 5}},
		{4, 7, 1, []int64{6}},
		{9, 0, 3, nil},
		{0, 99, 2, []int64{7, 6}},
	} {
		var got []int64
		for _, change := range must[[]control.Change](t)(r.NewestChanges(t.Context(), c.after, c.before, c.limit)) {
			got = append(got, change.Revision)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("after %d before %d, %d at most: %v, want %v", c.after, c.before, c.limit, got, c.want)
		}
	}
}
