package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// manyFlagsLoaded is the number of flags of the snapshots that are swapped.
const manyFlagsLoaded = 10_000

// swapper changes one flag of a client's snapshot again and again.
type swapper struct {
	plane  *plane
	client *seatrial.Client
	static *seatrial.Flag[bool]
	whole  bool // send the whole snapshot, not only what changed
}

func newSwapper(tb testing.TB, whole bool) *swapper {
	p := newPlane(seatrialSet(manyFlagsLoaded))
	client := p.open(tb)
	return &swapper{plane: p, client: client, static: client.BoolFlag(caseStatic, false), whole: whole}
}

// next makes the next state, in which the flag static has the other value, and gives its event.
func (s *swapper) next(tb testing.TB) (e string, on bool) {
	s.plane.mu.Lock()
	defer s.plane.mu.Unlock()
	set := &s.plane.set
	i := slices.IndexFunc(set.Flags, func(f flag.Flag) bool { return f.Key == caseStatic })
	f := set.Flags[i]
	if on = f.DefaultVariant == "off"; on {
		f.DefaultVariant = "on"
	} else {
		f.DefaultVariant = "off"
	}
	set.Flags[i] = f
	set.Revision++
	set.Hash = fmt.Sprintf("%02x", set.Revision)
	name, content := "snapshot", any(set)
	if !s.whole {
		name, content = "delta", flag.Delta{History: set.History, Epoch: set.Epoch, Parent: set.Revision - 1, Revision: set.Revision, Hash: set.Hash, Flags: []flag.Flag{f}}
	}
	data, err := json.Marshal(content)
	if err != nil {
		tb.Fatal(err)
	}
	return event(name, set.Revision, data), on
}

// swap sends an event and waits until it is in force.
func (s *swapper) swap(tb testing.TB, e string, on bool) {
	s.plane.events <- e
	for end := time.Now().Add(time.Minute); s.static.Get(context.Background()) != on; time.Sleep(20 * time.Microsecond) {
		if time.Now().After(end) {
			tb.Error("a change did not come into force")
			return
		}
	}
}

// TestSwaps: what is sent comes into force, and other flags keep their variants.
func TestSwaps(t *testing.T) {
	for _, whole := range []bool{false, true} {
		s := newSwapper(t, whole)
		rollout, contexts := s.client.BoolFlag(caseRollout, false), seatrialContexts()
		before := make([]bool, 1_000)
		for n := range before {
			before[n] = rollout.Get(contexts[n])
		}
		for range 3 {
			e, on := s.next(t)
			s.swap(t, e, on)
			for n, want := range before {
				if rollout.Get(contexts[n]) != want {
					t.Fatalf("unit %d has another variant after a change of another flag", n)
				}
			}
		}
		if got := s.static.Details(context.Background()).Metadata.Revision; got != 4 {
			t.Errorf("revision %d, want 4", got)
		}
	}
}

// BenchmarkSwap is what a change of one flag among 10,000 takes: compile is the evaluator's part;
// delta and snapshot are from the control plane's writing to the new value in the application, the
// decoding of what was sent included.
func BenchmarkSwap(b *testing.B) {
	set := seatrialSet(manyFlagsLoaded)
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			if _, err := eval.Compile(set); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, way := range []struct {
		name  string
		whole bool
	}{{"delta", false}, {"snapshot", true}} {
		b.Run(way.name, func(b *testing.B) {
			s := newSwapper(b, way.whole)
			for b.Loop() {
				b.StopTimer()
				e, on := s.next(b)
				b.StartTimer()
				s.swap(b, e, on)
			}
		})
	}
}

// together is how many evaluations are timed as one: one alone would take hardly longer than reading
// the clock. More of them would blur what is looked for: in 16 at a time, the 99.9th percentile is
// the tick of the system's timer.
const together = 4

// BenchmarkDuringSwaps compares evaluations while nothing changes with evaluations while snapshots
// are swapped as fast as the client can, in rounds that take turns. The figures are of four
// evaluations, by handle, and of reading the clock. Run it with -benchtime 1x.
func BenchmarkDuringSwaps(b *testing.B) {
	const rounds, each = 5, time.Second
	s := newSwapper(b, false)
	rollout, contexts := s.client.BoolFlag(caseRollout, false), seatrialContexts()
	var quiet, swapping percentiles
	swaps := 0
	room := make([]uint32, 4<<20)
	for i := range room {
		room[i] = 1 // now the memory is there: the first touch of a page would be timed
	}
	for b.Loop() {
		for range rounds {
			quiet.note(timed(rollout, contexts, each, room))
			stop, done := make(chan struct{}), sync.WaitGroup{}
			done.Go(func() { swaps += s.untilStopped(b, stop) })
			swapping.note(timed(rollout, contexts, each, room))
			close(stop)
			done.Wait()
		}
	}
	report := func(name string, of *percentiles) {
		b.ReportMetric(median(of[0]), name+"-median-ns")
		b.ReportMetric(median(of[1]), name+"-p99.9-ns")
		b.ReportMetric(median(of[2]), name+"-p99.99-ns")
	}
	report("quiet", &quiet)
	report("swapping", &swapping)
	b.ReportMetric(median(swapping[1])/median(quiet[1]), "x-p99.9")
	b.ReportMetric(float64(swaps)/float64(b.N)/(rounds*each.Seconds()), "swaps/s")
	b.ReportMetric(0, "ns/op")
}

func (s *swapper) untilStopped(b *testing.B, stop <-chan struct{}) (swaps int) {
	for {
		select {
		case <-stop:
			return swaps
		default:
			e, on := s.next(b)
			s.swap(b, e, on)
			swaps++
		}
	}
}

// timed evaluates for a while, at most until room is full, and gives how long batches took, in
// nanoseconds, sorted.
func timed(handle *seatrial.Flag[bool], contexts []context.Context, d time.Duration, room []uint32) []uint32 {
	took := room[:0]
	n := 0
	last := time.Now()
	for end := last.Add(d); last.Before(end) && len(took) < cap(took); {
		for range together {
			handle.Get(contexts[n])
			if n++; n == units {
				n = 0
			}
		}
		now := time.Now()
		took = append(took, uint32(min(now.Sub(last), 4*time.Second)))
		last = now
	}
	slices.Sort(took)
	return took
}

// percentiles are by round: the 50th, the 99.9th and the 99.99th.
type percentiles [3][]float64

func (p *percentiles) note(took []uint32) {
	for i, per := range []int{5_000, 9_990, 9_999} {
		p[i] = append(p[i], float64(took[len(took)*per/10_000]))
	}
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
