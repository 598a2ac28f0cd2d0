package ofprovider

import (
	"context"
	"maps"
	"reflect"
	"slices"

	of "github.com/open-feature/go-sdk/openfeature"
	"go.opentelemetry.io/otel/attribute"
)

// maxTracked bounds the attributes of one tracked value.
const maxTracked = 64

// Track records a value with [seatrial.Client.Track]: as an event of the current span, and as a log
// event if the client has a logger. Of the details' fields the texts, booleans and numbers are
// kept, the first 64 by name. The evaluation context is not recorded, since it may name a person;
// which variants the unit of work has met is.
func (p *Provider) Track(ctx context.Context, trackingEventName string, _ of.EvaluationContext, details of.TrackingEventDetails) {
	if !p.evaluates.Load() {
		return
	}
	fields := details.Attributes()
	var attributes []attribute.KeyValue
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if value, ok := attributeOf(fields[name]); ok && len(attributes) < maxTracked {
			attributes = append(attributes, attribute.KeyValue{Key: attribute.Key(name), Value: value})
		}
	}
	p.client.Track(ctx, trackingEventName, details.Value(), attributes...)
}

// attributeOf gives a text, boolean or number as the value of an attribute.
func attributeOf(value any) (attribute.Value, bool) {
	if value == nil {
		return attribute.Value{}, false
	}
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.String:
		return attribute.StringValue(v.String()), true
	case reflect.Bool:
		return attribute.BoolValue(v.Bool()), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return attribute.Int64Value(v.Int()), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := v.Uint(); n <= 1<<63-1 {
			return attribute.Int64Value(int64(n)), true
		}
		return attribute.Float64Value(float64(v.Uint())), true
	case reflect.Float32, reflect.Float64:
		return attribute.Float64Value(v.Float()), true
	}
	return attribute.Value{}, false
}
