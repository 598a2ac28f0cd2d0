package fleet

import (
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func sameMemory(whole, part string) bool {
	begin, at := uintptr(unsafe.Pointer(unsafe.StringData(whole))), uintptr(unsafe.Pointer(unsafe.StringData(part)))
	return at >= begin && at < begin+uintptr(len(whole))
}

func state(to State) Fact { return Fact{Kind: OfState, Name: "pg", State: to} }
func events(e Event, n uint64) Fact {
	return Fact{Kind: OfEvents, Name: "pg", Event: e, Count: n}
}

func value(k Kind, v float64) Fact { return Fact{Kind: k, Name: "pg", Value: v} }

// moves writes transitions as "closed→open".
func moves(s *Store) (list []string) {
	for _, t := range s.Transitions(Selection{}, 0) {
		list = append(list, t.From.String()+"→"+t.To.String())
	}
	return list
}

func only(t *testing.T, s *Store) Summary {
	t.Helper()
	list, _ := s.Dependencies(Selection{}, Place{}, 10)
	if len(list) != 1 {
		t.Fatalf("%d dependencies: %+v", len(list), list)
	}
	return list[0]
}

func TestTransitions(t *testing.T) {
	for name, test := range map[string]struct {
		reports [][]Fact
		want    []string
	}{
		"begins closed":            {[][]Fact{{state(Closed)}}, nil},
		"found open":               {[][]Fact{{state(Open)}}, nil},
		"opened before the first":  {[][]Fact{{state(Open), events(Opened, 1)}}, []string{"closed→open"}},
		"opens":                    {[][]Fact{{state(Closed)}, {state(Open), events(Opened, 1)}}, []string{"closed→open"}},
		"opens, told by state":     {[][]Fact{{state(Closed)}, {state(Open)}}, []string{"closed→open"}},
		"the events come first":    {[][]Fact{{state(Closed)}, {events(Opened, 1)}, {state(Open)}}, []string{"closed→open"}},
		"a whole round":            {[][]Fact{{state(Closed)}, {state(Open)}, {state(HalfOpen)}, {state(Closed)}}, []string{"closed→open", "open→half-open", "half-open→closed"}},
		"there and back":           {[][]Fact{{state(Closed)}, {state(Closed), events(Opened, 1), events(HalfOpened, 1), events(BreakerClosed, 1)}}, []string{"closed→open", "open→closed"}},
		"a probe failed":           {[][]Fact{{state(Open)}, {state(Open), events(HalfOpened, 1), events(Opened, 1)}}, []string{"open→half-open", "half-open→open"}},
		"a probe failed, and next": {[][]Fact{{state(HalfOpen)}, {state(HalfOpen), events(Opened, 1), events(HalfOpened, 1)}}, []string{"half-open→open", "open→half-open"}},
		"stays":                    {[][]Fact{{state(Open)}, {state(Open)}, {state(Open), events(RefusedOpen, 100)}}, nil},
		"told once":                {[][]Fact{{state(Closed)}, {state(Open), events(Opened, 1)}, {state(Open)}}, []string{"closed→open"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Limits{})
				for _, report := range test.reports {
					time.Sleep(5 * time.Second)
					add(s, report...)
				}
				if got := moves(s); !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestStateAndSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		add(s, state(Closed))
		time.Sleep(time.Minute)
		add(s, state(Open))
		opened := time.Now()
		time.Sleep(time.Minute)
		add(s, state(Open))
		if d := only(t, s); d.State != Open || !d.Since.Equal(opened) || !d.LastSeen.Equal(time.Now()) {
			t.Errorf("got %+v, opened at %s", d, opened)
		}
	})
}

// A measurement that is not newer than the one before is a repetition, or came late.
func TestOldMeasurementsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		old := []Fact{at(state(Closed)), at(value(OfBudget, 0.1)), at(events(Retry, 5))}
		s.AddFacts(old)
		time.Sleep(10 * time.Second)
		add(s, state(Open), value(OfBudget, 0.9), events(Retry, 7))
		s.AddFacts(old)
		d := only(t, s)
		if d.State != Open || d.Budget != 0.9 || d.Totals[Retry] != 12 {
			t.Errorf("got %+v", d)
		}
		if stats := s.Stats(); stats.Accepted != 6 || stats.Duplicates != 3 {
			t.Errorf("counted %+v", stats)
		}
	})
}

func TestGoneAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		one, two := state(Open), state(Closed)
		one.Instance, two.Instance = "1", "2"
		add(s, one, two)
		if d := only(t, s); d.State != Open || d.InState != 1 || d.Instances != 2 || d.Gone != 0 {
			t.Errorf("got %+v", d)
		}
		for range 3 {
			time.Sleep(time.Minute)
			add(s, two)
		}
		if d := only(t, s); d.State != Closed || d.InState != 1 || d.Instances != 1 || d.Gone != 1 {
			t.Errorf("the one that is gone counts: %+v", d)
		}
		time.Sleep(GoneAfter)
		if d := only(t, s); d.State != Open || d.Instances != 0 || d.Gone != 2 {
			t.Errorf("all are gone: %+v", d)
		}
		if list := s.Instances(Selection{Name: "pg"}); len(list) != 2 || !list[0].Gone || list[0].ID != "1" {
			t.Errorf("got %+v", list)
		}
		time.Sleep(droppedAfter)
		if list, _ := s.Dependencies(Selection{}, Place{}, 10); len(list) != 0 || s.Stats().Dependencies != 0 {
			t.Errorf("got %+v", list)
		}
	})
}

func TestNumbersOfManyProcesses(t *testing.T) {
	s := New(Limits{})
	for i, budget := range []float64{0.9, 0.2, 0.5} {
		for _, f := range []Fact{state(Closed), value(OfBudget, budget), value(OfInFlight, 3), value(OfLimit, 10)} {
			f.Instance = fmt.Sprint(i)
			add(s, f)
		}
	}
	without := state(Closed) // tells no numbers
	without.Instance = "none"
	add(s, without)
	if d := only(t, s); d.Budget != 0.2 || d.InFlight != 9 || d.Limit != 30 || d.Instances != 4 {
		t.Errorf("got %+v", d)
	}
}

func TestWhatIsNotToldIsNotKnown(t *testing.T) {
	s := New(Limits{})
	add(s, state(Closed), value(OfLimit, 0))
	if d := only(t, s); !math.IsNaN(d.Budget) || !math.IsNaN(d.InFlight) || !math.IsNaN(d.Limit) {
		t.Errorf("got %+v", d)
	}
	other := New(Limits{})
	add(other, value(OfBudget, 1)) // its state is still to come
	if list, _ := other.Dependencies(Selection{}, Place{}, 10); len(list) != 0 {
		t.Errorf("a dependency without a state: %+v", list)
	}
}

// Variants of a policy and services have their own lines.
func TestDependenciesAreToldApart(t *testing.T) {
	s := New(Limits{})
	for _, service := range []string{"b", "a"} {
		for _, variant := range []string{"fast", ""} {
			f := state(Closed)
			f.Service, f.Variant = service, variant
			add(s, f)
		}
	}
	var got []Place
	for place, more := (Place{}), true; more; {
		var list []Summary
		list, more = s.Dependencies(Selection{}, place, 3)
		for i := range list {
			place = list[i].Place()
			got = append(got, place)
		}
	}
	if want := []Place{{"pg", "a", ""}, {"pg", "a", "fast"}, {"pg", "b", ""}, {"pg", "b", "fast"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if list, _ := s.Dependencies(Selection{Service: "b"}, Place{}, 10); len(list) != 2 {
		t.Errorf("of b: %+v", list)
	}
}

// Property: what is steady is steady in the figures, whenever one looks and however often it is
// reported; within a minute and a bit after its end nothing is left.
func TestRatesOfTheLastMinute(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		every := time.Duration(rapid.IntRange(1, 120).Draw(rt, "seconds")) * time.Second
		perSecond := uint64(rapid.IntRange(1, 50).Draw(rt, "per second"))
		look := time.Duration(rapid.IntRange(0, 9999).Draw(rt, "ms")) * time.Millisecond
		synctest.Test(t, func(*testing.T) {
			s := New(Limits{})
			add(s, state(Closed))
			for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
				time.Sleep(every)
				f := at(events(Retry, perSecond*uint64(every/time.Second)))
				f.Start = f.End - int64(every)
				s.AddFacts([]Fact{f})
			}
			time.Sleep(min(look, every))
			list, _ := s.Dependencies(Selection{}, Place{}, 1)
			rate, want := list[0].LastMinute[Retry], float64(60*perSecond)
			grain := float64(perSecond) * (every + slotLength).Seconds() // a report and a slot more or less
			if every >= time.Minute {
				grain = want // one report a minute or less often: there is one in sight, or two, or none
			}
			if math.Abs(rate-want) > grain {
				rt.Errorf("%v a minute, want %v ± %v", rate, want, grain)
			}
			time.Sleep(time.Minute + slotLength)
			if list, _ = s.Dependencies(Selection{}, Place{}, 1); list[0].LastMinute[Retry] != 0 {
				rt.Errorf("%v a minute, a minute after the end", list[0].LastMinute[Retry])
			}
		})
	})
}

// One event a second is 60 a minute, at whatever moment one looks.
func TestRateIsThatOfSixtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		add(s, state(Closed))
		for range 200 {
			time.Sleep(time.Second)
			add(s, events(Retry, 1))
			if rate := only(t, s).LastMinute[Retry]; time.Since(s.born) > time.Minute && math.Abs(rate-60) > 1 {
				t.Fatalf("%v after %s", rate, time.Since(s.born))
			}
		}
	})
}

// A report of five minutes tells of a rate, not of a burst.
func TestRateOfALongReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		time.Sleep(5 * time.Minute)
		f := at(events(Retry, 300))
		f.Start = f.End - int64(5*time.Minute)
		s.AddFacts([]Fact{at(state(Closed)), f})
		if d := only(t, s); d.LastMinute[Retry] != 60 || d.Totals[Retry] != 300 {
			t.Errorf("got %+v", d)
		}
	})
}

func TestHistoryIsBoundedAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{Transitions: 10})
		for i := range 50 {
			time.Sleep(time.Second)
			add(s, state([]State{Closed, Open}[i%2]))
		}
		list := s.Transitions(Selection{}, 0)
		if len(list) != 10 || !list[9].At.Equal(time.Now()) {
			t.Fatalf("%d are remembered: %+v", len(list), list)
		}
		for i := range list[1:] {
			if list[i+1].Seq <= list[i].Seq || !list[i+1].At.After(list[i].At) {
				t.Errorf("out of order: %+v", list)
			}
		}
		if after := s.Transitions(Selection{}, list[6].Seq); len(after) != 3 || after[0] != list[7] {
			t.Errorf("after the seventh: %+v", after)
		}
		time.Sleep(time.Second) // a restart
		if again := New(Limits{}); again.history.last <= s.history.last {
			t.Error("after a restart numbers come again")
		}
	})
}

func TestDependenciesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{Dependencies: 8})
		for i := range 100 {
			f := state(Closed)
			f.Instance = fmt.Sprint(i)
			add(s, f)
		}
		if stats := s.Stats(); stats.Dependencies != 8 || stats.Refused != 92 {
			t.Errorf("got %+v", stats)
		}
		time.Sleep(GoneAfter)
		f := state(Closed)
		f.Instance = "new"
		add(s, f)
		if list := s.Instances(Selection{}); len(list) != 1 || list[0].ID != "new" {
			t.Errorf("who is gone made no room: %+v", list)
		}
	})
}

// The defaults hold what [Limits] says they take.
func TestMemoryOfAFullStore(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	name := func(i int) string { return fmt.Sprintf("%0200d", i) }
	before := heap()
	s := New(Limits{})
	now := time.Now().UnixNano()
	for i := range s.limits.Points + 10 {
		for j := range s.limits.Presences/s.limits.Points + 1 {
			s.AddFacts([]Fact{{Kind: OfPoint, Name: name(i), Service: name(j), End: now}})
		}
	}
	for i := range s.limits.Dependencies + 10 {
		s.AddFacts([]Fact{{Kind: OfState, Name: name(i), Service: name(i), Instance: name(i), Variant: name(i), End: now}})
	}
	took := float64(heap()-before) / (1 << 20)
	stats := s.Stats()
	if stats.Dependencies != s.limits.Dependencies || s.presences != s.limits.Presences || stats.Refused == 0 {
		t.Errorf("it is not full: %+v, %d presences", stats, s.presences)
	}
	if took > 50 {
		t.Errorf("it takes %.1f MB", took)
	}
	t.Logf("full, it takes %.1f MB", took)
	runtime.KeepAlive(s)
}

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := New(Limits{Points: 50, Dependencies: 50})
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			for n := range 200 {
				f := state(State(n % 3))
				f.Instance = fmt.Sprint(i)
				add(s, f, events(Opened, 1), point(fmt.Sprint(n)))
			}
		})
		work.Go(func() {
			for range 200 {
				all(s)
				s.Dependencies(Selection{}, Place{}, 10)
				s.Transitions(Selection{}, 0)
				s.Point("1")
				s.Stats()
			}
		})
	}
	work.Wait()
	if stats := s.Stats(); stats.Accepted+stats.Duplicates+stats.Refused != 4*200*3 {
		t.Errorf("facts are not all counted: %+v", stats)
	}
}

func TestNamesOfEvents(t *testing.T) {
	for e := range Event(Events) {
		if again, ok := EventOf(e.String()); !ok || again != e {
			t.Errorf("%s is read as %s", e, again)
		}
	}
	if _, ok := EventOf("teleported"); ok || !strings.HasPrefix(Event(99).String(), "Event(") || State(9).String() != "State(9)" {
		t.Error("there are events or states that do not exist")
	}
}
