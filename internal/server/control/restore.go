package control

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// RestoreFlag makes a flag what it was at a revision of the log, by a new change; also one that
// has been deleted since. It is a PutFlag, so what is not valid any more, or not possible now, is
// refused. CodeNotFound if the flag did not exist at that revision. It reads the store.
func (s *Service) RestoreFlag(ctx context.Context, key string, revision int64, o WriteOptions) (FlagEntry, error) {
	e := entity{KindFlag, key}
	var then Op
	c, err := s.commit(ctx, o, write{
		verb: "restore flag", input: []any{key, revision},
		prepare: func(ctx context.Context) (err error) {
			if revision > s.Head().Revision {
				return &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no revision %d yet, the newest is %d", revision, s.Head().Revision)}
			}
			then, err = s.valueBefore(ctx, e, revision+1)
			return err
		},
		plan: func(p *projection) (plan, error) {
			before := p.revision(e)
			if err := o.IfMatch.match(e, before); err != nil {
				return plan{}, err
			}
			if then.Value == nil {
				return plan{}, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there was no %s at revision %d: its history has those that there were", e, revision)}
			}
			why := o.Reason
			if why == "" {
				why = fmt.Sprintf("Restores revision %d.", revision)
			}
			return plan{ops: []Op{then}, before: before, reason: why}, p.mayApply([]Op{then}, s.view.Set)
		},
	})
	if err != nil {
		return FlagEntry{}, err
	}
	f, err := stored[flag.Flag](c, e)
	return FlagEntry{f, c.Revision}, err
}
