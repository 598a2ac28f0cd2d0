package control

import "context"

// ListChanges reads the log: at most limit changes (1 to 1 000, 0 means 100) after a revision,
// in order. Hashes of tokens are left out of the ops.
func (s *Service) ListChanges(ctx context.Context, after int64, limit int) ([]Change, error) {
	panic("not yet")
}

// GetChange reads one change, or a *Error with CodeNotFound.
func (s *Service) GetChange(ctx context.Context, revision int64) (Change, error) {
	panic("not yet")
}

// History gives the newest changes to one entity, newest first, at most limit (1 to 1 000,
// 0 means 100) with a revision below before (0: from the newest). Deleted entities keep theirs.
func (s *Service) History(ctx context.Context, kind EntityKind, key string, before int64, limit int) ([]Change, error) {
	panic("not yet")
}

// Revert appends a change that undoes the flags and segments of another. CodeConflict names
// what has been changed since; CodePrecondition for changes of trials and tokens, with the
// command that undoes those.
func (s *Service) Revert(ctx context.Context, revision int64, o WriteOptions) (Change, error) {
	panic("not yet")
}
