package trial

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"pgregory.net/rapid"
)

// register is the store as the core sees it: one trial, changed by compare-and-set.
type register struct {
	revision int
	state    State
	log      []change
	weighed  map[int]bool // intervals by number: the journal takes each once
}

// change is one stored state, and what caused it.
type change struct {
	before, after State
	actions       []Action
	person        bool
	interval      outcome.Interval // zero for a command
}

func (r *register) put(revision int, c change) bool {
	if revision != r.revision || !c.person && r.weighed[c.interval.Seq] {
		return false
	}
	if !c.person {
		r.weighed[c.interval.Seq] = true
	}
	r.revision++
	r.state = c.after
	r.log = append(r.log, c)
	return true
}

// actor is a controller or a person in the middle of a read, a decision and a write. What it
// holds may be as old as it likes.
type actor struct {
	person   bool
	revision int
	next     *change // decided, not yet stored
	closed   *outcome.Interval
	sent     *change // stored, but the answer was lost: it may be sent again
	sentAt   int
}

// Two automatic controllers and a person race on one register, with delays, crashes between the
// decision and the store, and repeats. Whatever the order:
//   - an acknowledged abort is the last state of the attempt;
//   - after an acknowledged pause nothing automatic moves the ramp on until somebody resumes;
//   - every stored change followed from the state before it, and each interval is stored once;
//   - steps follow each other one by one, and an automatic one had evidence of its own step.
func TestAPersonWinsEveryRace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := ordered(func(s *Spec) {
			s.Steps = append([]Step{{Share: 1_000, MinTime: Duration(15 * time.Second), MinUnits: 10, Approval: rapid.Bool().Draw(t, "gate")}}, s.Steps...)
			s.Watch = Duration(time.Minute)
		})
		r := &register{state: Start(spec, 1, day0), weighed: map[int]bool{}}
		actors := []*actor{{}, {}, {person: true}}
		for range rapid.IntRange(10, 120).Draw(t, "moves") {
			a := rapid.SampledFrom(actors).Draw(t, "actor")
			a.move(t, spec, r)
		}
		checkRace(t, spec, r)
	})
}

// move lets the actor do its next step, or fail at it.
func (a *actor) move(t *rapid.T, spec Spec, r *register) {
	switch what := rapid.SampledFrom([]string{"decide", "decide", "store", "store", "store", "crash", "repeat"}).Draw(t, "move"); {
	case what == "crash":
		a.next, a.closed, a.sent = nil, nil, nil
	case what == "repeat" && a.sent != nil:
		if r.put(a.sentAt, *a.sent) {
			t.Fatalf("a change was stored twice")
		}
	case what == "store" && a.next != nil:
		if r.put(a.revision, *a.next) {
			a.sent, a.sentAt, a.closed = a.next, a.revision, nil
		}
		a.next = nil
	default:
		a.decide(t, spec, r)
	}
}

// decide reads the register and asks what follows.
func (a *actor) decide(t *rapid.T, spec Spec, r *register) {
	before := r.state
	a.revision, a.next = r.revision, nil
	if before.Ended() {
		return
	}
	if a.person {
		verb := rapid.SampledFrom([]Verb{VerbPause, VerbPause, VerbResume, VerbAdvance, VerbApprove, VerbAbort}).Draw(t, "verb")
		if verb.Allowed(spec, before) == nil {
			after, actions := Next(spec, before, Command{Verb: verb, Actor: "ana", At: before.UpdatedAt.Add(time.Second)})
			a.next = &change{before: before, after: after, actions: actions, person: true}
		}
		return
	}
	if a.closed == nil || a.closed.Step != before.Step {
		iv := rapid.SampledFrom([]outcome.Interval{fine, fine, fine, fine, worse, silent, oneArm}).Draw(t, "interval")
		iv.Step, iv.From, iv.To = before.Step, before.UpdatedAt, before.UpdatedAt.Add(15*time.Second)
		a.closed = &iv
	}
	iv := *a.closed
	iv.Seq = before.Seq + 1
	after, actions := Next(spec, before, IntervalClosed{iv})
	a.next = &change{before: before, after: after, actions: actions, interval: iv}
}

func checkRace(t *rapid.T, spec Spec, r *register) {
	state, paused := Start(spec, 1, day0), false
	for i, c := range r.log {
		if !sameState(c.before, state) {
			t.Fatalf("change %d was decided on a state that was not the newest", i)
		}
		if state.Ended() {
			t.Fatalf("change %d came after the end: %s", i, c.after.Why)
		}
		if c.after.Step > state.Step+1 || c.after.Step < state.Step {
			t.Fatalf("change %d went from step %d to %d", i, state.Step, c.after.Step)
		}
		forward := c.after.Step > state.Step || c.after.Phase == PhaseWatching && state.Phase != PhaseWatching
		if !c.person && forward {
			checkForward(t, spec, state, c, paused)
		}
		if moved := forward || c.after.Phase != state.Phase; moved != (len(c.actions) > 0) && !c.person {
			t.Fatalf("change %d: actions %v, from %s/%d to %s/%d", i, c.actions, state.Phase, state.Step, c.after.Phase, c.after.Step)
		}
		if c.person {
			paused = c.after.Phase == PhasePaused
		}
		state = c.after
	}
	if !sameState(state, r.state) {
		t.Fatal("the register holds a state that nobody stored")
	}
}

// checkForward holds what an automatic step needs.
func checkForward(t *rapid.T, spec Spec, before State, c change, paused bool) {
	switch {
	case paused || before.Phase == PhasePaused:
		t.Fatalf("moved on from step %d although paused", before.Step)
	case spec.Steps[before.Step].Approval && !before.Approved:
		t.Fatalf("left step %d without approval", before.Step)
	case !compared(&c.interval) || c.interval.Step != before.Step:
		t.Fatalf("moved on without evidence of step %d: %+v", before.Step, c.interval)
	}
}

func sameState(a, b State) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return slices.Equal(x, y)
}

// After a downtime of hours everything that is due is still done one step after the other, each
// on data of its own and on time that was watched.
func TestNoStepIsSkippedAfterADowntime(t *testing.T) {
	spec := rollout(func(s *Spec) {
		s.Guardrails = []Guardrail{{Metric: MetricErrors, Mode: ModeEnforce, Absolute: 0.05}}
	})
	s := Start(spec, 1, day0)
	var steps []time.Duration // watched before each step
	for i := range 400 {
		iv := fine
		iv.Seq, iv.Step, iv.From = s.Seq+1, s.Step, s.UpdatedAt
		if i%10 == 5 {
			iv.From = iv.From.Add(5 * time.Hour) // the control plane was down
		}
		iv.To = iv.From.Add(time.Duration(spec.Interval))
		step, watched := s.Step, s.StepElapsed
		if s, _ = Next(spec, s, IntervalClosed{iv}); s.Step != step || s.Phase == PhaseWatching {
			steps = append(steps, time.Duration(watched+spec.Interval))
			if s.Step > step+1 {
				t.Fatalf("from step %d to %d", step, s.Step)
			}
		}
		if s.Phase == PhaseWatching {
			break
		}
	}
	if len(steps) != len(spec.Steps) {
		t.Fatalf("%d steps, want %d: %s", len(steps), len(spec.Steps), s.Why)
	}
	for i, watched := range steps {
		if watched < time.Duration(spec.Steps[i].MinTime) {
			t.Errorf("step %d was left after %s of %s", i, watched, spec.Steps[i].MinTime)
		}
	}
}

// One interval that is as long as the whole plan counts as two.
func TestALongIntervalIsNotALongLook(t *testing.T) {
	spec := ordered(func(s *Spec) { s.Steps[0].MinTime = Duration(time.Hour); s.Deadline = Duration(2 * time.Hour) })
	iv := fine
	iv.Seq, iv.From, iv.To = 1, day0, day0.Add(100*time.Hour)
	if s, _ := Next(spec, Start(spec, 1, day0), IntervalClosed{iv}); s.Step != 0 || s.Phase != PhaseRunning || s.StepElapsed != 2*spec.Interval {
		t.Errorf("%s at step %d after %s: %s", s.Phase, s.Step, s.StepElapsed, s.Why)
	}
}

// Two controllers that look at the same time do not make it pass twice.
func TestOverlappingIntervalsPassOnce(t *testing.T) {
	spec := ordered()
	s := Start(spec, 1, day0)
	for i, at := range [][2]int{{0, 15}, {5, 20}, {0, 10}, {18, 30}} {
		iv := silent
		iv.Seq, iv.From, iv.To = i+1, day0.Add(time.Duration(at[0])*time.Second), day0.Add(time.Duration(at[1])*time.Second)
		s, _ = Next(spec, s, IntervalClosed{iv})
	}
	if s.Elapsed != Duration(30*time.Second) {
		t.Errorf("%s passed, want 30s", s.Elapsed)
	}
}

// Clocks that jump, in either direction and by years, move nothing on by themselves: time that was
// not watched does not count, and no sentence or count breaks.
func TestClockJumpsDoNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := ordered(func(s *Spec) {
			s.Steps[0].MinTime = Duration(time.Hour)
			s.Deadline, s.OnDeadline = Duration(time.Hour), rapid.SampledFrom([]DeadlinePolicy{DeadlineHold, DeadlinePromote, DeadlineRollBack}).Draw(t, "policy")
		})
		s := Start(spec, 1, day0)
		jump := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(-1e17, 1e17).Draw(t, "jump"))
		})
		n := rapid.IntRange(1, 100).Draw(t, "intervals")
		for range n {
			iv := fine
			iv.Seq, iv.Step, iv.From, iv.To = s.Seq+1, s.Step, s.UpdatedAt.Add(jump.Draw(t, "from")), s.UpdatedAt.Add(jump.Draw(t, "to"))
			s, _ = Next(spec, s, IntervalClosed{iv})
			if rapid.IntRange(0, 9).Draw(t, "command") == 0 {
				s, _ = Next(spec, s, Command{Verb: VerbPause, Actor: "ana", At: s.UpdatedAt.Add(jump.Draw(t, "at"))})
				s, _ = Next(spec, s, Command{Verb: VerbResume, Actor: "ana", At: s.UpdatedAt.Add(jump.Draw(t, "at"))})
			}
			checkWords(t, s)
		}
		if s.Elapsed < 0 || s.Elapsed > Duration(n)*2*spec.Interval {
			t.Fatalf("%s passed in %d intervals", s.Elapsed, n)
		}
		if s.Step != 0 || s.Phase != PhaseRunning {
			t.Fatalf("%s %s at step %d after %s: %s", s.Phase, s.Result, s.Step, s.Elapsed, s.Why)
		}
	})
}
