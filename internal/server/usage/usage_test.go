package usage

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

var _ control.Usage = (*Store)(nil)

func TestStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := New()
		if _, ok := s.LastSeen("a"); ok || !s.Since().Equal(start) || len(s.Variants("a")) > 0 {
			t.Error("a new store knows something")
		}
		time.Sleep(time.Hour)
		s.Seen("a", "on")
		s.Seen("a", "")
		time.Sleep(time.Hour)
		s.Seen("a", "on")
		s.Seen("b", "off")
		if at, ok := s.LastSeen("a"); !ok || !at.Equal(start.Add(2*time.Hour)) {
			t.Errorf("a: %v, %v", at, ok)
		}
		want := []Variant{{"", start.Add(time.Hour)}, {"on", start.Add(2 * time.Hour)}}
		for i, got := range s.Variants("a") {
			if got.Name != want[i].Name || !got.LastSeen.Equal(want[i].LastSeen) {
				t.Errorf("variant %+v, want %+v", got, want[i])
			}
		}
		if _, ok := s.LastSeen("c"); ok || !s.Since().Equal(start) {
			t.Error("c was never seen")
		}
	})
}

func TestOddNamesAreNotKept(t *testing.T) {
	s := New()
	for _, key := range []string{"", "a b", "\xff", strings.Repeat("x", flag.MaxKey+1), "a/../b"} {
		s.Seen(key, "on")
		if _, ok := s.LastSeen(key); ok {
			t.Errorf("kept %q", key)
		}
	}
	s.Seen("a", "\xff")
	s.Seen("a", strings.Repeat("x", flag.MaxKey+1))
	if got := s.Variants("a"); len(got) > 0 {
		t.Errorf("variants %v", got)
	}
	for i := range 10 * flag.MaxVariants {
		s.Seen("a", fmt.Sprint("v", i))
	}
	if n := len(s.Variants("a")); n > flag.MaxVariants+1 {
		t.Errorf("%d variants", n)
	}
}

// What is kept does not hold on to the request that it came with.
func TestNamesAreCopied(t *testing.T) {
	s := New()
	body := []byte("key:variant")
	whole := string(body)
	s.Seen(whole[:3], whole[4:])
	s.current.Load().flags.Range(func(key, _ any) bool {
		if reflect.ValueOf(key).String() != "key" || reflect.ValueOf(whole).UnsafePointer() == reflect.ValueOf(key).UnsafePointer() {
			t.Error("the key is a part of the request")
		}
		return true
	})
}

// A sender that makes names up cannot make the store grow, nor make it say that a flag which is
// in use is not.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 100
		s := New()
		s.limit = limit
		start := time.Now()
		s.Seen("lost", "on")
		for i := range 2*limit + 10 {
			if i%(limit/10) == 0 {
				time.Sleep(time.Minute)
				s.Seen("used", "on")
			}
			s.Seen(fmt.Sprint("made-up-", i), "")
		}
		if n := s.current.Load().kept.Load() + s.past.Load().kept.Load(); n > 2*limit {
			t.Errorf("%d flags are kept", n)
		}
		if at, ok := s.LastSeen("used"); !ok || time.Since(at) > 2*time.Minute || len(s.Variants("used")) != 1 {
			t.Errorf("used: %v, %v", at, ok)
		}
		if _, ok := s.LastSeen("lost"); ok {
			t.Error("lost is still there: the test shows nothing")
		}
		if !s.Since().After(start) {
			t.Error("something was forgotten, but the store claims to know all since the start")
		}
	})
}

func TestConcurrency(t *testing.T) {
	s := New()
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			for i := range 2000 {
				s.Seen(fmt.Sprint("f", i%50), fmt.Sprint("v", (i+worker)%7))
				s.LastSeen("f1")
				s.Variants("f1")
			}
		})
	}
	running.Wait()
	for i := range 50 {
		if n := len(s.Variants(fmt.Sprint("f", i))); n != 7 {
			t.Errorf("f%d: %d variants", i, n)
		}
	}
}

func TestSeenAgainNoAlloc(t *testing.T) {
	s := New()
	s.Seen("a", "on")
	if n := testing.AllocsPerRun(100, func() { s.Seen("a", "on") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSeen(b *testing.B) {
	s := New()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Seen("checkout-v2", "on")
		}
	})
}
