package lists_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

// Property: after any operations a list is what a map would be, with the figures that were given,
// also when it is loaded from its parts, and its parts stay few.
func TestListIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t)
		model := map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			batch := rapid.SliceOfN(rapid.IntRange(0, 60), 0, 30).Draw(t, "users")
			was := maps.Clone(model)
			change, err := operate(r, model, rapid.IntRange(0, 9).Draw(t, "operation"), batch)
			if err != nil {
				t.Fatal(err)
			}
			if added, removed := compare(was, model); change.Added != added || change.Removed != removed || change.Members != len(model) {
				t.Fatalf("%+v, want %d added, %d removed, %d members", change, added, removed, len(model))
			}
			checkList(t, r, model)
		}
		r.restart()
		checkList(t, r, model)
	})
}

// operate does the same to the list and to the model. Most operations are small edits, as in life.
func operate(r *rig, model map[string]bool, kind int, batch []int) (lists.Change, error) {
	var lines strings.Builder
	for _, n := range batch {
		fmt.Fprintf(&lines, "user-%d\n", n)
	}
	in, ctx := strings.NewReader(lines.String()), context.Background()
	each := func(do func(string)) {
		for _, n := range batch {
			do(fmt.Sprint("user-", n))
		}
	}
	switch kind {
	case 0:
		clear(model)
		return r.lists.Clear(ctx, "beta", by)
	case 1, 2:
		clear(model)
		each(func(u string) { model[u] = true })
		return r.lists.Replace(ctx, "beta", in, by)
	case 3, 4, 5:
		each(func(u string) { delete(model, u) })
		return r.lists.Remove(ctx, "beta", in, by)
	}
	each(func(u string) { model[u] = true })
	return r.lists.Add(ctx, "beta", in, by)
}

func compare(was, is map[string]bool) (added, removed int) {
	for u := range is {
		if !was[u] {
			added++
		}
	}
	for u := range was {
		if !is[u] {
			removed++
		}
	}
	return added, removed
}

func checkList(t fataler, r *rig, model map[string]bool) {
	t.Helper()
	stat, err := r.lists.Stat("beta")
	if err != nil || stat.Members != len(model) || stat.Parts > flag.MaxListParts/2 {
		t.Fatalf("%+v, error %v, want %d members", stat, err, len(model))
	}
	if waste := stat.Bytes - int64(stat.Parts*16+stat.Members*8); waste > int64(stat.Members*8/4) {
		t.Fatalf("%+v: %d bytes are wasted", stat, waste)
	}
	for n := range 62 {
		u := fmt.Sprint("user-", n)
		if r.has(t, u) != model[u] {
			t.Fatalf("%s: %v, want %v", u, !model[u], model[u])
		}
	}
}

func TestSmallChangesKeepParts(t *testing.T) {
	r := newRig(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 1000), by))
	first := *r.list(t)
	if len(first.Parts) != 1 || first.Count != 1000 {
		t.Fatalf("%+v", first)
	}
	must(t)(r.lists.Add(t.Context(), "beta", users(990, 1010), by))
	must(t)(r.lists.Remove(t.Context(), "beta", users(0, 5), by))
	change := must(t)(r.lists.Replace(t.Context(), "beta", users(7, 1012), by)) // most of it is there
	if change.Added != 2 || change.Removed != 2 {
		t.Errorf("%+v, want 2 added and 2 removed", change)
	}
	list := *r.list(t)
	if len(list.Parts) != 5 || list.Parts[0] != first.Parts[0] || list.HashKey != first.HashKey {
		t.Errorf("the parts are\n%+v, want five, the first of them\n%+v", list, first)
	}
	// 10 of the 20 that were added were there already, so that the part holds 10.
	if list.Parts[1].Bytes != 16+10*8 || list.Parts[1].Removes || !list.Parts[2].Removes {
		t.Errorf("the parts are %+v", list.Parts)
	}
	must(t)(r.lists.Replace(t.Context(), "beta", users(5000, 6000), by)) // nothing of it is there
	if list := r.list(t); len(list.Parts) != 1 {
		t.Errorf("%d parts", len(list.Parts))
	}
}

func TestManySmallChangesAreBroughtTogether(t *testing.T) {
	r := newRig(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10_000), by))
	first := r.list(t).Parts[0]
	for i := range 100 {
		must(t)(r.lists.Add(t.Context(), "beta", users(10_000+i, 10_001+i), by))
		must(t)(r.lists.Remove(t.Context(), "beta", users(i, i+1), by))
	}
	list := r.list(t)
	if list.Parts[0] != first || len(list.Parts) > flag.MaxListParts/2 || list.Count != 10_000 {
		t.Errorf("%d members in %d parts, the first kept: %v", list.Count, len(list.Parts), list.Parts[0] == first)
	}
}

func TestNothingNewChangesNothing(t *testing.T) {
	r := newRig(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	head, parts := r.service.Head(), r.parts(t)
	for name, do := range map[string]func() (lists.Change, error){
		"replace": func() (lists.Change, error) { return r.lists.Replace(t.Context(), "beta", users(0, 10), by) },
		"add":     func() (lists.Change, error) { return r.lists.Add(t.Context(), "beta", users(3, 7), by) },
		"remove":  func() (lists.Change, error) { return r.lists.Remove(t.Context(), "beta", users(30, 70), by) },
	} {
		if c, err := do(); err != nil || c.Members != 10 || c.Added+c.Removed != 0 {
			t.Errorf("%s: %+v, error %v", name, c, err)
		}
	}
	if r.service.Head() != head || r.parts(t) != parts {
		t.Errorf("the log went on from %d to %d, the parts from %d to %d", head.Revision, r.service.Head().Revision, parts, r.parts(t))
	}
}

func TestOtherFieldsStay(t *testing.T) {
	r := newRig(t)
	r.segment(t, flag.Segment{Key: "beta", Description: "early birds", Members: []string{"ana"}})
	must(t)(r.lists.Add(t.Context(), "beta", users(0, 3), by))
	entry, err := r.service.GetSegment("beta")
	if err != nil || entry.Description != "early birds" || !slices.Equal(entry.Members, []string{"ana"}) || entry.List.Count != 3 {
		t.Errorf("%+v, error %v", entry, err)
	}
	must(t)(r.lists.Clear(t.Context(), "beta", by))
	if entry, err = r.service.GetSegment("beta"); err != nil || entry.List != nil || entry.Description != "early birds" {
		t.Errorf("%+v, error %v", entry, err)
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	r := newRig(t)
	head := r.service.Head()
	dry := by
	dry.DryRun = true
	c, err := r.lists.Replace(t.Context(), "beta", users(0, 10), dry)
	if err != nil || c.Members != 10 || c.Added != 10 {
		t.Errorf("%+v, error %v", c, err)
	}
	if r.service.Head() != head || r.parts(t) != 0 {
		t.Errorf("something was stored: %d parts", r.parts(t))
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	r.segment(t, flag.Segment{Key: "ruled", Rule: []byte(`{"==":[1,1]}`)})
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	list, head := *r.list(t), r.service.Head()
	stale := by
	stale.IfMatch = control.IfMatch(1)
	for _, c := range []struct {
		name, segment string
		o             control.WriteOptions
		want          control.Code
	}{
		{"no such segment", "gamma", by, control.CodeNotFound},
		{"a segment with a rule", "ruled", by, control.CodePrecondition},
		{"a stale condition", "beta", stale, control.CodeConflict},
		{"nobody", "beta", control.WriteOptions{}, control.CodeInvalid},
	} {
		_, err := r.lists.Add(t.Context(), c.segment, users(20, 30), c.o)
		wantCode(t, c.name, err, c.want)
	}
	_, err := r.lists.Add(t.Context(), "beta", users(0, 5), stale)
	wantCode(t, "a stale condition of a change that changes nothing", err, control.CodeConflict)
	r.blobs.Refuse(&control.Error{Code: control.CodeUnavailable, Message: "disk full"})
	_, err = r.lists.Add(t.Context(), "beta", users(20, 30), by)
	wantCode(t, "a store that fails", err, control.CodeUnavailable)
	r.blobs.Refuse(nil)
	if r.service.Head() != head || !sameList(&list, r.list(t)) {
		t.Errorf("the list has changed")
	}
}

func sameList(a, b *flag.List) bool {
	return a.HashKey == b.HashKey && a.Count == b.Count && slices.Equal(a.Parts, b.Parts)
}

func TestLines(t *testing.T) {
	long := strings.Repeat("é", flag.MaxMember/2)
	for _, c := range []struct {
		name, text string
		want       []string
		err        string
	}{
		{"nothing", "", nil, ""},
		{"one without an end", "ana", []string{"ana"}, ""},
		{"Windows", "\ufeffana\r\nbo\r\n", []string{"ana", "bo"}, ""},
		{"empty lines", "\n\nana\n\r\n\nbo\n\n", []string{"ana", "bo"}, ""},
		{"again and again", "ana\nbo\nana\nana\n", []string{"ana", "bo"}, ""},
		{"spaces are part of it", " ana \n", []string{" ana "}, ""},
		{"the longest", long + "\n", []string{long}, ""},
		{"too long", "ana\nbo\n" + long + "x\n", nil, "line 3 has 257 bytes"},
		{"far too long", "ana\n" + strings.Repeat("x", 100_000), nil, "line 2 has more than 256 bytes"},
		{"not UTF-8", "ana\n\xff\n", nil, "line 2 is not valid UTF-8"},
	} {
		for _, packed := range []bool{false, true} {
			var in io.Reader = strings.NewReader(c.text)
			if packed {
				in = zipped(c.text)
			}
			r := newRig(t)
			change, err := r.lists.Replace(t.Context(), "beta", iotest.OneByteReader(in), by)
			if c.err != "" {
				wantCode(t, c.name, err, control.CodeInvalid)
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), `segment "beta"`) || r.list(t) != nil {
					t.Errorf("%s: error %v, want %q", c.name, err, c.err)
				}
				continue
			}
			if err != nil || change.Members != len(c.want) {
				t.Errorf("%s: %+v, error %v, want %d members", c.name, change, err, len(c.want))
			}
			for _, u := range c.want {
				if !r.has(t, u) {
					t.Errorf("%s: %q is no member", c.name, u)
				}
			}
		}
	}
}

func TestInputThatEndsEarly(t *testing.T) {
	whole := zipped(strings.Repeat("some user\n", 10_000)).Bytes()
	r := newRig(t)
	for name, in := range map[string]io.Reader{
		"broken connection": io.MultiReader(strings.NewReader("ana\nbo\n"), iotest.ErrReader(errors.New("reset"))),
		"cut gzip":          strings.NewReader(string(whole[:len(whole)-9])),
		"gzip that is none": strings.NewReader("\x1f\x8bana\n"),
	} {
		_, err := r.lists.Replace(t.Context(), "beta", in, by)
		wantCode(t, name, err, control.CodeInvalid)
	}
	if r.list(t) != nil {
		t.Error("half of it was taken")
	}
}

func TestTooManyLines(t *testing.T) {
	r := newRig(t)
	_, err := r.lists.Replace(t.Context(), "beta", io.LimitReader(newlines{}, flag.MaxListMembers+1), by)
	wantCode(t, "too many", err, control.CodeTooLarge)
	c, err := r.lists.Replace(t.Context(), "beta", io.LimitReader(newlines{}, flag.MaxListMembers), by)
	if err != nil || c.Members != 0 {
		t.Errorf("%+v, error %v", c, err)
	}
}

type newlines struct{}

func (newlines) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '\n'
	}
	return len(b), nil
}

// Many who add and remove at a time lose nothing.
func TestConcurrentChanges(t *testing.T) {
	r := newRig(t)
	other := lists.New(lists.Config{Segments: r.service, Loader: lists.NewLoader(lists.LoaderConfig{Blobs: r.blobs})}) // as another process
	must(t)(r.lists.Replace(t.Context(), "beta", users(1000, 1020), by))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			service := []*lists.Service{r.lists, other}[i%2]
			for n := range 5 {
				for try := 0; ; try++ {
					_, err := service.Add(t.Context(), "beta", users(i*100+n, i*100+n+1), by)
					if err == nil {
						break
					}
					if control.CodeOf(err) != control.CodeConflict || try > 20 {
						t.Errorf("adding: %v", err)
						return
					}
				}
			}
		})
	}
	all.Go(func() {
		for n := range 20 {
			if _, err := r.lists.Remove(t.Context(), "beta", users(1000+n, 1001+n), by); err != nil {
				t.Errorf("removing: %v", err)
			}
			r.segment(t, flag.Segment{Key: "gamma", Description: fmt.Sprint(n)})
		}
	})
	all.Wait()
	if list := r.list(t); list.Count != 40 {
		t.Errorf("%d members, want 40", list.Count)
	}
	r.restart()
	if !r.has(t, "user-704") || r.has(t, "user-1004") {
		t.Error("a change was lost")
	}
}

func TestListThatWasBegunAnew(t *testing.T) {
	r := newRig(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	first := r.list(t).HashKey
	// While somebody sends users, somebody else begins the list anew.
	in := io.MultiReader(users(20, 30), readerFunc(func([]byte) (int, error) {
		must(t)(r.lists.Clear(t.Context(), "beta", by))
		must(t)(r.lists.Add(t.Context(), "beta", users(0, 1), by))
		return 0, io.EOF
	}))
	_, err := r.lists.Add(t.Context(), "beta", in, by)
	wantCode(t, "hashes with the old key", err, control.CodeConflict)
	if list := r.list(t); list.HashKey == first || list.Count != 1 {
		t.Errorf("%+v", list)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
