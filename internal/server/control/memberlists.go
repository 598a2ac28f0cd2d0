package control

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
)

// Lists brings the member lists of segments into memory; package lists has it. Implementations are
// safe for concurrent use.
type Lists interface {
	// Set gives the members of a list, loading them if need be; false if they cannot be had.
	Set(flag.List) (*members.Set, bool)
	// Check gives an error if the parts of a list are not kept.
	Check(ctx context.Context, list flag.List) error
}

// checkLists refuses to bring back lists whose parts are no longer kept.
func (s *Service) checkLists(ctx context.Context, ops []Op) error {
	if s.cfg.Lists == nil {
		return nil
	}
	for _, op := range ops {
		if op.Kind != KindSegment || op.Value == nil {
			continue
		}
		g, err := flag.DecodeSegment(op.Value)
		if err != nil {
			return internalError("segment %q as stored cannot be read: %v", op.Key, err)
		}
		if g.List == nil {
			continue
		}
		if err := s.cfg.Lists.Check(ctx, *g.List); err != nil {
			return &Error{Code: CodeOf(err), Message: fmt.Sprintf("segment %q cannot be what it was: %v", op.Key, err), Err: err}
		}
	}
	return nil
}

// SetList changes the member list of a segment from was to now, nil meaning none, and nothing else
// of it. Whoever calls it has made sure that the parts of now are kept. If both are the same, only
// o.IfMatch is checked. Errors: CodeNotFound, CodeConflict if the list is no longer was, CodeInvalid.
func (s *Service) SetList(ctx context.Context, key string, was, now *flag.List, o WriteOptions) (SegmentEntry, error) {
	e := entity{KindSegment, key}
	var before SegmentEntry
	c, err := s.commit(ctx, o, write{verb: "set list", input: []any{key, was, now}, plan: func(p *projection) (plan, error) {
		entry, ok := p.segments[key]
		if !ok {
			return plan{}, notFound(e)
		}
		if err := o.IfMatch.match(e, entry.Revision); err != nil {
			return plan{}, err
		}
		if !sameJSON(entry.List, was) {
			return plan{}, &Error{Code: CodeConflict, Message: fmt.Sprintf("segment %q: somebody else has changed its member list: try again", key)}
		}
		if before = entry; sameJSON(was, now) {
			return plan{}, nil
		}
		segment := entry.Segment
		segment.List = now
		if err := segment.Validate(); err != nil {
			return plan{}, asInvalid(err)
		}
		op, err := setOp(KindSegment, key, segment)
		return plan{ops: []Op{op}, before: entry.Revision}, err
	}})
	if err != nil || len(c.Ops) == 0 {
		return before, err
	}
	segment, err := stored[flag.Segment](c, e)
	return SegmentEntry{Segment: segment, Revision: c.Revision}, err
}
