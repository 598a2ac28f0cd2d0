package control

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/internal/core/flag"
)

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
