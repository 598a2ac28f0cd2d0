package seatrial

import (
	"context"
	"errors"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments are the metrics that a client offers to the application. They are read when the
// application collects: calls pay nothing for them, and every dependency is there from the first
// time on, with the state that it has.
type instruments struct {
	state, inFlight, limit metric.Int64ObservableGauge
	budget                 metric.Float64ObservableGauge
	events, injections     metric.Int64ObservableCounter
}

// observe offers the client's metrics, until the registration that it gives is taken back; nil if the
// provider does not want them.
func (c *Client) observe() metric.Registration {
	provider := c.config.meters
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	meter := provider.Meter(scopeName, metric.WithInstrumentationVersion(Version))
	in, err := newInstruments(meter)
	if err == nil {
		var r metric.Registration
		r, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error { in.report(c, o); return nil },
			in.state, in.inFlight, in.limit, in.budget, in.events, in.injections)
		if err == nil {
			return r
		}
	}
	c.config.logger.Warn("seatrial: metrics of dependencies are not offered", "error", err)
	return nil
}

func newInstruments(m metric.Meter) (*instruments, error) {
	in := &instruments{}
	var errs [6]error
	in.state, errs[0] = m.Int64ObservableGauge(outcome.MetricState, metric.WithUnit("1"),
		metric.WithDescription("State of the breaker: 0 closed, 1 half-open, 2 open."))
	in.budget, errs[1] = m.Float64ObservableGauge(outcome.MetricBudget, metric.WithUnit("1"),
		metric.WithDescription("Level of the retry budget: 0 used up, 1 full."))
	in.inFlight, errs[2] = m.Int64ObservableGauge(outcome.MetricInFlight, metric.WithUnit("{call}"),
		metric.WithDescription("Calls under way that the limit counts."))
	in.limit, errs[3] = m.Int64ObservableGauge(outcome.MetricLimit, metric.WithUnit("{call}"),
		metric.WithDescription("How many calls there may be at a time; 0: no limit."))
	in.events, errs[4] = m.Int64ObservableCounter(outcome.MetricDependency, metric.WithUnit("{event}"),
		metric.WithDescription("What happened to calls: refusals, retries, timeouts, changes of the breaker."))
	in.injections, errs[5] = m.Int64ObservableCounter(outcome.MetricInjections, metric.WithUnit("{call}"),
		metric.WithDescription("Calls that an injected fault hit."))
	return in, errors.Join(errs[:]...)
}

// report tells how all dependencies stand, and what was injected since the start.
func (in *instruments) report(c *Client, o metric.Observer) {
	for _, g := range c.executors() {
		who := []attribute.KeyValue{attribute.String(outcome.AttrDependency, g.dependency), attribute.String(outcome.AttrPolicyVariant, g.variant)}
		at := metric.WithAttributeSet(attribute.NewSet(who...))
		s := g.executor.Stats()
		o.ObserveInt64(in.state, int64(stateNumber(s.State)), at)
		o.ObserveFloat64(in.budget, s.Budget, at)
		o.ObserveInt64(in.inFlight, int64(s.InFlight), at)
		o.ObserveInt64(in.limit, int64(s.Limit), at)
		for i := range dependencyEvents {
			e := &dependencyEvents[i]
			o.ObserveInt64(in.events, int64(*e.of(&s)), metric.WithAttributes(who...), metric.WithAttributes(attribute.String(outcome.AttrDependencyEvent, e.name)))
		}
	}
	c.outcomes.injections.each(func(i injected, calls uint64) {
		o.ObserveInt64(in.injections, int64(calls), metric.WithAttributes(
			attribute.String(outcome.AttrTrial, i.trial), attribute.String(outcome.AttrPoint, i.point),
			attribute.String(outcome.AttrKind, string(i.kind)), attribute.String(outcome.AttrPhase, string(i.phase))))
	})
}
