package seatrial

import (
	"github.com/seatrial/seatrial/internal/core/eval"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Names of the semantic conventions for feature flags (OpenTelemetry 1.44, release candidate),
// kept in this one place until they are stable. The targeting key is left out on purpose: it
// stays in the process.
const (
	evaluationEvent  = "feature_flag.evaluation"
	attrFlagKey      = "feature_flag.key"
	attrFlagVariant  = "feature_flag.result.variant"
	attrFlagReason   = "feature_flag.result.reason"
	attrFlagProvider = "feature_flag.provider.name"
	attrFlagSet      = "feature_flag.set.id"
	attrFlagVersion  = "feature_flag.version"

	attrEntryPrefix = "seatrial.flag." // of the entry span, then the flag's key

	providerName = "seatrial"
)

// telemetry is what one arm of a trial adds to spans; made once, since every exposure adds it.
type telemetry struct {
	event trace.EventOption
	entry attribute.KeyValue
}

func newTelemetry(environment string, ref *eval.TrialRef, variant string) telemetry {
	return telemetry{
		event: trace.WithAttributes(
			attribute.String(attrFlagKey, ref.Flag),
			attribute.String(attrFlagVariant, variant),
			attribute.String(attrFlagReason, "split"), // trials decide by hash only
			attribute.String(attrFlagProvider, providerName),
			attribute.String(attrFlagSet, environment),
			attribute.String(attrFlagVersion, ref.Version),
		),
		entry: attribute.String(attrEntryPrefix+ref.Flag, variant),
	}
}

// tell adds an exposure to the current span, and to the entry span of the unit of work (nil if
// there is none that records).
func (s *series) tell(a arm, entry, current trace.Span) {
	if entry != nil {
		entry.SetAttributes(s.telemetry[a].entry)
	}
	if current.IsRecording() {
		current.AddEvent(evaluationEvent, s.telemetry[a].event)
	}
}
