package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// ListChanges reads the log: at most limit changes (1 to 1 000, 0 means 100) after a revision,
// in order. Secrets of webhooks and hashes of tokens are left out of the ops, and idempotency keys are shown as their
// actors gave them. It reads the store.
func (s *Service) ListChanges(ctx context.Context, after int64, limit int) ([]Change, error) {
	changes, err := s.cfg.Log.Read(ctx, max(after, 0), pageSize(limit))
	if err != nil {
		return nil, err
	}
	for i := range changes {
		changes[i] = presentable(changes[i])
	}
	return changes, nil
}

// NewestChanges reads the log backwards: at most limit changes (1 to 1 000, 0 means 100) with a
// revision below before (0: from the newest) and after another, the newest first. It reads the
// store.
func (s *Service) NewestChanges(ctx context.Context, after, before int64, limit int) ([]Change, error) {
	last := s.Head().Revision
	if before > 0 {
		last = min(last, before-1)
	}
	first := max(after, last-int64(pageSize(limit)), 0)
	if first >= last {
		return nil, nil
	}
	changes, err := s.ListChanges(ctx, first, int(last-first))
	slices.Reverse(changes) // revisions have no gaps
	return changes, err
}

// GetChange reads one change, or a *Error with CodeNotFound. It reads the store.
func (s *Service) GetChange(ctx context.Context, revision int64) (Change, error) {
	c, err := s.readChange(ctx, revision)
	return presentable(c), err
}

// History gives the newest changes to one entity, newest first, at most limit (1 to 1 000,
// 0 means 100) with a revision below before (0: from the newest). Deleted entities keep theirs.
// It reads the store.
func (s *Service) History(ctx context.Context, kind EntityKind, key string, before int64, limit int) ([]Change, error) {
	s.mu.RLock()
	revisions := s.state.touched[entity{kind, key}]
	s.mu.RUnlock() // the part of the list that we hold is never written to again
	if before > 0 {
		n, _ := slices.BinarySearch(revisions, before)
		revisions = revisions[:n]
	}
	revisions = revisions[max(0, len(revisions)-pageSize(limit)):]
	changes := make([]Change, 0, len(revisions))
	for _, revision := range slices.Backward(revisions) {
		c, err := s.readChange(ctx, revision)
		if err != nil {
			return nil, err
		}
		changes = append(changes, presentable(c))
	}
	return changes, nil
}

// readChange reads one change as it is stored.
func (s *Service) readChange(ctx context.Context, revision int64) (Change, error) {
	if revision > 0 {
		changes, err := s.cfg.Log.Read(ctx, revision-1, 1)
		if err != nil {
			return Change{}, err
		}
		if len(changes) == 1 && changes[0].Revision == revision {
			return changes[0], nil
		}
	}
	return Change{}, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no change with revision %d", revision)}
}

// hidden are the kinds of entity that have secrets in the log, with what everybody may see of them.
var hidden = map[EntityKind]func(json.RawMessage) json.RawMessage{KindToken: withoutHash, KindWebhook: withoutSecrets, KindTrial: withoutSecret}

// presentable gives c as everybody may see it.
func presentable(c Change) Change {
	c.IdempotencyKey = ownKey(c.IdempotencyKey)
	for i, op := range c.Ops {
		hide := hidden[op.Kind]
		if hide == nil || op.Value == nil {
			continue
		}
		c.Ops = slices.Clone(c.Ops)
		c.Ops[i].Value = hide(op.Value)
	}
	return c
}

// withoutHash drops everything from a token's record but what is known to be harmless.
func withoutHash(raw json.RawMessage) json.RawMessage {
	var record tokenRecord
	if err := json.Unmarshal(raw, &record); err != nil {
		return json.RawMessage("{}")
	}
	record.SHA256 = ""
	shown, err := json.Marshal(record)
	if err != nil {
		return json.RawMessage("{}")
	}
	return shown
}
