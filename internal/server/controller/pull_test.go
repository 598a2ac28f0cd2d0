package controller_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/intervals"
)

// source answers after a time, or not at all, and remembers what it was asked.
type source struct {
	mu        sync.Mutex
	asked     []outcome.Pull
	takes     func(n int) time.Duration // the nth pull; negative: until its deadline
	fails     func(n int) error
	now, most int // pulls at once
	deadlines []time.Duration
}

func (s *source) Pull(ctx context.Context, _ trial.Spec, from, until time.Time) (outcome.Pull, error) {
	s.mu.Lock()
	n := len(s.asked)
	s.asked = append(s.asked, outcome.Pull{From: from, To: until})
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.now--; s.mu.Unlock() }()
	if s.takes != nil {
		began, d := time.Now(), s.takes(n)
		if d < 0 {
			d = time.Hour
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			s.mu.Lock()
			s.deadlines = append(s.deadlines, time.Since(began))
			s.mu.Unlock()
			return outcome.Pull{}, context.Cause(ctx)
		}
	}
	if s.fails != nil && s.fails(n) != nil {
		return outcome.Pull{}, s.fails(n)
	}
	m := []outcome.Measure{{Name: "shop", Of: uint64(until.Sub(from) / time.Second), Bad: 0}}
	return outcome.Pull{From: from, To: until, Treatment: m, Control: m}, nil
}

func pulling(s *trial.Spec) {
	s.Guardrails = append(trial.DefaultGuardrails(), trial.Guardrail{Name: "shop", Metric: trial.MetricErrors, Unit: trial.UnitRequest, Mode: trial.ModeShadow, Absolute: 0.1,
		Prometheus: &trial.PromSource{Treatment: trial.PromCounters{Total: "t", Bad: "tb"}, Control: trial.PromCounters{Total: "c", Bad: "cb"}}})
}

func (r *rig) runWith(cfg controller.Config) {
	r.t.Helper()
	if cfg.Evidence == nil {
		cfg.Evidence = noPins{}
	}
	go controller.New(cfg, nil).Run(r.t.Context())
	time.Sleep(100 * time.Millisecond)
}

// Every interval is completed with what the sources say of its time, and only of its time.
func TestPullsFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(15*time.Second), pulling)
		started := r.trial().State.StartedAt
		acc, s := intervals.New(intervals.Limits{}), &source{takes: func(int) time.Duration { return 3 * time.Second }}
		r.runWith(controller.Config{Trials: r.admin, Outcomes: acc, Sources: s})
		(&fleet{rig: r, to: acc}).report(5*time.Second, 3*time.Minute)
		time.Sleep(20 * time.Second)
		list := r.journal()
		if len(list) < 10 {
			t.Fatalf("%d intervals in 3 minutes", len(list))
		}
		from := started
		for _, iv := range list {
			p := iv.Interval.Pull
			if p == nil || !p.From.Equal(from) || !p.To.Equal(iv.Interval.To) {
				t.Fatalf("interval %d to %v pulled %+v, want from %v", iv.Seq, iv.Interval.To, p, from)
			}
			from = p.To
		}
		r.wantAllWeighed()
	})
}

// A source that fails, hangs or is slow costs its interval the counts, and nothing else: the
// interval is weighed without them, and the next pull brings what is missing.
func TestSourcesFail(t *testing.T) {
	for _, c := range []struct {
		name  string
		s     *source
		every time.Duration
		// the longest that a pull may take
		deadline time.Duration
	}{
		{"error", &source{fails: func(n int) error {
			if n%3 == 1 {
				return errors.New("connection refused")
			}
			return nil
		}}, 5 * time.Second, 0},
		{"hangs", &source{takes: func(n int) time.Duration { return []time.Duration{0, -1, time.Second}[n%3] }}, 5 * time.Second, 5 * time.Second},
		{"hangs, long intervals", &source{takes: func(n int) time.Duration { return []time.Duration{0, -1, time.Second}[n%3] }}, 60 * time.Second, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, every(c.every), pulling)
				started := r.trial().State.StartedAt
				acc := intervals.New(intervals.Limits{})
				r.runWith(controller.Config{Trials: r.admin, Outcomes: acc, Sources: c.s})
				(&fleet{rig: r, to: acc}).report(c.every/3, 12*c.every)
				time.Sleep(c.every)
				with, without, told := 0, 0, started
				for _, iv := range r.journal() {
					if iv.Interval.Pull == nil {
						without++
						continue
					}
					if with++; !iv.Interval.Pull.From.Equal(told) {
						t.Errorf("interval %d: pulled from %v, everything up to %v was told", iv.Seq, iv.Interval.Pull.From, told)
					}
					told = iv.Interval.Pull.To
				}
				if with < 3 || without < 2 {
					t.Errorf("%d intervals with counts, %d without", with, without)
				}
				for _, d := range c.s.deadlines {
					if d != c.deadline {
						t.Errorf("a pull was given %v, want %v", d, c.deadline)
					}
				}
				r.wantAllWeighed()
			})
		})
	}
}

// Forty trials whose source hangs do not hold up one that has none, and are not all asked at once.
func TestNobodyWaitsForSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(5*time.Second))
		for i := range 40 {
			s := script{name: fmt.Sprintf("slow-%d", i), change: func(s *trial.Spec) {
				s.Interval = trial.Duration(5 * time.Second)
				s.Steps = []trial.Step{{Share: 50_000, MinTime: trial.Duration(time.Hour)}}
				pulling(s)
			}}
			start(t, r.admin, s)
		}
		acc, s := intervals.New(intervals.Limits{}), &source{takes: func(int) time.Duration { return -1 }}
		r.runWith(controller.Config{Trials: r.admin, Outcomes: acc, Sources: s})
		(&fleet{rig: r, to: acc}).report(time.Second, 61*time.Second)
		if n := len(r.journal()); n != 12 {
			t.Errorf("%d intervals of the trial without a source in 61 s of 5 s each", n)
		}
		s.mu.Lock()
		most := s.most
		s.mu.Unlock()
		if most != 16 {
			t.Errorf("%d pulls at once", most)
		}
		for i := range 40 {
			list, err := r.admin.Intervals(t.Context(), fmt.Sprintf("slow-%d", i), 0, 0, 100)
			if err != nil || len(list) < 5 {
				t.Errorf("trial %d: %d intervals, error %v", i, len(list), err)
			}
		}
	})
}

// Two replicas pull the same time: it counts once.
func TestReplicasPullOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, every(5*time.Second), pulling)
		accs := []*intervals.Accumulator{intervals.New(intervals.Limits{}), intervals.New(intervals.Limits{})}
		for _, acc := range accs {
			r.runWith(controller.Config{Trials: r.service(), Outcomes: acc, Sources: &source{takes: func(n int) time.Duration { return time.Duration(n%3) * time.Second }}})
		}
		for range 60 {
			from := time.Now()
			time.Sleep(time.Second)
			for i, acc := range accs {
				(&fleet{rig: r, to: acc, name: fmt.Sprint(i)}).flush(from, time.Now())
			}
		}
		time.Sleep(6 * time.Second)
		r.journal()
		state := r.trial().State
		passed := state.PulledTo.Sub(state.StartedAt)
		g := state.Guardrails[len(state.Guardrails)-1]
		if got := time.Duration(g.Treatment.Of) * time.Second; got > passed || got < passed-10*time.Second {
			t.Errorf("%v counted in %v", got, passed)
		}
		r.wantAllWeighed()
	})
}
