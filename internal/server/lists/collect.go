package lists

import (
	"context"
	"encoding/json"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// When parts are collected.
const (
	// Grace is how old a part must be at least: a change that is under way has not named it yet.
	Grace = time.Hour
	// KeptRevisions is how many of the newest revisions of each segment, deleted ones included,
	// keep their parts, so that they can be brought back.
	KeptRevisions = 100

	collectEvery = time.Hour
)

// Run collects parts every hour until ctx ends.
func (s *Service) Run(ctx context.Context) {
	ticker := time.NewTicker(collectEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if n, err := s.Collect(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("member lists: collecting parts that nobody needs failed; it is tried again in an hour", "error", err)
		} else if n > 0 {
			s.cfg.Logger.Info("member lists: collected parts that nobody needs", "parts", n)
		}
	}
}

// Collect deletes the parts that are older than [Grace] and that neither a present segment nor one
// of its newest [KeptRevisions] names, and gives how many. It reads what is new in the log.
func (s *Service) Collect(ctx context.Context) (int, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.end()
	before := s.cfg.Now().Add(-Grace)
	old, err := s.blobs.OldBlobs(ctx, before)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	if err := s.ledger.follow(ctx, s.cfg.Segments); err != nil {
		return 0, err
	}
	needed := s.ledger.needed()
	for _, g := range s.cfg.Segments.Snapshot().Set.Segments {
		if g.List != nil {
			for _, p := range g.List.Parts {
				needed[p.Digest] = true
			}
		}
	}
	var orphans []string
	for _, digest := range old {
		if !needed[digest] {
			orphans = append(orphans, digest)
		}
	}
	return s.blobs.DeleteOldBlobs(ctx, orphans, before)
}

// ledger knows which parts the newest revisions of each segment name. It follows the log.
type ledger struct {
	at       control.Head
	segments map[string][][]string // by key, oldest first: the digests of each revision
}

// maxChanges is how much of the log is read at a time.
const maxChanges = 1_000

func (l *ledger) follow(ctx context.Context, s Segments) error {
	head := s.Head()
	if l.at.History != head.History || l.at.Epoch != head.Epoch || l.at.Revision > head.Revision {
		*l = ledger{segments: map[string][][]string{}}
	}
	for l.at.Revision < head.Revision {
		changes, err := s.ListChanges(ctx, l.at.Revision, maxChanges)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			for _, op := range c.Ops {
				if op.Kind == control.KindSegment {
					l.note(op)
				}
			}
			l.at.Revision = c.Revision
		}
	}
	l.at.History, l.at.Epoch = head.History, head.Epoch
	return nil
}

// note takes a revision of a segment in. Of its value only the list is read; one that cannot be
// read, which no store gives, names no parts.
func (l *ledger) note(op control.Op) {
	var value struct {
		List struct {
			Parts []struct {
				Digest string `json:"digest"`
			} `json:"parts"`
		} `json:"list"`
	}
	if op.Value != nil {
		_ = json.Unmarshal(op.Value, &value)
	}
	var digests []string
	for _, p := range value.List.Parts {
		digests = append(digests, p.Digest)
	}
	revisions := append(l.segments[op.Key], digests)
	l.segments[op.Key] = revisions[max(0, len(revisions)-KeptRevisions):]
}

func (l *ledger) needed() map[string]bool {
	needed := map[string]bool{}
	for _, revisions := range l.segments {
		for _, digests := range revisions {
			for _, digest := range digests {
				needed[digest] = true
			}
		}
	}
	return needed
}
