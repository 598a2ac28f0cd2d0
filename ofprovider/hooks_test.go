package ofprovider_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/telemetry"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/ofprovider"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/log/embedded"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// logbook keeps the records that it is given.
type logbook struct {
	embedded.Logger
	least log.Severity

	mu      sync.Mutex
	records []log.Record
}

func (l *logbook) Enabled(_ context.Context, p log.EnabledParameters) bool {
	return p.Severity >= l.least
}

func (l *logbook) Emit(_ context.Context, r log.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r.Clone())
}

func (l *logbook) texts() (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		parts := []string{r.EventName()}
		r.WalkAttributes(func(a attribute.KeyValue) bool {
			parts = append(parts, string(a.Key)+"="+a.Value.String())
			return true
		})
		list = append(list, strings.Join(parts, " "))
	}
	return list
}

// evaluations are what hooks may see: by name, the attributes of the event.
var evaluations = map[string]struct {
	key, value string
	options    []ofprovider.HookOption
	want       string
}{
	"variant": {key: "rule", want: "feature_flag.key=rule feature_flag.provider.name=seatrial feature_flag.result.variant=on " +
		"feature_flag.result.reason=targeting_match feature_flag.set.id=production feature_flag.context.id=user-1"},
	"trial": {key: "trial", want: "feature_flag.key=trial feature_flag.provider.name=seatrial feature_flag.result.variant=on " +
		"feature_flag.result.reason=split feature_flag.set.id=production feature_flag.version=checkout.1.2 feature_flag.context.id=user-1"},
	"code default": {key: "code-default", want: "feature_flag.key=code-default feature_flag.provider.name=seatrial feature_flag.result.value=false " +
		"feature_flag.result.reason=default feature_flag.set.id=production feature_flag.context.id=user-1"},
	"with value": {key: "rule", options: []ofprovider.HookOption{ofprovider.WithValues(), nil, ofprovider.WithoutContextID()},
		want: "feature_flag.key=rule feature_flag.provider.name=seatrial feature_flag.result.variant=on feature_flag.result.value=true " +
			"feature_flag.result.reason=targeting_match feature_flag.set.id=production"},
	"error": {key: "nowhere", want: "feature_flag.key=nowhere feature_flag.provider.name=seatrial feature_flag.result.value=false " +
		"feature_flag.result.reason=error feature_flag.set.id=production feature_flag.context.id=user-1 error.type=flag_not_found " +
		`feature_flag.error.message=flag "nowhere": there is none at revision 7 of "production": create it or correct the key`},
}

func TestSpanHook(t *testing.T) {
	c, _ := sdk(t, flags())
	user := of.NewEvaluationContext("user-1", map[string]any{"group": "beta"})
	for name, test := range evaluations {
		t.Run(name, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
			ctx, span := tracer.Start(t.Context(), "request")
			hook := ofprovider.NewSpanHook(test.options...)
			c.Boolean(ctx, test.key, false, user, of.WithHooks(hook))
			span.End()
			c.Boolean(ctx, test.key, false, user, of.WithHooks(hook))         // the span records no more
			c.Boolean(t.Context(), test.key, false, user, of.WithHooks(hook)) // there is none
			events := slices.DeleteFunc(recorder.Ended()[0].Events(), func(e sdktrace.Event) bool {
				return !slices.ContainsFunc(e.Attributes, func(a attribute.KeyValue) bool { return a.Key == "feature_flag.context.id" }) && name != "with value"
			}) // the client's own event of an exposure has none
			if len(events) != 1 || events[0].Name != "feature_flag.evaluation" || textOf(events[0].Attributes) != test.want {
				t.Errorf("%+v\nwant %s", events, test.want)
			}
		})
	}
}

func textOf(attributes []attribute.KeyValue) string {
	var list []string
	for _, a := range attributes {
		list = append(list, string(a.Key)+"="+a.Value.String())
	}
	return strings.Join(list, " ")
}

func TestLogHook(t *testing.T) {
	c, _ := sdk(t, flags())
	user := of.NewEvaluationContext("user-1", map[string]any{"group": "beta"})
	for name, test := range evaluations {
		t.Run(name, func(t *testing.T) {
			book := &logbook{}
			c.Boolean(t.Context(), test.key, false, user, of.WithHooks(ofprovider.NewLogHook(book, test.options...)))
			if got := book.texts(); !reflect.DeepEqual(got, []string{"feature_flag.evaluation " + test.want}) {
				t.Errorf("%q\nwant %s", got, test.want)
			}
			if s := book.records[0].Severity(); (s == log.SeverityWarn) != (name == "error") || book.records[0].Timestamp().IsZero() {
				t.Errorf("severity %v", s)
			}
		})
	}
	quiet := &logbook{least: log.SeverityInfo}
	c.Boolean(t.Context(), "bool", false, user, of.WithHooks(ofprovider.NewLogHook(quiet), ofprovider.NewLogHook(nil)))
	if len(quiet.records) > 0 {
		t.Error("a logger that is not enabled got a record")
	}
}

func TestValuesInTelemetryAreBounded(t *testing.T) {
	book := &logbook{}
	c, _ := sdk(t, setAt(1, newFlag("text", flag.TypeString, "a", `"x`+strings.Repeat("ä", 1000)+`"`)))
	hook := of.WithHooks(ofprovider.NewLogHook(book, ofprovider.WithValues()))
	c.String(t.Context(), "text", "", of.EvaluationContext{}, hook)
	c.Object(t.Context(), "nowhere", map[string]any{"secret": 1}, of.EvaluationContext{}, hook)
	texts := book.texts()
	wantText(t, "text", texts[0], "feature_flag.result.value=x"+strings.Repeat("ä", 127)+" feature")
	if strings.Contains(texts[1], "secret") || strings.Contains(texts[1], "feature_flag.result.value") {
		t.Errorf("an object got into telemetry: %s", texts[1])
	}
}

// The names are those of OpenTelemetry, and the values those that the SDK's own helper gives.
func TestHooksAgreeWithOthers(t *testing.T) {
	for want, got := range map[attribute.Key]string{
		semconv.FeatureFlagKeyKey: "feature_flag.key", semconv.FeatureFlagProviderNameKey: "feature_flag.provider.name",
		semconv.FeatureFlagResultVariantKey: "feature_flag.result.variant", semconv.FeatureFlagResultValueKey: "feature_flag.result.value",
		semconv.FeatureFlagResultReasonKey: "feature_flag.result.reason", semconv.FeatureFlagSetIDKey: "feature_flag.set.id",
		semconv.FeatureFlagVersionKey: "feature_flag.version", semconv.FeatureFlagContextIDKey: "feature_flag.context.id",
		semconv.FeatureFlagErrorMessageKey: "feature_flag.error.message", semconv.ErrorTypeKey: "error.type",
	} {
		if string(want) != got {
			t.Errorf("attribute %q, the conventions have %q", got, want)
		}
	}
	c, _ := sdk(t, flags())
	user := of.NewEvaluationContext("user-1", map[string]any{"group": "beta"})
	for name, test := range evaluations {
		book, oracle := &logbook{}, &oracle{}
		c.Boolean(t.Context(), test.key, false, user, of.WithHooks(ofprovider.NewLogHook(book), oracle))
		got := map[string]any{}
		book.records[0].WalkAttributes(func(a attribute.KeyValue) bool { got[string(a.Key)] = a.Value.AsInterface(); return true })
		if message, ok := got["feature_flag.error.message"]; ok { // newer than appendix D
			delete(got, "feature_flag.error.message")
			got["error.message"] = message
		}
		if !reflect.DeepEqual(got, oracle.event.Attributes) {
			t.Errorf("%s: %v\nthe SDK has %v", name, got, oracle.event.Attributes)
		}
	}
}

// oracle is the SDK's own way to the attributes.
type oracle struct {
	of.UnimplementedHook
	event telemetry.EvaluationEvent
}

func (o *oracle) Finally(_ context.Context, hook of.HookContext, details of.InterfaceEvaluationDetails, _ of.HookHints) {
	o.event = telemetry.CreateEvaluationEvent(hook, details)
}
