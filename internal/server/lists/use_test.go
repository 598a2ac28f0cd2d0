package lists_test

import (
	"context"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

// forBeta is a flag that is on for beta.
var forBeta = flag.Flag{
	Key: "checkout", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
	Variants: []flag.Variant{{Name: "off", Value: []byte("false")}, {Name: "on", Value: []byte("true")}},
	Rules:    []flag.Rule{{When: &flag.Condition{Segment: "beta"}, Serve: "on"}},
}

// evaluates gives a rig whose control plane evaluates with lists.
func evaluates(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.reopen(t)
	if _, err := r.service.PutFlag(t.Context(), forBeta, by); err != nil {
		t.Fatal(err)
	}
	return r
}

// reopen starts the control plane anew on the same log.
func (r *rig) reopen(t *testing.T) {
	t.Helper()
	loader := lists.NewLoader(lists.LoaderConfig{Blobs: r.blobs})
	service, err := control.New(t.Context(), control.Config{Log: r.log, Journal: r.log, Lists: loader, Now: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	r.service, r.loader = service, loader
	r.lists = lists.New(lists.Config{Segments: service, Loader: loader, Now: r.clock})
}

func (r *rig) variant(t *testing.T, user string) string {
	t.Helper()
	s, err := r.service.Snapshot().Compiled()
	if err != nil {
		t.Fatal(err)
	}
	return s.Evaluate("checkout", &eval.Context{TargetingKey: user}).Variant
}

func (r *rig) wantVariants(t *testing.T, when string, want map[string]string) {
	t.Helper()
	for user, variant := range want {
		if got := r.variant(t, user); got != variant {
			t.Errorf("%s: %s gets %q, want %q", when, user, got, variant)
		}
	}
}

func TestMembersAreEvaluated(t *testing.T) {
	r := evaluates(t)
	r.wantVariants(t, "without a list", map[string]string{"user-1": "off"})
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	r.wantVariants(t, "with a list", map[string]string{"user-1": "on", "user-10": "off", "": "off"})
	must(t)(r.lists.Remove(t.Context(), "beta", users(1, 2), by))
	must(t)(r.lists.Add(t.Context(), "beta", users(10, 11), by))
	changed := map[string]string{"user-1": "off", "user-2": "on", "user-10": "on"}
	r.wantVariants(t, "changed", changed)
	r.reopen(t)
	r.wantVariants(t, "after a restart", changed)
}

func TestListsMissingForAWhile(t *testing.T) {
	r := evaluates(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	r.reopen(t)
	r.blobs.Refuse(&control.Error{Code: control.CodeUnavailable, Message: "gone"})
	r.wantVariants(t, "store away", map[string]string{"user-1": "off"})
	r.blobs.Refuse(nil)
	r.wantVariants(t, "store back, too early", map[string]string{"user-1": "off"})
	r.now = r.now.Add(11e9)
	r.wantVariants(t, "store back", map[string]string{"user-1": "on"})
}

func TestListsAreRevertedWhileTheirPartsAreKept(t *testing.T) {
	r := evaluates(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	second := must(t)(r.lists.Replace(t.Context(), "beta", users(100, 110), by))
	back, err := r.service.Revert(t.Context(), second.Revision, by)
	if err != nil {
		t.Fatal(err)
	}
	r.wantVariants(t, "reverted", map[string]string{"user-1": "on", "user-100": "off"})
	for _, digest := range []string{r.list(t).Parts[0].Digest} {
		if n, err := r.blobs.DeleteOldBlobs(t.Context(), []string{digest}, r.now.Add(1)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := r.service.Revert(t.Context(), back.Revision, by); err != nil { // to the second list
		t.Fatal(err)
	}
	_, err = r.service.Revert(t.Context(), back.Revision+1, by) // to the first, whose part is gone
	wantCode(t, "a list that is not kept", err, control.CodePrecondition)
	if err == nil || !strings.Contains(err.Error(), `segment "beta"`) {
		t.Errorf("error %v", err)
	}
}

func TestNobodyWritesListsByHand(t *testing.T) {
	r := evaluates(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	list := *r.list(t)
	for name, change := range map[string]func(*flag.List){
		"another count": func(l *flag.List) { l.Count = 9 },
		"another key":   func(l *flag.List) { l.HashKey = strings.Repeat("0", 32) },
		"no parts":      func(l *flag.List) { l.Parts, l.Count = []flag.ListPart{}, 0 },
	} {
		l := list
		change(&l)
		_, err := r.service.PutSegment(t.Context(), flag.Segment{Key: "beta", List: &l}, by)
		wantCode(t, name, err, control.CodeInvalid)
		_, err = r.service.PutSegment(t.Context(), flag.Segment{Key: "gamma", List: &list}, by)
		wantCode(t, "on another segment", err, control.CodeInvalid)
	}
	r.segment(t, flag.Segment{Key: "beta", Description: "kept", List: &list})
	r.segment(t, flag.Segment{Key: "beta", Description: "dropped"})
	if r.list(t) != nil {
		t.Error("the list is still there")
	}
}

// overtaken changes the list once more just before somebody else's change is stored.
type overtaken struct {
	lists.Segments
	first func()
}

func (o *overtaken) SetList(ctx context.Context, key string, was, now *flag.List, w control.WriteOptions) (control.SegmentEntry, error) {
	if first := o.first; first != nil {
		o.first = nil
		first()
	}
	return o.Segments.SetList(ctx, key, was, now, w)
}

func TestOvertakenChangeIsMadeAgain(t *testing.T) {
	r := newRig(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	slow := lists.New(lists.Config{Loader: r.loader, Segments: &overtaken{r.service, func() {
		must(t)(r.lists.Add(t.Context(), "beta", users(10, 20), by))
	}}})
	change := must(t)(slow.Add(t.Context(), "beta", users(15, 25), by))
	if change.Added != 5 || change.Members != 25 {
		t.Errorf("%+v, want 5 added to 20", change)
	}
	entry, err := r.service.GetSegment("beta")
	if err != nil {
		t.Fatal(err)
	}
	slow = lists.New(lists.Config{Loader: r.loader, Segments: &overtaken{r.service, func() {
		must(t)(r.lists.Add(t.Context(), "beta", users(30, 31), by))
	}}})
	conditional := by
	conditional.IfMatch = control.IfMatch(entry.Revision)
	_, err = slow.Add(t.Context(), "beta", users(40, 50), conditional)
	wantCode(t, "a condition that was overtaken", err, control.CodeConflict)
}
