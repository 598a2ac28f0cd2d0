package shop

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// propagators carry the trace context and the user on every hop.
var propagators = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// instrumentation is the scope name of the shop's own spans.
const instrumentation = "github.com/seatrial/seatrial/examples/shop"

// newTracing gives one service a tracer provider of its own, as if it were its own process:
// spans go to the control plane as OTLP over HTTP with protobuf bodies, in batches. Without a
// server nothing is exported.
func newTracing(ctx context.Context, service string, cfg Config) (*sdktrace.TracerProvider, error) {
	exporter := cfg.exporter
	if exporter == nil && cfg.Server != "" {
		var err error
		if exporter, err = newExporter(ctx, cfg); err != nil {
			return nil, fmt.Errorf("shop: tracing of %s: %w", service, err)
		}
	}
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.TraceSampleRatio))),
	}
	if exporter != nil {
		options = append(options, sdktrace.WithBatcher(exporter,
			sdktrace.WithBatchTimeout(cfg.Flush), sdktrace.WithMaxQueueSize(16_384), sdktrace.WithMaxExportBatchSize(1_024)))
	}
	return sdktrace.NewTracerProvider(options...), nil
}

func newExporter(ctx context.Context, cfg Config) (sdktrace.SpanExporter, error) {
	return otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(cfg.Server+"/v1/traces"),
		otlptracehttp.WithHeaders(map[string]string{"Authorization": "Bearer " + cfg.Key}),
		otlptracehttp.WithCompression(otlptracehttp.NoCompression), // the loopback is cheaper than gzip
		otlptracehttp.WithTimeout(5*time.Second),
	)
}
