package control

import (
	"context"
	"slices"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// Sources is where counts of guardrails are pulled from; *prometheus.Source is one.
type Sources interface {
	// Check asks whether the source can serve the plan. The error names the guardrail that it
	// cannot serve at all; warnings are of what may pass, such as a source that is away.
	Check(ctx context.Context, spec trial.Spec) (warnings []string, err error)
}

// checkSources refuses a plan whose guardrails ask for counts that nobody can pull. It is asked
// before a trial starts, outside of any lock, and takes as long as the source does.
func (s *Service) checkSources(ctx context.Context, spec trial.Spec) error {
	if !slices.ContainsFunc(spec.Guardrails, func(g trial.Guardrail) bool { return g.Prometheus != nil }) {
		return nil
	}
	if s.cfg.Sources == nil {
		return precondition("trial %q: a guardrail counts by Prometheus, and this server knows none: start it with --prometheus-url http://HOST:9090", spec.Name)
	}
	warnings, err := s.cfg.Sources.Check(ctx, spec)
	for _, w := range warnings {
		s.cfg.Logger.Warn("source of metrics", "trial", spec.Name, "warning", w)
	}
	if err != nil {
		return &Error{Code: CodeInvalid, Message: err.Error(), Err: err, Fields: []FieldError{{Pointer: "/guardrails", Detail: err.Error()}}}
	}
	return nil
}
