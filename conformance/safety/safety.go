// Package safety puts any circuit breaker through eight scenarios (T1 to T8) in which breakers go wrong under
// concurrency, panics and hung calls. An [Adapter] says how to make and ask one; nothing in here knows Seatrial.
//
// Scenarios T1 to T7 only sleep and wait on channels, so they may run in a bubble of testing/synctest. T8 finds a breaker
// that locks itself out, which a bubble would wait for without end: it needs the real clock, and gives up after [Patience].
package safety

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// Config is the breaker that every scenario wants: it opens after Failures failures in a row, stays open for OpenFor, then
// lets one probe through, whose success closes it.
type Config struct {
	Failures int
	OpenFor  time.Duration
	OnChange func() // is to be called with every change of state; nil: not asked for
}

// Breaker is what a scenario does with a breaker.
type Breaker interface {
	// Do makes the call, or gives an error without making it. ctx is the caller's own.
	Do(ctx context.Context, call func(context.Context) error) error
	// State gives "closed", "open" or "half-open".
	State() string
}

// Adapter makes breakers of one kind.
type Adapter struct {
	Name string
	New  func(Config) Breaker
	// NoCallback says that the breaker tells nobody of its changes: T8 does not apply.
	NoCallback bool
}

// Scenario is one thing that a safe breaker does.
type Scenario struct {
	ID, Title, Required string
	// Real says that the scenario needs the real clock.
	Real bool
	run  func(Adapter) (seen string, safe bool)
}

// Result is what a breaker did.
type Result struct {
	Scenario Scenario
	Seen     string
	Safe     bool
}

// Run puts a breaker through the scenario.
func (s Scenario) Run(a Adapter) Result {
	seen, safe := s.run(a)
	return Result{s, seen, safe}
}

// Patience is how long T8 waits, on the real clock.
const Patience = 2 * time.Second

const (
	failures = 3
	openFor  = 60 * time.Millisecond
	moment   = time.Millisecond // in which everybody who can run does
)

// Scenarios gives all of them.
func Scenarios() []Scenario {
	return []Scenario{
		{ID: "T1", Title: "100 calls at once when the open time is over", Required: "1 is made", run: crowd},
		{ID: "T2", Title: "a call from before the opening succeeds while the probe is out", Required: "stays half-open, 0 of 5 are made", run: lateSuccess},
		{ID: "T3", Title: "a call from before the opening fails while the probe is out", Required: "stays half-open, the probe closes", run: lateFailure},
		{ID: "T4", Title: "the probe panics", Required: "another probe gets a chance, and closes", run: panics},
		{ID: "T5", Title: "the probe ends its goroutine", Required: "another probe gets a chance, and closes", run: exits},
		{ID: "T6", Title: "the probe hangs for ten open times", Required: "another probe gets a chance", run: hangs},
		{ID: "T7", Title: "callers give up 5 calls", Required: "stays closed", run: givesUp},
		{ID: "T8", Title: "the listener asks for the state", Required: "returns", Real: true, run: reenters},
	}
}

var errDown = errors.New("down")

func fail(context.Context) error { return errDown }

// opened gives a breaker that has just opened.
func opened(a Adapter) Breaker {
	b := a.New(Config{Failures: failures, OpenFor: openFor})
	open(b)
	return b
}

func open(b Breaker) {
	for range failures {
		_ = b.Do(context.Background(), fail)
	}
}

// made counts how many of n calls, one after the other, the breaker makes.
func made(b Breaker, n int) (count int) {
	for range n {
		_ = b.Do(context.Background(), func(context.Context) error { count++; return nil })
	}
	return count
}

// pending is a call that goes on until it is told how to end.
type pending struct {
	result  chan error
	started atomic.Bool
}

func begin(b Breaker) *pending {
	p := &pending{result: make(chan error)}
	go func() {
		_ = b.Do(context.Background(), func(context.Context) error {
			p.started.Store(true)
			return <-p.result
		})
	}()
	time.Sleep(moment)
	return p
}

// end lets the call return, if it was made.
func (p *pending) end(err error) {
	if p.started.Load() {
		p.result <- err
	}
	time.Sleep(moment)
}

func crowd(a Adapter) (string, bool) {
	b := opened(a)
	time.Sleep(openFor + moment)
	var in atomic.Int64
	done := make(chan struct{})
	for range 100 {
		go func() {
			_ = b.Do(context.Background(), func(context.Context) error { in.Add(1); <-done; return nil })
		}()
	}
	time.Sleep(10 * moment)
	close(done)
	time.Sleep(moment)
	return fmt.Sprintf("%d made", in.Load()), in.Load() == 1
}

// stale gives a half-open breaker with its probe out, and a call that was admitted while it was closed.
func stale(a Adapter) (b Breaker, old, probe *pending) {
	b = a.New(Config{Failures: failures, OpenFor: openFor})
	old = begin(b)
	open(b)
	time.Sleep(openFor + moment)
	return b, old, begin(b)
}

func lateSuccess(a Adapter) (string, bool) {
	b, old, probe := stale(a)
	old.end(nil)
	state, through := b.State(), made(b, 5)
	probe.end(errDown)
	return fmt.Sprintf("%s, %d of 5 made", state, through), state == "half-open" && through == 0
}

func lateFailure(a Adapter) (string, bool) {
	b, old, probe := stale(a)
	old.end(errDown)
	between := b.State()
	probe.end(nil)
	return fmt.Sprintf("%s, then %s", between, b.State()), between == "half-open" && b.State() == "closed"
}

func panics(a Adapter) (string, bool) {
	return recovers(a, func(b Breaker) {
		defer func() { _ = recover() }()
		_ = b.Do(context.Background(), func(context.Context) error { panic("probe") })
	})
}

func exits(a Adapter) (string, bool) {
	return recovers(a, func(b Breaker) {
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = b.Do(context.Background(), func(context.Context) error { runtime.Goexit(); return nil })
		}()
		<-gone
	})
}

// recovers sees whether a breaker whose probe went wrong closes again, within ten open times.
func recovers(a Adapter, probe func(Breaker)) (string, bool) {
	b := opened(a)
	time.Sleep(openFor + moment)
	probe(b)
	for i := range 10 {
		time.Sleep(openFor + moment)
		if made(b, 1) == 1 && b.State() == "closed" {
			return fmt.Sprintf("closed after %d open times", i+1), true
		}
	}
	return b.State() + " for ever", false
}

func hangs(a Adapter) (string, bool) {
	b := opened(a)
	time.Sleep(openFor + moment)
	probe := begin(b)
	through := 0
	for range 5 {
		time.Sleep(2 * openFor)
		through += made(b, 1)
	}
	probe.end(nil)
	return fmt.Sprintf("%d of 5 made meanwhile", through), through > 0
}

func givesUp(a Adapter) (string, bool) {
	b := a.New(Config{Failures: failures, OpenFor: openFor})
	for range 5 {
		ctx, cancel := context.WithCancel(context.Background())
		_ = b.Do(ctx, func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
	}
	return b.State(), b.State() == "closed"
}

func reenters(a Adapter) (string, bool) {
	if a.NoCallback {
		return "no listener", true
	}
	var b Breaker
	told := make(chan string, 10)
	b = a.New(Config{Failures: failures, OpenFor: time.Hour, OnChange: func() { told <- b.State() }})
	go open(b)
	select {
	case state := <-told:
		return "told of " + state, true
	case <-time.After(Patience):
		return "locked for ever", false
	}
}
