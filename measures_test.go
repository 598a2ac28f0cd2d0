package seatrial

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/otlp"
	"pgregory.net/rapid"
)

var countedEvents = []flag.Event{
	{Name: "purchase", Count: flag.CountUnits}, {Name: "refund", Count: flag.CountRequests}, {Name: "basket", Count: flag.CountValues},
}

// countingSet is a state with flag "f" under a trial that counts events.
func countingSet(revision int64, events ...flag.Event) flag.Set {
	f := release("f")
	a := trialOn(f, 0, 50)
	a.Events = events
	return setAt(revision, f, a)
}

const countingVersion = "f-trial.1.0"

// collect gives a receiver with the accumulator behind it, as the server has them.
func collect(t testing.TB) (*otlp.Receiver, *intervals.Accumulator) {
	t.Helper()
	a := intervals.New(intervals.Limits{})
	if err := a.Expect("f-trial", countingVersion); err != nil {
		t.Fatal(err)
	}
	return otlp.NewReceiver(otlp.Config{Outcomes: a}), a
}

// post sends a report as the client does.
func post(t testing.TB, r *otlp.Receiver, body []byte) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/v1/metrics", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "gzip")
	res := httptest.NewRecorder()
	r.ServeMetrics(res, req)
	if n, why := partialSuccess(res.Body.Bytes()); res.Code != http.StatusOK || n > 0 {
		t.Fatalf("report answered %d: %d points rejected: %s", res.Code, n, why)
	}
}

// drain takes the reports that wait, as the plane would get them.
func drain(c *Client) [][]byte {
	c.reports.mu.Lock()
	defer c.reports.mu.Unlock()
	bodies := c.reports.queue
	c.reports.queue = nil
	return bodies
}

// people is the model: what each user has done, by name, without any of the client's means.
type people struct {
	bought map[string]bool
	active map[string]bool // since the last flush
	arms   [arms]map[string]outcome.Measure
}

func (p *people) add(a arm, m outcome.Measure) {
	sum := p.arms[a][m.Name]
	p.arms[a][m.Name] = outcome.Measure{Name: m.Name, Of: sum.Of + m.Of, Bad: sum.Bad + m.Bad, Sum: sum.Sum + m.Sum, SumSquares: sum.SumSquares + m.SumSquares}
}

// worked notes a unit of work and what it tracked.
func (p *people) worked(a arm, user string, tracked map[string][]float64) {
	b2n := map[bool]uint64{true: 1}
	_, buys := tracked["purchase"]
	p.add(a, outcome.Measure{Name: "purchase", Of: b2n[!p.active[user] && !p.bought[user]], Bad: b2n[buys && !p.bought[user]]})
	p.active[user] = true
	p.bought[user] = p.bought[user] || buys
	_, refunds := tracked["refund"]
	p.add(a, outcome.Measure{Name: "refund", Of: 1, Bad: b2n[refunds]})
	sum, seen := 0.0, false
	for _, v := range tracked["basket"] {
		if !math.IsNaN(v) && math.Abs(v) <= 1e12 {
			sum, seen = sum+v, true
		}
	}
	if seen && math.Abs(sum) <= 1e12 {
		p.add(a, outcome.Measure{Name: "basket", Of: 1, Sum: sum, SumSquares: sum * sum})
	}
}

// What the server counts is what happened: from Track over OTLP to the arms, with reports sent
// twice, and values that cannot be.
func TestTrackedEventsArriveAsTheModelSays(t *testing.T) {
	names := []string{"purchase", "refund", "basket", "nobody counts this"}
	rapid.Check(t, func(rt *rapid.T) {
		c := connected(t, countingSet(1, countedEvents...))
		receiver, counts := collect(t)
		model := people{bought: map[string]bool{}, active: map[string]bool{}, arms: [arms]map[string]outcome.Measure{{}, {}}}
		flush := func() {
			c.flush(false)
			for _, body := range drain(c) {
				for range rapid.IntRange(1, 2).Draw(rt, "sent") {
					post(t, receiver, body)
				}
			}
			model.active = map[string]bool{}
		}
		for range rapid.IntRange(0, 60).Draw(rt, "works") {
			if rapid.IntRange(0, 9).Draw(rt, "flush") == 0 {
				flush()
			}
			user := fmt.Sprint("user-", rapid.IntRange(0, 7).Draw(rt, "user"))
			ctx, w := c.Begin(WithContext(context.Background(), NewContext(user)))
			c.Bool(ctx, "f", false)
			tracked := map[string][]float64{}
			for range rapid.IntRange(0, 4).Draw(rt, "tracked") {
				name := rapid.SampledFrom(names).Draw(rt, "name")
				v := rapid.OneOf(rapid.Map(rapid.IntRange(-50, 50), func(n int) float64 { return float64(n) / 4 }),
					rapid.SampledFrom([]float64{math.NaN(), math.Inf(-1), 1e13, 1 << 20})).Draw(rt, "value") // squares add up without rounding
				tracked[name] = append(tracked[name], v)
				c.Track(ctx, name, v)
			}
			if len(w.exposures) == 1 {
				model.worked(w.exposures[0].arm, user, tracked)
			}
			w.End(nil)
			c.Track(ctx, "purchase", 1) // too late
		}
		flush()
		got := [arms]outcome.Arm{}
		closed := counts.Close("f-trial", countingVersion)
		got[treatment], got[control] = closed.Treatment, closed.Control
		for a := range arms {
			arrived := map[string]outcome.Measure{}
			for _, m := range got[a].Measures {
				arrived[m.Name] = m
			}
			for name, m := range model.arms[a] {
				if m.Of == 0 {
					delete(model.arms[a], name)
				}
			}
			if !reflect.DeepEqual(arrived, model.arms[a]) {
				rt.Fatalf("%s: counted %+v\nwant %+v", a.name(), arrived, model.arms[a])
			}
		}
	})
}

// Many goroutines work, track and flush at once: nothing is lost or counted twice.
func TestTrackedEventsUnderConcurrency(t *testing.T) {
	c := connected(t, countingSet(1, countedEvents...))
	receiver, counts := collect(t)
	const workers, users, each = 8, 20, 400
	var working, flushing sync.WaitGroup
	var mu sync.Mutex
	var want [arms]struct{ works, buyers, refunds, baskets, sum, squares float64 }
	for g := range workers {
		working.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			bought := map[string]bool{}
			for range each {
				user := fmt.Sprint("user-", g, "-", random.IntN(users))
				ctx, w := c.Begin(WithContext(context.Background(), NewContext(user)))
				c.Bool(ctx, "f", false)
				a := w.exposures[0].arm
				buys, refunds, basket := random.IntN(9) == 0, random.IntN(9) == 0, float64(random.IntN(100)-30)
				var inner sync.WaitGroup // one unit of work tracks from several goroutines
				if buys {
					inner.Go(func() { c.Track(ctx, "purchase", 1) })
				}
				inner.Go(func() { c.Track(ctx, "basket", basket) })
				inner.Go(func() { c.Track(ctx, "basket", 2) })
				inner.Wait()
				if refunds {
					c.Track(ctx, "refund", -1)
				}
				w.End(nil)
				mu.Lock()
				n := &want[a]
				n.works++
				n.baskets++
				n.sum += basket + 2
				n.squares += (basket + 2) * (basket + 2)
				if buys && !bought[user] {
					n.buyers++
				}
				if refunds {
					n.refunds++
				}
				mu.Unlock()
				bought[user] = bought[user] || buys
			}
		})
	}
	done := make(chan struct{})
	flushing.Go(func() {
		for over := false; !over; {
			select {
			case <-done:
				over = true
			default:
			}
			c.flush(false)
			for _, body := range drain(c) {
				post(t, receiver, body)
			}
		}
	})
	working.Wait()
	close(done)
	flushing.Wait()
	got := [arms]outcome.Arm{}
	closed := counts.Close("f-trial", countingVersion)
	got[treatment], got[control] = closed.Treatment, closed.Control
	for a := range arms {
		n, list := want[a], got[a].Measures
		purchase, refund, basket := outcome.FindMeasure(list, "purchase"), outcome.FindMeasure(list, "refund"), outcome.FindMeasure(list, "basket")
		if float64(got[a].Requests) != n.works || float64(refund.Of) != n.works || float64(refund.Bad) != n.refunds {
			t.Errorf("%s: %d requests, refunds %+v, want %+v", a.name(), got[a].Requests, refund, n)
		}
		if float64(basket.Of) != n.baskets || basket.Sum != n.sum || basket.SumSquares != n.squares {
			t.Errorf("%s: baskets %+v, want %+v", a.name(), basket, n)
		}
		if float64(purchase.Bad) != n.buyers || purchase.Of < purchase.Bad || float64(purchase.Of) > n.works {
			t.Errorf("%s: purchases %+v, want %+v", a.name(), purchase, n)
		}
	}
}

// A unit of work that meets the trial after it tracked counts too; one that meets none does not.
func TestTrackBeforeTheTrialIsMet(t *testing.T) {
	c := connected(t, countingSet(1, countedEvents...))
	ctx, w := c.Begin(WithContext(context.Background(), NewContext("u")))
	c.Track(ctx, "purchase", 1)
	c.Bool(ctx, "f", false)
	w.End(nil)
	ctx, w = c.Begin(WithContext(context.Background(), NewContext("u")))
	c.Track(ctx, "purchase", 1)
	w.End(nil)
	r := c.outcomes.take(time.Now())
	if len(r.series) != 1 || len(encodeReport(&c.reports.identity, &r)) == 0 {
		t.Fatalf("%d series", len(r.series))
	}
	m := append(r.series[0].measures[treatment], r.series[0].measures[control]...)[0]
	if want := (outcome.Measure{Name: "purchase", Of: 1, Bad: 1}); m != want {
		t.Errorf("counted %+v, want %+v", m, want)
	}
}

func TestTrackedNamesAreBounded(t *testing.T) {
	var parts []any
	for i := range 10 {
		f := release(fmt.Sprint("f", i))
		a := trialOn(f, 0, 50)
		for j := range flag.MaxEvents {
			a.Events = append(a.Events, flag.Event{Name: fmt.Sprint("event ", i, " ", j), Count: flag.CountValues})
		}
		parts = append(parts, f, a)
	}
	c := connected(t, setAt(1, parts...))
	ctx, w := c.Begin(WithContext(context.Background(), NewContext("u")))
	for i := range 10 {
		c.Bool(ctx, fmt.Sprint("f", i), false)
		for j := range flag.MaxEvents {
			c.Track(ctx, fmt.Sprint("event ", i, " ", j), 1)
		}
	}
	w.End(nil)
	if got := c.Status().Unusable; got != 160-maxTracked || len(w.tracked) != maxTracked {
		t.Errorf("%d are kept and %d left out", len(w.tracked), got)
	}
}

// Reports stay of a size that receivers take, and hold everything.
func TestChunks(t *testing.T) {
	one := func(measures int) seriesReport {
		return seriesReport{measures: [arms][]outcome.Measure{make([]outcome.Measure, measures), make([]outcome.Measure, measures)}}
	}
	for name, list := range map[string][]seriesReport{
		"nothing": nil, "few": {one(0), one(3)}, "many": make([]seriesReport, 2*maxSeries+1),
		"with many events": func() (list []seriesReport) {
			for range 700 {
				list = append(list, one(16))
			}
			return list
		}(),
	} {
		n := 0
		for part := range chunks(list) {
			counted := 0
			for i := range part {
				counted += 2 * len(part[i].measures[0])
			}
			if n += len(part); len(part) == 0 || len(part) > maxSeries || counted > maxCounted+2*flag.MaxEvents {
				t.Errorf("%s: a part of %d series with %d events", name, len(part), counted)
			}
		}
		if n != len(list) {
			t.Errorf("%s: %d of %d series", name, n, len(list))
		}
	}
}

// The largest report stays below what receivers take.
func TestLargestReportFits(t *testing.T) {
	long := strings.Repeat("n", 128)
	s := seriesReport{variants: [arms]string{long, long}}
	s.ref.Flag, s.ref.Trial, s.ref.Version = long, long, long
	for a := range arms {
		s.arms[a].Requests = 1
		for range flag.MaxEvents {
			s.measures[a] = append(s.measures[a], outcome.Measure{Name: strings.Repeat("e", flag.MaxMember), Of: 1})
		}
	}
	for range flag.MaxEvents {
		s.events = append(s.events, flag.Event{Count: flag.CountValues})
	}
	r := &report{to: time.Now()}
	for range maxCounted/(2*flag.MaxEvents) + 1 {
		r.series = append(r.series, s)
	}
	if n := len(encodeReport(&identity{}, r)); n > otlp.DefaultMaxBody {
		t.Errorf("%d bytes, receivers take %d", n, otlp.DefaultMaxBody)
	}
}

func BenchmarkTrack(b *testing.B) {
	c := connected(b, countingSet(1, countedEvents...))
	ctx, w := c.Begin(WithContext(context.Background(), NewContext("u")))
	c.Bool(ctx, "f", false)
	for _, name := range []string{"basket", "nobody counts this"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Track(ctx, name, 1.5)
			}
		})
	}
	w.End(nil)
	b.Run("unit of work", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, w := c.Begin(ctx)
			c.Bool(ctx, "f", false)
			c.Track(ctx, "purchase", 1)
			c.Track(ctx, "basket", 2)
			w.End(nil)
		}
	})
}
