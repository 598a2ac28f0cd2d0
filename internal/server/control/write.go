package control

import (
	"context"
	"errors"
)

// write is one use case that changes the log.
type write struct {
	// verb and input tell two requests apart that have the same idempotency key.
	verb  string
	input []any
	// prepare, if not nil, brings in what plan needs beyond the projection. It may do I/O.
	prepare func(context.Context) error
	// plan says what to change. It is asked again after each conflict, with the newest state;
	// its error ends the write. It does no I/O.
	plan func(*projection) (plan, error)
}

// plan is what a write does to the log; without ops it does nothing, and the change is the zero
// value.
type plan struct {
	ops      []Op
	interval *IntervalRow
	before   int64  // revision of the entity that the write is about, 0 if it is new
	reason   string // instead of WriteOptions.Reason, if not empty
}

// maxConflicts bounds how often a write that meets other writers is tried.
const maxConflicts = 100

// commit carries out a write as a compare-and-set on the newest revision, again and again while
// other writers move only other entities. A dry run gives the change as it would be stored, but
// with the revision of the entity before.
func (s *Service) commit(ctx context.Context, o WriteOptions, w write) (Change, error) {
	req, err := newRequest(o, w)
	if err != nil {
		return Change{}, err
	}
	s.write.Lock()
	defer s.write.Unlock()
	tried := int64(-1)
	for range maxConflicts {
		if err := s.catchUp(ctx); err != nil {
			return Change{}, err
		}
		if first, err := s.repeated(req); first > 0 || err != nil {
			return s.changeOf(ctx, first, err)
		}
		if w.prepare != nil {
			if err := w.prepare(ctx); err != nil {
				return Change{}, err
			}
		}
		draft, head, before, err := s.draft(o, w, req)
		if err != nil || len(draft.Ops) == 0 {
			return Change{}, err
		}
		if o.DryRun {
			dry := head.Next(draft)
			dry.Revision, dry.Hash = before, ""
			return dry, nil
		}
		if head.Revision == tried {
			break // it is not the log that moves, but the journal
		}
		tried = head.Revision
		c, err := s.cfg.Log.Append(ctx, head.Revision, draft)
		if err == nil {
			return c, s.follow(ctx, c)
		}
		if !errors.Is(err, ErrConflict) {
			return Change{}, err
		}
	}
	return Change{}, ErrConflict
}

// draft makes a plan on the newest state.
func (s *Service) draft(o WriteOptions, w write, req request) (d Draft, head Head, before int64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := w.plan(s.state)
	if err != nil || len(p.ops) == 0 {
		return Draft{}, Head{}, 0, err
	}
	d = Draft{Actor: o.Actor, Reason: o.Reason, IdempotencyKey: req.key(), Time: s.cfg.Now().UTC(), Ops: p.ops, Interval: p.interval}
	if p.reason != "" {
		d.Reason = p.reason
	}
	d.Reason = shorten(d.Reason, MaxReason)
	d, err = d.Normalize()
	return d, s.state.head, p.before, err
}

// follow publishes a change that was just stored. That it is stored counts, so it never fails: if
// the state cannot follow, Run says so.
func (s *Service) follow(ctx context.Context, c Change) error {
	err := s.advance(c)
	if errors.Is(err, errGap) {
		err = s.catchUp(ctx)
	}
	if err != nil {
		s.cfg.Logger.Error("a stored change is not published yet", "revision", c.Revision, "error", err)
	}
	return nil
}
