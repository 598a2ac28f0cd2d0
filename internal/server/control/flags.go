package control

import (
	"context"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// FlagEntry is a flag with the revision of the last change to it.
type FlagEntry struct {
	flag.Flag
	Revision int64 `json:"revision"`
}

// SegmentEntry is a segment with the revision of the last change to it.
type SegmentEntry struct {
	flag.Segment
	Revision int64 `json:"revision"`
}

// ListFlags gives a page of the flags, sorted by key, and the cursor of the next page, empty
// if there is none.
func (s *Service) ListFlags(p Page) (items []FlagEntry, next string) { panic("not yet") }

// GetFlag gives a flag, or a *Error with CodeNotFound.
func (s *Service) GetFlag(key string) (FlagEntry, error) { panic("not yet") }

// CreateFlag adds a flag. Errors: CodeInvalid with the places, CodeExists. The key of a deleted
// flag can be used again only for the same kind and type (code that still asks for the old flag
// must not meet a new meaning), else CodePrecondition.
func (s *Service) CreateFlag(ctx context.Context, f flag.Flag, o WriteOptions) (FlagEntry, error) {
	o.IfMatch = MatchAbsent
	return s.PutFlag(ctx, f, o)
}

// PutFlag creates the flag f.Key or replaces it as a whole; o.IfMatch restricts it to one of
// the two, or to a revision. Kind and type never change. While a trial runs on the flag its
// two variants keep their values: CodePrecondition names the trial.
func (s *Service) PutFlag(ctx context.Context, f flag.Flag, o WriteOptions) (FlagEntry, error) {
	panic("not yet")
}

// DeleteFlag removes a flag. CodeNotFound if there is none, CodePrecondition if a trial runs on
// it. Its key stays reserved, see CreateFlag.
func (s *Service) DeleteFlag(ctx context.Context, key string, o WriteOptions) (Change, error) {
	panic("not yet")
}

// ListSegments gives a page of the segments, as ListFlags does of flags.
func (s *Service) ListSegments(p Page) (items []SegmentEntry, next string) { panic("not yet") }

// GetSegment gives a segment, or a *Error with CodeNotFound.
func (s *Service) GetSegment(key string) (SegmentEntry, error) { panic("not yet") }

// CreateSegment adds a segment. Errors: CodeInvalid with the places, CodeExists.
func (s *Service) CreateSegment(ctx context.Context, g flag.Segment, o WriteOptions) (SegmentEntry, error) {
	o.IfMatch = MatchAbsent
	return s.PutSegment(ctx, g, o)
}

// PutSegment creates the segment g.Key or replaces it as a whole, as PutFlag does a flag.
func (s *Service) PutSegment(ctx context.Context, g flag.Segment, o WriteOptions) (SegmentEntry, error) {
	panic("not yet")
}

// DeleteSegment removes a segment. CodeNotFound if there is none, CodePrecondition naming the
// flags and running trials that use it.
func (s *Service) DeleteSegment(ctx context.Context, key string, o WriteOptions) (Change, error) {
	panic("not yet")
}
