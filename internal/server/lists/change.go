package lists

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
	"github.com/seatrial/seatrial/internal/server/control"
)

// errMoved says that the list is no longer the one that a change began with.
var errMoved = errors.New("the list has moved on")

// change makes one attempt at changing the list of a segment.
func (s *Service) change(ctx context.Context, key string, up uploaded, o control.WriteOptions, how operation) (Change, error) {
	entry, err := s.cfg.Segments.GetSegment(key)
	if err != nil {
		return Change{}, err
	}
	was := flag.List{HashKey: up.hashKey}
	if entry.List != nil {
		was = *entry.List
	}
	if was.HashKey != up.hashKey {
		return Change{}, &control.Error{Code: control.CodeConflict, Message: fmt.Sprintf(
			"list of segment %q: somebody began it anew meanwhile: send yours again", key)}
	}
	old, err := s.cfg.Loader.edits(ctx, was)
	if err != nil {
		return Change{}, err
	}
	d := differ(old, was.Count, up.parts, how)
	now := entry.List
	if d.changes() || now == nil && how == replace {
		if now, err = s.store(ctx, key, was, d, o.DryRun); err != nil {
			return Change{}, err
		}
	}
	entry, err = s.cfg.Segments.SetList(ctx, key, entry.List, now, o)
	if err != nil && control.CodeOf(err) == control.CodeConflict && o.IfMatch == control.MatchAlways {
		return Change{}, errMoved
	}
	return Change{Stat: statOf(entry), Added: d.added, Removed: d.removed}, err
}

// store keeps the parts of a list that are new, durably, and gives the list. It is in memory then,
// so that the first who evaluates need not wait for it.
func (s *Service) store(ctx context.Context, key string, was flag.List, d difference, dry bool) (*flag.List, error) {
	now := &flag.List{HashKey: was.HashKey, Count: was.Count + d.added - d.removed, Parts: []flag.ListPart{}}
	if now.Count > flag.MaxListMembers {
		return nil, &control.Error{Code: control.CodeTooLarge, Message: fmt.Sprintf(
			"list of segment %q: it would have %d members, at most %d are allowed", key, now.Count, flag.MaxListMembers)}
	}
	for e := range tidy(d.edits, now.Count) {
		part, err := s.storePart(ctx, e, dry)
		if err != nil {
			return nil, err
		}
		now.Parts = append(now.Parts, part)
	}
	if !dry {
		if err := s.cfg.Loader.keep(*now, edits(d.edits)); err != nil {
			return nil, err
		}
	}
	return now, nil
}

func (s *Service) storePart(ctx context.Context, e piece, dry bool) (flag.ListPart, error) {
	if e.stored != nil {
		return *e.stored, nil
	}
	data := e.Part.Bytes()
	sum := sha256.Sum256(data)
	part := flag.ListPart{Digest: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Removes: e.Removes}
	if dry {
		return part, nil
	}
	return part, s.blobs.PutBlob(ctx, part.Digest, data, s.cfg.Now())
}

// piece is an edit of a list, and where it is kept.
type piece struct {
	members.Edit
	stored *flag.ListPart // nil: not yet
}

func edits(pieces []piece) []members.Edit {
	list := make([]members.Edit, len(pieces))
	for i, p := range pieces {
		list[i] = p.Edit
	}
	return list
}

// The shape of a list that grows by small changes. A change costs every client what is new to it,
// so parts are left alone for as long as they can be.
const (
	maxParts = flag.MaxListParts / 2 // with more, small parts are brought together
	maxWaste = 4                     // with more than one hash too much in so many members, all are
)

// tidy yields the edits of a list of n members as they are to be kept.
func tidy(list []piece, n int) iter.Seq[piece] {
	if hashes(list)-n > n/maxWaste {
		return whole(list)
	}
	if len(list) > maxParts {
		list = mergeTail(list, n/maxWaste)
	}
	if len(list) > maxParts {
		return whole(list)
	}
	return func(yield func(piece) bool) {
		for _, p := range list {
			if !yield(p) {
				return
			}
		}
	}
}

func hashes(list []piece) (n int) {
	for _, p := range list {
		n += p.Part.Len()
	}
	return n
}

// whole yields parts that add all members, one after the other as they are made.
func whole(list []piece) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for part := range members.Merge(edits(list)) {
			if !yield(piece{Edit: members.Edit{Part: part}}) {
				return
			}
		}
	}
}

// mergeTail brings the newest edits, up to so many hashes, into two: one that removes and one that
// adds.
func mergeTail(list []piece, most int) []piece {
	from, n := len(list), 0
	for from > 0 && n+list[from-1].Part.Len() <= most {
		from--
		n += list[from].Part.Len()
	}
	tail := edits(list[from:])
	list = list[:from:from]
	for _, e := range removing(merge(flipped(tail))) {
		list = append(list, piece{Edit: e})
	}
	for _, e := range adding(merge(tail)) {
		list = append(list, piece{Edit: e})
	}
	return list
}
