package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Revert appends a change that undoes the flags, segments and layers of another. CodeConflict names
// what has been changed since; CodePrecondition for changes of trials and tokens, with the
// command that undoes those. o.IfMatch does not apply. It reads the store.
func (s *Service) Revert(ctx context.Context, revision int64, o WriteOptions) (Change, error) {
	var ops []Op
	c, err := s.commit(ctx, o, write{
		verb: "revert", input: []any{revision},
		prepare: func(ctx context.Context) (err error) {
			if ops, err = s.opsBefore(ctx, revision); err != nil {
				return err
			}
			return s.checkLists(ctx, ops)
		},
		plan: func(p *projection) (plan, error) {
			if err := p.unchangedSince(ops, revision); err != nil {
				return plan{}, err
			}
			if err := p.mayApply(ops, s.view.Set); err != nil {
				return plan{}, err
			}
			why := o.Reason
			if why == "" {
				why = fmt.Sprintf("Reverts revision %d.", revision)
			}
			return plan{ops: ops, before: revision, reason: why}, nil
		},
	})
	return presentable(c), err
}

// opsBefore gives the ops that bring back what a change has replaced, in reverse order.
func (s *Service) opsBefore(ctx context.Context, revision int64) ([]Op, error) {
	c, err := s.readChange(ctx, revision)
	if err != nil {
		return nil, err
	}
	if err := revertible(c); err != nil {
		return nil, err
	}
	var ops []Op
	done := map[entity]bool{}
	for _, op := range slices.Backward(c.Ops) {
		e := entity{op.Kind, op.Key}
		if done[e] || e.kind == KindSchedule { // what has been carried out is not carried out again
			continue
		}
		done[e] = true
		value, err := s.valueBefore(ctx, e, revision)
		if err != nil {
			return nil, err
		}
		ops = append(ops, value)
	}
	return ops, nil
}

// revertible refuses what cannot be undone by putting back what was.
func revertible(c Change) error {
	for _, op := range c.Ops {
		switch op.Kind {
		case KindSchedule:
			if len(c.Ops) == 1 {
				return precondition("revision %d is about schedule %q: cancel it, or make a new one", c.Revision, op.Key)
			}
		case KindTrial:
			return precondition("revision %d is a step of trial %q, which goes on only forwards: stop it with the command abort", c.Revision, op.Key)
		case KindLever:
			return precondition("revision %d moved the lever of faults: move it with `seatrial chaos on` or `seatrial chaos off`", c.Revision)
		case KindWebhook:
			return precondition("revision %d is about webhook %q, whose secrets do not come back: change it, or make a new one", c.Revision, op.Key)
		case KindToken:
			return precondition("revision %d is about token %q: revoke it, or make a new one", c.Revision, op.Key)
		}
	}
	return nil
}

// valueBefore gives the op that makes of an entity what it was before a revision.
func (s *Service) valueBefore(ctx context.Context, e entity, revision int64) (Op, error) {
	s.mu.RLock()
	revisions := s.state.touched[e]
	s.mu.RUnlock()
	n, _ := slices.BinarySearch(revisions, revision)
	if n == 0 {
		return Op{Kind: e.kind, Key: e.key}, nil
	}
	c, err := s.readChange(ctx, revisions[n-1])
	if err != nil {
		return Op{}, err
	}
	for _, op := range slices.Backward(c.Ops) {
		if op.Kind == e.kind && op.Key == e.key {
			return op, nil
		}
	}
	return Op{}, &Error{Code: CodeInternal, Message: fmt.Sprintf("revision %d does not touch %s", c.Revision, e)}
}

// unchangedSince names the entities that newer changes have touched.
func (p *projection) unchangedSince(ops []Op, revision int64) error {
	var changed []string
	for _, op := range ops {
		e := entity{op.Kind, op.Key}
		if list := p.touched[e]; len(list) > 0 && list[len(list)-1] > revision {
			changed = append(changed, fmt.Sprintf("%s (revision %d)", e, list[len(list)-1]))
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return &Error{Code: CodeConflict, Message: fmt.Sprintf("revision %d cannot be undone by itself, newer changes build on it: %s; revert those first",
		revision, strings.Join(changed, ", "))}
}

// mayApply checks ops on definitions.
func (p *projection) mayApply(ops []Op, set *flag.Set) error {
	edits := make([]edit, len(ops))
	for i, op := range ops {
		value, err := decodeOp(op)
		if err != nil {
			return internalError("%s %q as stored cannot be read: %v", op.Kind, op.Key, err)
		}
		edits[i] = edit{entity: entity{op.Kind, op.Key}, value: value, restored: true}
	}
	return p.mayReach(set, edits)
}
