package prometheus

import (
	"context"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// Check asks for every selector of a plan once, for when it is started. The error names a selector
// that Prometheus refuses. What may be a mistake but need not be comes as warnings: Prometheus that
// is away, and selectors that select nothing now, which count as 0 for bad and good.
func (s *Source) Check(ctx context.Context, spec trial.Spec) (warnings []string, err error) {
	until := s.cfg.Now().Add(-s.cfg.Lag)
	for _, what := range selectors(&spec) {
		found, err := s.ask(ctx, what, until, s.cfg.Lookback)
		var refused *queryError
		switch {
		case errors.As(err, &refused) && refused.kind == badData:
			return nil, err
		case err != nil:
			return append(warnings, err.Error()), nil // the next would have to wait as long
		case len(found) == 0:
			warnings = append(warnings, fmt.Sprintf("%s: %q selects nothing of the last %s", what.place, what.text, s.cfg.Lookback))
		}
	}
	return warnings, nil
}
