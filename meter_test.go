package seatrial

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// meters is a MeterProvider that collects when a test says so.
type meters struct {
	noop.MeterProvider
	callback metric.Callback
}

func (m *meters) Meter(string, ...metric.MeterOption) metric.Meter { return meter{of: m} }

// collect gives what is observed, by the name of the instrument and the values of the attributes,
// sorted by their names.
func (m *meters) collect() map[string]float64 {
	seen := observed{}
	_ = m.callback(context.Background(), seen.observer())
	return seen
}

type meter struct {
	noop.Meter
	of *meters
}

type (
	intGauge struct {
		noop.Int64ObservableGauge
		name string
	}
	floatGauge struct {
		noop.Float64ObservableGauge
		name string
	}
	counter struct {
		noop.Int64ObservableCounter
		name string
	}
)

func (m meter) Int64ObservableGauge(name string, _ ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	return intGauge{name: name}, nil
}

func (m meter) Float64ObservableGauge(name string, _ ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return floatGauge{name: name}, nil
}

func (m meter) Int64ObservableCounter(name string, _ ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return counter{name: name}, nil
}

func (m meter) RegisterCallback(f metric.Callback, _ ...metric.Observable) (metric.Registration, error) {
	m.of.callback = f
	return registration{of: m.of}, nil
}

type registration struct {
	noop.Registration
	of *meters
}

func (r registration) Unregister() error { r.of.callback = nil; return nil }

type observed map[string]float64

type observer struct {
	noop.Observer
	observed
}

func (o observed) observer() observer { return observer{observed: o} }

func (o observer) ObserveInt64(i metric.Int64Observable, n int64, options ...metric.ObserveOption) {
	switch i := i.(type) {
	case intGauge:
		o.add(i.name, float64(n), options)
	case counter:
		o.add(i.name, float64(n), options)
	}
}

func (o observer) ObserveFloat64(i metric.Float64Observable, n float64, options ...metric.ObserveOption) {
	o.add(i.(floatGauge).name, n, options)
}

func (o observed) add(name string, n float64, options []metric.ObserveOption) {
	key := []string{name}
	attributes := metric.NewObserveConfig(options).Attributes()
	for _, a := range attributes.ToSlice() {
		key = append(key, a.Value.AsString())
	}
	o[strings.Join(key, " ")] = n
}
