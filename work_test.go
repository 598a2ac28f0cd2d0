package seatrial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"pgregory.net/rapid"
)

// arrived is what all reports that a plane took say of one arm of a version.
type arrived struct {
	Requests, Bad, New, AtRisk, BadUnits uint64
}

// outcomesOf adds up reports, by version and arm.
func outcomesOf(reports []*collector.ExportMetricsServiceRequest) map[string]arrived {
	sums := map[string]arrived{}
	add := func(attributes []*common.KeyValue, change func(a *arrived, state string)) {
		values := map[string]string{}
		for _, a := range attributes {
			values[a.Key] = a.Value.GetStringValue()
		}
		key := values[outcome.AttrVersion] + " " + values[outcome.AttrArm]
		sum := sums[key]
		change(&sum, values[outcome.AttrUnitState])
		sums[key] = sum
	}
	for _, r := range reports {
		for _, m := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			if !strings.HasPrefix(m.Name, "seatrial.outcome.") {
				continue
			}
			for _, p := range m.GetExponentialHistogram().GetDataPoints() {
				add(p.Attributes, func(a *arrived, _ string) { a.Requests += p.Count })
			}
			for _, p := range m.GetSum().GetDataPoints() {
				add(p.Attributes, func(a *arrived, state string) {
					n := uint64(p.GetAsInt())
					switch {
					case m.Name == outcome.MetricBad:
						a.Bad += n
					case state == outcome.UnitNew:
						a.New += n
					case state == outcome.UnitAtRisk:
						a.AtRisk += n
					case state == outcome.UnitBad:
						a.BadUnits += n
					}
				})
			}
		}
	}
	return sums
}

// arrivedAt flushes the client and gives what the plane has got so far.
func (p *plane) arrivedAt(c *Client) map[string]arrived {
	p.t.Helper()
	if err := c.Flush(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	taken, _ := p.reports()
	return outcomesOf(taken)
}

func (p *plane) wantArrived(c *Client, want map[string]arrived) {
	p.t.Helper()
	got := p.arrivedAt(c)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("arrived: %+v\nwant %+v", got, want)
	}
}

// trialSet is a state with flag "f" under trial, and another under none.
func trialSet(revision int64, step int) flag.Set {
	f := release("f")
	return setAt(revision, f, trialOn(f, step, 50), release("plain"))
}

const (
	inTreatment = "f-trial.1.0 treatment"
	inControl   = "f-trial.1.0 control"
)

func TestUnitOfWork(t *testing.T) {
	tests := map[string]struct {
		run  func(c *Client, in, out context.Context) // contexts of a unit in treatment, in control
		want map[string]arrived
	}{
		"no evaluation": {
			run:  func(c *Client, in, _ context.Context) { _, w := c.Begin(in); w.End(nil) },
			want: nil,
		},
		"flag without trial": {
			run: func(c *Client, in, _ context.Context) { ctx, w := c.Begin(in); c.Bool(ctx, "plain", false); w.End(nil) },
		},
		"outside a unit of work": {
			run: func(c *Client, in, _ context.Context) { c.Bool(in, "f", false) },
		},
		"good, treatment": {
			run:  func(c *Client, in, _ context.Context) { ctx, w := c.Begin(in); c.Bool(ctx, "f", false); w.End(nil) },
			want: map[string]arrived{inTreatment: {Requests: 1, New: 1, AtRisk: 1}},
		},
		"good, control": {
			run:  func(c *Client, _, out context.Context) { ctx, w := c.Begin(out); c.Bool(ctx, "f", false); w.End(nil) },
			want: map[string]arrived{inControl: {Requests: 1, New: 1, AtRisk: 1}},
		},
		"bad by error": {
			run: func(c *Client, in, _ context.Context) {
				ctx, w := c.Begin(in)
				c.Bool(ctx, "f", false)
				w.End(errors.New("no"))
			},
			want: map[string]arrived{inTreatment: {Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1}},
		},
		"bad by Fail": {
			run: func(c *Client, in, _ context.Context) {
				ctx, w := c.Begin(in)
				c.Bool(ctx, "f", false)
				w.Fail()
				w.End(nil)
			},
			want: map[string]arrived{inTreatment: {Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1}},
		},
		"cancelled by the caller": {
			run: func(c *Client, in, _ context.Context) {
				outer, cancel := context.WithCancel(in)
				ctx, w := c.Begin(outer)
				c.Bool(ctx, "f", false)
				cancel()
				w.End(fmt.Errorf("wrapped: %w", ctx.Err()))
			},
			want: map[string]arrived{inTreatment: {Requests: 1, New: 1, AtRisk: 1}},
		},
		"cancelled by ourselves": {
			run: func(c *Client, in, _ context.Context) {
				ctx, w := c.Begin(in)
				c.Bool(ctx, "f", false)
				w.End(context.Canceled)
			},
			want: map[string]arrived{inTreatment: {Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1}},
		},
		"once, however often evaluated and ended": {
			run: func(c *Client, in, _ context.Context) {
				ctx, w := c.Begin(in)
				handle := c.BoolFlag("f", false)
				for range 10 {
					c.Bool(ctx, "f", false)
					handle.Get(ctx)
				}
				w.End(nil)
				w.End(errors.New("too late"))
				c.Bool(ctx, "f", false)
			},
			want: map[string]arrived{inTreatment: {Requests: 1, New: 1, AtRisk: 1}},
		},
		"evaluation context inside": {
			run: func(c *Client, in, _ context.Context) {
				user, _ := FromContext(in)
				ctx, w := c.Begin(context.Background())
				c.Bool(WithContext(ctx, user), "f", false)
				w.End(nil)
			},
			want: map[string]arrived{inTreatment: {Requests: 1, New: 1, AtRisk: 1}},
		},
		"mixed arms": {
			run: func(c *Client, in, out context.Context) {
				user, _ := FromContext(out)
				ctx, w := c.Begin(in)
				c.Bool(ctx, "f", false)
				c.Bool(WithContext(ctx, user), "f", false)
				c.Bool(ctx, "f", false)
				w.End(nil)
				if got := c.Status().Mixed; got != 1 {
					panic(fmt.Sprint("Mixed = ", got))
				}
			},
		},
		"nested": {
			run: func(c *Client, in, _ context.Context) {
				outer, w := c.Begin(in)
				inner, v := c.Begin(outer)
				c.Bool(inner, "f", false)
				v.End(errors.New("inner"))
				w.End(nil)
			},
			want: map[string]arrived{inTreatment: {Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1}},
		},
		"unit of another client": {
			run: func(c *Client, in, _ context.Context) {
				other, err := Open(in, WithServer(c.config.server), WithKey("key"), WithHTTPClient(c.config.http))
				if err != nil {
					panic(err)
				}
				defer other.Close(in)
				ctx, w := other.Begin(in)
				c.Bool(ctx, "f", false)
				w.End(nil)
			},
		},
		"a unit at risk once per epoch, bad once ever": {
			run: func(c *Client, in, _ context.Context) {
				request := func(err error) {
					ctx, w := c.Begin(in)
					c.Bool(ctx, "f", false)
					w.End(err)
				}
				request(nil)
				request(nil)
				c.flush(false)
				request(nil)
				request(errors.New("no"))
				request(errors.New("no"))
				c.flush(false)
				request(errors.New("no"))
				request(nil)
			},
			want: map[string]arrived{inTreatment: {Requests: 7, Bad: 3, New: 1, AtRisk: 2, BadUnits: 1}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane(t, trialSet(1, 0))
				c := p.open()
				in := WithContext(t.Context(), NewContext(userIn(t, c, "f", treatment)))
				out := WithContext(t.Context(), NewContext(userIn(t, c, "f", control)))
				test.run(c, in, out)
				p.wantArrived(c, test.want)
			})
		})
	}
}

// Under a new step the outcome belongs to the step that was met; what ends late no longer counts
// units, so that no unit is at risk under one step and bad under another.
func TestStepChangesDuringWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, trialSet(1, 0))
		c := p.open()
		user := NewContext(userIn(t, c, "f", treatment))
		ctx, early := c.Begin(WithContext(t.Context(), user))
		c.Bool(ctx, "f", false)
		p.publish(trialSet(2, 1))
		if err := c.WaitRevision(ctx, 2); err != nil {
			t.Fatal(err)
		}
		ctx, late := c.Begin(WithContext(t.Context(), user))
		c.Bool(ctx, "f", false)
		early.End(errors.New("no"))
		late.End(errors.New("no"))
		p.wantArrived(c, map[string]arrived{
			"f-trial.1.0 treatment": {Requests: 1, Bad: 1},
			"f-trial.1.1 treatment": {Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1},
		})
	})
}

// An evaluation in a snapshot that was just replaced may be the first of its trial. The units of
// the version in force must be counted all the same.
func TestOldSnapshotFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, trialSet(1, 0))
		c := p.open()
		old := c.current.Load()
		user := userIn(t, offline(t, trialSet(1, 0)), "f", treatment)
		p.publish(trialSet(2, 1))
		if err := c.WaitRevision(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		ctx, w := c.Begin(WithContext(t.Context(), NewContext(user)))
		settle(c, ctx, old, old.flags.Flag("f"), false, boolOf, &eval.Result{})
		c.Bool(ctx, "f", false)
		w.End(nil)
		p.wantArrived(c, map[string]arrived{
			"f-trial.1.0 treatment": {Requests: 1},
			"f-trial.1.1 treatment": {Requests: 1, New: 1, AtRisk: 1},
		})
	})
}

// The counts that arrive are those of a model that remembers every unit by name, in any order of
// requests, flushes and steps, over all shards.
func TestOutcomesCountAsTheModel(t *testing.T) {
	users := make([]string, 20)
	for i := range users {
		users[i] = fmt.Sprint("user-", i)
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := newOutcomes(time.Now())
		models := map[string]*model{}
		want := map[string]arrived{}
		var got []seriesReport
		var snapshots []*snapshot
		for step := range 3 {
			s, err := newSnapshot(trialSet(int64(step+1), step))
			if err != nil {
				rt.Fatal(err)
			}
			snapshots = append(snapshots, s)
		}
		step := 0
		o.setLive(&snapshots[0].set)
		for range rapid.IntRange(1, 100).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				got = append(got, o.take(time.Now()).series...)
				for _, m := range models {
					m.nextEpoch()
				}
				continue
			case 1:
				if step < 2 {
					step++
					o.setLive(&snapshots[step].set)
					for _, m := range models {
						m.nextEpoch()
					}
				}
				continue
			}
			user := rapid.SampledFrom(users).Draw(rt, "user")
			bad := rapid.IntRange(0, 4).Draw(rt, "bad") == 0
			core := NewContext(user).core
			r := snapshots[step].flags.Flag("f").Evaluate(&core)
			if r.Role == 0 {
				continue
			}
			a := armOf(r.Role)
			o.seriesOf(snapshots[step], r.Trial).record(a, user, &observation{seconds: 1, bad: bad})
			m := models["f"]
			if m == nil {
				m = newModel()
				models["f"] = m
			}
			s := m.see(user, bad, 0)
			key := r.Trial.Version + " " + a.name()
			w := want[key]
			w.add(s, bad)
			want[key] = w
		}
		got = append(got, o.take(time.Now()).series...)
		sums := map[string]arrived{}
		for i := range got {
			for a := range arms {
				n := &got[i].arms[a]
				if n.Requests == 0 {
					continue
				}
				key := got[i].ref.Version + " " + a.name()
				sum := sums[key]
				sums[key] = arrived{sum.Requests + n.Requests, sum.Bad + n.Bad, sum.New + n.NewUnits, sum.AtRisk + n.AtRiskUnits, sum.BadUnits + n.BadUnits}
			}
		}
		if fmt.Sprint(sums) != fmt.Sprint(want) {
			rt.Fatalf("counted %+v\nwant %+v", sums, want)
		}
	})
}

func (a *arrived) add(s sighting, bad bool) {
	a.Requests++
	for _, count := range []struct {
		n   *uint64
		yes bool
	}{{&a.Bad, bad}, {&a.New, s.isNew}, {&a.AtRisk, s.atRisk}, {&a.BadUnits, s.firstBad}} {
		if count.yes {
			*count.n++
		}
	}
}

// Many goroutines evaluate, work and flush while states change; nothing is counted twice or lost.
func TestConcurrentWork(t *testing.T) {
	p := newPlane(t, trialSet(1, 0))
	c := p.open()
	const workers, each = 8, 200
	var wg sync.WaitGroup
	var want sync.Map
	for g := range workers {
		wg.Go(func() {
			n := 0
			for i := range each {
				ctx, w := c.Begin(WithContext(t.Context(), NewContext(fmt.Sprint("user-", g, "-", i))))
				c.Bool(ctx, "f", false)
				if e := c.BoolDetails(ctx, "f", false); e.Metadata.Trial != "" {
					n++
				}
				w.End(nil)
			}
			want.Store(g, n)
		})
	}
	wg.Go(func() {
		for i := range 5 {
			p.publish(trialSet(int64(i+2), i%2))
			c.flush(false)
			c.Status()
		}
	})
	wg.Wait()
	total := 0
	for g := range workers {
		n, _ := want.Load(g)
		total += n.(int)
	}
	requests := 0
	for _, a := range p.arrivedAt(c) {
		requests += int(a.Requests)
	}
	// A unit of work whose two evaluations straddle a step counts once for each step.
	if requests < total || requests > total+workers*5 {
		t.Errorf("%d outcomes arrived of %d", requests, total)
	}
	if s := c.Status(); s.Mixed != 0 || s.ReportsDropped != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestMixedBelongsToOneTrialOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := release("f"), release("g")
		p := newPlane(t, setAt(1, f, g, trialOn(f, 0, 50), trialOn(g, 0, 50)))
		c := p.open()
		in, out := userIn(t, c, "f", treatment), userIn(t, c, "f", control)
		ctx, w := c.Begin(t.Context())
		one, other := WithContext(ctx, NewContext(in)), WithContext(ctx, NewContext(out))
		c.Bool(one, "f", false)
		c.Bool(other, "f", false)
		c.Bool(one, "g", false)
		w.End(nil)
		got := p.arrivedAt(c)
		keys := slices.Collect(func(yield func(string) bool) {
			for k := range got {
				if !yield(k[:2]) {
					return
				}
			}
		})
		if !slices.Equal(keys, []string{"g-"}) || c.Status().Mixed != 1 {
			t.Errorf("arrived %v, mixed %d: want g only, and 1", got, c.Status().Mixed)
		}
	})
}

// In another history, as of a control plane that was set up anew, the same version is another trial:
// nothing counts there of what was met before, and all units are new.
func TestUnitsAreNewInAnotherHistory(t *testing.T) {
	other := func(set flag.Set) flag.Set {
		set.History, set.Hash = "h2", set.Hash+" of h2"
		return set
	}
	tests := map[string][]flag.Set{
		"the trial runs there": {other(trialSet(1, 0))},
		"and starts later":     {other(setAt(1, release("f"))), other(trialSet(2, 0))},
	}
	for name, sets := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane(t, trialSet(100, 0))
				c := p.open(WithFlushInterval(5 * time.Minute))
				work(t, c, 3)
				old := c.current.Load()
				ctx, late := c.Begin(WithContext(t.Context(), NewContext(userIn(t, c, "f", treatment))))
				c.Bool(ctx, "f", false)
				for _, set := range sets {
					p.change(set)
					p.send(sse("snapshot", set))
					synctest.Wait()
				}
				settle(c, ctx, old, old.flags.Flag("f"), false, boolOf, &eval.Result{})
				late.End(nil)
				work(t, c, 1)
				p.wantArrived(c, map[string]arrived{inTreatment: {Requests: 1, New: 1, AtRisk: 1}})
			})
		})
	}
}
