// Package hop remembers, while a server answers a request, what the request and the calls made for
// it have to tell each other: which attempt the caller is at, and whether a dependency was given up.
package hop

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/seatrial/seatrial/resilience"
)

// Hop is the context of a request that is being answered. It is safe for concurrent use.
type Hop struct {
	context.Context
	attempt int
	gaveUp  atomic.Bool
}

type key struct{}

// Value finds the Hop itself.
func (h *Hop) Value(k any) any {
	if k == (key{}) {
		return h
	}
	return h.Context.Value(k)
}

// New gives the context of a request that is its caller's n-th attempt, from 1; anything below
// counts as 1. Within a repetition policies make one attempt only.
func New(ctx context.Context, n int) *Hop {
	if n > 1 {
		ctx = resilience.WithRepetition(ctx)
	}
	return &Hop{Context: ctx, attempt: n}
}

func of(ctx context.Context) *Hop {
	h, _ := ctx.Value(key{}).(*Hop)
	return h
}

// Attempt gives the number that a call made under ctx should tell of itself, from 1: of the attempt
// that it belongs to, and at least that of the request for which it is made.
func Attempt(ctx context.Context) int {
	n := max(resilience.Attempt(ctx), 1)
	if h := of(ctx); h != nil {
		n = max(n, h.attempt)
	}
	return n
}

// Note tells the request in ctx how a call made for it ended: in vain after repetitions, or refused
// because those before it had failed, is given up.
func Note(ctx context.Context, err error) {
	if !errors.Is(err, resilience.ErrExhausted) && !errors.Is(err, resilience.ErrOpen) {
		return
	}
	GiveUp(ctx)
}

// GiveUp tells the request in ctx that a call made for it was given up.
func GiveUp(ctx context.Context) {
	if h := of(ctx); h != nil {
		h.gaveUp.Store(true)
	}
}

// GaveUp tells whether a call made for the request was given up: to repeat the request would only
// repeat that.
func (h *Hop) GaveUp() bool { return h.gaveUp.Load() }
