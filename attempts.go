package seatrial

import "context"

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
