package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// notes is what was logged.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// clockwork is a service in the fake time of a bubble.
type clockwork struct {
	*control.Service
	t    testing.TB
	logs notes
}

func newClockwork(t testing.TB, log control.Log, journal control.Journal) *clockwork {
	t.Helper()
	w := &clockwork{t: t}
	var err error
	w.Service, err = control.New(t.Context(), control.Config{Log: log, Journal: journal, Environment: "test", Logger: slog.New(slog.NewTextHandler(&w.logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run carries out schedules and follows the log until the function that it gives is called.
func (w *clockwork) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{}, 2)
	go func() { w.RunSchedules(ctx); done <- struct{}{} }()
	go func() { _ = w.Run(ctx); done <- struct{}{} }()
	return func() { cancel(); <-done; <-done }
}

func (w *clockwork) schedule(in time.Duration, patch string) control.ScheduleEntry {
	w.t.Helper()
	return must[control.ScheduleEntry](w.t)(w.CreateSchedule(w.t.Context(),
		control.NewSchedule{Flag: "f", At: time.Now().Add(in), Patch: json.RawMessage(patch), Reason: "as planned"}, ana))
}

func (w *clockwork) state(id string) control.ScheduleState {
	w.t.Helper()
	return must[control.ScheduleEntry](w.t)(w.GetSchedule(id)).State
}

func (w *clockwork) flag() control.FlagEntry {
	w.t.Helper()
	return must[control.FlagEntry](w.t)(w.GetFlag("f"))
}

func (w *clockwork) put(change ...func(*flag.Flag)) {
	w.t.Helper()
	must[control.FlagEntry](w.t)(w.PutFlag(w.t.Context(), boolFlag("f", change...), ana))
}

func TestAScheduleIsCarriedOutAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewMemory()
		w := newClockwork(t, log, log)
		w.put()
		defer w.run()()
		made := w.schedule(36*time.Hour, `{"defaultVariant":"on","description":"live"}`)
		time.Sleep(36*time.Hour - time.Second)
		synctest.Wait()
		if w.state(made.ID) != control.SchedulePending || w.flag().DefaultVariant != "off" {
			t.Fatal("it was carried out too early")
		}
		// What somebody changes meanwhile stays, but for what the patch names.
		w.put(func(f *flag.Flag) { f.Owner, f.Description, f.Enabled = "team", "draft", true })
		before := w.Head().Revision
		time.Sleep(time.Second)
		synctest.Wait()
		f := w.flag()
		if f.DefaultVariant != "on" || f.Description != "live" || f.Owner != "team" {
			t.Errorf("the flag is %s", asJSON(f))
		}
		c := must[control.Change](t)(w.GetChange(t.Context(), before+1))
		if w.Head().Revision != before+1 || c.Actor != "schedule" || !strings.Contains(c.Reason, "as planned") || len(c.Ops) != 2 {
			t.Errorf("the change is %s", asJSON(c))
		}
		done := must[control.ScheduleEntry](t)(w.GetSchedule(made.ID))
		if done.State != control.ScheduleDone || !done.EndedAt.Equal(made.At) || done.Revision != c.Revision {
			t.Errorf("the schedule is %s", asJSON(done))
		}
		// It is undone like any change, and not carried out again.
		must[control.Change](t)(w.Revert(t.Context(), c.Revision, ana))
		time.Sleep(time.Hour)
		synctest.Wait()
		if f := w.flag(); f.DefaultVariant != "off" || f.Owner != "team" || w.state(made.ID) != control.ScheduleDone {
			t.Errorf("after the revert: %s", asJSON(f))
		}
		_, err := w.Revert(t.Context(), made.Revision, ana)
		wantCode(t, err, control.CodePrecondition, "cancel it")
	})
}

// However many servers run on a log, an edit is made once.
func TestReplicasCarryOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewMemory()
		replicas := []*clockwork{newClockwork(t, log, log), newClockwork(t, log, log), newClockwork(t, log, log)}
		replicas[0].put()
		for _, w := range replicas {
			defer w.run()()
		}
		synctest.Wait()
		var ids []string
		for i := range 20 {
			ids = append(ids, replicas[i%3].schedule(time.Duration(1+i/5)*time.Minute, fmt.Sprintf(`{"owner":"o%d"}`, i)).ID)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		made := 0
		for _, c := range must[[]control.Change](t)(replicas[2].ListChanges(t.Context(), 0, 1000)) {
			if c.Actor == "schedule" {
				made++
			}
		}
		if made != len(ids) {
			t.Errorf("%d changes by %d schedules", made, len(ids))
		}
		for _, id := range ids {
			if state := replicas[1].state(id); state != control.ScheduleDone {
				t.Errorf("schedule %s is %s", id, state)
			}
		}
	})
}

// forgetful stores changes of schedules but says that it does not know.
type forgetful struct {
	control.Log
	times atomic.Int32
}

func (l *forgetful) Append(ctx context.Context, expected int64, d control.Draft) (control.Change, error) {
	c, err := l.Log.Append(ctx, expected, d)
	if d.Actor == "schedule" && l.times.Add(-1) >= 0 && err == nil {
		return control.Change{}, &control.Error{Code: control.CodeUnavailable, Message: "the connection is gone"}
	}
	return c, err
}

func TestACrashBetweenDoesNotRepeatAnEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := storetest.NewMemory()
		log := &forgetful{Log: memory}
		log.times.Store(1)
		w := newClockwork(t, log, memory)
		w.put()
		made := w.schedule(time.Minute, `{"enabled":false}`)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go w.RunSchedules(ctx) // nobody follows: what was stored is unknown until the retry
		time.Sleep(time.Hour)
		synctest.Wait()
		if w.state(made.ID) != control.ScheduleDone || w.flag().Enabled || w.Head().Revision != 3 {
			t.Errorf("the schedule is %s at revision %d", w.state(made.ID), w.Head().Revision)
		}
		if !strings.Contains(w.logs.String(), "tried again") {
			t.Errorf("operators were told %q", &w.logs)
		}
	})
}

func TestWhatWasDueWhileTheServerWasDownIsMadeUpInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewMemory()
		w := newClockwork(t, log, log)
		w.put()
		for _, i := range []int{3, 1, 2} {
			w.schedule(time.Duration(i)*time.Hour, fmt.Sprintf(`{"owner":"o%d"}`, i))
		}
		later := w.schedule(30*time.Hour, `{"owner":"later"}`)
		time.Sleep(24 * time.Hour)
		w = newClockwork(t, log, log)
		log.Refuse(func(control.Draft) error {
			return &control.Error{Code: control.CodeUnavailable, Message: "the disk is full"}
		})
		defer w.run()()
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.flag().Owner != "" {
			t.Error("a store that refuses was written to")
		}
		log.Refuse(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		var owners []string
		for _, c := range must[[]control.Change](t)(w.History(t.Context(), control.KindFlag, "f", 0, 0)) {
			var f flag.Flag
			_ = json.Unmarshal(c.Ops[0].Value, &f)
			owners = append(owners, f.Owner)
		}
		if want := []string{"o3", "o2", "o1", ""}; !slices.Equal(owners, want) || w.state(later.ID) != control.SchedulePending {
			t.Errorf("owners, newest first: %q, want %q", owners, want)
		}
	})
}

func TestAScheduleThatCannotBeCarriedOutFails(t *testing.T) {
	for _, c := range []struct {
		name, patch string
		meanwhile   func(*clockwork)
		says        string
	}{
		{"a variant is gone", `{"defaultVariant":"on"}`, func(w *clockwork) { w.put(func(f *flag.Flag) { f.Variants = f.Variants[1:] }) }, `no variant "on"`},
		{"a trial runs", `{"variants":[{"name":"on","value":false},{"name":"off","value":false}]}`, func(w *clockwork) {
			must[control.TrialEntry](w.t)(w.StartTrial(w.t.Context(), rollout("t", "f"), ana))
		}, `trial "t"`},
		{"it is archived", `{"owner":"x"}`, func(w *clockwork) { w.put(archived) }, "archived"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := storetest.NewMemory()
				w := newClockwork(t, log, log)
				w.put()
				defer w.run()()
				made := w.schedule(time.Hour, c.patch)
				next := w.schedule(2*time.Hour, `{"archived":false}`)
				c.meanwhile(w)
				want := w.flag()
				time.Sleep(time.Hour)
				synctest.Wait()
				got := must[control.ScheduleEntry](t)(w.GetSchedule(made.ID))
				if got.State != control.ScheduleFailed || !strings.Contains(got.Failure, c.says) {
					t.Errorf("the schedule is %s", asJSON(got))
				}
				wantEqual(t, "the flag", w.flag(), want)
				change := must[control.Change](t)(w.GetChange(t.Context(), got.Revision))
				if !strings.Contains(change.Reason, c.says) || !strings.Contains(w.logs.String(), "level=ERROR") {
					t.Errorf("reason %q, log %q", change.Reason, &w.logs)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if w.state(next.ID) != control.ScheduleDone {
					t.Errorf("the next one is %s", w.state(next.ID))
				}
			})
		})
	}
}

func TestSchedulesThatAreRefused(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	in := func(d time.Duration) time.Time { return day0.Add(d) }
	for _, c := range []struct {
		name, flag, patch string
		at                time.Time
		want              control.Code
		place             string
	}{
		{name: "good", patch: `{"enabled":false}`, at: in(time.Second)},
		{name: "in two years", patch: `{"enabled":false}`, at: in(2 * 365 * 24 * time.Hour)},
		{name: "no such flag", flag: "g", patch: `{"enabled":false}`, at: in(time.Hour), want: control.CodeNotFound},
		{name: "now", patch: `{"enabled":false}`, at: in(0), want: control.CodeInvalid, place: "/at"},
		{name: "no time", patch: `{"enabled":false}`, want: control.CodeInvalid, place: "/at"},
		{name: "too far", patch: `{"enabled":false}`, at: in(3 * 365 * 24 * time.Hour), want: control.CodeInvalid, place: "/at"},
		{name: "no patch", at: in(time.Hour), want: control.CodeInvalid, place: "/patch"},
		{name: "null", patch: `null`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch"},
		{name: "a list", patch: `[]`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch"},
		{name: "nothing", patch: `{}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch"},
		{name: "the key", patch: `{"key":"g"}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch/key"},
		{name: "the type", patch: `{"type":"string"}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch/type"},
		{name: "the kind, removed", patch: `{"kind":null}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch/kind"},
		{name: "an unknown field", patch: `{"enabeld":true}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch/enabeld"},
		{name: "a field twice", patch: `{"enabled":true,"enabled":false}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch/enabled"},
		{name: "a wrong kind", patch: `{"enabled":"yes"}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch/enabled"},
		{name: "no such variant", patch: `{"defaultVariant":"blue"}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch/defaultVariant"},
		{name: "no such segment", patch: `{"rules":[{"when":{"segment":"x"},"serve":"on"}]}`, at: in(time.Hour), want: control.CodeInvalid, place: "/patch/rules/0/when/segment"},
		{name: "variants removed", patch: `{"variants":null}`, at: in(time.Hour), want: control.CodeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := c.flag
			if key == "" {
				key = "f"
			}
			_, err := r.CreateSchedule(ctx, control.NewSchedule{Flag: key, At: c.at, Patch: json.RawMessage(c.patch)}, ana)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, c.want, "")
			if got := pointers(err); c.place != "" && (len(got) == 0 || got[0] != c.place) {
				t.Errorf("places %v, want %s", got, c.place)
			}
		})
	}
}

// An edit may build on one that is due before it, not on one that comes later.
func TestSchedulesBuildOnEachOther(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	three := json.RawMessage(`{"variants":[{"name":"on","value":true},{"name":"off","value":false},{"name":"third","value":true}]}`)
	must[control.ScheduleEntry](t)(r.CreateSchedule(ctx, control.NewSchedule{Flag: "f", At: day0.Add(2 * time.Hour), Patch: three}, ana))
	for hours, want := range map[int]control.Code{1: control.CodeInvalid, 3: ""} {
		_, err := r.CreateSchedule(ctx, control.NewSchedule{Flag: "f", At: day0.Add(time.Duration(hours) * time.Hour), Patch: json.RawMessage(`{"defaultVariant":"third"}`)}, ana)
		if codeOf(err) != want {
			t.Errorf("after %d hours: %v, want %q", hours, err, want)
		}
	}
}

func TestSchedulesAreListedAndCancelled(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	for _, key := range []string{"f", "g"} {
		must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag(key), ana))
	}
	o := ana
	o.IdempotencyKey = "k"
	plan := func(key string, hours int, o control.WriteOptions) control.ScheduleEntry {
		return must[control.ScheduleEntry](t)(r.CreateSchedule(ctx, control.NewSchedule{Flag: key, At: day0.Add(time.Duration(hours) * time.Hour), Patch: json.RawMessage(`{"owner":"x"}`)}, o))
	}
	last, first, of := plan("f", 10, ana), plan("f", 2, o), plan("g", 5, ana)
	wantEqual(t, "a repeat", plan("f", 2, o), first)
	ids := func(f control.ScheduleFilter, limit int) (list []string) {
		for p := (control.Page{Limit: limit}); ; {
			items, next := r.ListSchedules(f, p)
			for _, item := range items {
				list = append(list, item.ID)
			}
			if p.After = next; next == "" {
				return list
			}
		}
	}
	if got := ids(control.ScheduleFilter{}, 2); !slices.Equal(got, []string{first.ID, of.ID, last.ID}) {
		t.Errorf("listed %v", got)
	}
	_, err := r.DeleteFlag(ctx, "g", ana)
	wantCode(t, err, control.CodePrecondition, of.ID)
	got := must[control.ScheduleEntry](t)(r.CancelSchedule(ctx, of.ID, ana))
	if got.State != control.ScheduleCancelled || got.Revision != r.Head().Revision || got.EndedAt.IsZero() {
		t.Errorf("cancelled: %s", asJSON(got))
	}
	_, err = r.CancelSchedule(ctx, of.ID, ana)
	wantCode(t, err, control.CodePrecondition, "cancelled")
	_, err = r.CancelSchedule(ctx, "none", ana)
	wantCode(t, err, control.CodeNotFound, "none")
	must[control.Change](t)(r.DeleteFlag(ctx, "g", ana))
	again := r.restart()
	if got := ids(control.ScheduleFilter{State: control.SchedulePending}, 9); !slices.Equal(got, []string{first.ID, last.ID}) {
		t.Errorf("pending are %v", got)
	}
	items, _ := again.ListSchedules(control.ScheduleFilter{Flag: "g"}, control.Page{})
	if len(items) != 1 || items[0].ID != of.ID {
		t.Errorf("after a restart: %s", asJSON(items))
	}
}

// The memory that schedules take is bounded; the log keeps what is no longer listed.
func TestFinishedSchedulesAreForgotten(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	must[control.FlagEntry](t)(r.CreateFlag(ctx, boolFlag("f"), ana))
	var ids []string
	for range 1_003 {
		n := control.NewSchedule{Flag: "f", At: day0.Add(time.Hour), Patch: json.RawMessage(`{"owner":"x"}`)}
		ids = append(ids, must[control.ScheduleEntry](t)(r.CreateSchedule(ctx, n, ana)).ID)
		must[control.ScheduleEntry](t)(r.CancelSchedule(ctx, ids[len(ids)-1], ana))
	}
	for i, want := range map[int]control.Code{0: control.CodeNotFound, 2: control.CodeNotFound, 3: "", 1_002: ""} {
		if _, err := r.GetSchedule(ids[i]); codeOf(err) != want {
			t.Errorf("schedule %d: %v, want %q", i, err, want)
		}
	}
	if list := must[[]control.Change](t)(r.History(ctx, control.KindSchedule, ids[0], 0, 0)); len(list) != 2 {
		t.Errorf("a forgotten schedule has a history of %d", len(list))
	}
}
