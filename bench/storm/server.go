// Package storm shows what retries do to a service that was down for a while: it makes the same calls under several
// policies, in fake time, and draws the load that arrives and what comes of it.
package storm

import (
	"context"
	"errors"
	"sync"
	"time"
)

// The world: a service that can do half as much again as it has to, and an outage.
const (
	arrivals = 1000 // calls a second, evenly spread
	capacity = 1500 // that the service can work off in a second
	patience = 250 * time.Millisecond
	outage   = 5 * time.Second // begins
	back     = 10 * time.Second
	length   = 30 * time.Second
	bin      = 250 * time.Millisecond
)

// Curve is what one policy made of it, in bins.
type Curve struct {
	Name    string
	Offered []float64 // attempts that reach the service, a second
	Good    []float64 // calls that succeed, a second, by when they began
}

var (
	errDown = errors.New("the service is down")
	errLate = errors.New("the answer came too late")
)

// service works off what arrives in order, also what nobody waits for any more: that is how an overload keeps itself up.
type service struct {
	began time.Time

	mu      sync.Mutex
	free    time.Time // when the work that is there is done
	offered []float64
}

func (s *service) call(ctx context.Context) error {
	at := time.Since(s.began)
	if at < length {
		s.note(at)
	}
	if at >= outage && at < back {
		return s.wait(ctx, time.Millisecond, errDown)
	}
	return s.wait(ctx, s.queue(), nil)
}

func (s *service) note(at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered[at/bin]++
}

// queue gives how long it takes until the work that came now is done.
func (s *service) queue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(time.Second / capacity)
	return s.free.Sub(now)
}

func (s *service) wait(ctx context.Context, d time.Duration, err error) error {
	if d > patience {
		d, err = patience, errLate
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Play makes the calls of the whole time through do, which makes one call by a policy. It is to run in a bubble of
// testing/synctest.
func Play(name string, do func(ctx context.Context, attempt func(context.Context) error) error) Curve {
	bins := int(length / bin)
	s := &service{began: time.Now(), offered: make([]float64, bins)}
	good := make([]float64, bins)
	var mu sync.Mutex
	var calls sync.WaitGroup
	for at := time.Duration(0); at < length; at += time.Second / arrivals {
		time.Sleep(time.Until(s.began.Add(at)))
		calls.Go(func() {
			if do(context.Background(), s.call) == nil {
				mu.Lock()
				defer mu.Unlock()
				good[at/bin]++
			}
		})
	}
	calls.Wait()
	perSecond := float64(time.Second / bin)
	for i := range good {
		good[i] *= perSecond
		s.offered[i] *= perSecond
	}
	return Curve{Name: name, Offered: s.offered, Good: good}
}

// Peak gives the largest load offered while the service was down, as a multiple of the calls.
func (c *Curve) Peak() float64 {
	largest := 0.0
	for i := int(outage / bin); i < int(back/bin); i++ {
		largest = max(largest, c.Offered[i])
	}
	return largest / arrivals
}

// Amplified gives the load offered while the service was down, as a multiple of the calls.
func (c *Curve) Amplified() float64 {
	sum := 0.0
	for i := int(outage / bin); i < int(back/bin); i++ {
		sum += c.Offered[i]
	}
	return sum / float64((back-outage)/bin) / arrivals
}

// Recovery gives how long after its return the service answers at least 99 % of the calls for good; false if it never does.
func (c *Curve) Recovery() (time.Duration, bool) {
	bins := len(c.Good)
	last := bins
	for last > 0 && c.Good[last-1] >= 0.99*arrivals {
		last--
	}
	if last == bins {
		return 0, false
	}
	return max(0, time.Duration(last)*bin-back), true
}
