package shop

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// chance is one service's seeded source of small misfortunes and of working time. It is safe
// for concurrent use. The sequence of draws is fixed by the seed; which request gets which
// draw depends, as in life, on who comes first.
type chance struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// newChance seeds a source for one service: equal seeds and names give equal draws.
func newChance(seed uint64, service string) *chance {
	h := fnv.New64a()
	h.Write([]byte(service))
	return &chance{rng: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// hits is true with probability p, in [0, 1].
func (c *chance) hits(p float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.Float64() < p
}

// between draws a duration that is mostly near low and sometimes near high, as the square of a
// uniform number: the skew of real service times without their endless tail.
func (c *chance) between(low, high time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.rng.Float64()
	return low + time.Duration(u*u*float64(high-low))
}

// work takes the time that a piece of work takes, or until ctx ends, whose cause is then the
// error.
func (c *chance) work(ctx context.Context, low, high time.Duration) error {
	return pause(ctx, c.between(low, high))
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
