package shop

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// express is the new payment path behind the flag express-checkout: no risk check, straight to
// the acquirer over a connection that is kept open.
//
// It is also the bug that the demo's second scene finds, of a kind that reviews and unit tests
// with one card miss. A card always goes to the same acquirer, and each acquirer has a pool of
// one connection; the loop in newExpress that fills the pools starts one too late. A quarter of
// the cards wait for a connection that never comes, and the others queue behind one another.
type express struct {
	chance *chance
	pools  [acquirers]chan connection
}

// connection is an open line to an acquirer.
type connection struct{}

const (
	acquirers = 4
	// patience is how long a charge waits for a free connection.
	patience = 150 * time.Millisecond
)

var errNoConnection = errors.New("no free connection")

func newExpress(c *chance) *express {
	e := &express{chance: c}
	for i := range e.pools {
		e.pools[i] = make(chan connection, 1)
	}
	for i := 1; i < len(e.pools); i++ {
		e.pools[i] <- connection{}
	}
	return e
}

func (e *express) charge(ctx context.Context, c Charge) error {
	acquirer := acquirerOf(c.UserID)
	line, err := e.acquire(ctx, acquirer)
	if err != nil {
		return err
	}
	defer func() { e.pools[acquirer] <- line }()
	// The confirmation is awaited with the line held, which the proven path does not do.
	if err := e.chance.work(ctx, 12*time.Millisecond, 30*time.Millisecond); err != nil {
		return err
	}
	if e.chance.hits(naturalFailure) {
		return errAcquirer
	}
	return nil
}

// acquire takes a connection out of the acquirer's pool.
func (e *express) acquire(ctx context.Context, acquirer int) (connection, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line := <-e.pools[acquirer]:
		return line, nil
	case <-timer.C:
		return connection{}, fmt.Errorf("acquirer %d: %w within %v", acquirer, errNoConnection, patience)
	case <-ctx.Done():
		return connection{}, context.Cause(ctx)
	}
}

// acquirerOf gives the acquirer of a user's card.
func acquirerOf(user string) int {
	h := fnv.New32a()
	h.Write([]byte(user))
	return int(h.Sum32() % acquirers)
}
