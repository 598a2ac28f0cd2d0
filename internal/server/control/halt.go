package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// Halted is one trial that a halt found running.
type Halted struct {
	Trial   string     `json:"trial"`
	Goal    trial.Goal `json:"goal"`
	Attempt int        `json:"attempt"`
	// Was is the phase that it was found in.
	Was trial.Phase `json:"was"`
	// Result is how it ended; empty if it could not be stopped.
	Result trial.Result `json:"result,omitempty"`
	// Revision of the change that ended it; 0 in a dry run, or if it could not be stopped.
	Revision int64 `json:"revision,omitempty"`
	// Error says why it could not be stopped. It runs on.
	Error string `json:"error,omitempty"`
}

// HaltAll aborts every trial that has not ended, whatever its goal and phase: promotions that are
// only watched are taken back, too. It gives them sorted by name; when it returns without an error,
// those without Error have ended, and no controller carries out anything for them any more.
//
// All are stopped in one change; in several if one cannot hold them (MaxOps, MaxChange). A halt does
// not give way: while others write, it is tried again until ctx ends. What a broken entity keeps
// from being stopped does not keep the others. o.IfMatch and o.IdempotencyKey do not apply, as a
// repeated halt finds nothing left to do. After an error the list has what was stopped before it.
func (s *Service) HaltAll(ctx context.Context, o WriteOptions) ([]Halted, error) {
	return s.stopAll(ctx, o, stopping{verb: "halt", want: func(TrialEntry) bool { return true }, why: "Halt of everything that runs"})
}

// stopping is a way to stop trials.
type stopping struct {
	verb string
	want func(TrialEntry) bool // whether a trial that has not ended is to be aborted
	// also gives what else is to be done, with the first trials; nil: nothing.
	also func(*projection) ([]Op, error)
	why  string // for the log, before the reason
}

// stopAll stops trials in as many changes as it takes, and gives way to nobody.
func (s *Service) stopAll(ctx context.Context, o WriteOptions, how stopping) ([]Halted, error) {
	o.IfMatch, o.IdempotencyKey = MatchAlways, ""
	all := []Halted{}
	refused := map[string]bool{} // what cannot be stopped is not tried for ever
	for {
		found, more, err := s.stopSome(ctx, o, how, refused)
		if errors.Is(err, ErrConflict) && ctx.Err() == nil {
			continue
		}
		for _, h := range found {
			refused[h.Trial] = refused[h.Trial] || h.Error != "" || o.DryRun
		}
		all = append(all, found...)
		if err != nil || !more {
			slices.SortFunc(all, func(a, b Halted) int { return strings.Compare(a.Trial, b.Trial) })
			return all, err
		}
	}
}

// stopSome aborts as many trials as one change holds, without those in skip; more says that there
// are others. On an error none of them is stopped.
func (s *Service) stopSome(ctx context.Context, o WriteOptions, how stopping, skip map[string]bool) (found []Halted, more bool, err error) {
	c, err := s.commit(ctx, o, write{
		verb:    how.verb,
		prepare: func(ctx context.Context) error { s.refreshActive(ctx); return nil },
		plan: func(p *projection) (next plan, err error) {
			if how.also != nil {
				next.ops, err = how.also(p)
			}
			var ops []Op
			found, ops, more = s.planHalt(p, o, how.want, skip)
			next.ops = append(next.ops, ops...)
			next.reason = haltReason(how.why, len(found), o.Reason)
			return next, err
		},
	})
	if err != nil {
		return nil, false, err
	}
	for i := range found {
		if found[i].Error == "" && !o.DryRun {
			found[i].Revision = c.Revision
		}
	}
	return found, more, nil
}

// refreshActive brings in the newest intervals, for the counts in the log. A journal that cannot be
// read is no reason to let anything run on.
func (s *Service) refreshActive(ctx context.Context) {
	s.mu.RLock()
	var names []string
	for name, entry := range s.state.trials {
		if !entry.State.Ended() {
			names = append(names, name)
		}
	}
	s.mu.RUnlock()
	for _, name := range names {
		if err := s.refreshLive(ctx, name); err != nil {
			s.cfg.Logger.Warn("a trial is halted without its newest intervals", "trial", name, "error", err)
		}
	}
}

// planHalt gives the ops that abort as many trials as fit. The caller holds s.mu.
func (s *Service) planHalt(p *projection, o WriteOptions, want func(TrialEntry) bool, skip map[string]bool) (found []Halted, ops []Op, more bool) {
	var names []string
	for name, entry := range p.trials {
		if !entry.State.Ended() && !skip[name] && want(entry) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	size := 0
	for _, name := range names {
		entry := s.newest(p.trials[name])
		h := Halted{Trial: name, Goal: entry.Spec.Goal, Attempt: entry.State.Attempt, Was: entry.State.Phase}
		state, its, err := s.abort(p, entry, o)
		if err != nil {
			h.Error = err.Error()
			found = append(found, h)
			continue
		}
		for _, op := range its {
			size += len(op.Value) + len(op.Key)
		}
		if len(ops) > 0 && (len(ops)+len(its) > MaxOps || size > MaxChange/2) {
			return found, ops, true
		}
		h.Result = state.Result
		found, ops = append(found, h), append(ops, its...)
	}
	return found, ops, false
}

// abort gives the state of an aborted trial, and the ops that store it.
func (s *Service) abort(p *projection, entry TrialEntry, o WriteOptions) (trial.State, []Op, error) {
	if err := trial.VerbAbort.Allowed(entry.Spec, entry.State); err != nil {
		return trial.State{}, nil, err
	}
	command := trial.Command{Verb: trial.VerbAbort, Actor: nameOf(o.Actor), Reason: o.Reason, At: s.now()}
	state, actions := trial.Next(entry.Spec, entry.State, command)
	if !state.Ended() {
		return trial.State{}, nil, fmt.Errorf("trial %s: the abort left it %s", entry.Spec.Name, state.Phase)
	}
	ops, _, err := p.decide(Trial{entry.Spec, state}, actions)
	return state, ops, err
}
