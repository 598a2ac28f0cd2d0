package resilience

import (
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
