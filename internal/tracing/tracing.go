// Package tracing holds what the adapters have in common when they carry traces across a network.
// It depends on the OpenTelemetry API only.
package tracing

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// Schema is the version of the semantic conventions that the adapters follow.
const Schema = "https://opentelemetry.io/schemas/1.43.0"

var w3c = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// Propagator gives own if it is not nil, else OpenTelemetry's global propagator, and as long as
// none was set W3C trace context and baggage. Ask for each call: main may set the global one late.
func Propagator(own propagation.TextMapPropagator) propagation.TextMapPropagator {
	if own != nil {
		return own
	}
	if global := otel.GetTextMapPropagator(); len(global.Fields()) > 0 {
		return global
	}
	return w3c
}
