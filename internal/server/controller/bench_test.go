//go:build unix

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

const (
	benchInterval = 15 * time.Second
	benchTrials   = 10_000
)

// BenchmarkTenThousandTrials runs 10,000 trials with 6 guardrails each at 15 s: one iteration is
// one round of 15 s, in 60 grains, with the real store on the disk of the temporary directory.
// What is measured is the processor time of the whole process.
func BenchmarkTenThousandTrials(b *testing.B) {
	f := newFarm(b, benchTrials, 60)
	f.round() // the first interval of a latency guardrail only learns
	f.round()
	b.ResetTimer()
	before, stored := processorTime(b), f.stored
	for b.Loop() {
		f.round()
	}
	used := processorTime(b) - before
	if n := f.stored - stored; n != b.N*benchTrials {
		b.Fatalf("%d intervals stored in %d rounds", n, b.N)
	}
	perRound := used / time.Duration(b.N)
	b.ReportMetric(float64(perRound.Milliseconds()), "cpu-ms/round")
	b.ReportMetric(float64(perRound)/float64(benchInterval)*100, "%core")
	b.ReportMetric(float64(perRound.Microseconds())/benchTrials, "cpu-µs/interval")
}

// BenchmarkAge tells what an interval costs in a young and in an old trial.
func BenchmarkAge(b *testing.B) {
	for _, age := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("interval %d", age), func(b *testing.B) {
			f := newFarm(b, 20, 1) // in one grain
			for range age {
				f.round()
			}
			b.ResetTimer()
			before := processorTime(b)
			for b.Loop() {
				f.round()
			}
			used := processorTime(b) - before
			b.ReportMetric(float64(used.Microseconds())/float64(20*b.N), "cpu-µs/interval")
		})
	}
}

// processorTime is what the process has used, in user and system mode.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// farm is a controller with many trials in simulated time.
type farm struct {
	*Controller
	ctx     context.Context
	helpers sync.WaitGroup
	now     time.Duration
	stored  int
}

// newFarm spreads the trials over the first grains of a round.
func newFarm(tb testing.TB, trials, grains int) *farm {
	tb.Helper()
	ctx := tb.Context()
	store, err := sqlite.Open(ctx, tb.TempDir(), sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	plant(tb, store, trials)
	service, err := control.New(ctx, control.Config{Log: store, Journal: store})
	if err != nil {
		tb.Fatal(err)
	}
	f := &farm{ctx: ctx}
	f.Controller = New(Config{Trials: service, Outcomes: newBlend(), Evidence: noEvidence{}}, func() { f.stored++ })
	f.began = time.Now()
	for i, name := 0, ""; i < trials; i++ {
		name = trialName(i)
		f.expectNamed(name, time.Duration(i%grains)*grain)
	}
	f.now = 60 * grain
	return f
}

// round lets 15 s pass.
func (f *farm) round() {
	for range int(benchInterval / grain) {
		f.tick(f.ctx, &f.helpers, f.now)
		f.now += grain
	}
}

func trialName(i int) string { return fmt.Sprintf("trial-%05d", i) }

// plant writes running trials into the log.
func plant(tb testing.TB, log control.Log, trials int) {
	tb.Helper()
	const together = 100
	at := time.Now().UTC().Round(0)
	for from := 0; from < trials; from += together {
		var ops []control.Op
		for i := from; i < min(from+together, trials); i++ {
			name := trialName(i)
			f := flag.Flag{Key: name, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
				Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}}
			spec := benchSpec(name)
			ops = append(ops, op(tb, control.KindFlag, name, f),
				op(tb, control.KindTrial, name, control.Trial{Spec: spec, State: trial.Start(spec, 1, at)}))
		}
		head, err := log.Head(tb.Context())
		if err == nil {
			_, err = log.Append(tb.Context(), head.Revision, control.Draft{Actor: "bench", Time: at, Ops: ops})
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func op(tb testing.TB, kind control.EntityKind, key string, value any) control.Op {
	tb.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return control.Op{Kind: kind, Key: key, Value: raw}
}

// benchSpec holds its one step for ever, so that every interval is weighed and none decides.
func benchSpec(name string) trial.Spec {
	return trial.Normalize(trial.Spec{Name: name, Flag: name, Treatment: "on", Control: "off", Deadline: trial.Duration(24 * 90 * time.Hour),
		Steps: []trial.Step{{Share: 10_000, MinTime: trial.Duration(24 * 90 * time.Hour)}},
		Guardrails: []trial.Guardrail{
			{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.01},
			{Name: "latency", Metric: trial.MetricLatency, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.02},
			{Name: "requests", Metric: trial.MetricErrors, Unit: trial.UnitRequest, Mode: trial.ModeShadow, Relative: 0.5, Absolute: 0.01},
			{Name: "throughput", Metric: trial.MetricThroughput, Mode: trial.ModeShadow, Relative: 0.05},
			{Name: "orders", Metric: trial.MetricEvent, Event: "order", Better: trial.BetterHigher, Mode: trial.ModeShadow, Relative: 0.2, Absolute: 0.01},
			{Name: "revenue", Metric: trial.MetricValue, Event: "revenue", Better: trial.BetterHigher, Mode: trial.ModeShadow, Relative: 0.1},
		}})
}

// blend gives every interval outcomes without a difference, as the accumulator would.
type blend struct {
	arms []outcome.Arm
	next int
}

func newBlend() *blend {
	b := &blend{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 256 {
		arm := outcome.Arm{Requests: 200, NewUnits: 8, AtRiskUnits: 20}
		for range arm.Requests {
			arm.Latency.Record(0.05 * (1 + r.ExpFloat64()))
		}
		arm.Bad, arm.BadUnits = r.Uint64N(5), r.Uint64N(2)
		arm.AddMeasure(outcome.Measure{Name: "order", Of: 20, Bad: 1 + r.Uint64N(4)})
		arm.AddMeasure(outcome.Measure{Name: "revenue", Of: 10, Sum: 100 + 10*r.NormFloat64(), SumSquares: 2100})
		b.arms = append(b.arms, arm)
	}
	return b
}

func (*blend) Expect(_, _ string) error { return nil }
func (*blend) Forget(string)            {}

func (b *blend) Close(_, _ string) outcome.Interval {
	b.next++
	return outcome.Interval{Treatment: b.arms[b.next%len(b.arms)], Control: b.arms[(b.next*7+3)%len(b.arms)]}
}

type noEvidence struct{}

func (noEvidence) PinTrace(string) bool { return true }
func (noEvidence) UnpinTrace(string)    {}
