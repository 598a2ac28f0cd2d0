package seatrial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// watched is a client whose updates a test reads one after the other.
type watched struct {
	t       *testing.T
	updates chan Update
}

func watch(t *testing.T, c *Client) *watched {
	w := &watched{t: t, updates: make(chan Update)}
	go func() {
		defer close(w.updates)
		for u := range c.Watch(t.Context()) {
			w.updates <- u
		}
	}()
	return w
}

// next gives the update that is there now.
func (w *watched) next() Update {
	w.t.Helper()
	synctest.Wait()
	select {
	case u := <-w.updates:
		return u
	default:
		w.t.Fatal("there is no update")
		return Update{}
	}
}

// quiet checks that there is nothing to tell.
func (w *watched) quiet() {
	w.t.Helper()
	synctest.Wait()
	select {
	case u, open := <-w.updates:
		w.t.Errorf("update %+v (open: %v), want none", u, open)
	default:
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		c := p.open()
		synctest.Wait()
		w := watch(t, c)
		if u := w.next(); u.Changed != nil || u.Status.State != StateReady || !u.Status.Connected || u.Status.Server != "http://plane" {
			t.Errorf("first update: %+v", u)
		}
		time.Sleep(10 * time.Minute) // bookmarks are no news
		w.quiet()

		p.publish(valueAt(2))
		if u := w.next(); !slices.Equal(u.Changed, []string{"n"}) || u.Status.Revision != 2 {
			t.Errorf("after a change: %+v", u)
		}
		// While nobody receives, changes become one. The first of them is on its way already.
		p.publish(setAt(3, release("a")))
		synctest.Wait()
		p.publish(setAt(4, release("a"), release("b")))
		synctest.Wait()
		p.publish(setAt(5, release("b"), release("c")))
		if u := w.next(); !slices.Equal(u.Changed, []string{"a", "n"}) {
			t.Errorf("the update on its way: %+v", u)
		}
		if u := w.next(); !slices.Equal(u.Changed, []string{"a", "b", "c"}) || u.Status.Revision != 5 {
			t.Errorf("updates that became one: %+v", u)
		}
		w.quiet()
	})
}

func TestWatchConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		c := p.open()
		synctest.Wait()
		w := watch(t, c)
		w.next()
		p.fail(401)
		u := w.next()
		for !errors.Is(u.Status.Error, ErrKeyRefused) { // first the stream is seen to end
			time.Sleep(2 * time.Second)
			u = w.next()
		}
		if u.Status.Connected || u.Status.State != StateReady || u.Changed != nil {
			t.Errorf("refused: %+v", u)
		}
		w.drain()
		time.Sleep(staleAfter)
		if u = w.last(); u.Status.State != StateStale {
			t.Errorf("after a minute: %+v", u)
		}
		p.fail(0)
		time.Sleep(10 * time.Minute)
		if u = w.last(); !u.Status.Connected || u.Status.State != StateReady || u.Status.Error != nil {
			t.Errorf("back again: %+v", u)
		}
		_ = c.Close(context.Background())
		if u = w.next(); u.Status.State != StateClosed {
			t.Errorf("closed: %+v", u)
		}
		synctest.Wait()
		if _, open := <-w.updates; open {
			t.Error("there is an update after the last")
		}
	})
}

// drain receives what is there.
func (w *watched) drain() {
	for {
		synctest.Wait()
		select {
		case <-w.updates:
		default:
			return
		}
	}
}

// last receives what is there and gives the newest.
func (w *watched) last() Update {
	w.t.Helper()
	u := w.next()
	for {
		synctest.Wait()
		select {
		case newer := <-w.updates:
			u = newer
		default:
			return u
		}
	}
}

// A snapshot gets old without any event, and the error of a stream that comes back is no news for
// the keys.
func TestWatchTellsOfAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		c := p.open()
		c.health.mu.Lock()
		c.health.err = nil
		c.health.mu.Unlock()
		c.stop() // nothing tells of anything any more
		synctest.Wait()
		w := watch(t, c)
		w.drain()
		time.Sleep(staleAfter - time.Second)
		w.quiet()
		time.Sleep(2 * time.Second)
		if u := w.next(); u.Status.State != StateStale {
			t.Errorf("after a minute of silence: %+v", u)
		}
	})
}

func TestWatchEndsAtOnce(t *testing.T) {
	c := offline(t, valueAt(1))
	n := 0
	for range c.Watch(t.Context()) {
		n++
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range c.Watch(ctx) {
		n++
		cancel()
	}
	for u := range (*Client)(nil).Watch(noContext) {
		if n++; u.Status.State != StateClosed {
			t.Errorf("nil client: %+v", u)
		}
	}
	if n != 3 {
		t.Errorf("%d updates, want one each", n)
	}
}

func TestFirstSnapshotChangesEveryFlag(t *testing.T) {
	next, err := newSnapshot(setAt(1, release("b"), release("a")))
	if err != nil {
		t.Fatal(err)
	}
	if got := changedFlags(nil, next); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("changed: %v", got)
	}
	if got := changedFlags(next, nil); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("changed: %v", got)
	}
}

func TestChangedFlags(t *testing.T) {
	needs := func(key, other string) flag.Flag {
		f := release(key)
		f.Prerequisites = []flag.Prerequisite{{Flag: other, Variants: []string{"on"}}}
		return f
	}
	names := func(key string, when flag.Condition) flag.Flag {
		f := release(key)
		f.Rules = []flag.Rule{{When: &when, Serve: "on"}}
		return f
	}
	segment := func(members ...string) flag.Segment { return flag.Segment{Key: "testers", Members: members} }
	in := flag.Condition{Segment: "testers"}
	plan := flag.Condition{Attribute: "plan", Op: flag.OpExists}
	switched := func(key string) flag.Flag {
		f := release(key)
		f.Enabled = false
		return f
	}
	staged := trialOn(release("b"), 0, 10)
	staged.Strata[0].Segments = []string{"testers"}
	among := trialOn(release("b"), 0, 10)
	among.Audience = &flag.Condition{Any: []flag.Condition{plan, in}}
	raw := flag.Flag{Key: "raw", Kind: flag.KindRelease, Enabled: true, Definition: json.RawMessage(`{"targeting":{"$ref":"testers"}}`)}
	layer := func(holdout flag.Weight, global bool, slots ...flag.Slot) flag.Layer {
		return flag.Layer{Key: "l", Holdout: holdout, Global: global, Slots: slots}
	}
	tests := map[string]struct {
		before, after []any
		layers        [2][]flag.Layer
		want          string
	}{
		"nothing":                     {[]any{release("a")}, []any{release("a")}, [2][]flag.Layer{}, ""},
		"new":                         {[]any{release("a")}, []any{release("a"), release("b")}, [2][]flag.Layer{}, "b"},
		"gone":                        {[]any{release("a"), release("b")}, []any{release("a")}, [2][]flag.Layer{}, "b"},
		"different":                   {[]any{release("a"), release("b")}, []any{switched("a"), release("b")}, [2][]flag.Layer{}, "a"},
		"trial began":                 {[]any{release("a"), release("b")}, []any{release("a"), release("b"), trialOn(release("b"), 0, 10)}, [2][]flag.Layer{}, "b"},
		"trial moved":                 {[]any{release("b"), trialOn(release("b"), 0, 10)}, []any{release("b"), trialOn(release("b"), 1, 20)}, [2][]flag.Layer{}, "b"},
		"trial ended":                 {[]any{release("b"), trialOn(release("b"), 0, 10)}, []any{release("b")}, [2][]flag.Layer{}, "b"},
		"segment of a rule":           {[]any{names("a", in), names("b", plan), segment("u1")}, []any{names("a", in), names("b", plan), segment("u2")}, [2][]flag.Layer{}, "a"},
		"segment deep in a rule":      {[]any{names("a", flag.Condition{Not: &flag.Condition{All: []flag.Condition{plan, in}}}), segment("u1")}, []any{names("a", flag.Condition{Not: &flag.Condition{All: []flag.Condition{plan, in}}}), segment("u2")}, [2][]flag.Layer{}, "a"},
		"segment of nobody":           {[]any{names("a", plan)}, []any{names("a", plan), segment("u1")}, [2][]flag.Layer{}, ""},
		"segment of a stratum":        {[]any{release("b"), staged, segment("u1")}, []any{release("b"), staged, segment("u2")}, [2][]flag.Layer{}, "b"},
		"segment of an audience":      {[]any{release("b"), among, segment("u1")}, []any{release("b"), among, segment("u2")}, [2][]flag.Layer{}, "b"},
		"segment of a definition":     {[]any{raw, segment("u1")}, []any{raw, segment("u2")}, [2][]flag.Layer{}, "raw"},
		"prerequisites, in any order": {[]any{release("m"), needs("a", "m"), needs("z", "a"), release("x")}, []any{switched("m"), needs("a", "m"), needs("z", "a"), release("x")}, [2][]flag.Layer{}, "a m z"},
		"layer":                       {[]any{release("a"), release("b"), release("c")}, []any{release("a"), release("b"), release("c")}, [2][]flag.Layer{{layer(0, false, flag.Slot{Flag: "a", To: 10})}, {layer(0, false, flag.Slot{Flag: "b", To: 10})}}, "a b"},
		"layer gone":                  {[]any{release("a"), release("b")}, []any{release("a"), release("b")}, [2][]flag.Layer{{layer(0, false, flag.Slot{Flag: "a", To: 10})}, nil}, "a"},
		"layer of all":                {[]any{release("a"), release("b")}, []any{release("a"), release("b")}, [2][]flag.Layer{nil, {layer(10, true)}}, "a b"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := setAt(1, test.before...), setAt(2, test.after...)
			before.Layers, after.Layers = test.layers[0], test.layers[1]
			got := changedFlags(&snapshot{set: before}, &snapshot{set: after})
			if strings.Join(got, " ") != test.want {
				t.Errorf("changed: %v, want %s", got, test.want)
			}
		})
	}
}

// A member list that comes later than the set changes the flags that name its segment.
func TestListsThatComeLaterChangeFlags(t *testing.T) {
	in := release("a")
	in.Rules = []flag.Rule{{When: &flag.Condition{Segment: "testers"}, Serve: "on"}}
	set := setAt(1, in, release("b"))
	waiting, there := &snapshot{set: set, behind: []string{"testers"}}, &snapshot{set: set}
	if got := changedFlags(waiting, there); !slices.Equal(got, []string{"a"}) {
		t.Errorf("changed: %v", got)
	}
	if got := changedFlags(waiting, waiting); len(got) > 0 {
		t.Errorf("changed: %v", got)
	}
}

func BenchmarkChangedFlags(b *testing.B) {
	var parts []any
	for i := range 1000 {
		parts = append(parts, release(fmt.Sprint("flag-", i)))
	}
	before := &snapshot{set: setAt(1, parts...)}
	parts[500] = trialOn(release("flag-7"), 0, 10)
	after := &snapshot{set: setAt(2, append(parts, release("flag-500"))...)}
	for b.Loop() {
		changedFlags(before, after)
	}
}
