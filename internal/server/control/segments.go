package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// SegmentEntry is a segment with the revision of the last change to it.
type SegmentEntry struct {
	flag.Segment
	Revision int64 `json:"revision"`
}

// ListSegments gives a page of the segments, as ListFlags does of flags.
func (s *Service) ListSegments(p Page) (items []SegmentEntry, next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return page(s.state.segments, p)
}

// GetSegment gives a segment, or a *Error with CodeNotFound.
func (s *Service) GetSegment(key string) (SegmentEntry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if entry, ok := s.state.segments[key]; ok {
		return entry, nil
	}
	return SegmentEntry{}, notFound(entity{KindSegment, key})
}

// CreateSegment adds a segment. Errors: CodeInvalid with the places, CodeExists.
func (s *Service) CreateSegment(ctx context.Context, g flag.Segment, o WriteOptions) (SegmentEntry, error) {
	o.IfMatch = MatchAbsent
	return s.PutSegment(ctx, g, o)
}

// PutSegment creates the segment g.Key or replaces it as a whole, as PutFlag does a flag.
func (s *Service) PutSegment(ctx context.Context, g flag.Segment, o WriteOptions) (SegmentEntry, error) {
	e := entity{KindSegment, g.Key}
	c, err := s.commit(ctx, o, write{verb: "put segment", input: []any{g}, plan: func(p *projection) (plan, error) {
		before := p.revision(e)
		if err := o.IfMatch.match(e, before); err != nil {
			return plan{}, err
		}
		if err := p.mayPutSegment(g); err != nil {
			return plan{}, err
		}
		op, err := setOp(KindSegment, g.Key, g)
		return plan{ops: []Op{op}, before: before}, err
	}})
	if err != nil {
		return SegmentEntry{}, err
	}
	segment, err := stored[flag.Segment](c, e)
	return SegmentEntry{Segment: segment, Revision: c.Revision}, err
}

func (p *projection) mayPutSegment(g flag.Segment) error {
	if err := g.Validate(); err != nil {
		return asInvalid(err)
	}
	if _, exists := p.segments[g.Key]; !exists && len(p.segments) >= flag.MaxSegments {
		return precondition("segment %q: there are %d segments, no more are allowed: delete some first", g.Key, len(p.segments))
	}
	return nil
}

// DeleteSegment removes a segment. CodeNotFound if there is none, CodePrecondition naming the
// flags and running trials that use it.
func (s *Service) DeleteSegment(ctx context.Context, key string, o WriteOptions) (Change, error) {
	e := entity{KindSegment, key}
	return s.delete(ctx, e, o, func(p *projection) error { return p.mayDeleteSegment(key) })
}

// maxNamed bounds how many users of a segment an error names.
const maxNamed = 10

func (p *projection) mayDeleteSegment(key string) error {
	users := p.trialsNaming(key)
	for name, entry := range p.flags {
		if flagNames(entry.Flag, key) {
			users = append(users, fmt.Sprintf("flag %q", name))
		}
	}
	return usedBy(key, users)
}

// trialsNaming gives the active trials that use a segment, now or in a later step.
func (p *projection) trialsNaming(segment string) (users []string) {
	for name, entry := range p.trials {
		if !entry.State.Ended() && trialNames(entry.Trial, segment) {
			users = append(users, fmt.Sprintf("trial %q", name))
		}
	}
	return users
}

func usedBy(key string, users []string) error {
	if len(users) == 0 {
		return nil
	}
	slices.Sort(users)
	more := ""
	if n := len(users) - maxNamed; n > 0 {
		users, more = users[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return precondition("segment %q is used by %s%s: change those first", key, strings.Join(users, ", "), more)
}

func flagNames(f flag.Flag, segment string) bool {
	return slices.ContainsFunc(f.Rules, func(r flag.Rule) bool { return conditionNames(r.When, segment) })
}

func trialNames(t Trial, segment string) bool {
	for _, step := range t.Spec.Steps {
		if slices.Contains(step.Segments, segment) {
			return true
		}
	}
	return conditionNames(t.Spec.Audience, segment)
}

// conditionNames reports whether a stored condition, whose depth is therefore bounded, names the
// segment.
func conditionNames(c *flag.Condition, segment string) bool {
	if c == nil {
		return false
	}
	inside := func(child flag.Condition) bool { return conditionNames(&child, segment) }
	return c.Segment == segment || conditionNames(c.Not, segment) ||
		slices.ContainsFunc(c.All, inside) || slices.ContainsFunc(c.Any, inside)
}
