package resilience

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// server serves as many at a time as it has workers, for a time each; the others queue in it, first
// come, first served. So its knee is known: at as many calls as workers.
type server struct {
	mu      sync.Mutex
	free    []time.Time // when each worker is free
	service time.Duration
	noise   float64 // share of service that it varies by
	random  *rand.Rand
}

func newServer(workers int, service time.Duration) *server {
	s := &server{service: service, random: rand.New(rand.NewPCG(1, 2))}
	s.resize(workers)
	return s
}

func (s *server) resize(workers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = make([]time.Time, workers)
}

// pause is how long a client that was refused waits.
func (s *server) pause() {
	s.mu.Lock()
	d := s.service
	s.mu.Unlock()
	time.Sleep(d)
}

func (s *server) serve(context.Context) error {
	s.mu.Lock()
	next := 0
	for i := range s.free {
		if s.free[i].Before(s.free[next]) {
			next = i
		}
	}
	began := s.free[next]
	if began.Before(time.Now()) {
		began = time.Now()
	}
	took := time.Duration(float64(s.service) * (1 + s.noise*(2*s.random.Float64()-1)))
	s.free[next] = began.Add(took)
	s.mu.Unlock()
	time.Sleep(time.Until(began.Add(took)))
	return nil
}

// load keeps so many clients of the server calling until ctx ends.
func load(ctx context.Context, e *Executor, s *server, clients int) {
	keepCalling(ctx, e, clients, s.serve, s.pause)
}

// keepCalling has so many clients call until ctx ends, each with a pause after a failure.
func keepCalling(ctx context.Context, e *Executor, clients int, call func(context.Context) error, pause func()) {
	for range clients {
		go func() {
			for ctx.Err() == nil {
				if e.Do(ctx, call) != nil {
					pause()
				}
			}
		}()
	}
}

func pause10ms() { time.Sleep(10 * time.Millisecond) }

// knee is how far the limit may rest above the workers: by the tolerance and by the queue that is meant to
// be there.
func knee(workers int) (least, most int) {
	w := float64(workers)
	top := tolerance * w
	top += math.Sqrt(top + math.Sqrt(top))
	return workers * 9 / 10, int(top*1.15) + 2
}

func TestTheAdaptiveLimitSettlesNearTheKnee(t *testing.T) {
	cases := []struct {
		name             string
		workers, initial int
		service          time.Duration
		noise            float64
	}{
		{"from below", 50, 10, 30 * time.Millisecond, 0},
		{"from above", 20, 180, 30 * time.Millisecond, 0},
		{"slow calls", 30, 20, 500 * time.Millisecond, 0},
		{"calls that vary by half", 50, 20, 30 * time.Millisecond, 0.5},
		{"a small one", 6, 20, 30 * time.Millisecond, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(c.workers, c.service)
				s.noise = c.noise
				e := New("stock", Policy{Adaptive: &AdaptivePolicy{Initial: c.initial, Min: 2, Max: 200}})
				ctx, stop := context.WithCancel(ctxBG)
				defer func() { stop(); time.Sleep(time.Minute) }()
				load(ctx, e, s, 100)
				time.Sleep(10*time.Second + 20*c.service)
				var limits []int
				for range 25 { // with a probe in between, which once in a thousand times takes a queue for none
					time.Sleep(time.Second)
					if !probing(e) {
						limits = append(limits, e.Stats().Limit)
					}
				}
				slices.Sort(limits)
				least, most := knee(c.workers)
				if mid, top := limits[len(limits)/2], limits[len(limits)-1]; limits[0] < least || mid > most || top > 2*c.workers {
					t.Errorf("the limit for %d workers rests at %d, from %d to %d; want %d to %d", c.workers, mid, limits[0], top, least, most)
				}
			})
		})
	}
}

func probing(e *Executor) bool {
	e.adaptive.mu.Lock()
	defer e.adaptive.mu.Unlock()
	return e.adaptive.course.halved > 0
}

func TestTheAdaptiveLimitFollowsTheDependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(50, 30*time.Millisecond)
		e := New("stock", Policy{Adaptive: &AdaptivePolicy{}})
		ctx, stop := context.WithCancel(ctxBG)
		load(ctx, e, s, 100)
		for i, workers := range []int{50, 10, 50} {
			s.resize(workers)
			time.Sleep(10 * time.Second)
			for probing(e) {
				time.Sleep(10 * time.Millisecond)
			}
			least, most := knee(workers)
			if got := e.Stats().Limit; got < least || got > most {
				t.Errorf("phase %d: the limit is %d for %d workers, want %d to %d", i, got, workers, least, most)
			}
		}
		stop()
		time.Sleep(time.Minute)
	})
}

func TestADependencyThatBecomesSlowerIsNoQueueForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(50, 30*time.Millisecond)
		e := New("stock", Policy{Adaptive: &AdaptivePolicy{}})
		ctx, stop := context.WithCancel(ctxBG)
		load(ctx, e, s, 100)
		time.Sleep(10 * time.Second)
		s.mu.Lock()
		s.service = 90 * time.Millisecond // each call, with the same number of workers
		s.mu.Unlock()
		time.Sleep(2*probeEvery + 10*time.Second)
		for probing(e) {
			time.Sleep(10 * time.Millisecond)
		}
		if got := e.Stats().Limit; got < 40 {
			t.Errorf("the limit is %d for 50 workers that became slower", got)
		}
		stop()
		time.Sleep(time.Minute)
	})
}

func TestTheAdaptiveLimitDoesNotGrowUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(50, 30*time.Millisecond)
		e := New("stock", Policy{Adaptive: &AdaptivePolicy{Initial: 40}})
		ctx, stop := context.WithCancel(ctxBG)
		load(ctx, e, s, 5)
		time.Sleep(time.Minute)
		if got := e.Stats().Limit; got != 40 {
			t.Errorf("the limit went to %d with 5 calls at a time", got)
		}
		e.Update(Policy{Adaptive: &AdaptivePolicy{Max: 30}}) // keeps what was learned, within the new bounds
		if got := e.Stats().Limit; got != 30 {
			t.Errorf("the limit is %d after an update to at most 30", got)
		}
		e.Update(Policy{Adaptive: &AdaptivePolicy{Initial: 7}})
		if got := e.Stats().Limit; got != 30 {
			t.Errorf("an update forgot what was learned: %d", got)
		}
		stop()
		time.Sleep(time.Minute)
	})
}

func TestFailuresTellTheAdaptiveLimitNothingButTimeoutsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New("stock", Policy{TryTimeout: 100 * time.Millisecond, Adaptive: &AdaptivePolicy{Initial: 50, Min: 5}})
		ctx, stop := context.WithCancel(ctxBG)
		var mu sync.Mutex
		call := func(ctx context.Context) error { time.Sleep(10 * time.Millisecond); return nil }
		set := func(f func(context.Context) error) { mu.Lock(); call = f; mu.Unlock() }
		keepCalling(ctx, e, 100, func(ctx context.Context) error {
			mu.Lock()
			f := call
			mu.Unlock()
			return f(ctx)
		}, pause10ms)
		time.Sleep(500 * time.Millisecond)
		before := e.Stats().Limit
		set(func(context.Context) error { time.Sleep(time.Microsecond); return errDown })
		time.Sleep(5 * time.Second)
		if got := e.Stats().Limit; got < before || got > before+20 {
			t.Errorf("fast failures moved the limit from %d to %d", before, got)
		}
		set(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(5 * time.Second)
		if got := e.Stats().Limit; got > 10 {
			t.Errorf("while every call timed out the limit stayed at %d", got)
		}
		stop()
		time.Sleep(time.Minute)
	})
}

// errFull is the refusal of a dependency that has too much to do.
type errFull struct{ error }

func (errFull) Overloaded() bool { return true }

// A dependency without a queue refuses what is too much for it, and its latency tells nothing: the
// limit rests near what it bears all the same.
func TestTheAdaptiveLimitHeedsRefusals(t *testing.T) {
	for _, places := range []int64{20, 60} {
		t.Run(fmt.Sprint(places), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New("stock", Policy{Adaptive: &AdaptivePolicy{Initial: 100, Min: 5, Max: 400}})
				ctx, stop := context.WithCancel(ctxBG)
				var inside, served, refused atomic.Int64
				keepCalling(ctx, e, 300, func(context.Context) error {
					if inside.Add(1) > places {
						inside.Add(-1)
						time.Sleep(2 * time.Millisecond) // there and back
						refused.Add(1)
						return errFull{errDown}
					}
					defer inside.Add(-1)
					time.Sleep(10 * time.Millisecond)
					served.Add(1)
					return nil
				}, pause10ms)
				time.Sleep(10 * time.Second)
				served.Store(0)
				refused.Store(0)
				time.Sleep(20 * time.Second)
				if got := int64(e.Stats().Limit); got < places*7/10 || got > places*13/10 {
					t.Errorf("the limit of a dependency with %d places rests at %d", places, got)
				}
				if full := 20 * 100 * places; served.Load() < full*9/10 || refused.Load() > served.Load()/5 {
					t.Errorf("served %d of %d that it could, refused %d", served.Load(), full, refused.Load())
				}
				stop()
				time.Sleep(time.Second)
			})
		})
	}
}

func TestOnlyManyRefusalsMoveTheLimit(t *testing.T) {
	for name, c := range map[string]struct {
		every       int // so many attempts there is a refusal
		least, most int
	}{
		"a few": {200, 100, 400},
		"all":   {1, 5, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New("stock", Policy{Adaptive: &AdaptivePolicy{Initial: 100, Min: 5, Max: 400}})
				ctx, stop := context.WithCancel(ctxBG)
				var n atomic.Int64
				keepCalling(ctx, e, 300, func(context.Context) error {
					time.Sleep(10 * time.Millisecond)
					if n.Add(1)%int64(c.every) == 0 {
						return errFull{errDown}
					}
					return nil
				}, pause10ms)
				time.Sleep(28 * time.Second) // before the second probe
				if got := e.Stats().Limit; got < c.least || got > c.most {
					t.Errorf("the limit is %d, want %d to %d", got, c.least, c.most)
				}
				stop()
				time.Sleep(time.Second)
			})
		})
	}
}
