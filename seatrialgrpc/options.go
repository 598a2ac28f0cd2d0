package seatrialgrpc

import (
	"slices"

	"github.com/seatrial/seatrial/internal/tracing"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
)

// Option changes how the interceptors work.
type Option interface{ apply(*config) }

type config struct {
	tracers    trace.TracerProvider
	propagator propagation.TextMapPropagator // nil: the global one
	retried    []codes.Code
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// WithTracerProvider names the maker of spans. Default, and nil: OpenTelemetry's global one.
func WithTracerProvider(p trace.TracerProvider) Option {
	return optionFunc(func(c *config) {
		if p != nil {
			c.tracers = p
		}
	})
}

// WithPropagator says how traces travel in metadata. Default, and nil: OpenTelemetry's global
// propagator, and as long as none was set, W3C trace context and baggage.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return optionFunc(func(c *config) { c.propagator = p })
}

// WithRetryCodes names the codes after which a policy with a retry may call again, in place of
// UNAVAILABLE and RESOURCE_EXHAUSTED. Add DEADLINE_EXCEEDED to repeat tries that the policy's
// timeout cut short: only if the methods called may be executed twice. For
// [UnaryClientInterceptor] only.
func WithRetryCodes(c ...codes.Code) Option {
	list := slices.Clone(c)
	return optionFunc(func(c *config) { c.retried = list })
}

func collect(options []Option) config {
	c := config{tracers: otel.GetTracerProvider(), retried: []codes.Code{codes.Unavailable, codes.ResourceExhausted}}
	for _, o := range options {
		if o != nil {
			o.apply(&c)
		}
	}
	return c
}

// scope is the name of the instrumentation.
const scope = "github.com/seatrial/seatrial/seatrialgrpc"

func (c *config) tracer() trace.Tracer {
	return c.tracers.Tracer(scope, trace.WithSchemaURL(tracing.Schema))
}

func (c *config) travel() propagation.TextMapPropagator { return tracing.Propagator(c.propagator) }
