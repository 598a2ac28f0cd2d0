package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func spec() trial.Spec {
	return trial.Normalize(trial.Spec{Name: "t", Flag: "f", Treatment: "on", Control: "off",
		Steps: []trial.Step{{Share: 5000, MinTime: trial.Duration(time.Minute), MinUnits: 10}, {Share: 20_000, MinTime: trial.Duration(time.Minute), MinUnits: 10},
			{Share: 50_000, MinTime: trial.Duration(time.Minute), MinUnits: 10, RequireSafe: true}}})
}

// experiment begins with a steady phase of 30 s.
func experiment() trial.Spec {
	return trial.Normalize(trial.Spec{Name: "t", Goal: trial.GoalSurvive, Flag: "f", Treatment: "on", Control: "off", Hypothesis: "h", MaxUnits: 100_000,
		Deadline: trial.Duration(30 * time.Minute), Steps: []trial.Step{{Share: 5000, MinTime: trial.Duration(time.Minute), MinUnits: 10}},
		Guardrails: trial.DefaultGuardrails()})
}

// history is what a control plane stores of one attempt.
type history struct {
	spec    trial.Spec
	changes []Change
	rows    []Row
	verbs   []trial.Verb // of the commands, in order
	actions int          // decisions of the automation
}

// record plays a random trial as the control plane does, and keeps states in some rows only.
func record(t *rapid.T) history {
	h := history{spec: spec()}
	if rapid.Bool().Draw(t, "chaos") {
		h.spec = experiment()
	}
	s := trial.Start(h.spec, 1, epoch)
	h.changes = []Change{{Revision: 10, State: stored(s)}}
	rate := rapid.SampledFrom([]float64{0.002, 0.01, 0.05, 0.3}).Draw(t, "rate")
	times := rapid.SampledFrom([]float64{1, 1, 1, 2}).Draw(t, "times as bad")
	at := epoch
	for i := range rapid.IntRange(1, 60).Draw(t, "events") {
		if s.Ended() {
			break
		}
		revision := int64(11 + i)
		at = at.Add(15 * time.Second)
		if rapid.IntRange(0, 7).Draw(t, "command") == 0 {
			verb := rapid.SampledFrom(trial.Verbs).Draw(t, "verb")
			if verb.Allowed(h.spec, s) != nil {
				continue
			}
			s, _ = trial.Next(h.spec, s, trial.Command{Verb: verb, Actor: "ada by night", Reason: rapid.SampledFrom([]string{"", "lunch.", "by who: me"}).Draw(t, "reason"), At: at})
			h.changes, h.verbs = append(h.changes, Change{Revision: revision, State: stored(s)}), append(h.verbs, verb)
			continue
		}
		iv := interval(t, s, at, rate, times)
		next, actions := trial.Next(h.spec, s, trial.IntervalClosed{Interval: iv})
		row := Row{Interval: iv}
		if len(actions) > 0 {
			h.actions++
			h.changes = append(h.changes, Change{Revision: revision, Automatic: true, State: stored(next)})
		}
		if len(actions) > 0 || rapid.IntRange(0, 4).Draw(t, "checkpoint") == 0 {
			kept := stored(next)
			row.State = &kept
		}
		h.rows, s = append(h.rows, row), next
	}
	return h
}

func interval(t *rapid.T, s trial.State, at time.Time, rate, times float64) outcome.Interval {
	arm := func(label string, rate float64) (a outcome.Arm) {
		if rapid.IntRange(0, 9).Draw(t, label+" silent") == 0 {
			return a
		}
		n := uint64(rapid.IntRange(50, 3000).Draw(t, label))
		a = outcome.Arm{Requests: n, Bad: uint64(float64(n) * rate), NewUnits: n / 10, AtRiskUnits: n / 5, BadUnits: uint64(float64(n/5) * rate)}
		for range min(n, 60) {
			a.Latency.Record(0.01 * float64(1+n%7))
		}
		return a
	}
	iv := outcome.Interval{Seq: s.Seq + 1, Step: s.Step, Steady: s.Steady, From: at.Add(-15 * time.Second), To: at,
		Treatment: arm("treatment", min(rate*times, 1)), Control: arm("control", rate)}
	if !s.Steady && iv.Treatment.Requests > 0 {
		iv.Treatment.Injected = iv.Treatment.Requests / 3
		iv.Injections = []outcome.Injection{{Point: "payment", Kind: "error", Phase: "before", Calls: iv.Treatment.Injected}}
	}
	return iv
}

// stored is a state after a way through the store.
func stored(s trial.State) (back trial.State) {
	data, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(data, &back)
	}
	if err != nil {
		panic(err)
	}
	return back
}

func (h history) replay() (steps []Step, err error) {
	r, first, err := New(h.spec, h.changes)
	if err != nil {
		return nil, err
	}
	steps = []Step{first}
	for _, row := range h.rows {
		more, err := r.Interval(row)
		if steps = append(steps, more...); err != nil {
			return steps, err
		}
	}
	more, _, err := r.Finish()
	return append(steps, more...), err
}

// TestEveryHistoryReplays: what a control plane decided is decided again, commands are
// recognised, and every state that was stored is compared.
func TestEveryHistoryReplays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := record(t)
		steps, err := h.replay()
		if err != nil {
			t.Fatal(err)
		}
		var verbs []trial.Verb
		intervals, compared, decisions := 0, 0, 0
		for _, s := range steps {
			switch {
			case s.Kind == KindInterval:
				intervals++
				if len(s.Actions) > 0 {
					decisions++
				}
			case s.Kind == KindCommand:
				verbs = append(verbs, s.Verb)
			}
			if s.Compared {
				compared++
			}
		}
		want := 0
		for _, row := range h.rows {
			if row.State != nil {
				want++
			}
		}
		if intervals != len(h.rows) || decisions != h.actions || compared != want+len(h.verbs) || fmt.Sprint(verbs) != fmt.Sprint(h.verbs) {
			t.Fatalf("%d of %d intervals, %d of %d decisions, %d of %d states, commands %v of %v", intervals, len(h.rows), decisions, h.actions,
				compared, want+len(h.verbs), verbs, h.verbs)
		}
	})
}

// TestEveryForgeryIsFound: one bit of one stored state, or one count of one interval before a
// stored state.
func TestEveryForgeryIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := record(t)
		i := rapid.IntRange(0, len(h.changes)-1).Draw(t, "change")
		if i == 0 {
			return // the start is an input
		}
		s := &h.changes[i].State
		forge := rapid.SampledFrom([]func(){
			func() { s.Treatment.Requests++ },
			func() { s.Sample.LogE += 1e-12 },
			func() { s.Phase = "promoted" },
			func() { s.Guardrails[0].LogHarm += 1e-9 },
			func() { s.Why += "!" },
		}).Draw(t, "forgery")
		forge()
		_, err := h.replay()
		var d *Difference
		if !errors.As(err, &d) {
			if why := s.Why; !h.changes[i].Automatic && strings.HasSuffix(why, "!") {
				return // a person's words are an input too
			}
			t.Fatalf("not found: %v", err)
		}
		if d.Pointer == "" || d.Recomputed == d.Stored {
			t.Fatalf("found, but not said where: %+v", d)
		}
	})
}

func TestLostAndForeignEntries(t *testing.T) {
	h := history{spec: spec()}
	s := trial.Start(h.spec, 1, epoch)
	h.changes = []Change{{Revision: 1, State: s}}
	for i := range 3 {
		at := epoch.Add(time.Duration(i+1) * 15 * time.Second)
		arm := outcome.Arm{Requests: 100, AtRiskUnits: 10, NewUnits: 10}
		for range 100 {
			arm.Latency.Record(0.02)
		}
		iv := outcome.Interval{Seq: i + 1, From: at.Add(-15 * time.Second), To: at, Treatment: arm, Control: arm.Clone()}
		s, _ = trial.Next(h.spec, s, trial.IntervalClosed{Interval: iv})
		kept := stored(s)
		h.rows = append(h.rows, Row{Interval: iv, State: &kept})
	}
	if _, err := h.replay(); err != nil {
		t.Fatal(err)
	}
	lost := h
	lost.rows = append([]Row{h.rows[0]}, h.rows[2])
	if _, err := lost.replay(); err == nil || !strings.Contains(err.Error(), "the journal has a gap") {
		t.Errorf("a lost row: %v", err)
	}
	lost = h
	lost.changes = nil
	if _, err := lost.replay(); err == nil || !strings.Contains(err.Error(), "the change that started the attempt is missing") {
		t.Errorf("a lost start: %v", err)
	}
	lost = h
	ahead := stored(s)
	ahead.Seq++
	lost.changes = append(lost.changes, Change{Revision: 9, Automatic: true, State: ahead})
	if _, err := lost.replay(); err == nil || !strings.Contains(err.Error(), "the journal lacks") {
		t.Errorf("a decision without its interval: %v", err)
	}
	// States that another version of the rules made are taken as they are, and what follows is compared again.
	foreign := h
	foreign.rows = append([]Row{}, h.rows...)
	old := stored(*h.rows[0].State)
	old.Rules, old.Treatment.Requests = trial.Rules+1, 4711
	foreign.rows[0].State = &old
	next, _ := trial.Next(h.spec, old, trial.IntervalClosed{Interval: h.rows[1].Interval})
	kept := stored(next)
	foreign.rows[1].State = &kept
	foreign.rows = foreign.rows[:2]
	steps, err := foreign.replay()
	if err != nil || !steps[1].Adopted || steps[2].State.Treatment.Requests != 4811 {
		t.Errorf("another version: %v, %+v", err, steps)
	}
}

func TestFirstDifference(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{`{"a":1}`, `{"a":1}`, "|1"},
		{`{"a":1,"b":[1,{"c":2}]}`, `{"a":1,"b":[1,{"c":3}]}`, "/b/1/c|2|3"},
		{`{"a":0.1}`, `{"a":0.10000000000000002}`, "/a|0.1|0.10000000000000002"},
		{`{"a":1}`, `{}`, "/a|1|"},
		{`[1]`, `[1,2]`, "/1||2"},
		{`{"a/b":null}`, `{"a/b":{}}`, "/a~1b|null|{}"},
	} {
		at, left, right := firstDifference("", parse([]byte(test.a)), parse([]byte(test.b)))
		if got := at + "|" + left + "|" + right; got != test.want && !(at == "" && test.want == "|1") {
			t.Errorf("%s and %s: %s, want %s", test.a, test.b, got, test.want)
		}
	}
}
