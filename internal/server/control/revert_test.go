package control_test

import (
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestRevert(t *testing.T) {
	describe := func(text string) func(*flag.Flag) { return func(f *flag.Flag) { f.Description = text } }
	ruled := func(f *flag.Flag) { f.Rules = []flag.Rule{rule("beta", "on")} }
	r := newRig(t)
	ctx := t.Context()
	put := func(key string, change ...func(*flag.Flag)) int64 {
		return must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag(key, change...), ana)).Revision
	}
	created := put("f", describe("first"))
	changed := put("f", describe("second"))

	c := must[control.Change](t)(r.Revert(ctx, changed, control.WriteOptions{Actor: "ana", Reason: "no good"}))
	if f := must[control.FlagEntry](t)(r.GetFlag("f")); f.Description != "first" || f.Revision != c.Revision || c.Reason != "no good" {
		t.Errorf("after reverting a change: %+v, %q", f, c.Reason)
	}
	_, err := r.Revert(ctx, changed, ana)
	wantCode(t, err, control.CodeConflict, `flag "f" (revision 3)`)
	_, err = r.Revert(ctx, created, ana)
	wantCode(t, err, control.CodeConflict, `flag "f"`)

	// A revert can be reverted.
	must[control.Change](t)(r.Revert(ctx, c.Revision, ana))
	if f := must[control.FlagEntry](t)(r.GetFlag("f")); f.Description != "second" {
		t.Errorf("after reverting the revert: %+v", f)
	}
	// Creations and deletions.
	made := put("g")
	dry := control.WriteOptions{Actor: "ana", DryRun: true}
	if c := must[control.Change](t)(r.Revert(ctx, made, dry)); len(c.Ops) != 1 || c.Ops[0].Value != nil || c.Ops[0].Key != "g" {
		t.Errorf("a dry run would %s", asJSON(c.Ops))
	}
	must[control.Change](t)(r.Revert(ctx, made, ana))
	_, err = r.GetFlag("g")
	wantCode(t, err, control.CodeNotFound, "")
	gone := must[control.Change](t)(r.DeleteFlag(ctx, "f", ana))
	back := must[control.Change](t)(r.Revert(ctx, gone.Revision, ana))
	if f := must[control.FlagEntry](t)(r.GetFlag("f")); f.Description != "second" || back.Reason != "Reverts revision 7." {
		t.Errorf("after reverting the deletion: %+v, %q", f, back.Reason)
	}

	// What would not be valid any more is refused.
	beta := must[control.SegmentEntry](t)(r.CreateSegment(ctx, segment("beta"), ana))
	used := put("h", ruled)
	_, err = r.Revert(ctx, beta.Revision, ana)
	wantCode(t, err, control.CodePrecondition, `used by flag "h"`)
	must[control.Change](t)(r.Revert(ctx, used, ana))
	must[control.Change](t)(r.Revert(ctx, beta.Revision, ana))

	for _, revision := range []int64{0, -1, 99} {
		_, err = r.Revert(ctx, revision, ana)
		wantCode(t, err, control.CodeNotFound, "no change with revision")
	}
}

func TestRevertRefusesTrialsAndTokens(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	flagged := must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	started := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	token, _, err := r.CreateToken(ctx, control.NewToken{Name: "n", Kind: control.TokenAPI}, ana)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Revert(ctx, started.Revision, ana)
	wantCode(t, err, control.CodePrecondition, "abort")
	_, err = r.Revert(ctx, token.Revision, ana)
	wantCode(t, err, control.CodePrecondition, "revoke")
	_, err = r.Revert(ctx, flagged.Revision, ana)
	wantCode(t, err, control.CodePrecondition, `trial "t"`)
	promoted := must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "promote", ana))
	_, err = r.Revert(ctx, promoted.Revision, ana)
	wantCode(t, err, control.CodePrecondition, "abort")
}

func TestHistory(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	for range 5 {
		must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("f"), ana))
		must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("g"), ana))
	}
	must[control.Change](t)(r.DeleteFlag(ctx, "f", ana))
	for _, c := range []struct {
		name   string
		kind   control.EntityKind
		key    string
		before int64
		limit  int
		want   []int64
	}{
		{"all", control.KindFlag, "f", 0, 0, []int64{11, 9, 7, 5, 3, 1}},
		{"the newest", control.KindFlag, "f", 0, 2, []int64{11, 9}},
		{"the next page", control.KindFlag, "f", 9, 2, []int64{7, 5}},
		{"between two", control.KindFlag, "f", 8, 1, []int64{7}},
		{"before the first", control.KindFlag, "f", 1, 9, nil},
		{"another key", control.KindFlag, "g", 0, 1, []int64{10}},
		{"another kind", control.KindSegment, "f", 0, 0, nil},
	} {
		list, err := r.History(ctx, c.kind, c.key, c.before, c.limit)
		var got []int64
		for _, change := range list {
			got = append(got, change.Revision)
		}
		if err != nil || asJSON(got) != asJSON(c.want) {
			t.Errorf("%s: %v, want %v, error %v", c.name, got, c.want, err)
		}
	}
	if list := must[[]control.Change](t)(r.ListChanges(ctx, 3, 4)); len(list) != 4 || list[0].Revision != 4 {
		t.Errorf("a page of changes: %s", asJSON(list))
	}
	_, err := r.GetChange(ctx, 12)
	wantCode(t, err, control.CodeNotFound, "12")
}
