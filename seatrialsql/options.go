package seatrialsql

import (
	"context"
	"database/sql/driver"
	"reflect"
	"strings"

	"github.com/seatrial/seatrial/internal/tracing"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Option changes how a wrapped driver works.
type Option interface{ apply(*config) }

type config struct {
	tracers   trace.TracerProvider
	classify  func(error) resilience.Class
	system    string
	namespace string
	text      bool
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

// WithSystem names the product for the attribute db.system.name, such as "postgresql"; the semantic
// conventions list the names. Default, and empty: known from the driver's package for the common
// ones, else "other_sql".
func WithSystem(name string) Option {
	return optionFunc(func(c *config) {
		if name != "" {
			c.system = name
		}
	})
}

// WithNamespace names the database for the attribute db.namespace. Default, and empty: left out.
func WithNamespace(name string) Option {
	return optionFunc(func(c *config) { c.namespace = name })
}

// WithStatementText records the text of statements, as the program gave it, in the attribute
// db.query.text, up to 4096 bytes of it. Arguments are never recorded. Leave it off, as it is by
// default, where programs write values of users into the text.
func WithStatementText() Option {
	return optionFunc(func(c *config) { c.text = true })
}

// WithClassifier says what an error of the driver means to the policy; it may ask [Classify] for
// what it does not know. It is called by many goroutines at a time, never with nil. Default, and
// nil: Classify.
func WithClassifier(classify func(error) resilience.Class) Option {
	return optionFunc(func(c *config) {
		if classify != nil {
			c.classify = classify
		}
	})
}

func collect(d driver.Driver, options []Option) config {
	c := config{tracers: otel.GetTracerProvider(), classify: Classify, system: systemOf(d)}
	for _, o := range options {
		if o != nil {
			o.apply(&c)
		}
	}
	return c
}

// scope is the name of the instrumentation.
const scope = "github.com/seatrial/seatrial/seatrialsql"

func (c *config) tracer() trace.Tracer {
	return c.tracers.Tracer(scope, trace.WithSchemaURL(tracing.Schema))
}

// common are the attributes of all spans.
func (c *config) common(dependency string) []attribute.KeyValue {
	attrs := []attribute.KeyValue{attrSystem.String(c.system), attrDependency.String(dependency)}
	if c.namespace != "" {
		attrs = append(attrs, attrNamespace.String(c.namespace))
	}
	return attrs
}

// systems are the names of products by a part of the path of their drivers.
var systems = []struct{ part, name string }{
	{"pgx", "postgresql"}, {"lib/pq", "postgresql"}, {"sqlite", "sqlite"}, {"mysql", "mysql"},
	{"mssql", "microsoft.sql_server"}, {"godror", "oracle.db"}, {"go-ora", "oracle.db"}, {"clickhouse", "clickhouse"},
}

func systemOf(d driver.Driver) string {
	t := reflect.TypeOf(d)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil {
		for _, s := range systems {
			if strings.Contains(t.PkgPath(), s.part) {
				return s.name
			}
		}
	}
	return "other_sql"
}

type retryableKey struct{}

// WithRetryable says that the queries and statements made with the context may be carried out
// twice: a policy with a retry may repeat them. In a transaction nothing is repeated all the same,
// since a failed statement spoils it.
func WithRetryable(ctx context.Context) context.Context {
	return context.WithValue(ctx, retryableKey{}, true)
}

func retryable(ctx context.Context) bool { return ctx.Value(retryableKey{}) != nil }
