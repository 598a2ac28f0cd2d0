package controller_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// Two replicas on one store, and people who command: whatever the order in which they read, weigh
// and write, the log is that of one undisturbed run of the intervals that were stored, and after a
// stop nothing more is done.
func TestReplicasInAnyOrder(t *testing.T) {
	for _, c := range []struct {
		name      string
		open      func(*testing.T) storetest.Store
		few, many int
	}{
		{"memory", func(*testing.T) storetest.Store { return storetest.NewMemory() }, 300, 2_000},
		{"one file", func(t *testing.T) storetest.Store { return openFile(t) }, 25, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := c.few
			if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
				n = c.many
			}
			first := rand.Uint64()
			decisions, stopped := 0, 0
			for i := range n {
				seed := first + uint64(i)
				synctest.Test(t, func(t *testing.T) {
					s := newSchedule(t, c.open(t), seed)
					d, over := s.play()
					decisions += d
					if over {
						stopped++
					}
				})
				if t.Failed() {
					t.Fatalf("with seed %d", seed)
				}
			}
			t.Logf("%d schedules, %d decisions, %d trials stopped by a person", n, decisions, stopped)
			if decisions == 0 || stopped == 0 {
				t.Error("these schedules show nothing")
			}
		})
	}
}

func openFile(t *testing.T) *sqlite.Store {
	s, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// schedule is one random order of events.
type schedule struct {
	rig
	random   *rand.Rand
	mu       sync.Mutex // guards random
	store    storetest.Store
	services []*control.Service
	stop     context.CancelFunc
	running  sync.WaitGroup
}

func newSchedule(t *testing.T, store storetest.Store, seed uint64) *schedule {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &schedule{rig: rig{t: t}, random: rand.New(rand.NewPCG(seed, 5)), store: store, stop: stop}
	for range 2 {
		service, err := control.New(ctx, control.Config{Log: store, Journal: store, Environment: "test", Sources: anySource{}})
		if err != nil {
			t.Fatal(err)
		}
		s.services = append(s.services, service)
		s.running.Go(func() { _ = service.Run(ctx) })
	}
	s.admin = s.services[0]
	start(t, s.admin, script{name: "checkout", change: func(spec *trial.Spec) {
		spec.Interval, spec.Watch = trial.Duration(2*time.Second), trial.Duration(5*time.Second)
		spec.Steps = nil
		for _, share := range []flag.Weight{5_000, 10_000, 50_000} {
			spec.Steps = append(spec.Steps, trial.Step{Share: share, MinTime: trial.Duration(3 * time.Second), MinUnits: 4})
		}
	}})
	for _, service := range s.services {
		acc := intervals.New(intervals.Limits{})
		cfg := controller.Config{Trials: &hesitant{service, s}, Outcomes: acc, Evidence: noPins{}}
		s.running.Go(func() { controller.New(cfg, nil).Run(ctx) })
		s.running.Go(func() { s.send(ctx, acc, service) })
	}
	return s
}

// below draws a number, for any goroutine.
func (s *schedule) below(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

func (s *schedule) pause(most time.Duration) { time.Sleep(time.Duration(s.below(int(most)))) }

// send reports to one replica at random times, sometimes an outage of the treatment.
func (s *schedule) send(ctx context.Context, acc *intervals.Accumulator, service *control.Service) {
	outage := s.below(3) == 0
	f := &fleet{rig: &rig{t: s.t, admin: service}, to: acc, name: fmt.Sprint(s.below(1 << 30)), bad: func(arm string) uint64 {
		if outage && arm == "treatment" && s.below(20) == 0 {
			return 20
		}
		return 0
	}}
	for ctx.Err() == nil {
		from := time.Now()
		s.pause(3 * time.Second)
		f.flush(from, time.Now())
	}
}

// play lets people do something now and then, and gives what has come of it.
func (s *schedule) play() (decisions int, stopped bool) {
	s.t.Helper()
	for range 5 {
		s.pause(8 * time.Second)
		verb := []string{"pause", "resume", "advance", "promote", "abort"}[s.below(5)]
		if verb == "promote" && s.below(2) == 0 {
			continue
		}
		entry, err := s.services[s.below(2)].CommandTrial(s.t.Context(), "checkout", verb, ana)
		if err != nil && control.CodeOf(err) != control.CodePrecondition && control.CodeOf(err) != control.CodeConflict {
			s.t.Error(err)
		}
		stopped = stopped || err == nil && entry.State.Result == trial.ResultAborted
	}
	time.Sleep(10 * time.Second)
	s.stop()
	s.running.Wait()
	h, err := replay(s.store, s.t, "checkout", 1)
	if err != nil {
		s.t.Error(err)
		return 0, false
	}
	if stopped && h.state.Result != trial.ResultAborted {
		s.t.Errorf("a person stopped it, and it is %s (%s)", h.state.Phase, h.state.Result)
	}
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
	return len(h.decisions), stopped
}

// hesitant is a service that takes its time, before it asks the store and after.
type hesitant struct {
	*control.Service
	s *schedule
}

func (h *hesitant) wait() {
	if h.s.below(3) == 0 {
		h.s.pause(3 * time.Second)
	}
}

func (h *hesitant) StoreDecision(ctx context.Context, d control.Decision) (control.TrialEntry, error) {
	h.wait()
	defer h.wait()
	return h.Service.StoreDecision(ctx, d)
}

func (h *hesitant) RecordIntervals(ctx context.Context, records []control.Record) []error {
	h.wait()
	defer h.wait()
	return h.Service.RecordIntervals(ctx, records)
}
