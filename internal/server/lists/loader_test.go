package lists_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

// listsOf gives n different lists.
func listsOf(t *testing.T, r *rig, n int) (all []flag.List) {
	t.Helper()
	for i := range n {
		must(t)(r.lists.Replace(t.Context(), "beta", users(i*10_000, (i+1)*10_000), by))
		all = append(all, *r.list(t))
	}
	return all
}

func TestListsAreShared(t *testing.T) {
	r := newRig(t)
	list := listsOf(t, r, 1)[0]
	r.restart()
	var all sync.WaitGroup
	sets := make([]*members.Set, 8)
	for i := range sets {
		all.Go(func() {
			set, ok := r.loader.Set(list)
			if !ok {
				t.Error("not loaded")
			}
			sets[i] = set
		})
	}
	all.Wait()
	for _, set := range sets {
		if set != sets[0] {
			t.Fatal("a list is in memory twice")
		}
	}
	if n, bytes := r.loader.Loaded(); n != 1 || bytes != sets[0].Size() {
		t.Errorf("%d lists of %d bytes", n, bytes)
	}
}

// What nobody holds goes when there is no room; what somebody holds stays and is shared.
func TestLoaderIsBounded(t *testing.T) {
	r := newRig(t)
	all := listsOf(t, r, 3)
	one := int64(10_000 * 8)
	loader := lists.NewLoader(lists.LoaderConfig{Blobs: r.blobs, Bytes: one * 3 / 2})
	held, _ := loader.Set(all[0])
	for range 2 {
		for _, list := range all[1:] {
			if set, ok := loader.Set(list); !ok || set.Len() != 10_000 {
				t.Fatal("not loaded")
			}
		}
	}
	runtime.GC()
	if n, _ := loader.Loaded(); n != 2 {
		t.Errorf("%d lists in memory, want the one that is held and the newest", n)
	}
	if again, _ := loader.Set(all[0]); again != held {
		t.Error("a list that somebody holds was loaded again")
	}
	runtime.KeepAlive(held)
}

func TestListsThatCannotBeLoaded(t *testing.T) {
	r := newRig(t)
	good := listsOf(t, r, 1)[0]
	with := func(change func(*flag.List)) flag.List {
		l := good
		l.Parts = append([]flag.ListPart{}, good.Parts...)
		change(&l)
		return l
	}
	noPart := "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	if err := r.blobs.PutBlob(t.Context(), noPart, []byte("a"), r.now); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		list flag.List
	}{
		{"another count", with(func(l *flag.List) { l.Count++ })},
		{"a part that is not there", with(func(l *flag.List) { l.Parts[0].Digest = "00" })},
		{"a part that is none", with(func(l *flag.List) { l.Parts[0].Digest = noPart })},
		{"no key", with(func(l *flag.List) { l.HashKey = "" })},
	} {
		if set, ok := r.loader.Set(c.list); ok || set != nil {
			t.Errorf("%s: it was loaded", c.name)
		}
		wantCode(t, c.name, r.loader.Check(t.Context(), c.list), control.CodePrecondition)
	}
	if err := r.loader.Check(t.Context(), good); err != nil {
		t.Error(err)
	}
	// A store that fails is asked again the next time.
	r.restart()
	r.blobs.Refuse(&control.Error{Code: control.CodeUnavailable, Message: "gone"})
	if _, ok := r.loader.Set(good); ok {
		t.Error("loaded from nowhere")
	}
	r.blobs.Refuse(nil)
	if _, ok := r.loader.Set(good); !ok {
		t.Error("not loaded when the store was back")
	}
}
