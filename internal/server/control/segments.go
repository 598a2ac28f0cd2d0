package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// SegmentEntry is a segment with the revision of the last change to it.
type SegmentEntry struct {
	flag.Segment
	Revision int64 `json:"revision"`
}

// ListSegments gives a page of the segments, as ListFlags does of flags.
func (s *Service) ListSegments(p Page) (items []SegmentEntry, next string) {
	return segments.list(s, p)
}

// GetSegment gives a segment, or a *Error with CodeNotFound.
func (s *Service) GetSegment(key string) (SegmentEntry, error) { return segments.get(s, key) }

// CreateSegment adds a segment. Errors: CodeInvalid with the places, CodeExists.
func (s *Service) CreateSegment(ctx context.Context, g flag.Segment, o WriteOptions) (SegmentEntry, error) {
	return segments.create(ctx, s, g, o)
}

// PutSegment creates the segment g.Key or replaces it as a whole, as PutFlag does a flag. Its
// member list can be kept as it is, or left out to remove it.
func (s *Service) PutSegment(ctx context.Context, g flag.Segment, o WriteOptions) (SegmentEntry, error) {
	return segments.put(ctx, s, g, o)
}

// DeleteSegment removes a segment. CodeNotFound if there is none, CodePrecondition naming the
// flags and running trials that use it.
func (s *Service) DeleteSegment(ctx context.Context, key string, o WriteOptions) (Change, error) {
	return segments.remove(ctx, s, key, o)
}

func (r *reach) mayPutSegment(g flag.Segment) error {
	old, exists := r.p.segments[g.Key]
	if !exists && r.count(segments) > flag.MaxSegments {
		return precondition("segment %q: there are %d segments, no more are allowed: delete some first", g.Key, len(r.p.segments))
	}
	if restored := r.edits[entity{KindSegment, g.Key}].restored; g.List != nil && !restored && !sameJSON(g.List, old.List) {
		return invalid("/list", "segment %q: the member list is another one than is stored: send it as it is, or leave it out to remove it; members are uploaded, not written here", g.Key)
	}
	return nil
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

func flagNames(f *flag.Flag, segment string) bool {
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
