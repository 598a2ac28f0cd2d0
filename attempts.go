package seatrial

import (
	"context"

	"github.com/seatrial/seatrial/resilience"
)

// Run makes a call that gives a value under the policy of the dependency for the unit in ctx, with all
// that [resilience.Run] offers: rivals of slow attempts, fallbacks, and the value of a failed
// attempt. It passes no point of faults: c.Do does that, by [Dependency.Point]. A nil Dependency makes
// one attempt, and a nil ctx counts as context.Background().
func Run[T any](ctx context.Context, d *Dependency, c resilience.Call[T]) (T, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if d == nil || d.client == nil {
		return c.Do(ctx)
	}
	return resilience.Run(ctx, d.shield.Load().executor(ctx, d.client), c)
}

// DoEach is [Dependency.Do] with each put around every attempt, between the policy and the faults:
// it must run attempt, once, and give its error or one that it makes of it, which the policy then
// judges. An injected fault is an error of attempt, a *fault.Error, and is recorded in the span of
// the context that attempt is run with. Adapters use it for a span per attempt. A nil Dependency
// makes one attempt.
func (d *Dependency) DoEach(ctx context.Context, each func(ctx context.Context, attempt func(context.Context) error) error, call func(context.Context) error) error {
	if ctx == nil {
		ctx = context.Background()
	}
	if d == nil || d.client == nil {
		return each(ctx, call)
	}
	attempt := func(ctx context.Context) error { return d.point.Do(ctx, call) } // a nil point just calls
	return d.shield.Load().executor(ctx, d.client).Do(ctx, func(ctx context.Context) error { return each(ctx, attempt) })
}
