package ofprovider

import (
	"context"
	"strings"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"
)

// The event of an evaluation and its attributes, by the semantic conventions for feature flags
// (OpenTelemetry 1.44, release candidate) and appendix D of the OpenFeature specification. They
// differ in the name of the error's message; the conventions' is used.
const (
	evaluationEvent  = "feature_flag.evaluation"
	attrKey          = "feature_flag.key"
	attrProvider     = "feature_flag.provider.name"
	attrVariant      = "feature_flag.result.variant"
	attrValue        = "feature_flag.result.value"
	attrReason       = "feature_flag.result.reason"
	attrSet          = "feature_flag.set.id"
	attrVersion      = "feature_flag.version"
	attrContext      = "feature_flag.context.id"
	attrErrorType    = "error.type"
	attrErrorMessage = "feature_flag.error.message"

	metadataContext = "contextId"
)

// maxValue bounds a value or a message in telemetry, in bytes.
const maxValue = 256

// HookOption changes what a hook records.
type HookOption interface{ applyHook(*recording) }

type hookOptionFunc func(*recording)

func (f hookOptionFunc) applyHook(r *recording) { f(r) }

// recording is what both hooks share.
type recording struct {
	of.UnimplementedHook
	withValues bool
	anonymous  bool
}

// WithValues records the value of each evaluation, if it is a text (the first 256 bytes), a number or
// a boolean. Default: only where there is no variant to name it, which is where the value is the
// code's default.
func WithValues() HookOption { return hookOptionFunc(func(r *recording) { r.withValues = true }) }

// WithoutContextID leaves out feature_flag.context.id, which is the targeting key unless the flag's
// metadata says otherwise. Default: it is recorded, as the conventions recommend.
func WithoutContextID() HookOption { return hookOptionFunc(func(r *recording) { r.anonymous = true }) }

func newRecording(options []HookOption) recording {
	var r recording
	for _, o := range options {
		if o != nil {
			o.applyHook(&r)
		}
	}
	return r
}

// NewSpanHook gives a hook that adds the event "feature_flag.evaluation" of OpenTelemetry's semantic
// conventions to the current span, if that records; else it does nothing. It works with every
// provider. A Seatrial client adds such an event of its own when a unit of work first meets an arm
// of a trial, with or without this hook.
func NewSpanHook(options ...HookOption) of.Hook { return &spanHook{newRecording(options)} }

type spanHook struct{ recording }

func (h *spanHook) Finally(ctx context.Context, hook of.HookContext, details of.InterfaceEvaluationDetails, _ of.HookHints) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent(evaluationEvent, trace.WithAttributes(h.attributes(&hook, &details)...))
	}
}

// NewLogHook gives a hook that emits the log event "feature_flag.evaluation" of OpenTelemetry's
// semantic conventions for each evaluation, where the logger is enabled; with severity DEBUG, since
// there are many, or WARN for one that failed. A nil logger gives a hook that does nothing.
func NewLogHook(logger log.Logger, options ...HookOption) of.Hook {
	return &logHook{recording: newRecording(options), logger: logger}
}

type logHook struct {
	recording
	logger log.Logger
}

func (h *logHook) Finally(ctx context.Context, hook of.HookContext, details of.InterfaceEvaluationDetails, _ of.HookHints) {
	severity := log.SeverityDebug
	if details.ErrorCode != "" {
		severity = log.SeverityWarn
	}
	if h.logger == nil || !h.logger.Enabled(ctx, log.EnabledParameters{Severity: severity, EventName: evaluationEvent}) {
		return
	}
	var record log.Record
	record.SetEventName(evaluationEvent)
	record.SetTimestamp(time.Now())
	record.SetSeverity(severity)
	record.AddAttributes(h.attributes(&hook, &details)...)
	h.logger.Emit(ctx, record)
}

// attributes gives those of one evaluation.
func (r *recording) attributes(hook *of.HookContext, details *of.InterfaceEvaluationDetails) []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, 10)
	text := func(key, value string) {
		if value != "" {
			list = append(list, attribute.String(key, shortened(value)))
		}
	}
	reason := details.Reason
	if reason == "" {
		reason = of.UnknownReason
	}
	list = append(list, attribute.String(attrKey, hook.FlagKey()))
	text(attrProvider, hook.ProviderMetadata().Name)
	text(attrVariant, details.Variant)
	if details.Variant == "" || r.withValues {
		list = appendValue(list, details.Value)
	}
	text(attrReason, strings.ToLower(string(reason)))
	text(attrSet, metadataText(details, metadataFlagSet))
	text(attrVersion, metadataText(details, metadataVersion))
	if id := metadataText(details, metadataContext); id != "" && !r.anonymous {
		text(attrContext, id)
	} else if !r.anonymous {
		text(attrContext, hook.EvaluationContext().TargetingKey())
	}
	if reason == of.ErrorReason || details.ErrorCode != "" {
		code := details.ErrorCode
		if code == "" {
			code = of.GeneralCode
		}
		text(attrErrorType, strings.ToLower(string(code)))
		text(attrErrorMessage, details.ErrorMessage)
	}
	return list
}

func appendValue(list []attribute.KeyValue, value any) []attribute.KeyValue {
	if text, ok := value.(string); ok {
		return append(list, attribute.String(attrValue, shortened(text)))
	}
	if v, ok := attributeOf(value); ok {
		return append(list, attribute.KeyValue{Key: attrValue, Value: v})
	}
	return list
}

func metadataText(details *of.InterfaceEvaluationDetails, key string) string {
	text, _ := details.FlagMetadata[key].(string)
	return text
}

// shortened cuts a text to maxValue bytes, between two characters.
func shortened(text string) string {
	if len(text) <= maxValue {
		return text
	}
	return strings.ToValidUTF8(text[:maxValue], "")
}
