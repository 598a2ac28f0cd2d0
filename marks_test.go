package seatrial

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/baggage"
)

// lost is how a call may end without an answer.
var lost = map[string]struct {
	context func(ctx context.Context) context.Context
	known   bool // nothing is left open
}{
	"the connection broke": {func(ctx context.Context) context.Context { return ctx }, false},
	"the time was over": {func(ctx context.Context) context.Context {
		ctx, cancel := context.WithTimeout(ctx, 0)
		cancel()
		return ctx
	}, false},
	"the time was over, says the cause": {func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(context.DeadlineExceeded)
		return ctx
	}, false},
	"the caller gave up": {func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx
	}, true},
}

// A call that carried decisions and brought no answer counts as having met them, in both arms alike;
// one that carried none, or that nobody waited for, does not.
func TestUnansweredCallsCount(t *testing.T) {
	for name, end := range lost {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := faultSet(1, failing)
				in, out := usersOf(t, set)
				p := newPlane(t, set)
				c := p.open()
				for _, who := range []context.Context{in, out, t.Context()} {
					ctx, w := c.Begin(who)
					NoteUnanswered(end.context(c.Carry(ctx)))
					NoteUnanswered(end.context(c.Carry(ctx))) // again
					w.End(errDown)
				}
				ctx, w := c.Begin(in)
				NoteUnanswered(end.context(ctx)) // carried nothing
				w.End(errDown)
				want := map[string]arrived{}
				if one := (arrived{Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1}); !end.known {
					want = map[string]arrived{inTreatment: one, inControl: one}
				}
				p.wantArrived(c, want)
			})
		})
	}
	NoteUnanswered(t.Context())
	NoteUnanswered(noContext)
}

// What a unit of work has carried for somebody else does not concern whoever it works for now.
func TestUnansweredCallsCountForTheirUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, out := usersOf(t, set)
		p := newPlane(t, set)
		c := p.open()
		treated, _ := FromContext(in)
		ctx, w := c.Begin(out)
		_ = c.Carry(WithContext(ctx, treated))
		NoteUnanswered(c.Carry(ctx))
		w.End(nil)
		p.wantArrived(c, map[string]arrived{inControl: {Requests: 1, New: 1, AtRisk: 1}})
	})
}

// A unit of work that has met an experiment, but was not hit, is not hit by a call that carried nothing.
func TestUnansweredCallsWithoutADecisionAreNoHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := setAt(1, faultFlagOf(strings.Replace(failing, `"rate":1`, `"rate":0`, 1)), trialOn(faultFlagOf(failing), 0, 50), release("other"), trialOn(release("other"), 0, 50))
		in, _ := usersOf(t, set)
		c := newPlane(t, set).open(allowed())
		ctx, w := c.Begin(in)
		c.Bool(ctx, "other", false)
		if err := c.Dependency("payment").Do(ctx, succeed); err != nil {
			t.Fatal(err)
		}
		NoteUnanswered(ctx)
		w.End(nil)
		if n := c.Status().Excluded; n > 0 {
			t.Errorf("%d left out of other trials", n)
		}
	})
}

// S10: what may have been hit says nothing about other trials, and the caller is told what is known.
func TestS10UnansweredCallsMayBeHit(t *testing.T) {
	for phase, fault := range map[string]bool{"before the fault": false, "with the fault on": true} {
		t.Run(phase, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other, f := release("other"), faultFlagOf(failing)
				experiment := trialOn(f, 0, 50)
				experiment.Fault = fault
				set := setAt(1, f, experiment, other, trialOn(other, 0, 50))
				in, out := usersOf(t, set)
				c := newPlane(t, set).open()
				id := newSigner(secretOf("f-trial"), "f-trial.1").id
				want := map[bool]string{true: "t" + id + "!", false: "t" + id}[fault]
				for who, marks := range map[context.Context]string{decidedBy(c, in): want, decidedBy(c, out): "c" + id} {
					ctx, w := c.Begin(who)
					c.Bool(ctx, "other", false)
					NoteUnanswered(c.Carry(ctx))
					if got := Marks(ctx); got != marks {
						t.Errorf("the caller is told %q, want %q", got, marks)
					}
					w.End(errDown)
				}
				if n := c.Status().Excluded; (n == 1) != fault {
					t.Errorf("%d left out of other trials", n)
				}
			})
		})
	}
}

// S10: the answer to a call that was hit may come when the experiment is over.
func TestS10HitsAreKnownAfterTheEnd(t *testing.T) {
	id := newSigner(secretOf("f-trial"), "f-trial.1").id
	for name, note := range map[string]func(context.Context){
		"marks": func(ctx context.Context) { NoteMarks(ctx, "t"+id+"!") }, "no answer": NoteUnanswered,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other, f := release("other"), faultFlagOf(failing)
				set := setAt(1, f, trialOn(f, 0, 50), other, trialOn(other, 0, 50))
				in, out := usersOf(t, set)
				p := newPlane(t, set)
				c := p.open()
				var carried []context.Context
				var works []*Work
				for _, who := range []context.Context{in, out} {
					ctx, w := c.Begin(who)
					c.Bool(ctx, "other", false)
					carried, works = append(carried, c.Carry(ctx)), append(works, w)
				}
				p.publish(setAt(2, f, other, trialOn(other, 0, 50)))
				synctest.Wait()
				for i, w := range works {
					note(carried[i])
					w.End(errDown)
				}
				if n := c.Status().Excluded; n != 1 {
					t.Errorf("%d left out of other trials, want the one that was hit", n)
				}
				got := p.arrivedAt(c)
				if got[inTreatment].Requests+got[inControl].Requests > 0 {
					t.Errorf("counted for what is over: %v", got)
				}
			})
		})
	}
}

// Whoever could tell and has nothing to tell says so, but to nobody who has not asked.
func TestMarksSayThatNothingWasMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, _ := usersOf(t, set)
		c := newPlane(t, set).open()
		junk, _ := baggage.NewMemberRaw(baggageKey, "treatment")
		bag, _ := baggage.New(junk)
		for name, test := range map[string]struct {
			who  context.Context
			want string
		}{
			"asked":   {decidedBy(c, in), nothingMet},
			"nobody":  {t.Context(), ""},
			"decided": {in, ""},
			"junk":    {baggage.ContextWithBaggage(t.Context(), bag), ""},
		} {
			ctx, w := c.Begin(test.who)
			if got := Marks(ctx); got != test.want {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
			w.End(nil)
		}
		quiet := newPlane(t, setAt(1)).open()
		ctx, w := quiet.Begin(decidedBy(c, in))
		defer w.End(nil)
		if got := Marks(ctx); got != "" {
			t.Errorf("without experiments: %q", got)
		}
	})
}
