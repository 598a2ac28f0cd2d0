package resilience

import "context"

// Call is a call to a dependency that gives a value, for [Run].
type Call[T any] struct {
	// Do is one attempt. Its value counts also beside an error: the caller gets that of the last
	// attempt (the answer 503, say).
	Do func(context.Context) (T, error)
	// Discard, if not nil, is told every value that the caller does not get: those of earlier
	// attempts, of rivals that lost, and of a call that a fallback answers for. It may be called on
	// another goroutine, and after Run has returned.
	Discard func(T)
	// Hedge says that Do may run several times at once and that the call may be sent twice.
	Hedge bool
	// Fallback, if not nil, gives what the caller gets instead when the call failed with the error,
	// for a reason that the policy names; see [FallbackPolicy].
	Fallback func(context.Context, error) (T, error)
}

// Run makes the call under the policy of e, as [Executor.Do] does.
func Run[T any](ctx context.Context, e *Executor, c Call[T]) (T, error) {
	var value T
	held := false
	err := e.Do(ctx, func(ctx context.Context) (err error) {
		if held && c.Discard != nil {
			c.Discard(value)
		}
		held = false
		value, err = c.Do(ctx)
		held = true
		return err
	})
	return value, err
}
