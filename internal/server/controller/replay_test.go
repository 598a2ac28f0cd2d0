package controller_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// history is one attempt of a trial, computed anew from its start and its intervals.
type history struct {
	states    map[int]trial.State // after each interval
	state     trial.State         // the newest
	decisions []decision
	overtaken int // rows that were weighed on a revision which nothing builds on
}

// decision is a change that the automation made.
type decision struct {
	Seq    int
	Action string
	Step   int
	Phase  trial.Phase
	Result trial.Result
}

// replay computes an attempt anew and checks it against everything that is stored: the log has
// the decisions that follow from the intervals and no others, every interval counts once, and
// every stored state has the same bits.
func replay(log storetest.Store, t testing.TB, name string, number int) (*history, error) {
	rows, err := rowsOf(log, t, name, number)
	if err != nil {
		return nil, err
	}
	changes, err := trialChanges(log, t)
	if err != nil {
		return nil, err
	}
	list := changes[attempt{name, number}]
	if len(list) == 0 {
		return nil, fmt.Errorf("attempt %d of %s is not in the log", number, name)
	}
	return replayed(list, rows)
}

// attempt names one attempt of a trial.
type attempt struct {
	trial  string
	number int
}

func (a attempt) String() string { return fmt.Sprint(a.trial, " ", a.number) }

// trialChanges reads the changes to all trials.
func trialChanges(log storetest.Store, t testing.TB) (map[attempt][]trialChange, error) {
	changes := map[attempt][]trialChange{}
	for after := int64(0); ; {
		page, err := log.Read(t.Context(), after, control.MaxRead)
		if err != nil || len(page) == 0 {
			return changes, err
		}
		for _, c := range page {
			for _, op := range c.Ops {
				var value control.Trial
				if op.Kind != control.KindTrial {
					continue
				}
				if err := json.Unmarshal(op.Value, &value); err != nil {
					return nil, err
				}
				at := attempt{op.Key, value.State.Attempt}
				changes[at] = append(changes[at], trialChange{c, value})
			}
		}
		after = page[len(page)-1].Revision
	}
}

func rowsOf(log storetest.Store, t testing.TB, name string, number int) (rows []control.IntervalRow, err error) {
	for {
		last := 0
		if len(rows) > 0 {
			last = rows[len(rows)-1].Seq
		}
		page, err := log.Intervals(t.Context(), name, number, last, control.MaxRead)
		if err != nil || len(page) == 0 {
			return rows, err
		}
		rows = append(rows, page...)
	}
}

type trialChange struct {
	control.Change
	value control.Trial
}

func replayed(changes []trialChange, rows []control.IntervalRow) (*history, error) {
	h := &history{states: map[int]trial.State{}, state: changes[0].value.State}
	spec := changes[0].value.Spec
	for i, c := range changes {
		if i > 0 {
			if err := h.change(spec, c, changes[i-1].Revision, &rows); err != nil {
				return nil, fmt.Errorf("revision %d: %w", c.Revision, err)
			}
		}
	}
	if err := h.fold(spec, 1<<62, changes[len(changes)-1].Revision, &rows); err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Revision >= changes[len(changes)-1].Revision {
			return nil, fmt.Errorf("interval %d of revision %d does not follow interval %d", row.Seq, row.Revision, h.state.Seq)
		}
		h.overtaken++
	}
	return h, nil
}

// change checks that a change follows from what was before it.
func (h *history) change(spec trial.Spec, c trialChange, before int64, rows *[]control.IntervalRow) error {
	to := c.value.State
	if c.Actor != "controller" {
		if err := h.fold(spec, to.Seq, before, rows); err != nil {
			return err
		}
		if h.state.Seq != to.Seq || h.state.Treatment != to.Treatment || h.state.Control != to.Control {
			return fmt.Errorf("a command builds on interval %d, the journal ends at %d", to.Seq, h.state.Seq)
		}
		h.state = to
		return nil
	}
	if err := h.fold(spec, to.Seq-1, before, rows); err != nil {
		return err
	}
	actions, err := h.one(spec, before, rows)
	if err != nil {
		return err
	}
	if len(actions) == 0 || asJSON(h.state) != asJSON(to) {
		return fmt.Errorf("the log says %s, the intervals give %v and %s", asJSON(to), actions, asJSON(h.state))
	}
	h.decisions = append(h.decisions, decision{to.Seq, fmt.Sprint(actions), to.Step, to.Phase, to.Result})
	return nil
}

// fold weighs intervals up to a number, after none of which there is anything to do.
func (h *history) fold(spec trial.Spec, to int, revision int64, rows *[]control.IntervalRow) error {
	for h.state.Seq < to && slices.ContainsFunc(*rows, func(r control.IntervalRow) bool { return r.Seq == h.state.Seq+1 && r.Revision == revision }) {
		if actions, err := h.one(spec, revision, rows); err != nil || len(actions) > 0 {
			return errors.Join(err, fmt.Errorf("interval %d asks for %v, which is not in the log", h.state.Seq, actions))
		}
	}
	return nil
}

// one weighs the next interval.
func (h *history) one(spec trial.Spec, revision int64, rows *[]control.IntervalRow) ([]trial.Action, error) {
	i := slices.IndexFunc(*rows, func(r control.IntervalRow) bool { return r.Seq == h.state.Seq+1 && r.Revision == revision })
	if i < 0 {
		return nil, fmt.Errorf("interval %d of revision %d is missing", h.state.Seq+1, revision)
	}
	row := (*rows)[i]
	*rows = slices.Delete(slices.Clone(*rows), i, i+1)
	var iv outcome.Interval
	if err := json.Unmarshal(row.Interval, &iv); err != nil {
		return nil, err
	}
	var actions []trial.Action
	h.state, actions = trial.Next(spec, h.state, trial.IntervalClosed{Interval: iv})
	if h.state.Seq != row.Seq {
		return nil, fmt.Errorf("interval %d is not weighed", row.Seq)
	}
	if len(row.State) > 0 && string(row.State) != asJSON(h.state) {
		return nil, fmt.Errorf("interval %d leads to %s, stored is %s", row.Seq, asJSON(h.state), row.State)
	}
	h.states[row.Seq] = h.state
	return actions, nil
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
