package controller_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/intervals"
)

// The clock of the machine jumps a day forth and back, and an hour, while intervals are open: they
// keep their lengths and follow each other, and the trial decides as if nothing had been.
func TestWallClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := func(s *trial.Spec) {
			s.Steps = []trial.Step{{Share: 10_000, MinTime: trial.Duration(2 * time.Minute), MinUnits: 1}, {Share: 50_000, MinTime: trial.Duration(time.Hour)}}
			s.Deadline = trial.Duration(2 * time.Hour)
		}
		calm, jumping := newRig(t, every(15*time.Second), steps), newRig(t, every(15*time.Second), steps)
		var jump atomic.Int64
		for _, r := range []*rig{calm, jumping} {
			now := time.Now
			if r == jumping {
				now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
			}
			acc := intervals.New(intervals.Limits{})
			r.runWith(controller.Config{Trials: r.admin, Outcomes: acc, Now: now})
			go (&fleet{rig: r, to: acc}).report(5*time.Second, 10*time.Minute)
		}
		for _, by := range []time.Duration{24 * time.Hour, -24 * time.Hour, time.Hour, 0, -time.Minute} {
			time.Sleep(101 * time.Second)
			jump.Store(int64(by))
		}
		time.Sleep(3 * time.Minute)
		want, got := calm.journal(), jumping.journal()
		if len(got) != len(want) || len(got) < 30 {
			t.Fatalf("%d intervals, without jumps %d", len(got), len(want))
		}
		for i := range got {
			if got[i].Interval.Duration() != 15*time.Second || i > 0 && !got[i].Interval.From.Equal(got[i-1].Interval.To) {
				t.Errorf("interval %d from %v to %v", i+1, got[i].Interval.From, got[i].Interval.To)
			}
			if got[i].State.Step != want[i].State.Step || got[i].State.Phase != want[i].State.Phase {
				t.Errorf("interval %d: step %d, %s, without jumps step %d, %s", i+1, got[i].State.Step, got[i].State.Phase, want[i].State.Step, want[i].State.Phase)
			}
		}
	})
}

// Telemetry gets lost, comes late, twice, in another order, and contradicts itself. Through the
// real accumulator into trial.Next, faults never promote a treatment that is harmful or that
// nobody hears of; without faults a good one is promoted and a bad one is rolled back.
func TestTelemetryFaultsPromoteNothingBad(t *testing.T) {
	runs := 20
	if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
		runs = 200
	}
	first := rand.Uint64()
	ends := map[string]int{}
	for i := range runs {
		for _, kind := range []string{"good", "harmful", "silent treatment", "silent control"} {
			for _, faults := range []bool{false, true} {
				w := newWire(first+uint64(i), kind, faults)
				s := w.run(t)
				ends[fmt.Sprintf("%s, faults %v: %s %s", kind, faults, s.Phase, s.Result)]++
				promoted := s.Phase == trial.PhaseWatching || s.Result == trial.ResultPromoted
				if promoted && kind != "good" {
					t.Errorf("seed %d: %s, faults %v, is promoted: %s", first+uint64(i), kind, faults, s.Why)
				}
				if !faults && kind == "good" && !promoted || !faults && kind == "harmful" && s.Result != trial.ResultRolledBack {
					t.Errorf("seed %d: %s without faults is %s (%s): %s", first+uint64(i), kind, s.Phase, s.Result, s.Why)
				}
			}
		}
	}
	for end, n := range ends {
		t.Logf("%4d %s", n, end)
	}
}

// wire brings the points of SDKs to an accumulator, not always as they were sent.
type wire struct {
	random *rand.Rand
	kind   string
	faults bool
	to     *intervals.Accumulator
	late   map[int][]intervals.Point // by the interval in which they arrive
	loss   float64
}

func newWire(seed uint64, kind string, faults bool) *wire {
	w := &wire{random: rand.New(rand.NewPCG(seed, 9)), kind: kind, faults: faults, to: intervals.New(intervals.Limits{}), late: map[int][]intervals.Point{}}
	if faults {
		w.loss = w.random.Float64() / 2
	}
	return w
}

const wireIntervals = 60

// run plays a trial to its end, or for a quarter of an hour.
func (w *wire) run(t *testing.T) trial.State {
	t.Helper()
	spec := trial.Normalize(trial.Spec{Name: "t", Flag: "f", Treatment: "on", Control: "off", Watch: trial.Duration(time.Hour),
		Guardrails: []trial.Guardrail{{Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.05}},
		Steps:      []trial.Step{{Share: 10_000, MinTime: trial.Duration(time.Minute), MinUnits: 50}, {Share: 50_000, MinTime: trial.Duration(time.Minute), MinUnits: 50}}})
	at := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	s := trial.Start(spec, 1, at)
	for i := range wireIntervals {
		version := s.Version(spec)
		if err := w.to.Expect("t", version); err != nil {
			t.Fatal(err)
		}
		w.deliver(i, version, at)
		at = at.Add(15 * time.Second)
		iv := w.to.Close("t", version)
		iv.Seq, iv.Step, iv.From, iv.To = s.Seq+1, s.Step, s.UpdatedAt, at
		s, _ = trial.Next(spec, s, trial.IntervalClosed{Interval: iv})
		if s.Ended() || s.Phase == trial.PhaseWatching {
			break
		}
	}
	return s
}

// deliver brings what four processes report of one interval, and what is late.
func (w *wire) deliver(i int, version string, at time.Time) {
	points := w.late[i]
	delete(w.late, i)
	for process := range 4 {
		for _, arm := range []string{outcome.ArmTreatment, outcome.ArmControl} {
			if w.kind == "silent "+arm && i > 2 {
				continue
			}
			points = append(points, w.report(process, arm, version, at)...)
		}
	}
	if !w.faults {
		w.to.AddOutcomes(points)
		return
	}
	var arriving []intervals.Point
	for _, p := range points {
		switch x := w.random.Float64(); {
		case x < w.loss:
		case x < w.loss+0.1:
			later := i + 1 + w.random.IntN(4)
			w.late[later] = append(w.late[later], p)
		case x < w.loss+0.2:
			arriving = append(arriving, p, p)
		case x < w.loss+0.25:
			arriving = append(arriving, p, w.contradict(p))
		default:
			arriving = append(arriving, p)
		}
	}
	w.random.Shuffle(len(arriving), func(a, b int) { arriving[a], arriving[b] = arriving[b], arriving[a] })
	for len(arriving) > 0 {
		n := 1 + w.random.IntN(len(arriving))
		w.to.AddOutcomes(arriving[:n])
		arriving = arriving[n:]
	}
}

// contradict gives a point that cannot be true beside the other.
func (w *wire) contradict(p intervals.Point) intervals.Point {
	switch w.random.IntN(5) {
	case 0: // of another process with the same work
		p.Series[0]++
		p.Count *= 10
	case 1:
		p.Arm = "both"
	case 2:
		p.Version = "t.1.99"
	case 3:
		p.Start, p.End = p.End, p.Start
	default:
		p.Series[1]++
		p.Count = 1 << 60
	}
	return p
}

// report is what one process tells of one arm: 40 units of work, as many users.
func (w *wire) report(process int, arm, version string, at time.Time) (points []intervals.Point) {
	const n = 40
	share := 0.02
	if w.kind == "harmful" && arm == outcome.ArmTreatment {
		share = 0.3
	}
	var bad uint64
	var latency outcome.Histogram
	for range n {
		if w.random.Float64() < share {
			bad++
		}
		latency.Record(w.random.ExpFloat64() / 10)
	}
	add := func(metric, state string, count uint64) {
		p := intervals.Point{Metric: metric, UnitState: state, Trial: "t", Version: version, Arm: arm, Count: count,
			Start: at.UnixNano(), End: at.Add(15 * time.Second).UnixNano()}
		if metric == outcome.MetricDuration {
			p.Latency = latency
		}
		copy(p.Series[:], fmt.Sprintf("%016x", hash(fmt.Sprint(process, arm, intervals.Together(metric), version))))
		points = append(points, p)
	}
	add(outcome.MetricDuration, "", 0)
	add(outcome.MetricBad, "", bad)
	add(outcome.MetricUnits, outcome.UnitNew, n)
	add(outcome.MetricUnits, outcome.UnitAtRisk, n)
	add(outcome.MetricUnits, outcome.UnitBad, bad)
	return points
}
