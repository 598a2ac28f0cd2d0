package fleet

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// at gives a fact about the last second, as a process with the right time would.
func at(f Fact) Fact {
	f.End = time.Now().UnixNano()
	f.Start = f.End - int64(time.Second)
	if f.Service == "" {
		f.Service = "shop"
	}
	if f.Instance == "" {
		f.Instance = "i"
	}
	return f
}

func add(s *Store, facts ...Fact) {
	for i := range facts {
		facts[i] = at(facts[i])
	}
	s.AddFacts(facts)
}

func point(name string, change ...func(*Fact)) Fact {
	f := Fact{Kind: OfPoint, Name: name, Allowed: true, Traffic: true}
	for _, c := range change {
		c(&f)
	}
	return f
}

func denied(f *Fact) { f.Allowed = false }
func quiet(f *Fact)  { f.Traffic = false }
func of(service, instance string) func(*Fact) {
	return func(f *Fact) { f.Service, f.Instance = service, instance }
}

func names(list []Point) (names []string) {
	for _, p := range list {
		names = append(names, p.Name)
	}
	return names
}

func all(s *Store) []Point { list, _ := s.Points("", "", 1000); return list }

func TestAPointIsKnownWithItsLastTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		began := time.Now()
		add(s, point("pay"))
		time.Sleep(10 * time.Minute)
		add(s, point("pay", quiet))
		seen, traffic, allowed, ok := s.Point("pay")
		if !ok || !allowed || !seen.Equal(time.Now()) || !traffic.Equal(began) {
			t.Errorf("seen %s, traffic %s, allowed %v, known %v", seen, traffic, allowed, ok)
		}
		if _, _, _, ok := s.Point("pray"); ok || len(s.Names()) != 1 {
			t.Errorf("there is a point that nobody reported: %v", s.Names())
		}
	})
}

func TestAPointIsForgottenAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		add(s, point("pay", of("shop", "1")), point("pay", of("admin", "1")))
		time.Sleep(time.Hour)
		add(s, point("pay", of("shop", "1")))
		time.Sleep(23*time.Hour - time.Second)
		if list := all(s); len(list) != 1 || len(list[0].Services) != 2 {
			t.Fatalf("got %+v", list)
		}
		time.Sleep(time.Second) // a day after the only word of admin
		if list := all(s); len(list) != 1 || len(list[0].Services) != 1 || list[0].Services[0].Name != "shop" {
			t.Errorf("got %+v", list)
		}
		time.Sleep(time.Hour)
		if _, _, _, ok := s.Point("pay"); ok || len(all(s)) != 0 || len(s.Names()) != 0 || s.Stats().Points != 0 {
			t.Errorf("after a day without word there is %+v", all(s))
		}
	})
}

// Who reports late tells of the past: a queue that waited for the server is no traffic of now.
func TestLateWordIsNoTrafficOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		late := at(point("pay"))
		time.Sleep(20 * time.Minute)
		s.AddFacts([]Fact{late})
		if _, traffic, _, ok := s.Point("pay"); !ok || time.Since(traffic) != 20*time.Minute {
			t.Errorf("traffic %s ago", time.Since(traffic))
		}
		ahead := at(point("pay"))
		ahead.End += int64(time.Hour)
		s.AddFacts([]Fact{ahead})
		if seen, traffic, _, _ := s.Point("pay"); time.Since(seen) != 0 || time.Since(traffic) != 0 {
			t.Errorf("a clock that is an hour ahead gave traffic in %s", -time.Since(traffic))
		}
		s.AddFacts([]Fact{late})
		if _, traffic, _, _ := s.Point("pay"); time.Since(traffic) != 0 {
			t.Error("an old word took a new one back")
		}
		ancient := late
		ancient.Name, ancient.End = "old", late.End-int64(25*time.Hour)
		s.AddFacts([]Fact{ancient})
		if stats := s.Stats(); stats.Points != 1 || stats.Duplicates != 1 {
			t.Errorf("a word of yesterday made a point: %+v", stats)
		}
	})
}

func TestPermission(t *testing.T) {
	for name, test := range map[string]struct {
		facts []Fact
		want  Permission
	}{
		"all":             {[]Fact{point("p", of("a", "1")), point("p", of("b", "1"))}, Allowed},
		"none":            {[]Fact{point("p", denied, of("a", "1")), point("p", denied, of("b", "1"))}, Denied},
		"one service":     {[]Fact{point("p", of("a", "1")), point("p", denied, of("b", "1"))}, Partly},
		"one process":     {[]Fact{point("p", of("a", "1")), point("p", denied, of("a", "2"))}, Partly},
		"one of two, two": {[]Fact{point("p", denied, of("a", "1")), point("p", of("a", "2")), point("p", denied, of("a", "1"))}, Partly},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Limits{})
			add(s, test.facts...)
			if got := all(s)[0]; got.Faults() != test.want {
				t.Errorf("%s, want %s", got.Faults(), test.want)
			}
			if _, _, allowed, _ := s.Point("p"); allowed != (test.want != Denied) {
				t.Errorf("allowed is %v", allowed)
			}
		})
	}
}

// A process that was replaced by one with another permission no longer counts after 3 minutes.
func TestPermissionOfLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{})
		add(s, point("p", of("a", "old")))
		for range 3 {
			time.Sleep(time.Minute)
			add(s, point("p", denied, of("a", "new")))
		}
		if got := all(s)[0].Faults(); got != Denied {
			t.Errorf("%s, 3 minutes after the last process that allowed it", got)
		}
	})
}

func TestPointsOfAService(t *testing.T) {
	s := New(Limits{})
	add(s, point("a", of("x", "1")), point("b", of("y", "1")), point("c", of("x", "1")), point("c", of("y", "1")))
	list, more := s.Points("x", "", 10)
	if !reflect.DeepEqual(names(list), []string{"a", "c"}) || more || len(list[1].Services) != 1 {
		t.Errorf("got %+v, more %v", list, more)
	}
	if list, more = s.Points("", "a", 1); !reflect.DeepEqual(names(list), []string{"b"}) || !more {
		t.Errorf("got %+v, more %v", list, more)
	}
	if list, more = s.Points("", "b", 1); !reflect.DeepEqual(names(list), []string{"c"}) || more {
		t.Errorf("got %+v, more %v", list, more)
	}
}

// Property: pages of any size, one after the other, give every point once and in order.
func TestPagesOfPoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(Limits{})
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[a-c]{1,3}`), 0, 20).Draw(t, "names") {
			add(s, point(name))
		}
		limit := rapid.IntRange(1, 7).Draw(t, "limit")
		var got []string
		for after, more := "", true; more; {
			var list []Point
			if list, more = s.Points("", after, limit); len(list) > 0 {
				after = list[len(list)-1].Name
			}
			got = append(got, names(list)...)
		}
		if want := s.Names(); !reflect.DeepEqual(got, want) && len(want) > 0 {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestPointsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{Points: 5, Services: 3, Presences: 12})
		for i := range 100 {
			add(s, point(fmt.Sprint(i)))
		}
		if stats := s.Stats(); stats.Points != 5 || stats.Accepted != 5 || stats.Refused != 95 {
			t.Errorf("after 100 points: %+v", stats)
		}
		for i := range 100 {
			add(s, point("0", of(fmt.Sprint(i), "1")), point("1", of(fmt.Sprint(i), "1")), point("2", of(fmt.Sprint(i), "1")), point("3", of(fmt.Sprint(i), "1")))
		}
		if list := all(s); len(list) != 5 || len(list[0].Services) != 3 || s.presences != 12 {
			t.Errorf("%d presences, %+v", s.presences, list)
		}
		time.Sleep(GoneAfter) // who is gone makes room
		add(s, point("new"))
		if !reflect.DeepEqual(s.Names(), []string{"new"}) {
			t.Errorf("got %v", s.Names())
		}
	})
}

// What is kept does not hold the report it came in.
func TestStringsAreCopied(t *testing.T) {
	body := []byte("paypal-shop-one-pg-fast")
	text := string(body)
	part := func(from, to int) string { return text[from:to] }
	s := New(Limits{})
	add(s, Fact{Kind: OfPoint, Name: part(0, 6), Service: part(7, 11)},
		Fact{Kind: OfState, Name: part(16, 18), Service: part(7, 11), Instance: part(12, 15), Variant: part(19, 23)})
	inside := func(kept string) bool { return strings.Contains(text, kept) && sameMemory(text, kept) }
	for name, services := range s.points {
		for service := range services {
			if inside(name) || inside(service) {
				t.Errorf("point %s of %s holds its report", name, service)
			}
		}
	}
	for k := range s.dependencies {
		for _, kept := range []string{k.name, k.service, k.instance, k.variant} {
			if inside(kept) {
				t.Errorf("%s holds its report", kept)
			}
		}
	}
}
