package resilience

import "context"

// attemptKey finds the innermost attempt's mark in a context.
type attemptKey struct{}

// scope is the context of an attempt.
type scope struct {
	context.Context
	number     int
	repetition bool
}

func (m *scope) Value(key any) any {
	if key == (attemptKey{}) {
		return m
	}
	return m.Context.Value(key)
}

func scopeOf(ctx context.Context) *scope {
	m, _ := ctx.Value(attemptKey{}).(*scope)
	return m
}

// Attempt gives the number of the attempt that ctx belongs to, from 1; 0 outside of one. Rivals of
// an attempt ([HedgePolicy]) have numbers of their own.
func Attempt(ctx context.Context) int {
	if m := scopeOf(ctx); m != nil {
		return m.number
	}
	return 0
}

// WithRepetition says that the work under ctx is itself a repetition that somebody upstream asked
// for. Executors then make one attempt only, so that the layers' attempts add up instead of
// multiplying.
func WithRepetition(ctx context.Context) context.Context {
	return &scope{Context: ctx, number: Attempt(ctx), repetition: true}
}
