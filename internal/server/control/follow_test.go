package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// follow runs the service until the test ends.
func (r *rig) follow() (stop func() error) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func TestTwoServicesStayInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRig(t)
		b := joinRig(t, a.log)
		stopA, stopB := a.follow(), b.follow()
		ctx := t.Context()
		must[control.FlagEntry](t)(a.CreateFlag(ctx, boolFlag("f"), ana))
		synctest.Wait()
		// B sees it, and its writes build on it.
		entry := must[control.FlagEntry](t)(b.GetFlag("f"))
		o := ana
		o.IfMatch = control.IfMatch(entry.Revision)
		must[control.FlagEntry](t)(b.PutFlag(ctx, boolFlag("f", func(f *flag.Flag) { f.DefaultVariant = "on" }), o))
		_, err := a.PutFlag(ctx, boolFlag("f"), o)
		wantCode(t, err, control.CodeConflict, "is at revision 2, not 1")
		if a.Head() != b.Head() || string(a.Snapshot().JSON()) != string(b.Snapshot().JSON()) || a.defaultOf("f") != "on" {
			t.Errorf("A is at %+v, B at %+v", a.Head(), b.Head())
		}
		deltas, ok := a.DeltasSince(a.Head().History, 1)
		if !ok || len(deltas) != 1 || len(deltas[0].Delta.Flags) != 1 {
			t.Errorf("A knows B's change as %s", asJSON(deltas))
		}
		if err := errors.Join(stopA(), stopB()); err != nil {
			t.Error(err)
		}
	})
}

// A write sees what others wrote, whether or not the service follows the log.
func TestWritesBuildOnTheNewestState(t *testing.T) {
	a := newRig(t)
	b := joinRig(t, a.log)
	must[control.SegmentEntry](t)(a.CreateSegment(t.Context(), segment("beta"), ana))
	must[control.FlagEntry](t)(b.CreateFlag(t.Context(), boolFlag("f", func(f *flag.Flag) { f.Rules = []flag.Rule{rule("beta", "on")} }), ana))
	_, err := a.DeleteSegment(t.Context(), "beta", ana)
	wantCode(t, err, control.CodePrecondition, `flag "f"`)
}

// Many writers on several services: each write takes effect exactly once.
func TestConcurrentWriters(t *testing.T) {
	const services, writers, each = 3, 4, 10
	first := newRig(t)
	must[control.FlagEntry](t)(first.CreateFlag(t.Context(), boolFlag("shared"), ana))
	rigs := []*rig{first}
	for len(rigs) < services {
		rigs = append(rigs, joinRig(t, first.log))
	}
	var wg sync.WaitGroup
	for i, r := range rigs {
		for w := range writers {
			wg.Go(func() {
				for n := range each {
					key := fmt.Sprintf("own-%d-%d-%d", i, w, n)
					if _, err := r.CreateFlag(t.Context(), boolFlag(key), ana); err != nil {
						t.Errorf("own flag: %v", err)
					}
					addTag(t, r, key)
				}
			})
		}
	}
	wg.Wait()
	last := rigs[services-1]
	must[control.FlagEntry](t)(last.PutFlag(t.Context(), boolFlag("last"), ana)) // catches up
	fresh := first.restart()
	if string(fresh.Snapshot().JSON()) != string(last.Snapshot().JSON()) {
		t.Error("a service that followed differs from one that has read the log from the start")
	}
	if n := len(fresh.Snapshot().Set.Flags); n != services*writers*each+2 {
		t.Errorf("%d flags, want %d", n, services*writers*each+2)
	}
	if tags := must[control.FlagEntry](t)(fresh.GetFlag("shared")).Tags; len(tags) != 1 || !strings.HasPrefix(tags[0], fmt.Sprintf("%d:", services*writers*each)) {
		t.Errorf("the shared flag was changed to %v, want %d changes", tags, services*writers*each)
	}
	storetest.CheckChain(t, first.log)
}

// addTag counts up on the shared flag as a careful client does: read, change, write if unchanged.
func addTag(t *testing.T, r *rig, key string) {
	for {
		f := must[control.FlagEntry](t)(r.GetFlag("shared"))
		n := 0
		if len(f.Tags) > 0 {
			fmt.Sscanf(f.Tags[0], "%d:", &n)
		}
		o := ana
		o.IfMatch = control.IfMatch(f.Revision)
		_, err := r.PutFlag(t.Context(), boolFlag("shared", func(f *flag.Flag) { f.Tags = []string{fmt.Sprintf("%d:%s", n+1, key)} }), o)
		if err == nil {
			return
		}
		if control.CodeOf(err) != control.CodeConflict {
			t.Error(err)
			return
		}
	}
}

// Two controllers race with every interval: each decision is stored exactly once, and the loser
// has written nothing.
func TestStaleDecisionDoesNothing(t *testing.T) {
	a := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(a.CreateFlag(ctx, boolFlag("f"), ana))
	must[control.TrialEntry](t)(a.StartTrial(ctx, rollout("t", "f"), ana))
	b := joinRig(t, a.log)

	stale := must[control.TrialEntry](t)(b.GetTrial("t"))
	iv := disaster(stale.State)
	state, actions := trial.Next(stale.Spec, stale.State, trial.IntervalClosed{Interval: iv})
	d := control.Decision{Trial: "t", Revision: stale.Revision, State: state, Interval: &iv, Actions: actions}

	paused := must[control.TrialEntry](t)(a.CommandTrial(ctx, "t", "pause", ana))
	for range 2 {
		_, err := b.StoreDecision(ctx, d)
		wantCode(t, err, control.CodeConflict, "")
	}
	for _, r := range []*rig{a, b, a.restart()} {
		wantEqual(t, "the trial", must[control.TrialEntry](t)(r.GetTrial("t")), paused)
		if list := must[[]control.Interval](t)(r.Intervals(ctx, "t", 0, 0, 0)); len(list) != 0 {
			t.Errorf("the journal holds %s", asJSON(list))
		}
	}
	// The same decision on the newest revision is stored, by one of the two.
	fresh := must[control.TrialEntry](t)(b.weigh("t", disaster))
	if !fresh.State.Ended() {
		t.Errorf("the trial is %s", fresh.State.Phase)
	}
	_, err := a.StoreDecision(ctx, d)
	wantCode(t, err, control.CodeConflict, "")
	_, err = a.StoreDecision(ctx, control.Decision{Trial: "x", Revision: 1})
	wantCode(t, err, control.CodeNotFound, `trial "x"`)
}

// An interval that the other controller has journalled, which leaves no trace in the log, is a
// conflict; afterwards the loser knows the winner's state.
func TestTwoControllersOneInterval(t *testing.T) {
	for _, c := range []struct {
		name   string
		ending bool
	}{{name: "the loser would record"}, {name: "the loser would decide", ending: true}} {
		t.Run(c.name, func(t *testing.T) {
			a := newRig(t)
			ctx := t.Context()
			must[control.FlagEntry](t)(a.CreateFlag(ctx, boolFlag("f"), ana))
			must[control.TrialEntry](t)(a.StartTrial(ctx, rollout("t", "f"), ana))
			b := joinRig(t, a.log)
			won := must[control.TrialEntry](t)(a.weigh("t", quiet))
			interval := quiet
			if c.ending {
				interval = disaster
			}
			_, err := b.weigh("t", interval)
			wantCode(t, err, control.CodeConflict, "")
			wantEqual(t, "the loser's view", must[control.TrialEntry](t)(b.GetTrial("t")), won)
			if next := must[control.TrialEntry](t)(b.weigh("t", quiet)); next.State.Seq != 2 {
				t.Errorf("the loser goes on with interval %d", next.State.Seq)
			}
		})
	}
}

func TestWaitSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		view, err := r.WaitSnapshot(ctx, control.Head{})
		if err != nil || view != r.Snapshot() {
			t.Errorf("with nothing: %+v, error %v", view, err)
		}
		got := make(chan *control.View, 1)
		go func() {
			view, _ := r.WaitSnapshot(ctx, view.Head)
			got <- view
		}()
		synctest.Wait()
		select {
		case view := <-got:
			t.Fatalf("did not wait: %+v", view.Head)
		default:
		}
		must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
		if view := <-got; view.Head.Revision != 1 || len(view.Set.Flags) != 1 {
			t.Errorf("woken with %+v", view.Head)
		}
		other := r.Head()
		other.Epoch++
		if view, err := r.WaitSnapshot(ctx, other); err != nil || view.Head != r.Head() {
			t.Errorf("another epoch: %v", err)
		}
		gone := errors.New("gone")
		cancel(gone)
		if _, err := r.WaitSnapshot(ctx, r.Head()); !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
	})
}

// Run survives a store that cannot be read for a while, and ends when the log is closed or holds
// what this version does not know.
func TestRunEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(t *testing.T, r *rig)
		want string
	}{
		{"the log is closed", func(_ *testing.T, r *rig) { r.log.Close() }, "closed"},
		{"an unknown kind", func(t *testing.T, r *rig) {
			appendOp(t, r.log, control.Op{Kind: "planet", Key: "x", Value: []byte("1")})
		}, "a newer version"},
		{"an unknown field", func(t *testing.T, r *rig) {
			appendOp(t, r.log, control.Op{Kind: control.KindFlag, Key: "x", Value: []byte(`{"key":"x","colour":"red"}`)})
		}, "a newer version"},
		{"another key inside", func(t *testing.T, r *rig) {
			appendOp(t, r.log, control.Op{Kind: control.KindFlag, Key: "x", Value: []byte(asJSON(boolFlag("y")))})
		}, "calls itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
				head := r.Head()
				done := make(chan error, 1)
				go func() { done <- r.Run(t.Context()) }()
				synctest.Wait()
				c.end(t, r)
				if err := <-done; err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
				if r.Head() != head || r.defaultOf("f") != "off" {
					t.Errorf("the last good state is not published: %+v", r.Head())
				}
				if _, err := control.New(t.Context(), control.Config{Log: r.log, Journal: r.log}); err == nil {
					t.Error("a new service accepted the log")
				}
			})
		})
	}
}

func appendOp(t *testing.T, log control.Log, op control.Op) {
	t.Helper()
	head, err := log.Head(t.Context())
	if err == nil {
		_, err = log.Append(t.Context(), head.Revision, control.Draft{Actor: "future", Time: day0, Ops: []control.Op{op}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unreadable fails reads for a while.
type unreadable struct {
	*storetest.Memory
	mu      sync.Mutex
	failing bool
}

func (u *unreadable) set(failing bool) { u.mu.Lock(); u.failing = failing; u.mu.Unlock() }

func (u *unreadable) Read(ctx context.Context, after int64, limit int) ([]control.Change, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failing {
		return nil, &control.Error{Code: control.CodeUnavailable, Message: "not now"}
	}
	return u.Memory.Read(ctx, after, limit)
}

func TestRunAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &unreadable{Memory: storetest.NewMemory()}
		s := must[*control.Service](t)(control.New(t.Context(), control.Config{Log: log, Journal: log}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		log.set(true)
		other := joinRig(t, log.Memory)
		must[control.FlagEntry](t)(other.CreateFlag(t.Context(), boolFlag("f"), ana))
		time.Sleep(10 * time.Second)
		if s.Head().Revision != 0 {
			t.Errorf("revision %d came through a store that cannot be read", s.Head().Revision)
		}
		log.set(false)
		time.Sleep(2 * time.Second)
		if s.Head().Revision != 1 {
			t.Errorf("revision %d after the store is back", s.Head().Revision)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A refused write is not published; the service goes on when the store is back.
func TestStoreThatRefuses(t *testing.T) {
	r := newRig(t)
	full := &control.Error{Code: control.CodeUnavailable, Message: "the disk is full"}
	r.log.Refuse(func(control.Draft) error { return full })
	_, err := r.CreateFlag(t.Context(), boolFlag("f"), ana)
	wantCode(t, err, control.CodeUnavailable, "full")
	if _, err := r.GetFlag("f"); err == nil || r.Head().Revision != 0 {
		t.Errorf("the flag is there at %+v", r.Head())
	}
	r.log.Refuse(nil)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
}

// A log that starts a new history is read again, and no stream can resume over it.
func TestNewHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, key := range []string{"f", "g", "h"} {
			must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag(key), ana))
		}
		before := r.Head()
		stop := r.follow()
		r.log.Restart(1)
		other := joinRig(t, r.log)
		for _, key := range []string{"x", "y", "z"} {
			must[control.FlagEntry](t)(other.CreateFlag(t.Context(), boolFlag(key), ana))
		}
		synctest.Wait()
		if r.Head() != other.Head() || string(r.Snapshot().JSON()) != string(other.Snapshot().JSON()) {
			t.Errorf("at %+v, the log at %+v", r.Head(), other.Head())
		}
		if _, err := r.GetFlag("g"); control.CodeOf(err) != control.CodeNotFound {
			t.Errorf("a lost flag is still there: %v", err)
		}
		if _, ok := r.DeltasSince(before.History, before.Revision); ok {
			t.Error("a stream could resume over the loss")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A new history is noticed although nothing was lost and no revision is new.
func TestNewHistoryAtTheSameRevision(t *testing.T) {
	r := newRig(t)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("f"), ana))
	before := r.Head()
	r.log.Restart(1)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("g"), ana))
	head := must[control.Head](t)(r.log.Head(t.Context()))
	if got := r.Head(); got != head || got.History == before.History || r.Snapshot().Set.History != head.History {
		t.Errorf("published is %+v, the log is at %+v", got, head)
	}
	if _, ok := r.DeltasSince(before.History, 1); ok {
		t.Error("a stream could resume over the new history")
	}
}

// A log that was cut and went on with other changes under the same numbers is read again.
func TestRewoundLog(t *testing.T) {
	r := newRig(t)
	for _, key := range []string{"f", "lost"} {
		must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag(key), ana))
	}
	r.log.Rewind(1)
	other := joinRig(t, r.log)
	for _, key := range []string{"x", "y"} {
		must[control.FlagEntry](t)(other.CreateFlag(t.Context(), boolFlag(key), ana))
	}
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("z"), ana))
	fresh := r.restart()
	if string(r.Snapshot().JSON()) != string(fresh.Snapshot().JSON()) || len(r.Snapshot().Set.Flags) != 4 {
		t.Errorf("published is\n%s\nthe log says\n%s", r.Snapshot().JSON(), fresh.Snapshot().JSON())
	}
}
