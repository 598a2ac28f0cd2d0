package seatrialhttp

import (
	"net/http"

	"github.com/seatrial/seatrial/internal/tracing"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Option changes how [NewHandler] or [NewTransport] works.
type Option interface{ apply(*config) }

type config struct {
	base       http.RoundTripper
	tracers    trace.TracerProvider
	propagator propagation.TextMapPropagator // nil: the global one
	repeatable func(*http.Request) bool
	fallback   func(*http.Request, error) (*http.Response, error) // nil: none
	point      string                                             // of the handler; "": none
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// WithBase names the RoundTripper that makes the requests. Default, and nil: [http.DefaultTransport].
// For [NewTransport] only.
func WithBase(base http.RoundTripper) Option {
	return optionFunc(func(c *config) {
		if base != nil {
			c.base = base
		}
	})
}

// WithTracerProvider names the maker of spans. Default, and nil: OpenTelemetry's global one.
func WithTracerProvider(p trace.TracerProvider) Option {
	return optionFunc(func(c *config) {
		if p != nil {
			c.tracers = p
		}
	})
}

// WithPropagator says how traces travel in headers. Default, and nil: OpenTelemetry's global
// propagator, and as long as none was set, W3C trace context and baggage.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return optionFunc(func(c *config) { c.propagator = p })
}

// WithRepeatable says which requests may be sent again although the dependency may have worked on
// them already. Default, and nil: [Repeatable]. For [NewTransport] only.
func WithRepeatable(may func(*http.Request) bool) Option {
	return optionFunc(func(c *config) {
		if may != nil {
			c.repeatable = may
		}
	})
}

// WithFallback gives an answer where the dependency gave none that is any good: a cached one, an
// empty list. It is asked on the caller's goroutine when the call has failed for a reason for which
// the policy lets it answer (its part "fallback"; without one, for every reason) and is told the
// error: a [StatusError] for a failure that was answered, [resilience.ErrOpen], a timeout, and so on.
// The request is the caller's; its body may have been read. An error that it returns is the caller's
// to see; otherwise the answer must not be nil, and a nil Body is an empty one. Nil: no fallback,
// the default. For [NewTransport] only.
func WithFallback(instead func(r *http.Request, failed error) (*http.Response, error)) Option {
	return optionFunc(func(c *config) { c.fallback = instead })
}

// WithPoint puts a point of faults with that name around the handler, inside its unit of work; see
// [NewHandler]. Names are fixed in the code and few. Default, and "": no point. For [NewHandler]
// only.
func WithPoint(name string) Option {
	return optionFunc(func(c *config) { c.point = name })
}

func collect(options []Option) config {
	c := config{base: http.DefaultTransport, tracers: otel.GetTracerProvider(), repeatable: Repeatable}
	for _, o := range options {
		if o != nil {
			o.apply(&c)
		}
	}
	return c
}

// scope is the name of the instrumentation.
const scope = "github.com/seatrial/seatrial/seatrialhttp"

func (c *config) tracer() trace.Tracer {
	return c.tracers.Tracer(scope, trace.WithSchemaURL(tracing.Schema))
}

func (c *config) travel() propagation.TextMapPropagator { return tracing.Propagator(c.propagator) }
