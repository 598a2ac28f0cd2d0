package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Decision is what the controller stores when trial.Next gave at least one action.
type Decision struct {
	Trial string
	// Revision is that of the TrialEntry whose state went into Next. If the trial has been
	// changed since (a person's command, another controller), nothing is stored.
	Revision int64
	// State is the state that Next gave.
	State trial.State
	// Interval is the evidence of the decision; it is journalled in the same transaction. Nil
	// if the event was none.
	Interval *outcome.Interval
	// Actions are what Next gave with it. ActionPromote and ActionDemote change the flag in the
	// same change: its default variant or, for a trial with an audience, a last rule for that
	// audience (promote.go says why).
	Actions []trial.Action
	// Reason for the log. Default: State.Why.
	Reason string
}

// controllerActor names the automation in the log.
const controllerActor = "controller"

// StoreDecision stores a decision of the controller as one compare-and-set change. Errors:
// CodeConflict when the trial is no longer at d.Revision, or its interval is in the journal
// already: read it again and go on from there.
func (s *Service) StoreDecision(ctx context.Context, d Decision) (TrialEntry, error) {
	w := write{verb: "decide", plan: func(p *projection) (plan, error) {
		entry, err := s.at(p, d.Trial, d.Revision)
		if err == nil {
			err = continues(entry, d.State, d.Interval)
		}
		if err != nil {
			return plan{}, err
		}
		ops, why, err := p.decide(Trial{entry.Spec, d.State}, d.Actions)
		if err != nil {
			return plan{}, err
		}
		row, err := intervalRow(&entry, d.Interval, &d.State, false)
		if d.Reason != "" && d.Reason != d.State.Why {
			why = d.Reason
		}
		return plan{ops: ops, interval: row, before: entry.Revision, reason: why}, err
	}}
	entry, err := s.putTrial(ctx, d.Trial, WriteOptions{Actor: controllerActor}, w)
	return entry, s.seen(ctx, d.Trial, err)
}

// at gives the trial with its newest state if it is still at a revision, else CodeConflict. The
// caller holds s.mu.
func (s *Service) at(p *projection, name string, revision int64) (TrialEntry, error) {
	entry, ok := p.trials[name]
	if !ok {
		return TrialEntry{}, notFound(entity{KindTrial, name})
	}
	if entry.Revision != revision {
		return TrialEntry{}, &Error{Code: CodeConflict, Message: fmt.Sprintf("trial %q is at revision %d, not %d: read it again", name, entry.Revision, revision)}
	}
	return s.newest(entry), nil
}

// continues checks that a state, and the interval that led to it, follow the newest ones.
func continues(entry TrialEntry, next trial.State, iv *outcome.Interval) error {
	name, seq := entry.Spec.Name, entry.State.Seq
	switch {
	case entry.State.Ended():
		return precondition("trial %q has ended (%s)", name, entry.State.Result)
	case next.Attempt != entry.State.Attempt:
		return invalid("/state/attempt", "trial %q is in attempt %d, the state is of attempt %d", name, entry.State.Attempt, next.Attempt)
	case iv == nil && next.Seq != seq, iv != nil && next.Seq != iv.Seq, next.Seq > seq+1:
		return invalid("/state/seq", "trial %q is at interval %d: a state with interval %d does not follow", name, seq, next.Seq)
	case iv != nil && iv.Seq <= seq:
		return &Error{Code: CodeConflict, Message: fmt.Sprintf("interval %d of trial %q is weighed already, the newest is %d: read the trial again", iv.Seq, name, seq)}
	}
	return nil
}

// seen looks at the journal after a conflict: another controller may have been faster, which
// leaves no trace in the log.
func (s *Service) seen(ctx context.Context, name string, err error) error {
	if CodeOf(err) != CodeConflict {
		return err
	}
	if err := s.refreshLive(ctx, name); err != nil {
		return err
	}
	return err
}

// intervalRow gives the row of an interval; with checkpoint it keeps the state.
func intervalRow(entry *TrialEntry, iv *outcome.Interval, state *trial.State, checkpoint bool) (*IntervalRow, error) {
	if iv == nil {
		return nil, nil
	}
	row := &IntervalRow{Trial: entry.Spec.Name, Attempt: state.Attempt, Seq: iv.Seq, Revision: entry.Revision, encoded: true}
	var err, err2 error
	row.Interval, err = json.Marshal(iv)
	if checkpoint {
		row.State, err2 = json.Marshal(state)
	}
	if err = errors.Join(err, err2); err != nil {
		return nil, &Error{Code: CodeInvalid, Message: fmt.Sprintf("interval %d of trial %q cannot be written as JSON: %v", iv.Seq, row.Trial, err), Err: err}
	}
	return row, nil
}

// Record is an interval after which trial.Next gave no action, and the state it led to.
type Record struct {
	Trial string
	// Revision is that of the TrialEntry whose state went into Next.
	Revision int64
	Interval outcome.Interval
	// State must be what Next gave: it is shown, and after a restart computed again.
	State trial.State
}

// RecordIntervals journals intervals of different trials in one transaction and gives an error,
// or nil, for each: CodeConflict if the trial has been changed since or the interval is there
// already (read the trial again), CodeInvalid if the state is a decision or follows nothing, and
// what the store says.
func (s *Service) RecordIntervals(ctx context.Context, records []Record) []error {
	s.write.Lock()
	defer s.write.Unlock()
	errs := make([]error, len(records))
	if err := s.catchUp(ctx); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	rows, of := s.planIntervals(records, errs)
	for k, err := range s.cfg.Journal.AppendIntervals(ctx, rows) {
		i := of[k]
		if err != nil {
			errs[i] = s.seen(ctx, records[i].Trial, err)
			continue
		}
		// What Next makes of the state later it makes of its own copy, so that it can be shared.
		s.setLive(records[i].Trial, liveTrial{revision: records[i].Revision, state: records[i].State})
	}
	return errs
}

// planIntervals gives the rows to store, and of which record each is; the other records get
// their error.
func (s *Service) planIntervals(records []Record, errs []error) (rows []IntervalRow, of []int) {
	rows, of = make([]IntervalRow, 0, len(records)), make([]int, 0, len(records))
	for i := range records {
		row, err := s.planInterval(&records[i])
		if err != nil {
			errs[i] = err
			continue
		}
		rows, of = append(rows, *row), append(of, i)
	}
	return rows, of
}

func (s *Service) planInterval(r *Record) (*IntervalRow, error) {
	s.mu.RLock()
	entry, err := s.at(s.state, r.Trial, r.Revision)
	s.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	if err := continues(entry, r.State, &r.Interval); err != nil {
		return nil, err
	}
	if r.State.Step != entry.State.Step || r.State.Phase != entry.State.Phase {
		return nil, invalid("/state", "trial %q moves from %s, step %d, to %s, step %d: that is a decision, store it as one", r.Trial,
			entry.State.Phase, entry.State.Step+1, r.State.Phase, r.State.Step+1)
	}
	return intervalRow(&entry, &r.Interval, &r.State, r.State.Seq%checkpointEvery == 0)
}

// Interval is a journalled interval. State, the one it led to, is nil where the journal keeps
// none: at most of them, and at decisions, whose state is in the log.
type Interval struct {
	Seq      int              `json:"seq"`
	Interval outcome.Interval `json:"interval"`
	State    *trial.State     `json:"state,omitempty"`
}

// Intervals reads the journal: intervals of the trial's attempt (0: the newest) with a sequence
// number greater than after, in order, at most limit (1 to 1 000, 0 means 100). It reads the
// store. CodeNotFound if there is no such trial.
func (s *Service) Intervals(ctx context.Context, name string, attempt, after, limit int) ([]Interval, error) {
	entry, err := s.GetTrial(name)
	if err != nil {
		return nil, err
	}
	if attempt == 0 {
		attempt = entry.State.Attempt
	}
	rows, err := s.cfg.Journal.Intervals(ctx, name, attempt, after, pageSize(limit))
	if err != nil {
		return nil, err
	}
	list := make([]Interval, len(rows))
	for i, row := range rows {
		list[i].Seq = row.Seq
		err := json.Unmarshal(row.Interval, &list[i].Interval)
		if len(row.State) > 0 {
			err = errors.Join(err, json.Unmarshal(row.State, &list[i].State))
		}
		if err != nil {
			return nil, &Error{Code: CodeInternal, Message: fmt.Sprintf("interval %d of trial %q cannot be read: %v", row.Seq, name, err), Err: err}
		}
	}
	return list, nil
}
