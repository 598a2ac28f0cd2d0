package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Trial is the trial entity as it stands in the log: the plan, and the state as of the last
// decision or command.
type Trial struct {
	Spec  trial.Spec  `json:"spec"`
	State trial.State `json:"state"`
}

// TrialEntry is a trial with the revision of the last change to it. State is the newest known:
// it includes intervals that were only journalled since that change.
type TrialEntry struct {
	Trial
	Revision int64 `json:"revision"`

	unseen unseen // only in the projection
}

// ListTrials gives a page of the trials, sorted by name, ended ones included.
func (s *Service) ListTrials(p Page) (items []TrialEntry, next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	items, next = page(s.state.trials, p)
	for i := range items {
		items[i] = s.newest(items[i])
	}
	return items, next
}

// ActiveTrials gives the trials that have not ended, sorted by name.
func (s *Service) ActiveTrials() []TrialEntry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.running()
}

// running is ActiveTrials for callers that hold s.mu.
func (s *Service) running() (active []TrialEntry) {
	for _, entry := range s.state.trials {
		if !entry.State.Ended() {
			active = append(active, s.newest(entry))
		}
	}
	slices.SortFunc(active, func(a, b TrialEntry) int { return strings.Compare(a.Spec.Name, b.Spec.Name) })
	return active
}

// GetTrial gives a trial, or a *Error with CodeNotFound.
func (s *Service) GetTrial(name string) (TrialEntry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if entry, ok := s.state.trials[name]; ok {
		return s.newest(entry), nil
	}
	return TrialEntry{}, notFound(entity{KindTrial, name})
}

// StartTrial normalises and validates the plan and starts it. A trial of that name that has
// ended is started again as its next attempt, with the salt it had (unless the plan names
// another), so users keep their variant.
//
// Errors: CodeInvalid with the places, CodeNotFound for the flag, CodeExists if the trial has
// not ended, CodePrecondition if another trial runs on the flag, the flag is disabled, a rule of
// the flag leaves nobody to try it on, a guardrail asks for a source of metrics that is not there,
// or it and what runs would explain each other: two experiments, an experiment and a rollout of the
// same dependency's policy, an experiment while a rollout alarms. An experiment is also refused
// while the lever is off, or if its point is unknown or had no call in the last 5 minutes.
func (s *Service) StartTrial(ctx context.Context, spec trial.Spec, o WriteOptions) (TrialEntry, error) {
	if err := s.checkStart(ctx, spec); err != nil {
		return TrialEntry{}, err
	}
	return s.putTrial(ctx, spec.Name, o, write{verb: "start trial", input: []any{spec}, plan: func(p *projection) (plan, error) {
		before := p.trials[spec.Name]
		if err := o.IfMatch.match(entity{KindTrial, spec.Name}, before.Revision); err != nil {
			return plan{}, err
		}
		op, _, err := s.planStart(p, spec, o.Actor)
		return plan{ops: []Op{op}, before: before.Revision}, err
	}})
}

// checkStart holds what a start needs from elsewhere, asked outside of any lock.
func (s *Service) checkStart(ctx context.Context, spec trial.Spec) error {
	return s.checkSources(ctx, spec)
}

// planStart gives the op with which somebody starts a trial, and what it stores, or why it may not
// start.
func (s *Service) planStart(p *projection, spec trial.Spec, by string) (Op, Trial, error) {
	before := p.trials[spec.Name]
	if spec.Salt == "" {
		spec.Salt = before.Spec.Salt
	}
	spec = s.withFourEyes(trial.Normalize(spec))
	if err := p.mayStart(spec, s.view.Set); err != nil {
		return Op{}, Trial{}, err
	}
	if err := cmp.Or(p.mayRunBeside(spec, s.running()), s.mayInject(p, spec)); err != nil {
		return Op{}, Trial{}, err
	}
	secret, err := newExperimentSecret(spec, s.cfg.Random)
	if err != nil {
		return Op{}, Trial{}, err
	}
	started := Trial{Spec: spec, State: trial.Restart(spec, before.Spec, before.State, s.now())}
	op, err := setOp(KindTrial, spec.Name, trialRecord{started, newUnseen(spec, secret, by)})
	return op, started, err
}

// now is the time for people's eyes, without a monotonic part, which JSON would drop.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Round(0) }

// mayStart holds everything that a normalised plan must fulfil to be started.
func (p *projection) mayStart(spec trial.Spec, set *flag.Set) error {
	if before, ok := p.trials[spec.Name]; ok && !before.State.Ended() {
		return &Error{Code: CodeExists, Message: fmt.Sprintf("trial %q is %s: abort it first, or give the new one another name", spec.Name, before.State.Phase)}
	}
	if _, ok := p.trials[spec.Name]; !ok && len(p.trials) >= flag.MaxAllocations {
		return precondition("trial %q: the log holds %d trials, no more are allowed: start an old one again under its name", spec.Name, len(p.trials))
	}
	if err := p.mayExperiment(spec); err != nil {
		return err
	}
	if spec.Cohorts != nil { // it divides nothing, so it is in nobody's way
		return asInvalid(spec.Validate(*set))
	}
	f, ok := p.flags[spec.Flag]
	if !ok {
		err := notFound(entity{KindFlag, spec.Flag}).(*Error)
		err.Fields = []FieldError{{Pointer: "/flag", Detail: "create it first"}}
		return err
	}
	switch {
	case f.Archived:
		return precondition("trial %q: flag %q is archived: restore it first", spec.Name, spec.Flag)
	case f.HasDefinition():
		return precondition("trial %q: flag %q is a flagd definition, which a trial cannot divide: make it a flag with variants first", spec.Name, spec.Flag)
	case !f.Enabled:
		return precondition("trial %q: flag %q is disabled, so nobody would get either variant: enable it first", spec.Name, spec.Flag)
	}
	if err := spec.Validate(*set); err != nil {
		return asInvalid(err)
	}
	if n := catchAll(f.Flag); n > 0 {
		return precondition("trial %q: rule %d of flag %q decides for everybody, so the trial would reach nobody: remove that rule first", spec.Name, n, spec.Flag)
	}
	if err := fitsTrial(f.Flag, f.Flag, Trial{Spec: spec}); err != nil {
		return err
	}
	return p.validAllocation(spec, set)
}

// validAllocation checks what evaluators would get of the trial, with their own code.
func (p *projection) validAllocation(spec trial.Spec, set *flag.Set) error {
	state := trial.Start(spec, 1, time.Unix(0, 0).UTC())
	state.Step, state.Steady = len(spec.Steps)-1, false // the most strata
	a, _ := spec.Allocation(state)
	f := p.flags[spec.Flag].Flag
	f.Prerequisites = nil // are valid already, as the layers are
	with := *set
	with.Flags, with.Layers = []flag.Flag{f}, nil
	with.Allocations = []flag.Allocation{a}
	return asInvalid(with.Validate())
}

// putTrial commits a write of one trial and gives the result.
func (s *Service) putTrial(ctx context.Context, name string, o WriteOptions, w write) (TrialEntry, error) {
	c, err := s.commit(ctx, o, w)
	if err != nil {
		return TrialEntry{}, err
	}
	t, err := stored[trialRecord](c, entity{KindTrial, name})
	return TrialEntry{Trial: t.Trial, Revision: c.Revision}, err
}

// CommandTrial carries out a person's command: verb is pause, resume, advance, promote, approve or
// abort.
// It is applied to the newest state, journalled intervals included; o.Actor and o.Reason become
// part of it. CodeInvalid for an unknown verb, CodeNotFound, CodePrecondition if the trial has ended or
// the command makes no sense in its phase, or if who approves an experiment that needs four eyes is who
// started it, or has that name. It reads the store.
func (s *Service) CommandTrial(ctx context.Context, name, verb string, o WriteOptions) (TrialEntry, error) {
	if !slices.Contains(trial.Verbs, trial.Verb(verb)) {
		return TrialEntry{}, invalid("/verb", "trial %q: the verb %q is unknown: use pause, resume, advance, promote, approve or abort", name, verb)
	}
	return s.putTrial(ctx, name, o, write{
		verb: "command trial", input: []any{name, verb, o.Reason},
		prepare: func(ctx context.Context) error { return s.refreshLive(ctx, name) },
		plan: func(p *projection) (plan, error) {
			entry, ok := p.trials[name]
			if !ok {
				return plan{}, notFound(entity{KindTrial, name})
			}
			if err := o.IfMatch.match(entity{KindTrial, name}, entry.Revision); err != nil {
				return plan{}, err
			}
			starter := entry.unseen.StartedBy
			entry = s.newest(entry)
			if err := trial.Verb(verb).Allowed(entry.Spec, entry.State); err != nil {
				return plan{}, &Error{Code: CodePrecondition, Message: err.Error(), Err: err}
			}
			if trial.Verb(verb) == trial.VerbApprove {
				if err := mayApprove(entry, starter, o.Actor); err != nil {
					return plan{}, err
				}
			}
			command := trial.Command{Verb: trial.Verb(verb), Actor: nameOf(o.Actor), Reason: o.Reason, At: s.now()}
			state, actions := trial.Next(entry.Spec, entry.State, command)
			ops, why, err := p.decide(Trial{entry.Spec, state}, actions)
			return plan{ops: ops, before: entry.Revision, reason: why}, err
		},
	})
}

// decide gives the ops that store a state with what its actions do to the flag, and the reason.
func (p *projection) decide(t Trial, actions []trial.Action) (ops []Op, why string, err error) {
	op, err := p.trialOp(t)
	if err != nil {
		return nil, "", err
	}
	if t.Spec.Cohorts != nil { // there is no flag to change
		return []Op{op}, t.State.Why, nil
	}
	was := p.flags[t.Spec.Flag].Flag
	f, changed := carryOut(was, t, actions)
	if !changed {
		return []Op{op}, t.State.Why, nil
	}
	flagOp, err := setOp(KindFlag, f.Key, f)
	return []Op{op, flagOp}, withRules(t.State.Why, was, actions), err
}
