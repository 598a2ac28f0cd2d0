package control_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestPutFlagConditions(t *testing.T) {
	for _, c := range []struct {
		name    string
		key     string // "f" is at revision 1, "gone" was deleted
		ifMatch control.IfMatch
		want    control.Code
	}{
		{name: "no condition, there", key: "f"},
		{name: "no condition, new", key: "new"},
		{name: "at its revision", key: "f", ifMatch: 1},
		{name: "at another revision", key: "f", ifMatch: 2, want: control.CodeConflict},
		{name: "must exist, there", key: "f", ifMatch: control.MatchExists},
		{name: "must exist, new", key: "new", ifMatch: control.MatchExists, want: control.CodeNotFound},
		{name: "must be new, there", key: "f", ifMatch: control.MatchAbsent, want: control.CodeExists},
		{name: "must be new, new", key: "new", ifMatch: control.MatchAbsent},
		{name: "must be new, deleted", key: "gone", ifMatch: control.MatchAbsent},
		{name: "a revision, new", key: "new", ifMatch: 7, want: control.CodeConflict},
		{name: "a revision, deleted", key: "gone", ifMatch: 2, want: control.CodeConflict},
		{name: "nonsense", key: "f", ifMatch: -3, want: control.CodeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			ctx := t.Context()
			must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
			must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("gone"), ana))
			must[control.Change](t)(r.DeleteFlag(ctx, "gone", ana))
			o := ana
			o.IfMatch = c.ifMatch
			f := boolFlag(c.key, func(f *flag.Flag) { f.DefaultVariant = "on" })
			got, err := r.PutFlag(ctx, f, o)
			if c.want != "" {
				wantCode(t, err, c.want, "")
				if r.Head().Revision != 3 {
					t.Errorf("a refused write moved the log to %d", r.Head().Revision)
				}
				return
			}
			if err != nil || got.Revision != 4 || r.defaultOf(c.key) != "on" {
				t.Errorf("got revision %d, error %v", got.Revision, err)
			}
		})
	}
}

func TestFlagsThatAreRefused(t *testing.T) {
	set := func(kind flag.Kind, typ flag.Type, value string) func(*flag.Flag) {
		return func(f *flag.Flag) {
			f.Kind, f.Type, f.DefaultVariant = kind, typ, "x"
			f.Variants = []flag.Variant{{Name: "x", Value: json.RawMessage(value)}}
			if kind == flag.KindFault { // which nobody gets outside of an experiment
				f.DefaultVariant = ""
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*flag.Flag)
		want   control.Code
		at     string
	}{
		{"valid", func(*flag.Flag) {}, "", ""},
		{"bad key", func(f *flag.Flag) { f.Key = "a b" }, control.CodeInvalid, "/key"},
		{"no such variant", func(f *flag.Flag) { f.DefaultVariant = "x" }, control.CodeInvalid, "/defaultVariant"},
		{"no such segment", func(f *flag.Flag) { f.Rules = []flag.Rule{rule("nobody", "on")} }, control.CodeInvalid, "/rules/0/when/segment"},
		{"value of another type", func(f *flag.Flag) { f.Variants[1].Value = json.RawMessage("7") }, control.CodeInvalid, "/variants/1/value"},
		{"a fault", set(flag.KindFault, flag.TypeObject, `{"point":"p","rate":1,"faults":[{"kind":"latency","min":"1ms","max":"2ms"}]}`), "", ""},
		{"no fault", set(flag.KindFault, flag.TypeObject, `null`), "", ""},
		{"a fault of an unknown kind", set(flag.KindFault, flag.TypeObject, `{"point":"p","rate":1,"faults":[{"kind":"meteor"}]}`), control.CodeInvalid, "/variants/0/value/faults/0/kind"},
		{"a fault without a rate", set(flag.KindFault, flag.TypeObject, `{"point":"p","faults":[{"kind":"error"}]}`), control.CodeInvalid, "/variants/0/value/rate"},
		{"a policy", set(flag.KindPolicy, flag.TypeObject, `{"timeout":"2s","retry":{"maxAttempts":3}}`), "", ""},
		{"no policy", set(flag.KindPolicy, flag.TypeObject, `null`), "", ""},
		{"a policy with an unknown field", set(flag.KindPolicy, flag.TypeObject, `{"timeuot":"2s"}`), control.CodeInvalid, "/variants/0/value/timeuot"},
		{"a policy out of range", set(flag.KindPolicy, flag.TypeObject, `{"timeout":"2000h"}`), control.CodeInvalid, "/variants/0/value/timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			f := boolFlag("f")
			c.change(&f)
			_, err := r.CreateFlag(t.Context(), f, ana)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, c.want, "")
			if got := pointers(err); len(got) == 0 || got[0] != c.at {
				t.Errorf("places %v, want %s", got, c.at)
			}
		})
	}
}

// A key is never given another meaning: old code may still ask for it.
func TestKeysStayReserved(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	other := boolFlag("f", func(f *flag.Flag) {
		f.Type, f.Variants = flag.TypeString, []flag.Variant{{Name: "off", Value: json.RawMessage(`"x"`)}}
	})
	config := boolFlag("f", func(f *flag.Flag) { f.Kind = flag.KindConfig })
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	for _, deleted := range []bool{false, true} {
		if deleted {
			must[control.Change](t)(r.DeleteFlag(ctx, "f", ana))
			r = r.restart()
		}
		_, err := r.PutFlag(ctx, other, ana)
		wantCode(t, err, control.CodePrecondition, "kind release and type boolean")
		_, err = r.PutFlag(ctx, config, ana)
		wantCode(t, err, control.CodePrecondition, "take a new key")
	}
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
}

func TestFlagUnderTrial(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	add := func(f *flag.Flag) {
		f.Variants = append(f.Variants, flag.Variant{Name: "third", Value: json.RawMessage("true")})
	}
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f", add), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	for _, c := range []struct {
		name   string
		change func(*flag.Flag)
		want   control.Code
	}{
		{"spaces in a value", func(f *flag.Flag) { f.Variants[0].Value = json.RawMessage(" true ") }, ""},
		{"the treatment's value", func(f *flag.Flag) { f.Variants[0].Value = json.RawMessage("false") }, control.CodePrecondition},
		{"the control's value", func(f *flag.Flag) { f.Variants[1].Value = json.RawMessage("true") }, control.CodePrecondition},
		{"another variant's value", func(f *flag.Flag) { f.Variants[2].Value = json.RawMessage("false") }, ""},
		{"without the treatment", func(f *flag.Flag) { f.Variants = f.Variants[1:] }, control.CodeInvalid},
		{"disabled", func(f *flag.Flag) { f.Enabled = false }, ""},
		{"another default", func(f *flag.Flag) { f.DefaultVariant = "third" }, ""},
	} {
		_, err := r.PutFlag(ctx, boolFlag("f", add, c.change), ana)
		if c.want != "" {
			wantCode(t, err, c.want, `trial "t"`)
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	_, err := r.DeleteFlag(ctx, "f", ana)
	wantCode(t, err, control.CodePrecondition, `trial "t"`)
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "abort", ana))
	must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("f"), ana))
	must[control.Change](t)(r.DeleteFlag(ctx, "f", ana))
	_, err = r.DeleteFlag(ctx, "f", ana)
	wantCode(t, err, control.CodeNotFound, `flag "f"`)
}

func TestSegmentInUse(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	for _, key := range []string{"ruled", "nested", "stepped", "audience", "free"} {
		must[control.SegmentEntry](t)(r.CreateSegment(ctx, segment(key), ana))
	}
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f", func(f *flag.Flag) {
		f.Rules = []flag.Rule{rule("ruled", "on"), {Serve: "on", When: &flag.Condition{
			Not: &flag.Condition{Any: []flag.Condition{{Segment: "free"}, {All: []flag.Condition{{Segment: "nested"}}}}}}}}
	}), ana))
	must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("f", func(f *flag.Flag) {
		f.Rules = []flag.Rule{rule("ruled", "on"), {Serve: "on", When: &flag.Condition{
			Not: &flag.Condition{Any: []flag.Condition{{Segment: "ruled"}, {All: []flag.Condition{{Segment: "nested"}}}}}}}}
	}), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f", func(s *trial.Spec) {
		s.Audience = &flag.Condition{Segment: "audience"}
		s.Steps = []trial.Step{{Segments: []string{"stepped"}, Share: 50_000}, {Share: 50_000}}
	}), ana))
	for key, user := range map[string]string{"ruled": `flag "f"`, "nested": `flag "f"`, "stepped": `trial "t"`, "audience": `trial "t"`} {
		_, err := r.DeleteSegment(ctx, key, ana)
		wantCode(t, err, control.CodePrecondition, user)
	}
	must[control.Change](t)(r.DeleteSegment(ctx, "free", ana))
	_, err := r.GetSegment("free")
	wantCode(t, err, control.CodeNotFound, `segment "free"`)
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "abort", ana))
	must[control.Change](t)(r.DeleteSegment(ctx, "stepped", ana))
	_, err = r.PutSegment(ctx, flag.Segment{Key: "self", When: &flag.Condition{Segment: "ruled"}}, ana)
	wantCode(t, err, control.CodeInvalid, "cannot name a segment")
}

func TestPages(t *testing.T) {
	r := newRig(t)
	for i := range 130 {
		must[control.SegmentEntry](t)(r.CreateSegment(t.Context(), segment(fmt.Sprintf("s%03d", i)), ana))
	}
	for _, c := range []struct {
		name  string
		page  control.Page
		first string
		n     int
		next  string
	}{
		{"default", control.Page{}, "s000", 100, "s099"},
		{"the rest", control.Page{After: "s099"}, "s100", 30, ""},
		{"small", control.Page{After: "s004", Limit: 2}, "s005", 2, "s006"},
		{"between two keys", control.Page{After: "s004x", Limit: 1}, "s005", 1, "s005"},
		{"exactly all", control.Page{Limit: 130}, "s000", 130, ""},
		{"too many", control.Page{Limit: 5000}, "s000", 130, ""},
		{"negative", control.Page{Limit: -1}, "s000", 100, "s099"},
		{"after the end", control.Page{After: "z"}, "", 0, ""},
	} {
		items, next := r.ListSegments(c.page)
		if len(items) != c.n || next != c.next || c.n > 0 && items[0].Key != c.first {
			t.Errorf("%s: %d items, next %q", c.name, len(items), next)
		}
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	head := r.Head()
	dry := control.WriteOptions{Actor: "ana", DryRun: true, IdempotencyKey: "k"}
	f := boolFlag("f", func(f *flag.Flag) { f.DefaultVariant = "on" })

	got := must[control.FlagEntry](t)(r.PutFlag(ctx, f, dry))
	if got.DefaultVariant != "on" || got.Revision != 1 {
		t.Errorf("got %+v", got)
	}
	if got := must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("new"), dry)); got.Revision != 0 {
		t.Errorf("a new flag has revision %d", got.Revision)
	}
	started := must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), dry))
	if started.State.Attempt != 1 || len(started.Spec.Steps) == 0 || started.Revision != 0 {
		t.Errorf("got %+v", started)
	}
	if c := must[control.Change](t)(r.DeleteFlag(ctx, "f", dry)); c.Revision != 1 || len(c.Ops) != 1 {
		t.Errorf("got %+v", c)
	}
	_, secret, err := r.CreateToken(ctx, control.NewToken{Name: "n", Kind: control.TokenAPI}, dry)
	if err != nil || secret != "" {
		t.Errorf("a dry run gave the secret %q, error %v", secret, err)
	}
	_, err = r.CreateFlag(ctx, boolFlag("f"), dry)
	wantCode(t, err, control.CodeExists, "")
	_, err = r.PutFlag(ctx, boolFlag("f", func(f *flag.Flag) { f.Key = "" }), dry)
	wantCode(t, err, control.CodeInvalid, "")
	if r.Head() != head || r.defaultOf("f") != "off" {
		t.Errorf("a dry run moved the log to %+v", r.Head())
	}
	// The key of a dry run is not used up.
	must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("other"), control.WriteOptions{Actor: "ana", IdempotencyKey: "k"}))
}

func TestIdempotentRepeats(t *testing.T) {
	keyed := control.WriteOptions{Actor: "ana", IdempotencyKey: "k"}
	for _, c := range []struct {
		name  string
		write func(r *rig, o control.WriteOptions) (any, error)
		other func(r *rig, o control.WriteOptions) (any, error)
	}{
		{"create", func(r *rig, o control.WriteOptions) (any, error) {
			return r.CreateFlag(r.t.Context(), boolFlag("f2"), o)
		},
			func(r *rig, o control.WriteOptions) (any, error) {
				return r.CreateFlag(r.t.Context(), boolFlag("f3"), o)
			}},
		{"delete", func(r *rig, o control.WriteOptions) (any, error) { return r.DeleteFlag(r.t.Context(), "f", o) },
			func(r *rig, o control.WriteOptions) (any, error) { return r.DeleteFlag(r.t.Context(), "g", o) }},
		{"start", func(r *rig, o control.WriteOptions) (any, error) {
			return r.StartTrial(r.t.Context(), rollout("t2", "f"), o)
		},
			func(r *rig, o control.WriteOptions) (any, error) {
				return r.StartTrial(r.t.Context(), rollout("t3", "f"), o)
			}},
		{"command", func(r *rig, o control.WriteOptions) (any, error) {
			return r.CommandTrial(r.t.Context(), "running", "advance", o)
		},
			func(r *rig, o control.WriteOptions) (any, error) {
				return r.CommandTrial(r.t.Context(), "running", "abort", o)
			}},
		{"revert", func(r *rig, o control.WriteOptions) (any, error) { return r.Revert(r.t.Context(), 3, o) },
			func(r *rig, o control.WriteOptions) (any, error) { return r.Revert(r.t.Context(), 2, o) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			for _, key := range []string{"f", "g"} {
				must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag(key), ana))
			}
			must[control.FlagEntry](t)(r.PutFlag(t.Context(), boolFlag("f", func(f *flag.Flag) { f.Description = "changed" }), ana))
			must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("running", "g"), ana))
			first := must[any](t)(c.write(r, keyed))
			head := r.Head()
			for _, again := range []*rig{r, r.restart(), joinRig(t, r.log)} {
				again.now = day0.Add(time.Hour) // what a command or a start stores depends on the time
				wantEqual(t, "the repeat", must[any](t)(c.write(again, keyed)), first)
				_, err := c.other(again, keyed)
				wantCode(t, err, control.CodeConflict, "idempotency key")
				if again.Head() != head {
					t.Errorf("a repeat moved the log to %+v", again.Head())
				}
			}
			// The key is the actor's own.
			ben := keyed
			ben.Actor = "ben"
			if _, err := c.other(r, ben); control.CodeOf(err) == control.CodeConflict && c.name != "revert" {
				t.Errorf("another actor's key: %v", err)
			}
			change := must[control.Change](t)(r.GetChange(t.Context(), head.Revision))
			if change.IdempotencyKey != "k" {
				t.Errorf("the key is shown as %q", change.IdempotencyKey)
			}
		})
	}
}

func TestWriteOptionsAreChecked(t *testing.T) {
	r := newRig(t)
	long := func(n int) string { return string(make([]byte, n)) }
	for _, c := range []struct {
		name string
		o    control.WriteOptions
		want control.Code
	}{
		{"nobody", control.WriteOptions{}, control.CodeInvalid},
		{"two lines", control.WriteOptions{Actor: "a\nb"}, control.CodeInvalid},
		{"long actor", control.WriteOptions{Actor: long(201)}, control.CodeInvalid},
		{"long reason", control.WriteOptions{Actor: "a", Reason: long(2001)}, control.CodeTooLarge},
		{"long key", control.WriteOptions{Actor: "a", IdempotencyKey: long(201)}, control.CodeTooLarge},
		{"longest", control.WriteOptions{Actor: long(200), Reason: long(2000), IdempotencyKey: long(200)}, ""},
	} {
		_, err := r.PutFlag(t.Context(), boolFlag("f"), c.o)
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if c.want != "" {
			wantCode(t, err, c.want, "")
		}
	}
}
