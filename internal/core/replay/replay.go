// Package replay recomputes the decisions of a trial from its journal and compares them, bit for
// bit, with what was stored.
//
// The inputs of a trial are the intervals and what people told it; both are stored. Everything
// else follows by [trial.Next], so whoever has the inputs can check every decision. The journal
// keeps the state only at checkpoints, the change log at every decision and command: each state
// that is there is compared.
package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Change is one entry of the change log about the trial.
type Change struct {
	Revision int64
	// Automatic changes were made by the controller, others by people.
	Automatic bool
	State     trial.State
}

// Row is one row of the journal. State is nil where the journal keeps none.
type Row struct {
	Interval outcome.Interval
	State    *trial.State
}

// Kind says what a step of the replay is.
type Kind string

// The kinds.
const (
	KindStart    Kind = "start"
	KindInterval Kind = "interval"
	KindCommand  Kind = "command"
)

// Step is one event of the trial and what it led to.
type Step struct {
	Kind     Kind
	Interval *outcome.Interval // of KindInterval
	Verb     trial.Verb        // of KindCommand
	Actions  []trial.Action
	State    trial.State // after it, recomputed
	Revision int64       // of the change that stored it, 0 for none
	// Compared tells that the state was stored too, and is equal.
	Compared bool
	// Adopted tells that the stored state was made by another version of the rules
	// ([trial.Rules]). It cannot be recomputed; the replay goes on from it.
	Adopted bool
}

// Difference is where recomputing and the store part: an error.
type Difference struct {
	Seq      int    `json:"seq"`                // of the interval
	Revision int64  `json:"revision,omitempty"` // of the change, if it is one
	Pointer  string `json:"pointer,omitempty"`  // JSON pointer into the state
	// Recomputed and Stored are JSON, shortened; "" for absent.
	Recomputed string `json:"recomputed,omitempty"`
	Stored     string `json:"stored,omitempty"`
	What       string `json:"what"`
}

func (d *Difference) Error() string {
	where := fmt.Sprintf("interval %d", d.Seq)
	if d.Revision > 0 {
		where += fmt.Sprintf(", revision %d", d.Revision)
	}
	if d.Pointer == "" {
		return where + ": " + d.What
	}
	return fmt.Sprintf("%s: %s: %s is recomputed as %s, stored as %s", where, d.What, d.Pointer, absent(d.Recomputed), absent(d.Stored))
}

func absent(text string) string {
	if text == "" {
		return "absent"
	}
	return text
}

// Replay goes through one attempt of a trial. Not safe for concurrent use.
type Replay struct {
	spec    trial.Spec
	now     trial.State
	changes []Change // that are still to come
}

// New begins with the start of an attempt, which is changes[0]; changes are those of the attempt,
// oldest first. It fails without a start.
func New(spec trial.Spec, changes []Change) (*Replay, Step, error) {
	if len(changes) == 0 || changes[0].State.Seq != 0 || !changes[0].State.StartedAt.Equal(changes[0].State.UpdatedAt) {
		return nil, Step{}, fmt.Errorf("the change that started the attempt is missing: replay needs the change log from there on")
	}
	first := changes[0]
	r := &Replay{spec: spec, now: first.State, changes: slices.Clone(changes[1:])}
	return r, Step{Kind: KindStart, State: first.State, Revision: first.Revision, Adopted: first.State.Rules != trial.Rules}, nil
}

// Interval takes the next row of the journal and gives what happened since the last one, that
// interval last. The error is a [*Difference].
func (r *Replay) Interval(row Row) ([]Step, error) {
	steps, err := r.commands(row.Interval.Seq)
	if err != nil {
		return steps, err
	}
	step, err := r.weigh(row)
	return append(steps, step), err
}

// Finish gives what happened after the last interval. ended tells whether the trial is over.
func (r *Replay) Finish() (steps []Step, ended bool, err error) {
	steps, err = r.commands(r.now.Seq + 1)
	if err == nil && len(r.changes) > 0 {
		c := r.changes[0]
		err = &Difference{Seq: c.State.Seq, Revision: c.Revision, What: "the log has a decision on an interval that the journal lacks"}
	}
	return steps, r.now.Ended(), err
}

// weigh recomputes one interval.
func (r *Replay) weigh(row Row) (Step, error) {
	iv := row.Interval
	step := Step{Kind: KindInterval, Interval: &iv}
	if iv.Seq != r.now.Seq+1 {
		return step, &Difference{Seq: iv.Seq, What: fmt.Sprintf("it follows interval %d: the journal has a gap", r.now.Seq)}
	}
	next, actions := trial.Next(r.spec, r.now, trial.IntervalClosed{Interval: iv})
	if next.Seq != iv.Seq {
		return step, &Difference{Seq: iv.Seq, What: fmt.Sprintf("it is of step %d while the trial is at step %d, phase %s", iv.Step+1, r.now.Step+1, r.now.Phase)}
	}
	step.Actions = actions
	stored := row.State
	if c, ok := r.decided(iv.Seq, len(actions) > 0); ok {
		step.Revision, stored = c.Revision, &c.State
		r.changes = r.changes[1:]
	} else if len(actions) > 0 && (stored == nil || stored.Rules == trial.Rules) {
		return step, &Difference{Seq: iv.Seq, What: fmt.Sprintf("recomputing it decides (%s), the log has no such decision", kinds(actions))}
	}
	return r.settle(step, next, stored)
}

// decided gives the next change if it is the controller's decision on an interval.
func (r *Replay) decided(seq int, acts bool) (Change, bool) {
	if len(r.changes) == 0 {
		return Change{}, false
	}
	c := r.changes[0]
	return c, c.State.Seq == seq && (c.Automatic || acts)
}

// settle compares what was recomputed with what was stored, if anything was.
func (r *Replay) settle(step Step, next trial.State, stored *trial.State) (Step, error) {
	switch {
	case stored == nil:
	case stored.Rules != trial.Rules:
		next, step.Adopted, step.Actions = *stored, true, nil
	default:
		if d := compare(next, *stored); d != nil {
			d.Seq, d.Revision = next.Seq, step.Revision
			step.State = next
			return step, d
		}
		step.Compared = true
	}
	step.State, r.now = next, next
	return step, nil
}

// commands recomputes what people did before interval seq.
func (r *Replay) commands(seq int) ([]Step, error) {
	var steps []Step
	for len(r.changes) > 0 && r.changes[0].State.Seq < seq {
		c := r.changes[0]
		r.changes = r.changes[1:]
		step, err := r.command(c)
		steps = append(steps, step)
		if err != nil {
			return steps, err
		}
	}
	return steps, nil
}

// command finds the verb that leads to the stored state. Its actor, reason and time show in the
// state only as the sentence and as the time of the last change, so they are taken from there.
func (r *Replay) command(c Change) (Step, error) {
	step := Step{Kind: KindCommand, Revision: c.Revision}
	if c.State.Seq != r.now.Seq {
		return step, &Difference{Seq: c.State.Seq, Revision: c.Revision, What: fmt.Sprintf("the change is of interval %d, the journal is at %d", c.State.Seq, r.now.Seq)}
	}
	if c.State.Rules != trial.Rules {
		return r.settle(step, r.now, &c.State)
	}
	for _, verb := range append(slices.Clone(trial.Verbs), trial.VerbApprove) {
		command := trial.Command{Verb: verb, Actor: r.actor(verb, c.State), At: c.State.UpdatedAt}
		next, actions := trial.Next(r.spec, r.now, trial.Event(command))
		if verb.Allowed(r.spec, r.now) == nil && compare(next, c.State) == nil {
			step.Verb, step.Actions = verb, actions
			return r.settle(step, next, &c.State)
		}
	}
	d := compare(r.now, c.State)
	if d == nil {
		return r.settle(step, r.now, &c.State)
	}
	d.Seq, d.Revision, d.What = c.State.Seq, c.Revision, "no command leads to the stored state"
	return step, d
}

// actor gives the text that makes the command's sentence the stored one: "Paused by ACTOR."
func (r *Replay) actor(verb trial.Verb, stored trial.State) string {
	const marker = "\x00"
	probe, _ := trial.Next(r.spec, r.now, trial.Command{Verb: verb, Actor: marker, At: stored.UpdatedAt})
	before, after, ok := strings.Cut(probe.Why, marker)
	if !ok {
		return ""
	}
	text, front := strings.CutPrefix(stored.Why, before)
	text, back := strings.CutSuffix(text, after)
	if !front || !back {
		return ""
	}
	return text
}

func kinds(actions []trial.Action) string {
	var list []string
	for _, a := range actions {
		list = append(list, string(a.Kind))
	}
	return strings.Join(list, ", ")
}

// compare gives the first difference between two states as JSON, nil if all bits are equal.
func compare(recomputed, stored trial.State) *Difference {
	a, errA := json.Marshal(recomputed)
	b, errB := json.Marshal(stored)
	if errA != nil || errB != nil {
		return &Difference{What: "a state cannot be written as JSON"}
	}
	if bytes.Equal(a, b) {
		return nil
	}
	d := &Difference{What: "the states differ"}
	d.Pointer, d.Recomputed, d.Stored = firstDifference("", parse(a), parse(b))
	return d
}
