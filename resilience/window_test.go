package resilience

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The plain model: a list of all calls, of which those count that lie in the last ten steps.
func TestTheWindowCountsLikeAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const length = time.Second
		w := newWindow(1, span{length: length}, nil, 0)
		type seen struct {
			step int64
			bad  bool
		}
		var list []seen
		check := func(at int64) {
			calls, failed := 0, 0
			for _, s := range list {
				if at/int64(length/steps)-s.step < steps {
					calls++
					if s.bad {
						failed++
					}
				}
			}
			if c, f := w.sum(at); c != calls || f != failed {
				t.Fatalf("at %v the window has %d of %d bad, the list %d of %d", time.Duration(at), f, c, failed, calls)
			}
		}
		at := int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			at += rapid.Int64Range(0, int64(length)/4).Draw(t, "pause")
			check(at)
			bad := rapid.Bool().Draw(t, "bad")
			w.add(at, bad)
			list = append(list, seen{at / int64(length/steps), bad})
			check(at)
		}
	})
}

func TestAFullSliceKeepsTheRatio(t *testing.T) {
	w := newWindow(1, span{length: time.Hour}, nil, 0)
	for i := range 3 << countBits {
		w.add(1, i%4 == 0)
	}
	calls, failed := w.sum(1)
	if ratio := float64(failed) / float64(calls); calls < countMask/2 || ratio < 0.249 || ratio > 0.251 {
		t.Errorf("%d calls, %d bad: a quarter was", calls, failed)
	}
}

func TestNoWindowCountsNothing(t *testing.T) {
	w := newWindow(0, span{length: time.Hour}, nil, 0)
	w.add(1, true)
	if calls, _ := w.sum(1); calls != 0 || w.reaches(0, 0, 1) {
		t.Error("a window that nobody asked for counts")
	}
}

// The plain model: the last calls in a list.
func TestTheRingRemembersTheLastCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.IntRange(1, 200).Draw(t, "of")
		w := newWindow(1, span{calls: of}, nil, 0)
		var list []bool
		for range rapid.IntRange(1, 600).Draw(t, "calls") {
			bad := rapid.Bool().Draw(t, "bad")
			w.add(0, bad)
			list = append(list, bad)
			list = list[max(0, len(list)-of):]
			want := 0
			for _, b := range list {
				if b {
					want++
				}
			}
			if calls, failed := w.sum(0); calls != len(list) || failed != want {
				t.Fatalf("the ring has %d of %d bad, the list %d of %d", failed, calls, want, len(list))
			}
		}
	})
}

func TestTheRingIsExactAfterManyAtOnce(t *testing.T) {
	w := newWindow(1, span{calls: 100}, nil, 0)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 5000 {
				w.add(0, (i+g)%3 == 0)
			}
		})
	}
	all.Wait()
	for range 100 {
		w.add(0, false)
	}
	if calls, failed := w.sum(0); calls != 100 || failed != 0 {
		t.Errorf("after 100 good calls %d of %d are bad", failed, calls)
	}
}

func TestWindowsCarryOverWhatTheyCounted(t *testing.T) {
	const at = int64(time.Hour)
	spans := []span{{length: time.Minute}, {length: time.Second}, {calls: 1000}, {calls: 50}}
	for _, from := range spans {
		for _, to := range spans {
			old := newWindow(1, from, nil, at)
			for i := range 40 {
				old.add(at, i%4 == 0)
			}
			if calls, failed := newWindow(1, to, old, at).sum(at); calls != 40 || failed != 10 {
				t.Errorf("%v to %v: %d of %d bad, want 10 of 40", from, to, failed, calls)
			}
		}
	}
	long := newWindow(1, spans[0], nil, at)
	for i := range 10_000 {
		long.add(at, i < 2500)
	}
	if calls, failed := newWindow(1, span{calls: 100}, long, at).sum(at); calls != 100 || failed != 25 {
		t.Errorf("of 10000 with a quarter bad, %d of %d were kept", failed, calls)
	}
}

func TestAnUpdateChangesTheWindow(t *testing.T) {
	b := NewBreaker("stock", BreakerPolicy{FailureRatio: 0.9, WindowCalls: 100})
	_ = b.Do(ctxBG, fail)
	for _, p := range []BreakerPolicy{{FailureRatio: 0.9, WindowCalls: 50}, {FailureRatio: 0.9, Window: time.Hour}, {FailureRatio: 0.9, Window: time.Minute}, {FailureRatio: 0.9, WindowCalls: 7}} {
		b.Update(p)
		w := b.phase.Load().failing.Load()
		if w.last.size() != p.WindowCalls || w.length != p.Window {
			t.Errorf("after an update to %+v the window is of %d calls, %v", p, w.last.size(), w.length)
		}
		if calls, failed := w.sum(now()); calls != 1 || failed != 1 {
			t.Errorf("an update forgot: %d of %d", failed, calls)
		}
	}
}
