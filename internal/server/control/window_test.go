package control_test

import (
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestDeltaWindow(t *testing.T) {
	for _, c := range []struct {
		name    string
		cfg     control.Config
		text    int   // bytes of each flag's description
		resumes int64 // the lowest revision of 20 from which a stream can resume
	}{
		{"default", control.Config{}, 10, 0},
		{"five changes", control.Config{WindowChanges: 5}, 10, 15},
		{"one change", control.Config{WindowChanges: 1}, 10, 19},
		{"none", control.Config{WindowChanges: -1}, 10, 20},
		{"bytes", control.Config{WindowBytes: 20_000}, 4_000, 16},
		{"a change is larger than the window", control.Config{WindowBytes: 2_000}, 4_000, 20},
		{"no bytes", control.Config{WindowBytes: -1}, 10, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			running := r.open(c.cfg)
			for range 20 {
				f := boolFlag("f", func(f *flag.Flag) { f.Description = strings.Repeat("x", c.text) })
				must[control.FlagEntry](t)(running.PutFlag(t.Context(), f, ana))
			}
			restarted := r.open(c.cfg) // the window is full again after a restart
			for _, s := range []*control.Service{running, restarted} {
				history := s.Head().History
				for revision := int64(0); revision <= 20; revision++ {
					deltas, ok := s.DeltasSince(history, revision)
					if ok != (revision >= c.resumes) || ok && len(deltas) != int(20-revision) {
						t.Errorf("since revision %d: %v with %d deltas", revision, ok, len(deltas))
					}
				}
				for _, nowhere := range []int64{-1, 21, 1 << 40} {
					if _, ok := s.DeltasSince(history, nowhere); ok {
						t.Errorf("resumed at revision %d of 20", nowhere)
					}
				}
				if _, ok := s.DeltasSince("another", 20); ok {
					t.Error("resumed another history")
				}
			}
		})
	}
}

// What evaluators need not know moves the revision and nothing else.
func TestDeltasSayOnlyWhatMatters(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "f"), ana))
	last := func() flag.Delta {
		t.Helper()
		deltas, ok := r.DeltasSince(r.Head().History, r.Head().Revision-1)
		if !ok || len(deltas) != 1 {
			t.Fatalf("%d deltas, %v", len(deltas), ok)
		}
		d := deltas[0].Delta
		if d.Revision != r.Head().Revision || d.Hash != r.Head().Hash || d.Epoch != r.Head().Epoch {
			t.Errorf("delta %+v at %+v", d, r.Head())
		}
		return d
	}
	shape := func(d flag.Delta) [4]int {
		return [4]int{len(d.Flags) + len(d.DeletedFlags), len(d.Segments) + len(d.DeletedSegments), len(d.Allocations), len(d.EndedTrials)}
	}
	for _, c := range []struct {
		name string
		do   func()
		want [4]int // flags, segments, allocations, ended trials
	}{
		{"a token", func() {
			_, _, err := r.CreateToken(ctx, control.NewToken{Name: "n", Kind: control.TokenSDK}, ana)
			if err != nil {
				t.Fatal(err)
			}
		}, [4]int{}},
		{"a pause moves no share", func() { must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "pause", ana)) }, [4]int{}},
		{"a step", func() { must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "advance", ana)) }, [4]int{0, 0, 1, 0}},
		{"the same flag again", func() { must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag("f"), ana)) }, [4]int{}},
		{"a promotion", func() { must[control.TrialEntry](t)(r.CommandTrial(ctx, "t", "promote", ana)) }, [4]int{1, 0, 1, 0}},
		{"a demotion", func() { must[control.TrialEntry](t)(r.weigh("t", disaster)) }, [4]int{1, 0, 0, 1}},
		{"a segment", func() { must[control.SegmentEntry](t)(r.CreateSegment(ctx, segment("s"), ana)) }, [4]int{0, 1, 0, 0}},
		{"a deletion", func() { must[control.Change](t)(r.DeleteFlag(ctx, "f", ana)) }, [4]int{1, 0, 0, 0}},
	} {
		c.do()
		if got := shape(last()); got != c.want {
			t.Errorf("%s: %v, want %v: %s", c.name, got, c.want, asJSON(last()))
		}
	}
}

// The published state never changes under those who read it.
func TestViewsAreImmutable(t *testing.T) {
	r := newRig(t)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	view := r.Snapshot()
	before := asJSON(view.Set)
	must[control.FlagEntry](t)(r.PutFlag(t.Context(), boolFlag("f", func(f *flag.Flag) { f.DefaultVariant = "on" }), ana))
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("a"), ana))
	must[control.TrialEntry](t)(r.StartTrial(t.Context(), rollout("t", "f"), ana))
	must[control.TrialEntry](t)(r.CommandTrial(t.Context(), "t", "promote", ana))
	if after := asJSON(view.Set); after != before || string(view.JSON()) != before {
		t.Errorf("the view was\n%s\nand is\n%s", before, after)
	}
	// Nor is what a caller hands in.
	f := boolFlag("own")
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), f, ana))
	f.Variants[0].Value[0] = '#'
	if got := must[control.FlagEntry](t)(r.GetFlag("own")); string(got.Variants[0].Value) != "true" {
		t.Errorf("a caller has changed a stored value to %s", got.Variants[0].Value)
	}
}
