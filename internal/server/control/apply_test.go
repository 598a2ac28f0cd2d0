package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

// story tells what a batch did in short words.
func story(a control.Applied) string {
	var words []string
	for _, item := range a.Items {
		words = append(words, fmt.Sprintf("%s/%s %s", item.Kind, item.Key, item.Action))
	}
	return strings.Join(words, ", ")
}

func TestApply(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	ruled := boolFlag("f", func(f *flag.Flag) { f.Rules = []flag.Rule{rule("beta", "on")} })
	batch := control.Batch{
		Flags:    []flag.Flag{boolFlag("g", needs("f", "on")), ruled},
		Segments: []flag.Segment{segment("beta")}, Layers: []flag.Layer{layer("l", "g")},
		DeleteFlags: []string{"never"},
	}
	dry := control.WriteOptions{Actor: "ana", DryRun: true}
	want := "flag/g created, flag/f created, flag/never unchanged, segment/beta created, layer/l created"
	for _, o := range []control.WriteOptions{dry, {Actor: "ana", Reason: "all of it", IdempotencyKey: "k"}} {
		got := must[control.Applied](t)(r.Apply(ctx, batch, o))
		if story(got) != want || got.Revision != r.Head().Revision {
			t.Fatalf("dry %v: %q at %d, want %q", o.DryRun, story(got), got.Revision, want)
		}
	}
	if c := must[control.Change](t)(r.GetChange(ctx, 1)); len(c.Ops) != 4 || c.Reason != "all of it" || r.Head().Revision != 1 {
		t.Fatalf("the change is %s", asJSON(c))
	}

	// The same again changes nothing and stores nothing.
	if got := must[control.Applied](t)(r.Apply(ctx, batch, ana)); got.Revision != 0 || strings.Contains(story(got), "ated") || r.Head().Revision != 1 {
		t.Errorf("the second time: %s at %d", story(got), got.Revision)
	}
	// An update and deletions, of which the order does not matter: the segment goes with its user.
	ruled.Rules, ruled.Description = nil, "no rule any more"
	batch = control.Batch{Flags: []flag.Flag{ruled}, DeleteSegments: []string{"beta"}, DeleteFlags: []string{"g"}, DeleteLayers: []string{"l"}}
	got := must[control.Applied](t)(r.Apply(ctx, batch, ana))
	if want := "flag/f updated, flag/g deleted, segment/beta deleted, layer/l deleted"; story(got) != want {
		t.Errorf("%q, want %q", story(got), want)
	}
	item := got.Items[0]
	if !strings.Contains(string(item.Before), `"beta"`) || !strings.Contains(string(item.After), "no rule any more") || got.Items[1].After != nil {
		t.Errorf("before and after: %s", asJSON(got.Items))
	}
	// One change is undone by one.
	must[control.Change](t)(r.Revert(ctx, got.Revision, ana))
	if set := r.Snapshot().Set; len(set.Flags) != 2 || len(set.Segments) != 1 || len(set.Layers) != 1 {
		t.Errorf("after the revert: %s", asJSON(set))
	}
}

func TestApplyIsRepeatedOnce(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	o := control.WriteOptions{Actor: "ana", IdempotencyKey: "one"}
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("same"), ana))
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("old"), ana))
	batch := control.Batch{Flags: []flag.Flag{boolFlag("f", func(f *flag.Flag) { f.Owner = "x" }), boolFlag("same")},
		Segments: []flag.Segment{segment("s")}, DeleteFlags: []string{"old"}}
	first := must[control.Applied](t)(r.Apply(ctx, batch, o))
	must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("f"), ana))
	again := must[control.Applied](t)(r.restart().Apply(ctx, batch, o))
	wantEqual(t, "the repeat", again, first)
	if r.Head().Revision != first.Revision+1 {
		t.Errorf("the repeat moved the log to %d", r.Head().Revision)
	}
}

func TestApplyIsRefusedAsAWhole(t *testing.T) {
	for _, c := range []struct {
		name  string
		batch control.Batch
		want  control.Code
		at    []string
		says  string
	}{
		{name: "a bad flag among good ones", batch: control.Batch{Flags: []flag.Flag{boolFlag("x"), boolFlag("y", func(f *flag.Flag) { f.DefaultVariant = "none" })}},
			want: control.CodeInvalid, at: []string{"/flags/1/defaultVariant"}},
		{name: "several places", batch: control.Batch{Segments: []flag.Segment{{Key: "a b"}}, Layers: []flag.Layer{layer("l", "nobody")}},
			want: control.CodeInvalid, at: []string{"/segments/0/key", "/layers/0/slots/0/flag"}},
		{name: "named twice", batch: control.Batch{Flags: []flag.Flag{boolFlag("x")}, DeleteFlags: []string{"y", "x"}}, want: control.CodeInvalid, at: []string{"/deleteFlags/1"}, says: "/flags/0"},
		{name: "a segment in use", batch: control.Batch{DeleteSegments: []string{"beta"}}, want: control.CodePrecondition, says: `flag "user"`},
		{name: "a flag in use", batch: control.Batch{DeleteFlags: []string{"base"}}, want: control.CodePrecondition, says: `flag "user"`},
		{name: "a flag and its user", batch: control.Batch{DeleteFlags: []string{"base", "user"}}},
		{name: "two that need each other", batch: control.Batch{Flags: []flag.Flag{boolFlag("x", needs("y", "on")), boolFlag("y", needs("x", "on"))}}, want: control.CodeInvalid},
		{name: "what another flag names", batch: control.Batch{Flags: []flag.Flag{boolFlag("base", func(f *flag.Flag) { f.Variants = f.Variants[1:] }), boolFlag("x")}},
			want: control.CodeInvalid, says: "user"},
		{name: "a flag with a trial", batch: control.Batch{DeleteFlags: []string{"tried"}, Flags: []flag.Flag{boolFlag("x")}}, want: control.CodePrecondition, says: `trial "t"`},
		{name: "another kind", batch: control.Batch{Flags: []flag.Flag{boolFlag("free", func(f *flag.Flag) { f.Kind = flag.KindConfig }), boolFlag("x")}}, want: control.CodePrecondition, says: "kind"},
		{name: "a condition that holds", batch: control.Batch{Flags: []flag.Flag{boolFlag("x")},
			Conditions: []control.Condition{{Kind: control.KindFlag, Key: "base", Revision: 2}, {Kind: control.KindFlag, Key: "x"}}}},
		{name: "moved on", batch: control.Batch{Flags: []flag.Flag{boolFlag("x")}, Conditions: []control.Condition{{Kind: control.KindFlag, Key: "base", Revision: 1}}}, want: control.CodeConflict, says: `flag "base"`},
		{name: "there already", batch: control.Batch{Flags: []flag.Flag{boolFlag("free")}, Conditions: []control.Condition{{Kind: control.KindFlag, Key: "free"}}}, want: control.CodeExists},
		{name: "a condition on a token", batch: control.Batch{Conditions: []control.Condition{{Kind: control.KindToken, Key: "x"}}}, want: control.CodeInvalid, at: []string{"/ifMatch/0/kind"}},
		{name: "too many", batch: control.Batch{DeleteFlags: make([]string, control.MaxOps+1)}, want: control.CodeTooLarge, says: "split it"},
		{name: "nothing", batch: control.Batch{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			must[control.SegmentEntry](t)(r.CreateSegment(t.Context(), segment("beta"), ana))
			for _, f := range []flag.Flag{boolFlag("base"), boolFlag("free"), boolFlag("tried"),
				boolFlag("user", needs("base", "on"), func(f *flag.Flag) { f.Rules = []flag.Rule{rule("beta", "on")} })} {
				must[control.FlagEntry](t)(r.CreateFlag(t.Context(), f, ana))
			}
			must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "tried"), ana))
			before := r.Head()
			_, err := r.Apply(t.Context(), c.batch, ana)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, c.want, c.says)
			if got := pointers(err); c.at != nil && !slices.Equal(got, c.at) {
				t.Errorf("places %v, want %v", got, c.at)
			}
			if r.Head() != before {
				t.Error("a refused batch moved the log")
			}
		})
	}
}

// What an older version has stored and this one would refuse is in nobody's way, and can be
// deleted and mended.
func TestWhatWasInvalidBeforeIsInNobodysWay(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	bad := func(key string) flag.Flag {
		return boolFlag(key, func(f *flag.Flag) { f.Rules = []flag.Rule{rule("gone", "on")} })
	}
	var ops []control.Op
	for _, key := range []string{"a", "b", "c"} {
		ops = append(ops, control.Op{Kind: control.KindFlag, Key: key, Value: []byte(asJSON(bad(key)))})
	}
	if _, err := r.log.Append(ctx, 0, control.Draft{Actor: "an older version", Time: day0, Ops: ops}); err != nil {
		t.Fatal(err)
	}
	r = r.restart()
	must[control.Applied](t)(r.Apply(ctx, control.Batch{Flags: []flag.Flag{boolFlag("x"), boolFlag("y")}, Segments: []flag.Segment{segment("s")}}, ana))
	must[control.Applied](t)(r.Apply(ctx, control.Batch{Flags: []flag.Flag{boolFlag("a")}, DeleteFlags: []string{"x"}}, ana))
	must[control.Change](t)(r.DeleteFlag(ctx, "b", ana))
	_, err := r.Apply(ctx, control.Batch{Flags: []flag.Flag{bad("c"), bad("y")}}, ana)
	wantCode(t, err, control.CodeInvalid, "gone")
	if got := pointers(err); !slices.Equal(got, []string{"/flags/1/rules/0/when/segment"}) {
		t.Errorf("places %v", got)
	}
}
