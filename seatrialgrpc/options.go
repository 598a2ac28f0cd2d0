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
	safely     []string // methods that may run several times at once
	onlyOnce   []string // methods that must not be called twice
	point      string   // of faults, on the server's side
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
// timeout cut short: only if the methods called may be executed twice. For the
// client's side only.
func WithRetryCodes(c ...codes.Code) Option {
	list := slices.Clone(c)
	return optionFunc(func(c *config) { c.retried = list })
}

// WithSafe names methods that may be executed several times at once, which makes them fit for
// hedging: reads. A method is named in full, "/shop.Inventory/Check", or all of a service,
// "/shop.Inventory/*". Methods whose definition says idempotency_level = NO_SIDE_EFFECTS are safe by
// themselves. For the client's side only.
func WithSafe(methods ...string) Option {
	list := slices.Clone(methods)
	return optionFunc(func(c *config) { c.safely = append(c.safely, list...) })
}

// WithOnce names methods, as [WithSafe] does, that must not be called twice, whatever the policy
// says: a failed call may have been executed all the same. For the client's side only.
func WithOnce(methods ...string) Option {
	list := slices.Clone(methods)
	return optionFunc(func(c *config) { c.onlyOnce = append(c.onlyOnce, list...) })
}

// WithPoint gives the server a point of faults with that name, which every call passes before its
// handler; see [seatrial.Client.Point]. Default, and empty: none. The unit of the call is known
// there by what the caller's side has decided, and by an evaluation context that interceptors
// further out have put into the context. For the server's side only.
func WithPoint(name string) Option {
	return optionFunc(func(c *config) { c.point = name })
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
